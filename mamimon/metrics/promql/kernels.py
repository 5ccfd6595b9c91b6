"""Sums and extrema over many windows at once.

Sums are differences of prefix sums. A plain prefix sum over a day loses the small window in the large
total, so each step's rounding error is recovered exactly (Knuth's TwoSum, over the whole array at once,
because `np.add.accumulate` adds strictly from left to right) and summed beside it. That equals the
compensated sums of Prometheus without a loop. Rows whose sums are not finite, or that hold numbers of
widely different size, take the gathering path.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mamimon.metrics.promql.values import Bools, Floats, Ints, Samples
from mamimon.metrics.spacing import even_step

GATHER_CELLS = 1 << 21
"""How many samples the gathering path holds at once (16 MiB)."""
_BLIND = 1e-11


def two_sum_error(left: Floats, right: Floats, total: Floats) -> Floats:
    """What `total = left + right` lost to rounding, exactly."""
    shadow = total - left
    return np.asarray((left - (total - shadow)) + (right - shadow))


def _pick(rows: Floats, column: Ints) -> Floats:
    """Columns of rows, the same for all ([steps]) or each row's own ([rows, steps])."""
    if column.ndim == 1:
        return np.asarray(np.take(rows, column, axis=1))
    return np.asarray(np.take_along_axis(rows, column, axis=1))


class Prefix:
    """Compensated prefix sums of rows [k, n]; `window` and `parts` give sums of [low, high)."""

    def __init__(self, rows: Floats) -> None:
        count, length = rows.shape
        self._sums = np.zeros((count, length + 1))
        np.add.accumulate(rows, axis=1, out=self._sums[:, 1:])
        lost = two_sum_error(self._sums[:, :-1], rows, self._sums[:, 1:])
        self._lost: Floats | None = None
        if lost.any():  # whole numbers, the usual case of counters, lose nothing
            self._lost = np.zeros((count, length + 1))
            np.add.accumulate(lost, axis=1, out=self._lost[:, 1:])

    def blind(self, rows: Floats, sums: Floats) -> Bools:
        """Which rows have windows so small beside the row's total that their digits are lost.

        Two numbers a prefix hold 30 digits: a window of ordinary numbers beside 1e32 is not among them.
        """
        if self._lost is None:
            return np.zeros(len(rows), dtype=np.bool_)
        reach = _BLIND * np.maximum(self._sums.max(axis=1), -self._sums.min(axis=1))
        blind: Bools = (np.abs(sums) < reach[:, None]).any(axis=1)
        for row in np.flatnonzero(blind).tolist():
            sizes = np.abs(rows[row])
            blind[row] = bool(((sizes > 0) & (sizes < reach[row])).any())
        return blind

    def window(self, low: Ints, high: Ints) -> Floats:
        """Sums of [low, high) at each step; [k, steps]. `low` may differ by row."""
        total, rest = self.parts(low, high)
        return total if rest is None else np.asarray(total + rest)

    def parts(self, low: Ints, high: Ints) -> tuple[Floats, Floats | None]:
        """As `window`: the rounded sums and what rounding took from them (None: nothing)."""
        upper, lower = np.take(self._sums, high, axis=1), _pick(self._sums, low)
        total: Floats = upper - lower
        if self._lost is None:
            return total, None
        rest = two_sum_error(upper, -lower, total)
        rest += np.take(self._lost, high, axis=1)
        rest -= _pick(self._lost, low)
        return total, rest


def mean_of(total: Floats, lost: Floats | None, count: Floats | Ints) -> Floats:
    """(total + lost) / count rounded once, so that the mean of equal numbers is that number."""
    plain = total / count
    # The remainder of the division exactly: each half of the quotient (Veltkamp's split) times a count
    # below 2**27 has no more bits than a float holds.
    scaled = plain * 134217729.0
    upper = scaled - (scaled - plain)
    rest = (total - upper * count) - (plain - upper) * count
    if lost is not None:
        rest += lost
    rest /= count
    rest += plain
    return np.where(np.isfinite(rest), rest, plain)


def window_means(rows: Floats, low: Ints, high: Ints, count: Ints) -> Floats:
    """Mean of rows[:, low:high] at each step; not finite where the sum is not."""
    prefix = Prefix(rows)
    total, lost = prefix.parts(low, high)
    means = mean_of(total, lost, count)
    odd = ~np.isfinite(means).all(axis=1) | prefix.blind(rows, total)
    if odd.any():
        counts = np.broadcast_to(count, means.shape)
        means[odd] = window_sums(rows[odd], low if low.ndim == 1 else low[odd], high) / counts[odd]
    return means


