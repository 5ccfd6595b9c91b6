"""Projects, keys and issues in `mamimon.db`; the only SQL on them."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from mamimon.errors import merge_store
from mamimon.errors.apply_store import Change, apply_batch, issues_of
from mamimon.errors.batch_store import Delta
from mamimon.errors.model import (
    Activity,
    Event,
    Feedback,
    Grouping,
    Issue,
    IssueList,
    IssueSummary,
    Part,
    StatusChange,
)
from mamimon.errors.status_store import note, set_status
from mamimon.storage import Database

SORTS = {
    "last_seen": "last_seen DESC",
    "first_seen": "first_seen DESC",
    "count": "count DESC",
    "users": "users DESC",
}
_COLUMNS = (
    "id, project_id, title, culprit, level, platform, status, count, users, first_seen, last_seen,"
    " first_release, last_release, regressed, unhandled, grouping, assignee, resolved_at, resolved_in,"
    " merged_into, resolved_next, ignored_until_count, ignored_until, ignored_until_users"
)


class IssueFilter(msgspec.Struct, kw_only=True):
    """Which issues: SQL conditions over `error_issue` with their values, made by `query`."""

    conditions: list[str] = []
    values: list[Any] = []
    status: str = ""
    """Kept apart, because the list also counts the other statuses of the same search."""


class IssueStore:
    """The room's tables in the relational state."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def prepare(self, now: float) -> bytes:
        """Make project 1 and the room's secret at the first start; returns the secret."""
        return await self._state.write(lambda raw: _prepare(raw, now))

    async def projects(self) -> list[tuple[int, str, str]]:
        """Every project: id, name and its first active key."""
        return await self._state.read(
            lambda raw: raw.execute(
                "SELECT p.id, p.name, (SELECT public_key FROM error_key k WHERE k.project_id = p.id AND"
                " active ORDER BY created_at LIMIT 1) FROM error_project p ORDER BY p.id"
            ).fetchall()
        )

    async def keys(self) -> dict[str, int]:
        """Every active key and its project."""
        rows = await self._state.read(
            lambda raw: raw.execute("SELECT public_key, project_id FROM error_key WHERE active").fetchall()
        )
        return dict(rows)

    async def add_project(self, name: str, now: float) -> int:
        """A new project with a key; returns its id. The name must be new."""
        return await self._state.write(lambda raw: _add_project(raw, name, now))

    async def issues_of(
        self, events: Sequence[Event], owner: Callable[[Event], str]
    ) -> dict[tuple[int, str], int]:
        """The issue of each (project, hash), made where it is new."""
        return await self._state.write(lambda raw: issues_of(raw, events, owner))

    async def applied(self) -> dict[str, int]:
        """The last batch of each month that the issues have taken over."""
        rows = await self._state.read(
            lambda raw: raw.execute("SELECT month, batch FROM error_applied").fetchall()
        )
        return dict(rows)

    async def apply(self, month: str, batch: int, deltas: Sequence[Delta], now: float) -> list[Change]:
        """Add a batch's deltas to the issues, once; returns what changed besides counts."""
        return await self._state.write(lambda raw: apply_batch(raw, month, batch, deltas, now))

    async def forget_month(self, month: str) -> None:
        """A month's file was deleted."""
        await self._state.write(
            lambda raw: raw.execute("DELETE FROM error_applied WHERE month = ?", (month,)).fetchall()
        )

    async def page(self, chosen: IssueFilter, sort: str, limit: int, offset: int) -> IssueList:
        """One page of the issues that `chosen` describes."""
        return await self._state.read(lambda raw: _list(raw, chosen, sort, limit, offset))

    async def by_ids(self, ids: Sequence[int]) -> list[IssueSummary]:
        """Issues in the order of `ids`; unknown ones are left out."""
        marks = ",".join("?" * len(ids))
        rows = await self._state.read(
            lambda raw: raw.execute(
                f"SELECT {_COLUMNS} FROM error_issue WHERE count > 0 AND merged_into = 0 AND id IN ({marks})",  # noqa: S608 - marks only
                tuple(ids),
            ).fetchall()
        )
        known = {row[0]: _summary(row) for row in rows}
        return [known[one] for one in ids if one in known]

    async def get(self, issue: int) -> Issue | None:
        """One issue, or None."""
        row = await self._state.read(
            lambda raw: raw.execute(
                f"SELECT {_COLUMNS} FROM error_issue WHERE id = ? AND count > 0",  # noqa: S608 - constant
                (issue,),
            ).fetchone()
        )
        return None if row is None else _issue(row)

    async def set_status(self, ids: Sequence[int], change: StatusChange, who: str, now: float) -> int:
        """Set the status of issues; returns how many changed."""
        return await self._state.write(lambda raw: set_status(raw, ids, change, who, now))

    async def merge(self, ids: Sequence[int], who: str, now: float) -> int:
        """Make one issue of several; returns its number."""
        return await self._state.write(lambda raw: merge_store.merge(raw, ids, who, now))

    async def split(self, root: int, parts: Sequence[int], who: str, now: float) -> list[int]:
        """Take merged issues out again; returns which."""
        return await self._state.write(lambda raw: merge_store.split(raw, root, parts, who, now))

    async def parts(self, root: int) -> list[Part]:
        """What a merged issue is made of; nothing for one that was never merged."""
        return await self._state.read(lambda raw: merge_store.parts(raw, root))

    async def families(self, roots: Sequence[int]) -> dict[int, list[int]]:
        """The numbers that each issue's events carry in the files."""
        return await self._state.read(lambda raw: merge_store.families(raw, roots))

    async def merged(self) -> dict[int, int]:
        """Every merged issue and its root."""
        return await self._state.read(merge_store.merged)

    async def similar(self, issue: Issue, limit: int) -> list[IssueSummary]:
        """Other issues of the same place, and those whose titles begin alike, the newest first."""
        kind = issue.title.split(":", 1)[0]
        rows = await self._state.read(
            lambda raw: raw.execute(
                f"SELECT {_COLUMNS} FROM error_issue WHERE id IN"  # noqa: S608 - constant
                " (SELECT id FROM error_issue WHERE project_id = ? AND culprit = ?"
                " UNION SELECT id FROM error_issue WHERE project_id = ? AND title >= ?"
                " AND title < ? LIMIT 2000) AND id <> ? AND merged_into = 0 AND count > 0"
                " ORDER BY last_seen DESC LIMIT ?",
                (issue.project, issue.culprit, issue.project, kind, kind + "\U0010ffff", issue.id, limit),
            ).fetchall()
        )
        return [_summary(row) for row in rows]

    async def assignees(self) -> list[str]:
        """Everybody who has an issue, to choose from."""
        rows = await self._state.read(
            lambda raw: raw.execute(
                "SELECT DISTINCT assignee FROM error_issue WHERE assignee <> '' ORDER BY assignee LIMIT 50"
            ).fetchall()
        )
        return [row[0] for row in rows]

    async def assign(self, issue: int, assignee: str, who: str, now: float) -> None:
        """Give an issue to somebody; an empty name takes it back."""

        def work(raw: sqlite3.Connection) -> None:
            raw.execute("UPDATE error_issue SET assignee = ? WHERE id = ?", (assignee, issue))
            note(raw, issue, now, "assigned" if assignee else "unassigned", who, assignee)

        await self._state.write(work)

    async def comment(self, issue: int, words: str, who: str, now: float) -> None:
        """Write a comment into the issue's activity."""
        await self._state.write(lambda raw: note(raw, issue, now, "comment", who, words))

    async def activity(self, issue: int, limit: int = 100) -> list[Activity]:
        """What happened to an issue, newest first."""
        rows = await self._state.read(
            lambda raw: raw.execute(
                "SELECT at, kind, who, detail FROM error_activity WHERE issue_id = ?"
                " ORDER BY id DESC LIMIT ?",
                (issue, limit),
            ).fetchall()
        )
        return [Activity(at=row[0], kind=row[1], who=row[2], detail=row[3]) for row in rows]

    async def add_feedback(self, project: int, event_id: str, one: Feedback) -> None:
        """Keep what a person wrote about an event."""
        await self._state.write(
            lambda raw: raw.execute(
                "INSERT INTO error_feedback (project_id, event_id, at, name, email, text)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (project, event_id, one.at, one.name, one.email, one.text),
            ).fetchall()
        )

    async def feedback(self, event_id: str) -> list[Feedback]:
        """What people wrote about an event."""
        rows = await self._state.read(
            lambda raw: raw.execute(
                "SELECT at, name, email, text FROM error_feedback WHERE event_id = ? ORDER BY id LIMIT 20",
                (event_id,),
            ).fetchall()
        )
        return [Feedback(at=row[0], name=row[1], email=row[2], text=row[3]) for row in rows]

    async def unresolved(self) -> int:
        """How many issues wait for somebody."""
        row = await self._state.read(
            lambda raw: raw.execute(
                "SELECT count(*) FROM error_issue WHERE status = 'unresolved' AND merged_into = 0"
                " AND count > 0"
            ).fetchone()
        )
        return int(row[0])


