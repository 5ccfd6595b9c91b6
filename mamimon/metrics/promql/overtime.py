"""The functions of a range vector beside the rates: *_over_time, changes, resets, regressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mamimon.metrics.promql.kernels import (
    Prefix,
    gather_index,
    gather_spans,
    kahan_step,
    sliding,
    window_means,
    window_sums,
)
from mamimon.metrics.promql.values import Bools, Floats, Ints
from mamimon.metrics.promql.windows import Windows

Result = tuple[Floats, Bools]


def _shaped(windows: Windows, present: Bools) -> Bools:
    return np.broadcast_to(present, (windows.exact.shape[0], len(windows.low)))


def count_over_time(windows: Windows) -> Result:
    """How many samples."""
    present = _shaped(windows, windows.count > 0)
    return np.broadcast_to(windows.count, present.shape).astype(np.float64), present


def present_over_time(windows: Windows) -> Result:
    """1."""
    present = _shaped(windows, windows.count > 0)
    return np.ones(present.shape), present


def first_over_time(windows: Windows) -> Result:
    """The oldest sample."""
    return windows.at(windows.first), _shaped(windows, windows.count > 0)


def last_over_time(windows: Windows) -> Result:
    """The newest sample."""
    return windows.at(windows.last), _shaped(windows, windows.count > 0)


def ts_of_first_over_time(windows: Windows) -> Result:
    """When the oldest sample was taken, seconds."""
    present = _shaped(windows, windows.count > 0)
    return np.broadcast_to(windows.time_of(windows.first) / 1000, present.shape), present


def ts_of_last_over_time(windows: Windows) -> Result:
    """When the newest sample was taken, seconds."""
    present = _shaped(windows, windows.count > 0)
    return np.broadcast_to(windows.time_of(windows.last) / 1000, present.shape), present


def sum_over_time(windows: Windows) -> Result:
    """The compensated sum."""
    return window_sums(windows.filled(0.0), windows.low, windows.high), _shaped(windows, windows.count > 0)


def avg_over_time(windows: Windows) -> Result:
    """The mean; where the sum overflows, the mean of parts."""
    rows = windows.filled(0.0)
    means = window_means(rows, windows.low, windows.high, np.maximum(windows.count, 1))
    odd = np.isinf(means)
    if odd.any():
        affected = odd.any(axis=1)
        finite = np.where(np.isfinite(rows[affected]), 0.0, rows[affected])
        finite_windows = window_sums(np.abs(finite), windows.low, windows.high) == 0
        count = np.broadcast_to(np.maximum(windows.count, 1), means.shape)[affected]
        halves = _scaled_means(rows[affected], windows.low, windows.high, count)
        means[affected] = np.where(odd[affected] & finite_windows, halves, means[affected])
    return means, _shaped(windows, windows.count > 0)


def _scaled_means(rows: Floats, low: Ints, high: Ints, count: Ints) -> Floats:
    out = np.zeros((rows.shape[0], len(low)))
    for first, last in gather_spans(rows.shape[0], low, high):
        index, inside = gather_index(low[first:last], high[first:last])
        total = np.zeros((rows.shape[0], last - first))
        lost = np.zeros_like(total)
        for column in range(index.shape[1]):
            value = np.where(inside[:, column], rows[:, index[:, column]], 0.0) / count[:, first:last]
            total, lost = kahan_step(value, total, lost)
        out[:, first:last] = total + lost
    return out


def _extremum(windows: Windows, plain: np.ufunc, ignoring_nan: np.ufunc) -> Result:
    present = _shaped(windows, windows.count > 0)
    if not len(windows.times):
        return np.zeros(present.shape), present
    # Empty windows must not reach outside the table; what they give is masked by `present`.
    low = np.minimum(windows.low, len(windows.times) - 1)
    high = np.maximum(windows.high, low + 1)
    pick = ignoring_nan if windows.valid is not None or windows.has_nan else plain
    rows = windows.exact if windows.valid is None else windows.filled(np.nan)
    return sliding(rows, low, high, pick).astype(np.float64, copy=False), present


def max_over_time(windows: Windows) -> Result:
    """The largest sample that is not NaN."""
    return _extremum(windows, np.maximum, np.fmax)


def min_over_time(windows: Windows) -> Result:
    """The smallest sample that is not NaN."""
    return _extremum(windows, np.minimum, np.fmin)


def _events(windows: Windows, happened: Bools) -> Result:
    """Count marks on samples, without the mark of each window's first sample."""
    if windows.valid is not None:
        happened &= windows.valid
    sums = Prefix(happened.astype(np.float64)).window(windows.low, windows.high)
    first = np.broadcast_to(windows.first, sums.shape)
    sums -= np.take_along_axis(happened, first, axis=1)
    return np.maximum(sums, 0.0), _shaped(windows, windows.count > 0)


def resets(windows: Windows) -> Result:
    """How often a sample is smaller than the one before."""
    return _events(windows, windows.rows < windows.before)


