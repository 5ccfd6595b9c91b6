"""Log lines in a sliding window: now, for a rule at work, and over time, for its preview and backtest."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.alerts.model import Labels, LineCount
    from mamimon.logs.model import LogHistogram
    from mamimon.logs.query import LogBackend, LogQuery
    from mamimon.metrics.query import SeriesBackend

    Floats = npt.NDArray[np.float64]

MOST_VALUES = 100
"""Values of a field that a rule tells apart: the commonest."""
SEEN_S = 86_400.0
"""How long a value that has no lines any more is counted on as 0, so that its silence can be told too."""
_STEPS_ASKED = 4000


async def count(
    logs: LogBackend, series: SeriesBackend, lines: LineCount, at: float
) -> list[tuple[Labels, float]]:
    """The rule's series with how many lines there are in the window that ends at `at`; raises `Problem`
    where not all were seen."""
    found = await counts(logs, lines, at)
    if lines.by:
        for value in await _seen(series, lines, at):
            if len(found) < MOST_VALUES:
                found.setdefault(value, 0.0)
    return [
        ({**lines.series, lines.label: value} if lines.by else lines.series, n) for value, n in found.items()
    ]


async def counts(logs: LogBackend, lines: LineCount, at: float) -> dict[str, float]:
    """How many lines each value has, the commonest first; without a field all under no name."""
    from mamimon.logs.query import LogQuery

    query = LogQuery(text=lines.query, start=at - lines.window_s, end=at)
    found = await _histogram(logs, lines, query, lines.window_s)
    if found.partial:
        raise Problem(Kind.TIMEOUT, "not every log line of the window could be looked at")
    if not lines.by:
        return {"": float(found.total)}
    return {value: float(sum(row)) for value, row in found.counts.items()}


async def _seen(series: SeriesBackend, lines: LineCount, at: float) -> list[str]:
    """Values that had lines lately; from what was counted, so also after a restart."""
    own = ",".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in lines.series.items())
    asked = f"max by ({lines.label}) (max_over_time({{{own}}}[{SEEN_S:.0f}s])) > 0"
    found = await series.instant(asked, at)
    return [value for one in found.labels if (value := one.get(lines.label))]


async def _histogram(logs: LogBackend, lines: LineCount, query: LogQuery, step_s: float) -> LogHistogram:
    if lines.by:
        return await logs.histogram_by(query, lines.by, step_s, MOST_VALUES)
    return await logs.histogram(query, step_s)


async def sliding(
    logs: LogBackend, lines: LineCount, start: float, end: float, step_s: float, *, budget_s: float
) -> tuple[Floats, dict[str, Floats]]:
    """Times (ends of windows, `step_s` apart) and counts by value, the commonest first; raises
    `Problem(TIMEOUT)` after `budget_s`."""
    import numpy as np

    from mamimon.logs.query import LogQuery

    deadline = time.monotonic() + budget_s
    wide = max(1, round(lines.window_s / step_s))
    first = (int(start // step_s) - wide + 1) * step_s
    last = int(end // step_s) * step_s
    length = max(0, round((last - first) / step_s))
    each: dict[str, Floats] = {} if lines.by else {"": np.zeros(length)}
    for offset in range(0, length, _STEPS_ASKED):
        at = first + offset * step_s
        until = min(last, at + _STEPS_ASKED * step_s)
        found = await _histogram(logs, lines, LogQuery(text=lines.query, start=at, end=until), step_s)
        if found.partial or time.monotonic() > deadline:
            raise Problem(Kind.TIMEOUT, "there are too many log lines to look at; name a rarer word or field")
        steps = round((until - at) / step_s)
        for key, counted in found.counts.items():
            row = each.setdefault(key if lines.by else "", np.zeros(length))
            row[offset : offset + steps] += np.asarray(counted[:steps], dtype=np.float64)
    commonest = sorted(each, key=lambda key: -float(each[key].sum()))[:MOST_VALUES]
    windows: dict[str, Floats] = {}
    for key in commonest:
        sums = np.concatenate(([0.0], np.cumsum(each[key])))
        windows[key] = sums[wide:] - sums[:-wide]
    times = np.arange(max(0, length + 1 - wide), dtype=np.float64) * step_s + (first + wide * step_s)
    return times, windows
