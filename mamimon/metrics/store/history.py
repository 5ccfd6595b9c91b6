"""Long history: every day that is over at 5 minutes and at an hour, kept beyond the raw samples.

Files: `metrics/5m/YYYY-MM.db` and `metrics/1h/YYYY-MM.db`, each with a retention of its own. A day is
made when it is over and nothing late can come, and at the latest before its raw file is deleted.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mamimon.clock import Clock
from mamimon.config import Settings
from mamimon.metrics.model import Matcher
from mamimon.metrics.store.cache import PartCache
from mamimon.metrics.store.day import Day, Segment
from mamimon.metrics.store.downsample import DAY_MS, RESOLUTIONS, Coarse, between, groups, pack
from mamimon.metrics.store.monthfile import Group, MonthFile
from mamimon.metrics.store.select import merge
from mamimon.metrics.store.wanted import Wanted
from mamimon.storage.days import remove_database

_log = logging.getLogger("mamimon.metrics")
_FILE = re.compile(r"\d{4}-\d{2}\.db")
FOLDERS = dict(zip(RESOLUTIONS, ("5m", "1h"), strict=True))
_GROUP = {300_000: 64, 3_600_000: 256}
_SETTLED_MS = 7_200_000
"""By then a day that is over is sealed and compacted."""
_MOST_LOADED = 500_000
"""Series of month files kept in memory; at 250 bytes each."""


class History:
    """See the module. Changes come from the event loop, questions from any thread."""

    def __init__(self, directory: Path, settings: Settings, clock: Clock, cache: PartCache) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self.cache = cache
        self._turn = asyncio.Lock()
        self._months: dict[int, dict[str, MonthFile]] = {one: {} for one in RESOLUTIONS}
        self._used: list[MonthFile] = []

    async def open(self) -> None:
        """Find the files and which days they hold."""
        await asyncio.to_thread(self._find)

    def _find(self) -> None:
        for resolution, folder in FOLDERS.items():
            for path in sorted((self._directory / folder).glob("*.db")):
                if _FILE.fullmatch(path.name):
                    month = self._months[resolution][path.stem] = MonthFile(path)
                    month.look()

    def close(self) -> None:
        """Close every file; idempotent."""
        for months in self._months.values():
            for month in months.values():
                month.close()

    def kept_days(self, resolution: int) -> int:
        """How many days a resolution is kept; 0 = it is not made."""
        metrics = self._settings.metrics
        return metrics.retention_5m_days if resolution == RESOLUTIONS[0] else metrics.retention_1h_days

    def has(self, day: str, resolution: int) -> bool:
        """Whether a day is there at a resolution."""
        month = self._months[resolution].get(day[:7])
        return month is not None and day in month.days

    def missing(self, day: Day) -> list[int]:
        """The resolutions that a day should be made at and is not, or not of the file as it is now."""
        now, look = self._clock.now() * 1000, _look(day.file.path)
        out = []
        for one in RESOLUTIONS:
            month = self._months[one].get(day.name[:7])
            made_of = None if month is None else month.days.get(day.name)
            if made_of != look and day.end > now - self.kept_days(one) * DAY_MS:
                out.append(one)
        return out

    def days(self) -> set[str]:
        """Every day there is something of."""
        return {
            day for months in self._months.values() for month in list(months.values()) for day in month.days
        }

    def month(self, day: str, resolution: int) -> MonthFile:
        """The loaded file that holds a day. Blocking."""
        month = self._months[resolution][day[:7]]
        month.load()
        self._used = [one for one in self._used if one is not month] + [month]
        while len(self._used) > 1 and sum(one.loaded for one in self._used) > _MOST_LOADED:
            self._used.pop(0).unload()
        return month

    async def keep(self, days: Callable[[], list[Day]], late_ms: float) -> None:
        """Background task: make each day that is over and that nothing comes to any more, one by one."""
        while True:
            now = self._clock.now() * 1000
            for day in days():
                if day.end + _SETTLED_MS + late_ms < now and not day.heads:
                    await self.make(day)
                    await self._clock.sleep(1.0)
            await self._clock.sleep(600.0)

    async def make(self, day: Day) -> list[int]:
        """Downsample a day at every resolution it lacks; returns these. Raises as the files do."""
        async with self._turn:
            wanted = self.missing(day)
            if not wanted:
                return []
            look = _look(day.file.path)
            await asyncio.to_thread(day.load)
            made = await asyncio.to_thread(self._compute, day, wanted)
            for resolution, found in made.items():
                month = self._months[resolution].setdefault(
                    day.name[:7], MonthFile(self._path(resolution, day.name[:7]))
                )
                await month.put(day.name, found, look, self._settings.storage.busy_timeout_s)
            _log.info("downsampled metrics of %s", day.name)
            return wanted

    def _compute(self, day: Day, resolutions: Sequence[int]) -> dict[int, list[Group]]:
        keys = day.index.keys_from(0)
        # Not through the cache that questions live of.
        cache = PartCache(32 << 20)
        out: dict[int, list[Group]] = {one: [] for one in resolutions}
        for ids in groups(keys, max(_GROUP.values())):
            coarse = coarsened(day, ids, resolutions, cache)
            for resolution, found in coarse.items():
                out[resolution] += _packed([keys[number] for number in ids.tolist()], found)
        return out

    async def forget(self, day: str) -> None:
        """Take a day out, because its raw samples changed; it is made anew."""
        async with self._turn:
            for resolution in RESOLUTIONS:
                if self.has(day, resolution):
                    month = self._months[resolution][day[:7]]
                    await month.erase(day, self._settings.storage.busy_timeout_s)

    async def delete(
        self, selectors: Sequence[Sequence[Matcher]], start: int, end: int, raw_days: Sequence[str]
    ) -> None:
        """Empty the buckets of matching series that touch `start <= t <= end` (ms), for good.

        Days that have raw samples are left out: they are made anew.
        """
        async with self._turn:
            for day in between(sorted(self.days() - set(raw_days)), start, end):
                for resolution in RESOLUTIONS:
                    if self.has(day, resolution):
                        month = await asyncio.to_thread(self.month, day, resolution)
                        timeout = self._settings.storage.busy_timeout_s
                        await month.delete(day, selectors, start, end, timeout)

    def keys(
        self, selectors: Sequence[Sequence[Matcher]], start: int, end: int, raw_days: Collection[str]
    ) -> set[bytes]:
        """The canonical labels of series that match one of the selectors on days beyond the raw ones."""
        months = {day[:7] for day in between(sorted(self.days() - set(raw_days)), start, end)}
        found: set[bytes] = set()
        for name in months:
            resolution = next(one for one in reversed(RESOLUTIONS) if name in self._months[one])
            index = self.month(name, resolution).index
            for selector in selectors:
                found.update(index.key(number) for number in index.match(selector).tolist())
        return found

    def months(self, resolution: int) -> list[str]:
        """The months there are files of, oldest first."""
        return sorted(self._months[resolution])

    def month_path(self, resolution: int, month: str) -> Path:
        """The file of a month."""
        return self._path(resolution, month)

    async def snapshot_month(self, resolution: int, month: str, target: Path) -> None:
        """A consistent copy of a month's file."""
        async with self._turn:
            await asyncio.to_thread(self._months[resolution][month].snapshot, target)

    async def drop_month(self, resolution: int, month: str) -> None:
        """Delete a month; questions under way on it fail, new ones do not see it."""
        async with self._turn:
            file = self._months[resolution].pop(month, None)
            if file is not None:
                file.close()
                self._used = [one for one in self._used if one is not file]
                self.cache.forget(file)
                await asyncio.to_thread(remove_database, file.path)

    def _path(self, resolution: int, month: str) -> Path:
        return self._directory / FOLDERS[resolution] / f"{month}.db"


