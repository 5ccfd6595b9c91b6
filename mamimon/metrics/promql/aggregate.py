"""The aggregators: one number a group (sum, quantile, …), or some series of it (topk, limitk, …).

Every group over every step at once; only `quantile` and the k-functions go group by group, because
they sort.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql import histogram_operators
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import Aggregate
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.grouping import Groups, group_labels, key_function, keys_of, number_keys
from mamimon.metrics.promql.histogram_values import show
from mamimon.metrics.promql.kernels import mean_of
from mamimon.metrics.promql.overtime import sorted_quantile
from mamimon.metrics.promql.sums import compensated, group_sums, reduced
from mamimon.metrics.promql.text import format_float, format_general
from mamimon.metrics.promql.values import Bools, Floats, Ints, Vector, empty
from mamimon.metrics.promql.xxhash import hash_labels

_WELFORD_ROWS = 256
"""Larger groups' variances are taken from all rows at once."""


def _filled(vector: Vector, value: float) -> Floats:
    return vector.values if vector.present is None else np.where(vector.present, vector.values, value)


def _by_steps(
    groups: Groups, vector: Vector, value: float, reduce: Callable[[Groups, Floats], Floats]
) -> Floats:
    """`reduce` of all samples, `value` where there is none; only the steps that lack any are copied."""
    if vector.present is None:
        return reduce(groups, vector.values)
    whole = np.flatnonzero(vector.present.all(axis=0))
    if not len(whole) or whole[-1] + 1 - whole[0] != len(whole):
        return reduce(groups, _filled(vector, value))
    first, last = int(whole[0]), int(whole[-1]) + 1
    out = np.empty((groups.count, vector.steps))
    for part in (slice(0, first), slice(first, last), slice(last, vector.steps)):
        if part.start < part.stop:
            values = vector.values[:, part]
            if part.start != first:
                values = np.where(vector.present[:, part], values, value)
            out[:, part] = reduce(groups, values)
    return out


def group_counts(groups: Groups, vector: Vector) -> Floats:
    """Samples of each group at each step."""
    out = np.repeat(groups.sizes[:, None].astype(np.float64), vector.steps, axis=1)
    if vector.present is None:
        return out
    gaps = np.flatnonzero(~vector.present.all(axis=0))
    if len(gaps):
        present = vector.present[:, gaps] if groups.identity else vector.present[groups.order[:, None], gaps]
        out[:, gaps] = np.add.reduceat(present, groups.starts, axis=0, dtype=np.float64)
    return out


def _sum(groups: Groups, vector: Vector) -> Floats:
    return _by_steps(groups, vector, 0.0, group_sums)


def _avg(groups: Groups, vector: Vector) -> Floats:
    values = _filled(vector, 0.0)
    counts = group_counts(groups, vector)
    sums, lost = compensated(groups, values)
    means = mean_of(sums, lost, counts)
    if not np.isfinite(sums).all():
        # An overflow of finite numbers: divide first. A real infinity stays one.
        share = values / counts[groups.group_of]
        scaled = group_sums(groups, share)
        means = np.where(np.isfinite(sums), means, scaled)
    return np.asarray(means)


def _extremum(groups: Groups, vector: Vector, pick: np.ufunc) -> Floats:
    return _by_steps(groups, vector, math.nan, lambda groups, values: reduced(groups, values, pick))


def _variance(groups: Groups, vector: Vector) -> Floats:
    if groups.sizes.max() <= _WELFORD_ROWS:
        return _variance_in_order(groups, vector)
    counts = group_counts(groups, vector)
    # Relative to the smallest, so that equal numbers differ by exactly nothing from their mean.
    base = _extremum(groups, vector, np.fmin)
    delta = vector.values - base[groups.group_of]
    if vector.present is not None:
        delta[~vector.present] = 0.0
    delta -= (group_sums(groups, delta) / counts)[groups.group_of]
    if vector.present is not None:
        delta[~vector.present] = 0.0
    return group_sums(groups, delta * delta) / counts


def _variance_in_order(groups: Groups, vector: Vector) -> Floats:
    """Welford's method series by series, as Prometheus does: the last digits are also its."""
    count, mean, total = (np.zeros((groups.count, vector.steps)) for _ in range(3))
    by_size = np.argsort(-groups.sizes, kind="stable")
    for place in range(int(groups.sizes.max())):
        here = by_size[: int((groups.sizes > place).sum())]
        rows = groups.order[groups.starts[here] + place]
        sample = vector.values[rows]
        number = count[here] + 1
        delta = sample - mean[here]
        new_mean = mean[here] + delta / number
        new_total = total[here] + delta * (sample - new_mean)
        if vector.present is not None:
            present = vector.present[rows]
            number = np.where(present, number, count[here])
            new_mean = np.where(present, new_mean, mean[here])
            new_total = np.where(present, new_total, total[here])
        count[here], mean[here], total[here] = number, new_mean, new_total
    return total / count


