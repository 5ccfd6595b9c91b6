"""Counts of sessions in the months' files, and what releases are made of; the only SQL on both."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from mamimon.errors.event_store import EventStore, month_of
from mamimon.errors.sessions import CRASHED, ReleaseHealth, Sessions
from mamimon.storage import Database

_FIELDS = ("started", "errored", "abnormal", "crashed")
_MAX_USERS = 1_000_000


class SessionStore:
    """Release health over the months that the event store keeps."""

    def __init__(self, events: EventStore, state: Database) -> None:
        self._events = events
        self._state = state

    async def add(self, rows: Sequence[Sessions]) -> None:
        """Count updates and aggregates in one transaction a month."""
        months: dict[str, list[Sessions]] = {}
        for row in rows:
            months.setdefault(month_of(row.time), []).append(row)
        for month, part in months.items():
            database = await self._events.database(month)
            await database.write(lambda raw, part=part: _add(raw, part))  # type: ignore[misc]

    async def releases(self, start: float, end: float, project: int = 0) -> list[ReleaseHealth]:
        """Releases that had sessions in [start, end], the one seen last first."""
        found: dict[tuple[int, str], ReleaseHealth] = {}
        users: dict[tuple[int, str], dict[bytes, int]] = {}
        hours = (int(start // 3600), int(end // 3600), project, project)
        days = (int(start // 86_400), int(end // 86_400), project, project, _MAX_USERS)
        for database in await self._events.existing(start, end):
            for row in await database.read(lambda raw: raw.execute(_HOURS, hours).fetchall()):
                one = found.get(row[:2])
                if one is None:
                    one = found[row[:2]] = ReleaseHealth(
                        project=row[0], release=row[1], sessions=0, errored=0, abnormal=0, crashed=0,
                        users=0, crashed_users=0, first_seen=row[6] * 3600.0, last_seen=row[7] * 3600.0,
                    )  # fmt: skip
                one.sessions += row[2]
                one.errored += row[3]
                one.abnormal += row[4]
                one.crashed += row[5]
                one.first_seen = min(one.first_seen, row[6] * 3600.0)
                one.last_seen = max(one.last_seen, row[7] * 3600.0)
            for number, release, user, state in await database.read(
                lambda raw: raw.execute(_USERS, days).fetchall()
            ):
                known = users.setdefault((number, release), {})
                known[user] = max(known.get(user, 0), state)
        await self._complete(found, users)
        return sorted(found.values(), key=lambda one: (-one.last_seen, -one.sessions))

    async def _complete(
        self, found: dict[tuple[int, str], ReleaseHealth], users: dict[tuple[int, str], dict[bytes, int]]
    ) -> None:
        totals: Counter[int] = Counter()
        for one in found.values():
            totals[one.project] += one.sessions
        fresh = {
            (row[0], row[1]): row[2]
            for row in await self._state.read(lambda raw: raw.execute(_NEW_ISSUES).fetchall())
        }
        for key, one in found.items():
            states = users.get(key, {})
            one.users = len(states)
            one.crashed_users = sum(state == CRASHED for state in states.values())
            one.new_issues = fresh.get(key, 0)
            total = totals[one.project]
            one.adoption = one.sessions / total if total else None


def _add(raw: sqlite3.Connection, rows: Sequence[Sessions]) -> None:
    for row in rows:
        added = {name: getattr(row, name) for name in _FIELDS}
        if row.session and row.state:
            added |= _trouble(raw, row)
        raw.execute(
            "INSERT INTO session_hour VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (project_id, release, environment, hour) DO UPDATE SET"
            " started = started + excluded.started, errored = errored + excluded.errored,"
            " abnormal = abnormal + excluded.abnormal, crashed = crashed + excluded.crashed",
            (row.project, row.release, row.environment, int(row.time // 3600), *added.values()),
        )
        if row.user:
            raw.execute(
                "INSERT INTO session_user VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (project_id, release, environment, day, user)"
                " DO UPDATE SET state = max(state, excluded.state)",
                (row.project, row.release, row.environment, int(row.time // 86_400), row.user, row.state),
            )


def _trouble(raw: sqlite3.Connection, row: Sessions) -> dict[str, int]:
    """What an update adds beyond what its session has reported already."""
    key = (row.project, row.session)
    found = raw.execute(
        "SELECT state FROM session_trouble WHERE project_id = ? AND session = ?", key
    ).fetchone()
    before = found[0] if found else 0
    if row.state <= before:
        return {"errored": 0, "abnormal": 0, "crashed": 0}
    raw.execute("INSERT OR REPLACE INTO session_trouble VALUES (?, ?, ?)", (*key, row.state))
    return {
        "errored": int(before == 0),
        "abnormal": row.abnormal - int(before == 2),
        "crashed": row.crashed,
    }


_HOURS = (
    "SELECT project_id, release, sum(started), sum(errored), sum(abnormal), sum(crashed),"
    " min(hour), max(hour) FROM session_hour WHERE hour BETWEEN ? AND ? AND (? = 0 OR project_id = ?)"
    " GROUP BY project_id, release"
)
_USERS = (
    "SELECT project_id, release, user, max(state) FROM session_user"
    " WHERE day BETWEEN ? AND ? AND (? = 0 OR project_id = ?) GROUP BY project_id, release, user LIMIT ?"
)
_NEW_ISSUES = (
    "SELECT project_id, first_release, count(*) FROM error_issue WHERE first_release <> ''"
    " GROUP BY project_id, first_release"
)
