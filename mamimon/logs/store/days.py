"""The log store as a folder of day files: which days there are, and which of them are open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from mamimon.logs.store import seal, segment_writer
from mamimon.logs.store.day import DayFile, Sorter, is_sealed
from mamimon.logs.store.scan import Plan, View
from mamimon.problems import unavailable
from mamimon.storage import heap
from mamimon.storage.days import remove_database

T = TypeVar("T")
_log = logging.getLogger("mamimon.logs")
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_OPEN_FILES = 10
_AT_ONCE = 2
_LONG_S = 0.025
"""A day that takes less of the processor leaves nothing for a second thread to win."""
_LARGE_S, _PAUSE_S = 0.03, 2.0
"""A read that took so much of the processor leaves memory behind, which is given back so long after it."""


class LogDays:
    """Opens a day when it is asked for and closes those that were not used for longest."""

    def __init__(self, folder: Path, block_rows: int, readers: int) -> None:
        self.folder = folder
        self._block_rows = block_rows
        self._readers = readers
        self.sort: Sorter | None = None
        """Tells lines apart by pattern as they are stored; None stores them without."""
        self._open: dict[str, DayFile] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._left = asyncio.Event()
        self._days: set[str] = set()
        self.damaged: set[str] = set()
        self.last_seq: dict[str, int] = {}
        """The last row number of days that were opened since the start; others are not known."""
        self._tidying: asyncio.TimerHandle | None = None

    def scan_folder(self) -> None:
        """Read which days there are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._days = {path.stem for path in self.folder.glob("*.db") if _DAY.match(path.stem)}
        self.damaged = {path.name[:10] for path in self.folder.glob("*.damaged")}
        for path in self.folder.glob("*.sealing*"):
            path.unlink()

    def days(self) -> list[str]:
        """Every day that has a file, oldest first."""
        return sorted(self._days)

    def unsealed(self) -> list[str]:
        """Days whose files may still be written, oldest first."""
        return [day for day in self.days() if not is_sealed(self.path(day))]

    def path(self, day: str) -> Path:
        """The file of a day."""
        return self.folder / f"{day}.db"

    @contextlib.asynccontextmanager
    async def using(self, day: str) -> AsyncIterator[DayFile | None]:
        """The open file of a day while in the block; None where it is damaged."""
        file = await self._get(day)
        if file is None:
            yield None
            return
        file.users += 1
        try:
            yield file
        finally:
            file.users -= 1
            self._left.set()
            self.last_seq[day] = file.next_seq - 1
            await self._close_idle()

    async def _get(self, day: str) -> DayFile | None:
        lock = self._locks.setdefault(day, asyncio.Lock())
        async with lock:
            file = self._open.pop(day, None)
            if file is None:
                try:
                    file = await DayFile.open(self.path(day), self._block_rows, self._readers, self.sort)
                except sqlite3.DatabaseError as error:
                    if isinstance(error, sqlite3.OperationalError) and "unable to open" in str(error):
                        raise unavailable(f"the log file of {day} cannot be opened: {error}") from error
                    self._quarantine(day, error)
                    return None
                self._days.add(day)
            self._open[day] = file
            return file

    def _quarantine(self, day: str, error: Exception) -> None:
        _log.error("the log file of %s is damaged and was set aside: %s", day, error)
        self._days.discard(day)
        self.damaged.add(day)
        path = self.path(day)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if path.exists():
            path.rename(path.with_suffix(".damaged"))

    async def _close_idle(self) -> None:
        while len(self._open) > _OPEN_FILES:
            idle = next((day for day, file in self._open.items() if not file.users), None)
            if idle is None:
                return
            file = self._open.pop(idle)
            await file.sync()
            await file.database.close()

    async def read(self, day: str, plan: Plan, work: Callable[[View], T]) -> tuple[T | None, bool]:
        """Run `work` on a day in a reader thread; returns its answer and whether all of the day was seen.

        Where this is cancelled, the thread stops at the next blocks.
        """
        given_up = threading.Event()
        plan = msgspec.structs.replace(plan, given_up=given_up)
        async with self.using(day) as file:
            if file is None:
                return None, False
            loop = asyncio.get_running_loop()

            def run(raw: sqlite3.Connection) -> tuple[T, bool]:
                began = time.thread_time()
                raw.execute("BEGIN")
                try:
                    view = View(raw, file, plan)
                    answer = work(view)
                    return answer, not view.timed_out
                finally:
                    raw.execute("COMMIT")
                    if time.thread_time() - began > _LARGE_S:
                        loop.call_soon_threadsafe(self._tidy_soon)

            try:
                return await file.database.read(run)
            except asyncio.CancelledError:
                given_up.set()
                raise
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                _log.error("the log file of %s cannot be read: %s", day, error)
                self.damaged.add(day)
                return None, False

    async def read_each(
        self, days: Iterable[str], plan: Plan, work: Callable[[View], T]
    ) -> AsyncGenerator[tuple[T | None, bool], None]:
        """`read` of several days, the answers in the days' order; two run at once when one takes long.

        Threads take the interpreter's lock from one another for each block, so several days at once are
        hardly faster than one after the other, and what is read ahead is often not needed.
        To be closed (`contextlib.aclosing`) by who needs no more.
        """
        width = 1

        def timed(view: View) -> T:
            nonlocal width
            began = time.thread_time()
            answer = work(view)
            if time.thread_time() - began > _LONG_S:
                width = _AT_ONCE
            return answer

        rest = iter(days)
        ahead: deque[asyncio.Task[tuple[T | None, bool]]] = deque()
        try:
            while True:
                while len(ahead) < width and (day := next(rest, None)) is not None:
                    ahead.append(asyncio.create_task(self.read(day, plan, timed)))
                if not ahead:
                    return
                yield await ahead[0]
                ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    def _tidy_soon(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(_PAUSE_S, self._tidy)

    def _tidy(self) -> None:
        self._tidying = None
        asyncio.get_running_loop().run_in_executor(None, heap.give_back)

    def changes(self, day: str) -> int | None:
        """A number that grows with each change of a day that is open; None while it is not."""
        file = self._open.get(day)
        return None if file is None else file.changes

    async def seal(self, day: str, idle_share: float = 0.0) -> bool:
        """Pack a day that is over and make it read-only; False where it was changed or read all the while.

        Reading and writing go on meanwhile. `idle_share` is the part of the time in which nothing is done.
        """
        path = self.path(day)
        target = path.with_suffix(".sealing")
        try:
            async with self.using(day) as file:
                if file is None:
                    return False
                before = file.changes
                await asyncio.to_thread(seal.rewrite, path, target, idle_share)
                while file.users > 1:
                    self._left.clear()
                    await self._left.wait()
                async with self._locks[day]:
                    if file.changes != before or file.users > 1 or self._open.get(day) is not file:
                        return False
                    del self._open[day]
                    await file.database.close()
                    await asyncio.to_thread(seal.replace, target, path)
                    return True
        finally:
            target.unlink(missing_ok=True)

    async def add_columns(self, day: str, idle_share: float = 0.0) -> bool:
        """Add columns over the next blocks of a day that is still written; False where there are too few.

        As `seal`, nothing but the writing itself holds others up.
        """
        async with self.using(day) as file:
            if file is None or file.sealed:
                return False
            found = await asyncio.to_thread(segment_writer.pack_next, self.path(day), idle_share)
            if found is not None:
                await file.add_segment(*found)
            return found is not None

    async def sync(self) -> None:
        """Make what is committed survive a power cut."""
        for file in list(self._open.values()):
            await file.sync()

    async def drop(self, day: str) -> None:
        """Close and delete a day's file."""
        lock = self._locks.setdefault(day, asyncio.Lock())
        async with lock:
            self._days.discard(day)
            self.last_seq.pop(day, None)
            file = self._open.pop(day, None)
            if file is not None:
                await file.database.close()
            await asyncio.to_thread(remove_database, self.path(day))

    async def snapshot(self, day: str, target: Path) -> None:
        """Write a consistent, compact copy of a day to `target`, which must not exist."""
        async with self.using(day) as file:
            if file is None:
                raise unavailable(f"the log file of {day} is damaged")
            await file.database.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)).fetchall())

    async def close(self) -> None:
        """Close every file; idempotent."""
        if self._tidying is not None:
            self._tidying.cancel()
        for day in list(self._open):
            file = self._open.pop(day)
            await file.sync()
            await file.database.close()