def coarsened(
    day: Day, ids: npt.NDArray[np.int64], resolutions: Sequence[int], cache: PartCache
) -> dict[int, Coarse]:
    """Some series of a day, aggregated; row i is `ids[i]`. Blocking."""
    order = np.argsort(ids)
    wanted = Wanted(ids[order].astype(np.int32))
    pieces: dict[str, list[tuple[npt.NDArray[np.int64], Segment]]] = defaultdict(list)
    for segment in day.segments(wanted, day.start, day.end - 1, cache):
        pieces[segment.source].append((order[segment.rows], segment))
    blocks = merge(list(pieces.values()), len(ids))
    out = {}
    for resolution in resolutions:
        coarse = out[resolution] = Coarse(len(ids), day.start, resolution)
        for block in blocks:
            coarse.take_in(block)
    return out


def _packed(keys: list[bytes], coarse: Coarse) -> Iterator[Group]:
    alive = np.flatnonzero(coarse.alive())
    size = _GROUP[coarse.resolution]
    for at in range(0, len(alive), size):
        rows = alive[at : at + size]
        parts = pack({name: column[rows] for name, column in coarse.columns.items()})
        histograms = {
            place: coarse.histograms[row]
            for place, row in enumerate(rows.tolist())
            if row in coarse.histograms
        }
        yield Group([keys[row] for row in rows.tolist()], parts, histograms)


def _look(path: Path) -> str:
    """Size and time of a file and its WAL: what was made of it holds while these are the same."""
    both = [one.stat() for one in (path, path.with_name(path.name + "-wal")) if one.exists()]
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in both if stat.st_size)
