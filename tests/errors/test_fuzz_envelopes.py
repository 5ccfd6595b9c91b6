"""Malformed envelopes at Sentry's door: 4xx, never 5xx, nothing stored (MAMIMON_FUZZ=10000 for many)."""

from __future__ import annotations

import gzip
import json
import os
import random
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard

from tests.errors.test_doors import dsn_of, envelope, event, issues, item

COUNT = int(os.environ.get("MAMIMON_FUZZ", "600"))
SEED = int(os.environ.get("MAMIMON_SEED", "11"))
KINDS = ("event", "session", "sessions", "check_in", "transaction", "span", "user_report", "client_report")
STRANGE = (
    b"null",
    b"true",
    b"7",
    b'"text"',
    b"[]",
    b"[{}]",
    b"",
    b"NaN",
    b"{",
    b"}",
    b"\x00",
    b"\xff\xfe{}",
    b"{'a':1}",
)


def noise(rng: random.Random) -> bytes:
    """Bytes that are no JSON object."""
    size = rng.choice((0, 1, 10, 1000, 100_000))
    return rng.choice((b"", b"[", b"\n", b"<?xml", b"\x1f\x8b")) + rng.randbytes(size)


def no_header(rng: random.Random) -> bytes:
    """The first line is not an object."""
    first = rng.choice((*STRANGE, noise(rng).replace(b"{", b"(")))
    return first + b"\n" + envelope(item(event())).split(b"\n", 1)[1]


def no_payload(rng: random.Random) -> bytes:
    """An item that must be an object holds something else."""
    kind = rng.choice(KINDS)
    return b'{}\n{"type":"%s"}\n' % kind.encode() + rng.choice(STRANGE).replace(b"\n", b"")


def wrong_length(rng: random.Random) -> bytes:
    """A length beyond the end, or one that cuts the payload."""
    payload = json.dumps(event()).encode()
    length = rng.choice((len(payload) + rng.randint(1, 10**9), rng.randint(1, len(payload) - 1)))
    return b'{}\n{"type":"event","length":%d}\n' % length + payload


def deep(rng: random.Random) -> bytes:
    """Nested deeper than any parser goes."""
    many = rng.choice((2_000, 50_000))
    return b'{}\n{"type":"event"}\n{"extra":' + rng.choice((b"[", b'{"a":')) * many


def cut(rng: random.Random) -> bytes:
    """An event's payload that stops in the middle, without a length."""
    payload = json.dumps(event()).encode()
    return b'{}\n{"type":"event"}\n' + payload[: rng.randint(0, len(payload) - 1)]


def large(rng: random.Random) -> bytes:
    """An event over its limit, with and without a length."""
    payload = b'{"message":"' + b"x" * 1_100_000 + b'"}'
    length = b',"length":%d' % len(payload) if rng.random() < 0.5 else b""
    return b'{}\n{"type":"event"' + length + b"}\n" + payload


def broken_item(rng: random.Random) -> bytes:
    """Item headers that are no objects, and nothing after them."""
    return b"{}\n" + b"\n".join(rng.choice(STRANGE) or b"x" for _ in range(rng.randint(1, 200))) + b"\nx"


def bad_item(rng: random.Random) -> bytes:
    """An object in which what an item needs is missing or of another type."""
    values: tuple[Any, ...] = (None, True, -1, 1e308, "", "x" * 500, [], {}, [[]], "\ud800", 2**70)
    kind = rng.choice(("session", "sessions", "check_in", "transaction", "span", "user_report"))
    keys = (
        "sid",
        "attrs",
        "aggregates",
        "monitor_slug",
        "status",
        "start_timestamp",
        "comments",
        "items",
        "timestamp",
    )
    payload = {key: rng.choice(values) for key in rng.sample(keys, rng.randint(0, 4))}
    if kind == "user_report":
        payload.pop("comments", None)
    if kind in {"transaction", "span"}:
        payload.pop("start_timestamp", None)
    return b'{}\n{"type":"%s"}\n' % kind.encode() + json.dumps(payload).encode()


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (
    noise, no_header, no_payload, wrong_length, deep, cut, large, broken_item, bad_item,
)  # fmt: skip
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": lambda body: zstandard.compress(body, 1),
}


@pytest.mark.feature("E1")
def test_malformed_envelopes_are_4xx(server: Any) -> None:
    """Every kind of broken envelope, plain, packed and packed wrongly, is refused in words."""
    rng = random.Random(SEED)
    url = f"/api/1/envelope/?sentry_key={dsn_of(server)[1]}"
    statuses: dict[int, int] = {}
    for number in range(COUNT):
        make = MAKERS[number % len(MAKERS)]
        body, headers = make(rng), {}
        if rng.random() < 0.3:
            name = rng.choice([*ENCODINGS])
            headers = {"Content-Encoding": name}
            how = rng.random()
            if how < 0.6:
                body = ENCODINGS[name](body)
            elif how < 0.8:
                packed = ENCODINGS[name](body)
                body = packed[: len(packed) // 2]
        answer = server.client.post(url, content=body, headers=headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert 400 <= answer.status_code < 500, (
            SEED,
            number,
            make.__name__,
            headers,
            body[:300],
            answer.text,
        )
        assert answer.json()["detail"]
        assert answer.headers["x-sentry-error"]

    assert issues(server) == []
    assert set(statuses) <= {400, 413}
    assert server.client.post(url, content=envelope(item(event()))).status_code == 200
