"""The disk guard: read-only before the disk is full, writable again by itself when there is room.

A ballast file lies in the data directory while there is plenty of room. It is given up when room
runs out, so that the state database can still record the deletions that make room.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.clock import Clock
from mamimon.config import StorageSettings

_log = logging.getLogger("mamimon.storage")
LOOK_S = 1.0


class DiskGuard(Collector):
    """Knows whether the disk takes writes; `look` asks the disk, `writable` answers from memory."""

    def __init__(self, folder: Path, settings: StorageSettings, clock: Clock) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self._settings = settings
        self._clock = clock
        self._writable = True
        self._free_bytes = 0

    def writable(self) -> bool:
        """Whether the doors may take data."""
        return self._writable

    async def run(self) -> None:
        """Look once a second, for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await self._clock.sleep(LOOK_S)

    def look(self) -> None:
        """Ask the disk and change sides where a limit was crossed (blocking)."""
        limit = self._settings.min_free_bytes
        self._free_bytes = shutil.disk_usage(self._folder).free
        if self._writable and self._free_bytes < limit:
            self._writable = False
            self._ballast.unlink(missing_ok=True)
            _log.error(
                "%d MiB are free on the disk of %s, less than storage.min_free_bytes (%d MiB):"
                " read-only until there is room",
                self._free_bytes >> 20,
                self._folder,
                limit >> 20,
            )
        elif not self._writable and self._free_bytes >= self._back_at(limit):
            self._writable = True
            _log.warning("%d MiB are free again: writable", self._free_bytes >> 20)
        if self._writable:
            self._take_ballast(limit)

    def _back_at(self, limit: int) -> int:
        # Above the limit by the ballast and a tenth, so that coming back does not cross it again.
        return limit + limit // 10 + self._settings.ballast_bytes if limit else 0

    def _take_ballast(self, limit: int) -> None:
        size = self._settings.ballast_bytes
        if not limit or not size or self._ballast.exists() or self._free_bytes < self._back_at(limit):
            return
        partial = self._ballast.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            partial.replace(self._ballast)
        except OSError as error:
            partial.unlink(missing_ok=True)
            _log.warning("no ballast file can be made: %s", error.strerror)

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Free space and whether writes are taken."""
        yield GaugeMetricFamily(
            "mamimon_disk_free_bytes", "Free on the data directory's disk.", self._free_bytes
        )
        yield GaugeMetricFamily("mamimon_writable", "0 while the disk is full.", float(self._writable))
