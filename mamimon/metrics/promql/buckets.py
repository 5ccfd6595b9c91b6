"""histogram_quantile and histogram_fraction over classic buckets (`le`), all steps and histograms at once.

Histograms that have the same bounds are worked on together.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.annotations import Annotations, named
from mamimon.metrics.promql.ast import Node
from mamimon.metrics.promql.text import format_general, quote
from mamimon.metrics.promql.values import Bools, Floats, Ints, Vector, signature, without

_TOLERANCE = 1e-12
"""Relative difference of neighbouring counts that is rounding, not a decrease (Prometheus' value)."""


class Batch(msgspec.Struct, eq=False):
    """Histograms with equal bounds: counts are [histograms, bounds, steps], cumulative."""

    labels: list[Labels]
    bounds: Floats
    counts: Floats
    present: Bools


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def collect(vector: Vector, node: Node, notes: Annotations) -> list[Batch]:
    """The buckets of a vector as histograms; series without a readable `le` are noted and left out."""
    members: dict[object, tuple[Labels, dict[float, list[int]]]] = {}
    for row, labels in enumerate(vector.labels):
        text = labels.get("le", "")
        bound = _bound(text)
        if not text or (math.isnan(bound) and text.lower() not in ("nan", "+nan", "-nan")):
            notes.warn(
                node,
                named(
                    f'bucket label "le" is missing or has a malformed value of {quote(text)}',
                    labels.get("__name__", ""),
                ),
            )
            continue
        rest = without(labels, ("le",))
        own = members.setdefault(signature(rest), (rest, {}))
        own[1].setdefault(bound, []).append(row)
    shapes: dict[tuple[float, ...], list[tuple[Labels, dict[float, list[int]]]]] = {}
    for histogram in members.values():
        shapes.setdefault(tuple(sorted(histogram[1])), []).append(histogram)
    mask = vector.mask()
    out = []
    for bounds, histograms in shapes.items():
        shape = (len(histograms), len(bounds), vector.steps)
        counts, present = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        for number, (_, rows_of) in enumerate(histograms):
            for position, bound in enumerate(bounds):
                for row in rows_of[bound]:  # `1` and `1.0` are one bound: their counts add up
                    counts[number, position] += np.where(mask[row], vector.values[row], 0.0)
                    present[number, position] |= mask[row]
        out.append(Batch([labels for labels, _ in histograms], np.array(bounds), counts, present))
    return out


def _patterns(batch: Batch) -> list[tuple[Bools, Bools]]:
    """Which buckets are there, and where (histogram, step) exactly these are."""
    if batch.present.all():
        return [
            (np.ones(len(batch.bounds), dtype=np.bool_), np.ones(batch.present.shape[::2], dtype=np.bool_))
        ]
    flat = batch.present.transpose(0, 2, 1).reshape(-1, len(batch.bounds))
    found, inverse = np.unique(flat, axis=0, return_inverse=True)
    where = inverse.reshape(batch.present.shape[0], batch.present.shape[2])
    return [(pattern, where == number) for number, pattern in enumerate(found) if pattern.any()]


class Repair:
    """What `make_monotonic` had to change, for the info that says so."""

    def __init__(self) -> None:
        self.samples = 0
        self.low, self.high, self.most = math.inf, -math.inf, 0.0
        self.steps: list[int] = []

    def note(self, notes: Annotations, node: Node, labels: list[Labels], times: Ints) -> None:
        """Say so, if anything was changed."""
        if not self.samples:
            return
        start, end = (
            str(np.datetime64(int(times[step]) // 1000, "s")) + "Z"
            for step in (min(self.steps), max(self.steps))
        )
        metrics = {own.get("__name__", "") for own in labels}
        base = named(
            "input to histogram_quantile needed to be fixed for monotonicity "
            "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metrics.pop() if len(metrics) == 1 else "",
        )
        low, high = format_general(self.low), format_general(self.high)
        notes.info(
            node,
            f"{base}, from buckets {low} to {high}, with a max diff of {self.most:.2g}, "
            f"over {self.samples} samples from {start} to {end}",
        )


def make_monotonic(bounds: Floats, counts: Floats, repair: Repair, steps: Ints) -> Floats:
    """Cumulative counts [bounds, cells] that never fall; `steps` says which step each cell is."""
    out = counts.copy()
    previous = out[0].copy()
    broken = np.zeros(counts.shape[1], dtype=np.bool_)
    for position in range(1, len(bounds)):
        current = out[position]
        near = np.abs(current - previous) < _TOLERANCE * (np.abs(current) + np.abs(previous))
        fell = (current < previous) & ~near & (current != previous)
        if fell.any():
            broken |= fell
            repair.low = min(repair.low, float(bounds[position]))
            repair.high = max(repair.high, float(bounds[position]))
            repair.most = max(repair.most, float((previous - current)[fell].max()))
        out[position] = np.where(near | fell, previous, current)
        previous = out[position]
    repair.samples += int(broken.sum())
    repair.steps.extend(np.unique(steps[broken]).tolist())
    return out


def _quantiles(bounds: Floats, counts: Floats, quantile: Floats) -> Floats:
    """Of monotonic cumulative counts [bounds, cells]."""
    total = counts[-1]
    rank = quantile * total
    bucket = (counts[:-1] < rank).sum(axis=0)
    last = len(bounds) - 1
    upper = bounds[np.minimum(bucket, last)]
    below = np.maximum(bucket - 1, 0)
    lower = np.where(bucket > 0, bounds[below], 0.0)
    cells = np.arange(counts.shape[1])
    before = np.where(bucket > 0, counts[below, cells], 0.0)
    inside = counts[np.minimum(bucket, last), cells] - before
    result = lower + (upper - lower) * ((rank - before) / inside)
    if bounds[0] <= 0:
        result = np.where(bucket == 0, bounds[0], result)
    result = np.where(bucket == last, bounds[-2], result)
    return np.where(total == 0, math.nan, result)


def bucket_quantile(batch: Batch, quantile: Floats, repair: Repair) -> tuple[Floats, Bools]:
    """The φ-quantile (φ a step) of every histogram: [histograms, steps]."""
    shape = (len(batch.labels), batch.counts.shape[2])
    out = np.full(shape, math.nan)
    present: Bools = np.asarray(batch.present.any(axis=1))
    for pattern, where in _patterns(batch):
        bounds = batch.bounds[pattern]
        if not math.isinf(bounds[-1]) or len(bounds) < 2:
            continue
        number, step = np.nonzero(where)
        valid = ~((quantile[step] < 0) | (quantile[step] > 1) | np.isnan(quantile[step]))
        number, step = number[valid], step[valid]
        counts = batch.counts[number, :, step].T[pattern]
        counts = make_monotonic(bounds, counts, repair, step)
        out[number, step] = _quantiles(bounds, counts, quantile[step])
    out = np.where(quantile < 0, -math.inf, np.where(quantile > 1, math.inf, out))
    return np.where(np.isnan(quantile), math.nan, out), present


def bucket_fraction(batch: Batch, lower: Floats, upper: Floats) -> tuple[Floats, Bools]:
    """The share of observations in (lower, upper] of every histogram, limits a step."""
    out = np.full((len(batch.labels), batch.counts.shape[2]), math.nan)
    for pattern, where in _patterns(batch):
        bounds = batch.bounds[pattern]
        if not math.isinf(bounds[-1]):
            continue
        number, step = np.nonzero(where)
        counts = batch.counts[number, :, step].T[pattern]
        total = counts[-1]
        high = _rank(bounds, counts, upper[step])
        low = _rank(bounds, counts, lower[step])
        share = (high - low) / total
        share = np.where(lower[step] >= upper[step], 0.0, share)
        unknown = (total == 0) | np.isnan(lower[step]) | np.isnan(upper[step])
        out[number, step] = np.where(unknown, math.nan, share)
    return out, np.asarray(batch.present.any(axis=1))


def _rank(bounds: Floats, counts: Floats, limit: Floats) -> Floats:
    """How many observations are at most `limit`, interpolated; [cells]."""
    floor = -math.inf if bounds[0] <= 0 else 0.0
    lows = np.concatenate(([floor], bounds[:-1]))
    before = np.concatenate((np.zeros((1, counts.shape[1])), counts[:-1]))
    result = counts[-1].copy()
    settled = np.zeros(len(limit), dtype=np.bool_)
    for position, (low, high) in enumerate(zip(lows, bounds, strict=True)):
        below = ~settled & (low >= limit)
        result = np.where(below, before[position], result)
        settled |= below
        inside = ~settled & (low < limit) & (high > limit)
        if math.isinf(low):
            value = counts[position]
        else:
            width = high - low
            value = before[position] + (counts[position] - before[position]) * (limit - low) / width
        result = np.where(inside, value, result)
        settled |= inside
    return np.asarray(np.minimum(result, counts[-1]))
