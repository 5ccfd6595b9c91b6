"""Functions that change or compare labels, and the merging of series that end up with equal ones."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import re2

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.grouping import number_keys
from mamimon.metrics.promql.text import format_float
from mamimon.metrics.promql.values import METADATA_LABELS, Floats, Ints, Vector, signature, without
from mamimon.metrics.regexes import compile_regex, expand

_DIGITS = re.compile(r"([0-9]+)")


def merge(vector: Vector) -> Vector:
    """Series with equal labels become one; two samples at the same step are an error."""
    keys = [frozenset(labels.items()) for labels in vector.labels]
    if len(set(keys)) == len(keys):
        return vector
    number = number_keys(keys)
    count = int(number.max()) + 1
    mask = vector.mask()
    seen = np.zeros((count, vector.steps), dtype=np.int64)
    np.add.at(seen, number, mask)
    if (seen > 1).any():
        raise PromQLError("execution", "vector cannot contain metrics with the same labelset")
    values = np.zeros((count, vector.steps))
    np.add.at(values, number, np.where(mask, vector.values, 0.0))
    first = np.zeros(count, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    out = vector.take(first)
    out.values, out.present = values, seen > 0
    if vector.histograms is not None:
        out.histograms = np.full(values.shape, None, dtype=object)
        for row, step in np.argwhere(vector.histogram_mask()):
            out.histograms[number[row], step] = vector.histograms[row, step]
    return out


def finish(vector: Vector) -> Vector:
    """Drop the names that are due and merge what has become equal."""
    if vector.drop_name is not None:
        vector.labels = [
            without(labels, METADATA_LABELS) if drop else labels
            for labels, drop in zip(vector.labels, vector.drop_name, strict=True)
        ]
        vector.drop_name = None
    return merge(vector)


def _set(labels: Labels, name: str, value: str) -> Labels:
    return {**labels, name: value} if value else without(labels, (name,))


def is_name(name: str) -> bool:
    """Any UTF-8 text but the empty one; what was no UTF-8 has become U+FFFD."""
    return bool(name) and "\ufffd" not in name


def _renamed(vector: Vector, labels: list[Labels], changed: list[bool], target: str) -> Vector:
    drops = vector.drop_name
    if drops is not None and target == "__name__":  # a name that was set on purpose stays
        drops = [drop and not done for drop, done in zip(drops, changed, strict=True)]
    return merge(
        Vector(
            labels=labels,
            values=vector.values,
            present=vector.present,
            drop_name=drops,
            histograms=vector.histograms,
        )
    )


def replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    """label_replace."""
    try:
        regex = compile_regex(pattern)
    except re2.error:
        raise PromQLError("execution", f"invalid regular expression in label_replace(): {pattern}") from None
    if not is_name(target):
        raise PromQLError("execution", f"invalid destination label name in label_replace(): {target}")
    out: list[Labels] = []
    changed: list[bool] = []
    for labels in vector.labels:
        match = regex.fullmatch(labels.get(source, ""))
        changed.append(match is not None)
        out.append(labels if match is None else _set(labels, target, expand(replacement, match)))
    return _renamed(vector, out, changed, target)


def join(vector: Vector, target: str, separator: str, sources: Sequence[str]) -> Vector:
    """label_join."""
    for source in sources:
        if not is_name(source):
            raise PromQLError("execution", f"invalid source label name in label_join(): {source}")
    if not is_name(target):
        raise PromQLError("execution", f"invalid destination label name in label_join(): {target}")
    out = [
        _set(labels, target, separator.join(labels.get(source, "") for source in sources))
        for labels in vector.labels
    ]
    return _renamed(vector, out, [True] * len(out), target)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts `a10` behind `a9`; beside text, digits have the place that their signs have."""
    return [
        (1, int(part), part) if part[0] in "0123456789" else (0 if part < "0" else 2, 0, part)
        for part in _DIGITS.split(text)
        if part
    ]


def label_order(labels: list[Labels], names: Sequence[str], *, descending: bool) -> Ints:
    """Rows in natural order of some labels, then of all."""
    order = sorted(
        range(len(labels)),
        key=lambda row: ([_natural(labels[row].get(name, "")) for name in names], signature(labels[row])),
        reverse=descending,
    )
    return np.array(order, dtype=np.int64)


def with_quantile(vector: Vector, label: str, quantile: Floats) -> Vector:
    """The series once for each value that φ takes, under that value of `label`."""
    found = np.unique(quantile)
    out: list[Vector] = []
    for value in found.tolist():
        text = format_float(value)
        if math.isfinite(value) and "." not in text:
            text += ".0"
        here = quantile == value if not math.isnan(value) else np.isnan(quantile)
        out.append(
            Vector(
                labels=[{**labels, label: text} for labels in vector.labels],
                values=vector.values,
                present=vector.mask() & here,
                drop_name=vector.drop_name,
            )
        )
    from mamimon.metrics.promql.values import concatenate

    return concatenate(out, vector.steps)
