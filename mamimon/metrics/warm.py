"""What the first question after a start would pay for, done before the server says that it is ready.

Importing the engine takes longer than any small answer, and code that runs for the first time takes up to
twice as long: tables are made, numpy looks for its loops, the processor has seen none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels, Matcher, Selection

_ASKED = (
    "sum by (job) (rate(x[5m]))",
    "avg by (n) (x)",
    "max by (job) (max_over_time(x[10m]))",
    "topk(2, increase(x[10m]))",
    "x",
)
_SPAN_MS = 3_600_000
_STEP_MS = 60_000
_SCRAPE_MS = 15_000
_TARGETS, _SERIES = 4, 3


def warm_up() -> None:
    """Import what answers questions and answer a few, about samples that are made up. Takes a moment."""
    for name in ("pcodec.standalone", "mamimon.metrics.promql.engine", "mamimon.metrics.promql.calls"):
        import_module(name)
    from mamimon.metrics.promql import evaluate
    from mamimon.metrics.routes.encode import encode

    source = _MadeUp()
    for text in _ASKED:
        for _ in encode(evaluate(source, text, 0, _SPAN_MS, _STEP_MS)):
            pass  # nobody reads it


class _MadeUp:
    """A `SeriesSource` of a few targets: whole numbers and others, as the store hands them out."""

    def __init__(self) -> None:
        import numpy as np

        from mamimon.metrics.store import codec

        self._times = np.arange(-_SPAN_MS, _SPAN_MS + 1, _SCRAPE_MS, dtype=np.int64)
        numbers = np.arange(float(_SERIES * len(self._times))).reshape(_SERIES, -1)
        self._samples = [codec.samples(codec.encode(one)) for one in (numbers, numbers / 7)]

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See `SeriesSource.select`."""
        import numpy as np

        from mamimon.metrics.model import Block, Selection
        from mamimon.metrics.store.table import Held, Joined

        low, high = self._times.searchsorted(start_ms), self._times.searchsorted(end_ms, "right")
        labels: list[Labels] = []
        blocks = []
        for target in range(_TARGETS):
            rows = np.arange(_SERIES) + len(labels)
            labels += [{"__name__": "x", "job": str(target % 2), "n": str(row)} for row in rows.tolist()]
            held = Held(self._samples[target % 2][:, low:high].astype(np.float64))
            blocks.append(Block(self._times[low:high], rows, Joined([held], [None], _SERIES)))
        return Selection(labels, blocks)
