"""The rota's tables."""

from __future__ import annotations

import sqlite3

import msgspec

from mamimon.alerts.oncall.model import Override, Rota

Raw = sqlite3.Connection


def load(raw: Raw, now: float) -> tuple[Rota | None, list[Override]]:
    """The rota and the overrides that are not over."""
    row = raw.execute("SELECT body_json FROM oncall_rota").fetchone()
    rota = msgspec.json.decode(row[0], type=Rota) if row else None
    found = raw.execute(
        "SELECT id, person, starts_at, ends_at, made_by FROM oncall_override WHERE ends_at > ? ORDER BY id",
        (now,),
    )
    return rota, [Override(id=r[0], person=r[1], starts_at=r[2], ends_at=r[3], made_by=r[4]) for r in found]


def save(raw: Raw, rota: Rota | None) -> None:
    """Keep the rota; None takes it away, with its overrides."""
    if rota is None:
        raw.execute("DELETE FROM oncall_rota")
        raw.execute("DELETE FROM oncall_override")
        return
    raw.execute(
        "INSERT INTO oncall_rota VALUES (1, ?) ON CONFLICT DO UPDATE SET body_json = excluded.body_json",
        (msgspec.json.encode(rota).decode(),),
    )


def add_override(raw: Raw, one: Override) -> None:
    """Keep an override."""
    raw.execute(
        "INSERT INTO oncall_override (person, starts_at, ends_at, made_by) VALUES (?, ?, ?, ?)",
        (one.person, one.starts_at, one.ends_at, one.made_by),
    )


def drop_override(raw: Raw, number: int) -> int:
    """Take an override away; returns how many there were."""
    return raw.execute("DELETE FROM oncall_override WHERE id = ?", (number,)).rowcount
