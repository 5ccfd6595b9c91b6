"""Functions of range vectors over downsampled samples: which aggregate each of them reads.

A bucket stands at its end and holds what the raw samples of `(end - resolution, end]` were: so a window
that is aligned with the buckets gives what the raw samples would, and another one is off by what one
bucket holds at each of its edges. Windows shorter than a bucket are as long as one.

- `rate`, `increase`, `irate` read the counter's whole gain (first, last, what was lost to resets). They
  equal the raw answer to within what one scrape interval at each end of the window holds, because gains
  are summed where Prometheus extrapolates. `delta`, `idelta`: likewise, without resets.
- `min_over_time`, `max_over_time`, `sum_over_time`, `count_over_time` and `avg_over_time` read min, max, sum,
  count, and sum with count; `resets` what was counted in buckets and between them: all exact.
- `first_over_time`, `last_over_time`, `present_over_time`, `absent_over_time` and plain selectors read first
  and last: exact at a bucket's end; a staleness marker ends a series there.
- `quantile_over_time`, `stddev_over_time`, `stdvar_over_time`, `mad_over_time`, `deriv`, `predict_linear` and
  `double_exponential_smoothing` read each bucket's mean: what varies within a bucket is not seen.
- `changes` reads last, `ts_of_…` the extrema or ends: at most one event a bucket.

Sums, counts and increases of a window are scaled to its length where the buckets cover more or less.
irate is the rate of the newest bucket, idelta the mean step in it. Of a native histogram the newest of
each bucket is kept, so its resets within a bucket are not seen.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, Block, Coarse
from mamimon.metrics.promql import overtime
from mamimon.metrics.promql.kernels import window_sums
from mamimon.metrics.promql.values import Bools, Floats, Ints
from mamimon.metrics.promql.windows import Windows, build

Result = tuple[Floats, Bools]
_GAINS = frozenset(("rate", "increase", "irate", "delta", "idelta"))
_OF_COLUMN = {
    "first_over_time": "first",
    "ts_of_first_over_time": "first",
    "min_over_time": "min",
    "ts_of_min_over_time": "min",
    "max_over_time": "max",
    "ts_of_max_over_time": "max",
    "sum_over_time": "sum",
    "count_over_time": "count",
    "avg_over_time": "sum",
    "last_over_time": "last",
    "ts_of_last_over_time": "last",
    "present_over_time": "last",
    "absent_over_time": "last",
    "changes": "last",
}


class Beside(msgspec.Struct, eq=False):
    """What a window over buckets needs besides one number a bucket; arrays are [rows, buckets]."""

    function: str
    factor: Floats
    """[steps]: the window's length, as it was asked for, in units of what its buckets cover."""
    length_s: float
    count: Floats | None = None
    apart: Floats | None = None
    """What a bucket owes to the one before it, where these two do not touch."""

    def part(self, rows: slice) -> Beside:
        """Some of the rows."""
        return Beside(
            self.function,
            self.factor,
            self.length_s,
            None if self.count is None else self.count[rows],
            None if self.apart is None else self.apart[rows],
        )


def windows(block: Block, coarse: Coarse, function: str, ends: Ints, length_ms: int) -> Windows:
    """The windows that `function` (empty for none) looks at."""
    resolution = coarse.resolution_ms
    if block.histograms is not None:
        wide = max(length_ms, 2 * resolution)
        found = build(block.times, block.values, ends, wide, block.histograms)
        found.beside = Beside("", np.full(len(ends), length_ms / wide), wide / 1000)
        return found
    length = resolution if function in ("irate", "idelta") else max(length_ms, resolution)
    count = apart = None
    if function in _GAINS or function == "resets":
        rows, apart = _gains(block.times, coarse, function)
        count = _zeroed(coarse.column("count"))
    elif function == "avg_over_time":
        rows, count = coarse.column("sum"), _zeroed(coarse.column("count"))
    elif not function or function in _OF_COLUMN:
        rows = coarse.column(_OF_COLUMN.get(function, "last"))
    else:
        total, number = coarse.column("sum"), coarse.column("count")
        rows = np.where(total.view(np.int64) == ABSENT_BITS, ABSENT_NAN, total / number)
    factor = length_ms / _covered(block.times, ends, length, resolution)
    # `build` leaves columns out that no window sees, which the arrays beside would not follow.
    low = np.searchsorted(block.times, ends - length, side="right").astype(np.int64)
    high = np.searchsorted(block.times, ends, side="right").astype(np.int64)
    valid = rows.view(np.int64) != ABSENT_BITS
    found = Windows(block.times, rows, None if valid.all() else valid, low, high, ends - length, ends)
    found.beside = Beside(function, factor, length_ms / 1000, count, apart)
    return found


