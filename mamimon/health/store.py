"""The checks' tables in `mamimon.db`: state changes and when each check last ran."""

from __future__ import annotations

import sqlite3
from typing import cast

import msgspec

from mamimon.health.model import Change, Heartbeat, Ping, State
from mamimon.health.said import Said, quoted
from mamimon.storage import Database

KEEP_S = 92 * 86_400.0
PINGS_KEPT = 100


class HealthStore:
    """Reads and writes of the health room."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def last(self) -> dict[str, Change]:
        """Each check's newest change."""

        def work(raw: sqlite3.Connection) -> dict[str, Change]:
            rows = raw.execute(
                "SELECT name, at, state, message, said FROM check_change WHERE id IN"
                " (SELECT max(id) FROM check_change GROUP BY name)"
            )
            return {name: Change(at, cast(State, state), _said(*words)) for name, at, state, *words in rows}

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
                "INSERT INTO check_change (name, at, state, message, said) VALUES (?, ?, ?, ?, ?)",
                [
                    (name, one.at, one.state, str(one.said), msgspec.json.encode(one.said).decode())
                    for one in changes
                ],
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
                "SELECT name, at, state, message, said FROM check_change AS c WHERE at >= ? OR id ="
                " (SELECT max(id) FROM check_change WHERE name = c.name AND at < ?) ORDER BY id",
                (start, start),
            )
            for name, at, state, *words in rows:
                found.setdefault(name, []).append(Change(at, cast(State, state), _said(*words)))
            return found

        return await self._state.read(work, timeout_s=5.0)

    async def forget(self, name: str) -> None:
        """Remove a check's changes."""
        await self._state.write(lambda raw: raw.execute("DELETE FROM check_change WHERE name = ?", (name,)))

    async def heartbeats(self) -> list[Heartbeat]:
        """Every heartbeat."""

        def work(raw: sqlite3.Connection) -> list[Heartbeat]:
            rows = raw.execute(
                "SELECT id, name, period_s, grace_s, created_at, started_at, last_at, last_kind, due_at,"
                " schedule, zone FROM heartbeat ORDER BY name"
            )
            return [Heartbeat(*row) for row in rows]

        return await self._state.read(work)

    async def save_heartbeat(self, one: Heartbeat, ping: Ping | None = None) -> None:
        """Insert or update a heartbeat, and keep a ping of it, in one transaction."""

        def work(raw: sqlite3.Connection) -> None:
            raw.execute(
                "INSERT INTO heartbeat (id, name, period_s, grace_s, created_at, started_at, last_at,"
                " last_kind, due_at, schedule, zone) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET"
                " started_at = excluded.started_at, last_at = excluded.last_at,"
                " last_kind = excluded.last_kind, due_at = excluded.due_at",
                (
                    one.id,
                    one.name,
                    one.period_s,
                    one.grace_s,
                    one.created_at,
                    one.started_at,
                    one.last_at,
                    one.last_kind,
                    one.due_at,
                    one.schedule,
                    one.zone,
                ),
            )
            if ping is not None:
                raw.execute(
                    "INSERT INTO heartbeat_ping (heartbeat, at, kind, exit_code, duration_s, source, body)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (one.id, ping.at, ping.kind, ping.exit_code, ping.duration_s, ping.source, ping.body),
                )
                raw.execute(
                    "DELETE FROM heartbeat_ping WHERE heartbeat = ? AND id <= (SELECT id FROM heartbeat_ping"
                    " WHERE heartbeat = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (one.id, one.id, PINGS_KEPT),
                )

        await self._state.write(work)

    async def remove_heartbeat(self, heartbeat: str) -> None:
        """Remove a heartbeat with its pings."""
        await self._state.write(lambda raw: raw.execute("DELETE FROM heartbeat WHERE id = ?", (heartbeat,)))

    async def pings(self, heartbeat: str) -> list[Ping]:
        """The pings that are kept of a heartbeat, newest first."""

        def work(raw: sqlite3.Connection) -> list[Ping]:
            rows = raw.execute(
                "SELECT at, kind, exit_code, duration_s, source, body FROM heartbeat_ping WHERE heartbeat = ?"
                " ORDER BY id DESC",
                (heartbeat,),
            )
            return [Ping(*row) for row in rows]

        return await self._state.read(work)


def _said(message: str, words: str) -> Said:
    """What was said; rows of before sentences were kept have only the English text."""
    return msgspec.json.decode(words, type=Said) if words else quoted(message)
