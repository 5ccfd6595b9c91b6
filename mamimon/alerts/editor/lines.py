"""Log lines in a sliding window: now, for a rule at work, and over time, for its preview and backtest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.alerts.model import LineCount
    from mamimon.logs.query import LogBackend

_STEPS_ASKED = 4000


async def count(logs: LogBackend, lines: LineCount, at: float) -> float:
    """How many lines there are in the window that ends at `at`; raises `Problem` where not all were seen."""
    from mamimon.logs.query import LogQuery

    query = LogQuery(text=lines.query, start=at - lines.window_s, end=at)
    found = await logs.histogram(query, lines.window_s)
    if found.partial:
        raise Problem(Kind.TIMEOUT, "not every log line of the window could be looked at")
    return float(sum(map(sum, found.counts.values())))


async def sliding(
    logs: LogBackend, lines: LineCount, start: float, end: float, step_s: float, *, budget_s: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times (ends of windows, `step_s` apart) and counts; raises `Problem(TIMEOUT)` after `budget_s`."""
    import numpy as np

    from mamimon.logs.query import LogQuery

    deadline = time.monotonic() + budget_s
    wide = max(1, round(lines.window_s / step_s))
    first = (int(start // step_s) - wide + 1) * step_s
    last = int(end // step_s) * step_s
    parts: list[npt.NDArray[np.float64]] = []
    at = first
    while at < last:
        until = min(last, at + _STEPS_ASKED * step_s)
        found = await logs.histogram(LogQuery(text=lines.query, start=at, end=until), step_s)
        if found.partial or time.monotonic() > deadline:
            raise Problem(Kind.TIMEOUT, "there are too many log lines to look at; name a rarer word or field")
        row = np.zeros(round((until - at) / step_s))
        for counts in found.counts.values():
            row += np.asarray(counts[: len(row)], dtype=np.float64)
        parts.append(row)
        at = until
    each = np.concatenate(parts) if parts else np.zeros(0)
    sums: npt.NDArray[np.float64] = np.concatenate(([0.0], np.cumsum(each)))
    windows = sums[wide:] - sums[:-wide]
    times = np.arange(len(windows), dtype=np.float64) * step_s + (first + wide * step_s)
    return times, windows
