"""`anchored` and `smoothed` (Prometheus' extended range selectors).

An anchored window also sees the last sample before it, a smoothed one interpolates at both edges; neither
extrapolates.
"""

from __future__ import annotations

import numpy as np

from mamimon.metrics.promql.kernels import Prefix, window_sums
from mamimon.metrics.promql.overtime import Result
from mamimon.metrics.promql.values import Bools, Floats, Ints, Objects
from mamimon.metrics.promql.windows import Windows, build

ANCHORED = ("changes", "delta", "increase", "rate", "resets")
SMOOTHED = ("delta", "increase", "rate")


def build_extended(
    times: Ints,
    values: Floats,
    ends: Ints,
    length_ms: int,
    lookback_ms: int,
    *,
    smoothed: bool,
    histograms: Objects | None = None,
) -> Windows:
    """Windows with what `mode` sees around them; `start` and `end` stay those of the window itself."""
    ahead = lookback_ms if smoothed else 0
    wide = build(times, values, ends + ahead, length_ms + lookback_ms + ahead, histograms)
    return Windows(
        wide.times, wide.rows, wide.valid, wide.low, wide.high, ends - length_ms, ends, wide.histograms
    )


class Edges:
    """Where each window's own samples begin and end among the samples around it; [rows, steps]."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        rows, length = windows.rows.shape
        valid = np.ones(windows.rows.shape, dtype=np.bool_) if windows.valid is None else windows.valid
        columns = np.arange(length, dtype=np.int64)
        self._before = np.full((rows, length + 1), -1, dtype=np.int64)
        np.maximum.accumulate(np.where(valid, columns, -1), axis=1, out=self._before[:, 1:])
        self._after = np.full((rows, length + 1), length, dtype=np.int64)
        self._after[:, :-1] = np.minimum.accumulate(np.where(valid, columns, length)[:, ::-1], axis=1)[
            :, ::-1
        ]
        low, high = windows.low, windows.high
        self.inner_low = np.clip(np.searchsorted(windows.times, windows.start, side="right"), low, high)
        self.inner_high = np.clip(np.searchsorted(windows.times, windows.end, side="left"), low, high)

    def last_before(self, column: Ints) -> Ints:
        """The last sample in the window before a column shared by all rows; -1 if there is none."""
        found = np.take(self._before, column, axis=1)
        return np.where(found >= self.windows.low, found, -1)

    def first_from(self, column: Ints) -> Ints:
        """The first sample in the window from a column on; -1 if there is none."""
        found = np.take(self._after, column, axis=1)
        return np.where(found < self.windows.high, found, -1)

    def neighbour(self, column: Ints, *, after: bool) -> Ints:
        """Each row's sample next to one of its own."""
        inside = np.maximum(column, 0)
        if after:
            found = np.take_along_axis(self._after, np.minimum(inside + 1, self._after.shape[1] - 1), axis=1)
            return np.asarray(np.minimum(found, len(self.windows.times) - 1))
        return np.asarray(np.maximum(np.take_along_axis(self._before, inside, axis=1), 0))

    def value(self, column: Ints) -> Floats:
        """Samples at each row's columns."""
        return np.asarray(np.take_along_axis(self.windows.rows, np.maximum(column, 0), axis=1))

    def time(self, column: Ints) -> Ints:
        """Their times."""
        return np.asarray(self.windows.times[np.maximum(column, 0)])


def _between(edges: Edges, left: Ints, right: Ints, at: Ints, *, counter: bool) -> Floats:
    """The value at a time between two samples; a counter that fell started again at zero."""
    first, second = edges.value(left), edges.value(right)
    if counter:
        first = np.where(second < first, 0.0, first)
    share = (at - edges.time(left)) / np.maximum(edges.time(right) - edges.time(left), 1)
    return np.asarray(first + (second - first) * share)


def boundaries(edges: Edges, *, smoothed: bool, counter: bool) -> tuple[Floats, Floats, Bools]:
    """The values at both edges of each window, and where there are any."""
    windows = edges.windows
    left = edges.last_before(edges.inner_low)
    left = np.where(left >= 0, left, edges.first_from(edges.inner_low))
    right = edges.last_before(windows.high)
    if smoothed:
        following = edges.first_from(edges.inner_high)
        right = np.where(following >= 0, following, right)
    present = (left >= 0) & (right >= 0) & (edges.time(right) > windows.start)
    at_left, at_right = edges.value(left), edges.value(right)
    if smoothed:
        present &= edges.time(left) <= windows.end
        next_one = edges.neighbour(left, after=True)
        inner = _between(edges, left, next_one, windows.start, counter=counter)
        at_left = np.where(edges.time(left) < windows.start, inner, at_left)
        previous = edges.neighbour(right, after=False)
        has_previous = edges.last_before(windows.high) > edges.first_from(windows.low)
        has_previous &= right > edges.first_from(windows.low)
        inner = _between(edges, previous, right, windows.end, counter=counter)
        at_right = np.where(has_previous & (edges.time(right) > windows.end), inner, at_right)
    return at_left, at_right, present


