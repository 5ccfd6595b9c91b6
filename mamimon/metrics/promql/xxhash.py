"""xxHash64: the hash by which Prometheus chooses the series of `limit_ratio`, so that we choose the same."""

from __future__ import annotations

import struct

from mamimon.metrics.model import Labels

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def _round(lane: int, word: int) -> int:
    return (_rotate((lane + word * _P2) & _MASK, 31) * _P1) & _MASK


def xxhash64(data: bytes) -> int:
    """The 64-bit xxHash with seed 0."""
    position, length = 0, len(data)
    if length >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while position <= length - 32:
            words = struct.unpack_from("<4Q", data, position)
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
            position += 32
        turns = zip(lanes, (1, 7, 12, 18), strict=True)
        value = sum(_rotate(lane, by) for lane, by in turns) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = _P5
    value = (value + length) & _MASK
    while position + 8 <= length:
        (word,) = struct.unpack_from("<Q", data, position)
        value = (_rotate(value ^ _round(0, word), 27) * _P1 + _P4) & _MASK
        position += 8
    if position + 4 <= length:
        (word,) = struct.unpack_from("<I", data, position)
        value = (_rotate(value ^ (word * _P1 & _MASK), 23) * _P2 + _P3) & _MASK
        position += 4
    for byte in data[position:]:
        value = (_rotate(value ^ (byte * _P5 & _MASK), 11) * _P1) & _MASK
    value = ((value ^ (value >> 33)) * _P2) & _MASK
    value = ((value ^ (value >> 29)) * _P3) & _MASK
    return value ^ (value >> 32)


def _sized(text: str) -> bytes:
    data = text.encode()
    size = bytes([len(data)]) if len(data) < 255 else b"\xff" + len(data).to_bytes(3, "little")
    return size + data


def hash_labels(labels: Labels) -> int:
    """`Labels.Hash()` of Prometheus 3."""
    return xxhash64(b"".join(_sized(name) + _sized(value) for name, value in sorted(labels.items())))
