"""Binary operators: on numbers, on a vector and a number, and on two vectors matched by their labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import COMPARISONS, Binary, Matching
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.grouping import key_function, keys_of, number_keys
from mamimon.metrics.promql.histogram_operators import Operator, patch
from mamimon.metrics.promql.values import (
    METADATA_LABELS,
    Bools,
    Floats,
    Ints,
    Scalar,
    Vector,
    are_there,
    concatenate,
    describe,
    empty,
    signature,
    without,
)

ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
_COMPARE: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def scalars(op: str, left: Scalar, right: Scalar) -> Scalar:
    """Number with number; comparisons give 0 or 1."""
    if op in ARITHMETIC:
        return Scalar(ARITHMETIC[op](left.values, right.values))
    return Scalar(_COMPARE[op](left.values, right.values).astype(np.float64))


def vector_scalar(
    node: Binary, vector: Vector, scalar: Scalar, notes: Annotations, *, scalar_first: bool
) -> Vector:
    """Vector with number; a comparison keeps the vector's values where it holds."""
    result = _floats_scalar(node, vector.floats(), scalar, scalar_first=scalar_first)
    operator = Operator(node, notes)
    if node.op in ("</", ">/") and vector.floats().mask().any():
        operator.refuse(0.0, 0.0)
    if vector.histograms is None:
        return result
    sides = [(vector.values, vector.histograms), (scalar.values[None, :], None)]
    left, right = reversed(sides) if scalar_first else sides
    where = vector.histogram_mask()
    values, present, histograms = patch(operator, left, right, where, (result.values, result.mask()))
    drops = result.drop_name
    return Vector(
        labels=vector.labels, values=values, present=present, drop_name=drops, histograms=histograms
    )


def _floats_scalar(node: Binary, vector: Vector, scalar: Scalar, *, scalar_first: bool) -> Vector:
    left, right = vector.values, scalar.values[None, :]
    if scalar_first:
        left, right = right, left
    if node.op in ARITHMETIC:
        return vector.with_values(ARITHMETIC[node.op](left, right), vector.present, drop_name=True)
    if node.op not in _COMPARE:  # trimming is for histograms
        return vector.with_values(
            vector.values, np.zeros(vector.values.shape, dtype=np.bool_), drop_name=False
        )
    holds = _COMPARE[node.op](left, right)
    if node.bool_modifier:
        return vector.with_values(holds.astype(np.float64), vector.present, drop_name=True)
    present = holds if vector.present is None else holds & vector.present
    return vector.with_values(vector.values, present, drop_name=False)


class _Sides:
    """Two vectors and the number of each series' match group."""

    def __init__(self, left: Vector, right: Vector, matching: Matching) -> None:
        known: dict[object, int] = {}
        self.left = number_keys(keys_of(left.labels, matching.labels, on=matching.on), known)
        self.right = number_keys(keys_of(right.labels, matching.labels, on=matching.on), known)
        self.count = len(known)


def _any_by_group(group_of: Ints, vector: Vector, count: int) -> Bools:
    """[groups, steps]: is any series of the group there?"""
    seen = np.zeros((count, vector.steps), dtype=np.bool_)
    if vector.present is None:
        seen[group_of] = True
    else:
        np.logical_or.at(seen, group_of, vector.present)
    return seen


