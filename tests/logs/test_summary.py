"""Roll-ups answer as lines do: every aggregation and filter that they serve, beside the same by reading."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.logs.store import labels, summary
from mamimon.storage.days import day_of
from tests.conftest import Running
from tests.logs.test_seal import quiet

LEVELS = ["INFO", "info", "WARN", "ERROR", None, "odd"]
LOGGERS = ["app.api", "App.Api", "db", None]
AGGREGATIONS: list[dict[str, Any]] = [
    {"terms": {"field": "level"}},
    {"terms": {"field": "logger", "missing": "none"}},
    {"terms": {"field": "service.keyword"}, "aggs": {"l": {"terms": {"field": "level"}}}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "2h"},
     "aggs": {"l": {"terms": {"field": "logger"}}}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "7m", "offset": "1m"}},
    {"date_histogram": {"field": "@timestamp", "calendar_interval": "1h", "time_zone": "Asia/Kathmandu"},
     "aggs": {"l": {"terms": {"field": "level"}}}},
    {"filters": {"filters": {"a": {"term": {"level": "ERROR"}}, "b": {"match": {"logger": "api"}}}}},
]  # fmt: skip
QUERIES = [
    "*",
    "level:ERROR",
    "logger:app",
    "NOT level:info",
    "level:E*",
    "service:shop AND level:(INFO OR WARN)",
]


def _post(server: Running, start: float, odd: bool) -> None:
    rng = random.Random(3)
    body = ""
    for n in range(900):
        level, logger = rng.choice(LEVELS), rng.choice(LOGGERS)
        line = {"@timestamp": round((start + rng.random() * 9_000) * 1000), "service": "shop", "n": n}
        line |= {"level": level} if level else {}
        line |= {"logger": logger} if logger else {}
        if odd and n == 450:
            line["logger"] = ["two", "loggers"]
        body += f'{{"create":{{"_index":"logs-sum"}}}}\n{json.dumps(line)}\n'
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]


@pytest.mark.feature("L7")
@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("odd", [False, True], ids=["plain lines", "a list among them"])
def test_rollups_answer_as_lines_do(
    server: Running, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, odd: bool, sealed: bool
) -> None:
    """Histograms, terms and filters over time and a line's labels are those of reading every line."""
    start = clock.now() // 86_400 * 86_400 - 40_000 if sealed else clock.now() - 20_000
    _post(server, start, odd)
    if sealed:
        quiet(clock, server.data_dir / "logs" / f"{day_of(start)}.db")
    span = {
        "range": {"@timestamp": {"gte": round(start * 1000) + 61_234, "lt": round(start * 1000) + 8_000_777}}
    }
    bodies = [
        {"size": 0, "track_total_hits": True, "aggs": {"x": one},
         "query": {"bool": {"filter": [span, {"query_string": {"query": text}}]}}}
        for one in AGGREGATIONS for text in QUERIES
    ]  # fmt: skip

    def answers() -> list[Any]:
        found = [server.client.post("/es/logs-sum/_search", json=body).json() for body in bodies]
        return [(one["hits"]["total"], one["aggregations"]) for one in found]

    quick = answers()
    used = summary.fields_of
    monkeypatch.setattr(summary, "fields_of", lambda clause, top=True: None)

    assert answers() == quick
    assert used is not summary.fields_of
    assert any(total["value"] for total, _ in quick)


@pytest.mark.feature("L7")
def test_sums_by_the_hour_go_when_a_sealed_day_is_changed(server: Running, clock: ManualClock) -> None:
    """A late line is counted with the others; the sums are made again when the day is."""
    start = clock.now() // 86_400 * 86_400 - 40_000
    path = server.data_dir / "logs" / f"{day_of(start)}.db"
    asked = {"size": 0, "aggs": {"l": {"terms": {"field": "logger", "size": 50}}}}

    def counted() -> int:
        found = server.client.post("/es/logs-sum/_search", json=asked).json()["aggregations"]["l"]
        return sum(bucket["doc_count"] for bucket in found["buckets"])

    def hours() -> bool:
        with contextlib.closing(sqlite3.connect(path)) as raw:
            return labels.has_hours(raw)

    _post(server, start, False)
    quiet(clock, path)
    before = counted()
    assert hours()

    _post(server, start, False)

    assert not hours()
    assert counted() == 2 * before
