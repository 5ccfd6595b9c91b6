"""GELF by UDP, TCP and HTTP: pygelf, graypy, and messages that are wrong."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any

import graypy
import pygelf
import pytest

from mamimon.clock import ManualClock
from mamimon.logs.wire.gelf import Chunks, NulFrames, document
from tests.conftest import wait_until
from tests.logs.test_otlp import search
from tests.logs.test_syslog import arrived, ports

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "1000"))


@pytest.fixture
def listening(start: Callable[..., Any]) -> Any:
    """A server with GELF listeners on free ports."""
    return start(gelf={"udp": "0", "tcp": "0"})


def datagram(server: Any, *parts: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for part in parts:
            sock.sendto(part, ("127.0.0.1", ports(server)["gelf.udp"]))


def chunked(data: bytes, size: int, identity: bytes = b"12345678") -> list[bytes]:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return [b"\x1e\x0f" + identity + bytes([i, len(parts)]) + part for i, part in enumerate(parts)]


@pytest.mark.feature("L5")
@pytest.mark.parametrize("door", ["udp", "udp chunked", "udp plain", "tcp", "http"])
def test_pygelf_delivers(listening: Any, door: str) -> None:
    """pygelf's handlers by UDP (compressed, chunked, plain), TCP and HTTP: level, fields and trace arrive."""
    listening.server.clock.advance(5)
    more: dict[str, Any] = {"_service": "shop", "debug": True, "include_extra_fields": True}
    handler: Any
    if door.startswith("udp"):
        kind = {"compress": door != "udp plain", "chunk_size": 60 if "chunked" in door else 1300}
        handler = pygelf.GelfUdpHandler("127.0.0.1", ports(listening)["gelf.udp"], **kind, **more)
    elif door == "tcp":
        handler = pygelf.GelfTcpHandler("127.0.0.1", ports(listening)["gelf.tcp"], **more)
    else:
        host, port = listening.url.removeprefix("http://").split(":")
        handler = pygelf.GelfHttpHandler(host, int(port), path="/gelf", compress=True, **more)
    log = logging.getLogger(f"gelf.{door}")
    log.propagate = False
    log.addHandler(handler)
    try:
        raise ValueError("şifre")
    except ValueError:
        log.exception("order %s failed", 7, extra={"order_id": 7})
    handler.close()
    log.removeHandler(handler)
    line = wait_until(lambda: search(listening, "", dataset="shop"))[0]
    assert line["message"] == "order 7 failed"
    assert (line["level"], line["service"], line["order_id"]) == ("ERROR", "shop", 7)
    assert line["logger_name" if "logger_name" in line else "logger"] == log.name
    assert "ValueError: şifre" in line["full_message"]
    assert line["host"]


@pytest.mark.feature("L5")
@pytest.mark.parametrize("door", ["udp", "tcp", "http"])
def test_graypy_delivers(listening: Any, door: str) -> None:
    """graypy's handlers by UDP, TCP and HTTP."""
    listening.server.clock.advance(5)
    if door == "http":
        host, port = listening.url.removeprefix("http://").split(":")
        handler: Any = graypy.GELFHTTPHandler(host, int(port), facility="till")
    else:
        kind = graypy.GELFUDPHandler if door == "udp" else graypy.GELFTCPHandler
        handler = kind("127.0.0.1", ports(listening)[f"gelf.{door}"], facility="till")
    log = logging.getLogger(f"gray.{door}")
    log.propagate = False
    log.addHandler(handler)
    log.warning("slow %s", "kasa", extra={"took": 1.5})
    handler.close()
    log.removeHandler(handler)
    line = arrived(listening, 1, dataset="gelf")[0]
    assert (line["level"], line["message"], line["took"]) == ("WARNING", "slow kasa", 1.5)
    assert "till" in {line.get("logger"), line.get("facility")}


@pytest.mark.feature("L5")
def test_messages_are_read_as_the_specification_says(listening: Any, clock: Any) -> None:
    """Chunks in any order, gzip and zlib, the time's fraction, additional fields and the deprecated ones."""
    body = {
        "version": "1.1", "host": "web-1", "short_message": "hello", "full_message": "hello\nworld",
        "timestamp": clock.now() + 0.25, "level": 4, "_user_id": 9001, "_service": "api", "line": 356,
        "_level": "mine", "file": "a.c",
    }  # fmt: skip
    raw = json.dumps(body).encode()
    for data in (raw, zlib.compress(raw), gzip.compress(raw)):
        parts = chunked(data, 50, os.urandom(8))
        datagram(listening, *reversed(parts), parts[0])
    lines = arrived(listening, 3, dataset="api")
    for line in lines:
        assert line["@timestamp"].endswith(".250Z")
        assert (line["level"], line["user_id"], line["line"]) == ("WARNING", 9001, 356)
        assert line["attributes"] == {"level": "mine"}
        assert line["full_message"] == "hello\nworld"


