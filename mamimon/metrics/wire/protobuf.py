"""The protobuf wire format, as far as Prometheus' messages need it: fields of a message, read in order.

Source: protobuf encoding guide. Every reader raises `ValueError`, `IndexError` or `struct.error` for
bytes that are no message; who reads one turns these into the protocol's own error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

WRONG = (IndexError, struct.error, UnicodeDecodeError, ValueError)
"""What reading bytes that are no such message raises."""
_double = struct.Struct("<d").unpack_from
_SKIP = {1: 8, 5: 4}


def double(data: bytes) -> float:
    """The number of a `double` field."""
    return float(_double(data)[0])


def doubles(data: bytes) -> list[float]:
    """The numbers of a packed `repeated double`."""
    return [number for (number,) in struct.iter_unpack("<d", data)]


def signed(number: int) -> int:
    """The value of an `int32` or `int64` field."""
    return number - (1 << 64) if number >> 63 else number


def zigzag(number: int) -> int:
    """The value of a `sint32` or `sint64` field."""
    return (number >> 1) ^ -(number & 1)


def packed(data: bytes) -> list[int]:
    """The numbers of a packed `repeated` varint."""
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return out


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers with their raw value: bytes, or the whole number of a varint."""
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = varint(data, at)
            if at + size > end:
                raise ValueError("a field is cut short")
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
        elif kind in _SKIP:
            size = _SKIP[kind]
            if at + size > end:
                raise ValueError("a field is cut short")
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The whole number at a place, and the place behind it."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")
