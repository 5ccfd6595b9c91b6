"""A histogram over time as a grid of counts: classic `le` buckets and native histograms alike.

A plain selector is asked as what was observed between two steps, `sum by (le) (increase(x[step]))`; any
other expression is taken as it is. Classic buckets are cumulative, so each is less the one below it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import QueryResult

_MOST_ROWS = 120


class Heat(msgspec.Struct):
    """Counts by step and bucket, from the lowest bucket up; a row is `(lower, upper]`."""

    times: list[float]
    lower: list[float | None]
    """None for -∞."""
    upper: list[float | None]
    """None for +∞."""
    counts: list[list[float | None]]
    """[rows][steps]; None where the histogram is not there."""


def query_of(text: str, step_s: float) -> str:
    """The expression whose answer is drawn; raises `PromQLError`."""
    from mamimon.metrics.promql import parse
    from mamimon.metrics.promql.ast import Selector, unwrap

    node = unwrap(parse(text))
    if not isinstance(node, Selector):
        return text
    span = f"{max(round(step_s), 60)}s"
    grouping = "by (le) " if "_bucket" in text else ""
    return f"sum {grouping}(increase({text}[{span}]))"


def heat_of(found: QueryResult) -> Heat:
    """The grid of a range query's answer; series without `le` and without histograms are left out."""
    times = [at / 1000 for at in found.times.tolist()]
    if found.histograms is not None and any(one is not None for one in found.histograms.ravel()):
        return _native(found, times)
    return _classic(found, times)


def _classic(found: QueryResult, times: list[float]) -> Heat:
    import numpy as np

    sums: dict[float, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for labels, values, there in zip(found.labels, found.values, found.present, strict=True):
        if "le" not in labels:
            continue
        try:
            bound = float(labels["le"])
        except ValueError:
            continue
        own = np.where(there, values, np.nan)
        sums[bound] = np.nansum([sums[bound], own], axis=0) if bound in sums else own
    bounds = sorted(sums)
    counts: list[list[float | None]] = []
    below = np.zeros(len(times))
    for bound in bounds:
        own = sums[bound]
        part = np.maximum(own - below, 0.0)
        counts.append([None if math.isnan(one) else one for one in part.tolist()])
        below = np.where(np.isnan(own), below, own)
    lower = [None, *(_finite(bound) for bound in bounds[:-1])] if bounds else []
    if bounds and bounds[0] > 0:
        lower[0] = 0.0
    return Heat(times, lower, [_finite(bound) for bound in bounds], counts)


def _native(found: QueryResult, times: list[float]) -> Heat:
    from mamimon.metrics.histogram import at_schema, buckets

    assert found.histograms is not None
    columns: list[dict[tuple[float, float], float] | None] = [None] * len(times)
    plain = [one.schema for one in found.histograms.ravel() if one is not None and not one.is_custom]
    schema = min(plain, default=0)

    def laid(one: Histogram) -> list[tuple[tuple[float, float], float]]:
        same = one if one.is_custom or one.schema == schema else at_schema(one, schema)
        return [((b.lower, b.upper), b.count) for b in buckets(same)]

    while True:
        seen: set[tuple[float, float]] = set()
        columns = [None] * len(times)
        for row in found.histograms:
            for step, one in enumerate(row):
                if one is None:
                    continue
                kept = columns[step]
                column = columns[step] = {} if kept is None else kept
                for edges, count in laid(one):
                    column[edges] = column.get(edges, 0.0) + count
                    seen.add(edges)
        if len(seen) <= _MOST_ROWS or schema <= -4:
            break
        schema -= 1
    rows = sorted(seen)
    counts: list[list[float | None]] = [
        [None if column is None else column.get(edges, 0.0) for column in columns] for edges in rows
    ]
    return Heat(times, [_finite(low) for low, _ in rows], [_finite(up) for _, up in rows], counts)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
