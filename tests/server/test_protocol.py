"""HTTP as clients on a wire see it: pieces, pipelines, ends of connections, and answers given at once."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import wait_until

FORM = b"query=vector(1)&time=1600000000"
ASKED = (
    b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1600000000,"1"]}]}}'
)


def post(body: bytes = FORM, more: bytes = b"", path: bytes = b"/api/v1/query") -> bytes:
    """A question as a form."""
    return (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n%b\r\n%b" % (path, len(body), more, body)
    )


class Wire:
    """A raw connection."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname and place.port
        self.sock = socket.create_connection((place.hostname, place.port), timeout=60)
        self._file = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send it."""
        self.sock.sendall(data)

    def answer(self, *, head_only: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one answer: status, headers, body."""
        status = int(self._file.readline().split()[1])
        if status == 100:
            assert self._file.readline() == b"\r\n"
            return status, {}, b""
        headers = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        return status, headers, b"" if head_only else self._file.read(int(headers[b"content-length"]))

    def ended(self) -> bool:
        """Whether the server closed it; waits for that."""
        return self._file.read(1) == b""


@contextmanager
def connected(server: Any) -> Iterator[Wire]:
    """A connection to a server that knows PromQL already: the first question imports it."""
    server.client.post("/api/v1/query", data={"query": "1"}).raise_for_status()
    wire = Wire(server.url)
    try:
        yield wire
    finally:
        wire.sock.close()


def counted(server: Any) -> float:
    """How many questions the server's own metrics have."""
    text = server.client.get("/metrics").text
    found = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found if 'path="/api/v1/query"' in line)


@pytest.mark.feature("M4")
def test_a_question_in_any_pieces_is_the_same_question(server: Any) -> None:
    """Whole, cut anywhere, several at once, long: each is answered once, in its turn, and counted."""
    long = b"query=vector(1)&time=1600000000&ignored=" + b"x" * 100_000
    with connected(server) as wire:
        before = counted(server)
        wire.send(post())
        whole = wire.answer()
        assert (whole[0], whole[2]) == (200, ASKED)
        assert whole[1][b"content-type"] == b"application/json"
        assert {b"date", b"x-content-type-options", b"content-security-policy"} <= set(whole[1])
        raw = post()
        for cut in (10, 60, raw.index(b"query=") + 3, len(raw) - 1):
            wire.send(raw[:cut])
            wait_until(lambda: server.client.get("/healthz").status_code == 200)
            wire.send(raw[cut:])
            assert wire.answer()[2] == ASKED
        # The second is no small question and goes another way; the order stays.
        slow = post(b"query=count({__name__=~'.*'})&time=1600000000")
        wire.send(post() + slow + post() + post(long) + post(path=b"/api/v1/query?time=1600000000"))
        assert [wire.answer()[2] == ASKED for _ in range(5)] == [True, False, True, True, True]
        # So many at once that most are not answered before others had their turn.
        wire.send(post() * 100)
        assert [wire.answer()[2] for _ in range(100)] == [ASKED] * 100
        assert counted(server) == before + 110


@pytest.mark.feature("M4")
def test_other_methods_and_versions_are_served_too(server: Any) -> None:
    """GET, HEAD, HTTP/1.0, 100-continue and `Connection: close`."""
    with connected(server) as wire:
        wire.send(b"GET /api/v1/query?query=vector(1)&time=1600000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer()[2] == ASKED
        wire.send(b"HEAD /static/base.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer(head_only=True)[0] == 200
        wire.send(b"DELETE /api/v1/query HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer()[0] == 405
        raw = post(more=b"Expect: 100-continue\r\n")
        head, body = raw.split(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n")
        assert wire.answer()[0] == 100
        wire.send(body)
        assert wire.answer()[2] == ASKED
        wire.send(post(more=b"Connection: close\r\n"))
        status, headers, found = wire.answer()
        assert (status, headers[b"connection"], found) == (200, b"close", ASKED)
        assert wire.ended()
    with connected(server) as wire:
        wire.send(b"GET /api/v1/query?query=vector(1)&time=1600000000 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert wire.answer()[2] == ASKED
        assert wire.ended()


@pytest.mark.feature("M4")
def test_mistakes_are_told_in_the_same_words_at_once(server: Any) -> None:
    """What is wrong with a small question has status, dialect and words of the usual way."""
    wrong = [
        {"query": "1", "time": "soon"},
        {"query": "1", "limit": "-1"},
        {"query": "1", "timeout": "x"},
        {"query": "1", "lookback_delta": "x"},
        {"query": "vector("},
        {"query": 'label_replace(vector(1), "", "", "", "")'},
    ]
    with connected(server):
        for form in wrong:
            at_once = server.client.post("/api/v1/query", data=form)
            # Under a project's name nobody is asked at once.
            usual = server.client.post("/p/default/api/v1/query", data=form)
            assert at_once.status_code >= 400
            assert (at_once.status_code, at_once.json()) == (usual.status_code, usual.json())


@pytest.mark.feature("S3")
def test_what_is_refused_is_refused_at_once_too(start: Callable[..., Any]) -> None:
    """Foreign hosts, other sites, strangers and tokens without the right get nothing; a right token does."""
    one = start()
    ada = ("ada", "correct horse battery")
    person = {"name": ada[0], "password": ada[1], "role": "admin"}
    assert one.client.post("/api/mamimon/users", json=person).status_code < 300
    form = {"query": "vector(1)", "time": "1600000000"}

    def asked(**more: Any) -> httpx.Response:
        return httpx.post(f"{one.url}/api/v1/query", data=form, timeout=60, **more)

    assert asked(auth=ada).content == ASKED
    made = {
        scope: one.client.post(
            "/api/mamimon/tokens", json={"name": scope, "scope": scope}, auth=ada
        ).json()["token"]
        for scope in ("read", "ingest")
    }  # fmt: skip
    right = {"Authorization": f"Bearer {made['read']}"}
    assert asked(headers=right).content == ASKED
    assert asked(headers={**right, "Host": "evil.example"}).status_code == 403
    assert asked(headers={**right, "Origin": "http://evil.example"}).status_code == 403
    assert asked(headers={"Authorization": f"Bearer {made['ingest']}"}).status_code == 403
    assert asked(headers={"Authorization": "Bearer nobody"}).status_code == 401
    refused = asked()
    assert (refused.status_code, refused.json()["errorType"]) == (401, "unauthorized")


@pytest.mark.feature("S3")
def test_clients_that_do_not_go_on_are_let_go(start: Callable[..., Any]) -> None:
    """Half a head, half a body: the connection ends, after an answer where one is possible."""
    one = start(server={"body_deadline_s": 3.0})
    whole = post()
    with connected(one) as head, connected(one) as question, connected(one) as after:
        head.send(whole[:20])
        question.send(whole[:-3])
        after.send(whole)
        assert after.answer()[2] == ASKED
        assert head.ended()
        assert question.answer()[0] == 400
        assert question.ended()
        after.send(whole)
        assert after.answer()[2] == ASKED
    assert one.client.get("/healthz").status_code == 200
