"""Samples of a day made coarse: per series and bucket of 5 minutes or an hour, nine numbers.

A bucket is left-open as PromQL's windows are, `(end - resolution, end]`, and ends are multiples of the
resolution, so that every series of every day shares one grid and a window that is aligned with it sees
exactly the samples that it would see among the raw ones. One sample is moved: that of exactly
00:00:00.000 counts to the first bucket of its day (a file holds its whole day).

`first` and `last` bracket a bucket, so the step from one bucket to the next is known even across the
files of two days, and a counter's increase is exact: `last - first + dropped`, where `dropped` is what
the counter had reached before each of its resets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, HISTOGRAM_BITS, STALE_BITS, Block
from mamimon.metrics.store import codec
from mamimon.storage.days import day_start

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAY_MS = 86_400_000
RESOLUTIONS = (300_000, 3_600_000)
"""Milliseconds a bucket, finest first."""
COLUMNS = ("first", "last", "min", "max", "sum", "count", "dropped", "resets", "ended")
"""`ended` is 1 where a staleness marker is the last thing in a bucket; all are absent without a sample."""
_REFERENCE = {"min": "first", "max": "last"}
"""A counter without resets is its own minimum at the start of a bucket: not stored twice."""


def holds(objects: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Where an array of objects holds one."""
    nothing: Any = None
    return np.asarray(np.not_equal(objects, nothing), dtype=np.bool_)


def grid(start: int, resolution: int) -> Ints:
    """The ends of a day's buckets, ms; `start` is the day's first millisecond."""
    return start + resolution * np.arange(1, DAY_MS // resolution + 1, dtype=np.int64)


class Coarse:
    """Some series on a day's grid: `columns[name]` is [series, buckets], absent where there is nothing."""

    def __init__(self, series: int, start: int, resolution: int) -> None:
        self.start = start
        self.resolution = resolution
        self.columns = {
            name: np.full((series, DAY_MS // resolution), ABSENT_NAN if name != "ended" else 0.0)
            for name in COLUMNS
        }
        self.histograms: dict[int, dict[int, Histogram]] = {}
        """Row → bucket → the last native histogram in it."""

    def take_in(self, block: Block) -> None:
        """Aggregate the samples of a block; its rows are rows here, and each comes only once."""
        if not len(block.times):
            return
        bucket = np.maximum((block.times - self.start + self.resolution - 1) // self.resolution - 1, 0)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(bucket)) + 1])
        place = np.ix_(block.rows, bucket[starts])
        for name, values in _aggregate(block.values, starts).items():
            self.columns[name][place] = values
        if block.histograms is not None:
            for row, column in np.argwhere(holds(block.histograms)).tolist():
                kept = self.histograms.setdefault(int(block.rows[row]), {})
                kept[int(bucket[column])] = block.histograms[row, column]

    def alive(self) -> npt.NDArray[np.bool_]:
        """Which series have anything at all."""
        there = (self.columns["count"].view(np.int64) != ABSENT_BITS) | (self.columns["ended"] > 0)
        out: npt.NDArray[np.bool_] = there.any(axis=1)
        out[list(self.histograms)] = True
        return out


def _aggregate(values: Floats, starts: Ints) -> dict[str, Floats]:
    bits = values.view(np.int64)
    stale = bits == STALE_BITS
    valid = ~(stale | (bits == ABSENT_BITS) | (bits == HISTOGRAM_BITS))
    columns = np.arange(values.shape[1])
    last = np.maximum.reduceat(np.where(valid, columns, -1), starts, axis=1)
    first = np.minimum.reduceat(np.where(valid, columns, len(columns)), starts, axis=1)
    count = np.add.reduceat(valid, starts, axis=1, dtype=np.float64)
    zeroed = np.where(valid, values, 0.0)
    blank = np.where(valid, values, np.nan)
    fell, before = _falls(zeroed, valid, starts)
    with np.errstate(invalid="ignore"):
        out = {
            "first": np.take_along_axis(values, np.minimum(first, len(columns) - 1), axis=1),
            "last": np.take_along_axis(values, np.maximum(last, 0), axis=1),
            "min": np.fmin.reduceat(blank, starts, axis=1),
            "max": np.fmax.reduceat(blank, starts, axis=1),
            "sum": np.add.reduceat(zeroed, starts, axis=1),
            "count": count,
            "dropped": np.add.reduceat(np.where(fell, before, 0.0), starts, axis=1),
            "resets": np.add.reduceat(fell, starts, axis=1, dtype=np.float64),
        }
    nothing = count == 0
    for one in out.values():
        one[nothing] = ABSENT_NAN
    ended = np.maximum.reduceat(np.where(stale, columns, -1), starts, axis=1) > last
    return out | {"ended": ended.astype(np.float64)}


def _falls(
    values: Floats, valid: npt.NDArray[np.bool_], starts: Ints
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Where a sample is smaller than the one before it in its bucket, and that one before."""
    columns = np.arange(values.shape[1])
    newest = np.maximum.accumulate(np.where(valid, columns, -1), axis=1)
    previous = np.full(values.shape, -1, dtype=np.int64)
    previous[:, 1:] = newest[:, :-1]
    opening = np.zeros(values.shape[1], dtype=np.int64)
    opening[starts] = starts
    inside = previous >= np.maximum.accumulate(opening)
    before = np.take_along_axis(values, np.maximum(previous, 0), axis=1)
    with np.errstate(invalid="ignore"):
        return valid & inside & (values < before), before


def pack(columns: dict[str, Floats]) -> list[bytes]:
    """The columns of some series, compressed, in the order of `COLUMNS`."""
    out = []
    for name in COLUMNS:
        column = columns[name]
        prefix = b""
        if name in _REFERENCE:
            same = (column.view(np.int64) == columns[_REFERENCE[name]].view(np.int64)).all(axis=1)
            prefix = np.packbits(same).tobytes()
            column = np.where(same[:, None], 0.0, column)
        out.append(prefix + codec.encode(np.ascontiguousarray(column)))
    return out


def unpack(name: str, blob: bytes, series: int, reference: Floats | None) -> Floats:
    """Undo `pack` for one column; `reference` is needed where `needs` says so."""
    if name not in _REFERENCE:
        return codec.decode(blob)
    flags = (series + 7) // 8
    out = codec.decode(blob[flags:])
    same = np.unpackbits(np.frombuffer(blob, np.uint8, flags), count=series).astype(bool)
    if same.any():
        assert reference is not None
        out[same] = reference[same]
    return out


def needs(name: str) -> str:
    """The column that `unpack` wants beside a column, or an empty string."""
    return _REFERENCE.get(name, "")


def choose(step_ms: int, length_ms: int) -> int:
    """The resolution for a question: by its step; an instant one has 1 % of what it reaches over."""
    grain = step_ms or length_ms // 100
    return max((one for one in RESOLUTIONS if one <= grain), default=RESOLUTIONS[0])


def groups(keys: Sequence[bytes], size: int) -> list[Ints]:
    """Series ids in the order of their labels, `size` at a time."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [np.asarray(order[at : at + size], dtype=np.int64) for at in range(0, len(order), size)]


def between(days: Sequence[str], start: int, end: int) -> list[str]:
    """The days that overlap `start <= t <= end` (ms)."""
    return [day for day in days if (first := day_start(day) * 1000) <= end and first + DAY_MS > start]
