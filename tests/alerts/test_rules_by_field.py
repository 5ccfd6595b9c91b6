"""Rules on log lines that tell the values of a field apart: one alert for each service that is in trouble."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import step
from tests.conftest import settled, wait_until

RULES = "/api/mamimon/alerts/rules"


def log(server: Any, clock: ManualClock, *lines: dict[str, Any], ago_s: float = 1.0) -> None:
    """Lines through the Elasticsearch door."""
    at = dt.datetime.fromtimestamp(clock.now() - ago_s, dt.UTC).isoformat()
    body = "".join(f'{{"create":{{}}}}\n{json.dumps({"@timestamp": at, **line})}\n' for line in lines)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = server.client.post("/es/logs-app-2026.01.01/_bulk", content=body, headers=headers)
    assert answer.json()["errors"] is False, answer.text


def firing(server: Any) -> dict[str, Any]:
    """Alerts that fire, by service."""
    alerts = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
    return {one["labels"].get("service", ""): one for one in alerts if one["state"] == "firing"}


def counted(server: Any, clock: ManualClock, rule: str) -> dict[str, str]:
    """What the rule's series say."""
    query = {"query": f'mamimon_log_rule_lines{{rule="{rule}"}}', "time": clock.now()}
    found = server.client.get("/api/v1/query", params=query).json()["data"]["result"]
    return {one["metric"].get("service", ""): one["value"][1] for one in found}


def save(server: Any, **rule: Any) -> Any:
    """A rule by the API."""
    made = server.client.post(RULES, json={"by": "service", "window": "1m", **rule})
    assert made.status_code == 201, made.text
    return made.json()


@pytest.mark.feature("A8", "M10")
def test_one_alert_for_each_service(start: Callable[..., Any], clock: ManualClock) -> None:
    """Only who is over the threshold is named, in the alert and in the preview; others are counted."""
    server = start(alerts={"builtin_rules": False})
    error = {"level": "ERROR", "message": "payment refused"}
    lines = [error | {"service": "billing"}] * 5 + [error | {"service": "shop"}] + [error] * 9
    log(server, clock, *lines, ago_s=600)
    log(server, clock, *lines)
    rule = {"name": "Failing", "query": "level:ERROR", "threshold": 3, "by": "service", "window": "1m"}
    form = rule | {"kind": "logs"}
    shown = server.client.get("/alerts/rules/preview", params=form | {"summary": "{{ $labels.service }}!"})
    assert "billing!" in shown.text
    assert "1 alert now" in shown.text
    chart = server.client.get("/api/mamimon/alerts/preview", params=form | {"since": "1h"}).json()
    assert {one["name"]: max(v or 0 for v in one["values"]) for one in chart["series"]} == {
        "billing": 5,
        "shop": 1,
    }
    save(server, **rule, annotations={"summary": "{{ $value }} errors of {{ $labels.service }}"})
    settled(clock)
    log(server, clock, *lines)
    found = {}

    def fires() -> Any:
        settled(clock)
        clock.advance(5)
        found.update(firing(server))
        return found

    wait_until(fires, 60, "the alert")
    assert set(found) == {"billing"}
    assert found["billing"]["annotations"]["summary"].endswith("errors of billing")
    assert set(counted(server, clock, "Failing")) == {"billing", "shop"}
    page = server.client.get("/alerts/rules/1").text
    assert 'name="by" value="service"' in page


@pytest.mark.feature("A8")
def test_a_service_that_falls_silent_is_named_also_after_a_restart(
    start: Callable[..., Any], clock: ManualClock
) -> None:
    """A value that had lines within a day counts as 0, so a rule can ask for what is missing."""
    server = start(alerts={"builtin_rules": False})
    save(server, name="Silent", query="tick", op="<", threshold=1)

    def beat(*services: str) -> None:
        settled(clock)
        log(server, clock, *({"message": "tick", "service": one} for one in services))
        step(clock, 15, 5)

    for _ in range(5):
        beat("shop", "mail")
    wait_until(lambda: set(counted(server, clock, "Silent")) == {"shop", "mail"}, 30, "both services")
    assert firing(server) == {}
    server.stop()
    server = start(alerts={"builtin_rules": False})
    found: dict[str, Any] = {}

    def named() -> Any:
        beat("shop")
        found.update(firing(server))
        return found

    wait_until(named, 60, "the alert")
    assert set(found) == {"mail"}

    def over() -> bool:
        beat("shop", "mail")
        return not firing(server)

    wait_until(over, 60, "its end")


@pytest.mark.feature("A8")
def test_values_are_bounded_and_fields_checked(start: Callable[..., Any], clock: ManualClock) -> None:
    """A hundred values at most, the commonest; a field that cannot be a label says so."""
    server = start(alerts={"builtin_rules": False})
    lines = [{"message": "hit", "service": f"s{n:03}"} for n in range(150)]
    save(server, name="Many", query="hit", threshold=1e9)
    settled(clock)
    log(server, clock, *lines, *lines[120:])

    def all_there() -> bool:
        settled(clock)
        clock.advance(5)
        return len(counted(server, clock, "Many")) == 100

    form = {"kind": "logs", "query": "hit", "by": "service", "window": "1m", "threshold": "5"}
    page = server.client.get("/alerts/rules/preview", params=form, headers={"Accept-Language": "en"}).text
    assert "the hundred commonest" in page
    wait_until(all_there, 60, "a hundred series")
    found = counted(server, clock, "Many")
    assert {f"s{n}" for n in range(120, 150)} <= set(found)
    for change, said in (
        ({"by": "a b"}, "by: "),
        ({"by": "alertname"}, "by: "),
        ({"by": "team.name", "labels": {"team_name": "x"}}, "team_name"),
    ):
        body = {"name": "Other", "query": "x", "by": "service", **change}
        refused = server.client.post(RULES, json=body)
        assert refused.status_code == 400, change
        assert said in refused.text, refused.text