def set_operation(op: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    """and, or, unless, step by step."""
    sides = _Sides(left, right, matching)
    if op == "or":
        covered = _any_by_group(sides.left, left, sides.count)[sides.right]
        rest = Vector(
            labels=right.labels,
            values=right.values,
            present=right.mask() & ~covered,
            drop_name=right.drop_name,
            histograms=right.histograms,
        )
        kept = np.flatnonzero(rest.mask().any(axis=1))
        return concatenate([left, rest.take(kept)], left.steps)
    matched = _any_by_group(sides.right, right, sides.count)[sides.left]
    keep = matched if op == "and" else ~matched
    present = left.mask() & keep
    kept = np.flatnonzero(present.any(axis=1))
    out = left.take(kept)
    out.present = present[kept]
    return out


def _result_labels(many: Labels, one: Labels, node: Binary, matching: Matching) -> Labels:
    labels = without(many, METADATA_LABELS) if node.op in ARITHMETIC else dict(many)
    if matching.card == "one-to-one":
        if matching.on:
            labels = {name: value for name, value in labels.items() if name in matching.labels}
        else:
            labels = without(labels, matching.labels)
    for name in matching.include:
        if one.get(name):
            labels[name] = one[name]
        else:
            labels.pop(name, None)
    return labels


def _refuse_duplicates(vector: Vector, group_of: Ints, count: int, matching: Matching, side: str) -> None:
    """Each match group of the "one" side may have one series at a time."""
    if len(set(group_of.tolist())) == len(group_of):
        return
    seen = np.zeros((count, vector.steps), dtype=np.int64)
    np.add.at(seen, group_of, vector.mask())
    doubled = np.argwhere(seen.T > 1)
    if not len(doubled):
        return
    step, group = doubled[0]
    rows = [row for row in np.flatnonzero(group_of == group) if vector.mask()[row, step]]
    labels = vector.labels[rows[-1]]
    matched = (
        {name: labels[name] for name in matching.labels if name in labels}
        if matching.on
        else without(labels, (*matching.labels, "__name__"))
    )
    first, second = sorted(describe(vector.labels[row]) for row in rows[:2])
    raise PromQLError(
        "execution",
        f"found duplicate series for the match group {describe(matched)} on the {side} hand-side of the "
        f"operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be "
        "unique on one side",
    )


def _pairs(many: Ints, one: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows whose groups are equal."""
    order = np.argsort(one, kind="stable")
    ordered = one[order]
    low = np.searchsorted(ordered, many, side="left")
    high = np.searchsorted(ordered, many, side="right")
    width = high - low
    left = np.repeat(np.arange(len(many)), width)
    inside = np.arange(len(left)) - np.repeat(np.cumsum(width) - width, width)
    return left, order[np.repeat(low, width) + inside]


def _with_fill(vector: Vector, missing: Bools, fill: float, other: Vector, matching: Matching) -> Vector:
    """`vector` plus what is filled in for the groups of `other` that it lacks ([other rows, steps])."""
    rows = np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return vector
    key = key_function(matching.labels, on=matching.on)
    groups: dict[object, int] = {}
    labels: list[Labels] = []
    number = np.empty(len(rows), dtype=np.int64)
    for position, row in enumerate(rows):
        of = other.labels[row]
        number[position] = groups.setdefault(key(of), len(groups))
        if len(groups) > len(labels):
            matched = matching.labels if matching.on else ()
            kept = {name: of[name] for name in matched if name in of}
            labels.append(kept if matching.on else without(of, (*matching.labels, "__name__")))
    present = np.zeros((len(labels), vector.steps), dtype=np.bool_)
    np.logical_or.at(present, number, missing[rows])
    filled = Vector(labels=labels, values=np.full(present.shape, fill), present=present)
    return concatenate([vector, filled], vector.steps)


def _fill(left: Vector, right: Vector, matching: Matching) -> tuple[Vector, Vector]:
    if matching.fill_left is None and matching.fill_right is None:
        return left, right
    fill_left, fill_right = matching.fill_left, matching.fill_right
    if matching.card == "one-to-many":  # with group_right Prometheus takes each for the other
        fill_left, fill_right = fill_right, fill_left
    sides = _Sides(left, right, matching)
    lacks_right = left.mask() & ~_any_by_group(sides.right, right, sides.count)[sides.left]
    lacks_left = right.mask() & ~_any_by_group(sides.left, left, sides.count)[sides.right]
    new_left, new_right = left, right
    if fill_right is not None:
        new_right = _with_fill(right, lacks_right, fill_right, left, matching)
    if fill_left is not None:
        new_left = _with_fill(left, lacks_left, fill_left, right, matching)
    return new_left, new_right


def vector_vector(node: Binary, left: Vector, right: Vector, notes: Annotations) -> Vector:
    """Two vectors, matched by labels, one-to-one or with group_left/group_right."""
    matching = node.matching
    assert matching is not None
    steps = left.steps
    left, right = _fill(left, right, matching)
    if not left.labels or not right.labels:
        return empty(steps)
    sides = _Sides(left, right, matching)
    swapped = matching.card == "one-to-many"
    many, one = (right, left) if swapped else (left, right)
    many_groups, one_groups = (sides.right, sides.left) if swapped else (sides.left, sides.right)
    _refuse_duplicates(one, one_groups, sides.count, matching, "left" if swapped else "right")
    many_rows, one_rows = _pairs(many_groups, one_groups)
    if not len(many_rows):
        return empty(steps)
    present = None
    if many.present is not None or one.present is not None:
        present = many.mask()[many_rows] & one.mask()[one_rows]
    many_values, one_values = _rows(many.values, many_rows), _rows(one.values, one_rows)
    left_values, right_values = (one_values, many_values) if swapped else (many_values, one_values)
    labels = [
        _result_labels(many.labels[i], one.labels[j], node, matching)
        for i, j in zip(many_rows.tolist(), one_rows.tolist(), strict=True)
    ]
    _refuse_ambiguity(labels, many_groups[many_rows], present, steps, matching)
    drops = None if many.drop_name is None else [many.drop_name[i] for i in many_rows.tolist()]
    result = _floats_floats(node, labels, (left_values, right_values), present, drops)
    if many.histograms is None and one.histograms is None and node.op not in ("</", ">/"):
        return result
    objects = [
        None if side.histograms is None else side.histograms[rows]
        for side, rows in ((many, many_rows), (one, one_rows))
    ]
    left_objects, right_objects = reversed(objects) if swapped else objects
    shape = left_values.shape
    where = np.zeros(shape, dtype=np.bool_)
    for side in objects:
        where |= False if side is None else are_there(side)
    there = np.ones(shape, dtype=np.bool_) if present is None else present
    operator = Operator(node, notes)
    if node.op in ("</", ">/") and (there & ~where).any():
        operator.refuse(0.0, 0.0)
    values, present, histograms = patch(
        operator,
        (left_values, left_objects),
        (right_values, right_objects),
        where & there,
        (result.values, result.mask() & ~where),
    )
    return Vector(
        labels=labels, values=values, present=present, drop_name=result.drop_name, histograms=histograms
    )


def _floats_floats(
    node: Binary,
    labels: list[Labels],
    sides: tuple[Floats, Floats],
    present: Bools | None,
    drops: list[bool] | None,
) -> Vector:
    left_values, right_values = sides
    if node.op in ARITHMETIC:
        return Vector(labels=labels, values=ARITHMETIC[node.op](left_values, right_values), present=present)
    if node.op not in COMPARISONS:
        return Vector(labels=labels, values=left_values, present=np.zeros(left_values.shape, dtype=np.bool_))
    holds = _COMPARE[node.op](left_values, right_values)
    if node.bool_modifier:
        return Vector(
            labels=labels, values=holds.astype(np.float64), present=present, drop_name=[True] * len(labels)
        )
    present = holds if present is None else holds & present
    return Vector(labels=labels, values=left_values, present=present, drop_name=drops)


def _rows(values: Floats, rows: Ints) -> Floats:
    if len(rows) == len(values) and bool((rows == np.arange(len(rows))).all()):
        return values
    return values[rows]


def _refuse_ambiguity(
    labels: list[Labels], group_of: Ints, present: Bools | None, steps: int, matching: Matching
) -> None:
    """No two pairs of a match group may give the same result at one step."""
    if matching.card == "one-to-one":
        keys: list[object] = group_of.tolist()
    else:
        keys = [(group, signature(own)) for group, own in zip(group_of.tolist(), labels, strict=True)]
    if len(set(keys)) == len(keys):
        return
    number = number_keys(keys)
    seen = np.zeros((int(number.max()) + 1, steps), dtype=np.int64)
    np.add.at(seen, number, np.ones((len(keys), steps), dtype=np.bool_) if present is None else present)
    if (seen > 1).any():
        raise PromQLError(
            "execution",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            if matching.card == "one-to-one"
            else "multiple matches for labels: grouping labels must ensure unique matches",
        )
