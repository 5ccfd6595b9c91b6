"""Operators and aggregations where native histograms are among the samples; floats stay in arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from mamimon.metrics.histogram import Histogram, changed, compact, divided, same, scaled
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import Aggregate, Binary
from mamimon.metrics.promql.grouping import Groups
from mamimon.metrics.promql.histogram_sums import Combined, Incompatible, added, mean, subtracted, summed
from mamimon.metrics.promql.histogram_values import trimmed
from mamimon.metrics.promql.histogram_windows import MIXED_SCHEMAS, note_combined
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import Bools, Floats, Objects, Vector

Sample: TypeAlias = float | Histogram
_NOTHING = (None, False)


class Operator:
    """One binary operator, applied to pairs of which at least one is a histogram."""

    def __init__(self, node: Binary, notes: Annotations) -> None:
        self.node = node
        self.notes = notes

    def apply(self, left: Sample, right: Sample) -> tuple[Sample | None, bool]:
        """The result, and whether a comparison holds; (None, False) where there is none."""
        op = self.node.op
        if isinstance(left, Histogram) and isinstance(right, Histogram):
            return self._both(left, right)
        if op == "*":
            histogram, factor = (left, right) if isinstance(left, Histogram) else (right, left)
            assert isinstance(histogram, Histogram) and not isinstance(factor, Histogram)
            return compact(scaled(histogram, factor)), True
        if isinstance(left, Histogram) and not isinstance(right, Histogram):
            if op == "/":
                return compact(divided(left, right)), True
            if op in ("</", ">/"):
                return trimmed(left, right, upper=op == "</"), True
        self.refuse(left, right)
        return _NOTHING

    def refuse(self, left: Sample, right: Sample) -> None:
        """Say that these two do not go together."""
        op = self.node.op
        first, second = ("histogram" if isinstance(one, Histogram) else "float" for one in (left, right))
        self.notes.info(
            self.node,
            f"incompatible sample types encountered for binary operator {quote(op)}: {first} {op} {second}",
        )

    def _both(self, left: Histogram, right: Histogram) -> tuple[Sample | None, bool]:
        op = self.node.op
        if op in ("==", "!="):
            return left, same(left, right) == (op == "==")
        if op not in ("+", "-"):
            self.refuse(left, right)
            return _NOTHING
        try:
            combined = added(left, right) if op == "+" else subtracted(left, right)
        except Incompatible:
            self.notes.warn(self.node, f"incompatible bucket layout encountered for binary operator {op}")
            return _NOTHING
        note_combined(self.notes, self.node, combined, "addition" if op == "+" else "subtraction")
        if combined.collision:  # no result, only the warning, as in Prometheus
            return _NOTHING
        result = combined.histogram if op == "+" else changed(combined.histogram, hint="gauge")
        return compact(result), True


def patch(
    operator: Operator,
    left: tuple[Floats, Objects | None],
    right: tuple[Floats, Objects | None],
    where: Bools,
    result: tuple[Floats, Bools],
) -> tuple[Floats, Bools, Objects]:
    """Put the pairs with histograms (`where`) into a result that the floats alone gave."""
    shape = where.shape
    values, present = np.array(np.broadcast_to(result[0], shape)), np.array(np.broadcast_to(result[1], shape))
    histograms = np.full(shape, None, dtype=object)
    sides: list[tuple[Any, Any]] = [
        (np.broadcast_to(numbers, shape), None if objects is None else np.broadcast_to(objects, shape))
        for numbers, objects in (left, right)
    ]
    for row, step in np.argwhere(where).tolist():
        pair = []
        for numbers, objects in sides:
            one = None if objects is None else objects[row, step]
            pair.append(float(numbers[row, step]) if one is None else one)
        outcome, holds = operator.apply(pair[0], pair[1])
        present[row, step] = outcome is not None and (holds or operator.node.bool_modifier)
        if outcome is None:
            continue
        if operator.node.bool_modifier:
            values[row, step] = float(holds)
        elif isinstance(outcome, Histogram):
            histograms[row, step], values[row, step] = outcome, np.nan
        else:
            values[row, step] = outcome
    return values, present, histograms


def note_ignored(node: Aggregate, vector: Vector, notes: Annotations) -> Vector:
    """The floats of a vector, for aggregations that know nothing else; histograms left out are noted."""
    if vector.histograms is None:
        return vector
    if vector.histogram_mask().any():
        at = node if node.op in ("topk", "bottomk") else node.expr
        notes.info(at, f"ignored histogram in {node.op} aggregation")
    floats = vector.floats()
    return floats.take(np.flatnonzero(floats.mask().any(axis=1)))


def fold(node: Aggregate, vector: Vector, groups: Groups, result: Vector, notes: Annotations) -> Vector:
    """sum and avg with histograms: `result` is what the floats alone gave, by group."""
    assert vector.histograms is not None
    mask = vector.histogram_mask()
    values, present = result.values.copy(), result.mask().copy()
    histograms = np.full(values.shape, None, dtype=object)
    for group in range(groups.count):
        rows = groups.rows(group)
        for step in np.flatnonzero(mask[rows].any(axis=0)).tolist():
            if present[group, step]:
                notes.warn(node.expr, "encountered a mix of histograms and floats for aggregation")
                present[group, step] = False
                continue
            members = [row for row in rows.tolist() if mask[row, step]]
            combined = _combined(node, vector, members, step, notes)
            if combined is None:
                continue
            note_combined(notes, node.expr, combined, "aggregation")
            histograms[group, step], values[group, step] = compact(combined.histogram), np.nan
            present[group, step] = True
    return Vector(
        labels=result.labels,
        values=values,
        present=present,
        drop_name=result.drop_name,
        histograms=histograms,
    )


def _combined(
    node: Aggregate, vector: Vector, rows: list[int], step: int, notes: Annotations
) -> Combined | None:
    assert vector.histograms is not None
    samples = [vector.histograms[row, step] for row in rows]
    try:
        return summed(samples) if node.op == "sum" else mean(samples)
    except Incompatible:
        odd = next(i for i, one in enumerate(samples) if one.is_custom != samples[0].is_custom)
        name = vector.labels[rows[odd]].get("__name__", "")
        notes.warn(node.expr, MIXED_SCHEMAS + quote(name))
        return None