def kernel(plain: Callable[[Windows], Result]) -> Callable[[Windows], Result]:
    """A function of windows, over buckets; `plain` is the one for samples."""

    def run(found: Windows) -> Result:
        beside = found.beside
        if beside is None or not beside.function:
            return plain(found)
        if beside.function in _GAINS:
            return _gained(found, beside)
        if beside.function == "resets":
            total, present = _summed(found, beside)
            return total, present
        values, present = (
            overtime.sum_over_time(found)
            if beside.function in ("count_over_time", "avg_over_time")
            else plain(found)
        )
        if beside.count is not None:
            values = values / np.maximum(window_sums(beside.count, found.low, found.high), 1.0)
        elif beside.function in ("sum_over_time", "count_over_time"):
            values = values * beside.factor
        return values, present

    return run


def _gains(times: Ints, coarse: Coarse, function: str) -> tuple[Floats, Floats]:
    """What each bucket added, and what of it came from a bucket before that does not touch it."""
    first, last = coarse.column("first"), coarse.column("last")
    there = first.view(np.int64) != ABSENT_BITS
    columns = np.arange(first.shape[1])
    newest = np.maximum.accumulate(np.where(there, columns, -1), axis=1)
    before = np.full(first.shape, -1, dtype=np.int64)
    before[:, 1:] = newest[:, :-1]
    previous = np.take_along_axis(last, np.maximum(before, 0), axis=1)
    known = there & (before >= 0)
    fell = first < previous
    if function == "resets":
        inside, step = coarse.column("resets"), fell.astype(np.float64)
    elif function in ("delta", "idelta"):
        inside, step = last - first, first - previous
    else:
        inside = last - first + coarse.column("dropped")
        step = np.where(fell, first, first - previous)
    step = np.where(known, step, 0.0)
    if function == "resets":
        # A fall before a window's first sample is not in the window.
        return np.where(there, np.where(there, inside, 0.0) + step, ABSENT_NAN), step
    touching = times - times[np.maximum(before, 0)] <= coarse.resolution_ms
    gain = np.where(there, np.where(there, inside, 0.0) + step, ABSENT_NAN)
    return gain, np.where(known & ~touching, step, 0.0)


def _summed(found: Windows, beside: Beside) -> Result:
    total, present = overtime.sum_over_time(found)
    if beside.apart is not None and len(found.times):
        first = np.broadcast_to(found.first, total.shape)
        total = total - np.take_along_axis(beside.apart, first, axis=1)
    return total, present


def _gained(found: Windows, beside: Beside) -> Result:
    assert beside.count is not None
    total, present = _summed(found, beside)
    number = window_sums(beside.count, found.low, found.high)
    present = present & (number >= 2)
    if beside.function == "idelta":
        return total / np.maximum(number, 1.0), present
    if beside.function == "irate":
        covered = beside.length_s / beside.factor
        return total / covered, present
    total = total * beside.factor
    return total / beside.length_s if beside.function == "rate" else total, present


def _covered(times: Ints, ends: Ints, length: int, resolution: int) -> Floats:
    """How many milliseconds of each window the grid's buckets cover."""
    until = ends // resolution * resolution
    if len(times) and times[-1] % resolution:
        # The bucket under way stands at the end of the question.
        until = np.where(ends >= times[-1], np.maximum(until, times[-1]), until)
    since = (ends - length) // resolution * resolution
    covered: Floats = np.maximum(until - since, 1).astype(np.float64)
    return covered


def _zeroed(column: Floats) -> Floats:
    return np.where(column.view(np.int64) == ABSENT_BITS, 0.0, column)
