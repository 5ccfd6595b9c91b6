"""What changed around an incident: the series that moved most against their own recent past.

Method: robust z-score. For each series the median of a window around the start is compared with
the median of the hours before, in units of their median absolute deviation (×1.4826, so that it
reads as standard deviations of normal noise), with a floor of two percent of the level so that a
series that never moved does not divide by zero. Counters are compared as rates. One matrix
[series × steps] at a time, no loop over series or steps.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mamimon.alerts.model import Labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import SeriesBackend

BEFORE_S = 6 * 3600.0
AROUND_S = 900.0
STEPS = 180
WORTH = 3.0
# Our own bookkeeping, timestamps and histogram parts say nothing that the rest does not say better.
# Counters are asked for raw: rate() drops the name that tells two of them apart.
_COUNTERS = '{__name__=~".+_(total|count|sum)",__name__!~"mamimon_.+"}'
_GAUGES = (
    '{__name__=~".+",__name__!~".+_(total|count|sum|bucket|created)|ALERTS.*|mamimon_.+|.*timestamp.*|'
    'process_start_time_seconds|scrape_.+|python_.+"}'
)


class Change(msgspec.Struct):
    """A series that is not as it was; `score` in robust standard deviations, None for a new series."""

    name: str
    labels: Labels
    counter: bool
    before: float | None
    now: float
    score: float | None


async def changes(
    backend: SeriesBackend, started_at: float, now: float, limit: int = 10, *, timeout_s: float = 5.0
) -> list[Change]:
    """The series that moved most, new ones among them; raises `Problem` where they cannot be asked."""
    start, end = started_at - BEFORE_S, min(now, started_at + AROUND_S)
    step = max(15.0, round((end - start) / STEPS))
    found: list[Change] = []
    for expr, counter in ((_GAUGES, False), (_COUNTERS, True)):
        result = await backend.range(expr, start, end, step, timeout_s=timeout_s)
        if result.labels:
            found += await asyncio.to_thread(_rank, result, started_at, counter, limit)
    return sorted(found, key=lambda one: -abs(one.score if one.score is not None else 50.0))[:limit]


def _median(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median a row, of what is there; whole rows take numpy's faster way."""
    import numpy as np

    out = np.full(len(matrix), np.nan)
    if not matrix.shape[1]:
        return out
    whole = np.isfinite(matrix).all(axis=1)
    if whole.any():
        out[whole] = np.median(matrix[whole], axis=1)
    if not whole.all():
        out[~whole] = np.nanmedian(matrix[~whole], axis=1)
    return out


def _rank(result: QueryResult, started_at: float, counter: bool, limit: int) -> list[Change]:
    import warnings

    import numpy as np

    values = np.where(result.present & np.isfinite(result.values), result.values, np.nan)
    times = result.times / 1000.0
    if counter:
        gained = np.diff(values, axis=1) / np.diff(times)
        # A reset is a negative difference; what was counted across it is not known.
        values, times = np.where(gained >= 0, gained, np.nan), times[1:]
    base, window = values[:, times < started_at - 120.0], values[:, times >= started_at - 60.0]
    if not window.shape[1]:
        return []
    with warnings.catch_warnings():
        # A series that is absent from a window has no median there; that is what NaN says below.
        warnings.simplefilter("ignore", RuntimeWarning)
        before, after = _median(base), _median(window)
        spread = _median(np.abs(base - before[:, None]))
    history = np.isfinite(base).sum(axis=1)
    floor = np.maximum(0.02 * np.maximum(np.abs(before), np.abs(after)), 1e-9)
    score = (after - before) / (1.4826 * spread + floor)
    is_new = (history == 0) & np.isfinite(after) & (after != 0) & (history.max() > 10)
    moved = (history >= 5) & np.isfinite(score) & (np.abs(score) >= WORTH)
    weight = np.where(is_new, 50.0, np.where(moved, np.abs(score), 0.0))
    out = []
    for row in np.argsort(-weight)[:limit].tolist():
        if weight[row] <= 0:
            break
        labels = dict(result.labels[row])
        name = labels.pop("__name__", "")
        out.append(
            Change(
                name=name,
                labels=labels,
                counter=counter,
                before=None if is_new[row] else float(before[row]),
                now=float(after[row]),
                score=None if is_new[row] else float(np.clip(score[row], -99, 99)),
            )
        )
    return out
