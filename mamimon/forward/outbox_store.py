"""`outbox.db`: requests that wait for their receiver, in order, within a budget of bytes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mamimon.storage import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  target TEXT NOT NULL,
  at REAL NOT NULL,
  samples INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS waiting_target ON waiting (target, id);
CREATE TABLE IF NOT EXISTS through (target TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
"""


class Waiting(msgspec.Struct, frozen=True):
    """A request that waits; `at` is when it came (epoch seconds)."""

    id: int
    at: float
    samples: int
    body: bytes


class Queue(msgspec.Struct):
    """What waits for one receiver."""

    requests: int = 0
    samples: int = 0
    size_bytes: int = 0
    oldest_at: float | None = None


class OutboxStore:
    """Reads and writes of the outbox; opened when something is to be sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: Database | None = None
        self._opening = asyncio.Lock()

    async def _open(self) -> Database:
        async with self._opening:
            if self._database is None:
                # A commit survives a kill; `through` lets the store fill what a power cut may take.
                self._database = await Database.open(self._path, readers=1)
                await self._database.manage(lambda raw: raw.executescript(_TABLES))
            return self._database

    async def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            await self._database.close()
            self._database = None

    async def add(
        self, target: str, requests: Sequence[tuple[bytes, int]], at: float, most_bytes: int
    ) -> int:
        """Append requests (body, samples); returns how many samples of the oldest had to go for them."""

        def work(raw: sqlite3.Connection) -> int:
            raw.executemany(
                "INSERT INTO waiting (target, at, samples, body) VALUES (?, ?, ?, ?)",
                [(target, at, samples, body) for body, samples in requests],
            )
            raw.execute("INSERT OR REPLACE INTO through (target, at) VALUES (?, ?)", (target, at))
            held = raw.execute(
                "SELECT coalesce(sum(length(body)), 0) FROM waiting WHERE target = ?", (target,)
            ).fetchone()[0]
            lost = 0
            while held > most_bytes:
                row = raw.execute(
                    "SELECT id, samples, length(body) FROM waiting WHERE target = ? ORDER BY id LIMIT 1",
                    (target,),
                ).fetchone()
                raw.execute("DELETE FROM waiting WHERE id = ?", (row[0],))
                lost += row[1]
                held -= row[2]
            return lost

        return await (await self._open()).write(work)

    async def first(self, target: str) -> Waiting | None:
        """The request that has waited longest."""

        def work(raw: sqlite3.Connection) -> Waiting | None:
            row = raw.execute(
                "SELECT id, at, samples, body FROM waiting WHERE target = ? ORDER BY id LIMIT 1", (target,)
            ).fetchone()
            return Waiting(*row) if row else None

        return await (await self._open()).read(work)

    async def done(self, request: int) -> None:
        """Forget a request."""
        await (await self._open()).write(
            lambda raw: raw.execute("DELETE FROM waiting WHERE id = ?", (request,))
        )

    async def queue(self, target: str) -> Queue:
        """What waits for a receiver."""

        def work(raw: sqlite3.Connection) -> Queue:
            row = raw.execute(
                "SELECT count(*), coalesce(sum(samples), 0), coalesce(sum(length(body)), 0), min(at)"
                " FROM waiting WHERE target = ?",
                (target,),
            ).fetchone()
            return Queue(*row)

        return await (await self._open()).read(work)

    async def through(self, target: str) -> float | None:
        """Until when (epoch seconds) all samples were put here; None for a receiver never seen."""

        def work(raw: sqlite3.Connection) -> float | None:
            row = raw.execute("SELECT at FROM through WHERE target = ?", (target,)).fetchone()
            return float(row[0]) if row else None

        return await (await self._open()).read(work)

    async def forget_others(self, targets: Sequence[str]) -> list[str]:
        """Drop what waits for receivers that are configured no more; returns their names."""

        def work(raw: sqlite3.Connection) -> list[str]:
            gone = [
                str(name)
                for (name,) in raw.execute("SELECT target FROM through").fetchall()
                if name not in targets
            ]
            for name in gone:
                raw.execute("DELETE FROM waiting WHERE target = ?", (name,))
                raw.execute("DELETE FROM through WHERE target = ?", (name,))
            return gone

        return await (await self._open()).write(work)
