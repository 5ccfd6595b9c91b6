"""Backtest: how often a rule would have fired over the samples that are stored.

The expression is evaluated day by day on a regular step; runs of steps at which a series is
present are episodes, those at least as long as the rule's `for` would have fired. Vectorised over
series and steps; what is kept between days is one boolean matrix a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.alerts.model import Labels, fingerprint
from mamimon.problems import bad_input

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.query import SeriesBackend

DAY_S = 86_400.0
MOST_EPISODES = 200
MOST_SERIES = 5000


class Episode(msgspec.Struct):
    """The rule would have fired from `start` for `seconds`."""

    start: float
    seconds: float
    labels: Labels


class Backtest(msgspec.Struct):
    """What a rule would have done."""

    fired: int
    firing_s: float
    episodes: list[Episode]
    """The latest ones, newest first."""
    step_s: float
    start: float
    end: float


async def backtest(
    backend: SeriesBackend, expr: str, for_s: float, start: float, end: float, interval_s: float
) -> Backtest:
    """Evaluate `expr` over `[start, end)`; raises `Problem` where it cannot be evaluated."""
    found, start, step_s = await true_times(backend, expr, start, end, interval_s)
    return summarised(found, for_s, step_s, start, end)


async def true_times(
    backend: SeriesBackend, expr: str, start: float, end: float, interval_s: float
) -> tuple[list[Episode], float, float]:
    """When each series of `expr` had a value; with the start on a whole step, and the step in seconds."""
    # A month at the rule's own interval is 172,800 steps; a minute is fine enough to count by.
    step_s = max(interval_s, 15.0) if end - start <= 2 * DAY_S else max(interval_s, 60.0)
    start -= start % step_s
    labels: dict[str, Labels] = {}
    parts: list[tuple[int, dict[str, int], Any]] = []
    at, steps = start, 0
    while at < end:
        until = min(at + DAY_S, end)
        result = await backend.range(expr, at, until - 0.001, step_s)
        rows: dict[str, int] = {}
        for number, one in enumerate(result.labels):
            plain = {k: v for k, v in one.items() if k != "__name__"}
            key = fingerprint(plain)
            labels[key] = plain
            rows[key] = number
        if len(labels) > MOST_SERIES:
            raise bad_input(f"the expression has more than {MOST_SERIES} series")
        parts.append((steps, rows, result.present))
        steps += len(result.times) if len(result.times) else round((until - at) / step_s)
        at = until
    found = [one for key in labels for one in episodes(labels[key], _row(key, parts, steps), start, step_s)]
    return found, start, step_s


def summarised(found: Sequence[Episode], for_s: float, step_s: float, start: float, end: float) -> Backtest:
    """Which of the times at which the rule was true are long enough to fire."""
    fired = [
        Episode(one.start + for_s, one.seconds - for_s, one.labels) for one in found if one.seconds >= for_s
    ]
    fired.sort(key=lambda one: -one.start)
    return Backtest(len(fired), sum(one.seconds for one in fired), fired[:MOST_EPISODES], step_s, start, end)


def _row(key: str, parts: Sequence[tuple[int, dict[str, int], Any]], steps: int) -> npt.NDArray[np.bool_]:
    import numpy as np

    row = np.zeros(steps, dtype=np.bool_)
    for offset, rows, present in parts:
        if key in rows:
            one = present[rows[key]]
            row[offset : offset + len(one)] = one
    return row


def episodes(labels: Labels, row: npt.NDArray[np.bool_], start: float, step_s: float) -> list[Episode]:
    """The runs of a row of steps."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return [
        Episode(start + float(a) * step_s, float(b - a) * step_s, labels)
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
