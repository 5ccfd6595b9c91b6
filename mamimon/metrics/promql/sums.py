"""Sums and extrema of groups of rows, every step at once."""

from __future__ import annotations

import numpy as np

from mamimon.metrics.promql.grouping import Groups
from mamimon.metrics.promql.kernels import two_sum_error
from mamimon.metrics.promql.values import Floats

_SMALL_CELLS = 1 << 16
"""So few samples are put in order faster than groups are gone through."""


def _ordered(groups: Groups, array: Floats) -> Floats:
    return array if groups.identity else array[groups.order]


def reduced(groups: Groups, values: Floats, pick: np.ufunc) -> Floats:
    """Each group's rows by `pick`; large groups one by one, which are mostly a few runs of rows."""
    if groups.count * 8 > len(values) or values.size <= _SMALL_CELLS:
        return np.asarray(pick.reduceat(_ordered(groups, values), groups.starts, axis=0))
    out = np.empty((groups.count, values.shape[1]))
    for group in range(groups.count):
        rows = groups.rows(group)
        edges = np.flatnonzero(rows[1:] - rows[:-1] != 1) + 1
        if len(edges) * 8 > len(rows):
            pick.reduce(values[rows], axis=0, out=out[group])
            continue
        begins, ends = rows[[0, *edges]].tolist(), rows[[*(edges - 1), -1]].tolist()
        pick.reduce(values[begins[0] : ends[0] + 1], axis=0, out=out[group])
        for begin, end in zip(begins[1:], ends[1:], strict=True):
            pick(out[group], pick.reduce(values[begin : end + 1], axis=0), out=out[group])
    return out


def group_sums(groups: Groups, values: Floats) -> Floats:
    """Sums of the rows of each group; `values` holds 0 where there is no sample.

    Numbers of one sign cannot cancel, so a plain sum is exact to the last digits.
    """
    if not values.size:
        return np.zeros((groups.count, values.shape[1]))
    low, high = values.min(), values.max()
    if low >= 0 or high <= 0 or groups.sizes.max() < 2:
        return reduced(groups, values, np.add)
    total, lost = compensated(groups, values)
    return total if lost is None else np.where(np.isfinite(total), total + lost, total)


def compensated(groups: Groups, values: Floats) -> tuple[Floats, Floats | None]:
    """Sums of the rows of each group, and what rounding took from them.

    Added in pairs, level by level, with the rounding error of every addition kept (as exact as Kahan's).
    """
    ordered = _ordered(groups, values)
    if not np.isfinite(values).all():
        return _sums_with_infinities(groups, ordered), None
    total, lost, sizes = ordered, np.zeros_like(ordered), groups.sizes
    if sizes.min() == sizes.max():
        return _paired(total.reshape(groups.count, -1, total.shape[1]))
    while sizes.max() > 1:
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        halves = (sizes + 1) // 2
        base = np.repeat(starts, halves)
        inside = np.arange(halves.sum()) - np.repeat(np.cumsum(halves) - halves, halves)
        left = base + 2 * inside
        paired = np.flatnonzero(2 * inside + 1 < np.repeat(sizes, halves))
        right = left[paired] + 1
        new_total, new_lost = total[left], lost[left]
        addend = total[right]
        before = new_total[paired]
        both = before + addend
        new_lost[paired] += lost[right] + two_sum_error(before, addend, both)
        new_total[paired] = both
        total, lost, sizes = new_total, new_lost, halves
    # Sums that overflowed have lost NaN; they are what they are.
    return total, lost


def _paired(total: Floats) -> tuple[Floats, Floats]:
    """As `compensated`, of [groups, rows, steps], groups of one size: no row has to be looked up."""
    lost = np.zeros_like(total)
    while total.shape[1] > 1:
        pairs = total.shape[1] // 2
        new_total, new_lost = total[:, ::2].copy(), lost[:, ::2].copy()
        before, addend = total[:, : 2 * pairs : 2], total[:, 1::2]
        both = before + addend
        new_lost[:, :pairs] += lost[:, 1::2] + two_sum_error(before, addend, both)
        new_total[:, :pairs] = both
        total, lost = new_total, new_lost
    return total[:, 0], lost[:, 0]


def _sums_with_infinities(groups: Groups, ordered: Floats) -> Floats:
    plain = np.add.reduceat(ordered, groups.starts, axis=0)
    columns = np.isfinite(ordered).all(axis=0)
    if columns.any():
        sorted_groups = Groups(np.repeat(np.arange(groups.count), groups.sizes), groups.count)
        plain[:, columns] = group_sums(sorted_groups, np.ascontiguousarray(ordered[:, columns]))
    return plain
