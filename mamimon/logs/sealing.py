"""Seals days that are over, one at a time and in the background, once nothing is written to them any more.

Today's lines get columns meanwhile, as soon as there are enough and not too many come in.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from mamimon.clock import Clock
from mamimon.logs.store.days import LogDays
from mamimon.problems import Problem
from mamimon.storage.days import day_of

_log = logging.getLogger("mamimon.logs")
_LOOK_S = 60.0
_QUIET_S = 600.0
_IDLE_SHARE = 0.5
_BUSY_LINES_S = 3_000
"""Where more lines a second come in, their columns wait: making those costs as much as storing them."""


class Sealer:
    """Looks each minute for a day that ended and was quiet for ten minutes; late records unseal it again."""

    def __init__(self, days: LogDays, clock: Clock, writable: Callable[[], bool]) -> None:
        self._days = days
        self._clock = clock
        self._writable = writable
        self._seen: dict[str, tuple[int | None, float]] = {}
        self._lines: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self._clock.sleep(_LOOK_S)
            for day in self._quiet_days():
                if self._writable():
                    await self._seal(day)
            for day in self._calm_days():
                await self._add_columns(day)

    def _calm_days(self) -> list[str]:
        """Days that are not over, and to which few lines came since they were last looked at."""
        now = self._clock.monotonic()
        today = day_of(self._clock.now())
        seen = self._lines
        self._lines = {
            day: (self._days.last_seq.get(day, 0), now) for day in self._days.unsealed() if day >= today
        }
        return [day for day in self._lines if day in seen and self._calm(day, *seen[day])]

    def _calm(self, day: str, lines: int, since: float) -> bool:
        came = self._days.last_seq.get(day, 0) - lines
        return came <= _BUSY_LINES_S * max(1.0, self._clock.monotonic() - since)

    async def _add_columns(self, day: str) -> None:
        try:
            calm = True
            while calm and self._writable():
                lines, since = self._days.last_seq.get(day, 0), self._clock.monotonic()
                more = await self._days.add_columns(day, _IDLE_SHARE)
                calm = more and self._calm(day, lines, since)
        except (OSError, sqlite3.Error, Problem) as error:
            # Without them lines are read; they are tried again at the next look.
            _log.warning("the log file of %s got no columns: %s", day, error)

    def _quiet_days(self) -> list[str]:
        now = self._clock.monotonic()
        today = day_of(self._clock.now())
        seen = self._seen
        self._seen = {}
        for day in self._days.unsealed():
            if day < today:
                changes = self._days.changes(day)
                before = seen.get(day)
                # A day that was closed meanwhile was not written: only the longest idle ones are closed.
                still = before is not None and (changes is None or changes == before[0])
                self._seen[day] = (changes, before[1] if still and before is not None else now)
        return [day for day, (_, since) in self._seen.items() if now - since >= _QUIET_S]

    async def _seal(self, day: str) -> None:
        try:
            done = await self._days.seal(day, _IDLE_SHARE)
        except (OSError, sqlite3.Error) as error:
            # The day stays as it was, and is tried again after its next quiet time.
            _log.warning("the log file of %s could not be sealed: %s", day, error)
            done = False
        self._seen.pop(day, None)
        if done:
            _log.info("the log file of %s is sealed", day)
