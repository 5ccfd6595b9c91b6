"""An issue's state: who changed it, to what, until when."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mamimon.errors.model import StatusChange


def set_status(
    raw: sqlite3.Connection, ids: Sequence[int], change: StatusChange, who: str, now: float
) -> int:
    """Set the status of issues; returns how many changed."""
    changed = 0
    for issue in ids:
        cursor = raw.execute(
            "UPDATE error_issue SET status = :status, regressed = 0, resolved_at = :resolved_at,"
            " resolved_in = CASE WHEN :status = 'resolved' THEN last_release ELSE '' END,"
            " resolved_next = :next,"
            " ignored_until_count = CASE WHEN :more > 0 THEN count + :more ELSE 0 END,"
            " ignored_until_users = CASE WHEN :users > 0 THEN users + :users ELSE 0 END,"
            " ignored_until = :until WHERE id = :issue AND merged_into = 0"
            " AND (status <> :status OR resolved_next <> :next OR :more + :users + :until > 0)",
            {
                "status": change.status,
                "resolved_at": now if change.status == "resolved" else 0,
                "next": int(change.status == "resolved" and change.next_release),
                "more": change.more,
                "users": change.users,
                "until": change.until,
                "issue": issue,
            },
        )
        if cursor.rowcount:
            changed += 1
            note(raw, issue, now, change.status, who, change.words)
    return changed


def note(raw: sqlite3.Connection, issue: int, at: float, kind: str, who: str, detail: str) -> None:
    """Write what happened into the issue's activity."""
    raw.execute(
        "INSERT INTO error_activity (issue_id, at, kind, who, detail) VALUES (?, ?, ?, ?, ?)",
        (issue, at, kind, who, detail),
    )
