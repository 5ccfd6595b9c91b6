"""The checks' tables in `mamimon.db`: state changes and when each check last ran."""

from __future__ import annotations

import sqlite3
from typing import cast

from mamimon.health.model import Change, State
from mamimon.storage import Database

KEEP_S = 92 * 86_400.0


class HealthStore:
    """Reads and writes of the health room."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def last(self) -> dict[str, Change]:
        """Each check's newest change."""

        def work(raw: sqlite3.Connection) -> dict[str, Change]:
            rows = raw.execute(
                "SELECT name, at, state, message FROM check_change WHERE id IN"
                " (SELECT max(id) FROM check_change GROUP BY name)"
            )
            return {name: Change(at, cast(State, state), message) for name, at, state, message in rows}

        return await self._state.read(work)

    async def seen(self) -> dict[str, float]:
        """When each check last ran."""
        return await self._state.read(lambda raw: dict(raw.execute("SELECT name, at FROM check_seen")))

    async def see(self, seen: dict[str, float]) -> None:
        """Note when checks last ran."""
        rows = list(seen.items())
        await self._state.write(
            lambda raw: raw.executemany("INSERT OR REPLACE INTO check_seen (name, at) VALUES (?, ?)", rows)
        )

    async def add(self, name: str, changes: list[Change]) -> None:
        """Add changes and drop those that no page can show any more."""

        def work(raw: sqlite3.Connection) -> None:
            raw.executemany(
                "INSERT INTO check_change (name, at, state, message) VALUES (?, ?, ?, ?)",
                [(name, change.at, change.state, change.message) for change in changes],
            )
            raw.execute(
                "DELETE FROM check_change WHERE name = ? AND id < (SELECT max(id) FROM check_change"
                " WHERE name = ? AND at < ?)",
                (name, name, changes[-1].at - KEEP_S),
            )

        await self._state.write(work)

    async def changes(self, start: float) -> dict[str, list[Change]]:
        """Every check's changes since `start`, and the one before it, in order."""

        def work(raw: sqlite3.Connection) -> dict[str, list[Change]]:
            found: dict[str, list[Change]] = {}
            rows = raw.execute(
                "SELECT name, at, state, message FROM check_change AS c WHERE at >= ? OR id ="
                " (SELECT max(id) FROM check_change WHERE name = c.name AND at < ?) ORDER BY id",
                (start, start),
            )
            for name, at, state, message in rows:
                found.setdefault(name, []).append(Change(at, cast(State, state), message))
            return found

        return await self._state.read(work, timeout_s=5.0)