def quantile_by_group(groups: Groups, vector: Vector, quantile: Floats) -> Floats:
    """The φ-quantile, φ a step."""
    out = np.empty((groups.count, vector.steps))
    whole = vector.present is None and not np.isnan(vector.values).any()
    for group in range(groups.count):
        rows = groups.rows(group)
        values = vector.values[rows].T
        if whole:
            count = np.full(vector.steps, len(rows))
            out[group] = sorted_quantile(np.sort(values, axis=1), count, np.zeros_like(count), quantile)
            continue
        present = vector.mask()[rows].T
        kept = np.where(present, values, math.nan)
        count = present.sum(axis=1)
        nans = count - (~np.isnan(kept)).sum(axis=1)
        out[group] = sorted_quantile(np.sort(kept, axis=1), count, nans, quantile)
    return out


_REDUCTIONS: dict[str, Callable[[Groups, Vector], Floats]] = {
    "sum": _sum,
    "avg": _avg,
    "count": group_counts,
    "group": lambda groups, vector: np.ones((groups.count, vector.steps)),
    "min": lambda groups, vector: _extremum(groups, vector, np.fmin),
    "max": lambda groups, vector: _extremum(groups, vector, np.fmax),
    "stdvar": _variance,
    "stddev": lambda groups, vector: np.sqrt(_variance(groups, vector)),
}


def make_groups(vector: Vector, names: list[str], *, without_names: bool) -> tuple[Groups, list[Labels]]:
    """The groups of a vector and their labels."""
    if not names and not without_names:
        return Groups(np.zeros(len(vector.labels), dtype=np.int64), 1), [{}]
    known: dict[object, int] = {}
    group_of = number_keys(keys_of(vector.labels, names, on=not without_names), known)
    first = np.zeros(len(known), dtype=np.int64)
    first[group_of[::-1]] = np.arange(len(group_of))[::-1]
    labels = [group_labels(vector.labels[row], names, without_names=without_names) for row in first]
    return Groups(group_of, len(known)), labels


def aggregate(
    op: str, vector: Vector, names: list[str], *, without_names: bool, param: Floats | None
) -> Vector:
    """Any of the aggregators that make one series a group."""
    if not vector.labels:
        return empty(vector.steps)
    groups, labels = make_groups(vector, names, without_names=without_names)
    if op == "quantile":
        assert param is not None
        values = quantile_by_group(groups, vector, param)
    else:
        values = _REDUCTIONS[op](groups, vector)
    present: Bools | None = None
    if vector.present is not None:
        present = group_counts(groups, vector) > 0
    drops = None
    if vector.drop_name is not None:
        dropped = np.bincount(groups.group_of, weights=np.array(vector.drop_name, dtype=np.float64))
        drops = [bool(drop) for drop in dropped > 0]
    return Vector(labels=labels, values=values, present=present, drop_name=drops)


def with_histograms(node: Aggregate, vector: Vector, notes: Annotations) -> Vector:
    """sum and avg of floats and native histograms; a group that has both at one step has no result."""
    result = aggregate(node.op, vector.floats(), node.grouping, without_names=node.without, param=None)
    groups, _ = make_groups(vector, node.grouping, without_names=node.without)
    return histogram_operators.fold(node, vector, groups, result, notes)


def _value_texts(vector: Vector, mask: Bools) -> tuple[list[str], Ints]:
    """The different values as texts, and which of them each sample has."""
    if vector.histograms is None:
        # By their bits: 0 and -0 are two values.
        found, inverse = np.unique(vector.values[mask].view(np.int64), return_inverse=True)
        texts: dict[Hashable, int] = {}
        of = number_keys([format_float(value) for value in found.view(np.float64).tolist()], texts)
        return [str(text) for text in texts], of[inverse]
    pairs = zip(vector.values[mask].tolist(), vector.histograms[mask].tolist(), strict=True)
    shown = [format_float(value) if one is None else show(one) for value, one in pairs]
    known: dict[Hashable, int] = {}
    numbers = number_keys(shown, known)
    return [str(text) for text in known], numbers


