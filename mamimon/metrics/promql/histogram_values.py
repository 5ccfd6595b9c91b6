"""Numbers from native histograms (quantile, fraction, deviation), and their trimming and printing."""

from __future__ import annotations

import math

from mamimon.metrics.histogram import (
    Bucket,
    Histogram,
    buckets,
    changed,
    compact,
    negative_buckets,
    positive_buckets,
    total,
)
from mamimon.metrics.promql.text import format_general


def fraction_below(bucket: Bucket, value: float, *, linear: bool) -> float:
    """Which share of a bucket is at most `value`, which is inside it."""
    if linear:
        return (value - bucket.lower) / (bucket.upper - bucket.lower)
    low, high, at = (math.log2(abs(x)) for x in (bucket.lower, bucket.upper, value))
    if value > 0:
        return (at - low) / (high - low)
    return 1 - (at - high) / (low - high)


def quantile(histogram: Histogram, share: float) -> tuple[float, str]:
    """The φ-quantile, and what NaN observations did to it ("", "result" or "skew")."""
    if not 0 <= share <= 1:
        return math.nan if math.isnan(share) else math.copysign(math.inf, share), ""
    if histogram.count == 0:
        return math.nan, ""
    has_nan = math.isnan(histogram.sum)
    upwards = has_nan or share < 0.5
    rank = (share if upwards else 1 - share) * histogram.count
    order = buckets(histogram)
    order = order if upwards else order[::-1]
    count, bucket = 0.0, Bucket(0.0, 0.0, 0.0)
    rest = order
    for position, candidate in enumerate(order):
        bucket, rest = candidate, order[position + 1 :]
        if not candidate.count:
            continue
        count += candidate.count
        if count >= rank:
            break
    lower, upper = bucket.lower, bucket.upper
    if not histogram.is_custom and lower < 0 < upper:
        lower, upper, _ = _zero_sided(histogram, bucket)
    elif histogram.is_custom:
        if lower == -math.inf:
            if upper <= 0:
                return upper, ""
            lower = 0.0
        elif upper == math.inf:
            return lower, ""
    count = min(count, histogram.count)
    if count < rank:
        return (math.nan, "result") if has_nan else (upper, "")
    note = ""
    if has_nan and count + sum(other.count for other in rest) < histogram.count:
        note = "skew"
    rank = rank - (count - bucket.count) if upwards else count - rank
    part = rank / bucket.count
    return _interpolated(lower, upper, part, linear=histogram.is_custom or lower <= 0 <= upper), note


def _interpolated(lower: float, upper: float, part: float, *, linear: bool) -> float:
    if linear:
        return lower + (upper - lower) * part
    low, high = math.log2(abs(lower)), math.log2(abs(upper))
    if lower > 0:
        return math.pow(2.0, low + (high - low) * part)
    return -math.pow(2.0, high + (low - high) * (1 - part))


def _zero_sided(histogram: Histogram, bucket: Bucket) -> tuple[float, float, bool]:
    """A bucket's bounds, cut at zero where all observations are on one side; whether it holds zero."""
    if not (bucket.lower <= 0 <= bucket.upper):
        return bucket.lower, bucket.upper, False
    lower = 0.0 if not histogram.negative and histogram.positive else bucket.lower
    upper = 0.0 if not histogram.positive and histogram.negative else bucket.upper
    return lower, upper, True


def fraction(histogram: Histogram, low: float, high: float) -> tuple[float, bool]:
    """The share of observations between two values, and whether NaN observations were left out."""
    if histogram.count == 0 or math.isnan(low) or math.isnan(high):
        return math.nan, False
    if low >= high:
        return 0.0, False
    order = buckets(histogram)
    excluded = math.isnan(histogram.sum) and sum(one.count for one in order) < histogram.count
    most = sum(one.count for one in order) if math.isnan(histogram.sum) else histogram.count
    ranks = [min(_rank(histogram, order, limit, most), most) for limit in (low, high)]
    return (ranks[1] - ranks[0]) / histogram.count, excluded


def _rank(histogram: Histogram, order: list[Bucket], limit: float, most: float) -> float:
    rank = 0.0
    for bucket in order:
        lower, upper, zero = _zero_sided(histogram, bucket)
        if lower >= limit:
            return rank
        if lower < limit < upper:
            linear = histogram.is_custom or zero
            if linear and lower == -math.inf:
                return bucket.count
            inside = Bucket(lower, upper, bucket.count)
            return rank + bucket.count * fraction_below(inside, limit, linear=linear)
        rank += bucket.count
    return most


def variance(histogram: Histogram) -> float:
    """The variance, every observation taken to be in the middle of its bucket."""
    if not histogram.count:
        return math.nan
    mean = histogram.sum / histogram.count
    parts = []
    for bucket in buckets(histogram):
        if not bucket.count:
            continue
        if histogram.is_custom:
            value = (bucket.upper + bucket.lower) / 2
        elif bucket.lower <= 0 <= bucket.upper:
            value = 0.0
        else:
            value = math.copysign(math.sqrt(bucket.upper * bucket.lower), bucket.upper)
        parts.append(bucket.count * (value - mean) ** 2)
    return total(parts) / histogram.count