def changes(windows: Windows) -> Result:
    """How often a sample differs from the one before; NaN equals NaN."""
    differs = (windows.rows != windows.before) & ~(np.isnan(windows.rows) & np.isnan(windows.before))
    return _events(windows, differs)


def _gathered(windows: Windows, compute: Callable[[Floats, Bools, slice], Floats]) -> Floats:
    """Hand `compute` the samples of many windows at once: [rows, steps, width] and which are samples."""
    rows = windows.rows.shape[0]
    out = np.zeros((rows, len(windows.low)))
    if not len(windows.times):
        return out
    for first, last in gather_spans(rows, windows.low, windows.high):
        windows.check()
        index, inside = gather_index(windows.low[first:last], windows.high[first:last])
        samples = windows.rows[:, index]
        valid = np.broadcast_to(inside, samples.shape)
        if windows.valid is not None:
            valid = valid & windows.valid[:, index]
        out[:, first:last] = compute(samples, valid, slice(first, last))
    return out


def sorted_quantile(ordered: Floats, count: Ints, nans: Ints, quantile: Floats) -> Floats:
    """Quantiles over the last axis, ascending with NaN and holes at the end; NaN counts as smallest."""
    rank = quantile * (count - 1)
    low = np.maximum(np.floor(rank), 0)
    weight = rank - low
    high = np.minimum(low + 1, count - 1)

    def pick(position: Floats) -> Floats:
        shifted = position.astype(np.int64) - nans
        found = np.take_along_axis(ordered, np.maximum(shifted, 0)[..., None], axis=-1)[..., 0]
        return np.where(shifted < 0, np.nan, found)

    inside = np.clip(np.nan_to_num(low), 0, ordered.shape[-1] - 1), np.clip(np.nan_to_num(high), 0, None)
    result = pick(inside[0]) * (1 - weight) + pick(inside[1]) * weight
    result = np.where(quantile < 0, -np.inf, np.where(quantile > 1, np.inf, result))
    return np.where(np.isnan(quantile), np.nan, result)


def quantile_over_time(windows: Windows, quantile: Floats) -> Result:
    """The φ-quantile, φ a step."""

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        kept = np.where(valid, samples, np.nan)
        count = valid.sum(axis=-1)
        nans = count - (~np.isnan(kept)).sum(axis=-1)
        return sorted_quantile(np.sort(kept, axis=-1), count, nans, quantile[steps])

    return _gathered(windows, compute), _shaped(windows, windows.count > 0)


def mad_over_time(windows: Windows) -> Result:
    """The median of the distances from the median."""

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        kept = np.where(valid, samples, np.nan)
        count = valid.sum(axis=-1)
        nans = count - (~np.isnan(kept)).sum(axis=-1)
        half = np.full(count.shape[-1], 0.5)
        zero = np.zeros_like(count)
        median = sorted_quantile(np.sort(kept, axis=-1), count, zero, half)
        distance = np.sort(np.abs(kept - median[..., None]), axis=-1)
        return np.where(nans > 0, np.nan, sorted_quantile(distance, count, zero, half))

    return _gathered(windows, compute), _shaped(windows, windows.count > 0)


def _columns(windows: Windows, samples: Floats) -> Iterator[int]:
    """The places in a window, one after another; a day of seconds has many, so time is looked at."""
    for column in range(samples.shape[2]):
        if not column % 256:
            windows.check()
        yield column


def _variance(windows: Windows) -> Floats:
    """Welford's method with compensation, sample by sample over all windows at once."""

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        shape = samples.shape[:2]
        count, mean, mean_lost, total, total_lost = (np.zeros(shape) for _ in range(5))
        for column in _columns(windows, samples):
            sample, inside = samples[:, :, column], valid[:, :, column]
            number = count + 1
            delta = sample - (mean + mean_lost)
            new_mean, new_mean_lost = kahan_step(delta / number, mean, mean_lost)
            square = delta * (sample - (new_mean + new_mean_lost))
            new_total, new_total_lost = kahan_step(square, total, total_lost)
            count = np.where(inside, number, count)
            mean, mean_lost = np.where(inside, new_mean, mean), np.where(inside, new_mean_lost, mean_lost)
            total = np.where(inside, new_total, total)
            total_lost = np.where(inside, new_total_lost, total_lost)
        return (total + total_lost) / np.maximum(count, 1)

    return _gathered(windows, compute)


def stdvar_over_time(windows: Windows) -> Result:
    """Population variance."""
    return _variance(windows), _shaped(windows, windows.count > 0)


def stddev_over_time(windows: Windows) -> Result:
    """Population standard deviation."""
    return np.sqrt(_variance(windows)), _shaped(windows, windows.count > 0)


