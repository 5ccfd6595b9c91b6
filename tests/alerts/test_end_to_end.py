"""From a scraped application to a person: nothing between the metric and the message is replaced."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import App, Hook, Mailbox, live, step
from tests.alerts.test_life import forever, send
from tests.conftest import slowness, wait_until


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

    def states() -> list[str]:
        return [one["state"] for one in server.client.get("/api/v1/alerts").json()["data"]["alerts"]]

    wait_until(lambda: states() == ["pending"], what="pending")
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
    wait_until(lambda: server.client.get("/api/mamimon/incidents").json()[0]["state"] == "resolved", 60)


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


@pytest.mark.feature("M9")
def test_the_incident_names_the_series_that_moved(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str
) -> None:
    """Of a steady and a jumping series the jumping one is ranked first, and the page shows it."""
    server = start(
        alerts={"builtin_rules": False},
        metrics={"prometheus_config": prometheus_yml, "scrape_self": False},
    )
    app.load = 3.0
    for _ in range(60):
        app.requests += 300
        step(clock, 30, 15)
    app.load = 118.0
    send(server, {"alertname": "QueueFull"}, endsAt=forever(clock))
    for _ in range(20):
        app.requests += 300
        step(clock, 30, 15)
    found = server.client.get("/api/mamimon/incidents/1/changes").json()
    assert found["rows"][0]["name"] == "load", found
    assert found["rows"][0]["before"] == 3.0
    assert 80 < found["rows"][0]["now"] <= 118
    assert "http_requests_total" not in {one["name"] for one in found["rows"]}
    part = server.client.get("/incidents/1/changes").text
    assert ">load</a>" in part
    assert "/changes?start=" in part
    assert "<html" not in part


@pytest.mark.slow
@pytest.mark.feature("A1")
def test_a_crossed_threshold_is_at_the_webhook_within_twenty_seconds(
    process: Callable[..., Any], app: App, slack: Hook, tmp_path: Path
) -> None:
    """On the machine's own clock, scraped each 15 s: at worst a scrape, a look at the rules, a short wait."""
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{alert: Loaded, expr: load > 5, labels: {severity: page}}]}]\n"
    )
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 15s, evaluation_interval: 15s}\n"
        "rule_files: [rules.yml]\n"
        "scrape_configs:\n- job_name: chat\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{app.server.server_port}']}}]\n"
    )
    server = process(
        "--prometheus-config", str(tmp_path / "prometheus.yml"), env={"SLACK_WEBHOOK_URL": slack.url}
    )
    before = wait_until(lambda: app.scrapes, timeout_s=60, what="the first scrape")
    wait_until(lambda: app.scrapes > before, timeout_s=60, what="a scrape")
    # The worst moment: a scrape has just missed it.
    app.load = 9.0
    crossed, at = time.monotonic(), time.time()
    wait_until(lambda: slack.posts, timeout_s=60, what="the message")
    took = time.monotonic() - crossed
    events = httpx.get(f"{server.url}/api/mamimon/incidents/1").json()["events"]
    assert took < 20 * 2 * slowness(), (
        f"{took:.1f} s: {[(round(one['at'] - at, 1), one['kind']) for one in events]}"
    )


@pytest.mark.feature("A7")
def test_an_incident_is_written_down_for_its_post_mortem(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str, tmp_path: Path
) -> None:
    """The Markdown file has the facts, the timeline and a chart with a line above the threshold."""
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{alert: Loaded, expr: load > 5, labels: {severity: page},"
        " annotations: {summary: 'load | is <b>{{ $value }}</b>'}}]}]\n"
    )
    server = start(
        metrics={"prometheus_config": prometheus_yml, "scrape_self": False},
        alerts={"rule_files": [str(rules)], "builtin_rules": False},
    )
    live(clock, app, 60)
    app.load = 9.0
    live(clock, app, 60)
    number = wait_until(lambda: server.client.get("/api/mamimon/incidents").json(), what="the incident")[0][
        "id"
    ]
    server.client.post("/api/mamimon/deploys", json={"version": "1.4.2"})
    server.client.post(f"/incidents/{number}/comment", data={"by": "Ada", "note": "rolled back"})
    app.load = 1.0
    live(clock, app, 120)
    wait_until(
        lambda: server.client.get("/api/mamimon/incidents").json()[0]["state"] == "resolved", what="the end"
    )
    answer = server.client.get(f"/incidents/{number}/postmortem.md")
    assert answer.headers["content-disposition"] == f'attachment; filename="incident-{number}.md"'
    text = answer.text
    assert text.startswith("# Loaded")
    assert r"load \| is \<b\>9\</b\>" in text
    for part in ("deploy: 1.4.2", "| Ada | rolled back |", "load \\> 5", "| Severity | page |"):
        assert part in text, part
    drawn = base64.b64decode(text.split("base64,")[1].split(")")[0])
    root = ElementTree.fromstring(drawn)
    paths = [one.get("d", "") for one in root.iter("{http://www.w3.org/2000/svg}path")]
    assert any(path.count("L") >= 8 for path in paths)
    turkish = server.client.get(f"/incidents/{number}/postmortem.md", headers={"Accept-Language": "tr"}).text
    assert "## Zaman çizgisi" in turkish and "## Neden" in turkish
