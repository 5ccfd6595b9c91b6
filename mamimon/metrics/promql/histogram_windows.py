"""Functions of range vectors over windows that hold native histograms.

Histograms are objects, so these loop; windows of floats alone never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec
import numpy as np

from mamimon.metrics.histogram import Histogram, at_schema, changed, compact, divided, has_reset, same, scaled
from mamimon.metrics.model import Block
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import Expr
from mamimon.metrics.promql.histogram_sums import Combined, Incompatible, mean, subtracted, summed, weighted
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import Bools, Floats, Objects, are_there
from mamimon.metrics.promql.windows import Windows

Points: TypeAlias = list[tuple[int, Any]]
Outcome: TypeAlias = float | Histogram | None

MIXED_RANGE = "encountered a mix of histograms and floats for metric name "
MIXED_SCHEMAS = (
    "vector contains a mix of histograms with exponential and custom buckets schemas for metric name "
)
IGNORED = "ignored histograms in a range containing both floats and histograms for metric name "
NOT_COUNTER = "this native histogram metric is not a counter: "
NOT_GAUGE = "this native histogram metric is not a gauge: "


class Window(msgspec.Struct):
    """One window with histograms in it: its samples, and where to complain."""

    floats: Points
    histograms: Points
    start: int
    end: int
    length_s: float
    value: float | None
    """What the float samples alone give."""
    metric: str
    node: Expr
    notes: Annotations

    def warn(self, text: str) -> None:
        """A warning that ends with the metric's name."""
        self.notes.warn(self.node, text + quote(self.metric))

    def mixed(self) -> bool:
        """Whether floats are in it too, which is then said."""
        if self.floats:
            self.warn(MIXED_RANGE)
        return bool(self.floats)


def forget_resets(histograms: Objects) -> Objects:
    """The same histograms, without their knowledge about counter resets."""
    out = histograms.copy()
    for place in np.argwhere(are_there(histograms)):
        one = histograms[tuple(place)]
        if one.hint in ("reset", "not_reset"):
            out[tuple(place)] = changed(one, hint="unknown")
    return out


def know_resets(histograms: Objects) -> Objects:
    """The same histograms, each compared with the one before it in its series (row)."""
    out = histograms.copy()
    for row in range(histograms.shape[0]):
        before: Histogram | None = None
        for column in np.flatnonzero(are_there(histograms[row])).tolist():
            one = histograms[row, column]
            if one.hint == "unknown" and before is not None:
                out[row, column] = changed(one, hint="reset" if has_reset(one, before) else "not_reset")
            before = one
    return out


def scale_all(histograms: Objects | None, factor: float) -> Objects | None:
    """Every histogram times a factor."""
    if histograms is None:
        return None
    out = histograms.copy()
    for place in np.argwhere(are_there(histograms)):
        out[tuple(place)] = scaled(histograms[tuple(place)], factor)
    return out


def note_combined(notes: Annotations, node: Expr, combined: Combined, operation: str) -> None:
    """Say what a sum had to do."""
    if combined.collision:
        notes.warn(node, f"conflicting counter resets during histogram {operation}")
    if combined.reconciled:
        notes.info(node, f"mismatched custom buckets were reconciled during {operation}")


