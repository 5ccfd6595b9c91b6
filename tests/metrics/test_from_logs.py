"""Metrics of logs and errors: ordinary series, usable in rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mamimon.clock import ManualClock
from mamimon.tally import Tally
from tests.alerts.conftest import step
from tests.conftest import wait_until
from tests.metrics.conftest import Scraped

RULES = """\
groups:
  - name: logs
    interval: 15s
    rules:
      - alert: ErrorsInLogs
        expr: sum by (dataset) (rate(mamimon_logs_total{level="ERROR"}[5m])) > 0
        for: 30s
        labels: {severity: page}
        annotations: {summary: "{{ $labels.dataset }} logs errors"}
      - alert: ErrorEvents
        expr: increase(mamimon_errors_events_total{level="error"}[5m]) > 0
      - record: job:log_errors:rate5m
        expr: sum(rate(mamimon_logs_total{level="ERROR"}[5m]))
"""


def send_lines(server: Any, dataset: str, level: str, count: int) -> None:
    """Write log lines through the Elasticsearch door."""
    lines = []
    for number in range(count):
        lines.append(json.dumps({"create": {"_index": f"logs-{dataset}-2026.01.01"}}))
        lines.append(json.dumps({"level": level, "message": f"line {number}"}))
    answer = server.client.post(
        "/es/_bulk", content="\n".join(lines) + "\n", headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.json()["errors"] is False


def send_error(server: Any) -> None:
    """Report an error as a Sentry SDK does."""
    dsn = server.client.get("/api/mamimon/errors/dsn").json()["dsn"]
    key = dsn.partition("://")[2].partition("@")[0]
    event = {"exception": {"values": [{"type": "ValueError", "value": "x"}]}, "level": "error"}
    answer = server.client.post(
        "/api/1/store/", json=event, headers={"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}"}
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.feature("M10")
def test_a_rule_on_log_lines_fires(start: Callable[..., Any], clock: ManualClock, tmp_path: Path) -> None:
    """The first ERROR lines of a dataset fire `rate(mamimon_logs_total{level="ERROR"}[5m]) > 0`."""
    (tmp_path / "rules.yml").write_text(RULES)
    config = tmp_path / "prometheus.yml"
    config.write_text("rule_files: [rules.yml]\n")
    one = Scraped(start(metrics={"prometheus_config": str(config)}, alerts={"builtin_rules": False}), clock)

    def alerts() -> dict[str, str]:
        found = one.server.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert["state"] for alert in found}

    def live(seconds: int) -> None:
        """Let time pass, each scrape of ourselves taken."""
        for _ in range(seconds // 15):
            wait_until(lambda: one.target("mamimon"), what="the first scrape")
            before = one.target("mamimon")["lastScrape"]
            step(clock, 15, 5)
            wait_until(lambda b=before: one.target("mamimon")["lastScrape"] != b, what="the next scrape")  # type: ignore[misc]

    live(60)
    assert alerts() == {}
    send_lines(one.server, "shop", "INFO", 20)
    live(60)
    assert alerts() == {}
    send_lines(one.server, "shop", "ERROR", 2)
    send_error(one.server)
    live(120)
    assert alerts() == {"ErrorsInLogs": "firing", "ErrorEvents": "firing"}
    found = one.server.client.get("/api/v1/alerts").json()["data"]["alerts"]
    by_name = {alert["labels"]["alertname"]: alert for alert in found}
    assert by_name["ErrorsInLogs"]["labels"]["dataset"] == "shop"
    assert by_name["ErrorsInLogs"]["annotations"] == {"summary": "shop logs errors"}
    assert by_name["ErrorEvents"]["labels"]["project"] == "1"
    assert one.value('mamimon_logs_total{dataset="shop",level="INFO"}') == 20
    assert one.value('mamimon_logs_total{dataset="shop",level="ERROR"}') == 2
    assert one.value("job:log_errors:rate5m") > 0
    page = one.server.client.get("/api/v1/rules", params={"type": "record"}).json()["data"]["groups"]
    assert [rule["health"] for rule in page[0]["rules"]] == ["ok"]


@pytest.mark.feature("M10")
def test_the_number_of_series_is_bounded(clock: ManualClock) -> None:
    """Datasets beyond the bound are counted together; the first scrape sees a new series as 0."""
    registry = CollectorRegistry()
    tally = Tally(
        "t", "Test.", ["level", "dataset"], registry=registry, clock=clock, scrape_interval_s=15, most=3
    )
    for number in range(100):
        tally.add("ERROR", f"d{number}", count=2)

    def value(dataset: str) -> float | None:
        return registry.get_sample_value("t_total", {"level": "ERROR", "dataset": dataset})

    assert (value("d0"), value("other"), value("d3")) == (0, 0, None)
    clock.advance(15.1)
    assert value("d0") == 0, "a scrape that is a little late must see the 0"
    clock.advance(15)
    assert (value("d0"), value("d2"), value("other"), value("d3")) == (2, 2, 97 * 2, None)