def among(parts: Iterable[int]) -> tuple[str, list[str | int | float]]:
    """The condition that an issue is one of those; a merged one stands for its root."""
    ids = ",".join(str(one) for one in sorted(parts)[:20_000])
    if not ids:
        return "0", []
    roots = f"SELECT merged_into FROM error_issue WHERE merged_into <> 0 AND id IN ({ids})"  # noqa: S608 - numbers only
    return f"id IN ({ids}) OR id IN ({roots})", []


def _prepare(raw: sqlite3.Connection, now: float) -> bytes:
    if raw.execute("SELECT 1 FROM error_project LIMIT 1").fetchone() is None:
        _add_project(raw, "default", now)
    raw.execute("INSERT OR IGNORE INTO error_secret VALUES ('users', ?)", (secrets.token_bytes(32),))
    (value,) = raw.execute("SELECT value FROM error_secret WHERE name = 'users'").fetchone()
    return bytes(value)


def _add_project(raw: sqlite3.Connection, name: str, now: float) -> int:
    cursor = raw.execute("INSERT INTO error_project (name, created_at) VALUES (?, ?)", (name, now))
    assert cursor.lastrowid is not None
    raw.execute(
        "INSERT INTO error_key (public_key, project_id, created_at) VALUES (?, ?, ?)",
        (secrets.token_hex(16), cursor.lastrowid, now),
    )
    return cursor.lastrowid


