"""Samples that are in memory, for questions so small that a thread would cost more than the answer.

A tiny instant query takes a tenth of a millisecond; handing it to a worker thread and back takes two.
So the event loop asks this source first, which reads nothing but open chunks and decoded groups, of few
series, and gives up (`NotAtHand`) before anything would block or take long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, cast

from mamimon.metrics.store.day import Day, NotAtHand, Part, PartCache, Versioned
from mamimon.metrics.store.select import LocalSource

MOST_SERIES = 64
MOST_SAMPLES = 4_000
_MOST_CHUNKS = 500
"""Chunks of a day that are looked through for those of the question."""


class Decoded(PartCache):
    """What another cache holds and nothing else; raises `NotAtHand` where that would read a file."""

    reads_files = False

    def __init__(self, cache: PartCache) -> None:
        super().__init__(0)
        self._cache = cache

    def get(self, file: Versioned, chunk: int, part: int, load: Callable[[int, int], Part]) -> Part:
        """See `PartCache.get`."""
        found = self._cache.peek(file, chunk, part)
        if found is None:
            raise NotAtHand
        return cast("Part", found)


class AtHandSource(LocalSource):
    """A `SeriesSource` for the event loop; raises `NotAtHand`."""

    def _found(self, series: int) -> None:
        if series > MOST_SERIES:
            raise NotAtHand

    def _too_much(self) -> NoReturn:
        raise NotAtHand


def days_at_hand(days: dict[str, Day], start: int, end: int) -> list[Day]:
    """The days that overlap `start <= t <= end` (ms), oldest first, if all are read back and small enough."""
    if not days or start < days[min(days)].start:
        raise NotAtHand  # the long history may know more
    found = [day for _, day in sorted(days.items()) if day.start <= end and day.end > start]
    if not all(day.loaded and len(day.heads) + len(day.chunks) <= _MOST_CHUNKS for day in found):
        raise NotAtHand
    return found
