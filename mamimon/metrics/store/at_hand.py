"""Samples that are in memory, for questions so small that a thread would cost more than the answer.

A tiny instant query takes a tenth of a millisecond; handing it to a worker thread and back takes two.
So the event loop asks this source first, which reads nothing but open chunks and decoded groups, of few
series, and gives up (`NotAtHand`) before anything would block or take long.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_BITS, HISTOGRAM_BITS, STALE_BITS, Block, Matcher, Selection
from mamimon.metrics.store.cache import Part, PartCache, Versioned
from mamimon.metrics.store.coarse import EDGE_MS
from mamimon.metrics.store.day import Day, NotAtHand
from mamimon.metrics.store.index import decode_labels
from mamimon.metrics.store.select import Days, LocalSource
from mamimon.metrics.store.table import Samples

MOST_SERIES = 64
_LONGEST_MS = 900_000
"""How far back the newest sample is looked for."""
MOST_SAMPLES = 8_000
MOST_CELLS = 4_000
"""Series times steps."""
_MOST_SOURCES = 500
"""Sources and open chunks of a day that are looked through for those of the question."""


class Decoded(PartCache):
    """What another cache holds and nothing else; raises `NotAtHand` where that would read a file."""

    reads_files = False

    def __init__(self, cache: PartCache) -> None:
        super().__init__(0)
        self._cache = cache

    def get(self, file: Versioned, chunk: int, part: int, load: Callable[[int, int], Part]) -> Part:
        """See `PartCache.get`."""
        found = self.peek(file, chunk, part)
        if found is None:
            raise NotAtHand
        return cast("Part", found)

    def peek(self, file: Versioned, chunk: int, part: int) -> Any:
        """See `PartCache.peek`."""
        return self._cache.peek(file, chunk, part)


class AtHandSource(LocalSource):
    """A `SeriesSource` for the event loop, for a question of some steps; raises `NotAtHand`."""

    def __init__(self, days: Days, cache: PartCache, *, deadline: float, steps: int) -> None:
        super().__init__(days, cache, max_samples=MOST_SAMPLES, deadline=deadline)
        self._most_series = min(MOST_SERIES, MOST_CELLS // steps)

    def _found(self, series: int) -> None:
        if series > self._most_series:
            raise NotAtHand

    def _too_much(self) -> NoReturn:
        raise NotAtHand

    def _select_raw(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        return self._one(tuple(matchers), start_ms, end_ms) or super()._select_raw(matchers, start_ms, end_ms)

    def _one(self, matchers: tuple[Matcher, ...], start: int, end: int) -> Selection | None:
        """The samples where they are ordinary ones of one series from one source, put together directly."""
        keys: set[bytes] = set()
        sources: set[str] = set()
        times: list[npt.NDArray[np.int64]] = []
        values: list[Samples] = []
        for day in self._days(start, end):
            ids = day.index.few(matchers)
            if not ids:
                continue
            keys.add(day.index.key(ids[0]))
            if len(ids) > 1 or len(keys) > 1:
                return None
            for source, when, column in self._columns(day, ids[0], start, end):
                low = 0 if start <= when.item(0) else int(when.searchsorted(start))
                high = int(when.searchsorted(end, "right"))
                if low < high:
                    sources.add(source)
                    times.append(when[low:high])
                    values.append(column[low:high])
        if len(sources) != 1 or any(one.item(-1) >= two.item(0) for one, two in itertools.pairwise(times)):
            return None
        joined = np.concatenate(times)
        self._spend(len(joined))
        row = np.zeros(1, dtype=np.int64)
        block = Block(joined, row, np.concatenate(values, dtype=np.float64)[None, :])
        return Selection([decode_labels(keys.pop())], [block])

    def _columns(
        self, day: Day, number: int, start: int, end: int
    ) -> Iterator[tuple[str, npt.NDArray[np.int64], Samples]]:
        """Source, timestamps and samples of a series; a native histogram or a known start are too much."""
        known: tuple[npt.NDArray[np.int32] | None, int] = (None, -1)
        for chunk in day.near([number], start, end):
            if chunk.ids is not known[0]:
                places = np.flatnonzero(chunk.ids == number)
                known = chunk.ids, int(places[0]) if len(places) else -1
            place = known[1]
            if place < 0:
                continue
            if chunk.started or (len(chunk.native) and (chunk.native == place).any()):
                raise NotAtHand
            part, row = chunk.part_of(place)
            group = self._cache.group(day.file, chunk.id, part)
            yield day.name_of(chunk.source), chunk.times, group.values[row]
        for head in day.heads:
            column = head.column(number)
            if column is not None and head.times.item(0) <= end and head.times.item(-1) >= start:
                if not head.is_plain(number):
                    raise NotAtHand
                yield day.name_of(head.source), head.times, column


def days_at_hand(days: dict[str, Day], start: int, end: int) -> list[Day]:
    """The days that overlap `start <= t <= end` (ms), oldest first, if all are read back and small enough."""
    if not days or start < days[min(days)].start - EDGE_MS:
        raise NotAtHand  # the long history may know more
    found = [day for _, day in sorted(days.items()) if day.start <= end and day.end > start]
    if not all(day.loaded and len(day.heads) + len(day.sources) <= _MOST_SOURCES for day in found):
        raise NotAtHand
    return found


class Newest:
    """The newest samples of few series at an instant, one by one: arrays would cost more than the samples."""

    def __init__(self, days: dict[str, Day], cache: PartCache) -> None:
        self._days = days
        self._cache = cache
        self._last: Day | None = None

    def find(self, matchers: tuple[Matcher, ...], at: int, lookback_ms: int) -> list[tuple[bytes, float]]:
        """Each matching series' labels, as their canonical text, and its value. Raises `NotAtHand`.

        For the event loop alone, on which the store changes: nothing is locked.
        """
        start = at - lookback_ms + 1
        if lookback_ms > _LONGEST_MS:
            raise NotAtHand
        day = self._day(start, at)
        ids = day.index.few(matchers) if day is not None else []
        if day is None or not ids:
            return []
        if len(ids) > MOST_SERIES:
            raise NotAtHand
        found: dict[int, tuple[int, float | None]] = {}
        for number, times, column in self._columns(day, ids, start, at):
            sample = _newest(times, column, start, at)
            before = found.get(number)
            if sample is None or (before is not None and before[0] > sample[0]):
                continue
            if before is not None and before[0] == sample[0]:
                raise NotAtHand  # which of two sources counts is not for here to say
            found[number] = sample
        key = day.index.key
        return [
            (key(number), sample[1])
            for number in ids
            if (sample := found.get(number)) is not None and sample[1] is not None
        ]

    def _day(self, start: int, at: int) -> Day | None:
        """The one day that the instants are of; None where there is none."""
        day = self._last
        if day is None or start < day.start or at >= day.end or self._days.get(day.name) is not day:
            days = days_at_hand(self._days, start, at)
            if len(days) > 1:
                raise NotAtHand
            day = self._last = days[0] if days else None
        return day

    def _columns(
        self, day: Day, ids: list[int], start: int, at: int
    ) -> Iterator[tuple[int, npt.NDArray[np.int64], Samples]]:
        """Where there may be samples: series, timestamps and values."""
        for head in day.heads:
            for number in ids:
                column = head.column(number)
                if column is not None:
                    yield number, head.times, column
        for chunk in day.near(ids, start, at):
            low, high = chunk.span
            for number in ids[bisect_left(ids, low) : bisect_right(ids, high)]:
                places = np.flatnonzero(chunk.ids == number)
                if len(places):
                    part, row = chunk.part_of(int(places[0]))
                    group = self._cache.peek(day.file, chunk.id, part)
                    if group is None:
                        raise NotAtHand
                    yield number, chunk.times, group.values[row]


def _newest(
    times: npt.NDArray[np.int64], column: Samples, start: int, at: int
) -> tuple[int, float | None] | None:
    """The time and value of the newest sample in `start <= t <= at`; no value where it ends the series."""
    place = int(times.searchsorted(at, "right")) - 1
    while place >= 0 and (when := times.item(place)) >= start:
        value = float(column.item(place))
        if not math.isnan(value):
            return when, value
        bits = column[place : place + 1].view(np.int64).item()
        if bits == HISTOGRAM_BITS:
            raise NotAtHand
        if bits != ABSENT_BITS:
            return when, None if bits == STALE_BITS else value
        place -= 1
    return None