def _list(raw: sqlite3.Connection, chosen: IssueFilter, sort: str, limit: int, offset: int) -> IssueList:
    where = " AND ".join(["count > 0", "merged_into = 0", *chosen.conditions])
    by_status = dict(
        raw.execute(
            f"SELECT status, count(*) FROM error_issue WHERE {where} GROUP BY status",  # noqa: S608 - query makes them
            chosen.values,
        )
    )
    values = list(chosen.values)
    if chosen.status:
        where += " AND status = ?"
        values.append(chosen.status)
    rows = raw.execute(
        f"SELECT {_COLUMNS} FROM error_issue WHERE {where}"  # noqa: S608 - query makes them
        f" ORDER BY {SORTS.get(sort, SORTS['last_seen'])}, id DESC LIMIT ? OFFSET ?",
        [*values, limit, offset],
    )
    total = by_status.get(chosen.status, 0) if chosen.status else sum(by_status.values())
    return IssueList(issues=[_summary(row) for row in rows], total=total, by_status=by_status)


def _issue(row: Sequence[Any]) -> Issue:
    base = _summary(row)
    return Issue(
        **{name: getattr(base, name) for name in base.__struct_fields__},
        grouping=msgspec.json.decode(row[15], type=Grouping),
        resolved_at=row[17],
        resolved_in=row[18],
        merged_into=row[19],
        resolved_next=bool(row[20]),
        ignored_until_count=row[21],
        ignored_until=row[22],
        ignored_until_users=row[23],
    )


def _summary(row: Sequence[Any]) -> IssueSummary:
    return IssueSummary(
        id=row[0],
        project=row[1],
        title=row[2],
        culprit=row[3],
        level=row[4],
        platform=row[5],
        status=row[6],
        count=row[7],
        users=row[8],
        first_seen=row[9],
        last_seen=row[10],
        first_release=row[11],
        last_release=row[12],
        regressed=bool(row[13]),
        unhandled=bool(row[14]),
        reason=msgspec.json.decode(row[15], type=Grouping).reason,
        url=f"/errors/{row[0]}",
        assignee=row[16],
    )
