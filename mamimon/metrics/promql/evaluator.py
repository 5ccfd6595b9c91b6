"""Walks the tree: each node becomes one array over all series and all steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

import msgspec
import numpy as np

from mamimon.metrics.model import ABSENT_NAN, Labels, Matcher, Selection, SeriesSource
from mamimon.metrics.promql import (
    aggregate,
    binary,
    coarse,
    extended,
    histogram_extended,
    histogram_windows,
    labelling,
    stacked,
)
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
    Timed,
    Unary,
)
from mamimon.metrics.promql.durations import resolve_duration
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.histogram_operators import note_ignored
from mamimon.metrics.promql.selection import is_invariant, repeat
from mamimon.metrics.promql.text import quote, unquote
from mamimon.metrics.promql.values import (
    Floats,
    Ints,
    Limits,
    Scalar,
    Text,
    Value,
    Vector,
    concatenate,
)
from mamimon.metrics.promql.windows import LazyWindows, Tile, Windows, build

Part: TypeAlias = tuple[Ints, Windows | LazyWindows | stacked.Stack]
Tiles = Callable[[], list[tuple[Ints, Windows]]]
"""Makes the windows of some series when called."""


class RangeVector(msgspec.Struct, eq=False):
    """Series and their windows; each part has some of the series (`rows` of `labels`)."""

    labels: list[Labels]
    parts: list[Part]
    length_ms: int
    drop_name: list[bool] | None = None


class Evaluator:
    """One query over one source."""

    def __init__(
        self,
        source: SeriesSource,
        query: str,
        *,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        lookback_ms: int,
        subquery_step_ms: int,
        limits: Limits,
    ) -> None:
        self._source = source
        self._query = query
        self.notes = Annotations(query)
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.step_ms = step_ms
        self.lookback_ms = lookback_ms
        self._subquery_step_ms = subquery_step_ms
        self.limits = limits
        self._compare = False
        self.ranged = start_ms != end_ms  # or inside a subquery that is longer than an instant
        self._selections: dict[tuple[tuple[Matcher, ...], int, int], Selection] = {}

    # -- dispatch ----------------------------------------------------------------------------------

    def evaluate(self, node: Expr, times: Ints) -> Value:
        """The value of an expression that is no range vector, at all `times`."""
        self.limits.check()
        if len(times) > 1 and not isinstance(node, Number | String) and is_invariant(node):
            return repeat(self._evaluate(node, times[:1]), len(times))
        return self._evaluate(node, times)

    def _evaluate(self, node: Expr, times: Ints) -> Value:
        if isinstance(node, Number):
            return Scalar(np.full(len(times), node.value))
        if isinstance(node, String):
            return Text(node.value)
        if isinstance(node, Paren):
            return self.evaluate(node.expr, times)
        if isinstance(node, Selector):
            return self.select(node, times)
        if isinstance(node, Unary):
            return self._unary(node, times)
        if isinstance(node, Binary):
            return self._binary(node, times)
        if isinstance(node, Aggregate):
            return self._aggregate(node, times)
        if isinstance(node, Call):
            from mamimon.metrics.promql.calls import call

            return call(self, node, times)
        raise PromQLError("bad_data", "a range vector can only be the argument of a function")

    def vector(self, node: Expr, times: Ints) -> Vector:
        """An expression that the parser has checked to be an instant vector."""
        value = self.evaluate(node, times)
        assert isinstance(value, Vector)
        return value

    def scalar(self, node: Expr, times: Ints) -> Floats:
        """An expression that the parser has checked to be a number."""
        value = self.evaluate(node, times)
        assert isinstance(value, Scalar)
        return value.values

    def _unary(self, node: Unary, times: Ints) -> Value:
        value = self.evaluate(node.expr, times)
        if node.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector)
        negated = value.with_values(-value.values, value.present, drop_name=True)
        negated.histograms = histogram_windows.scale_all(value.histograms, -1.0)
        return negated

    def _binary(self, node: Binary, times: Ints) -> Value:
        left, right = self.evaluate(node.left, times), self.evaluate(node.right, times)
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return binary.scalars(node.op, left, right)
        if isinstance(left, Vector) and isinstance(right, Scalar):
            return binary.vector_scalar(node, left, right, self.notes, scalar_first=False)
        if isinstance(left, Scalar) and isinstance(right, Vector):
            return binary.vector_scalar(node, right, left, self.notes, scalar_first=True)
        assert isinstance(left, Vector) and isinstance(right, Vector) and node.matching is not None
        if node.op in SET_OPERATORS:
            return binary.set_operation(node.op, left, right, node.matching)
        result = binary.vector_vector(node, left, right, self.notes)
        self.limits.count(result.values.size)
        return result

    def _aggregate(self, node: Aggregate, times: Ints) -> Vector:
        names, without_names = node.grouping, node.without
        if node.op == "count_values":
            assert node.param is not None
            label = self.evaluate(node.param, times)
            assert isinstance(label, Text)
            if not labelling.is_name(label.value):
                literal = self._query[node.param.start : node.param.end]
                shown = quote(unquote(literal, "surrogateescape"))
                raise PromQLError("execution", f"invalid label name {shown}")
            vector = self.vector(node.expr, times)
            return aggregate.count_values(vector, label.value, names, without_names=without_names)
        param = None
        if node.param is not None:
            param = self.scalar(node.param, times)
        vector = self.vector(node.expr, times)
        if node.op not in ("sum", "avg", "count", "group", "limitk", "limit_ratio"):
            vector = note_ignored(node, vector, self.notes)
        if node.op == "quantile" and param is not None and node.param is not None:
            for value in np.unique(param[~((param >= 0) & (param <= 1))])[:10].tolist():
                self.notes.quantile(node.param, value)
        if node.op in ("topk", "bottomk", "limitk", "limit_ratio"):
            assert param is not None
            return self._choose(node, vector, param)
        if vector.histograms is not None and node.op in ("sum", "avg"):
            return aggregate.with_histograms(node, vector, self.notes)
        return aggregate.aggregate(node.op, vector, names, without_names=without_names, param=param)

    def _choose(self, node: Aggregate, vector: Vector, param: Floats) -> Vector:
        if node.op == "limit_ratio":
            return aggregate.limit_ratio(node, vector, param, self.notes)
        if np.isnan(param).any():
            raise PromQLError("execution", "Parameter value is NaN")
        if (param >= 2**63).any():
            raise PromQLError("execution", f"Scalar value {param.max():g} overflows int64")
        if (param < -(2**63)).any():
            raise PromQLError("execution", f"Scalar value {param.min():g} underflows int64")
        return aggregate.choose(node.op, vector, node.grouping, without_names=node.without, param=param)

    @contextmanager
    def comparing(self, compare: bool) -> Iterator[None]:
        """Whether native histograms are compared with the ones before as they are read."""
        before, self._compare = self._compare, compare
        yield
        self._compare = before

    # -- reading -----------------------------------------------------------------------------------

    def duration(self, ms: int, expr: DurationExpr | None, *, may_be_negative: bool = False) -> int:
        """A duration of the query in ms, computed if it was written as an expression."""
        if expr is None:
            return ms
        length = self.end_ms - self.start_ms
        return resolve_duration(expr, self.step_ms, length, may_be_negative=may_be_negative)

    def shifted(self, node: Timed, times: Ints) -> Ints:
        """When a selector or subquery looks, given the step times: `@` and `offset` applied."""
        offset = self.duration(node.offset_ms, node.offset_expr, may_be_negative=True)
        if node.at_ms is not None:
            times = np.full(len(times), node.at_ms, dtype=np.int64)
        elif node.at_edge:
            edge = self.start_ms if node.at_edge == "start" else self.end_ms
            times = np.full(len(times), edge, dtype=np.int64)
        return times - offset

    def read(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """Series from the source, counted against the limits; the same question is asked once."""
        key = (tuple(matchers), start_ms, end_ms)
        found = self._selections.get(key)
        if found is None:
            self.limits.check()
            found = self._source.select(matchers, start_ms, end_ms)
            self.limits.count(sum(block.size for block in found.blocks))
            self._selections[key] = found
        if self._compare and any(block.histograms is not None for block in found.blocks):
            return Selection(found.labels, [histogram_windows.compared(block) for block in found.blocks])
        return found

    def select(self, node: Selector, times: Ints) -> Vector:
        """The newest sample of each series that is younger than the lookback."""
        if node.mode == "smoothed":
            return self._smoothed(node, times)
        vector, _ = self.select_with_times(node, times)
        return vector

    def select_with_times(self, node: Selector, times: Ints) -> tuple[Vector, Callable[[], Ints]]:
        """As `select`, with what tells the samples' own times, [series, steps]."""
        at = self.shifted(node, times)
        found = self.read(node.matchers, int(at.min()) - self.lookback_ms + 1, int(at.max()))
        if stacked.can_stack(found.blocks, len(at)):
            self.limits.count(len(found.labels))
            vector, when = stacked.newest_samples(found, int(at[0]), self.lookback_ms)
            return vector, lambda: when
        self.limits.count(len(found.labels) * len(times))
        return stacked.newest_vector(found, at, self.lookback_ms, self.limits.check)

    def _smoothed(self, node: Selector, times: Ints) -> Vector:
        at = self.shifted(node, times)
        lookback = self.lookback_ms
        found = self.read(node.matchers, int(at.min()) - lookback + 1, int(at.max()) + lookback)
        parts = []
        for block in found.blocks:
            wide = extended.build_extended(
                block.times, block.values, at, 0, lookback, smoothed=True, histograms=block.histograms
            )
            labels = [found.labels[row] for row in block.rows.tolist()]
            values, present, histograms = histogram_windows.apply(
                histogram_extended.smoothed_at,
                wide,
                [own.get("__name__", "") for own in labels],
                extended.smoothed_at(wide),
                length_s=0.0,
                node=node,
                notes=self.notes,
            )
            parts.append(Vector(labels=labels, values=values, present=present, histograms=histograms))
        return concatenate(parts, len(times))

    def windows(
        self, node: Range | Subquery, times: Ints, function: str = "", *, stackable: bool = True
    ) -> RangeVector:
        """The windows of a range vector, for `function`; if `stackable`, rows may have times of their own."""
        found = self._windows(node, times, function, stackable=stackable)
        for _, part in found.parts:
            part.check = self.limits.check
        return found

    def _windows(self, node: Range | Subquery, times: Ints, function: str, *, stackable: bool) -> RangeVector:
        self.limits.check()
        length = self.duration(node.range_ms, node.range_expr)
        if isinstance(node, Subquery):
            return self._subquery(node, times, length)
        ends = self.shifted(node.selector, times)
        if node.selector.mode:
            return self._extended(node.selector, ends, length)
        found = self.read(node.selector.matchers, int(ends.min()) - length + 1, int(ends.max()))
        if stackable and stacked.can_stack(found.blocks, len(ends)):
            return RangeVector(found.labels, [stacked.windows(found.blocks, int(ends[0]), length)], length)
        stacks, blocks = stacked.stacks(found.blocks, ends, length) if stackable else ([], found.blocks)
        parts: list[Part] = [(stack.rows, stack) for stack in stacks]
        for block in blocks:
            part: Windows | LazyWindows
            if block.coarse is not None:
                part = coarse.windows(block, block.coarse, function, ends, length)
            elif block.table is not None and block.starts is None:
                part = LazyWindows(block.table, block.times, ends, length)
            else:
                part = build(block.times, block.values, ends, length, block.histograms, block.starts)
            parts.append((block.rows, part))
        return RangeVector(found.labels, parts, length)

    def _extended(self, node: Selector, ends: Ints, length: int) -> RangeVector:
        """The windows of an anchored or smoothed range, with the samples around them."""
        smoothed, lookback = node.mode == "smoothed", self.lookback_ms
        end = int(ends.max()) + (lookback if smoothed else 0)
        found = self.read(node.matchers, int(ends.min()) - length - lookback + 1, end)
        parts: list[Part] = [
            (
                block.rows,
                extended.build_extended(
                    block.times,
                    block.values,
                    ends,
                    length,
                    lookback,
                    smoothed=smoothed,
                    histograms=block.histograms,
                ),
            )
            for block in found.blocks
        ]
        return RangeVector(found.labels, parts, length)

    def _subquery(self, node: Subquery, times: Ints, length: int) -> RangeVector:
        ends = self.shifted(node, times)
        step = self.duration(node.step_ms, node.step_expr) or self._subquery_step_ms
        first = ((int(ends.min()) - length) // step + 1) * step
        grid = np.arange(first, int(ends.max()) + 1, step, dtype=np.int64)
        if not len(grid):
            return RangeVector([], [], length)
        self.limits.count(len(grid))
        before, self.ranged = self.ranged, first != int(ends.max())
        with self.comparing(False):
            inner = self.vector(node.expr, grid)
        self.ranged, values = before, inner.values
        if inner.present is not None:
            values = np.where(inner.present, values, ABSENT_NAN)
        if inner.histograms is not None:
            values = np.where(inner.histogram_mask(), ABSENT_NAN, values)
            kept = np.where(inner.histogram_mask(), inner.histograms, np.array(None))
            # What was known about resets says nothing about the samples that are left.
            inner.histograms = histogram_windows.forget_resets(kept)
        parts: list[Part] = []
        if inner.labels:
            rows = np.arange(len(inner.labels), dtype=np.int64)
            parts.append((rows, build(grid, values, ends, length, inner.histograms)))
        return RangeVector(inner.labels, parts, length, inner.drop_name)

    @staticmethod
    def tiles(found: RangeVector) -> Iterator[Tiles]:
        """The windows of some series at a time, few enough for the cache."""
        for rows, part in found.parts:
            for tile in part.tiles():
                yield partial(_placed, rows, tile)


def _placed(rows: Ints, tile: Tile) -> list[tuple[Ints, Windows]]:
    return [(rows[chosen], own) for chosen, own in tile()]
