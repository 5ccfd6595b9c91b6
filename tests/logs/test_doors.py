"""All doors for logs at once: who may use them, odd requests, other sites' pages, and the loop's freedom."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from typing import Any

import cramjam
import httpx
import pytest

from mamimon.accounts.access import requirement
from mamimon.accounts.model import _BY_ROLE, _BY_SCOPE
from tests.conftest import wait_until
from tests.logs.test_otlp import PROTO, logs_request
from tests.logs.test_syslog import ports

INGEST = ("/v1/logs", "/loki/api/v1/push", "/gelf", "/api/mamimon/logs", "/es/_bulk", "/es/logs-a/_doc")
READ = (
    "/loki/api/v1/query", "/loki/api/v1/query_range", "/loki/api/v1/labels", "/loki/api/v1/series",
    "/loki/api/v1/label/job/values", "/loki/api/v1/index/stats",
)  # fmt: skip
BODIES = (
    b"", b"{", b"[]", b"null", b"0", b'"x"', b"{}", b"\x00" * 64, b"\xff\xfe", b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\n\n\n", b"a=b&c=d", gzip.compress(b"{}"), gzip.compress(b"{}")[:-4], zlib.compress(b"{}"),
    bytes(cramjam.snappy.compress_raw(b"\x0a\x00")), b"\xff\xff\xff\xff\x0f" + b"x" * 10,
    b"\x0a\xff\xff\xff\xff\x7f",
    b'{"resourceLogs":[null]}', b'{"streams":[null]}', b'{"short_message":{}}', b'{"@timestamp":{}}',
    b'{"index":{}}\n{"a":1}\n',
)  # fmt: skip
TYPES = ("", "application/json", "application/x-protobuf", "text/plain", "application/json; charset=\xff")
ENCODINGS = ("", "gzip", "snappy", "deflate", "zstd", "br", "gzip, gzip, gzip, gzip", "nonsense")


def _person(server: Any, name: str, role: str, auth: Any = None) -> tuple[str, str]:
    body = {"name": name, "role": role, "password": "correct horse"}
    assert server.client.post("/api/mamimon/users", json=body, auth=auth).status_code == 201
    return name, "correct horse"


@pytest.mark.feature("S1")
def test_doors_let_in_exactly_those_they_should(server: Any) -> None:
    """Nobody, each role and each token's scope at each door: writing needs ingest, asking needs read."""
    admin = _person(server, "root", "admin")
    people: dict[str, tuple[Any, frozenset[str]]] = {"nobody": (None, frozenset())}
    for role in ("viewer", "editor"):
        people[role] = (_person(server, role, role, admin), _BY_ROLE[role])
    people["admin"] = (admin, _BY_ROLE["admin"])
    for scope in ("ingest", "read", "write"):
        made = server.client.post("/api/mamimon/tokens", json={"name": scope, "scope": scope}, auth=admin)
        people[f"token {scope}"] = (f"Bearer {made.json()['token']}", _BY_SCOPE[scope])
    wrong = []
    for needed, paths in (("ingest", INGEST), ("read", READ)):
        for path in paths:
            assert requirement("POST", path) == needed
            for who, (auth, allowed) in people.items():
                headers = {"Authorization": auth} if isinstance(auth, str) else {}
                basic = auth if isinstance(auth, tuple) else None
                answer = server.client.post(path, content=b"{}", headers=headers, auth=basic)
                refused = answer.status_code in {401, 403}
                if refused == (needed in allowed) or answer.status_code >= 500:
                    wrong.append((path, who, answer.status_code))
    assert not wrong
    # Basic and ApiKey carry the same token, for shippers that know no bearer.
    key = str(people["token ingest"][0]).removeprefix("Bearer ")
    for header in (f"ApiKey {key}", f"Bearer {key}"):
        answer = server.client.post("/api/mamimon/logs", content=b"{}", headers={"Authorization": header})
        assert answer.status_code == 200


@pytest.mark.feature("S3")
def test_odd_requests_are_never_our_mistake(server: Any) -> None:
    """Every body with every type and every encoding, in every method: an answer below 500."""
    assert not [found for path in (*INGEST, *READ) for found in _mistakes(server, path)]


def _mistakes(server: Any, path: str) -> list[Any]:
    wrong: list[Any] = []
    asked = [(kind, "") for kind in TYPES] + [(TYPES[1], encoding) for encoding in ENCODINGS[1:]]
    for body in BODIES:
        for kind, encoding in asked if path in INGEST else asked[:1]:
            headers = {"Content-Type": kind.encode("latin-1"), "Content-Encoding": encoding.encode()}
            sent = {name: value for name, value in headers.items() if value}
            answer = server.client.post(path, content=body, headers=sent)
            if answer.status_code >= 500:
                wrong.append((path, body[:20], kind, encoding, answer.status_code, answer.text[:80]))
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = server.client.request(method, path, params={"query": "\x00{", "start": "x", "limit": "-1"})
        if answer.status_code >= 500:
            wrong.append((path, method, answer.status_code))
    return wrong


@pytest.mark.feature("S3")
def test_other_sites_pages_may_not_write(server: Any) -> None:
    """A browser on another site cannot put lines into the store, by form or by fetch."""
    for path in INGEST:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = server.client.post(
                path, content=b"{}", headers={"Content-Type": "text/plain", **headers}
            )
            assert answer.status_code == 403, path
    assert server.client.post("/gelf", content=b"{}", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.feature("S3")
def test_large_requests_do_not_hold_up_others(server: Any, clock: Any) -> None:
    """While 30,000 OTLP records are decoded and stored, other requests are answered between."""
    body = logs_request(*(f"record {i} of many" for i in range(30_000)), time_ns=int(clock.now() * 1e9))
    raw = body.SerializeToString()
    took: list[float] = []

    def send() -> None:
        began = time.monotonic()
        answer = httpx.post(f"{server.url}/v1/logs", content=raw, headers=PROTO, timeout=120)
        took.append(time.monotonic() - began)
        assert answer.status_code == 200

    thread = threading.Thread(target=send)
    thread.start()
    waits: list[float] = []
    while thread.is_alive():
        began = time.monotonic()
        assert server.client.get("/healthz").status_code == 200
        waits.append(time.monotonic() - began)
    thread.join()
    assert took
    assert len(waits) > 3
    assert max(waits) < took[0] / 2


@pytest.mark.feature("S3")
def test_slow_and_silent_connections_are_bounded(start: Any) -> None:
    """Connections beyond the limit are closed at once; half a message holds nothing up."""
    server = start(syslog={"tcp": "0", "max_connections": 3}, gelf={"tcp": "0"})
    address = ("127.0.0.1", ports(server)["syslog.tcp"])
    held = [socket.create_connection(address) for _ in range(3)]
    for sock in held:
        sock.sendall(b"<14>half")
    wait_until(lambda: '{door="syslog",transport="tcp"} 3.0' in server.client.get("/metrics").text)
    with socket.create_connection(address) as more:
        more.settimeout(5)
        assert more.recv(1) == b""
    held.pop().close()
    wait_until(lambda: '{door="syslog",transport="tcp"} 2.0' in server.client.get("/metrics").text)
    with socket.create_connection(address) as again:
        again.sendall(b"<14>whole\n")
        wait_until(
            lambda: "whole" in server.client.get("/api/mamimon/logs/search", params={"q": "whole"}).text
        )
    for sock in held:
        sock.close()
