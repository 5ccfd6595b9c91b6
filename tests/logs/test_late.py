"""What takes too long, and what nobody waits for any more: said, and given up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.logs.clauses import All
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from tests.conftest import Endless, wait_until
from tests.logs.test_pages import send
from tests.logs.test_store import store

ASKED = (
    "/logs?since=1h",
    "/logs/rows?since=1h&before=",
    "/logs/facets?since=1h",
    "/logs/last?since=1h",
    "/logs/line/20010101-7",
    "/logs/patterns?since=1h&q=hello",
    "/api/mamimon/logs/search?since=1h",
    "/api/mamimon/logs/histogram?since=1h&q=hello",
    "/api/mamimon/logs/facet?since=1h&field=host",
    "/api/mamimon/logs/complete?since=1h&field=host",
    "/api/mamimon/logs/export?since=1h",
    "/es/logs-*/_search?q=hello",
    "/es/_count?q=hello",
    "/loki/api/v1/query_range?query=%7Bservice_name%3D~%22.%2B%22%7D",
)


@pytest.fixture
def filled(start: Callable[..., Any]) -> Any:
    """A server with some blocks of lines of now."""
    server = start(server={"self_log": False})
    send(server, *({"message": f"hello {i}", "host": f"web-{i % 3}", "level": "INFO"} for i in range(600)))
    return server


def test_a_reader_who_leaves_takes_the_question_along(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page and call that reads lines is given up when its connection is gone, which is no failure."""
    reading = Endless()
    filled.client.get("/logs?since=1h")
    monkeypatch.setattr(LogDays, "read", reading.ask)
    host, port = filled.url.removeprefix("http://").split(":")
    for path in ASKED:
        reading.begun.clear()
        reading.given_up.clear()
        with socket.create_connection((host, int(port))) as reader:
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode())
            assert reading.begun.wait(60), path
            assert not reading.given_up.is_set(), path
        assert reading.given_up.wait(60), path
    wait_until(lambda: 'path="/logs/facets",status="499"' in filled.client.get("/metrics").text)
    failures = [
        line
        for line in filled.client.get("/metrics").text.splitlines()
        if line.startswith('http_requests_errors_total{method="GET",path="/logs')
    ]
    assert failures == []


async def test_the_thread_of_an_unwanted_answer_stops(tmp_path: Path) -> None:
    """Where who asked is gone, the thread that reads stops at the next blocks and is free for others."""
    days, ingest, _ = store(tmp_path, block_rows=16, mask=False)
    ingest.open()
    await ingest.append([ingest.record_of(b'{"message":"m"}', "app") for _ in range(100)])
    begun, stopped = threading.Event(), threading.Event()

    def work(view: View) -> None:
        begun.set()
        patience = time.monotonic() + 60
        while list(view.newest()) and not view.timed_out and time.monotonic() < patience:
            time.sleep(0.01)
        if view.timed_out:
            stopped.set()

    reading = asyncio.create_task(days.read(days.days()[0], Plan(clause=All()), work))
    await asyncio.to_thread(begun.wait, 60)
    reading.cancel()
    assert await asyncio.to_thread(stopped.wait, 60)
    found, whole = await days.read(days.days()[0], Plan(clause=All()), lambda view: len(list(view.newest())))
    assert (found, whole) == (100, True)
    await ingest.close()
    await days.close()


def test_what_was_not_read_in_time_is_said(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, counts and charts that ran out of time say so, each in its place."""
    room = filled.server.house.rooms[[one.name for one in filled.server.house.rooms].index("logs")]
    monkeypatch.setattr(room.local, "deadline", lambda *_: 0.0)
    ask = lambda path: filled.client.get(path).text  # noqa: E731
    for path in ("/logs?since=1h", "/logs/facets?since=1h", "/logs/patterns?since=1h&q=hello"):
        assert "Some of it could not be read in time" in ask(path), path
    assert "No line was found in the time that a search may take" in ask("/logs?q=%22hello+3%22&since=1h")
    later = f"start={filled.server.clock.now() + 1:.0f}&end={filled.server.clock.now() + 2:.0f}"
    assert "could not all be searched in time" in ask(f"/logs/last?q=%22hello+3%22&{later}")
    for path in ("search?size=10", "histogram?q=hello", "facet?field=host", "patterns?q=hello"):
        assert json.loads(ask(f"/api/mamimon/logs/{path}"))["partial"] is True, path


def test_a_chart_takes_what_was_counted_in_a_moment(filled: Any) -> None:
    """`within` asks for an answer in less time than the setting allows; more than that is not given."""
    ask = lambda rest: filled.client.get(f"/api/mamimon/logs/histogram?q=hello{rest}")  # noqa: E731
    whole = ask("").json()
    assert (whole["total"], whole["partial"]) == (600, False)
    assert ask("&within=600").json() == whole
    assert ask("&within=0").status_code == 400
    room = filled.server.house.rooms[[one.name for one in filled.server.house.rooms].index("logs")]
    most = room.local.deadline(600.0) - time.monotonic()
    assert room.local.deadline(1.0) - time.monotonic() <= 1.0 < most <= 10.0


def test_a_file_that_is_not_whole_breaks_off(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that ran out of time ends as a broken download, not as a file that only looks whole."""
    room = filled.server.house.rooms[[one.name for one in filled.server.house.rooms].index("logs")]
    late: list[float] = []
    deadline = room.local.deadline

    def third_page_is_late(within_s: float | None = None) -> float:
        late.append(deadline(within_s))
        return 0.0 if len(late) > 3 else late[-1]

    monkeypatch.setattr(room.local, "deadline", lambda *_: 0.0)
    with pytest.raises(httpx.RemoteProtocolError):
        filled.client.get("/api/mamimon/logs/export?since=1h")
    monkeypatch.setattr(room.local, "deadline", third_page_is_late)
    monkeypatch.setattr("mamimon.logs.reading_routes._EXPORT_PAGE", 100)
    with (
        pytest.raises(httpx.RemoteProtocolError),
        filled.client.stream("GET", "/api/mamimon/logs/export?since=1h&format=csv") as answer,
    ):
        text = ""
        for part in answer.iter_text():
            text += part
    assert text.count("\n") == 201


def test_counts_of_patterns_and_levels_are_those_of_the_lines(start: Callable[..., Any]) -> None:
    """What is counted by columns of the blocks is what the lines say."""
    server = start(server={"self_log": False})
    send(
        server,
        *(
            {"level": ("INFO", "ERROR")[i % 5 == 0], "message": f"{'paid' if i % 3 else 'refused'} order {i}"}
            for i in range(700)
        ),
    )
    facet = lambda field, q: {  # noqa: E731
        one["value"]: one["count"]
        for one in server.client.get("/api/mamimon/logs/facet", params={"field": field, "q": q}).json()[
            "values"
        ]
    }
    assert facet("level", "refused") == {"INFO": 187, "ERROR": 47}
    hits = server.client.get("/api/mamimon/logs/search?q=refused&size=700").json()["hits"]
    patterns = {one["pattern"] for one in hits}
    assert facet("pattern", "refused") == {
        one: sum(hit["pattern"] == one for hit in hits) for one in patterns
    }
