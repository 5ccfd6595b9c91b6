"""Protocol buffers on the wire, read and written by hand.

The doors need a few dozen fields of messages whose numbers never change, so a reader of the wire
format does instead of Google's library and its version conflicts inside an application's environment
(docs/decisions.md has the figures). Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

BROKEN = (IndexError, struct.error, ValueError)
"""What reading a body that is no such message raises; a door turns these into its "bad input"."""

_SIZES = {1: 8, 5: 4}
_double = struct.Struct("<d").unpack
_fixed64 = struct.Struct("<Q").unpack
_fixed32 = struct.Struct("<I").unpack


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers with their raw value: the whole number of a varint, else the bytes.

    Groups, which no message of ours has, and cut or overlong fields raise one of `BROKEN`.
    """
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(data, at - 1)
        kind = tag & 7
        if kind == 2:
            size = data[at]
            at += 1
            if size >= 0x80:
                size, at = varint(data, at - 1)
        elif kind == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
            continue
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"wire type {kind}")
        stop = at + size
        if stop > end:
            raise ValueError("a field is cut short")
        yield tag >> 3, data[at:stop]
        at = stop


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at `at`, and the place behind it."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")


def packed(data: bytes) -> list[int]:
    """The numbers of a packed repeated varint field."""
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return out


def signed(value: int) -> int:
    """An int32 or int64 of the varint that carried it."""
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """A sint32 or sint64 of the varint that carried it."""
    return (value >> 1) ^ -(value & 1)


def double(data: bytes | int) -> float:
    """A double field's value."""
    return float(_double(_bytes(data))[0])


def doubles(data: bytes) -> list[float]:
    """The numbers of a packed repeated double field."""
    return [number for (number,) in struct.iter_unpack("<d", data)]


def fixed64(data: bytes | int) -> int:
    """A fixed64 field's value; `signed` makes an sfixed64 of it."""
    return int(_fixed64(_bytes(data))[0])


def fixed32(data: bytes | int) -> int:
    """A fixed32 field's value."""
    return int(_fixed32(_bytes(data))[0])


def text(data: bytes | int) -> str:
    """A string field's value."""
    return _bytes(data).decode("utf-8")


def message(data: bytes | int) -> bytes:
    """An embedded message's or bytes field's value."""
    return _bytes(data)


def number(data: bytes | int) -> int:
    """A varint field's value, still unsigned."""
    if isinstance(data, bytes):
        raise ValueError("a field of another type than the message has")
    return data


def _bytes(data: bytes | int) -> bytes:
    if not isinstance(data, bytes):
        raise ValueError("a field of another type than the message has")
    return data


def written(number: int, value: bytes | str | int) -> bytes:
    """One field as it goes on the wire; a default value (0, empty) is left out."""
    if not value:
        return b""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
