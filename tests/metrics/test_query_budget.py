"""What a query may cost: samples, time, turns; and that it ends when nobody waits for it any more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.conftest import wait_until
from tests.metrics.test_remote_write import post, request

# Half a million windows to sort: minutes of work, in pieces.
HEAVY = "sum(mad_over_time(quantile_over_time(0.5, busy[1h])[1h:1s]))"


@pytest.fixture
def busy(start: Callable[..., Any], clock: Any) -> Callable[..., Any]:
    """Start a server that has 100 series of an hour."""

    def run(**settings: Any) -> Any:
        server = start(metrics={"scrape_self": False, **settings}, alerts={"builtin_rules": False})
        now = int(clock.now() * 1000)
        for first in range(0, 240, 40):
            series = [
                (
                    {"__name__": "busy", "n": str(n)},
                    [(now - (240 - at) * 15_000, float(n * at % 17)) for at in range(first, first + 40)],
                )
                for n in range(100)
            ]
            assert post(server, request(*series)).status_code == 204
        return server

    return run


def running(server: Any) -> int:
    text = httpx.get(f"{server.url}/metrics").text
    return int(float(text.split("\nmamimon_promql_queries ")[1].split("\n")[0]))


def ask_heavily(server: Any, clock: Any) -> socket.socket:
    """A connection on which a heavy query is under way."""
    host, port = server.url.removeprefix("http://").split(":")
    body = urlencode({"query": HEAVY, "start": clock.now() - 3600, "end": clock.now(), "step": 10})
    one = socket.create_connection((host, int(port)))
    one.sendall(
        f"POST /api/v1/query_range HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
    )
    wait_until(lambda: running(server) >= 1, what="the heavy query")
    return one


@pytest.mark.feature("M4")
def test_a_heavy_query_holds_up_nobody_and_ends_with_its_client(busy: Callable[..., Any], clock: Any) -> None:
    """While one evaluates, others are answered; when its client leaves it stops."""
    server = busy()
    connection = ask_heavily(server, clock)
    for _ in range(10):
        answer = server.client.post("/api/v1/query", data={"query": "count(busy)", "time": clock.now() - 15})
        assert answer.json()["data"]["result"][0]["value"][1] == "100"
        assert server.client.get("/healthz").status_code == 200
    assert running(server) == 1, "it was no heavy query"
    connection.close()
    wait_until(lambda: running(server) == 0, timeout_s=60, what="the end of the abandoned query")


@pytest.mark.feature("M4")
def test_a_query_ends_at_its_timeout(busy: Callable[..., Any], clock: Any) -> None:
    """`timeout=` is answered with 503 and errorType timeout, long before the work would be done."""
    server = busy()
    form = {"query": HEAVY, "start": clock.now() - 3600, "end": clock.now(), "step": 10, "timeout": "500ms"}
    answer = server.client.post("/api/v1/query_range", data=form)
    assert answer.status_code == 503
    assert answer.json()["errorType"] == "timeout"
    assert answer.json()["error"] == "query timed out in expression evaluation"
    wait_until(lambda: running(server) == 0, timeout_s=60, what="the end of the query")


@pytest.mark.feature("M4")
def test_queries_wait_their_turn_and_not_longer_than_their_timeout(
    busy: Callable[..., Any], clock: Any
) -> None:
    """With one turn a second query waits: it is refused at its timeout or answered when the turn ends."""
    server = busy(query_max_concurrency=1)
    connection = ask_heavily(server, clock)
    form = {"query": "count(busy)", "time": clock.now() - 15, "timeout": "300ms"}
    refused = server.client.post("/api/v1/query", data=form)
    assert (refused.status_code, refused.json()["errorType"]) == (503, "timeout")
    assert refused.json()["error"] == "query timed out in query queue"
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{server.url}/api/v1/query", data={**form, "timeout": "30s"})
        )
    )
    waiting.start()
    time.sleep(0.2)
    connection.close()
    waiting.join(30)
    assert answers[0].json()["data"]["result"][0]["value"][1] == "100"


@pytest.mark.feature("M4")
def test_a_query_that_loads_too_much_is_refused(busy: Callable[..., Any], clock: Any) -> None:
    """More samples than the limit, stored or computed, are an execution error that says so."""
    server = busy(query_max_samples=5_000)
    for query in ("sum_over_time(busy[1h])", "count_over_time(vector(1)[10h:1s])"):
        answer = server.client.post("/api/v1/query", data={"query": query, "time": clock.now()})
        assert answer.status_code == 422, query
        assert answer.json()["errorType"] == "execution"
        assert "too many samples" in answer.json()["error"]
    answer = server.client.post("/api/v1/query", data={"query": "count(busy)", "time": clock.now() - 15})
    assert answer.json()["data"]["result"][0]["value"][1] == "100"