@pytest.mark.feature("L5")
def test_what_is_no_gelf_is_kept_or_refused(listening: Any, clock: Any) -> None:
    """By UDP and TCP it becomes a flagged line, broken compression is counted, HTTP answers 400."""
    datagram(
        listening, b"plain", b'{"host":"a"}', b'{"short_message":"old","timestamp":5}', b"\x1f\x8bxx", b"\0\n"
    )
    datagram(listening, b"\x1e\x0f123", b"\x1e\x0f12345678\x05\x02x", b"\x1e\x0f12345678\x00\xffx")
    with socket.create_connection(("127.0.0.1", ports(listening)["gelf.tcp"])) as sock:
        sock.sendall(b'{"short_message":"one"}\0\0[1]\0{"short_message":"last"}')
    lines = {line["message"]: line for line in arrived(listening, 6, dataset="gelf")}
    assert lines["plain"]["gelf_error"].startswith("not JSON")
    assert lines['{"host":"a"}']["gelf_error"] == "short_message is missing"
    assert "older than" in lines["old"]["gelf_error"]
    assert lines["[1]"]["gelf_error"] == "not a JSON object"
    assert {"one", "last"} <= set(lines)
    metrics = listening.client.get("/metrics").text
    assert 'mamimon_log_messages_dropped_total{door="gelf",reason="not read",transport="udp"} 4.0' in metrics

    post = listening.client.post
    assert post("/gelf", json={"short_message": "ok"}).status_code == 202
    answer = post("/gelf", content=b"nope")
    assert (answer.status_code, answer.json()["type"]) == (400, "ApiError")
    both = b'{"short_message":"first"}\n{"x":1}\n{"short_message":"third"}\n'
    answer = post("/gelf", content=both)
    assert answer.status_code == 400
    assert "1 messages refused, 2 kept" in answer.json()["message"]
    assert len(search(listening, "message:(first OR third)", dataset="gelf")) == 2
    assert listening.client.get("/gelf").status_code == 405
    assert post("/gelf", content=b"x", headers={"Content-Encoding": "gzip"}).status_code == 400
    listening.server.house.rooms[1].ingest._rows = 10**9
    answer = post("/gelf", json={"short_message": "full"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    listening.server.house.rooms[1].ingest._rows = 0


@pytest.mark.feature("L5")
def test_chunks_that_never_end_cost_little() -> None:
    """Unfinished messages are forgotten after five seconds, and before that when there are too many."""
    clock = ManualClock()
    chunks = Chunks(clock, 1 << 20)
    for i in range(5000):
        assert chunks.take(b"\x1e\x0f" + struct.pack(">Q", i) + b"\x00\x02" + b"x" * 1000, "p") is None
    assert len(chunks._pending) <= 1000
    for i in range(40_000):
        chunks.take(b"\x1e\x0f" + struct.pack(">Q", i) + b"\x00\x02" + b"x" * 60_000, "p")
        assert chunks._bytes <= 17 * 1024 * 1024
    first, second = chunked(b'{"short_message":"late"}', 12)
    chunks.take(first, "p")
    clock.advance(6)
    assert chunks.take(second, "p") is None
    assert chunks.take(first, "other") is None
    assert chunks.take(first, "p") == b'{"short_message":"late"}'
    with pytest.raises(ValueError, match="larger than"):
        chunks.take(gzip.compress(b"0" * (8 << 20)), "p")


@pytest.mark.feature("L5")
def test_fuzzed_messages_are_read_or_refused() -> None:
    """Mutated messages, chunks and streams give a document or a ValueError, nothing else."""
    dice = random.Random(6)
    seed = b'{"version":"1.1","host":"h","short_message":"s","timestamp":1e9,"level":3,"_a":[1],"_b":{"c":2}}'
    seeds = [seed, zlib.compress(seed), gzip.compress(seed), *chunked(seed, 30)]
    clock = ManualClock()
    chunks = Chunks(clock, 1 << 16)
    for _ in range(FUZZ):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(0, 4)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 3))
        frames = NulFrames(100)
        found = frames.feed(bytes(data)) + frames.feed(bytes(data)) + frames.flush()
        assert all(len(one) <= 100 for one in found)
        try:
            message = chunks.take(bytes(data), "p")
            if message is not None:
                assert isinstance(document(message)["message"], str)
        except ValueError as error:
            assert str(error)
