"""What each source's newest state is: its live series and the instant of its newest sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mamimon.metrics.store.day import Day
from mamimon.metrics.store.scrape import Scrape


class LiveSeries:
    """By source; kept in memory, found again in the open chunks at a start."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[Day, npt.NDArray[np.int64]]] = {}
        self._newest: dict[str, int] = {}

    def resume(self, day: Day) -> None:
        """Know the sources of a day's open chunks again."""
        names = {number: name for name, number in day.sources.items()}
        for head in sorted(day.heads, key=lambda head: head.last_at or 0):
            if head.last_at is not None:
                source = names[head.source]
                live = np.asarray(head.columns, dtype=np.int64)[head.live()]
                self._live[source] = (day, live)
                self._newest[source] = max(head.last_at, self._newest.get(source, 0))

    def newest(self, source: str) -> int:
        """The instant (ms) of a source's newest sample; 0 without one."""
        return self._newest.get(source, 0)

    def any(self, source: str) -> bool:
        """Whether a source has live series."""
        known = self._live.get(source)
        return known is not None and len(known[1]) > 0

    def gone(self, day: Day, scrape: Scrape) -> list[int]:
        """The ids in `day` of series that a whole state ends by not having them."""
        known = self._live.get(scrape.source)
        if not scrape.whole or known is None:
            return []
        before, ids = known
        if before is day:
            if ids is scrape.ids or np.array_equal(ids, scrape.ids):
                return []
            return [int(number) for number in np.setdiff1d(ids, scrape.ids)]
        now = set(scrape.ids.tolist())
        moved = (day.index.id_of_key(before.index.key(number)) for number in ids.tolist())
        return [number for number in moved if number not in now]

    def note(self, day: Day, scrape: Scrape) -> None:
        """A scrape was taken in."""
        if scrape.whole:
            self._live[scrape.source] = (day, scrape.ids)
        self._newest[scrape.source] = max(scrape.at, self._newest.get(scrape.source, 0))

    def end(self, source: str) -> None:
        """The source is gone for good."""
        self._live.pop(source, None)

    def forget_day(self, day: Day) -> None:
        """A day is deleted."""
        self._live = {source: known for source, known in self._live.items() if known[0] is not day}
