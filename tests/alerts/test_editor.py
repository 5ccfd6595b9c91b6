"""The page on which rules are made: tried before they are saved, evaluated after, kept over a restart."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import App, live, step
from tests.conftest import settled, wait_until

SETTINGS: dict[str, Any] = {"builtin_rules": False}


def firing(server: Any) -> dict[str, Any]:
    """Alerts that fire, by name."""
    alerts = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
    return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}


def log(
    server: Any, clock: ManualClock, level: str, message: str, count: int = 1, ago_s: float = 1.0
) -> None:
    """Lines through the Elasticsearch door."""
    at = dt.datetime.fromtimestamp(clock.now() - ago_s, dt.UTC).isoformat()
    record = json.dumps({"@timestamp": at, "level": level, "message": message})
    body = f'{{"create":{{}}}}\n{record}\n' * count
    headers = {"Content-Type": "application/x-ndjson"}
    answer = server.client.post("/es/logs-chat-2026.01.01/_bulk", content=body, headers=headers)
    assert answer.json()["errors"] is False, answer.text


def audit(server: Any) -> list[tuple[str, str]]:
    """What was done to which rule, oldest first."""
    found = server.client.get("/api/mamimon/settings/audit").json()
    return [(one["action"], one["target"]) for one in reversed(found)]


@pytest.mark.feature("A5", "A6")
@pytest.mark.browser
def test_a_rule_is_tried_saved_and_kept(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str, browser: Any
) -> None:
    """Mistakes are shown beside their field, the chart and the backtest follow; saved, it fires at once."""
    metrics = {"prometheus_config": prometheus_yml, "scrape_self": False}
    server = start(metrics=metrics, alerts=SETTINGS)
    settled(clock)
    live(clock, app, 120)
    app.load = 9.0
    live(clock, app, 180)
    app.load = 1.0
    live(clock, app, 120)
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{server.url}/alerts")
    page.get_by_role("link", name="New rule").click()
    page.fill("#r-name", "LoadHigh")
    page.fill("#r-expr", "load >")
    page.wait_for_selector("#wrong-expr:not(:empty)", timeout=30_000)
    assert "parse error" in page.inner_text("#wrong-expr")
    page.fill("#r-expr", "load > 5")
    page.fill("#r-for", "1m")
    page.fill("#r-summary", "load is {{ $value }} at {{ $labels.job }}")
    page.wait_for_selector(".tried", timeout=30_000)
    page.wait_for_selector("#preview .chart[data-points] canvas", timeout=30_000)
    wait_until(lambda: "load is 1 at chat" in page.inner_text("#preview"), 60, "the summary")
    text = page.inner_text("#preview")
    assert "Would have fired once" in text
    assert "not true now" in text
    assert "default (" in text
    assert page.inner_text("#wrong-expr") == ""
    chart = server.client.get(page.get_attribute("#preview .chart", "data-src")).json()
    assert chart["threshold"]["value"] == 5
    assert [one["kind"] for one in chart["marks"]] == ["alert"]
    assert max(value for value in chart["series"][0]["values"] if value is not None) == 9

    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/alerts#rule-1")
    assert "LoadHigh" in page.inner_text("#own-rules")
    app.load = 7.0
    live(clock, app, 120)
    assert wait_until(lambda: firing(server).get("LoadHigh"))["annotations"] == {
        "summary": "load is 7 at chat"
    }

    server.stop()
    server = start(metrics=metrics, alerts=SETTINGS)
    live(clock, app, 60)
    wait_until(lambda: "LoadHigh" in firing(server), what="the alert after a restart")
    page.goto(f"{server.url}/alerts/rules/1")
    assert page.input_value("#r-expr") == "load > 5"
    page.goto(f"{server.url}/alerts")
    page.get_by_role("button", name="Switch off").click()
    page.wait_for_selector("#own-rules .pill.unknown")
    wait_until(lambda: not firing(server), what="the end of its alert")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#own-rules").get_by_role("button", name="Delete").click()
    wait_until(lambda: page.locator("#own-rules").count() == 0, what="the rule to go")
    assert audit(server) == [(f"rule.{one}", "LoadHigh") for one in ("add", "disable", "delete")]
    assert problems == []
    page.close()


@pytest.mark.feature("A5", "A8", "M10")
@pytest.mark.browser
def test_a_rule_on_log_lines(server: Any, clock: ManualClock, browser: Any) -> None:
    """Lines of a query are counted over a window: in the preview, in the alert and as a series."""
    log(server, clock, "ERROR", "payment refused by bank 7", 6, ago_s=900)
    log(server, clock, "INFO", "payment done", 50)
    page = browser.new_page()
    page.goto(f"{server.url}/alerts/rules/new")
    page.fill("#r-name", "PaymentsFail")
    page.check("#k-logs")
    assert not page.is_visible("#r-expr")
    page.fill("#r-query", "level:ERROR AND payment")
    page.fill("[name=window]", "5m")
    page.fill("[name=threshold]", "3")
    page.fill("#r-summary", "{{ $value }} payments were refused")
    page.wait_for_selector(".tried", timeout=30_000)
    wait_until(lambda: "Would have fired once" in page.inner_text("#preview"), 60, "the backtest")
    assert "0 payments were refused" in page.inner_text("#preview")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/alerts#rule-1")
    page.close()
    settled(clock)
    log(server, clock, "ERROR", "payment refused by bank 7", 4)
    step(clock, 40)
    found = wait_until(lambda: firing(server).get("PaymentsFail"), what="the alert")
    assert found["annotations"]["summary"] == "4 payments were refused"
    assert "rule" not in found["labels"]
    query = {"query": 'mamimon_log_rule_lines{rule="PaymentsFail"}', "time": clock.now()}
    answer = server.client.get("/api/v1/query", params=query).json()["data"]["result"]
    assert [one["value"][1] for one in answer] == ["4"]
    step(clock, 330, 15)
    wait_until(lambda: not firing(server), what="the end of the alert")


@pytest.mark.feature("A5")
def test_the_api_refuses_what_cannot_be_evaluated(server: Any) -> None:
    """A bad expression, query, duration, template or label says its field; a taken name is a conflict."""
    url = "/api/mamimon/alerts/rules"
    good = {"name": "Up", "expr": "up == 0", "for": "5m", "labels": {"severity": "critical"}}
    made = server.client.post(url, json=good)
    assert made.status_code == 201, made.text
    assert made.json()["for_s"] == 300
    for change, said in (
        ({"expr": "up =="}, "expr: "),
        ({"expr": '"text"'}, "a rule needs one value"),
        ({"expr": "up[5m]"}, "a rule needs one value"),
        ({"expr": "", "query": "level:("}, "query: "),
        ({"expr": "", "query": "x", "window": "8d"}, "window: "),
        ({"for": "soon"}, "not a duration"),
        ({"labels": {"a-b": "x"}}, "labels: "),
        ({"annotations": {"summary": "{{ $labels.x"}}, "summary: "),
        ({"name": " "}, "name: "),
    ):
        refused = server.client.post(url, json=good | {"name": "Other"} | change)
        assert refused.status_code == 400, change
        assert said in refused.text, refused.text
    assert server.client.post(url, json=good).status_code == 409
    assert server.client.put(f"{url}/7", json=good | {"name": "Else"}).status_code == 404
    changed = server.client.put(f"{url}/1", json=good | {"expr": "up == 1"})
    assert changed.json()["expr"] == "up == 1"
    rules = server.client.get("/api/v1/rules", params={"file[]": "own rules"}).json()["data"]["groups"]
    assert [rule["query"] for rule in rules[0]["rules"]] == ["up == 1"]
    assert server.client.post(f"{url}/1/disable", json={}).json()["enabled"] is False
    assert server.client.delete(f"{url}/1").status_code == 204
    assert server.client.get(url).json() == []
    page = server.client.post("/alerts/rules/new", data={"name": "Bad", "expr": "sum(", "for": "x"})
    assert page.status_code == 400
    assert 'value="Bad"' in page.text


@pytest.mark.feature("A5")
def test_rules_of_files_are_copied_not_changed(server: Any) -> None:
    """The link beside a file's rule opens the editor with all of it filled in."""
    page = server.client.get("/alerts").text
    link = page.split("HighErrorRate</b>")[1].split('href="')[1].split('"')[0]
    editor = server.client.get(link).text
    assert 'value="HighErrorRate"' in editor
    assert "http_requests_errors_total" in editor
    assert 'value="critical"' in editor


