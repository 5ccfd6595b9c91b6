"""rate, increase, delta, irate, idelta: differences over windows, extrapolated as Prometheus does."""

from __future__ import annotations

import msgspec
import numpy as np

from mamimon.metrics.promql.kernels import window_sums
from mamimon.metrics.promql.values import Bools, Floats, Ints, Samples
from mamimon.metrics.promql.windows import Windows

_FEW = 2_000
"""Resets of a tile that are worth a loop."""


def reset_corrections(windows: Windows) -> tuple[Ints, Floats]:
    """Which rows have resets, and for each of their windows the sum of what was reached before each reset."""
    if windows.valid is None:
        # Most counters never fall: look before anything is copied.
        fallen = _falls(windows.exact)
        rows = np.flatnonzero(fallen.any(axis=1))
        fell = fallen[rows]
        before = np.full(fell.shape, np.nan)
        before[:, 1:] = windows.exact[rows, :-1]
    else:
        fell = (windows.rows < windows.before) & windows.valid
        rows = np.flatnonzero(fell.any(axis=1))
        fell, before = fell[rows], windows.before[rows]
    if not len(rows):
        return rows, np.zeros((0, len(windows.low)))
    if windows.valid is None and fell.sum() <= _FEW:
        return rows, _each_added(windows, fell, before)
    lost = np.where(fell, before, 0.0)
    if windows.valid is None:
        return rows, window_sums(lost, np.minimum(windows.low + 1, windows.high), windows.high)
    # The first sample's own drop happened before the window.
    after_first = np.minimum(windows.first[rows] + 1, windows.high)
    return rows, window_sums(lost, after_first, windows.high)


def _falls(rows: Samples) -> Bools:
    """Where a sample is less than the one before; one long row is compared in a third of the time of many."""
    flat = np.ascontiguousarray(rows).reshape(-1)
    out = np.empty(flat.shape, dtype=np.bool_)
    np.less(flat[1:], flat[:-1], out=out[1:])
    found = out.reshape(rows.shape)
    found[:, :1] = False
    return found


def _each_added(windows: Windows, fell: Bools, before: Floats) -> Floats:
    """Few resets are added one by one to the windows that have them behind their first sample."""
    out = np.zeros((len(fell), len(windows.low)))
    rows, columns = np.nonzero(fell)
    begin = np.searchsorted(windows.high, columns, side="right").tolist()
    end = np.searchsorted(windows.low, columns, side="left").tolist()
    amounts = before[rows, columns].tolist()
    for row, first, last, amount in zip(rows.tolist(), begin, end, amounts, strict=True):
        out[row, first:last] += amount
    return out


def extrapolated(
    windows: Windows, length_s: float, *, counter: bool, per_second: bool
) -> tuple[Floats, Bools]:
    """rate (counter, per second), increase (counter) and delta; needs two samples in a window."""
    count = windows.count
    present = count >= 2
    first, last = windows.first, windows.last
    oldest = windows.exactly_at(first)
    result = (windows.exactly_at(last) - oldest).astype(np.float64, copy=False)
    fallen = np.zeros(0, dtype=np.int64)
    if counter:
        fallen, corrections = reset_corrections(windows)
        if len(fallen):
            result[fallen] += corrections
    first_time, last_time = windows.stamps(first), windows.stamps(last)
    to_start = (first_time - windows.start) / 1000
    to_end = (windows.end - last_time) / 1000
    sampled = (last_time - first_time) / 1000
    average = sampled / np.maximum(count - 1, 1)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    covered = Covered(sampled, to_start, to_end, length_s if per_second else 1.0)
    if counter:
        _start_at_zero(result, oldest, covered, windows, fallen)
    else:
        result *= windows.spread(covered.factor(to_start))
    return result, np.broadcast_to(present, result.shape)