def _midpoint(low: float, high: float, *, positive: bool, linear: bool) -> float:
    if math.isinf(low):
        if math.isinf(high):
            return 0.0
        return high / 2 if high > 0 else high
    if math.isinf(high):
        return low
    if linear:
        return (low + high) / 2
    middle = math.sqrt(abs(low * high))
    return middle if positive else -middle


def _finite(value: float) -> float:
    return 0.0 if math.isinf(value) else value


def _cut_infinite(bucket: Bucket, limit: float, *, upper: bool) -> tuple[float, float]:
    """Count and middle of what is left of a bucket without a finite bound."""
    if bucket.lower == -math.inf:
        if upper:
            if limit >= bucket.upper:
                return bucket.count, 0.0
            if limit > 0 and 0 < bucket.upper < math.inf:
                return bucket.count * limit / bucket.upper, limit / 2
            if bucket.upper <= 0:
                return bucket.count, limit
            return 0.0, _finite(bucket.upper)
        if limit <= bucket.lower:
            return bucket.count, 0.0
        if limit >= 0 and limit < bucket.upper < math.inf:
            return bucket.count * (1 - limit / bucket.upper), (limit + bucket.upper) / 2
        return 0.0, _finite(bucket.upper)
    if upper:
        return 0.0, _finite(bucket.lower)
    return (bucket.count, limit) if limit >= bucket.lower else (0.0, _finite(bucket.lower))


def _cut(bucket: Bucket, limit: float, *, upper: bool, positive: bool, linear: bool) -> tuple[float, float]:
    """Count and middle of what is left of a bucket that holds the limit."""
    if math.isinf(bucket.lower) or math.isinf(bucket.upper):
        return _cut_infinite(bucket, limit, upper=upper)
    if limit <= bucket.lower:
        under = 0.0
    elif limit >= bucket.upper:
        under = bucket.count
    else:
        under = bucket.count * fraction_below(bucket, limit, linear=linear)
    if upper:
        return under, _midpoint(bucket.lower, limit, positive=positive, linear=linear)
    return bucket.count - under, _midpoint(limit, bucket.upper, positive=positive, linear=linear)


def _cut_zero(histogram: Histogram, limit: float, *, upper: bool) -> tuple[float, float]:
    low, high = -histogram.zero_threshold, histogram.zero_threshold
    has_negative, has_positive = any(histogram.negative.values()), any(histogram.positive.values())
    if has_negative and not has_positive:
        high = 0.0
    if has_positive and not has_negative:
        low = 0.0
    count = histogram.zero_count
    if upper:
        if limit <= low:
            return 0.0, 0.0
        if limit >= high:
            return count, (low + high) / 2
        return count * (limit - low) / (high - low), (low + limit) / 2
    if limit <= low:
        return count, (low + high) / 2
    if limit >= high:
        return 0.0, 0.0
    return count * (high - limit) / (high - low), (limit + high) / 2


def trimmed(histogram: Histogram, limit: float, *, upper: bool) -> Histogram:
    """Without the observations above (upper) or below `limit`; the sum is estimated anew."""
    linear = histogram.is_custom
    count, parts, touched = 0.0, [], False
    sides: list[dict[int, float]] = []
    for positive, found in ((True, positive_buckets(histogram)), (False, negative_buckets(histogram))):
        side: dict[int, float] = {}
        sides.append(side)
        for index, bucket in found:
            if not bucket.count:
                side[index] = bucket.count
                continue
            if bucket.upper <= limit if upper else bucket.lower >= limit:
                kept = bucket.count
                middle = _midpoint(bucket.lower, bucket.upper, positive=positive, linear=linear)
            elif bucket.lower < limit if upper else bucket.upper > limit:
                kept, middle = _cut(bucket, limit, upper=upper, positive=positive, linear=linear)
            else:
                kept, middle = 0.0, 0.0
            side[index] = kept
            touched |= kept != bucket.count
            count += kept
            parts.append(middle * kept)
    zero = histogram.zero_count
    if zero > 0:
        zero, middle = _cut_zero(histogram, limit, upper=upper)
        touched |= zero != histogram.zero_count
        count += zero
        parts.append(middle * zero)
    if not touched:
        return histogram
    return compact(
        changed(
            histogram, count=count, sum=total(parts), zero_count=zero, positive=sides[0], negative=sides[1]
        )
    )


def show(histogram: Histogram) -> str:
    """As Prometheus prints a histogram, as in the label of `count_values`."""
    g = format_general
    parts = [f"count:{g(histogram.count)}", f"sum:{g(histogram.sum)}"]
    for _, one in reversed(list(negative_buckets(histogram))):
        if one.count:
            parts.append(f"[{g(one.lower)},{g(one.upper)}):{g(one.count)}")
    if histogram.zero_count:
        limit = g(histogram.zero_threshold)
        parts.append(f"[-{limit},{limit}]:{g(histogram.zero_count)}")
    for index, one in positive_buckets(histogram):
        if one.count:
            opening = "[" if histogram.is_custom and index == 0 and one.lower == -math.inf else "("
            parts.append(f"{opening}{g(one.lower)},{g(one.upper)}]:{g(one.count)}")
    return "{" + ", ".join(parts) + "}"
