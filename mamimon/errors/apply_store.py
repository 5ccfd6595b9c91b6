"""What a batch of events does to issues: new ones, counts, and states that it ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from mamimon.errors.batch_store import Delta
from mamimon.errors.merge_store import count_users
from mamimon.errors.model import Event
from mamimon.errors.status_store import note


class Change(msgspec.Struct, kw_only=True):
    """What events did to an issue besides counting: it is new, regressed or came back."""

    issue: int
    kind: str
    project: int


def issues_of(
    raw: sqlite3.Connection, events: Sequence[Event], owner: Callable[[Event], str]
) -> dict[tuple[int, str], int]:
    """The issue of each (project, hash), made where it is new; a new one belongs to its owner."""
    found: dict[tuple[int, str], int] = {}
    for event in events:
        key = (event.project, event.grouping.hash)
        if key in found:
            continue
        row = raw.execute("SELECT issue_id FROM error_hash WHERE project_id = ? AND hash = ?", key).fetchone()
        if row is None:
            row = (_add_issue(raw, event, owner(event)),)
            raw.execute("INSERT INTO error_hash VALUES (?, ?, ?)", (*key, row[0]))
        found[key] = row[0]
    return found


def _add_issue(raw: sqlite3.Connection, event: Event, owner: str) -> int:
    cursor = raw.execute(
        "INSERT INTO error_issue (project_id, title, culprit, level, platform, first_seen, last_seen,"
        " first_release, last_release, grouping, assignee) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.project,
            event.title,
            event.culprit,
            event.level,
            event.platform,
            event.time,
            event.time,
            event.release,
            event.release,
            msgspec.json.encode(event.grouping).decode(),
            owner,
        ),
    )
    assert cursor.lastrowid is not None
    if owner:
        note(raw, cursor.lastrowid, event.received, "assigned", "", owner)
    return cursor.lastrowid


def apply_batch(
    raw: sqlite3.Connection, month: str, batch: int, deltas: Sequence[Delta], now: float
) -> list[Change]:
    """Add a batch's deltas to the issues, once; returns what changed besides counts."""
    done = raw.execute("SELECT batch FROM error_applied WHERE month = ?", (month,)).fetchone()
    if done is not None and done[0] >= batch:
        return []
    changes = [change for delta in deltas for change in _apply_delta(raw, delta, now)]
    raw.execute(
        "INSERT INTO error_applied VALUES (?, ?) ON CONFLICT (month) DO UPDATE SET batch = excluded.batch",
        (month, batch),
    )
    return changes


def _apply_delta(raw: sqlite3.Connection, delta: Delta, now: float) -> list[Change]:
    found = raw.execute(
        "SELECT CASE merged_into WHEN 0 THEN id ELSE merged_into END, project_id FROM error_issue"
        " WHERE id = ?",
        (delta.issue,),
    ).fetchone()
    if found is None:
        return []
    root, project = found
    fresh = _hear_of(raw, project, delta, now)
    users = _add_people(raw, root, delta)
    (status, count, resolved_at, resolved_next, until_count, until, until_users, release) = raw.execute(
        "SELECT status, count, resolved_at, resolved_next, ignored_until_count, ignored_until,"
        " ignored_until_users, last_release FROM error_issue WHERE id = ?",
        (root,),
    ).fetchone()
    changes = [Change(issue=root, kind="new", project=project)] if count == 0 else []
    count += delta.count
    if status == "resolved":
        regressed = (
            any(heard > resolved_at for heard in fresh) if resolved_next else delta.last >= resolved_at
        )
    else:
        regressed = False
    returned = status == "ignored" and (
        0 < until_count <= count or 0 < until <= delta.last or 0 < until_users <= users
    )
    if regressed or returned:
        kind = "regressed" if regressed else "returned"
        changes.append(Change(issue=root, kind=kind, project=project))
        note(raw, root, now, kind, "", delta.release)
        raw.execute(
            "UPDATE error_issue SET status = 'unresolved', regressed = ?, resolved_at = 0, resolved_in = '',"
            " resolved_next = 0, ignored_until_count = 0, ignored_until = 0, ignored_until_users = 0"
            " WHERE id = ?",
            (int(regressed), root),
        )
    raw.execute(
        "UPDATE error_issue SET count = ?, users = ?, level = ?, first_release = CASE WHEN first_release = ''"
        " THEN ? ELSE first_release END, first_seen = min(first_seen, ?), last_seen = max(last_seen, ?),"
        " last_release = ?, unhandled = max(unhandled, ?) WHERE id = ?",
        (
            count,
            users,
            delta.level,
            delta.release,
            delta.first,
            delta.last,
            delta.release or release,
            int(delta.unhandled),
            root,
        ),
    )
    raw.execute(
        "UPDATE error_part SET count = count + ?, first_seen = min(first_seen, ?),"
        " last_seen = max(last_seen, ?), last_release = CASE WHEN ? = '' THEN last_release ELSE ? END,"
        " unhandled = max(unhandled, ?) WHERE issue_id = ?",
        (
            delta.count,
            delta.first,
            delta.last,
            delta.release,
            delta.release,
            int(delta.unhandled),
            delta.issue,
        ),
    )
    return changes


def _hear_of(raw: sqlite3.Connection, project: int, delta: Delta, now: float) -> list[float]:
    """Note releases; returns when each of the delta's was first heard of."""
    names = [*{*delta.releases, *([delta.release] if delta.release else [])}]
    raw.executemany(
        "INSERT OR IGNORE INTO error_release VALUES (?, ?, ?)", [(project, name, now) for name in names]
    )
    marks = ",".join("?" * len(names))
    rows = raw.execute(
        f"SELECT heard_at FROM error_release WHERE project_id = ? AND release IN ({marks})",  # noqa: S608 - marks only
        (project, *names),
    )
    return [row[0] for row in rows]


def _add_people(raw: sqlite3.Connection, root: int, delta: Delta) -> int:
    """Note who met it; returns how many people met the whole issue."""
    before = raw.total_changes
    raw.executemany(
        "INSERT OR IGNORE INTO error_user VALUES (?, ?)", [(delta.issue, user) for user in delta.users]
    )
    added = raw.total_changes - before
    if root != delta.issue or raw.execute("SELECT 1 FROM error_part WHERE issue_id = ?", (root,)).fetchone():
        return count_users(raw, root)
    (users,) = raw.execute("SELECT users FROM error_issue WHERE id = ?", (root,)).fetchone()
    return int(users) + added
