"""Roll-ups answer as lines do: every aggregation and filter that they serve, beside the same by reading."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.logs.store import summary
from tests.conftest import Running

LEVELS = ["INFO", "info", "WARN", "ERROR", None, "odd"]
LOGGERS = ["app.api", "App.Api", "db", None]
AGGREGATIONS: list[dict[str, Any]] = [
    {"terms": {"field": "level"}},
    {"terms": {"field": "logger", "missing": "none"}},
    {"terms": {"field": "service.keyword"}, "aggs": {"l": {"terms": {"field": "level"}}}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}},
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
@pytest.mark.parametrize("odd", [False, True], ids=["plain lines", "a list among them"])
def test_rollups_answer_as_lines_do(
    server: Running, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, odd: bool
) -> None:
    """Histograms, terms and filters over time and a line's labels are those of reading every line."""
    start = clock.now() - 20_000
    _post(server, start, odd)
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
