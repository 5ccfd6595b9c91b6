"""How many series there are and which labels make them many, counted from the index and the open chunks."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from mamimon.metrics.store.day import Day
from mamimon.metrics.store.head import WINDOW_MS

_QUOTES = 6
"""A label in a series' text: two pairs of quotes, a colon and a comma."""


class Cardinality(msgspec.Struct, eq=False):
    """Figures of the newest day; "active" are series of the chunks that reach into its last two hours."""

    active: int
    today: int
    """Series of the day, those that have ended too."""
    open_chunks: int
    sealed_chunks: int
    first_ms: int | None
    """The first and the last sample of the open chunks; None without any."""
    last_ms: int | None
    values: Mapping[str, Mapping[str, int]]
    """Label name → value → active series."""

    def label_bytes(self) -> dict[str, int]:
        """Memory that each label takes in the texts of active series."""
        return {
            name: sum((len(name) + len(value) + _QUOTES) * count for value, count in values.items())
            for name, values in self.values.items()
        }


def cardinality(day: Day) -> Cardinality:
    """Count. Blocking."""
    with day.lock:
        spans = [(int(head.times[0]), int(head.times[-1])) for head in day.heads if head.count]
        last = max([end for _, end in spans] + [chunk.end for chunk in day.chunks], default=None)
        heads, chunks = len(day.heads), len(day.chunks)
    active = np.zeros(len(day.index), dtype=bool) if last is None else day.present(last - WINDOW_MS, last)
    return Cardinality(
        active=int(active.sum()),
        today=len(day.index),
        open_chunks=heads,
        sealed_chunks=chunks,
        first_ms=min((start for start, _ in spans), default=None),
        last_ms=max((end for _, end in spans), default=None),
        values=day.index.cardinality(active),
    )
