"""From a scraped application to a person: nothing between the metric and the message is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, Mailbox
from tests.alerts.test_life import step
from tests.conftest import ROOT, wait_until


class App:
    """An application's /metrics; tests set the counters."""

    def __init__(self) -> None:
        self.requests = self.errors = 0.0
        self.scrapes = 0
        self.alive = True
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                app.scrapes += 1
                self.send_response(200 if app.alive else 503)
                self.end_headers()
                if app.alive:
                    self.wfile.write(
                        b"# TYPE http_requests_total counter\n"
                        b"# TYPE http_requests_errors_total counter\n"
                        + f"http_requests_total {app.requests}\n".encode()
                        + f"http_requests_errors_total {app.errors}\n".encode()
                    )

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def app() -> Iterator[App]:
    """A scrape target on loopback."""
    one = App()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def prometheus_yml(app: App, tmp_path: Path) -> str:
    """A prometheus.yml that scrapes the application and names the mission's rule file."""
    file = tmp_path / "prometheus.yml"
    file.write_text(
        f"global: {{scrape_interval: 15s, evaluation_interval: 15s}}\n"
        f"rule_files: ['{ROOT / 'examples' / 'alert_rules.yml'}']\n"
        f"scrape_configs:\n- job_name: chat\n  static_configs:\n"
        f"  - targets: ['127.0.0.1:{app.server.server_port}']\n"
    )
    return str(file)


def live(clock: ManualClock, app: App, seconds: float, requests: float = 0.0, errors: float = 0.0) -> None:
    """Let time pass while the application counts, and every scrape be taken."""
    for _ in range(int(seconds / 15)):
        app.requests += requests * 15
        app.errors += errors * 15
        step(clock, 15, 5)


@pytest.mark.feature("A1")
def test_the_missions_rule_fires_and_the_next_person_hears(
    start: Callable[..., Any],
    clock: ManualClock,
    app: App,
    prometheus_yml: str,
    mailbox: Mailbox,
    slack: Hook,
) -> None:
    """alert_rules.yml, unchanged: five minutes of errors make mail and Slack; unanswered, Ada is told."""
    settings: dict[str, Any] = {
        "alerts": {
            **mailbox.settings,
            "email_to": "efe@example.com, ada@example.com",
            "slack_webhook_url": slack.url,
            "builtin_rules": False,
        },
        "metrics": {"prometheus_config": prometheus_yml, "scrape_self": False},
    }
    server = start(**settings)
    live(clock, app, 60, requests=10)
    assert app.scrapes >= 3
    live(clock, app, 240, requests=10, errors=1)
    assert [one["state"] for one in server.client.get("/api/v1/alerts").json()["data"]["alerts"]] == [
        "pending"
    ]
    assert mailbox.mails == []
    server.stop()
    server = start(**settings)
    live(clock, app, 150, requests=10, errors=1)
    wait_until(lambda: mailbox.to("efe@example.com") and slack.posts, what="mail and Slack")
    assert "Yüksek error rate" in mailbox.mails[0].get_body(("plain",)).get_content()
    live(clock, app, 330, requests=10, errors=1)
    wait_until(lambda: mailbox.to("ada@example.com"), what="mail to the next person")
    chart = server.client.get("/api/mamimon/incidents/1/chart").json()
    assert chart["threshold"] == {"value": 0.05, "label": "0.05"}
    assert max(v for v in chart["series"][0]["values"] if v is not None) > 0.5
    page = server.client.get("/incidents/1").text
    assert "HighErrorRate on" in page
    series = server.client.get("/api/v1/query", params={"query": 'ALERTS{alertstate="firing"}'}).json()
    assert series["data"]["result"][0]["metric"]["alertname"] == "HighErrorRate"
    server.client.post("/incidents/1/acknowledge", data={"by": "Ada"})
    live(clock, app, 420, requests=10)
    wait_until(lambda: server.client.get("/api/mamimon/incidents").json()[0]["state"] == "resolved", 20)


@pytest.mark.feature("A1")
def test_an_endpoint_that_is_down_for_five_minutes_is_told(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str, slack: Hook
) -> None:
    """The built-in rule: `up == 0` for five minutes, not before."""
    server = start(
        alerts={"slack_webhook_url": slack.url},
        metrics={"prometheus_config": prometheus_yml, "scrape_self": False},
    )
    app.alive = False
    live(clock, app, 270)
    assert not [post for post in slack.posts if "EndpointDown" in post["text"]]
    live(clock, app, 75)
    told = wait_until(lambda: [post for post in slack.posts if "EndpointDown" in post["text"]])
    assert "has been down for 5 minutes" in str(told[0])
    rules = server.client.get("/api/v1/rules?type=alert").json()["data"]["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}
