"""Native histograms: buckets by number, exponential (schema -4 to 8) or with custom bounds (schema -53).

Counts are kept sparse by bucket number, so spans exist on the wire only. Semantics are those of
Prometheus' FloatHistogram.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import msgspec

CUSTOM = -53
"""The schema of histograms with custom bounds."""

Hint = Literal["unknown", "reset", "not_reset", "gauge"]
"""What is known about a counter reset between the sample before and this one."""


class Bucket(msgspec.Struct, frozen=True):
    """Observations between two bounds."""

    lower: float
    upper: float
    count: float


class Histogram(msgspec.Struct, eq=False, kw_only=True, array_like=True):
    """One sample of a native histogram; not changed once made."""

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: dict[int, float] = {}
    negative: dict[int, float] = {}
    custom: tuple[float, ...] = ()
    hint: Hint = "unknown"

    @property
    def is_custom(self) -> bool:
        """Whether the bounds are custom ones."""
        return self.schema == CUSTOM


@lru_cache(maxsize=9)
def _fractions(schema: int) -> list[float]:
    """The bounds between 1/2 and 1, each to the bit as Prometheus has it (client_golang, histogram.go).

    Every other one is a bound of the schema below; the one behind it is a factor away.
    """
    # Go's Exp2(0.5) is one unit in the last place below the nearest double.
    factor = 1.414213562373095 if schema == 1 else 2.0 ** (2.0**-schema)
    out = [0.5]
    for number in range(1, 1 << schema):
        out.append(out[-1] * factor if number % 2 else _fractions(schema - 1)[number // 2])
    return out


def bound(index: int, schema: int) -> float:
    """The upper bound of an exponential bucket."""
    if schema > 0:
        fraction = _fractions(schema)[index & (1 << schema) - 1]
        exponent = (index >> schema) + 1
    else:
        fraction, exponent = 0.5, (index << -schema) + 1
    if fraction == 0.5 and exponent == 1025:
        return 1.7976931348623157e308
    try:
        return math.ldexp(fraction, exponent)
    except OverflowError:
        return math.inf


def _edges(histogram: Histogram, index: int) -> tuple[float, float]:
    if histogram.is_custom:
        custom = histogram.custom
        lower = custom[index - 1] if 0 < index <= len(custom) else -math.inf
        return lower, custom[index] if index < len(custom) else math.inf
    return bound(index - 1, histogram.schema), bound(index, histogram.schema)


def positive_buckets(histogram: Histogram) -> Iterator[tuple[int, Bucket]]:
    """From the smallest on, with their numbers."""
    for index in sorted(histogram.positive):
        lower, upper = _edges(histogram, index)
        yield index, Bucket(lower, upper, histogram.positive[index])


def negative_buckets(histogram: Histogram) -> Iterator[tuple[int, Bucket]]:
    """From the one nearest to zero on, with their numbers."""
    for index in sorted(histogram.negative):
        lower, upper = _edges(histogram, index)
        yield index, Bucket(-upper, -lower, histogram.negative[index])


def buckets(histogram: Histogram) -> list[Bucket]:
    """All buckets from the lowest to the highest, none reaching into the zero bucket."""
    limit = histogram.zero_threshold
    out = []
    for _, found in reversed(list(negative_buckets(histogram))):
        upper = -limit if -limit < found.upper < 0 else found.upper
        out.append(Bucket(found.lower, upper, found.count))
    if histogram.zero_count > 0:
        out.append(Bucket(-limit, limit, histogram.zero_count))
    for _, found in positive_buckets(histogram):
        lower = limit if 0 < found.lower < limit else found.lower
        out.append(Bucket(lower, found.upper, found.count))
    return out


def changed(histogram: Histogram, **fields: object) -> Histogram:
    """A copy with other values in some fields."""
    return msgspec.structs.replace(histogram, **fields)


def compact(histogram: Histogram) -> Histogram:
    """Without empty buckets."""
    return changed(
        histogram,
        positive={index: count for index, count in histogram.positive.items() if count},
        negative={index: count for index, count in histogram.negative.items() if count},
    )


def scaled(histogram: Histogram, factor: float) -> Histogram:
    """Every count and the sum times a factor."""
    return changed(
        histogram,
        count=histogram.count * factor,
        sum=histogram.sum * factor,
        zero_count=histogram.zero_count * factor,
        positive={index: count * factor for index, count in histogram.positive.items()},
        negative={index: count * factor for index, count in histogram.negative.items()},
        hint="gauge" if factor < 0 else histogram.hint,
    )


def _divide(number: float, divisor: float) -> float:
    if divisor:
        return number / divisor
    return (
        math.nan
        if not number or math.isnan(number)
        else math.copysign(math.inf, number * math.copysign(1, divisor))
    )


def divided(histogram: Histogram, divisor: float) -> Histogram:
    """Every count and the sum divided; by zero no buckets are left."""
    return changed(
        histogram,
        count=_divide(histogram.count, divisor),
        sum=_divide(histogram.sum, divisor),
        zero_count=_divide(histogram.zero_count, divisor),
        positive={i: count / divisor for i, count in histogram.positive.items()} if divisor else {},
        negative={i: count / divisor for i, count in histogram.negative.items()} if divisor else {},
        hint="gauge" if divisor < 0 else histogram.hint,
    )


def _merged(counts: dict[int, float], shift: int) -> dict[int, float]:
    out: dict[int, float] = {}
    for index, count in counts.items():
        target = ((index - 1) >> shift) + 1
        out[target] = out.get(target, 0.0) + count
    return out


def at_schema(histogram: Histogram, schema: int) -> Histogram:
    """With the wider buckets of a lower schema."""
    if schema == histogram.schema or histogram.is_custom:
        return histogram
    shift = histogram.schema - schema
    return changed(
        histogram,
        schema=schema,
        positive=_merged(histogram.positive, shift),
        negative=_merged(histogram.negative, shift),
    )


def zero_count_up_to(histogram: Histogram, threshold: float) -> tuple[float, float]:
    """The zero bucket's count if it reached to `threshold`, and to where it then really reaches.

    A bucket that would be cut in two moves the threshold to its far end.
    """
    if threshold == histogram.zero_threshold:
        return histogram.zero_count, threshold
    while True:
        counts = [histogram.zero_count]
        start = threshold
        for _, found in positive_buckets(histogram):
            if found.lower >= threshold:
                break
            counts.append(found.count)
            if found.upper > threshold:
                threshold = found.upper if found.count else threshold
                break
        for _, found in negative_buckets(histogram):
            if found.upper <= -threshold:
                break
            counts.append(found.count)
            if found.lower < -threshold:
                threshold = -found.lower if found.count else threshold
                break
        if threshold == start:
            return total(counts), threshold


def with_zero_threshold(histogram: Histogram, threshold: float) -> Histogram:
    """With a zero bucket that reaches at least to `threshold` and has swallowed what is inside."""
    if threshold <= histogram.zero_threshold:
        return histogram
    count, reached = zero_count_up_to(histogram, threshold)
    return changed(
        histogram,
        zero_count=count,
        zero_threshold=reached,
        positive={i: c for i, c in histogram.positive.items() if bound(i - 1, histogram.schema) >= reached},
        negative={i: c for i, c in histogram.negative.items() if bound(i - 1, histogram.schema) >= reached},
    )


def total(numbers: list[float]) -> float:
    """The exact sum; an infinity where it overflows or one is among them."""
    try:
        return math.fsum(numbers)
    except OverflowError:
        return math.copysign(math.inf, sum(number / 2**64 for number in numbers))
    except ValueError:  # infinities of both signs
        return math.nan


def at_bounds(histogram: Histogram, bounds: tuple[float, ...]) -> Histogram:
    """A custom histogram with fewer bounds; what is between lost ones moves up."""
    if bounds == histogram.custom:
        return histogram
    out: dict[int, float] = {}
    for index, count in histogram.positive.items():
        upper = histogram.custom[index] if index < len(histogram.custom) else math.inf
        target = next((i for i, limit in enumerate(bounds) if limit >= upper), len(bounds))
        out[target] = out.get(target, 0.0) + count
    return changed(histogram, custom=bounds, positive=out)


def has_reset(newer: Histogram, older: Histogram) -> bool:
    """Whether a counter was reset between two samples."""
    if newer.hint in ("reset", "not_reset"):
        return newer.hint == "reset"
    if newer.count < older.count:
        return True
    if newer.is_custom:
        if not older.is_custom:
            return True
        if newer.custom != older.custom:
            shared = tuple(limit for limit in newer.custom if limit in set(older.custom))
            return _fell(at_bounds(newer, shared).positive, at_bounds(older, shared).positive)
        return _fell(newer.positive, older.positive)
    if newer.schema > older.schema or newer.zero_threshold < older.zero_threshold:
        return True
    count, threshold = zero_count_up_to(older, newer.zero_threshold)
    if threshold != newer.zero_threshold or newer.zero_count < count:
        return True
    old = with_zero_threshold(at_schema(older, newer.schema), newer.zero_threshold)
    return _fell(newer.positive, old.positive) or _fell(newer.negative, old.negative)


def _fell(newer: dict[int, float], older: dict[int, float]) -> bool:
    return any(newer.get(index, 0.0) < count for index, count in older.items())


def same(left: Histogram, right: Histogram) -> bool:
    """Whether two histograms are equal in every count."""
    return (
        left.schema == right.schema
        and _same_number(left.count, right.count)
        and _same_number(left.sum, right.sum)
        and left.custom == right.custom
        and left.zero_threshold == right.zero_threshold
        and left.zero_count == right.zero_count
        and left.positive == right.positive
        and left.negative == right.negative
    )


def _same_number(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
