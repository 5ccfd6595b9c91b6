"""Anchored and smoothed windows of native histograms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mamimon.metrics.histogram import Histogram, changed, compact, divided, has_reset, same, scaled
from mamimon.metrics.promql.histogram_sums import Incompatible, added, subtracted, summed
from mamimon.metrics.promql.histogram_windows import (
    MIXED_SCHEMAS,
    NOT_COUNTER,
    NOT_GAUGE,
    Outcome,
    Points,
    Window,
)


def _note(window: Window, reconciled: bool, operation: str) -> None:
    if reconciled:
        window.notes.info(window.node, f"mismatched custom buckets were reconciled during {operation}")


def _between(
    window: Window, left: tuple[int, Histogram], right: tuple[int, Histogram], at: int, *, counter: bool
) -> Histogram:
    """The histogram at a time between two; a counter that was reset started again at nothing."""
    (left_time, old), (right_time, new) = left, right
    if at in (left_time, right_time):
        return old if at == left_time else new
    share = (at - left_time) / (right_time - left_time)
    if counter and has_reset(new, old):
        return scaled(new, share)
    difference = subtracted(new, old)
    _note(window, difference.reconciled, "subtraction")
    result = added(scaled(difference.histogram, share), old)
    _note(window, result.reconciled, "addition")
    return result.histogram


def _bounds(window: Window, points: Points, *, smoothed: bool) -> tuple[int, int]:
    """The first and last sample that count."""
    last = len(points) - 1
    first = max(0, sum(time <= window.start for time, _ in points[:last]) - 1)
    if smoothed:
        last = sum(time < window.end for time, _ in points[:last])
    return first, last


def difference(window: Window, *, smoothed: bool, counter: bool, per_second: bool) -> Outcome:
    """rate, increase and delta; floats alone have been worked out before."""
    points = window.histograms
    if window.mixed():
        return None
    first, last = _bounds(window, points, smoothed=smoothed)
    if points[last][0] <= window.start or (smoothed and points[first][0] > window.end):
        return None
    for _, one in points[first : last + 1]:
        if one.is_custom != points[0][1].is_custom:
            window.warn(MIXED_SCHEMAS)
            return None
        if counter and one.hint == "gauge":
            window.warn(NOT_COUNTER)
    try:
        result = _difference(window, points, first, last, smoothed=smoothed, counter=counter)
    except Incompatible:
        window.warn(MIXED_SCHEMAS)
        return None
    if per_second:
        result = divided(result, window.length_s)
    return compact(changed(result, hint="gauge"))


def _difference(
    window: Window, points: Points, first: int, last: int, *, smoothed: bool, counter: bool
) -> Histogram:
    left, right = points[first][1], points[last][1]
    if smoothed and points[first][0] < window.start:
        left = _between(window, points[first], points[first + 1], window.start, counter=counter)
    if smoothed and last > 0 and points[last][0] > window.end:
        right = _between(window, points[last - 1], points[last], window.end, counter=counter)
    if not counter and not left.hint == right.hint == "gauge":
        window.warn(NOT_GAUGE)
    combined = subtracted(right, left)
    _note(window, combined.reconciled, "subtraction")
    if not counter:
        return combined.histogram
    lost = _lost(window, points, (first, last), left, right, smoothed=smoothed)
    if not lost:
        return combined.histogram
    correction = summed(lost)
    _note(window, correction.reconciled, "addition")
    corrected = added(combined.histogram, correction.histogram)
    _note(window, corrected.reconciled, "addition")
    return corrected.histogram


def _lost(
    window: Window,
    points: Points,
    span: tuple[int, int],
    left: Histogram,
    right: Histogram,
    *,
    smoothed: bool,
) -> list[Histogram]:
    """What the counter had reached before each reset between the edges."""
    first, last = span
    before, begin = left, first + 1
    if smoothed and points[first][0] < window.start and has_reset(points[first + 1][1], points[first][1]):
        # The interpolated left edge already lies behind that reset.
        before, begin = points[first + 1][1], first + 2
    if begin > last:
        return []
    out = []
    for _, one in points[begin:last]:
        if has_reset(one, before):
            out.append(before)
        before = one
    if has_reset(right, before):
        out.append(before)
    return out


def events(window: Window, name: str) -> Outcome:
    """resets and changes over an anchored window."""
    points = sorted([*window.floats, *window.histograms], key=lambda point: point[0])
    earlier = [point for point in points if point[0] <= window.start]
    inside = [point[1] for point in points if point[0] > window.start]
    if not inside:
        return None
    chain = [*(one for _, one in earlier[-1:]), *inside]
    happened: Callable[[Histogram, Histogram], bool] = (
        has_reset if name == "resets" else lambda new, old: not same(new, old)
    )
    count = 0
    for old, new in pairwise(chain):
        if isinstance(old, Histogram) and isinstance(new, Histogram):
            count += happened(new, old)
        elif isinstance(old, Histogram) or isinstance(new, Histogram):
            count += 1
        elif name == "resets":
            count += new < old
        else:
            count += new != old and not (np.isnan(new) and np.isnan(old))
    return float(count)


def smoothed_at(window: Window) -> Outcome:
    """A smoothed instant selector at `end`."""
    points = window.histograms
    if window.mixed():
        return None
    following = sum(time < window.end for time, _ in points)
    if following < len(points) and points[following][0] == window.end:
        found: Histogram = points[following][1]
        return found
    if not following:
        return None
    old = points[following - 1]
    if following == len(points):
        return changed(old[1], hint="unknown")
    new = points[following]
    if old[1].is_custom != new[1].is_custom:
        window.warn(MIXED_SCHEMAS)
        return None
    counter = not old[1].hint == new[1].hint == "gauge"
    return _between(window, old, new, window.end, counter=counter)


def handler(name: str, mode: str) -> Callable[[Window], Outcome]:
    """The function of a window with histograms."""
    if name in ("resets", "changes"):
        return lambda window: events(window, name)
    return lambda window: difference(
        window, smoothed=mode == "smoothed", counter=name != "delta", per_second=name == "rate"
    )