@pytest.mark.feature("A5", "A8")
def test_every_start_is_a_rule(server: Any) -> None:
    """What the page offers to start from can be saved as it is."""
    page = html.unescape(server.client.get("/alerts/rules/new").text)
    links = re.findall(r'href="(/alerts/rules/new\?[^"]+)"', page)
    assert len(links) >= 8
    for link in links:
        assert server.client.get(link).status_code == 200
        form = dict(httpx.URL(link).params)
        assert server.client.post("/alerts/rules/new", data=form).status_code == 303, form
    groups = server.client.get("/api/v1/rules", params={"file[]": "own rules"}).json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) == len(links)


@pytest.mark.feature("A6")
def test_noisy_rules_are_named(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str
) -> None:
    """A rule that fires six times for a minute flaps; the page says so and leads to the rule."""
    server = start(metrics={"prometheus_config": prometheus_yml, "scrape_self": False}, alerts=SETTINGS)
    server.client.post("/api/mamimon/alerts/rules", json={"name": "Jumpy", "expr": "load > 5"})
    settled(clock)
    for _ in range(6):
        app.load = 9.0
        live(clock, app, 60)
        app.load = 0.0
        live(clock, app, 60)
    page = wait_until(
        lambda: (found := server.client.get("/alerts/noisy").text) and "flaps" in found and found,
        what="the verdict",
    )
    assert 'href="/alerts/rules/1"' in page
    assert "6 ×" in page


@pytest.mark.feature("A5", "S1")
def test_a_viewer_may_try_but_not_save(server: Any) -> None:
    """Without the role of an editor the page has no button, and the door refuses."""
    people = {"ada": "admin", "vera": "viewer"}
    for name, role in people.items():
        body = {"name": name, "role": role, "password": "correct horse battery"}
        made = server.client.post(
            "/api/mamimon/users", json=body, auth=("ada", "correct horse battery") if name != "ada" else None
        )
        assert made.status_code == 201, made.text
    with httpx.Client(base_url=server.url) as vera:
        signed = vera.post("/login", data={"name": "vera", "password": "correct horse battery"})
        assert signed.status_code == 303, signed.text
        page = vera.get("/alerts/rules/new").text
        assert "role of an editor" in page
        assert ">Save<" not in page
        refused = vera.post(
            "/alerts/rules/new", data={"name": "X", "expr": "up"}, headers={"Origin": server.url}
        )
        assert refused.status_code == 403
