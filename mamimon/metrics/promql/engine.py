"""Evaluation: a walk over the tree in which every node answers for all steps at once.

Semantics are those of Prometheus 3: windows and look-back are left-open, names are dropped at the
end of the query (delayed name removal), errors and annotations have its words.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from mamimon.metrics.model import Labels, QueryResult, SeriesSource
from mamimon.metrics.promql import aggregate as aggregation
from mamimon.metrics.promql import binary
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import (
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    Expr,
    Number,
    Paren,
    Range,
    Selector,
    String,
    Subquery,
    Unary,
    type_of,
    unwrap,
)
from mamimon.metrics.promql.calls import Calls
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.frame import Frame, Query
from mamimon.metrics.promql.parser import parse
from mamimon.metrics.promql.relabelling import merge_equal
from mamimon.metrics.promql.selectors import as_block, instant_vector, reference_times, selector_windows
from mamimon.metrics.promql.text import format_general
from mamimon.metrics.promql.values import (
    METADATA_LABELS,
    Limits,
    Scalar,
    Text,
    Value,
    Vector,
    empty,
    signature,
    without,
)
from mamimon.metrics.promql.windows import Windows, build


def evaluate(
    source: SeriesSource,
    text: str,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    *,
    lookback_ms: int = 300_000,
    max_samples: int = 50_000_000,
    deadline: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    subquery_step_ms: int = 60_000,
) -> QueryResult:
    """Answer a query: an instant one where `step_ms` is 0, else at every step of `[start, end]`.

    Raises `PromQLError`: bad_data for what cannot be read, execution for what cannot be answered,
    timeout past `deadline` (of `time.monotonic`), canceled once `stopped()`.
    """
    tree = parse(text)

    def check() -> None:
        if stopped():
            raise PromQLError("canceled", "query was canceled in expression evaluation")
        if deadline is not None and time.monotonic() > deadline:
            raise PromQLError("timeout", "query timed out in expression evaluation")

    notes = Annotations(text)
    limits = Limits(max_samples=max_samples, check=check)
    instant = step_ms == 0
    times = np.arange(start_ms, end_ms + 1, max(step_ms, 1), dtype=np.int64)[: 1 if instant else None]
    # An instant query's step and range are zero for `step()` and `range()`.
    query = Query(source, start_ms, end_ms, step_ms, lookback_ms, subquery_step_ms, limits, notes)
    evaluator = Evaluator(query)
    frame = Frame(times, step_ms)
    kind = type_of(tree)
    if kind in ("string", "matrix") and not instant:
        names = {"string": "string", "matrix": "range vector"}
        reason = f'invalid expression type "{names[kind]}" for range query, must be Scalar or instant Vector'
        raise PromQLError("bad_data", reason)
    with np.errstate(all="ignore"):
        if kind == "matrix":
            return evaluator.raw_matrix(tree, frame)
        return _result(evaluator.value(tree, frame), frame, instant, notes)


def _result(value: Value, frame: Frame, instant: bool, notes: Annotations) -> QueryResult:
    if isinstance(value, Text):
        return QueryResult(
            kind="string",
            times=frame.times,
            labels=[],
            values=np.empty((0, 1)),
            present=np.empty((0, 1), dtype=np.bool_),
            text=value.value,
        )
    if isinstance(value, Scalar):
        value = Vector(labels=[{}], values=value.values[None, :])
        kind = "scalar" if instant else "matrix"
    else:
        value = drop_names(value)
        kind = "vector" if instant else "matrix"
    mask = value.mask()
    kept = np.flatnonzero(mask.any(axis=1))
    if not instant:
        kept = np.array(sorted(kept.tolist(), key=lambda row: signature(value.labels[row])), dtype=np.int64)
    return QueryResult(
        kind=kind,  # type: ignore[arg-type]
        times=frame.times,
        labels=[value.labels[row] for row in kept.tolist()],
        values=value.values[kept],
        present=mask[kept],
        warnings=notes.warnings,
        infos=notes.infos,
    )


def drop_names(vector: Vector) -> Vector:
    """Take the names away that operations have marked, and merge what is then one series."""
    if vector.drop_name is None:
        return merge_equal(vector)
    labels = [
        without(own, METADATA_LABELS) if drop else own
        for own, drop in zip(vector.labels, vector.drop_name, strict=True)
    ]
    return merge_equal(Vector(labels=labels, values=vector.values, present=vector.present))


class Evaluator:
    """One query's walk."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._calls = Calls(self)

    def value(self, node: Expr, frame: Frame) -> Value:
        """What a node that is no range vector evaluates to."""
        self.query.limits.check()
        if isinstance(node, Paren):
            return self.value(node.expr, frame)
        if isinstance(node, Number):
            return Scalar(np.full(frame.steps, node.value))
        if isinstance(node, String):
            return Text(node.value)
        if isinstance(node, DurationExpr):
            milliseconds = self.query.duration(0, node, frame, may_be_negative=True)
            return Scalar(np.full(frame.steps, milliseconds / 1000))
        if isinstance(node, Selector):
            return instant_vector(node, frame, self.query)
        if isinstance(node, Unary):
            return self._unary(node, frame)
        if isinstance(node, Binary):
            return self._binary(node, frame)
        if isinstance(node, Aggregate):
            return self._aggregate(node, frame)
        if isinstance(node, Call):
            return self._calls.call(node, frame)
        raise PromQLError("execution", "a range vector cannot be evaluated here")

    def vector(self, node: Expr, frame: Frame) -> Vector:
        """A node that must be an instant vector."""
        value = self.value(node, frame)
        assert isinstance(value, Vector)
        return value

    def scalar(self, node: Expr, frame: Frame) -> Scalar:
        """A node that must be a scalar."""
        value = self.value(node, frame)
        assert isinstance(value, Scalar)
        return value

    def text(self, node: Expr, frame: Frame) -> str:
        """A node that must be a string."""
        value = self.value(node, frame)
        assert isinstance(value, Text)
        return value.value

    def windows(self, node: Expr, frame: Frame) -> list[tuple[list[Labels], list[bool] | None, Windows]]:
        """The windows of a range vector: labels, names to be dropped, windows, by block."""
        node = unwrap(node)
        if isinstance(node, Range):
            length = self.query.duration(node.range_ms, node.range_expr, frame)
            found = selector_windows(node.selector, length, frame, self.query)
            return [(labels, None, windows) for labels, windows in found]
        assert isinstance(node, Subquery)
        return self._subquery(node, frame)

    def range_ms(self, node: Expr, frame: Frame) -> int:
        """The length of a range vector's windows."""
        node = unwrap(node)
        assert isinstance(node, Range | Subquery)
        return self.query.duration(node.range_ms, node.range_expr, frame)

    def _subquery(
        self, node: Subquery, frame: Frame
    ) -> list[tuple[list[Labels], list[bool] | None, Windows]]:
        query = self.query
        ends = reference_times(node, frame, query)
        length = query.duration(node.range_ms, node.range_expr, frame)
        step = query.duration(node.step_ms, node.step_expr, frame) or query.subquery_step_ms
        oldest = int(ends.min()) - length
        # Windows are left-open, and the inner steps are multiples of the step since the epoch.
        first = oldest - oldest % step + step
        times = np.arange(first, int(ends.max()) + 1, step, dtype=np.int64)
        if not len(times):
            return []
        query.limits.count(len(times))
        inner = self.value(node.expr, Frame(times, step))
        vector = inner if isinstance(inner, Vector) else Vector(labels=[{}], values=inner.values[None, :])  # type: ignore[union-attr]
        vector = merge_equal(vector)
        if not vector.labels:
            return []
        block = as_block(vector, times)
        return [(vector.labels, vector.drop_name, build(block.times, block.values, ends, length))]

    def raw_matrix(self, node: Expr, frame: Frame) -> QueryResult:
        """The samples themselves of an instant query for a range vector."""
        labels: list[Labels] = []
        series = []
        for own, drops, windows in self.windows(node, frame):
            low, high = int(windows.low[0]), int(windows.high[0])
            for row, name in enumerate(own):
                inside = slice(low, high)
                times, values = windows.times[inside], windows.rows[row, inside]
                if windows.valid is not None:
                    valid = windows.valid[row, inside]
                    times, values = times[valid], values[valid]
                if len(times):
                    labels.append(without(name, METADATA_LABELS) if drops and drops[row] else name)
                    series.append((times, values))
        order = sorted(range(len(labels)), key=lambda row: signature(labels[row]))
        return QueryResult(
            kind="matrix",
            times=frame.times,
            labels=[labels[row] for row in order],
            values=np.empty((0, 1)),
            present=np.empty((0, 1), dtype=np.bool_),
            series=[series[row] for row in order],
            warnings=self.query.notes.warnings,
            infos=self.query.notes.infos,
        )

    def _unary(self, node: Unary, frame: Frame) -> Value:
        value = self.value(node.expr, frame)
        if node.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector)
        return value.with_values(-value.values, value.present, drop_name=True)

    def _binary(self, node: Binary, frame: Frame) -> Value:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return binary.scalars(node.op, left, right)
        if isinstance(left, Vector) and isinstance(right, Scalar):
            return binary.vector_scalar(node, left, right, scalar_first=False)
        if isinstance(left, Scalar) and isinstance(right, Vector):
            return binary.vector_scalar(node, right, left, scalar_first=True)
        assert isinstance(left, Vector) and isinstance(right, Vector)
        assert node.matching is not None
        if node.op in SET_OPERATORS:
            return merge_equal(binary.set_operation(node.op, left, right, node.matching))
        return merge_equal(binary.vector_vector(node, left, right))

    def _aggregate(self, node: Aggregate, frame: Frame) -> Value:
        vector = _without_absent(self.vector(node.expr, frame))
        names, without_names = node.grouping, node.without
        if node.op == "count_values":
            assert node.param is not None
            label = self.text(node.param, frame)
            if not label:
                raise PromQLError("execution", f'invalid label name "{label}"')
            return aggregation.count_values(vector, label, names, without_names=without_names)
        param = None if node.param is None else self.scalar(node.param, frame).values
        if node.op == "limit_ratio":
            raise PromQLError("execution", "limit_ratio is not implemented in mamimon")
        if node.op in ("topk", "bottomk", "limitk"):
            assert param is not None
            _check_k(param)
            return aggregation.choose(node.op, vector, names, without_names=without_names, param=param)
        if node.op == "quantile" and node.param is not None and param is not None:
            for value in np.unique(param).tolist():
                self.query.notes.quantile(node.param, value)
        return aggregation.aggregate(node.op, vector, names, without_names=without_names, param=param)


def _check_k(param: object) -> None:
    values = np.asarray(param)
    if np.isnan(values).any():
        raise PromQLError("execution", "Parameter value is NaN")
    for value in values[np.abs(values) >= 2**63].tolist()[:1]:
        word = "over" if value > 0 else "under"
        raise PromQLError("execution", f"Scalar value {format_general(value)} {word}flows int64")


def _without_absent(vector: Vector) -> Vector:
    """Without series that no step has: they would make groups of nothing."""
    if vector.present is None:
        return vector
    rows = vector.present.any(axis=1)
    if not rows.any():
        return empty(vector.steps)
    return vector if rows.all() else vector.take(np.flatnonzero(rows))
