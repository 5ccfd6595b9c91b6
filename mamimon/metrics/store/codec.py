"""Compression of sealed samples.

pcodec at level 8 beat decimal-scaled integer deltas with byte shuffle and zstd on every kind of
series but one, where they tie (480 scrapes × 64 series, bytes a sample, pcodec : deltas): integer
counters 0.58 : 0.58, slow counters 0.07 : 0.11, CPU seconds 1.40 : 1.47, byte gauges 0.94 : 1.95,
noisy floats 6.2 : 6.3; it decodes 200–400 M samples/s. Two things it is bad at are taken out first:
a series that never changes is stored once, and the absent, stale and histogram marks go into a map of their
own (the gap is filled with the value before it), because a NaN in the middle costs it its model.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import zstandard

from mamimon.metrics.model import ABSENT_BITS, HISTOGRAM_BITS, STALE_BITS

_HEAD = struct.Struct("<BIIII")  # version, series, scrapes, bytes of constants, bytes of the gap map
_VERSION = 1
Matrix = npt.NDArray[np.float64]


def encode_times(times: npt.NDArray[np.int64]) -> bytes:
    """Compress a timestamp vector (milliseconds)."""
    from pcodec import ChunkConfig, standalone

    return bytes(standalone.simple_compress(np.ascontiguousarray(times), ChunkConfig()))


def decode_times(blob: bytes) -> npt.NDArray[np.int64]:
    """Undo `encode_times`."""
    from pcodec import standalone

    found = standalone.simple_decompress(blob)
    # pcodec gives None for nothing.
    return np.empty(0, dtype=np.int64) if found is None else np.asarray(found, dtype=np.int64)


def encode(matrix: Matrix) -> bytes:
    """Compress [series, scrapes]; every bit of every value comes back."""
    from pcodec import ChunkConfig, standalone

    bits = np.ascontiguousarray(matrix).view(np.int64)
    series, scrapes = bits.shape
    constant = (bits == bits[:, :1]).all(axis=1)
    moving = bits[~constant]
    gaps = np.zeros(moving.shape, dtype=np.uint8)
    gaps[moving == ABSENT_BITS] = 1
    gaps[moving == STALE_BITS] = 2
    gaps[moving == HISTOGRAM_BITS] = 3
    gap_map: bytes = b""
    if gaps.any():
        gap_map = zstandard.ZstdCompressor(level=6).compress(gaps.tobytes())
        moving = _fill(moving, gaps)
    constants: bytes = np.packbits(constant).tobytes() + bits[constant, 0].tobytes()
    head = _HEAD.pack(_VERSION, series, scrapes, len(constants), len(gap_map))
    body = b""
    if moving.size:
        flat = moving.ravel().view(np.float64)
        body = bytes(standalone.simple_compress(flat, ChunkConfig(compression_level=8)))
    return head + constants + gap_map + body


def decode(blob: bytes) -> Matrix:
    """Undo `encode`."""
    from pcodec import standalone

    version, series, scrapes, constant_bytes, gap_bytes = _HEAD.unpack_from(blob)
    if version != _VERSION:
        raise ValueError(f"samples written by a newer mamimon (version {version})")
    at = _HEAD.size
    flags = (series + 7) // 8
    constant = np.unpackbits(np.frombuffer(blob, np.uint8, flags, at), count=series).astype(bool)
    values = np.frombuffer(blob, np.float64, (constant_bytes - flags) // 8, at + flags)
    at += constant_bytes
    moving = series - int(constant.sum())
    if not moving:
        return np.repeat(values, scrapes).reshape(series, scrapes)
    part: Matrix = np.asarray(standalone.simple_decompress(blob[at + gap_bytes :])).reshape(moving, scrapes)
    if gap_bytes:
        size = moving * scrapes
        raw = zstandard.ZstdDecompressor().decompress(blob[at : at + gap_bytes], max_output_size=size)
        gaps = np.frombuffer(raw, np.uint8).reshape(moving, scrapes)
        bits = part.view(np.int64)
        bits[gaps == 1] = ABSENT_BITS
        bits[gaps == 2] = STALE_BITS
        bits[gaps == 3] = HISTOGRAM_BITS
    if moving == series:
        return part
    out = np.empty((series, scrapes), dtype=np.float64)
    out[constant] = values[:, None]
    out[~constant] = part
    return out


def encode_row(row: npt.NDArray[np.uint64], before: npt.NDArray[np.uint64]) -> bytes:
    """One scrape for the write-ahead log: the difference to the scrape before, mostly zeros."""
    change = row.copy()
    change[: len(before)] ^= before
    return bytes(zstandard.ZstdCompressor(level=1).compress(change.tobytes()))


def decode_row(blob: bytes, before: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Undo `encode_row`."""
    row = np.frombuffer(zstandard.ZstdDecompressor().decompress(blob), np.uint64).copy()
    row[: len(before)] ^= before
    return row


def _fill(bits: npt.NDArray[np.int64], gaps: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Each gap takes the value before it, or the first value after it at the start of a row."""
    columns = np.where(gaps == 0, np.arange(bits.shape[1]), -1)
    last = np.maximum.accumulate(columns, axis=1)
    first = np.argmax(gaps == 0, axis=1)
    last = np.where(last < 0, first[:, None], last)
    return np.take_along_axis(bits, last, axis=1)
