"""People's own dashboards in `mamimon.db`."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.dashboards.model import Dashboard, read_dashboard
from mamimon.problems import Kind, Problem
from mamimon.storage import Core


class DashboardStore:
    """Reads and writes the `dashboard` table."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def listed(self) -> list[Dashboard]:
        """Every dashboard, by title."""
        rows = await self._core.state.read(
            lambda raw: raw.execute("SELECT body FROM dashboard ORDER BY title").fetchall()
        )
        return [read_dashboard(row[0].encode()) for row in rows]

    async def find(self, slug: str) -> Dashboard | None:
        """One dashboard, or None."""
        row = await self._core.state.read(
            lambda raw: raw.execute("SELECT body FROM dashboard WHERE slug=?", (slug,)).fetchone()
        )
        return None if row is None else read_dashboard(row[0].encode())

    async def add(self, dashboard: Dashboard) -> None:
        """Store a new dashboard; a slug that is taken raises `CONFLICT`."""
        now = self._core.clock.now()
        body = msgspec.json.encode(dashboard).decode()

        def work(raw: sqlite3.Connection) -> int:
            return raw.execute(
                "INSERT INTO dashboard VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (dashboard.slug, dashboard.title, body, now, now),
            ).rowcount

        if not await self._core.state.write(work):
            raise Problem(Kind.CONFLICT, f"there is a dashboard {dashboard.slug!r} already")

    async def save(self, dashboard: Dashboard) -> None:
        """Replace a dashboard by its slug; one that is not there raises `NOT_FOUND`."""
        now = self._core.clock.now()
        body = msgspec.json.encode(dashboard).decode()

        def work(raw: sqlite3.Connection) -> int:
            return raw.execute(
                "UPDATE dashboard SET title=?, body=?, updated_at=? WHERE slug=?",
                (dashboard.title, body, now, dashboard.slug),
            ).rowcount

        if not await self._core.state.write(work):
            raise Problem(Kind.NOT_FOUND, f"there is no dashboard {dashboard.slug!r} to change")

    async def remove(self, slug: str) -> None:
        """Delete a dashboard; one that is not there raises `NOT_FOUND`."""
        gone = await self._core.state.write(
            lambda raw: raw.execute("DELETE FROM dashboard WHERE slug=?", (slug,)).rowcount
        )
        if not gone:
            raise Problem(Kind.NOT_FOUND, f"there is no dashboard {slug!r}")
