"""Sentry envelopes: a header line, then items of a header line and a payload each.

Format: develop.sentry.dev/sdk/data-model/envelopes. An item with `length` has that many bytes and a
newline or the end after it; one without ends at the next newline. The parser never copies the body;
what cannot be read is left out alone, except that without a usable item header nothing after it can
be found.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from mamimon.problems import bad_input

MAX_ITEMS = 100
MAX_HEADER = 64 * 1024


class Item(msgspec.Struct):
    """One item: its type, header and payload."""

    type: str
    header: dict[str, Any]
    payload: memoryview


class Envelope(msgspec.Struct):
    """A read envelope; `dropped` names each item that could not be read and why."""

    header: dict[str, Any]
    items: list[Item]
    dropped: list[tuple[str, str]]


def parse_envelope(body: bytes) -> Envelope:
    """Read an envelope; raises `BAD_INPUT` only where its first line is not a header."""
    end = body.find(b"\n")
    first = body[: end if end >= 0 else len(body)]
    header = _header(first)
    if header is None:
        raise bad_input("invalid envelope: the first line is not a JSON object")
    envelope = Envelope(header=header, items=[], dropped=[])
    view = memoryview(body)
    at = end + 1 if end >= 0 else len(body)
    while at < len(body):
        if body[at : at + 1] == b"\n":
            at += 1
            continue
        at = _read_item(body, view, at, envelope)
        if len(envelope.items) >= MAX_ITEMS:
            envelope.dropped.append(("unknown", f"more than {MAX_ITEMS} items"))
            break
    return envelope


def _read_item(body: bytes, view: memoryview, at: int, envelope: Envelope) -> int:
    """Read one item at `at`; returns where the next one starts."""
    end = body.find(b"\n", at)
    end = len(body) if end < 0 else end
    header = _header(body[at:end])
    if header is None:
        envelope.dropped.append(("unknown", "an item's header is not a JSON object"))
        # Without its header an item's end is unknown: look for the next line that is a header.
        return _next_header(body, end + 1)
    kind = header.get("type")
    kind = kind if isinstance(kind, str) and kind else "unknown"
    start = min(end + 1, len(body))
    length = header.get("length")
    if isinstance(length, int) and not isinstance(length, bool) and length >= 0:
        stop = start + length
        if stop > len(body):
            envelope.dropped.append((kind, "the payload is shorter than its length says"))
            return len(body)
        if stop < len(body) and body[stop : stop + 1] != b"\n":
            envelope.dropped.append((kind, "the payload does not end where its length says"))
            return _next_header(body, start)
        after = stop + 1
    else:
        found = body.find(b"\n", start)
        stop = len(body) if found < 0 else found
        after = stop + 1
    envelope.items.append(Item(type=kind[:40], header=header, payload=view[start:stop]))
    return after


def _next_header(body: bytes, at: int) -> int:
    """The start of the next line that is an item's header, at most 50 lines on."""
    for _ in range(50):
        if at >= len(body):
            break
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        header = _header(body[at:end]) if end - at <= MAX_HEADER else None
        if header is not None and isinstance(header.get("type"), str) and "event_id" not in header:
            return at
        at = end + 1
    return len(body)


def _header(line: bytes) -> dict[str, Any] | None:
    if len(line) > MAX_HEADER or not line.lstrip().startswith(b"{"):
        return None
    try:
        value = decode_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def decode_json(data: bytes | memoryview) -> Any:
    """JSON as Sentry's clients write it: also NaN, lone surrogates, bytes that are not UTF-8.

    Raises `ValueError` for anything else, also for nesting that is too deep.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return json.loads(bytes(data).decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deep") from None
