"""The series store: appends in, chunks sealed every two hours, days dropped by unlink.

One file a UTC day (design §6): a file is what retention, backup and a person with `sqlite3` handle,
and a two-hour window never crosses midnight. The two newest files are read back at start (open
chunks are there), older ones on the first question that reaches them.

Durability: an append returns after its commit, so a kill loses nothing that returned; a power cut
loses at most the last second (`keep` fsyncs each second).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from mamimon.clock import Clock
from mamimon.config import Settings
from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels, Matcher
from mamimon.metrics.store.at_hand import AtHandSource, Decoded, Newest, days_at_hand
from mamimon.metrics.store.cache import PartCache
from mamimon.metrics.store.cardinality import Cardinality, cardinality
from mamimon.metrics.store.coarse import LongReader
from mamimon.metrics.store.day import Day
from mamimon.metrics.store.dayfile import DayFile, ExemplarRow
from mamimon.metrics.store.deletion import delete
from mamimon.metrics.store.head import Head, Row, largest
from mamimon.metrics.store.history import History
from mamimon.metrics.store.index import decode_labels
from mamimon.metrics.store.live import LiveSeries
from mamimon.metrics.store.scrape import Scrape, scrape_of
from mamimon.metrics.store.select import LocalSource
from mamimon.problems import bad_input
from mamimon.storage.days import day_of, day_start, remove_database

_log = logging.getLogger("mamimon.metrics")
_FILE = re.compile(r"\d{4}-\d{2}-\d{2}\.db")
_FUTURE_MS = 600_000


class SeriesStore:
    """See the module. Changes come from the event loop, questions from any thread."""

    def __init__(self, directory: Path, settings: Settings, clock: Clock) -> None:
        self.directory = directory
        self._settings = settings
        self._clock = clock
        self._days: dict[str, Day] = {}
        self._turn = asyncio.Lock()
        self._sealing = asyncio.Lock()
        self._live = LiveSeries()
        self._out_of_order_ms = settings.metrics.out_of_order_s * 1000
        self._cache = PartCache(settings.metrics.head_bytes // 2)
        self._most_cells = max(settings.metrics.head_bytes // 8, 1 << 16)
        self._erased: set[str] = set()
        self.history = History(directory, settings, clock, self._cache)
        self.newest = Newest(self._days, self._cache)
        """Answers about few series' newest samples from memory."""
        self.samples = 0
        """Samples taken in since the start."""
        self.listeners: list[Callable[[Day, Sequence[Scrape]], None]] = []
        """Called with what was stored after each commit; must be quick."""

    async def open(self) -> None:
        """Find the day files and read the newest two back."""
        self.directory.mkdir(parents=True, exist_ok=True)
        names = sorted(path.stem for path in self.directory.glob("*.db") if _FILE.fullmatch(path.name))
        for name in names[:-2]:
            self._days[name] = Day(name, DayFile(self._path(name), None))
        for name in names[-2:]:
            day = await self._open_day(name)
            self._live.resume(day)
        await self.history.open()

    async def _open_day(self, name: str) -> Day:
        path = self._path(name)
        day = Day(name, await DayFile.open(path, self._settings.storage.busy_timeout_s))
        await asyncio.to_thread(day.load)
        self._days[name] = day
        return day

    async def close(self) -> None:
        """Wait for the append under way and close every file; idempotent."""
        async with self._turn:
            for day in self._days.values():
                await day.file.close()
            self._days.clear()
            self.history.close()

    async def day_of(self, at: int) -> Day:
        """The day that takes samples at `at` (ms), opened for writing."""
        name = day_of(at / 1000)
        day = self._days.get(name)
        if day is None or not day.file.writable:
            async with self._turn:
                day = self._days.get(name)
                if day is None or not day.file.writable:
                    day = await self._open_day(name)
        return day

    async def append(self, source: str, at: int, samples: Sequence[tuple[Labels, float | Histogram]]) -> int:
        """Take in a source's whole state at `at` (ms); returns the number of samples stored."""
        day = await self.day_of(at)
        return await self.write([scrape_of(day, source, at, samples)])

    async def write(self, scrapes: Sequence[Scrape]) -> int:
        """Take in scrapes of one day, durable on return; raises `BAD_INPUT` for an instant out of bounds."""
        # A cancelled caller must not leave the file ahead of the head in memory.
        return await asyncio.shield(asyncio.ensure_future(self._write(scrapes)))

    async def _write(self, scrapes: Sequence[Scrape]) -> int:
        day = await self.day_of(scrapes[0].at)
        async with self._turn:
            rows: list[tuple[Head, Row]] = []
            wider: set[int] = set()
            count = 0
            for scrape in scrapes:
                refusal = self.refusal(scrape.source, scrape.at, whole=scrape.whole)
                if refusal:
                    raise bad_input(refusal)
                if not len(scrape.ids) and not (scrape.whole and self._live.any(scrape.source)):
                    continue  # nothing is there and nothing ends: no row, no chunk
                head = day.head(scrape.source, scrape.at)
                if head.number in wider:
                    # A row is laid out on the columns that the one before it added.
                    await self._commit(day, rows)
                    rows = []
                    wider.clear()
                gone = self._live.gone(day, scrape)
                native, starts = scrape.histograms, scrape.starts
                row = head.row(scrape.at, scrape.ids, scrape.values, gone, native, starts)
                rows.append((head, row))
                if row.added or row.histograms or row.starts:
                    wider.add(head.number)
                count += len(scrape.ids)
            await self._commit(day, rows)
            for scrape in scrapes:
                self._live.note(day, scrape)
            self.samples += count
        for listener in self.listeners:
            listener(day, scrapes)
        return count

    async def _commit(self, day: Day, rows: list[tuple[Head, Row]]) -> None:
        if not rows:
            return
        await day.file.append(rows, day.sources, day.index.keys_from)
        with day.lock:
            for head, row in rows:
                head.apply(row)

    def set_out_of_order(self, seconds: float | None) -> None:
        """How late a pushed sample may be; None is what the settings say."""
        self._out_of_order_ms = 1000 * (self._settings.metrics.out_of_order_s if seconds is None else seconds)

    def refusal(self, source: str, at: int, *, whole: bool = False) -> str:
        """Why a sample of `source` at `at` (ms) would be refused, or an empty string.

        Of a `whole` state the instant is our own clock's: behind the newest it was set back, and samples
        between those that are there would make every counter jump to and fro.
        """
        newest, now = self._live.newest(source), self._clock.now() * 1000
        if at > now + _FUTURE_MS:
            return f"timestamp {at} ms is more than 10 min in the future"
        if at < now - self._settings.metrics.retention_days * 86_400_000:
            return f"timestamp {at} ms is older than the retention"
        if whole and at < newest:
            return f"the clock was set back: nothing is taken for {(newest - at) / 1000:.0f} s"
        if at < newest - self._out_of_order_ms:
            return f"timestamp {at} ms is too far behind the newest sample of its source"
        return ""

    async def end(self, source: str, at: int) -> None:
        """The source is gone for good: mark each of its live series as ended at `at` (ms)."""
        if self._live.any(source):
            none = np.empty(0, dtype=np.int64)
            # The millisecond of its last scrape has samples already.
            at = max(at, self._live.newest(source) + 1)
            await self.write([Scrape(source, at, none, none.astype(np.float64))])
        self._live.end(source)

    async def keep(self) -> None:
        """Background task: fsync each second, seal what is due, compact days that are over."""
        sealed_at = 0.0
        compacted: dict[str, int] = {}
        while True:
            await self._clock.sleep(1.0)
            writable = [day for day in self._days.values() if day.file.writable]
            for day in writable:
                if day.file.dirty:
                    await asyncio.to_thread(day.file.fsync)
            if self._clock.monotonic() - sealed_at < 10:
                continue
            sealed_at = self._clock.monotonic()
            await self.seal_due()
            for day in writable:
                over = day.end + 3_600_000 < self._clock.now() * 1000
                # Again when a sender that caught up has added to it.
                if over and not day.heads and compacted.get(day.name) != len(day.chunks):
                    compacted[day.name] = len(day.chunks)
                    await day.file.compact()

    async def seal_due(self) -> int:
        """Seal every head that is due now; returns how many."""
        count = 0
        days = list(self._days.values())
        large = largest((head for day in days for head in day.heads), self._most_cells)
        for day in days:
            async with self._sealing:
                for head in day.due(int(self._clock.now() * 1000), large):
                    async with self._turn:
                        # Not under a write that has laid its row out on this head; none does from here on.
                        head.sealing = True
                    await day.seal(head)
                    count += 1
        return count

    async def downsample(self) -> None:
        """Background task: make the long history of each day that is over."""
        await self.history.keep(lambda: [day for _, day in sorted(self._days.items())], self._out_of_order_ms)

    def source(
        self,
        *,
        max_samples: int,
        deadline: float,
        stopped: Callable[[], bool] = lambda: False,
        step_ms: int = 0,
    ) -> LocalSource:
        """What the engine reads for one question; `step_ms` chooses among downsampled days."""
        return LocalSource(
            self.days_between,
            self._cache,
            max_samples=max_samples,
            deadline=deadline,
            stopped=stopped,
            long=LongReader(self.history, list(self._days), step_ms),
        )

    def at_hand(self, steps: int) -> AtHandSource:
        """What the event loop may read for one small question; raises `NotAtHand` when asked for more."""
        days = functools.partial(days_at_hand, self._days)
        return AtHandSource(days, Decoded(self._cache), deadline=time.monotonic() + 1, steps=steps)

    def days_between(self, start: int, end: int) -> list[Day]:
        """The days that overlap `start <= t <= end` (ms), loaded, oldest first. Blocking."""
        found = [day for _, day in sorted(self._days.copy().items()) if day.start <= end and day.end > start]
        for day in found:
            day.load()
        return found

    def series(self, matchers: Iterable[Sequence[Matcher]], start: int, end: int) -> list[Labels]:
        """The label sets of series that match one of the selectors in the range (ms). Blocking."""
        keys: dict[bytes, None] = {}
        selectors = list(matchers)
        for day in self.days_between(start, end):
            present = day.present(start, end)
            for selector in selectors:
                for number in day.index.match(selector).tolist():
                    if number < len(present) and present[number]:
                        keys[day.index.key(number)] = None
        keys.update(dict.fromkeys(self.history.keys(selectors, start, end, self._days)))
        return [decode_labels(key) for key in keys]

    async def add_exemplars(self, day: Day, rows: Sequence[ExemplarRow]) -> None:
        """Keep exemplars of a day's series."""
        async with self._turn:
            if day.name in self._days:
                await day.file.add_exemplars(rows)

    def exemplars(
        self, selectors: Iterable[Sequence[Matcher]], start: int, end: int, limit: int
    ) -> list[tuple[Labels, list[ExemplarRow]]]:
        """Series that match one of the selectors with their exemplars in the range (ms). Blocking."""
        found: dict[bytes, list[ExemplarRow]] = {}
        wanted = list(selectors)
        for day in self.days_between(start, end):
            ids = sorted({number for one in wanted for number in day.index.match(one).tolist()})
            for row in day.file.exemplars(ids, start, end, limit):
                found.setdefault(day.index.key(row[0]), []).append(row)
        return [(decode_labels(key), sorted(rows, key=lambda row: row[1])) for key, rows in found.items()]

    async def delete(self, selectors: Iterable[Sequence[Matcher]], start: int, end: int) -> int:
        """Delete samples of matching series, `start <= t <= end` (ms), for good; returns how many."""
        wanted, count = list(selectors), 0
        for found in await asyncio.to_thread(self.days_between, start, end):
            day = await self.day_of(found.start)
            await asyncio.to_thread(day.load)
            async with self._sealing, self._turn:
                ids = [await asyncio.to_thread(day.index.match, selector) for selector in wanted]
                which = np.unique(np.concatenate(ids)).astype(np.int32)
                if len(which) and day.name in self._days:
                    count += await delete(day, which, start, end)
                    self._cache.forget(day.file)
                    self._erased.add(day.name)
                    await self.history.forget(day.name)
        await self.history.delete(wanted, start, end, list(self._days))
        return count

    async def give_back(self) -> None:
        """Rewrite the files that samples were deleted from, so that nothing of them stays on the disk."""
        for name in sorted(self._erased):
            day = self._days.get(name)
            async with self._turn:
                if day is not None and day.file.writable:
                    await day.file.compact(erased=True)
            self._erased.discard(name)

    def days(self) -> list[str]:
        """The days there are files of, oldest first."""
        return sorted(self._days)

    def oldest(self) -> float | None:
        """Epoch seconds of the first sample; of a day that is not read back, the day's beginning.

        Long history counts.
        """
        long = min(self.history.days(), default="")
        if long and long < min(self._days, default="9"):
            return day_start(long)
        if not self._days:
            return None
        day = self._days[min(self._days)]
        first = day.first()
        return (day.start if first is None else first) / 1000

    def day_path(self, day: str) -> Path:
        """The file of a day."""
        return self._path(day)

    async def drop_day(self, name: str) -> None:
        """Delete a day's samples; questions under way on it fail, new ones do not see it.

        What the long history lacks of it is made first; where that fails the day stays.
        """
        if (known := self._days.get(name)) is not None:
            await self.history.make(known)
        async with self._turn:
            day = self._days.pop(name, None)
            if day is None:
                return
            self._live.forget_day(day)
            await day.file.close()
            self._cache.forget(day.file)
            await asyncio.to_thread(remove_database, day.file.path)

    async def snapshot_day(self, name: str, target: Path) -> None:
        """A consistent copy of a day's file."""
        day = await self.day_of(round(day_start(name) * 1000))
        await day.file.snapshot(target)

    def cardinality(self) -> Cardinality | None:
        """Figures about the newest day's series; None without a day. Blocking."""
        names = self.days()
        if not names:
            return None
        start = round(day_start(names[-1]) * 1000)
        return cardinality(self.days_between(start, start)[-1])

    def sizes(self) -> list[tuple[str, int]]:
        """Each day with its number of series, oldest first; days are not loaded for it. Blocking."""
        return [(name, len(day.index) or day.file.count()) for name, day in sorted(self._days.copy().items())]

    def figures(self) -> dict[str, int]:
        """Numbers for the status page and self-metrics."""
        newest = self._days[max(self._days)] if self._days else None
        return {
            "series": len(newest.index) if newest else 0,
            "chunks": sum(len(day.chunks) for day in self._days.values()),
            "head_bytes": sum(head.bytes() for day in self._days.values() for head in day.heads),
            "cache_bytes": self._cache.held_bytes,
        }

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.db"
