"""Sums, differences and means of native histograms: common buckets first, then exact sums count by count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from mamimon.metrics.histogram import (
    CUSTOM,
    Hint,
    Histogram,
    at_bounds,
    at_schema,
    changed,
    total,
    with_zero_threshold,
)


class Incompatible(Exception):  # noqa: N818 - one outcome of a sum, turned into a warning
    """Exponential and custom buckets cannot be added."""


class Combined(msgspec.Struct):
    """A sum and what had to be done for it."""

    histogram: Histogram
    collision: bool
    """One histogram had been reset and another had not."""
    reconciled: bool
    """Custom bounds differed."""


def common(histograms: Sequence[Histogram]) -> tuple[list[Histogram], bool]:
    """The histograms with equal buckets, and whether custom bounds had to give way."""
    first = histograms[0]
    if any(one.is_custom != first.is_custom for one in histograms):
        raise Incompatible
    if first.is_custom:
        if all(one.custom == first.custom for one in histograms):
            return list(histograms), False
        shared = set(first.custom).intersection(*(one.custom for one in histograms))
        bounds = tuple(limit for limit in first.custom if limit in shared)
        return [at_bounds(one, bounds) for one in histograms], True
    schema = min(one.schema for one in histograms)
    threshold = max(one.zero_threshold for one in histograms)
    out = list(histograms)
    while any(one.zero_threshold != threshold for one in out):
        out = [with_zero_threshold(one, threshold) for one in out]
        threshold = max(one.zero_threshold for one in out)
    return [at_schema(one, schema) for one in out], False


def _hint(histograms: Sequence[Histogram]) -> tuple[Hint, bool]:
    hint, collision = histograms[0].hint, False
    for one in histograms[1:]:
        if hint in (one.hint, "gauge"):
            continue
        if one.hint == "gauge":
            hint = "gauge"
        elif hint == "unknown":
            continue
        elif one.hint == "unknown":
            hint = "unknown"
        else:
            hint, collision = "unknown", True
    hints = {one.hint for one in histograms}
    return hint, collision or {"reset", "not_reset"} <= hints


def weighted(histograms: Sequence[Histogram], weights: Sequence[float]) -> Combined:
    """The sum of histograms, each times its weight; raises `Incompatible`."""
    aligned, reconciled = common(histograms)
    hint, collision = _hint(histograms)

    def add(values: list[float]) -> float:
        return total([value * weight for value, weight in zip(values, weights, strict=True)])

    def counts(sides: list[dict[int, float]]) -> dict[int, float]:
        indexes = sorted({index for side in sides for index in side})
        return {index: add([side.get(index, 0.0) for side in sides]) for index in indexes}

    first = aligned[0]
    histogram = Histogram(
        schema=first.schema,
        count=add([one.count for one in aligned]),
        sum=add([one.sum for one in aligned]),
        zero_threshold=first.zero_threshold,
        zero_count=add([one.zero_count for one in aligned]),
        positive=counts([one.positive for one in aligned]),
        negative=counts([one.negative for one in aligned]),
        custom=first.custom if first.schema == CUSTOM else (),
        hint=hint,
    )
    return Combined(histogram, collision, reconciled)


def added(left: Histogram, right: Histogram) -> Combined:
    """left + right."""
    return weighted((left, right), (1.0, 1.0))


def subtracted(left: Histogram, right: Histogram) -> Combined:
    """left - right."""
    return weighted((left, right), (1.0, -1.0))


def summed(histograms: Sequence[Histogram]) -> Combined:
    """The sum of all."""
    return weighted(histograms, [1.0] * len(histograms))


def mean(histograms: Sequence[Histogram]) -> Combined:
    """The mean of all, also where their sum overflows."""
    count = len(histograms)
    combined = summed(histograms)
    whole = combined.histogram
    numbers = (whole.sum, whole.count, whole.zero_count, *whole.positive.values(), *whole.negative.values())
    if any(math.isinf(number) for number in numbers):
        return weighted(histograms, [1.0 / count] * count)
    combined.histogram = changed(
        whole,
        count=whole.count / count,
        sum=whole.sum / count,
        zero_count=whole.zero_count / count,
        positive={index: number / count for index, number in whole.positive.items()},
        negative={index: number / count for index, number in whole.negative.items()},
    )
    return combined
