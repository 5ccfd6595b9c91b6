"""The event files: one SQLite file a UTC day, `events/YYYY-MM-DD.db`.

A file has one writing connection (`Database`, the last few days kept open). Questions run over
many days at once on `mode=ro` connections of a worker thread, which can neither write nor
checkpoint, so a year costs no open files between two questions.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mamimon.events.model import Event
from mamimon.problems import Kind, Problem
from mamimon.storage import Database
from mamimon.storage.days import day_of, remove_database

T = TypeVar("T")
_log = logging.getLogger("mamimon.events")
_SCHEMA = (
    "CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE event (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, type INTEGER NOT NULL,"
    " user BLOB, uuid BLOB, properties TEXT NOT NULL)",
    "CREATE INDEX event_type_at ON event (type, at)",
    "CREATE INDEX event_at ON event (at)",
    "CREATE INDEX event_user ON event (user) WHERE user IS NOT NULL",
    "CREATE UNIQUE INDEX event_uuid ON event (uuid) WHERE uuid IS NOT NULL",
    "PRAGMA user_version=1",
)
_OPEN_DAYS = 3


class EventStore:
    """The day files of one data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, Database] = OrderedDict()
        self._turn = asyncio.Lock()
        self._dirty: set[str] = set()

    def days(self) -> list[str]:
        """The days that have a file, oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob("[0-9]*-[0-9]*-[0-9]*.db"))

    def path(self, day: str) -> Path:
        """Where a day's file is or would be."""
        return self._folder / f"{day}.db"

    async def append(self, events: Sequence[Event]) -> int:
        """Write the events, each day in one transaction; returns how many were new.

        Durable against a kill when it returns; a power cut may take what is younger than `sync`.
        """
        by_day: dict[str, list[Event]] = {}
        for event in events:
            by_day.setdefault(day_of(event.at), []).append(event)
        added = 0
        async with self._turn:
            for day, group in by_day.items():
                database = await self._writer(day)
                self._dirty.add(day)
                added += await database.write(lambda raw, group=group: _insert(raw, group))  # type: ignore[misc]
        return added

    async def _writer(self, day: str) -> Database:
        if day in self._open:
            self._open.move_to_end(day)
            return self._open[day]
        database = await Database.open(self.path(day), readers=1)
        await database.write(_create)
        self._open[day] = database
        while len(self._open) > _OPEN_DAYS:
            oldest, closing = self._open.popitem(last=False)
            self._dirty.discard(oldest)
            await closing.sync()
            await closing.close()
        return database

    async def sync(self) -> None:
        """Put what was written since the last call on the disk (checkpoint and fsync)."""
        async with self._turn:
            dirty, self._dirty = self._dirty, set()
            for day in dirty:
                if day in self._open:
                    await self._open[day].sync()

    async def over(
        self, start: float, end: float, work: Callable[[sqlite3.Connection], T], timeout_s: float = 10.0
    ) -> tuple[list[T], bool]:
        """Run `work` on every day file that `[start, end)` touches, newest first, in a worker thread.

        Also returns whether a file could not be read and is missing from the answers.
        """
        first, last = day_of(start), day_of(max(start, end - 0.001))
        paths = [self.path(day) for day in reversed(self.days()) if first <= day <= last]
        return await asyncio.to_thread(_over, paths, work, time.monotonic() + timeout_s)

    async def snapshot(self, day: str, target: Path) -> None:
        """A consistent copy of a day's file at `target`, which must not exist."""
        async with self._turn:
            database = await self._writer(day)
            await database.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)).fetchall())

    async def drop(self, day: str) -> None:
        """Close and unlink a day's file; who still reads it finishes reading."""
        async with self._turn:
            database = self._open.pop(day, None)
            if database is not None:
                await database.close()
            self._dirty.discard(day)
            await asyncio.to_thread(remove_database, self.path(day))

    async def close(self) -> None:
        """Close every file; idempotent."""
        async with self._turn:
            for database in self._open.values():
                await database.close()
            self._open.clear()


def _create(raw: sqlite3.Connection) -> None:
    if raw.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _SCHEMA:
            raw.execute(statement)


def _insert(raw: sqlite3.Connection, events: Sequence[Event]) -> int:
    before = raw.total_changes
    raw.executemany("INSERT OR IGNORE INTO type (name) VALUES (?)", {(event.type,) for event in events})
    types = raw.total_changes - before
    raw.executemany(
        "INSERT OR IGNORE INTO event (at, type, user, uuid, properties)"
        " VALUES (?, (SELECT id FROM type WHERE name=?), ?, ?, ?)",
        [(round(one.at * 1000), one.type, one.user, one.uuid, one.properties.decode()) for one in events],
    )
    return raw.total_changes - before - types


def _over(
    paths: Sequence[Path], work: Callable[[sqlite3.Connection], T], deadline: float
) -> tuple[list[T], bool]:
    answers: list[T] = []
    partial = False
    for path in paths:
        try:
            raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.OperationalError:
            continue  # dropped between listing and opening
        try:
            raw.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            answers.append(work(raw))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise Problem(Kind.TIMEOUT, "counting the events took too long; ask for less time") from None
            _log.warning("%s cannot be read and is left out: %s", path.name, error)
            partial = True
        finally:
            raw.close()
    return answers, partial
