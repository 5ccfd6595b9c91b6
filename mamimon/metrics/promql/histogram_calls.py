"""histogram_quantile and its relatives, over classic buckets (arrays) and native histograms (objects)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.promql import buckets, histogram_values, labelling
from mamimon.metrics.promql.annotations import named
from mamimon.metrics.promql.ast import Call, Expr, String, unwrap
from mamimon.metrics.promql.evaluator import Evaluator
from mamimon.metrics.promql.values import Bools, Floats, Ints, Vector, concatenate, empty, signature, without

_PARTS: dict[str, Callable[[Histogram], float]] = {
    "histogram_avg": lambda one: one.sum / one.count if one.count else math.nan,
    "histogram_count": lambda one: one.count,
    "histogram_stddev": lambda one: math.sqrt(v) if (v := histogram_values.variance(one)) >= 0 else math.nan,
    "histogram_stdvar": histogram_values.variance,
    "histogram_sum": lambda one: one.sum,
}


def _mapped(vector: Vector, function: Callable[[Histogram, int, str], float]) -> Vector:
    """A number from each native histogram; `function` is told the step and the metric's name."""
    mask = vector.histogram_mask()
    rows = np.flatnonzero(mask.any(axis=1))
    if vector.histograms is None or not len(rows):
        return empty(vector.steps)
    kept = vector.take(rows)
    kept.present, kept.values = mask[rows], np.zeros((len(rows), vector.steps))
    for row, step in np.argwhere(kept.present).tolist():
        metric = kept.labels[row].get("__name__", "")
        assert kept.histograms is not None
        kept.values[row, step] = function(kept.histograms[row, step], step, metric)
    kept.histograms, kept.drop_name = None, [True] * len(rows)
    return kept


def part(run: Evaluator, node: Call, times: Ints) -> Vector:
    """histogram_avg, _count, _stddev, _stdvar and _sum: native histograms only."""
    function = _PARTS[node.function.name]
    # As in Prometheus, where no buckets are needed resets are looked for between all samples.
    with run.comparing(node.function.name not in ("histogram_stddev", "histogram_stdvar")):
        vector = run.vector(node.args[0], times)
    return _mapped(vector, lambda one, _, __: function(one))


def _bucket_vector(batch: buckets.Batch, values: Floats, present: Bools) -> Vector:
    drops = [True] * len(batch.labels)
    return Vector(labels=batch.labels, values=values, present=present, drop_name=drops)


def _split(run: Evaluator, vector: Vector, node: Expr) -> tuple[list[buckets.Batch], Vector]:
    """Classic histograms, and the vector of native ones; where both are, neither is taken."""
    floats = vector.floats()
    kept = np.flatnonzero(floats.mask().any(axis=1))
    batches = buckets.collect(
        floats if len(kept) == len(floats.labels) else floats.take(kept), node, run.notes
    )
    if vector.histograms is None or not batches:
        return batches, vector
    native = {signature(labels): row for row, labels in enumerate(vector.labels)}
    for batch in batches:
        for number, labels in enumerate(batch.labels):
            row = native.get(signature(without(labels, ("le",))))
            if row is None:
                continue
            both = batch.present[number].any(axis=0) & vector.histogram_mask()[row]
            if both.any():
                run.notes.warn(
                    node,
                    named(
                        "vector contains a mix of classic and native histograms", labels.get("__name__", "")
                    ),
                )
                batch.present[number] &= ~both
                vector = vector.take(np.arange(len(vector.labels)))
                assert vector.histograms is not None
                vector.histograms[row, both] = None
    return batches, vector


def _check(run: Evaluator, node: Expr, values: Floats) -> None:
    for value in np.unique(values[~((values >= 0) & (values <= 1))])[:10].tolist():
        run.notes.quantile(node, value)


def _quantiles(
    run: Evaluator, split: tuple[list[buckets.Batch], Vector], share: Floats, node: Expr, times: Ints
) -> list[Vector]:
    batches, vector = split
    parts = []
    for batch in batches:
        repair = buckets.Repair()
        values, present = buckets.bucket_quantile(batch, share, repair)
        repair.note(run.notes, node, batch.labels, times)
        parts.append(_bucket_vector(batch, values, present))

    def native(one: Histogram, step: int, metric: str) -> float:
        value, note = histogram_values.quantile(one, float(share[step]))
        if note:
            what = "result is NaN" if note == "result" else "result is skewed higher"
            run.notes.info(node, named(f"input to histogram_quantile has NaN observations, {what}", metric))
        return value

    parts.append(_mapped(vector, native))
    return parts


def quantile(run: Evaluator, node: Call, times: Ints) -> Vector:
    """histogram_quantile."""
    share = run.scalar(node.args[0], times)
    with run.comparing(False):
        vector = run.vector(node.args[1], times)
    _check(run, node.args[0], share)
    split = _split(run, vector, node.args[1])
    return concatenate(_quantiles(run, split, share, node.args[1], times), len(times))


def quantiles(run: Evaluator, node: Call, times: Ints) -> Vector:
    """histogram_quantiles: each φ under its value of a label."""
    split = _split(run, run.vector(node.args[0], times), node.args[0])
    label = unwrap(node.args[1])
    assert isinstance(label, String)
    parts = []
    for argument in node.args[2:]:
        share = run.scalar(argument, times)
        _check(run, argument, share)
        found = concatenate(_quantiles(run, split, share, node.args[0], times), len(times))
        parts.append(labelling.with_quantile(found, label.value, share))
    return labelling.merge(concatenate(parts, len(times)))


def fraction(run: Evaluator, node: Call, times: Ints) -> Vector:
    """histogram_fraction."""
    lower, upper = run.scalar(node.args[0], times), run.scalar(node.args[1], times)
    batches, vector = _split(run, run.vector(node.args[2], times), node.args[2])
    parts = [_bucket_vector(batch, *buckets.bucket_fraction(batch, lower, upper)) for batch in batches]

    def native(one: Histogram, step: int, metric: str) -> float:
        value, excluded = histogram_values.fraction(one, float(lower[step]), float(upper[step]))
        if excluded:
            text = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            run.notes.info(node.args[2], named(text, metric))
        return value

    return concatenate([*parts, _mapped(vector, native)], len(times))
