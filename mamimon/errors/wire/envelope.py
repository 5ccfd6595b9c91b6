"""Sentry envelopes: a header line, then items of a header line and a payload each.

Format: develop.sentry.dev/sdk/data-model/envelopes. An item with `length` has that many bytes and a
newline or the end after it; one without ends at the next newline. An envelope is read as it is
decompressed: an item over its type's limit is passed over without being held, and what cannot be
read is left out alone, except that without a usable item header nothing after it can be found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mamimon.problems import bad_input

MAX_ITEMS = 100
MAX_HEADER = 64 * 1024
_LOOK_AHEAD = 50
_NOT_BLANK = re.compile(rb"[^\n]")


class Item(msgspec.Struct):
    """One item: its type, header and payload; `size` stays where that was passed over."""

    type: str
    header: dict[str, Any]
    payload: bytes
    size: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """An item that was not read; `outcome` is invalid or too_large."""

    type: str
    outcome: str
    reason: str
    header: dict[str, Any] = {}
    size: int = 0


class Envelope(msgspec.Struct):
    """A read envelope and what of it was dropped."""

    header: dict[str, Any]
    items: list[Item]
    dropped: list[Dropped]


class _Reader:
    """Lines and bytes of a stream of pieces; holds no more than what is asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._at = 0
        self._over = False

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            self._over = True
            return False
        self._held = self._held[self._at :] + piece
        self._at = 0
        return True

    def at_end(self) -> bool:
        """Whether nothing is left."""
        while self._at >= len(self._held) and not self._over:
            self._more()
        return self._at >= len(self._held)

    def line(self, limit: int) -> bytes | None:
        """The next line without its end; None for one over `limit`, which is passed over."""
        looked = self._at
        while (found := self._held.find(b"\n", looked)) < 0:
            looked = len(self._held) - self._at
            if looked > limit:
                self.skip_line()
                return None
            if not self._more():
                found = len(self._held)
                break
            looked += self._at
        line = self._held[self._at : found]
        self._at = min(found + 1, len(self._held))
        return line if len(line) <= limit else None

    def skip_line(self) -> int:
        """Pass over the rest of a line; returns its length."""
        size = 0
        while (found := self._held.find(b"\n", self._at)) < 0:
            size += len(self._held) - self._at
            self._at = len(self._held)
            if not self._more():
                return size
        size += found - self._at
        self._at = found + 1
        return size

    def skip_blank(self) -> bool:
        """Pass over newlines; whether there were some."""
        found = _NOT_BLANK.search(self._held, self._at)
        end = found.start() if found else len(self._held)
        moved, self._at = end > self._at, end
        return moved

    def skip_rest(self) -> None:
        """Go to the end."""
        for _ in self._pieces:
            pass
        self._held, self._at, self._over = b"", 0, True

    def take(self, size: int) -> bytes:
        """The next `size` bytes, or what there is."""
        parts = []
        left = size
        while left > 0 and not self.at_end():
            part = self._held[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; returns how many there were."""
        left = size
        while left > 0 and not self.at_end():
            step = min(left, len(self._held) - self._at)
            self._at += step
            left -= step
        return size - left

    def back(self, data: bytes) -> None:
        """Put bytes back that were taken."""
        self._held = data + self._held[self._at :]
        self._at = 0

    def ends_line(self) -> bool:
        """Take the newline that ends a payload; False where something else is next."""
        if self.at_end():
            return True
        if self._held[self._at : self._at + 1] != b"\n":
            return False
        self._at += 1
        return True


def parse_envelope(pieces: Iterable[bytes], limit_of: Callable[[str], int]) -> Envelope:
    """Read an envelope; raises `BAD_INPUT` only where its first line is not a header.

    `limit_of` gives the largest payload of an item's type; a limit of 0 keeps the header alone.
    """
    reader = _Reader(pieces)
    first = reader.line(MAX_HEADER)
    header = _header(first)
    if header is None:
        raise bad_input("invalid envelope: the first line is not a JSON object")
    envelope = Envelope(header=header, items=[], dropped=[])
    while not reader.at_end():
        if reader.skip_blank():
            continue
        line = reader.line(MAX_HEADER)
        if len(envelope.items) + len(envelope.dropped) >= MAX_ITEMS:
            envelope.dropped.append(Dropped("unknown", "invalid", f"more than {MAX_ITEMS} items"))
            break
        item = _header(line)
        if item is None:
            envelope.dropped.append(Dropped("unknown", "invalid", "an item's header is not a JSON object"))
            # Without its header an item's end is unknown: look for the next line that is a header.
            _next_header(reader)
            continue
        _read_item(reader, item, envelope, limit_of)
    return envelope


def _read_item(
    reader: _Reader, header: dict[str, Any], envelope: Envelope, limit_of: Callable[[str], int]
) -> None:
    named = header.get("type")
    kind = named[:40] if isinstance(named, str) and named else "unknown"
    limit = limit_of(kind)
    length = header.get("length")
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        payload = reader.line(limit) if limit else b""
        if payload is None:
            envelope.dropped.append(Dropped(kind, "too_large", f"larger than {limit} bytes", header))
            return
        size = len(payload) if limit else reader.skip_line()
        envelope.items.append(Item(kind, header, payload, size))
        return
    kept = length <= limit
    payload = reader.take(length) if kept else b""
    size = len(payload) if kept else reader.skip(length)
    if size < length:
        envelope.dropped.append(Dropped(kind, "invalid", "the payload is shorter than its length says"))
    elif not reader.ends_line():
        envelope.dropped.append(Dropped(kind, "invalid", "the payload does not end where its length says"))
        reader.back(payload)
        _next_header(reader)
    elif kept or not limit:
        envelope.items.append(Item(kind, header, payload, size))
    else:
        envelope.dropped.append(Dropped(kind, "too_large", f"larger than {limit} bytes", header, size))


def _next_header(reader: _Reader) -> None:
    """Go to the next line that is an item's header, at most 50 lines on; else to the end."""
    for _ in range(_LOOK_AHEAD):
        if reader.at_end():
            return
        line = reader.line(MAX_HEADER)
        header = _header(line)
        named = header is not None and isinstance(header.get("type"), str) and "event_id" not in header
        if line is not None and named:
            reader.back(line + b"\n")
            return
    reader.skip_rest()


def _header(line: bytes | None) -> dict[str, Any] | None:
    if line is None or not line.lstrip().startswith(b"{"):
        return None
    try:
        value = decode_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def decode_json(data: bytes) -> Any:
    """JSON as Sentry's clients write it: also NaN, lone surrogates, bytes that are not UTF-8.

    Raises `ValueError` for anything else, also for nesting that is too deep.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deep") from None
