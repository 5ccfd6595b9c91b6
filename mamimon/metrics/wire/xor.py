"""Gorilla's XOR chunks as Prometheus reads them (tsdb/chunkenc/xor.go), written from whole arrays.

A value that differs from the one before always announces its window of bits anew; the format lets a
writer reuse the last window, which would save some bits and cost a turn of a Python loop a sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

# Largest span of a delta of deltas, its prefix, the prefix' bits, the value's bits.
_DELTAS = ((14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4))
MOST_SAMPLES = 65_535


def encode(times: Ints, values: npt.NDArray[np.float64]) -> bytes:
    """One chunk of 1 to 65,535 samples; times are milliseconds and grow."""
    count = len(times)
    bits = np.ascontiguousarray(values).view(np.uint64)
    head = bytearray(count.to_bytes(2, "big"))
    head += _varint((int(times[0]) << 1) ^ (int(times[0]) >> 63))
    head += int(bits[0]).to_bytes(8, "big")
    if count == 1:
        return bytes(head)
    head += _varint(int(times[1] - times[0]))
    changed = bits[1:] ^ bits[:-1]
    # The second sample has its delta in the head; the others begin with the delta of deltas.
    pieces = [*_time_pieces(np.diff(times, 2)), *_value_pieces(changed)]
    return bytes(head) + _pack(pieces)


def _time_pieces(change: Ints) -> list[tuple[U64, Ints]]:
    """Prefix and value with their widths in bits, for samples 1 … n (0 bits for sample 1)."""
    prefix = np.full(len(change), 0b1111, dtype=np.uint64)
    prefix_bits = np.full(len(change), 4, dtype=np.int64)
    value_bits = np.full(len(change), 64, dtype=np.int64)
    for size, mark, mark_bits in reversed(_DELTAS):
        fits = (change >= -((1 << (size - 1)) - 1)) & (change <= 1 << (size - 1))
        prefix[fits], prefix_bits[fits], value_bits[fits] = mark, mark_bits, size
    same = change == 0
    prefix[same], prefix_bits[same], value_bits[same] = 0, 1, 0
    value = change.view(np.uint64)
    none = np.zeros(1, dtype=np.uint64)
    zero = np.zeros(1, dtype=np.int64)
    return [
        (np.concatenate((none, prefix)), np.concatenate((zero, prefix_bits))),
        (np.concatenate((none, value)), np.concatenate((zero, value_bits))),
    ]


def _value_pieces(changed: U64) -> list[tuple[U64, Ints]]:
    leading = np.minimum(_leading(changed), 31)
    trailing = _trailing(changed)
    significant = 64 - leading - trailing
    differs = changed != 0
    # 1 (differs), 1 (new window), 5 bits of leading zeros, 6 bits of width (64 is written as 0).
    window = (
        np.uint64(0b11 << 11)
        | (leading.astype(np.uint64) << np.uint64(6))
        | (significant.astype(np.uint64) & np.uint64(63))
    )
    return [
        (np.where(differs, window, np.uint64(0)), np.where(differs, 13, 1)),
        (changed >> np.where(differs, trailing, 0).astype(np.uint64), np.where(differs, significant, 0)),
    ]


def _leading(numbers: U64) -> Ints:
    count = np.zeros(len(numbers), dtype=np.int64)
    rest = numbers.copy()
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >> np.uint64(64 - step) == 0
        count += np.where(high, step, 0)
        rest = np.where(high, rest << np.uint64(step), rest)
    return count


def _trailing(numbers: U64) -> Ints:
    lowest = numbers & (~numbers + np.uint64(1))
    return np.where(numbers == 0, 0, 63 - _leading(lowest))


def _pack(pieces: list[tuple[U64, Ints]]) -> bytes:
    """The pieces of sample 1, then those of sample 2, …, bit after bit, filled up with zeros."""
    numbers = np.stack([number for number, _ in pieces], axis=1).ravel()
    widths = np.stack([width for _, width in pieces], axis=1).ravel()
    ends = np.cumsum(widths)
    owner = np.repeat(np.arange(len(widths)), widths)
    shift = (ends[owner] - 1 - np.arange(int(ends[-1]))).astype(np.uint64)
    return bytes(np.packbits(((numbers[owner] >> shift) & np.uint64(1)).astype(np.uint8)))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
