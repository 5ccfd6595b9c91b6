"""Newest samples of a block, and expressions that are the same at every step."""

from __future__ import annotations

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, STALE_BITS, Block
from mamimon.metrics.promql.ast import (
    Aggregate,
    Binary,
    DurationExpr,
    Expr,
    Number,
    Paren,
    Range,
    Selector,
    String,
    Subquery,
    Unary,
)
from mamimon.metrics.promql.values import Bools, Floats, Ints, Objects, Scalar, Value, Vector, are_there

_STEP_DEPENDENT = frozenset(
    (
        "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year",
        "predict_linear", "time", "timestamp",
    )
)  # fmt: skip


def _newest(block: Block, at: Ints, lookback_ms: int) -> tuple[Floats, Bools | None, Ints]:
    """Newest sample at or before each time: values, where there is one, and when it was taken."""
    times = block.times
    if not len(times):
        shape = (len(block.rows), len(at))
        return np.zeros(shape), np.zeros(shape, dtype=np.bool_), np.zeros(len(at), dtype=np.int64)
    column = np.searchsorted(times, at, side="right") - 1
    fresh = column >= 0
    column = np.maximum(column, 0)
    when = times[column]
    fresh &= when > at - lookback_ms
    if block.table is None:
        values, plain = np.take(block.values, column, axis=1), False
    else:
        samples, plain = block.table.columns(column)
        values = samples.astype(np.float64, copy=False)
    if plain or not np.isnan(values).any():
        present = None if fresh.all() else np.broadcast_to(fresh, values.shape)
        return values, present, when
    bits = values.view(np.uint64)
    present = fresh & (bits != STALE_BITS)
    holes = bits == ABSENT_BITS
    if not (holes & fresh).any():
        return values, present & ~holes, when
    # Some series have no sample in the newest scrapes: look further back for these.
    rows = np.flatnonzero((holes & fresh).any(axis=1))
    when = np.broadcast_to(when, values.shape).copy()
    there = block.values[rows].view(np.uint64) != ABSENT_BITS
    newest = np.maximum.accumulate(np.where(there, np.arange(len(times)), -1), axis=1)
    columns = np.take(newest, column, axis=1)
    found = (columns >= 0) & (np.searchsorted(times, at, side="right") > 0)
    columns = np.maximum(columns, 0)
    when[rows] = times[columns]
    values[rows] = np.take_along_axis(block.values[rows], columns, axis=1)
    present[rows] = found & (when[rows] > at - lookback_ms) & (values[rows].view(np.uint64) != STALE_BITS)
    return values, present, when


def newest(block: Block, at: Ints, lookback_ms: int) -> tuple[Floats, Bools | None, Ints, Objects | None]:
    """As `_newest`, where the newest sample may be a native histogram."""
    if block.histograms is None:
        return *_newest(block, at, lookback_ms), None
    there = are_there(block.histograms)
    either = Block(block.times, block.rows, np.where(there, 0.0, block.values))
    values, present, when = _newest(either, at, lookback_ms)
    column = np.searchsorted(block.times, np.broadcast_to(when, values.shape))
    chosen = np.take_along_axis(block.histograms, np.minimum(column, len(block.times) - 1), axis=1)
    if present is not None:
        chosen[~present] = None
    return values, present, when, chosen


def run_of(rows: Ints) -> slice | Ints:
    """Rows as a slice where they are a run: writing to one is a plain copy."""
    first = int(rows[0]) if len(rows) else 0
    run = len(rows) and int(rows[-1]) - first + 1 == len(rows) and (rows[1:] - rows[:-1] == 1).all()
    return slice(first, first + len(rows)) if run else rows


def is_invariant(node: Expr) -> bool:
    """Whether an expression has the same value at every step (all its selectors are pinned by `@`)."""
    if isinstance(node, Number | String | DurationExpr):
        return True
    if isinstance(node, Selector | Subquery):
        return node.at_ms is not None or bool(node.at_edge)
    if isinstance(node, Range):
        return is_invariant(node.selector)
    if isinstance(node, Paren | Unary):
        return is_invariant(node.expr)
    if isinstance(node, Binary):
        return is_invariant(node.left) and is_invariant(node.right)
    if isinstance(node, Aggregate):
        return is_invariant(node.expr) and (node.param is None or is_invariant(node.param))
    pinned = all(is_invariant(argument) for argument in node.args)
    if node.function.name == "timestamp":
        return pinned and isinstance(node.args[0], Selector)
    return pinned and node.function.name not in _STEP_DEPENDENT


def repeat(value: Value, steps: int) -> Value:
    """The value of one step at all steps."""
    if isinstance(value, Scalar):
        return Scalar(np.repeat(value.values, steps))
    if isinstance(value, Vector):
        present = None if value.present is None else np.repeat(value.present, steps, axis=1)
        values = np.repeat(value.values, steps, axis=1)
        histograms = None if value.histograms is None else np.repeat(value.histograms, steps, axis=1)
        return Vector(
            labels=value.labels,
            values=values,
            present=present,
            drop_name=value.drop_name,
            histograms=histograms,
        )
    return value