def _ts_of_extremum(windows: Windows, better: np.ufunc) -> Result:
    """When the extremum was last reached, seconds."""

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        best = np.full(samples.shape[:2], np.nan)
        column_of = np.zeros(samples.shape[:2], dtype=np.int64)
        for column in _columns(windows, samples):
            sample = samples[:, :, column]
            taken = valid[:, :, column] & (better(sample, best) | np.isnan(best))
            best = np.where(taken, sample, best)
            column_of = np.where(taken, column, column_of)
        column = np.minimum(column_of + windows.low[steps], len(windows.times) - 1)
        return np.asarray(windows.time_of(column) / 1000)

    return _gathered(windows, compute), _shaped(windows, windows.count > 0)


def ts_of_max_over_time(windows: Windows) -> Result:
    """When the maximum was last reached."""
    return _ts_of_extremum(windows, np.greater_equal)


def ts_of_min_over_time(windows: Windows) -> Result:
    """When the minimum was last reached."""
    return _ts_of_extremum(windows, np.less_equal)


def linear_regression(windows: Windows, origin: Ints) -> tuple[Floats, Floats]:
    """Slope per second, and value at `origin` (ms; [steps] or [rows, steps])."""
    intercepts = np.zeros((windows.rows.shape[0], len(windows.low)))
    origin = np.broadcast_to(origin, intercepts.shape)

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        index, _ = gather_index(windows.low[steps], windows.high[steps])
        stamps = windows.times[index] if windows.own_times is None else windows.own_times[:, index]
        x = ((stamps if stamps.ndim == 2 else stamps[windows.target_of]) - origin[:, steps, None]) / 1000
        sums = np.zeros((4, 2, *samples.shape[:2]))
        for column in _columns(windows, samples):
            here, value = x[:, :, column], samples[:, :, column]
            for number, term in enumerate((here, value, here * value, here * here)):
                term = np.where(valid[:, :, column], term, 0.0)  # noqa: PLW2901
                sums[number] = kahan_step(term, sums[number, 0], sums[number, 1])
        sum_x, sum_y, sum_xy, sum_xx = sums[:, 0] + sums[:, 1]
        count = valid.sum(axis=-1)
        slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count)
        intercept = sum_y / count - slope * sum_x / count
        initial = np.take_along_axis(samples, valid.argmax(axis=-1)[..., None], axis=-1)
        constant = ((samples == initial) | ~valid).all(axis=-1)
        initial = initial[..., 0]
        flat = np.where(np.isinf(initial), np.nan, 0.0)
        intercepts[:, steps] = np.where(constant, initial + flat, intercept)
        return np.where(constant, flat, slope)

    return _gathered(windows, compute), intercepts


def deriv(windows: Windows) -> Result:
    """Slope per second by least squares."""
    slope, _ = linear_regression(
        windows, windows.time_of(windows.first) if len(windows.times) else windows.end
    )
    return slope, _shaped(windows, windows.count >= 2)


def predict_linear(windows: Windows, ahead: Floats, now: Ints) -> Result:
    """The regression line `ahead` seconds after `now` (ms)."""
    slope, intercept = linear_regression(windows, now)
    return slope * ahead + intercept, _shaped(windows, windows.count >= 2)


def double_exponential_smoothing(windows: Windows, smoothing: Floats, trend: Floats) -> Result:
    """Holt's linear method, the newest smoothed value."""

    def compute(samples: Floats, valid: Bools, steps: slice) -> Floats:
        shape = samples.shape[:2]
        seen = np.zeros(shape, dtype=np.int64)
        old, new, slope = (np.zeros(shape) for _ in range(3))
        factor, trend_factor = smoothing[steps], trend[steps]
        for column in _columns(windows, samples):
            sample, inside = samples[:, :, column], valid[:, :, column]
            slope_now = np.where(
                seen == 1, sample - new, trend_factor * (new - old) + (1 - trend_factor) * slope
            )
            smoothed = factor * sample + (1 - factor) * (new + slope_now)
            following = np.where(seen == 0, sample, smoothed)
            old = np.where(inside & (seen > 0), new, old)
            slope = np.where(inside & (seen > 0), slope_now, slope)
            new = np.where(inside, following, new)
            seen += inside
        return new

    return _gathered(windows, compute), _shaped(windows, windows.count >= 2)


SIMPLE: dict[str, Callable[[Windows], Result]] = {
    "avg_over_time": avg_over_time,
    "changes": changes,
    "count_over_time": count_over_time,
    "deriv": deriv,
    "first_over_time": first_over_time,
    "last_over_time": last_over_time,
    "mad_over_time": mad_over_time,
    "max_over_time": max_over_time,
    "min_over_time": min_over_time,
    "present_over_time": present_over_time,
    "resets": resets,
    "stddev_over_time": stddev_over_time,
    "stdvar_over_time": stdvar_over_time,
    "sum_over_time": sum_over_time,
    "ts_of_first_over_time": ts_of_first_over_time,
    "ts_of_last_over_time": ts_of_last_over_time,
    "ts_of_max_over_time": ts_of_max_over_time,
    "ts_of_min_over_time": ts_of_min_over_time,
}
"""Functions of a range vector alone."""
