"""Loki's live tail through a real WebSocket client, as Grafana's live mode and logcli use it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mamimon.clock import ManualClock
from mamimon.logs import tail as hub
from tests.accounts.test_access import _basic, closed  # noqa: F401 - a fixture
from tests.conftest import wait_until
from tests.logs.test_loki import push

GRAFANA = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
WAIT_S = 60


@pytest.fixture
def now(clock: ManualClock) -> int:
    """The server's time in nanoseconds."""
    return int(clock.now()) * 10**9


@contextmanager
def tailing(server: Any, headers: dict[str, str] | None = None, **asked: Any) -> Iterator[ClientConnection]:
    """An open tail."""
    url = f"{server.url.replace('http', 'ws')}/loki/api/v1/tail?{urlencode(asked)}"
    with connect(url, additional_headers=headers or {}, open_timeout=WAIT_S, close_timeout=WAIT_S) as client:
        yield client


def frame(client: ClientConnection) -> dict[str, Any]:
    """The next frame."""
    found: dict[str, Any] = json.loads(client.recv(WAIT_S))
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The texts of a frame."""
    return [value[1] for stream in found["streams"] for value in stream["values"]]


def refused(server: Any, headers: dict[str, str] | None = None, **asked: Any) -> tuple[int, str]:
    """Status and text with which an upgrade is refused."""
    with pytest.raises(InvalidStatus) as error, tailing(server, headers, **asked):
        pass
    body = error.value.response.body
    return error.value.response.status_code, (body or b"").decode().strip()


@pytest.mark.feature("L6")
def test_a_tail_sends_what_was_and_then_what_comes_once(server: Any, now: int) -> None:
    """The newest lines before, oldest first, then new ones that the query takes; none twice, none else."""
    job = {"job": "web", "level": "info"}
    push(server, (job, [[str(now - (5 - i) * 10**9), f"old {i}"] for i in range(5)]))
    push(server, ({"job": "db"}, [[str(now - 10**9), "of another"]]))

    with tailing(server, GRAFANA, query='{job="web"} |~ "old|new"', limit=3) as client:
        past = frame(client)
        push(server, ({"job": "db"}, [[str(now), "new of another"]]), (job, [[str(now), "nothing"]]))
        push(server, (job, [[str(now + 7), "new 1", {"trace_id": "t1"}]]))
        fresh = frame(client)
        push(server, (job, [[str(now + 9), "new 2"]]))
        later = frame(client)

    assert lines(past) == ["old 2", "old 3", "old 4"]
    assert past["encodingFlags"] == ["categorize-labels"]
    assert fresh["streams"] == [
        {
            "stream": job,
            "values": [[str(now + 7), "new 1", {"structuredMetadata": {"service": "web", "trace_id": "t1"}}]],
        }
    ]
    assert lines(later) == ["new 2"]


@pytest.mark.feature("L6")
def test_labels_are_merged_where_a_client_does_not_ask_for_them_apart(server: Any, now: int) -> None:
    """Without the header of newer clients an entry is a time and a text, its labels all in the stream."""
    with tailing(server, query='{job="web"}', start=now) as client:
        push(server, ({"job": "web"}, [[str(now + 1), "one", {"trace_id": "t1"}]]))
        found = frame(client)

    (one,) = found["streams"]
    assert one["stream"] == {"job": "web", "service": "web", "trace_id": "t1"}
    assert one["values"] == [[str(now + 1), "one"]]
    assert "encodingFlags" not in found


@pytest.mark.feature("L6")
def test_late_lines_are_put_in_order_by_a_delay(server: Any, clock: ManualClock, now: int) -> None:
    """With `delay_for` the lines of some seconds are sent in the order of time."""
    with tailing(server, query='{job="web"}', start=now, delay_for=5) as client:
        push(server, ({"job": "web"}, [[str(now + 9_000_000), "second"]]))
        push(server, ({"job": "web"}, [[str(now + 5_000_000), "first"]]))
        # Both have been handed over once the hub has seen a line that came after them.
        with tailing(server, query='{job="mark"}', start=now) as other:
            push(server, ({"job": "mark"}, [[str(now + 1), "mark"]]))
            assert lines(frame(other)) == ["mark"]
        found = lines(wait_until(lambda: _after_a_while(clock, client), WAIT_S, "the lines came"))
    assert found == ["first", "second"]


def _after_a_while(clock: ManualClock, client: ClientConnection) -> dict[str, Any] | None:
    # The tail may go to sleep only after the clock was moved, so it is moved until a frame comes.
    clock.advance(5)
    try:
        return dict(json.loads(client.recv(0.5)))
    except TimeoutError:
        return None


@pytest.mark.feature("L6")
def test_mistakes_are_told_before_the_upgrade_in_lokis_words(server: Any) -> None:
    """A refused question is 400 and text, with or without a WebSocket; another path is 404."""
    assert refused(server, query='{job="web"} |= ')[0] == 400
    assert refused(server, query='rate({job="web"}[1m])') == (400, "only a log query is allowed here")
    assert refused(server, query='{job="web"}', delay_for=6) == (400, "delay_for can't be greater than 5")
    assert refused(server, query='{job="web"}', limit=0) == (400, "limit must be a positive value")
    assert "invalid syntax" in refused(server, query='{job="web"}', start="soon")[1]
    assert refused(server, query='{job="web"}', delay_for="x")[1].startswith("strconv.ParseUint: parsing")

    plain = server.client.get("/loki/api/v1/tail", params={"query": '{job="web"}'})
    assert plain.status_code == 400 and plain.text.startswith("Bad Request")
    with (
        pytest.raises(InvalidStatus) as error,
        connect(server.url.replace("http", "ws") + "/loki/api/v1/push"),
    ):
        pass
    assert error.value.response.status_code == 404
    with pytest.raises(InvalidStatus) as error, connect(server.url.replace("http", "ws") + "/logs"):
        pass
    assert error.value.response.status_code in {403, 404}


@pytest.mark.feature("L6")
def test_a_page_of_another_site_may_not_listen(server: Any, now: int) -> None:
    """Browsers let every page open a WebSocket to anywhere; what is not our own page is refused."""
    query = {"query": '{job="web"}'}
    assert refused(server, {"Origin": "https://evil.example"}, **query)[0] == 403
    port = server.url.rpartition(":")[2]
    with (
        socket.create_connection(("127.0.0.1", int(port))) as raw,
        pytest.raises(InvalidStatus) as error,
        connect(f"ws://rebound.example:{port}/loki/api/v1/tail?{urlencode(query)}", sock=raw),
    ):
        pass
    assert error.value.response.status_code == 403
    with tailing(server, {"Origin": server.url}, **query, start=now) as own:
        push(server, ({"job": "web"}, [[str(now + 1), "one"]]))
        assert lines(frame(own)) == ["one"]


@pytest.mark.feature("L6")
def test_who_may_not_read_may_not_listen(closed: Any) -> None:  # noqa: F811 - the fixture
    """On a closed server a tail needs the right to read."""
    assert refused(closed, query='{job="web"}') == (401, "missing or wrong credentials")
    with tailing(closed, _basic("Vera", "correct horse"), query='{job="web"}') as client:
        assert client.response is not None and client.response.status_code == 101


@pytest.mark.feature("L6")
def test_a_slow_reader_is_told_what_it_lost(server: Any, now: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines beyond what waits for a reader are dropped, and their number is said."""
    monkeypatch.setattr(hub, "_QUEUE_ROWS", 10)
    with tailing(server, query='{job="web"}', start=now) as client:
        push(server, ({"job": "web"}, [[str(now + i), f"line {i}"] for i in range(50)]))
        found, lost = 0, 0
        while found + lost < 50:
            one = frame(client)
            found += len(lines(one))
            lost += sum(int(entry["labels"]["lost_lines"]) for entry in one.get("dropped_entries", []))
    assert lost > 0 and found + lost == 50


@pytest.mark.feature("L6")
def test_the_servers_end_is_the_tails_end(start: Callable[..., Any], now: int) -> None:
    """A stopping server closes its tails; a reader that leaves is forgotten."""
    server = start()
    gauge = "mamimon_log_tail_watchers 0.0"
    with tailing(server, query='{job="web"}', start=now):
        wait_until(lambda: "mamimon_log_tail_watchers 1.0" in server.client.get("/metrics").text, WAIT_S)
    wait_until(lambda: gauge in server.client.get("/metrics").text, WAIT_S, "the reader is forgotten")

    with tailing(server, query='{job="web"}', start=now) as client:
        wait_until(lambda: "mamimon_log_tail_watchers 1.0" in server.client.get("/metrics").text, WAIT_S)
        server.stop()
        with pytest.raises(ConnectionClosed) as ended:
            client.recv(WAIT_S)
    assert ended.value.rcvd is not None and ended.value.rcvd.code in {1001, 1012}
