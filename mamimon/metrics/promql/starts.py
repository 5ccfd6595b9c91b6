"""Start timestamps: what rate, increase, irate and resets make of them, and start_timestamp().

A sample may say when its counter began. Where that lies behind the sample before it, the counter was
reset even if it did not fall; where the first sample's lies inside the window, the counter was zero
then, and nothing is extrapolated to the left. Only rows that have any are worked on here, window by
window. Source: Prometheus' engine with its feature flag `use-start-timestamps`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from mamimon.metrics.histogram import Histogram, changed, compact, has_reset, scaled
from mamimon.metrics.promql import histogram_windows
from mamimon.metrics.promql.ast import Selector, unwrap
from mamimon.metrics.promql.histogram_sums import summed
from mamimon.metrics.promql.histogram_windows import Outcome, Window
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import Bools, Floats, Ints, Objects, Vector, are_there, empty
from mamimon.metrics.promql.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mamimon.metrics.promql.annotations import Annotations
    from mamimon.metrics.promql.ast import Call, Expr
    from mamimon.metrics.promql.evaluator import Evaluator

USED_BY = ("rate", "increase", "irate", "resets")
_OVERLAP = "sample has start time that overlaps with previous sample timestamp for metric "
Result: TypeAlias = tuple[Floats, Bools, Objects | None]


class _Point(msgspec.Struct, frozen=True):
    at: int
    value: float | Histogram
    start: int
    """0 where nobody said."""


def was_reset(before: _Point, now: _Point) -> bool:
    """Whether the start timestamps of two samples that follow each other tell of a reset."""
    if now.start == 0 or now.start >= now.at or now.start < before.at:
        return False
    if now.start > before.at:
        return True
    # It began with the sample before: a delta, unless that one's own beginning was unknown.
    return before.start not in (0, before.at) and before.start < before.at


def apply(
    name: str,
    tile: Windows,
    metrics: Sequence[str],
    result: Result,
    *,
    length_s: float,
    node: Expr,
    notes: Annotations,
) -> Result:
    """Redo the windows of rows with start timestamps; `result` is what the samples alone gave."""
    assert tile.starts is not None
    values, present, objects = np.array(result[0]), np.array(result[1]), result[2]
    out = np.full(values.shape, None, dtype=object) if objects is None else objects
    for row in np.flatnonzero((tile.starts != 0).any(axis=1)).tolist():
        points = _points(tile, row)
        stamps = np.array([point.at for point in points], dtype=np.int64)
        low = np.searchsorted(stamps, tile.start, side="right").tolist()
        high = np.searchsorted(stamps, tile.end, side="right").tolist()
        for step, (first, last) in enumerate(zip(low, high, strict=True)):
            inside = points[first:last]
            native = [point for point in inside if isinstance(point.value, Histogram)]
            if not inside or (native and len(native) < len(inside) and name != "resets"):
                continue  # a mix was complained of already
            window = Window(
                floats=[],
                histograms=[(point.at, point.value) for point in native],
                start=int(tile.start[step]),
                end=int(tile.end[step]),
                length_s=length_s,
                value=None,
                metric=metrics[row],
                node=node,
                notes=notes,
            )
            outcome = _outcome(name, inside, window)
            present[row, step] = outcome is not None
            out[row, step] = outcome if isinstance(outcome, Histogram) else None
            values[row, step] = outcome if isinstance(outcome, float) else np.nan
    native_anywhere = objects is not None or bool(are_there(out).any())
    return values, present, out if native_anywhere else None


def _points(tile: Windows, row: int) -> list[_Point]:
    assert tile.starts is not None
    there = np.ones(len(tile.times), dtype=np.bool_) if tile.valid is None else tile.valid[row].copy()
    native: Any = None if tile.histograms is None else tile.histograms[row]
    if native is not None:
        there |= are_there(native)
    return [
        _Point(
            int(tile.times[column]),
            native[column]
            if native is not None and native[column] is not None
            else float(tile.rows[row, column]),
            int(tile.starts[row, column]),
        )
        for column in np.flatnonzero(there).tolist()
    ]


def _outcome(name: str, points: list[_Point], window: Window) -> Outcome:
    if name == "resets":
        return float(sum(_is_reset(before, now) for before, now in pairwise(points)))
    marked = _marked(points)
    window.histograms = [(point.at, point.value) for point in marked if isinstance(point.value, Histogram)]
    if name == "irate":
        return _instantaneous(marked, window)
    return _extrapolated(marked, window, per_second=name == "rate")


def _is_reset(before: _Point, now: _Point) -> bool:
    if isinstance(before.value, Histogram) != isinstance(now.value, Histogram):
        return True
    if was_reset(before, now):
        return True
    if isinstance(before.value, Histogram) and isinstance(now.value, Histogram):
        return has_reset(now.value, before.value)
    return bool(now.value < before.value)  # type: ignore[operator]


def _marked(points: list[_Point]) -> list[_Point]:
    """Histograms with the resets that start timestamps tell of as their hint."""
    out = points[:1]
    for before, now in pairwise(points):
        value = now.value
        if isinstance(value, Histogram) and value.hint != "gauge" and was_reset(before, now):
            now = _Point(now.at, changed(value, hint="reset"), now.start)  # noqa: PLW2901
        out.append(now)
    return out


def _instantaneous(points: list[_Point], window: Window) -> Outcome:
    if window.histograms:
        return histogram_windows.instantaneous(window, counter=True)
    if len(points) < 2:
        return None
    old, new = points[-2:]
    assert isinstance(old.value, float)
    assert isinstance(new.value, float)
    value = new.value if _is_reset(old, new) else new.value - old.value
    return value / ((new.at - old.at) / 1000)


def _extrapolated(points: list[_Point], window: Window, *, per_second: bool) -> Outcome:
    _warn_of_overlaps(points, window)
    first, last = points[0], points[-1]
    result = _increase(points, window)
    if result is None and len(points) > 1:
        return None
    to_start, to_end = (first.at - window.start) / 1000, (window.end - last.at) / 1000
    sampled = (last.at - first.at) / 1000
    average = sampled / (len(points) - 1) if len(points) > 1 else 0.0
    if first.start != 0 and window.start < first.start < first.at:
        to_start = 0.0
        sampled = (last.at - first.start) / 1000
        result = _plus(result, first.value)
    elif len(points) == 1:
        return None
    else:
        to_start = _to_start(first, result, sampled, average, to_start)
    if to_end >= average * 1.1:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled if sampled else 1.0
    if per_second:
        factor /= window.length_s
    return scaled(result, factor) if isinstance(result, Histogram) else (result or 0.0) * factor


def _to_start(first: _Point, result: Outcome, sampled: float, average: float, to_start: float) -> float:
    if to_start >= average * 1.1:
        to_start = average / 2
    own = first.value.count if isinstance(first.value, Histogram) else first.value
    whole = result.count if isinstance(result, Histogram) else result or 0.0
    return min(to_start, sampled * (own / whole)) if whole > 0 and own >= 0 else to_start


def _increase(points: list[_Point], window: Window) -> Outcome:
    if len(points) < 2:
        return None
    if window.histograms:
        return histogram_windows.increase(window.histograms, window, counter=True)
    first, last = points[0].value, points[-1].value
    lost = sum(
        before.value
        for before, now in pairwise(points)
        if isinstance(before.value, float) and _is_reset(before, now)
    )
    assert isinstance(first, float)
    assert isinstance(last, float)
    return last - first + lost


def _plus(result: Outcome, first: float | Histogram) -> Outcome:
    if isinstance(first, Histogram):
        if isinstance(result, Histogram):
            first = compact(summed([result, changed(first, hint="gauge")]).histogram)
        return changed(first, hint="gauge")
    return (result if isinstance(result, float) else 0.0) + first


def _warn_of_overlaps(points: list[_Point], window: Window) -> None:
    for before, now in pairwise(points):
        if now.start != 0 and now.start < before.at and now.start != before.start:
            window.notes.warn(window.node, _OVERLAP + quote(window.metric))
            return


def call(run: Evaluator, node: Call, times: Ints) -> Vector:
    """start_timestamp(): when the counters of selected samples began, in seconds, 0 where nobody said.

    Empty where no sample of the selection says anything, and of anything but a selector.
    """
    selector = unwrap(node.args[0])
    if not isinstance(selector, Selector):
        return empty(len(times))
    vector, taken = run.select_with_times(selector, times)
    at = run.shifted(selector, times)
    found = run.read(selector.matchers, int(at.min()) - run.lookback_ms + 1, int(at.max()))
    if all(block.starts is None for block in found.blocks):
        return empty(len(times))
    place = {
        id(found.labels[row]): (block, number)
        for block in found.blocks
        for number, row in enumerate(block.rows.tolist())
    }
    values, stamps = np.zeros(vector.values.shape), taken()
    for row, labels in enumerate(vector.labels):
        block, number = place[id(labels)]
        if block.starts is not None:
            column = np.minimum(np.searchsorted(block.times, stamps[row]), len(block.times) - 1)
            values[row] = block.starts[number, column] / 1000
    return Vector(
        labels=vector.labels, values=values, present=vector.present, drop_name=[True] * len(vector.labels)
    )
