"""The deletion log and the clean-up's runs, in `mamimon.db`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mamimon.retention.model import Deletion, Run
from mamimon.storage import Database


class RetentionStore:
    """Reads and writes of the retention room."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def begin(self, row: Deletion) -> int:
        """Write that a day is about to be deleted; returns the row's id for `done`."""

        def work(raw: sqlite3.Connection) -> int:
            found = raw.execute(
                "INSERT INTO deletion (signal, day, bytes, backup, sha256, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (row.signal, row.day, row.bytes, row.backup, row.sha256, row.started_at),
            )
            return int(found.lastrowid or 0)

        return await self._state.write(work)

    async def done(self, number: int, at: float) -> None:
        """Write that the day is gone."""
        await self._state.write(
            lambda raw: raw.execute("UPDATE deletion SET done_at = ? WHERE id = ?", (at, number))
        )

    async def open_deletions(self) -> list[tuple[int, str, str]]:
        """Deletions that a stop interrupted: id, signal, day."""
        query = "SELECT id, signal, day FROM deletion WHERE done_at IS NULL"
        return await self._state.read(lambda raw: raw.execute(query).fetchall())

    async def forget(self, number: int) -> None:
        """Take back a deletion that did not happen."""
        await self._state.write(lambda raw: raw.execute("DELETE FROM deletion WHERE id = ?", (number,)))

    async def deletions(self, limit: int) -> list[Deletion]:
        """The newest deletions."""

        def work(raw: sqlite3.Connection) -> list[Deletion]:
            rows = raw.execute(
                "SELECT signal, day, bytes, backup, sha256, started_at, done_at FROM deletion"
                " ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [Deletion(*row) for row in rows]

        return await self._state.read(work)

    async def add_run(self, run: Run) -> None:
        """Write that a clean-up ended."""
        await self._state.write(
            lambda raw: raw.execute(
                "INSERT INTO cleanup_run (at, deleted, failed, message) VALUES (?, ?, ?, ?)",
                (run.at, run.deleted, run.failed, run.message),
            )
        )

    async def last_run(self) -> Run | None:
        """The newest clean-up."""

        def work(raw: sqlite3.Connection) -> Run | None:
            query = "SELECT at, deleted, failed, message FROM cleanup_run ORDER BY id DESC LIMIT 1"
            row = raw.execute(query).fetchone()
            return Run(*row) if row else None

        return await self._state.read(work)

    async def snapshot(self, target: Path) -> None:
        """A consistent copy of `mamimon.db`."""
        await self._state.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)))