def count_values(vector: Vector, label: str, names: list[str], *, without_names: bool) -> Vector:
    """One series for each group and value, the value in `label`."""
    if not vector.labels:
        return empty(vector.steps)
    mask = vector.mask()
    texts, inverse = _value_texts(vector, mask)
    rows, steps = np.nonzero(mask)
    grouping = names if without_names else [*names, label]
    key = key_function(grouping, on=not without_names)
    known: dict[object, int] = {}
    labels: list[Labels] = []
    pairs, pair_of = np.unique(rows * len(texts) + inverse, return_inverse=True)
    series = np.empty(len(pairs), dtype=np.int64)
    for number, pair in enumerate(pairs):
        row, value = divmod(int(pair), len(texts))
        whole = {**vector.labels[row], label: texts[value]}
        series[number] = known.setdefault(key(whole), len(known))
        if len(known) > len(labels):
            labels.append(group_labels(whole, grouping, without_names=without_names))
    counts = np.zeros((len(known), vector.steps))
    np.add.at(counts, (series[pair_of], steps), 1)
    return Vector(labels=labels, values=counts, present=counts > 0)


def choose(op: str, vector: Vector, names: list[str], *, without_names: bool, param: Floats) -> Vector:
    """topk, bottomk and limitk: some series of each group, unchanged, chosen anew at every step."""
    if not vector.labels:
        return vector
    wanted = np.where(np.isnan(param), 0, np.clip(param, 0, len(vector.labels))).astype(np.int64)
    groups, _ = make_groups(vector, names, without_names=without_names)
    mask = vector.mask()
    chosen = np.zeros(mask.shape, dtype=np.bool_)
    for group in range(groups.count):
        rows = groups.rows(group)
        present = mask[rows]
        if op == "limitk":
            chosen[rows] = present & (np.cumsum(present, axis=0) <= wanted)
            continue
        chosen[rows] = _best(vector.values[rows], present, wanted, descending=op == "topk")
    kept = np.flatnonzero(chosen.any(axis=1))
    out = vector.take(kept)
    out.present = chosen[kept]
    if vector.steps == 1 and op != "limitk":
        return _sorted_in_groups(out, groups.group_of[kept], descending=op == "topk")
    return out


def _best(values: Floats, present: Bools, wanted: Ints, *, descending: bool) -> Bools:
    """Which of [series, steps] are among the `wanted` best of their step; ties keep the order of series."""
    most = min(int(wanted.max()), len(values))
    if most * 8 <= len(values) and np.isfinite(values).all():
        return _best_of_many(values, present, wanted, most, descending=descending)
    key = np.where(present, -values if descending else values, math.nan).T
    if np.isnan(values[present]).any():  # NaN comes behind numbers, but before what is not there
        order = np.lexsort((key, np.where(present, np.isnan(values), 2).T), axis=1)[:, :most]
    else:
        order = np.argsort(key, axis=1, kind="stable")[:, :most]
    chosen = np.zeros(key.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, np.arange(most) < wanted[:, None], axis=1)
    return np.asarray(chosen.T & present)


def _best_of_many(values: Floats, present: Bools, wanted: Ints, most: int, *, descending: bool) -> Bools:
    """As `_best`, where few of many are wanted and all are finite: one after another instead of sorted."""
    key = np.where(present, values if descending else -values, -math.inf).T.copy()
    chosen = np.zeros(key.shape, dtype=np.bool_)
    steps = np.arange(len(key))
    for number in range(most):
        best = key.argmax(axis=1)
        chosen[steps, best] |= number < wanted
        key[steps, best] = -math.inf
    return np.asarray(chosen.T & present)


def _sorted_in_groups(vector: Vector, group_of: Ints, *, descending: bool) -> Vector:
    values = vector.values[:, 0]
    order = np.lexsort((-values if descending else values, np.isnan(values), group_of))
    return vector.take(order)


def limit_ratio(node: Aggregate, vector: Vector, param: Floats, notes: Annotations) -> Vector:
    """A fixed share of the series, chosen by a hash of their labels; a negative share is the complement."""
    for value in np.unique(param[np.abs(param) > 1])[:10].tolist():
        shown = format_general(value)
        bound = "1" if value > 0 else "-1"
        notes.warn(
            node.param or node,
            f"ratio value should be between -1 and 1, got {shown}, capping to {bound}",
        )
    if np.isnan(param).any():
        raise PromQLError("execution", "Ratio value is NaN")
    share = np.clip(param, -1.0, 1.0)
    place = np.array([hash_labels(labels) / (2**64 - 1) for labels in vector.labels]).reshape(-1, 1)
    chosen = np.where(share >= 0, place < share, place >= 1.0 + share) & vector.mask()
    kept = np.flatnonzero(chosen.any(axis=1))
    out = vector.take(kept)
    out.present = chosen[kept]
    return out
