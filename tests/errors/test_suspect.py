"""The look at an event's bytes that spares most events the scrubbing misses nothing."""

from __future__ import annotations

import copy
import gzip
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mamimon.errors.normalise import normalise
from mamimon.errors.scrub import scrub
from mamimon.errors.suspect import suspicious
from mamimon.errors.wire.envelope import decode_json
from mamimon.errors.wire.payload import decode_event

CORPUS = Path(__file__).parent / "corpus"
NOW = 1_790_000_000.0
SECRETS = (
    "password=hunter2!", "pwd: hunter2!", 'api_key = "hunter2!"', "{'secret': 'hunter2!'}",
    "pass\n=\thunter2!", "Authorization: Bearer abcdefgh12", "basic YWRhOnBhc3N3b3Jk",
    "x eyJhbGciOi.eyJzdWIiO.abc",
    "otp=123456", "postgres://shop:hunter2@db/shop", "redis://:hunter2@cache", "sk_live_abc123",
    "sk-abcdefghijklmnop1234",
    "ghp_abcdefghijklmnop1", "xoxb-1234567890-a", "AKIAABCDEFGHIJKLMNOP", "-----BEGIN PRIVATE KEY-----\nabc",
    "4111 1111 1111 1111", "4111-1111-1111-1111", "DSN=abc12345", "sessionid=abcdef1", "x_token => abcdef12",
    "hooks.slack.com/services/T1/B2/c3", "glpat-abcdefghijklmnopq", "SG.abcdefghijklmnopq.abcdefghijklmnopq",
    "npm_" + "a" * 36, "pypi-" + "a" * 40, "AIza" + "b" * 35, "ssn: 123-45-6789", "cvv=1234",
)  # fmt: skip
NAMES = (
    "password", "db_password", "api_key", "X-Api-Key", "token", "csrf-token", "sessionToken", "auth",
    "my.jwt", "Set-Cookie", "card_number", "client secret", "sid", "dsn", "passphrase_old", "OTP",
    "pin-code", "ssn",
)  # fmt: skip


def corpus() -> list[dict[str, Any]]:
    """Events of real clients."""
    return [
        json.loads(line)["event"]
        for path in sorted(CORPUS.glob("*.json.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def changed(event: dict[str, Any]) -> bool:
    """Whether scrubbing would change anything of an event but what it always does."""
    one = normalise(copy.deepcopy(event), 1, NOW)
    request = one.request
    if request is not None:
        request.cookies, request.environment = {}, {}
    if one.user is not None:
        one.user.ip = ""
    before = msgspec.json.encode(one)
    return msgspec.json.encode(scrub(one)) != before


@pytest.mark.feature("E1")
def test_what_is_not_suspected_has_nothing_to_scrub() -> None:
    """Real events, as they are and with a secret put somewhere: whatever scrubbing changes is suspected."""
    rng = random.Random(5)
    spared = hidden = 0
    for event in corpus():
        planted = plant(event, rng)
        for one in (event, planted):
            ascii_only = rng.random() < 0.5
            body = json.dumps(one, ensure_ascii=ascii_only).encode()
            if suspicious(body):
                continue
            spared += 1
            assert not changed(decode_json(body)), body[:3000]
        hidden += changed(planted)

    assert spared > 50
    assert hidden > 500


def errors_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The exceptions of an event, in either spelling."""
    found = event.get("exception") or []
    return found["values"] if isinstance(found, dict) else found


def plant(event: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A copy with a secret in one of the places that there are."""
    one = copy.deepcopy(event)
    secret, name = rng.choice(SECRETS), rng.choice(NAMES)
    frames = [
        frame for error in errors_of(one) for frame in (error.get("stacktrace") or {}).get("frames") or []
    ]
    places: list[dict[str, Any]] = [
        {"extra": {"note": secret}},
        {"extra": {"deep": [{"a": {name: "hunter2-abc"}}]}},
        {"extra": {"pair": [name, "hunter2-abc"]}},
        {"tags": [[name, "hunter2-abc"]]},
        {"contexts": {"app": {"text": f"words {secret} words"}}},
        {"message": secret},
        {"logentry": {"message": "%s=%s", "params": ["password", "hunter2-abc"]}},
        {"breadcrumbs": [{"message": secret, "data": {name: "hunter2-abc"}}]},
        {
            "request": {
                "url": f"https://shop.example/?{name}=hunter2-abc",
                "query_string": {name: "hunter2-a"},
            }
        },
        {"extra": {"number": 4111111111111111}},
        {"transaction": secret},
    ]
    one |= rng.choice(places)
    if frames and rng.random() < 0.5:
        frame = rng.choice(frames)
        frame |= rng.choice(
            [{"context_line": secret}, {"vars": {name: "'hunter2-abc'"}}, {"pre_context": ["", secret]}]
        )
    return one


def test_a_plain_event_is_spared() -> None:
    """Ordinary words, numbers and code are not suspected."""
    assert not suspicious(b'{"message":"order 17 failed","extra":{"page":2,"keys":["a"],"passed":true}}')


@pytest.mark.parametrize("body", [b'{"a":"p\\u0061ssword"}', b'{"a":"http:\\/\\/x"}', '{"a":"ß"}'.encode()])
def test_what_cannot_be_read_as_it_is_is_suspected(body: bytes) -> None:
    """Escaped characters could hide a secret from a look at the bytes."""
    assert suspicious(body)


@pytest.mark.feature("E1")
def test_an_event_is_the_same_read_with_and_without_types() -> None:
    """The quick way to read an event gives what the slow one does, for every event of the corpus."""
    quick = 0
    for event in corpus():
        body = json.dumps({**event, "event_id": "a" * 32, "unheard_of": {"a": 1}}).encode()
        fast, slow = decode_event(body), decode_json(body)
        quick += "unheard_of" not in fast
        one, other = (normalise(raw, 1, NOW, NOW) for raw in (fast, slow))
        assert msgspec.json.encode(one) == msgspec.json.encode(other)

    assert quick > 600