def increase(points: Points, window: Window, *, counter: bool) -> Histogram | None:
    """last - first, with what was lost to resets added."""
    first, last = points[0][1], points[-1][1]
    middle = [one for _, one in points[1:-1]]
    if counter and "gauge" in (first.hint, last.hint):
        window.warn(NOT_COUNTER)
    if counter and has_reset(points[1][1], first):
        second = points[1][1]
        first = Histogram(schema=second.schema, custom=second.custom, zero_threshold=second.zero_threshold)
    if last.is_custom != first.is_custom:
        window.warn(MIXED_SCHEMAS)
        return None
    lowest = min(last.schema, first.schema)
    for one in middle if counter else []:
        if one.hint == "gauge":
            window.warn(NOT_COUNTER)
        lowest = min(lowest, one.schema)
        if one.is_custom != last.is_custom:
            window.warn(MIXED_SCHEMAS)
            return None
    terms, weights = [at_schema(last, lowest), first], [1.0, -1.0]
    if first.custom != last.custom:
        window.notes.info(window.node, "mismatched custom buckets were reconciled during subtraction")
    bounds = set(first.custom) & set(last.custom)
    if counter:
        before = first
        for _, one in points[1:]:
            if has_reset(one, before):
                terms.append(before)
                weights.append(1.0)
                if set(before.custom) != bounds:
                    window.notes.info(
                        window.node, "mismatched custom buckets were reconciled during addition"
                    )
                    bounds &= set(before.custom)
            before = one
    elif "gauge" not in (points[0][1].hint,) or last.hint != "gauge":
        window.warn(NOT_GAUGE)
    return compact(changed(weighted(terms, weights).histogram, hint="gauge"))


def extrapolated(window: Window, *, counter: bool, per_second: bool) -> Outcome:
    """rate, increase, delta."""
    points = window.histograms
    if window.mixed() or len(points) < 2:
        return None
    result = increase(points, window, counter=counter)
    if result is None:
        return None
    to_start, to_end = (points[0][0] - window.start) / 1000, (window.end - points[-1][0]) / 1000
    sampled = (points[-1][0] - points[0][0]) / 1000
    average = sampled / (len(points) - 1)
    if to_start >= average * 1.1:
        to_start = average / 2
    if counter and result.count > 0 and points[0][1].count >= 0:
        to_start = min(to_start, sampled * (points[0][1].count / result.count))
    if to_end >= average * 1.1:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled if sampled else 1.0
    return scaled(result, factor / window.length_s if per_second else factor)


def instantaneous(window: Window, *, counter: bool) -> Outcome:
    """irate and idelta."""
    points = sorted([*window.floats, *window.histograms], key=lambda point: point[0])[-2:]
    if len(points) < 2 or points[0][0] == points[1][0]:
        return None
    (old_time, old), (new_time, new) = points
    elapsed = (new_time - old_time) / 1000
    if isinstance(old, float) and isinstance(new, float):
        if counter:
            return (new if new < old else new - old) / elapsed
        return new - old
    if not (isinstance(old, Histogram) and isinstance(new, Histogram)):
        window.warn(MIXED_RANGE)
        return None
    if counter and "gauge" in (old.hint, new.hint):
        window.warn(NOT_COUNTER)
    if not counter and not old.hint == new.hint == "gauge":
        window.warn(NOT_GAUGE)
    result = new
    if not counter or not has_reset(new, old):
        try:
            combined = subtracted(new, old)
        except Incompatible:
            window.warn(MIXED_SCHEMAS)
            return None
        if combined.reconciled:
            window.notes.info(window.node, "mismatched custom buckets were reconciled during subtraction")
        result = combined.histogram
    result = compact(changed(result, hint="gauge"))
    return divided(result, elapsed) if counter else result


def _folded(window: Window, fold: Callable[[Sequence[Histogram]], Combined]) -> Outcome:
    """sum_over_time and avg_over_time."""
    if window.mixed():
        return None
    try:
        combined = fold([one for _, one in window.histograms])
    except Incompatible:
        window.warn(MIXED_SCHEMAS)
        return None
    note_combined(window.notes, window.node, combined, "aggregation")
    return combined.histogram


def _floats_only(window: Window) -> Outcome:
    """Functions that know no histograms say that they left some out."""
    if window.floats:
        window.notes.info(window.node, IGNORED + quote(window.metric))
    return window.value


def _edge(window: Window, *, newest: bool) -> Outcome:
    points = sorted([*window.floats, *window.histograms], key=lambda point: point[0])
    found: Outcome = points[-1 if newest else 0][1]
    return found


def _edge_time(window: Window, *, newest: bool) -> Outcome:
    times = [time for time, _ in (*window.floats, *window.histograms)]
    return (max(times) if newest else min(times)) / 1000


