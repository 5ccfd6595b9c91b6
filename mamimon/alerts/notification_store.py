"""Rows of notifications: who is to be told what, every attempt, and what was gathered into one message."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from mamimon.alerts.model import Message, Notification
from mamimon.alerts.store import add_event

Raw = sqlite3.Connection


def add(raw: Raw, target: str, to: str, message: Message, now: float) -> int:
    """Write the intent to tell a target; the delivery worker takes it from here. Returns its id."""
    cursor = raw.execute(
        "INSERT INTO notification (incident, target, recipient, message_json, status, next_at, created_at)"
        " VALUES (?, ?, ?, ?, 'pending', ?, ?)",
        (message.incident, target, to, msgspec.json.encode(message).decode(), now, now),
    )
    return int(cursor.lastrowid or 0)


_NOTIFICATION = (
    "id, incident, target, recipient, message_json, status, attempts, next_at, created_at, answer, sent_at"
)


def _notification(row: Sequence[Any]) -> Notification:
    return Notification(
        id=row[0],
        incident=row[1],
        target=row[2],
        to=row[3],
        message=msgspec.json.decode(row[4], type=Message),
        status=row[5],
        attempts=row[6],
        next_at=row[7],
        created_at=row[8],
        answer=row[9],
        sent_at=row[10],
    )


def pending(raw: Raw, now: float, limit: int = 50) -> list[Notification]:
    """Those that may be sent at `now`, oldest first."""
    rows = raw.execute(
        f"SELECT {_NOTIFICATION} FROM notification WHERE status = 'pending' AND next_at <= ?"  # noqa: S608
        " ORDER BY id LIMIT ?",
        (now, limit),
    )
    return [_notification(row) for row in rows]


def of_incident(raw: Raw, incident_id: int | None, limit: int = 200) -> list[Notification]:
    """An incident's notifications (or, for None, everybody's latest), newest first."""
    where = "" if incident_id is None else "WHERE incident = :incident"
    rows = raw.execute(
        f"SELECT {_NOTIFICATION} FROM notification {where} ORDER BY id DESC LIMIT :limit",  # noqa: S608
        {"incident": incident_id, "limit": limit},
    )
    return [_notification(row) for row in rows]


def told(raw: Raw, incident_id: int) -> dict[str, str]:
    """Target → recipient of everybody who was told of an incident, or is about to be."""
    return dict(
        raw.execute(
            "SELECT target, recipient FROM notification WHERE incident = ? AND status <> 'withdrawn'"
            " GROUP BY target ORDER BY min(id)",
            (incident_id,),
        )
    )


def postpone(raw: Raw, one: Notification, until: float, at: float) -> None:
    """Hold a notification back until then; the incident's timeline says so."""
    raw.execute("UPDATE notification SET next_at = ? WHERE id = ?", (until, one.id))
    if one.incident is not None:
        add_event(raw, one.incident, at, "held", f"{one.to} has quiet hours", facts={"to": one.to})


def withdraw(raw: Raw, incident_id: int) -> None:
    """Nobody needs to hear that something fired which is over, unless they heard of it already."""
    raw.execute(
        "UPDATE notification SET status = 'withdrawn', answer = 'over before it was told'"
        " WHERE incident = ? AND status = 'pending' AND next_at > created_at AND attempts = 0",
        (incident_id,),
    )


def record_attempt(
    raw: Raw, one: Notification, at: float, took_s: float, ok: bool, answer: str, next_at: float | None
) -> None:
    """Write down how sending went; `next_at` None after a failure gives up."""
    raw.execute(
        "INSERT INTO notification_attempt (notification, at, took_s, ok, answer, next_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (one.id, at, took_s, ok, answer[:2000], next_at),
    )
    status = "sent" if ok else ("failed" if next_at is None else "pending")
    raw.execute(
        "UPDATE notification SET status = ?, attempts = attempts + 1, next_at = ?, answer = ?, sent_at = ?"
        " WHERE id = ?",
        (status, next_at or at, answer[:2000], at if ok else None, one.id),
    )


def attempts(raw: Raw, notification_id: int) -> list[dict[str, Any]]:
    """Every attempt at a notification, oldest first."""
    rows = raw.execute(
        "SELECT at, took_s, ok, answer, next_at FROM notification_attempt WHERE notification = ? ORDER BY id",
        (notification_id,),
    )
    return [dict(zip(("at", "took_s", "ok", "answer", "next_at"), row, strict=True)) for row in rows]


def crowds(raw: Raw, since: float, now: float, burst: int) -> list[tuple[str, int]]:
    """Targets with messages due that were not tried yet, which together with those sent to them since are
    more than `burst`: target, and how many were sent."""
    return [
        (str(target), int(sent))
        for target, sent in raw.execute(
            "SELECT target, sum(status = 'sent') FROM notification"
            " WHERE (status = 'pending' AND next_at <= :now AND attempts = 0)"
            " OR (status = 'sent' AND sent_at > :since)"
            " GROUP BY target HAVING sum(status = 'pending') > 0 AND count(*) > :burst",
            {"since": since, "now": now, "burst": burst},
        )
    ]


def due_of(raw: Raw, target: str, now: float) -> list[Notification]:
    """What a target may be told now and was not tried yet, oldest first; 2,000 at most."""
    rows = raw.execute(
        f"SELECT {_NOTIFICATION} FROM notification WHERE target = ? AND status = 'pending'"  # noqa: S608
        " AND next_at <= ? AND attempts = 0 ORDER BY id LIMIT 2000",
        (target, now),
    )
    return [_notification(row) for row in rows]


def waiting_digest(raw: Raw, target: str, kind: str) -> Notification | None:
    """The gathered message of a kind that a target has not been sent yet."""
    row = raw.execute(
        f"SELECT {_NOTIFICATION} FROM notification WHERE target = ? AND status = 'pending' AND attempts = 0"  # noqa: S608
        " AND json_extract(message_json, '$.gathered') > 0 AND json_extract(message_json, '$.kind') = ?"
        " ORDER BY id LIMIT 1",
        (target, kind),
    ).fetchone()
    return _notification(row) if row else None


def gather(
    raw: Raw, members: Sequence[Notification], digest: Message, into: int | None, at: float, due: float
) -> None:
    """Tell `members` by one message instead: a new one that is due then, or the one that waits (`into`)."""
    if into is None:
        one = members[0]
        into = add(raw, one.target, one.to, digest, at)
        raw.execute("UPDATE notification SET next_at = ? WHERE id = ?", (due, into))
    else:
        raw.execute(
            "UPDATE notification SET message_json = ? WHERE id = ?",
            (msgspec.json.encode(digest).decode(), into),
        )
    for one in members:
        raw.execute(
            "UPDATE notification SET status = 'gathered', answer = ? WHERE id = ?",
            (f"told with others in message {into}", one.id),
        )
        if one.incident is not None:
            text = f"{one.to} is told in one message with others"
            add_event(raw, one.incident, at, "sent", text, facts={"to": one.to, "what": "gathered"})
