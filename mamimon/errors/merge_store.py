"""Merging issues by hand and taking it back; the only SQL on `error_part`.

The events' files keep each issue's own number, so nothing is rewritten: a merged issue points to its
root, whose row has the family's sums, and `error_part` has what each member counted itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from mamimon.errors.model import Grouping, Part
from mamimon.errors.status_store import note
from mamimon.problems import bad_input, not_found

MAX_PARTS = 500


def merge(raw: sqlite3.Connection, ids: Sequence[int], who: str, now: float) -> int:
    """Make one issue of several; returns the root: the one with the most events, then the oldest."""
    marks = ",".join("?" * len(ids))
    rows = raw.execute(
        f"SELECT id, project_id, title, status FROM error_issue WHERE id IN ({marks}) AND merged_into = 0"  # noqa: S608 - marks only
        " AND count > 0 ORDER BY count DESC, id",
        tuple(ids),
    ).fetchall()
    if len(rows) < 2:
        raise bad_input("merging needs two issues at least")
    if len({row[1] for row in rows}) > 1:
        raise bad_input("issues of different projects cannot be merged")
    root = int(rows[0][0])
    for issue, _, title, _ in rows:
        raw.execute(
            "INSERT OR IGNORE INTO error_part SELECT id, ?, count, first_seen, last_seen, first_release,"
            " last_release, unhandled FROM error_issue WHERE id = ?",
            (root, issue),
        )
        if issue != root:
            raw.execute("UPDATE error_part SET root_id = ? WHERE root_id = ?", (root, issue))
            raw.execute(
                "UPDATE error_issue SET merged_into = ? WHERE id = ? OR merged_into = ?", (root, issue, issue)
            )
            note(raw, root, now, "merged", who, f"#{issue} {title}")
    (many,) = raw.execute("SELECT count(*) FROM error_part WHERE root_id = ?", (root,)).fetchone()
    if many > MAX_PARTS:
        raise bad_input(f"an issue cannot be merged of more than {MAX_PARTS}")
    if any(row[3] == "unresolved" for row in rows):
        raw.execute("UPDATE error_issue SET status = 'unresolved' WHERE id = ?", (root,))
    _sum_up(raw, root)
    return root


def split(raw: sqlite3.Connection, root: int, parts: Sequence[int], who: str, now: float) -> list[int]:
    """Take merged issues out of their root again; returns which."""
    if raw.execute("SELECT 1 FROM error_issue WHERE id = ?", (root,)).fetchone() is None:
        raise not_found(f"there is no issue {root}")
    freed: list[int] = []
    for part in parts:
        row = raw.execute(
            "SELECT count, first_seen, last_seen, first_release, last_release, unhandled FROM error_part"
            " WHERE issue_id = ? AND root_id = ? AND issue_id <> root_id",
            (part, root),
        ).fetchone()
        if row is None:
            raise bad_input(f"issue {part} was not merged into issue {root}")
        raw.execute("DELETE FROM error_part WHERE issue_id = ?", (part,))
        raw.execute(
            "UPDATE error_issue SET merged_into = 0, status = 'unresolved', count = ?, first_seen = ?,"
            " last_seen = ?, first_release = ?, last_release = ?, unhandled = ?, users ="
            " (SELECT count(*) FROM error_user WHERE issue_id = error_issue.id) WHERE id = ?",
            (*row, part),
        )
        note(raw, root, now, "split", who, f"#{part}")
        note(raw, part, now, "split", who, f"#{root}")
        freed.append(part)
    _sum_up(raw, root)
    left = raw.execute("SELECT count(*) FROM error_part WHERE root_id = ?", (root,)).fetchone()
    if left[0] == 1:
        raw.execute("DELETE FROM error_part WHERE root_id = ?", (root,))
    return freed


def parts(raw: sqlite3.Connection, root: int) -> list[Part]:
    """What a merged issue is made of, the root first; nothing for one that was never merged."""
    rows = raw.execute(
        "SELECT p.issue_id, i.title, i.culprit, p.count, p.last_seen, i.grouping FROM error_part p"
        " JOIN error_issue i ON i.id = p.issue_id WHERE p.root_id = ?"
        " ORDER BY p.issue_id <> p.root_id, p.count DESC",
        (root,),
    ).fetchall()
    return [
        Part(
            id=row[0],
            title=row[1],
            culprit=row[2],
            count=row[3],
            last_seen=row[4],
            grouping=msgspec.json.decode(row[5], type=Grouping),
        )
        for row in rows
    ]


def families(raw: sqlite3.Connection, roots: Sequence[int]) -> dict[int, list[int]]:
    """The numbers that each issue's events carry in the files: its own and those merged into it."""
    found = {root: [root] for root in roots}
    marks = ",".join("?" * len(roots))
    for child, root in raw.execute(
        f"SELECT id, merged_into FROM error_issue WHERE merged_into <> 0 AND merged_into IN ({marks})",  # noqa: S608 - marks only
        tuple(roots),
    ):
        found[root].append(child)
    return found


def merged(raw: sqlite3.Connection) -> dict[int, int]:
    """Every merged issue and its root."""
    return dict(raw.execute("SELECT id, merged_into FROM error_issue WHERE merged_into <> 0"))


def count_users(raw: sqlite3.Connection, root: int) -> int:
    """How many people met a merged issue."""
    (users,) = raw.execute(
        "SELECT count(DISTINCT user_hash) FROM error_user WHERE issue_id = ? OR issue_id IN"
        " (SELECT id FROM error_issue WHERE merged_into = ?)",
        (root, root),
    ).fetchone()
    return int(users)


def _sum_up(raw: sqlite3.Connection, root: int) -> None:
    rows = raw.execute(
        "SELECT count, first_seen, last_seen, first_release, last_release, unhandled FROM error_part"
        " WHERE root_id = ?",
        (root,),
    ).fetchall()
    first, last = min(rows, key=lambda row: row[1]), max(rows, key=lambda row: row[2])
    raw.execute(
        "UPDATE error_issue SET count = ?, first_seen = ?, last_seen = ?, first_release = ?,"
        " last_release = ?, unhandled = ?, users = ? WHERE id = ?",
        (
            sum(row[0] for row in rows),
            first[1],
            last[2],
            first[3],
            last[4],
            max(row[5] for row in rows),
            count_users(raw, root),
            root,
        ),
    )