def difference(
    windows: Windows, length_s: float, *, smoothed: bool, counter: bool, per_second: bool
) -> Result:
    """rate, increase and delta over anchored or smoothed windows."""
    shape = (windows.rows.shape[0], len(windows.low))
    if not len(windows.times):
        return np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    edges = Edges(windows)
    left, right, present = boundaries(edges, smoothed=smoothed, counter=counter)
    result = right - left
    if counter:
        result += _resets_between(edges, left, right)
    if per_second:
        result /= length_s
    return result, present


def _resets_between(edges: Edges, left: Floats, right: Floats) -> Floats:
    """What was lost to resets at the samples strictly inside each window and at its right edge."""
    windows = edges.windows
    fell = windows.rows < windows.before
    if windows.valid is not None:
        fell &= windows.valid
    lost = np.where(fell, windows.before, 0.0)
    first = edges.first_from(edges.inner_low)
    inside = (first >= 0) & (first < edges.inner_high)
    begin = np.minimum(np.where(inside, first + 1, edges.inner_high), edges.inner_high)
    out = window_sums(lost, begin, edges.inner_high)
    first_value = edges.value(first)
    out += np.where(inside & (first_value < left), left, 0.0)
    last = np.where(inside, edges.value(edges.last_before(edges.inner_high)), left)
    return np.asarray(out + np.where(right < last, last, 0.0))


def events(windows: Windows, name: str) -> Result:
    """resets and changes over anchored windows: the sample before the window counts as its first."""
    shape = (windows.rows.shape[0], len(windows.low))
    if not len(windows.times):
        return np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    if name == "resets":
        happened = windows.rows < windows.before
    else:
        happened = (windows.rows != windows.before) & ~(np.isnan(windows.rows) & np.isnan(windows.before))
    if windows.valid is not None:
        happened &= windows.valid
    edges = Edges(windows)
    first = edges.first_from(edges.inner_low)
    sums = Prefix(happened.astype(np.float64)).window(edges.inner_low, windows.high)
    unanchored = edges.last_before(edges.inner_low) < 0
    own = np.take_along_axis(happened, np.maximum(first, 0), axis=1)
    return np.where(unanchored, sums - own, sums), first >= 0


def smoothed_at(windows: Windows) -> Result:
    """A smoothed instant selector: the value at each `end`, interpolated; the last one if none follows."""
    shape = (windows.rows.shape[0], len(windows.low))
    if not len(windows.times):
        return np.zeros(shape), np.zeros(shape, dtype=np.bool_)
    edges = Edges(windows)
    before, after = edges.last_before(edges.inner_high), edges.first_from(edges.inner_high)
    exact = (after >= 0) & (edges.time(after) == windows.end)
    between = _between(edges, before, np.maximum(after, 0), windows.end, counter=False)
    result = np.where(after >= 0, between, edges.value(before))
    return np.where(exact, edges.value(after), result), exact | (before >= 0)


def raw(windows: Windows, row: int, *, smoothed: bool) -> tuple[Ints, Floats]:
    """The samples of one row's first window, with the values at its edges."""
    valid = None if windows.valid is None else windows.valid[row : row + 1]
    one = Windows(
        windows.times, windows.rows[row : row + 1], valid, windows.low[:1], windows.high[:1],
        windows.start[:1], windows.end[:1],
    )  # fmt: skip
    if not len(one.times):
        return one.times, np.empty(0)
    edges = Edges(one)
    left, right, present = boundaries(edges, smoothed=smoothed, counter=False)
    if not present[0, 0]:
        return np.empty(0, dtype=np.int64), np.empty(0)
    inside = np.arange(int(edges.inner_low[0]), int(edges.inner_high[0]))
    if valid is not None:
        inside = inside[valid[0, inside]]
    times = np.concatenate((one.start, one.times[inside], one.end))
    return times, np.concatenate((left[0], one.rows[0, inside], right[0]))