def window_sums(rows: Floats, low: Ints, high: Ints) -> Floats:
    """Sum of rows[:, low:high] at each step; rows hold 0 where there is no sample."""
    prefix = Prefix(rows)
    sums = prefix.window(low, high)
    odd = ~np.isfinite(sums).all(axis=1) | prefix.blind(rows, sums)
    if odd.any():  # infinities and NaN poison every later prefix: sum those rows window by window
        if low.ndim == 1:
            sums[odd] = gathered_sums(rows[odd], low, high)
        else:
            for row in np.flatnonzero(odd):
                sums[row] = gathered_sums(rows[row : row + 1], low[row], high)
    return sums


def gathered_sums(rows: Floats, low: Ints, high: Ints) -> Floats:
    """As `window_sums`, one window after another in the order of time (Neumaier's summation)."""
    out = np.zeros((rows.shape[0], len(low)))
    for first, last in gather_spans(rows.shape[0], low, high):
        index, inside = gather_index(low[first:last], high[first:last])
        total = np.zeros((rows.shape[0], last - first))
        lost = np.zeros_like(total)
        for column in range(index.shape[1]):
            value = np.where(inside[:, column], rows[:, index[:, column]], 0.0)
            total, lost = kahan_step(value, total, lost)
        out[:, first:last] = np.where(np.isinf(total), total, total + lost)
    return out


def kahan_step(value: Floats, total: Floats, lost: Floats) -> tuple[Floats, Floats]:
    """One step of Neumaier's compensated sum, element by element."""
    new = total + value
    larger = np.abs(total) >= np.abs(value)
    error = np.where(larger, (total - new) + value, (value - new) + total)
    return new, np.where(np.isinf(new), 0.0, lost + error)


def gather_spans(rows: int, low: Ints, high: Ints) -> list[tuple[int, int]]:
    """Ranges of steps whose windows together fit `GATHER_CELLS`."""
    width = max(1, int((high - low).max(initial=1))) * max(1, rows)
    size = max(1, GATHER_CELLS // width)
    return [(first, min(first + size, len(low))) for first in range(0, len(low), size)]


def gather_index(low: Ints, high: Ints) -> tuple[Ints, Bools]:
    """Column numbers [steps, width] of each window, and which of them are inside it."""
    width = max(1, int((high - low).max(initial=1)))
    index = low[:, None] + np.arange(width, dtype=np.int64)[None, :]
    inside = index < high[:, None]
    return np.where(inside, index, 0), inside


def sliding(rows: Samples, low: Ints, high: Ints, pick: np.ufunc) -> Samples:
    """`pick` (maximum, fmax, …) over rows[:, low:high]; windows must not be empty.

    Windows of a range query begin and end at few samples: what lies between two of these is picked once.
    """
    edges, first, last = _edges(low.tobytes(), high.tobytes())
    if len(edges) * 2 <= int(edges[-1] - edges[0]):
        rows = _doubled(rows, edges[:-1], edges[1:], pick)
        low, high = first, last
    return _doubled(rows, low, high, pick)


@lru_cache(maxsize=8)
def _edges(low: bytes, high: bytes) -> tuple[Ints, Ints, Ints]:
    """Where windows begin or end, and which of these each begins and ends at; tiles ask the same."""
    begins, ends = np.frombuffer(low, np.int64), np.frombuffer(high, np.int64)
    edges = np.sort(np.concatenate((begins, ends)))
    edges = edges[np.concatenate(([True], edges[1:] != edges[:-1]))]
    return edges, edges.searchsorted(begins), edges.searchsorted(ends)


def _doubled(rows: Samples, low: Ints, high: Ints, pick: np.ufunc) -> Samples:
    """By doubling: tables of 1, 2, 4, … samples, and every window is two overlapping entries of one."""
    out = np.empty((rows.shape[0], len(low)), dtype=rows.dtype)
    # The widest that two of them are needed of: the next one would be made for a single look at it.
    level_of = np.maximum(np.frexp((high - low - 1).astype(np.float64))[1] - 1, 0)
    table = rows
    for level in range(int(level_of.max(initial=0)) + 1):
        if level:
            # As one long row, in a third of the time; no window reaches into what mixes two rows.
            half = 1 << (level - 1)
            flat = np.ascontiguousarray(table).reshape(-1)
            table = np.empty(table.shape, dtype=table.dtype)
            pick(flat[:-half], flat[half:], out=table.reshape(-1)[:-half])
        steps = np.flatnonzero(level_of == level)
        if not len(steps):
            continue
        starts, ends = low[steps], high[steps] - (1 << level)
        first = columns_of(table, starts)
        place = slice(steps[0], steps[-1] + 1)
        if place.stop - place.start == len(steps):
            pick(first, columns_of(table, ends), out=out[:, place])
        else:
            out[:, steps] = pick(first, columns_of(table, ends))
    return out


def columns_of(rows: Samples, column: Ints) -> Samples:
    """Some columns; where they are evenly apart a view of them."""
    if apart := even_step(column):
        return rows[:, column[0] : column[-1] + 1 : apart]
    return np.asarray(np.take(rows, column, axis=1, mode="clip"))
