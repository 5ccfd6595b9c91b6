"""The audit log for other rooms: who changed what, in the transaction of the change."""

from __future__ import annotations

import sqlite3


def note(
    raw: sqlite3.Connection, now: float, actor: str, action: str, target: str, project: str = ""
) -> None:
    """Add an entry; `action` reads as `rule.add` does, `target` names the thing.

    `project` is the slug of the one whose people or tokens changed; inside a project it is empty.
    """
    raw.execute(
        "INSERT INTO audit (at, actor, action, target, project) VALUES (?, ?, ?, ?, ?)",
        (now, actor, action, target[:500], project),
    )