def _events(window: Window, happened: Callable[[Histogram, Histogram], bool], *, falls: bool) -> Outcome:
    """resets and changes: to turn from float to histogram is one of both."""
    points = [one for _, one in sorted([*window.floats, *window.histograms], key=lambda point: point[0])]
    count = 0
    for old, new in pairwise(points):
        if isinstance(old, float) and isinstance(new, float):
            count += new < old if falls else new != old and not (np.isnan(new) and np.isnan(old))
        elif isinstance(old, Histogram) and isinstance(new, Histogram):
            count += happened(new, old)
        else:
            count += 1
    return float(count)


HANDLERS: dict[str, Callable[[Window], Outcome]] = {
    "rate": lambda window: extrapolated(window, counter=True, per_second=True),
    "increase": lambda window: extrapolated(window, counter=True, per_second=False),
    "delta": lambda window: extrapolated(window, counter=False, per_second=False),
    "irate": lambda window: instantaneous(window, counter=True),
    "idelta": lambda window: instantaneous(window, counter=False),
    "sum_over_time": lambda window: _folded(window, summed),
    "avg_over_time": lambda window: _folded(window, mean),
    "count_over_time": lambda window: float(len(window.floats) + len(window.histograms)),
    "present_over_time": lambda _: 1.0,
    "first_over_time": lambda window: _edge(window, newest=False),
    "last_over_time": lambda window: _edge(window, newest=True),
    "ts_of_first_over_time": lambda window: _edge_time(window, newest=False),
    "ts_of_last_over_time": lambda window: _edge_time(window, newest=True),
    "resets": lambda window: _events(window, has_reset, falls=True),
    "changes": lambda window: _events(window, lambda new, old: not same(new, old), falls=False),
}
"""Everything else knows floats only."""


def handler(name: str) -> Callable[[Window], Outcome]:
    """The function of a window with histograms."""
    return HANDLERS.get(name, _floats_only)


def apply(
    handle: Callable[[Window], Outcome],
    tile: Windows,
    metrics: Sequence[str],
    result: tuple[Floats, Bools],
    *,
    length_s: float,
    node: Expr,
    notes: Annotations,
) -> tuple[Floats, Bools, Objects | None]:
    """Redo the windows that hold histograms; `result` is what the floats alone gave."""
    values, present = result
    if tile.histograms is None:
        return values, present, None
    values, present = np.array(values), np.array(present)
    out = np.full(values.shape, None, dtype=object)
    there = are_there(tile.histograms)
    valid = np.ones(tile.rows.shape, dtype=np.bool_) if tile.valid is None else tile.valid
    for row in np.flatnonzero(there.any(axis=1)).tolist():
        columns, float_columns = np.flatnonzero(there[row]), np.flatnonzero(valid[row])
        for step, (low, high) in enumerate(zip(tile.low.tolist(), tile.high.tolist(), strict=True)):
            inside = columns[(columns >= low) & (columns < high)]
            if not len(inside):
                continue
            floats = float_columns[(float_columns >= low) & (float_columns < high)]
            window = Window(
                floats=[(int(tile.times[c]), float(tile.rows[row, c])) for c in floats.tolist()],
                histograms=[(int(tile.times[c]), tile.histograms[row, c]) for c in inside.tolist()],
                start=int(tile.start[step]),
                end=int(tile.end[step]),
                length_s=length_s,
                value=float(values[row, step]) if present[row, step] else None,
                metric=metrics[row],
                node=node,
                notes=notes,
            )
            outcome = handle(window)
            present[row, step] = outcome is not None
            if isinstance(outcome, Histogram):
                out[row, step], values[row, step] = outcome, np.nan
            elif outcome is not None:
                values[row, step] = outcome
    return values, present, out


def compared(block: Block) -> Block:
    """A block whose histograms know of their counter resets."""
    if block.histograms is None:
        return block
    known = know_resets(block.histograms)
    return Block(block.times, block.rows, block.values, known, block.starts, block.coarse)
