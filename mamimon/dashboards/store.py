"""People's own dashboards in `mamimon.db`, what they were before, and the links that share them."""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from mamimon.dashboards.model import Dashboard, read_dashboard
from mamimon.problems import Kind, Problem
from mamimon.storage import Core

# More than a person looks back through; a save deletes what is older.
VERSIONS = 100


class Version(msgspec.Struct):
    """One save of a dashboard; `saved_at` in epoch seconds."""

    version: int
    saved_at: float
    saved_by: str
    dashboard: Dashboard


class Share(msgspec.Struct):
    """A link to a dashboard; `expires_at` in epoch seconds, None for never."""

    token_hash: str
    slug: str
    query: str
    created_at: float
    created_by: str
    expires_at: float | None = None


class DashboardStore:
    """Reads and writes the `dashboard` tables; what was read stays in memory until it is written."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[str, Dashboard | None] = {}
        self._writes = 0

    async def listed(self) -> list[Dashboard]:
        """Every dashboard, by title."""
        rows = await self._core.state.read(
            lambda raw: raw.execute("SELECT body FROM dashboard ORDER BY title").fetchall()
        )
        return [read_dashboard(row[0].encode()) for row in rows]

    async def find(self, slug: str) -> Dashboard | None:
        """One dashboard, or None."""
        if slug in self._known:
            return self._known[slug]
        before = self._writes
        row = await self._core.state.read(
            lambda raw: raw.execute("SELECT body FROM dashboard WHERE slug=?", (slug,)).fetchone()
        )
        found = None if row is None else read_dashboard(row[0].encode())
        if len(self._known) > 1000:
            self._known.clear()
        if self._writes == before:  # else what was read may be what was just replaced
            self._known[slug] = found
        return found

    def _forget(self, slug: str) -> None:
        self._writes += 1
        self._known.pop(slug, None)

    async def add(self, dashboard: Dashboard, by: str = "") -> None:
        """Store a new dashboard; a slug that is taken raises `CONFLICT`."""
        now = self._core.clock.now()
        body = msgspec.json.encode(dashboard).decode()

        def work(raw: sqlite3.Connection) -> int:
            count = raw.execute(
                "INSERT INTO dashboard VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (dashboard.slug, dashboard.title, body, now, now),
            ).rowcount
            if count:
                _keep(raw, dashboard.slug, body, now, by)
            return count

        done = await self._core.state.write(work)
        self._forget(dashboard.slug)
        if not done:
            raise Problem(Kind.CONFLICT, f"there is a dashboard {dashboard.slug!r} already")

    async def save(self, dashboard: Dashboard, by: str = "", base: int | None = None) -> int:
        """Replace a dashboard by its slug and return its version.

        One that is not there raises `NOT_FOUND`; where `base` is given and somebody saved since, `CONFLICT`.
        """
        now = self._core.clock.now()
        body = msgspec.json.encode(dashboard).decode()

        def work(raw: sqlite3.Connection) -> int:
            if base is not None and _newest(raw, dashboard.slug) != base:
                return -1
            count = raw.execute(
                "UPDATE dashboard SET title=?, body=?, updated_at=? WHERE slug=?",
                (dashboard.title, body, now, dashboard.slug),
            ).rowcount
            return _keep(raw, dashboard.slug, body, now, by) if count else 0

        version = await self._core.state.write(work)
        self._forget(dashboard.slug)
        if version < 0:
            raise Problem(
                Kind.CONFLICT,
                "somebody saved this dashboard meanwhile",
                hint="open it again and repeat your change",
            )
        if not version:
            raise Problem(Kind.NOT_FOUND, f"there is no dashboard {dashboard.slug!r} to change")
        return version

    async def remove(self, slug: str) -> None:
        """Delete a dashboard, its versions and its links; one that is not there raises `NOT_FOUND`."""

        def work(raw: sqlite3.Connection) -> int:
            raw.execute("DELETE FROM dashboard_version WHERE slug=?", (slug,))
            raw.execute("DELETE FROM dashboard_share WHERE slug=?", (slug,))
            return raw.execute("DELETE FROM dashboard WHERE slug=?", (slug,)).rowcount

        gone = await self._core.state.write(work)
        self._forget(slug)
        if not gone:
            raise Problem(Kind.NOT_FOUND, f"there is no dashboard {slug!r}")

    async def versions(self, slug: str) -> list[Version]:
        """What a dashboard was, newest first."""
        rows = await self._core.state.read(
            lambda raw: raw.execute(
                "SELECT version, saved_at, saved_by, body FROM dashboard_version WHERE slug=?"
                " ORDER BY version DESC",
                (slug,),
            ).fetchall()
        )
        return [Version(row[0], row[1], row[2], read_dashboard(row[3].encode())) for row in rows]

    async def newest(self, slug: str) -> int:
        """The number of the last save."""
        return await self._core.state.read(lambda raw: _newest(raw, slug))

    async def share(self, token: str, slug: str, query: str, by: str, expires_at: float | None) -> None:
        """Keep a link."""
        row = (hashed(token), slug, query, self._core.clock.now(), by, expires_at)
        await self._core.state.write(
            lambda raw: raw.execute("INSERT INTO dashboard_share VALUES (?, ?, ?, ?, ?, ?)", row)
        )

    async def shared(self, token: str) -> Share | None:
        """The link of a token, None where there is none or its time is over."""
        key = hashed(token)
        row = await self._core.state.read(
            lambda raw: raw.execute(
                "SELECT token_hash, slug, query, created_at, created_by, expires_at FROM dashboard_share"
                " WHERE token_hash=?",
                (key,),
            ).fetchone()
        )
        found = None if row is None else Share(*row)
        over = (
            found is not None and found.expires_at is not None and found.expires_at <= self._core.clock.now()
        )
        return None if over else found

    async def shares(self, slug: str) -> list[Share]:
        """The links to a dashboard, newest first."""
        rows = await self._core.state.read(
            lambda raw: raw.execute(
                "SELECT token_hash, slug, query, created_at, created_by, expires_at FROM dashboard_share"
                " WHERE slug=? ORDER BY created_at DESC",
                (slug,),
            ).fetchall()
        )
        return [Share(*row) for row in rows]

    async def unshare(self, slug: str, token_hash: str) -> None:
        """Take a link back; one that is not there raises `NOT_FOUND`."""
        gone = await self._core.state.write(
            lambda raw: (
                raw.execute(
                    "DELETE FROM dashboard_share WHERE slug=? AND token_hash=?", (slug, token_hash)
                ).rowcount
            )
        )
        if not gone:
            raise Problem(Kind.NOT_FOUND, "there is no such link")


def hashed(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _newest(raw: sqlite3.Connection, slug: str) -> int:
    row = raw.execute("SELECT max(version) FROM dashboard_version WHERE slug=?", (slug,)).fetchone()
    return int(row[0] or 0)


def _keep(raw: sqlite3.Connection, slug: str, body: str, now: float, by: str) -> int:
    version = _newest(raw, slug) + 1
    raw.execute("INSERT INTO dashboard_version VALUES (?, ?, ?, ?, ?)", (slug, version, body, now, by))
    raw.execute("DELETE FROM dashboard_version WHERE slug=? AND version<=?", (slug, version - VERSIONS))
    return version
