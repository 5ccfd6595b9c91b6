"""The PostHog-style capture protocol: `/capture/`, `/e/` and `/batch/` bodies to events.

Source: the public API reference of PostHog ("Capture and batch API endpoints") and the requests
of posthog-python and posthog-js: one event, a list of events or a `batch`, as JSON, gzip or
base64 in a form; `distinct_id` at the top or inside `properties`; `sent_at` tells a wrong clock.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs

import msgspec

from mamimon.events.model import Incoming, Refusal
from mamimon.http import decompress
from mamimon.problems import Problem, bad_input
from mamimon.window import instant

MAX_BATCH = 10_000


class _Sent(msgspec.Struct, kw_only=True):
    event: str = ""
    type: str = ""
    event_type: str = ""
    distinct_id: str | int | float | None = None
    user_id: str | int | float | None = None
    properties: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    timestamp: str | float | None = None
    time: str | float | None = None
    uuid: str | None = None


class _Body(msgspec.Struct, kw_only=True):
    batch: list[msgspec.Raw] | None = None
    events: list[msgspec.Raw] | None = None
    sent_at: str | float | None = None


def unpack(body: bytes, encoding: str, content_type: str, compression: str, limit_bytes: int) -> bytes:
    """The JSON text of a request body, whichever way a client packed it."""
    body = decompress(body, encoding, limit_bytes)
    if content_type.startswith("application/x-www-form-urlencoded") or body[:5] == b"data=":
        data = parse_qs(body.decode("latin-1")).get("data", [""])[0]
        try:
            body = base64.b64decode(data.replace(" ", "+"), validate=True)
        except binascii.Error:
            body = data.encode()
    if compression.startswith("gzip") or body[:2] == b"\x1f\x8b":
        body = decompress(body, "gzip", limit_bytes)
    return body


def parse(body: bytes, now: float) -> tuple[list[tuple[int, Incoming]], list[Refusal]]:
    """Events with their places in the batch, and a refusal for each one that cannot be read.

    Raises `BAD_INPUT` only where the body as a whole is not what the protocol says.
    """
    raws, skew = _split(body, now)
    if len(raws) > MAX_BATCH:
        raise bad_input(f"a batch holds at most {MAX_BATCH} events", "send it in parts")
    good: list[tuple[int, Incoming]] = []
    bad: list[Refusal] = []
    for index, raw in enumerate(raws):
        try:
            good.append((index, _event(msgspec.json.decode(raw, type=_Sent), now, skew)))
        except (Problem, msgspec.DecodeError, ValueError, RecursionError) as error:
            bad.append(Refusal(index, str(error)[:200]))
    return good, bad


def _split(body: bytes, now: float) -> tuple[list[msgspec.Raw], float]:
    try:
        if body.lstrip()[:1] == b"[":
            return msgspec.json.decode(body, type=list[msgspec.Raw]), 0.0
        whole = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise bad_input(f"body is not JSON of events: {str(error)[:200]}") from None
    raws = whole.batch if whole.batch is not None else whole.events
    if raws is None:
        raws = [msgspec.Raw(body)]
    return raws, _skew(whole.sent_at, now)


def _skew(sent_at: str | float | None, now: float) -> float:
    """Seconds by which the sender's clock is wrong; a few seconds of network are not."""
    if sent_at is None:
        return 0.0
    try:
        gap = now - _epoch(sent_at, now)
    except Problem:
        return 0.0
    return gap if abs(gap) > 60 else 0.0


def _event(sent: _Sent, now: float, skew: float) -> Incoming:
    name = (sent.event or sent.type or sent.event_type).strip()
    if not name:
        raise ValueError("an event needs a name in `event`")
    properties = sent.properties if sent.properties is not None else sent.metadata or {}
    identity: Any = next(
        (
            one
            for one in (
                sent.distinct_id,
                sent.user_id,
                properties.get("distinct_id"),
                properties.get("user_id"),
            )
            if one not in (None, "")
        ),
        "",
    )
    when = sent.timestamp if sent.timestamp is not None else sent.time
    return Incoming(
        type=name,
        user=str(identity)[:1000],
        properties={key: value for key, value in properties.items() if key != "distinct_id"},
        at=None if when in (None, "") else _epoch(when, now) + skew,
        uuid=(sent.uuid or str(properties.get("$insert_id") or ""))[:200],
    )


def _epoch(value: str | float | None, now: float) -> float:
    if isinstance(value, str):
        return instant(value, now)
    number = float(value or 0)
    return number / 1000 if number > 1e11 else number
