"""rate, increase, delta, irate, idelta: differences over windows, extrapolated as Prometheus does."""

from __future__ import annotations

import numpy as np

from mamimon.metrics.promql.kernels import window_sums
from mamimon.metrics.promql.values import Bools, Floats
from mamimon.metrics.promql.windows import Windows


def reset_corrections(windows: Windows) -> Floats | None:
    """For each window the sum of what a counter had reached before each of its resets; None = no resets."""
    fell = windows.rows < windows.before
    if windows.valid is not None:
        fell &= windows.valid
    rows = fell.any(axis=1)
    if not rows.any():
        return None
    lost = np.where(fell[rows], windows.before[rows], 0.0)
    out = np.zeros((windows.rows.shape[0], len(windows.low)))
    if windows.valid is None:
        out[rows] = window_sums(lost, np.minimum(windows.low + 1, windows.high), windows.high)
        return out
    # The first sample's own drop happened before the window.
    after_first = np.minimum(windows.first[rows] + 1, windows.high)
    out[rows] = window_sums(lost, after_first, windows.high)
    return out


def extrapolated(
    windows: Windows, length_s: float, *, counter: bool, per_second: bool
) -> tuple[Floats, Bools]:
    """rate (counter, per second), increase (counter) and delta; needs two samples in a window."""
    count = windows.count
    present = count >= 2
    first, last = windows.first, windows.last
    oldest = windows.at(first)
    result = windows.at(last)
    result -= oldest
    if counter and (corrections := reset_corrections(windows)) is not None:
        result += corrections
    first_time, last_time = windows.times[first], windows.times[last]
    to_start = (first_time - windows.start) / 1000
    to_end = (windows.end - last_time) / 1000
    sampled = (last_time - first_time) / 1000
    average = sampled / np.maximum(count - 1, 1)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    if counter:
        # A counter starts at zero: do not extrapolate to before that.
        to_zero = np.multiply(sampled, oldest)
        to_zero /= result
        sloped = (result > 0) & (oldest >= 0)
        to_start = np.where(sloped & (to_zero < to_start), to_zero, to_start)
    factor = to_start + (sampled + to_end)
    factor /= np.where(sampled == 0, 1.0, sampled)
    if per_second:
        factor /= length_s
    result *= factor
    return result, np.broadcast_to(present, result.shape)


def instantaneous(windows: Windows, *, counter: bool) -> tuple[Floats, Bools]:
    """irate (counter) and idelta, from the last two samples of a window."""
    present = windows.count >= 2
    last = windows.last
    if windows.valid is None:
        previous = np.maximum(last - 1, 0)
    else:
        previous = np.maximum(np.take_along_axis(windows.previous[:, :-1], last, axis=1), 0)
    new, old = windows.at(last), windows.at(previous)
    result = new - old
    if counter:
        result = np.where(new < old, new, result)
        elapsed = (windows.times[last] - windows.times[previous]) / 1000
        result /= np.where(elapsed == 0, np.nan, elapsed)
    return result, np.broadcast_to(present, result.shape)