class Covered(msgspec.Struct):
    """How much of each window its samples cover, seconds, and how far they are extrapolated.

    Arrays are as `Windows.stamps` gives them.
    """

    sampled: Floats
    to_start: Floats
    to_end: Floats
    per: float

    def factor(self, to_start: Floats) -> Floats:
        """What the sampled difference is multiplied with."""
        out: Floats = self.sampled + to_start + self.to_end  # in the order of Prometheus, for ties
        out /= np.where(self.sampled == 0, 1.0, self.sampled)
        out /= self.per
        return out

    def at(self, where: Ints, steps: int, windows: Windows) -> Covered:
        """Of some windows, numbered row by row."""
        if windows.own_times is not None and windows.valid is None:
            where = windows.target_of[where // steps] * steps + where % steps

        def of(values: Floats) -> Floats:
            return values[where % steps] if values.ndim == 1 else values.ravel()[where]

        return Covered(of(self.sampled), of(self.to_start), of(self.to_end), self.per)


def _may_be_near(result: Floats, oldest: Samples, slope: Floats, fallen: Ints) -> int:
    """From which window on none is near a start, of counters that never fall.

    Their oldest samples grow along the windows, so one look at a column speaks for all behind it.
    """
    steps: int = result.shape[1]
    least = slope.min(where=slope > 0, initial=np.inf)  # 0 where there is one sample, and no result
    most = result.max(axis=1, initial=0)
    most[fallen] = -np.inf
    for first in (0, steps // 16, steps // 4):
        if first >= steps:
            break
        far = oldest[:, first] * least > most
        if far.all():
            return first
    return steps


def _near(result: Floats, oldest: Samples, slope: Floats, windows: Windows, fallen: Ints) -> Ints:
    """The windows, numbered row by row, that may be near the start of their counter."""
    steps: int = result.shape[1]
    until = steps
    if windows.valid is None and not windows.has_nan and len(fallen) * 2 < len(result):
        until = _may_be_near(result, oldest, slope, fallen)
    near: Bools = oldest[:, :until] * windows.spread(slope[..., :until]) <= result[:, :until]
    where: Ints = np.flatnonzero(near)
    where += where // max(1, until) * (steps - until)
    if until == steps or not len(fallen):
        return where
    rest = windows.spread(slope[..., until:])
    own = oldest[fallen, until:] * (rest if rest.ndim == 1 else rest[fallen]) <= result[fallen, until:]
    rows, columns = np.nonzero(own)
    return np.concatenate((where, fallen[rows] * steps + until + columns))


def _start_at_zero(result: Floats, oldest: Samples, covered: Covered, windows: Windows, fallen: Ints) -> None:
    """Extrapolate counters in place, but not to before they were zero.

    Few windows are that near to a counter's start. They are found by one multiplication, a little too
    many for rounding's sake, and only they are computed again. `fallen`: rows with resets.
    """
    slope = covered.sampled / np.maximum(covered.to_start, 1e-300) * (1 - 1e-12)
    where = _near(result, oldest, slope, windows, fallen)
    increase, first = result.take(where), oldest.take(where)
    counts = (increase > 0) & (first >= 0)
    where, increase, first = where[counts], increase[counts], first[counts]
    result *= windows.spread(covered.factor(covered.to_start))
    if len(increase):
        own = covered.at(where, result.shape[1], windows)
        to_zero = own.sampled * (first / increase)
        result.put(where, increase * own.factor(np.minimum(own.to_start, to_zero)))


def instantaneous(windows: Windows, *, counter: bool) -> tuple[Floats, Bools]:
    """irate (counter) and idelta, from the last two samples of a window."""
    present = windows.count >= 2
    last = windows.last
    if windows.valid is None:
        previous = np.maximum(last - 1, 0)
    else:
        previous = np.maximum(np.take_along_axis(windows.previous[:, :-1], last, axis=1), 0)
    new, old = windows.at(last), windows.at(previous)
    result = new - old
    if counter:
        result = np.where(new < old, new, result)
        elapsed = (windows.time_of(last) - windows.time_of(previous)) / 1000
        result /= np.where(elapsed == 0, np.nan, elapsed)
    return result, np.broadcast_to(present, result.shape)
