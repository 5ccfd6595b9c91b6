"""The pages in a real browser: an incident with its log lines, silencing from an alert, the phone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, step
from tests.alerts.test_life import forever, send
from tests.conftest import wait_until


@pytest.mark.feature("A5")
@pytest.mark.browser
def test_acknowledge_and_silence_by_hand(
    start: Callable[..., Any], clock: ManualClock, slack: Hook, browser: Any
) -> None:
    """From the alerts page to the incident, acknowledged there; silenced with what it hides shown first."""
    server = start(alerts={"slack_webhook_url": slack.url})
    send(server, {"alertname": "QueueFull", "service": "flux"}, endsAt=forever(clock))
    step(clock, 10)
    told = "/api/mamimon/alerts/notifications"
    wait_until(
        lambda: [one["status"] for one in server.client.get(told).json()] == ["sent"], 30, "the message"
    )
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{server.url}/alerts")
    page.get_by_role("button", name="Acknowledge").click()
    page.wait_for_url("**/incidents/1")
    assert "acknowledged by" in page.inner_text("header.bar")
    assert "Slack was told" in page.inner_text(".tl")
    for name, role in (("Ada", "lead"), ("Efe", "messages")):
        page.fill("[name=to]", name)
        page.select_option("[name=role]", role)
        page.get_by_role("button", name="Assign").click()
        page.wait_for_selector(f".tl p:has-text('{name}')", timeout=30_000)
    assert "Efe: keeps others informed" in page.inner_text(".tl")
    incident = server.client.get("/api/mamimon/incidents/1").json()
    assert (incident["assigned_to"], incident["roles"]) == ("Ada", {"messages": "Efe"})
    written = server.client.get("/incidents/1/postmortem.md", headers={"Accept-Language": "en"}).text
    assert "| Leads | Ada |" in written
    assert "| Keeps others informed | Efe |" in written
    refused = server.client.post("/api/mamimon/incidents/1/assign", json={"to": "X", "role": "boss"})
    assert refused.status_code == 400
    page.get_by_role("link", name="Silence").click()
    assert "This hides now: QueueFull" in page.inner_text(".silence-preview")
    page.fill("#by", "Ada")
    page.fill("#comment", "known, see #12")
    page.get_by_role("button", name="Silence").click()
    page.wait_for_url("**/alerts")
    assert "known, see #12 · Ada" in page.inner_text("main")
    assert "nothing is firing" in page.inner_text("header.bar")
    assert problems == []
    page.close()


@pytest.mark.feature("A7")
@pytest.mark.browser
def test_the_incident_page_shows_the_error_lines_around_it(
    server: Any, clock: ManualClock, browser: Any
) -> None:
    """Lines logged in the incident's time are on its page, and a hostile one stays text; fits a phone."""
    send(server, {"alertname": "Broken"}, endsAt=forever(clock))
    step(clock, 10)
    hostile = "<img src=x onerror=alert(1)> model is None"
    record = {"@timestamp": _iso(clock.now()), "level": "ERROR", "message": hostile}
    line = '{"create":{}}\n' + json.dumps(record) + "\n"
    answer = server.client.post(
        "/es/logs-chat-2026.01.01/_bulk", content=line, headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.json()["errors"] is False, answer.text
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for path in ("/incidents/1", "/alerts", "/incidents", "/settings/alerts"):
        page.goto(server.url + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
    page.goto(f"{server.url}/incidents/1")
    assert hostile in page.inner_text(".rows")
    assert page.locator("img[src=x]").count() == 0
    page.close()


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
