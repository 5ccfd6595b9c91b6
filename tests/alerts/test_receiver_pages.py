"""The settings page of alerts: where an alert would go, and that a phone shows all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.test_life import forever, send

CONFIG = """\
route:
  receiver: everybody
  group_by: [alertname]
  routes:
    - matchers: [severity="critical"]
      receiver: pager
      continue: true
      group_wait: 10s
    - matchers: [service=~"payments-of-a-long-name|billing-of-a-longer-name|another-service-with-a-name"]
      receiver: payments
      mute_time_intervals: [always]
      repeat_interval: 2h
receivers:
  - name: everybody
  - name: pager
    webhook_configs: [{url: http://127.0.0.1:9/hook}]
  - name: payments
    webhook_configs: [{url: http://127.0.0.1:9/payments}]
inhibit_rules:
  - source_matchers: [alertname="DatabaseDown"]
    target_matchers: [service="billing-of-a-longer-name"]
time_intervals:
  - name: always
    time_intervals: [{times: [{start_time: "00:00", end_time: "24:00"}]}]
"""


@pytest.fixture
def server(start: Callable[..., Any], tmp_path: Path) -> Any:
    """A server with a tree of routes."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(CONFIG)
    return start(alerts={"alertmanager_config": str(file)})


@pytest.mark.feature("A5")
def test_where_an_alert_would_go(server: Any, clock: ManualClock) -> None:
    """Every route that it takes, with what is muted, silenced or inhibited; a pattern is no label."""
    url = "/api/mamimon/alerts/where"
    labels = 'alertname="Late", severity="critical", service="billing-of-a-longer-name"'
    answer = server.client.get(url, params={"labels": labels}).json()
    assert [one["receiver"] for one in answer["ways"]] == ["pager", "payments"]
    assert answer["ways"][0]["group"] == {"alertname": "Late"}
    assert [one["muted_by"] for one in answer["ways"]] == [[], ["always"]]
    assert [(one["wait_s"], one["repeat_s"]) for one in answer["ways"]] == [(10, 14_400), (30, 7200)]
    assert answer["quiet"] == []

    send(server, {"alertname": "DatabaseDown"}, endsAt=forever(clock))
    body = {"matchers": 'severity="critical"', "duration_s": 600, "by": "Ada"}
    silence = server.client.post("/api/mamimon/silences", json=body).json()
    answer = server.client.get(url, params={"labels": labels}).json()
    assert [(one["kind"], one["name"], one["by"], one["until"]) for one in answer["quiet"]] == [
        ("silence", "", "Ada", silence["ends_at"]),
        ("inhibition", "DatabaseDown", "", None),
    ]
    default = server.client.get(url, params={"labels": "alertname=Other"}).json()
    assert [one["receiver"] for one in default["ways"]] == ["everybody"]
    assert server.client.get(url, params={"labels": 'alertname=~"O.*"'}).status_code == 400


@pytest.mark.feature("A5", "D6")
@pytest.mark.browser
def test_the_page_answers_and_fits_a_phone(server: Any, browser: Any) -> None:
    """Typed labels mark their routes in the tree; nothing scrolls sideways at 360 pixels."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(f"{server.url}/settings/alerts")
    page.get_by_role("link", name="HighErrorRate").click()
    page.wait_for_selector(".answer")
    assert "pager" in page.inner_text(".answer")
    page.fill("[name=labels]", 'service="billing-of-a-longer-name"')
    page.get_by_role("button", name="Ask").click()
    page.wait_for_selector(".answer .warn-text")
    assert "muted now by always" in page.inner_text(".answer")
    assert page.locator("tr.taken").count() == 1
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 361)"
        ".map((one) => one.outerHTML.slice(0, 90))"
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    over = page.locator(".scroll").evaluate_all("all => all.map((one) => one.scrollWidth - one.clientWidth)")
    assert max(over) <= 0
    page.close()
