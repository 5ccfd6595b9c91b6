"""The windows of planned work in `mamimon.db`."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.health.model import Window
from mamimon.storage import Database

_READ = (
    "SELECT id, name, checks, matchers, starts_at, duration_s, schedule, zone, made_by, made_at"
    " FROM maintenance"
)
_ADD = (
    "INSERT INTO maintenance"
    " (id, name, checks, matchers, starts_at, duration_s, schedule, zone, made_by, made_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class MaintenanceStore:
    """Reads and writes of windows."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def all(self) -> list[Window]:
        """Every window."""

        def work(raw: sqlite3.Connection) -> list[Window]:
            found = raw.execute(_READ)
            names = [column[0] for column in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found]
            return [Window(**{**row, "checks": msgspec.json.decode(row["checks"])}) for row in rows]

        return await self._state.read(work)

    async def add(self, one: Window) -> None:
        """Keep a window."""
        row = (
            one.id,
            one.name,
            msgspec.json.encode(one.checks).decode(),
            one.matchers,
            one.starts_at,
            one.duration_s,
            one.schedule,
            one.zone,
            one.made_by,
            one.made_at,
        )
        await self._state.write(lambda raw: raw.execute(_ADD, row))

    async def remove(self, windows: list[str]) -> None:
        """Forget windows."""
        await self._state.write(
            lambda raw: raw.executemany("DELETE FROM maintenance WHERE id = ?", [(one,) for one in windows])
        )
