"""Hostile bodies at Sentry's doors."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.errors.test_doors import dsn_of, envelope, event, item

STRANGE = [
    None,
    True,
    -1,
    1e308,
    "",
    "x" * 500,
    [],
    [None],
    [[]],
    {},
    {"values": 7},
    [{"a": [1]}],
    "\ud800",
    2**70,
]


def twisted(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """The value with some of its parts replaced by strange ones."""
    if rng.random() < 0.08:
        return rng.choice(STRANGE)
    if isinstance(value, dict):
        return {key: twisted(one, rng, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [twisted(one, rng, depth + 1) for one in value]
    return value


@pytest.mark.feature("E1")
def test_twisted_events_and_broken_bodies_never_break_the_server(server: Any, material: Path) -> None:
    """Events with fields of any type are 200 or 4xx, cut and flipped bodies too, and every page opens."""
    rng = random.Random(7)
    key = dsn_of(server)[1]
    url = f"/api/1/envelope/?sentry_key={key}"
    samples = [
        path.read_bytes()
        for path in sorted((material / "sentry" / "node").glob("*.body"))
        if path.stat().st_size < 20_000
    ]
    plain = [json.loads(body.split(b"\n")[2]) for body in samples if b'"type":"event"' in body[:600]]
    assert len(plain) > 10
    plain.append(
        event(user={"id": 1}, tags=[["a", "b"]], request={"url": "http://x/", "headers": [["a", "b"]]})
    )
    statuses = set()
    for number in range(200):
        if number % 2:
            payload = twisted(rng.choice(plain), rng)
            body = envelope(item(payload if isinstance(payload, dict) else {"message": payload}))
        else:
            raw = bytearray(rng.choice(samples))
            for _ in range(rng.randint(1, 6)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            body = bytes(raw[: rng.randint(1, len(raw))])
        statuses.add(server.client.post(url, content=body).status_code)

    assert statuses <= {200, 400, 401, 403, 413}, statuses
    found = server.client.get("/api/mamimon/errors/issues?limit=500").json()["issues"]
    assert len(found) > 10
    for one in found:
        assert server.client.get(one["url"]).status_code == 200
    assert server.client.get("/errors?status=all").status_code == 200
