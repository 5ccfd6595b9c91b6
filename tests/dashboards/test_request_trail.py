"""One request: what logs, errors, events and metrics say of it, in order, and what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.logs.dates import iso

pytestmark = pytest.mark.feature("L9")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def tell(server: Any) -> float:
    """A request from every side; returns when it began."""
    began = float(server.server.clock.now()) - 30
    lines = [
        {
            "@timestamp": iso(began),
            "message": "POST /api/chat begins",
            "request_id": "r/1 ü",
            "level": "INFO",
        },
        {"@timestamp": iso(began + 0.2), "message": "asked the model", "trace_id": TRACE, "level": "INFO"},
        {
            "@timestamp": iso(began + 0.9),
            "message": "POST /api/chat 500",
            "request_id": "r/1 ü",
            "trace_id": TRACE,
            "level": "ERROR",
        },
        {"@timestamp": iso(began), "message": "somebody else's", "request_id": "r/2", "trace_id": "0" * 32},
    ]
    body = "\n".join(json.dumps(one) for one in lines)
    assert server.client.post("/api/mamimon/logs?dataset=app", content=body).json()["accepted"] == 4
    key = httpx.URL(server.client.get("/api/mamimon/errors/dsn").json()["dsn"]).username
    error = {
        "event_id": "c0ffee00c0ffee00c0ffee00c0ffee00",
        "timestamp": began + 0.5,
        "level": "error",
        "tags": {"request_id": "r/1 ü"},
        "exception": {"values": [{"type": "KeyError", "value": "'model'"}]},
    }
    server.client.post("/api/1/store/", params={"sentry_key": key}, json=error).raise_for_status()
    event = {
        "event": "message_sent",
        "distinct_id": "u1",
        "timestamp": iso(began + 0.1),
        "properties": {"request_id": "r/1 ü", "length": 5},
    }
    server.client.post("/capture/", json=event).raise_for_status()
    return began


def push_exemplar(server: Any, at: float) -> None:
    """A histogram with an exemplar of the trace, by OTLP as an SDK sends it."""
    point = {
        "startTimeUnixNano": str(int((at - 60) * 1e9)),
        "timeUnixNano": str(int(at * 1e9)),
        "count": "1",
        "sum": 0.9,
        "bucketCounts": ["0", "1"],
        "explicitBounds": [0.5],
        "exemplars": [
            {
                "timeUnixNano": str(int(at * 1e9)),
                "asDouble": 0.9,
                "traceId": TRACE,
                "spanId": "00f067aa0ba902b7",
            }
        ],
    }
    histogram = {"aggregationTemporality": 2, "dataPoints": [point]}
    metric = {"name": "request_duration", "unit": "s", "histogram": histogram}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    answer = server.client.post("/v1/metrics", json=body)
    assert answer.status_code == 200, answer.text


def test_a_request_is_told_in_order_from_every_side(server: Any) -> None:
    """Lines by request and by trace id, the error, the event and the exemplar stand on one axis of time."""
    began = tell(server)
    push_exemplar(server, began + 0.95)
    found = server.client.get("/api/mamimon/requests/r%2F1%20%C3%BC").json()
    told = [(one["kind"], round(one["offset_ms"])) for one in found["moments"]]
    assert told[:5] == [("log", 0), ("event", 100), ("log", 200), ("error", 500), ("log", 900)]
    assert {kind for kind, _ in told[5:]} == {"exemplar"}
    assert found["ids"] == ["r/1 ü", TRACE]
    assert found["missing"] == []
    by_trace = server.client.get(f"/api/mamimon/requests/{TRACE}").json()
    assert [one["text"] for one in by_trace["moments"]] == [one["text"] for one in found["moments"]]
    page = server.client.get(f"/requests/{TRACE}")
    assert page.status_code == 200
    assert page.text.count('<li class="moment') == len(found["moments"])
    assert "somebody else" not in page.text
    for one in found["moments"]:
        assert server.client.get(one["url"]).status_code == 200, one


def test_each_line_says_which_service_it_is_of(server: Any) -> None:
    """The service stands before the logger, once where both are the same, else the data set does."""
    for number, more in enumerate(
        [{"service": "shop", "logger": "app.pay"}, {"service": "bill", "logger": "bill"}, {"logger": "x"}, {}]
    ):
        line = {"message": str(number), "request_id": "many", **more}
        server.client.post("/api/mamimon/logs?dataset=demo", json=line).raise_for_status()
    found = server.client.get("/api/mamimon/requests/many").json()["moments"]
    sources = {one["text"]: one["source"] for one in found}
    assert sources == {"0": "shop · app.pay", "1": "bill", "2": "demo · x", "3": "demo"}


def test_what_is_missing_is_said(server: Any) -> None:
    """An id that only a line carries names the other places; one that nothing carries says how to send it."""
    line = {"message": "alone", "request_id": "only-here"}
    server.client.post("/api/mamimon/logs?dataset=app", json=line)
    found = server.client.get("/api/mamimon/requests/only-here").json()
    assert len(found["moments"]) == 1
    assert len(found["missing"]) == 4
    text = server.client.get("/requests/nobody-has-this").text
    assert "request_id" in text and "What is missing" in text
    turkish = server.client.get("/requests/only-here", headers={"Accept-Language": "tr"}).text
    assert "Eksik olanlar" in turkish


def test_the_terminal_tells_a_request(server: Any, tmp_path: Path) -> None:
    """`mamimon trace ID` prints the same in order, and exits 1 for an id that nothing carries."""
    tell(server)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "mamimon", "trace", *arguments, "--url", server.url]
        return subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    done = run("r/1 ü")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert len(rows) == 5
    assert "KeyError" in rows[3] and rows[3].startswith("+    500.0 ms ✗ ERROR")
    assert "No metric has an exemplar" in done.stderr
    assert len(json.loads(run("r/1 ü", "--json").stdout)["moments"]) == 5
    assert run("nothing").returncode == 1
