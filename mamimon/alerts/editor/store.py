"""The rows of people's own rules."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.alerts.editor.model import OwnRule
from mamimon.problems import Kind, Problem, not_found

Raw = sqlite3.Connection


def load(raw: Raw) -> list[OwnRule]:
    """Every rule, by name."""
    rows = raw.execute("SELECT id, body_json FROM own_rule ORDER BY name")
    return [
        msgspec.structs.replace(msgspec.json.decode(body, type=OwnRule), id=number) for number, body in rows
    ]


def save(raw: Raw, rule: OwnRule) -> OwnRule:
    """Insert (id 0) or change one; a taken name raises CONFLICT, an unknown id NOT_FOUND."""
    body = msgspec.json.encode(rule).decode()
    try:
        if not rule.id:
            cursor = raw.execute("INSERT INTO own_rule (name, body_json) VALUES (?, ?)", (rule.name, body))
            return msgspec.structs.replace(rule, id=int(cursor.lastrowid or 0))
        changed = raw.execute(
            "UPDATE own_rule SET name = ?, body_json = ? WHERE id = ?", (rule.name, body, rule.id)
        )
    except sqlite3.IntegrityError:
        raise Problem(Kind.CONFLICT, f"there is a rule {rule.name!r} already") from None
    if not changed.rowcount:
        raise not_found(f"there is no rule {rule.id}")
    return rule


def delete(raw: Raw, number: int) -> None:
    """Delete one."""
    if not raw.execute("DELETE FROM own_rule WHERE id = ?", (number,)).rowcount:
        raise not_found(f"there is no rule {number}")
