"""The alerts' rows in `mamimon.db`: the only SQL of the room.

Functions take the raw connection, so callers put several into one transaction
(`Database.write`); readers use `Database.read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from mamimon.alerts.model import ActiveAlert, Alert, Event, Incident, Labels, Policy
from mamimon.alerts.silences import Silence

Raw = sqlite3.Connection
T = TypeVar("T")
KEEP_RESOLVED_DAYS = 90


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load_rule_alerts(raw: Raw) -> dict[str, dict[str, ActiveAlert]]:
    """Rule key → fingerprint → alert."""
    out: dict[str, dict[str, ActiveAlert]] = {}
    for rule, body in raw.execute("SELECT rule, body_json FROM rule_alert"):
        one = msgspec.json.decode(body, type=ActiveAlert)
        out.setdefault(rule, {})[one.fingerprint] = one
    return out


def put_rule_alerts(
    raw: Raw, changed: Sequence[tuple[str, ActiveAlert]], gone: Sequence[tuple[str, str]]
) -> None:
    """Write what an evaluation changed."""
    raw.executemany(
        "INSERT INTO rule_alert (rule, fingerprint, body_json) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body_json = excluded.body_json",
        [(rule, one.fingerprint, _json(one)) for rule, one in changed],
    )
    raw.executemany("DELETE FROM rule_alert WHERE rule = ? AND fingerprint = ?", gone)


def _bodies(raw: Raw, table: str, kind: type[T]) -> list[T]:
    rows = raw.execute(f"SELECT body_json FROM {table}")  # noqa: S608 - a name of ours
    return [msgspec.json.decode(row[0], type=kind) for row in rows]


def load_alerts(raw: Raw) -> list[Alert]:
    """Every routed alert."""
    return _bodies(raw, "alert", Alert)


def put_alerts(raw: Raw, alerts: Iterable[Alert]) -> None:
    """Insert or replace."""
    raw.executemany(
        "INSERT INTO alert (fingerprint, body_json) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET body_json = excluded.body_json",
        [(one.fingerprint, _json(one)) for one in alerts],
    )


def drop_alerts(raw: Raw, fingerprints: Iterable[str]) -> None:
    """Forget alerts."""
    raw.executemany("DELETE FROM alert WHERE fingerprint = ?", [(one,) for one in fingerprints])


def load_groups(raw: Raw, kind: type[T]) -> list[T]:
    """Every group's state."""
    return _bodies(raw, "alert_group", kind)


def put_group(raw: Raw, key: str, group: Any) -> None:
    """Insert or replace one group's state."""
    raw.execute(
        "INSERT INTO alert_group (key, body_json) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET body_json = excluded.body_json",
        (key, _json(group)),
    )


def drop_group(raw: Raw, key: str) -> None:
    """Forget a group."""
    raw.execute("DELETE FROM alert_group WHERE key = ?", (key,))


def load_silences(raw: Raw) -> list[Silence]:
    """Every silence."""
    return _bodies(raw, "silence", Silence)


def put_silences(raw: Raw, silences: Iterable[Silence], gone: Iterable[str] = ()) -> None:
    """Insert, replace or delete."""
    raw.executemany(
        "INSERT INTO silence (id, body_json, ends_at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body_json = excluded.body_json, ends_at = excluded.ends_at",
        [(one.id, _json(one), one.ends_at) for one in silences],
    )
    raw.executemany("DELETE FROM silence WHERE id = ?", [(one,) for one in gone])


_INCIDENT = (
    "id, key, title, state, severity, labels_json, summary, expr, started_at, acknowledged_at,"
    " acknowledged_by, assigned_to, resolved_at, policy_json, step, due_at, roles_json"
)


def _incident(row: Sequence[Any]) -> Incident:
    return Incident(
        id=row[0],
        key=row[1],
        title=row[2],
        state=row[3],
        severity=row[4],
        labels=msgspec.json.decode(row[5], type=Labels),
        summary=row[6],
        expr=row[7],
        started_at=row[8],
        acknowledged_at=row[9],
        acknowledged_by=row[10],
        assigned_to=row[11],
        resolved_at=row[12],
        policy=msgspec.json.decode(row[13], type=Policy),
        step=row[14],
        due_at=row[15],
        roles=msgspec.json.decode(row[16], type=dict[str, str]),
    )


def open_incident(raw: Raw, one: Incident) -> Incident:
    """Insert a new incident; `one.id` is ignored, the stored one is returned."""
    cursor = raw.execute(
        "INSERT INTO incident (key, title, state, severity, labels_json, summary, expr, started_at,"
        " policy_json, step, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            one.key,
            one.title,
            one.state,
            one.severity,
            _json(one.labels),
            one.summary,
            one.expr,
            one.started_at,
            _json(one.policy),
            one.step,
            one.due_at,
        ),
    )
    return msgspec.structs.replace(one, id=int(cursor.lastrowid or 0))


def save_incident(raw: Raw, one: Incident) -> None:
    """Write everything about an incident that can change."""
    raw.execute(
        "UPDATE incident SET title = ?, state = ?, severity = ?, summary = ?, acknowledged_at = ?,"
        " acknowledged_by = ?, assigned_to = ?, resolved_at = ?, step = ?, due_at = ?, roles_json = ?"
        " WHERE id = ?",
        (
            one.title,
            one.state,
            one.severity,
            one.summary,
            one.acknowledged_at,
            one.acknowledged_by,
            one.assigned_to,
            one.resolved_at,
            one.step,
            one.due_at,
            _json(one.roles),
            one.id,
        ),
    )


def incident(raw: Raw, incident_id: int) -> Incident | None:
    """One incident, or None."""
    row = raw.execute(f"SELECT {_INCIDENT} FROM incident WHERE id = ?", (incident_id,)).fetchone()  # noqa: S608
    return None if row is None else _incident(row)


def unresolved(raw: Raw) -> list[Incident]:
    """Open and acknowledged incidents, newest first."""
    rows = raw.execute(
        f"SELECT {_INCIDENT} FROM incident WHERE state <> 'resolved' ORDER BY id DESC"  # noqa: S608
    )
    return [_incident(row) for row in rows]


def open_around(raw: Raw, start: float, end: float) -> list[Incident]:
    """Incidents that are not resolved and began in that time, newest first."""
    rows = raw.execute(
        f"SELECT {_INCIDENT} FROM incident WHERE state <> 'resolved' AND started_at BETWEEN ? AND ?"  # noqa: S608
        " ORDER BY id DESC",
        (start, end),
    )
    return [_incident(row) for row in rows]


def open_by_key(raw: Raw, key: str) -> Incident | None:
    """The incident of a key that is not resolved."""
    row = raw.execute(
        f"SELECT {_INCIDENT} FROM incident WHERE key = ? AND state <> 'resolved'",  # noqa: S608
        (key,),
    ).fetchone()
    return None if row is None else _incident(row)


def incidents(raw: Raw, limit: int) -> list[Incident]:
    """Those not resolved first, each part newest first."""
    rows = raw.execute(
        f"SELECT {_INCIDENT} FROM incident ORDER BY state = 'resolved', id DESC LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [_incident(row) for row in rows]


def answers(raw: Raw, since: float) -> list[tuple[str, int, int, int]]:
    """By alert name, of incidents that began since then: how many, how many answered, messages sent."""
    rows = raw.execute(
        "SELECT coalesce(json_extract(labels_json, '$.alertname'), ''), count(*), count(acknowledged_at),"
        " coalesce(sum((SELECT count(*) FROM notification n WHERE n.incident = incident.id"
        " AND n.status = 'sent')), 0)"
        " FROM incident WHERE started_at >= ? GROUP BY 1",
        (since,),
    )
    return [(str(name), int(many), int(answered), int(told)) for name, many, answered, told in rows]


def due_incidents(raw: Raw, now: float) -> list[Incident]:
    """Those whose next escalation step is due, longest due first."""
    rows = raw.execute(
        f"SELECT {_INCIDENT} FROM incident WHERE due_at <= ? ORDER BY due_at LIMIT 100",  # noqa: S608
        (now,),
    )
    return [_incident(row) for row in rows]


def next_due(raw: Raw) -> float | None:
    """The earliest instant at which a step is due or a notification may be sent."""
    row = raw.execute(
        "SELECT min(at) FROM (SELECT min(due_at) AS at FROM incident WHERE due_at IS NOT NULL"
        " UNION ALL SELECT min(next_at) FROM notification WHERE status = 'pending')"
    ).fetchone()
    return None if row[0] is None else float(row[0])


def shift_timers(raw: Raw, seconds: float) -> None:
    """Move what is due by a correction of the wall clock."""
    raw.execute("UPDATE incident SET due_at = due_at + ? WHERE due_at IS NOT NULL", (seconds,))
    raw.execute("UPDATE notification SET next_at = next_at + ? WHERE status = 'pending'", (seconds,))


def add_event(
    raw: Raw,
    incident_id: int,
    at: float,
    kind: str,
    text: str,
    actor: str = "",
    facts: dict[str, str] | None = None,
) -> None:
    """Add to an incident's timeline; `facts` are what `sentences` puts into words."""
    raw.execute(
        "INSERT INTO incident_event (incident, at, kind, text, actor, facts_json) VALUES (?, ?, ?, ?, ?, ?)",
        (incident_id, at, kind, text[:4000], actor[:200], _json(facts or {})),
    )


def events(raw: Raw, incident_id: int) -> list[Event]:
    """An incident's timeline, oldest first."""
    rows = raw.execute(
        "SELECT at, kind, text, actor, facts_json FROM incident_event WHERE incident = ?"
        " ORDER BY at, id LIMIT 1000",
        (incident_id,),
    )
    return [
        Event(at, kind, text, actor, msgspec.json.decode(facts, type=dict[str, str]))
        for at, kind, text, actor, facts in rows
    ]


def add_deploy(raw: Raw, at: float, version: str, service: str, actor: str, note: str) -> int:
    """Remember that a version went live; returns its id."""
    cursor = raw.execute(
        "INSERT INTO deploy (at, version, service, actor, note) VALUES (?, ?, ?, ?, ?)",
        (at, version, service, actor, note),
    )
    return int(cursor.lastrowid or 0)


def deploys(raw: Raw, start: float, end: float, limit: int = 100) -> list[dict[str, Any]]:
    """Deploys between two instants, newest first."""
    rows = raw.execute(
        "SELECT id, at, version, service, actor, note FROM deploy WHERE at >= ? AND at <= ?"
        " ORDER BY at DESC LIMIT ?",
        (start, end, limit),
    )
    return [dict(zip(("id", "at", "version", "service", "actor", "note"), row, strict=True)) for row in rows]


def link_key(raw: Raw) -> bytes:
    """The key that signs links in messages; made on first use."""
    raw.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('alert_link_key', lower(hex(randomblob(32))))"
    )
    row = raw.execute("SELECT value FROM meta WHERE key = 'alert_link_key'").fetchone()
    return bytes.fromhex(row[0])


def forget_old(raw: Raw, before: float) -> None:
    """Delete incidents that were resolved before an instant, with everything that hangs on them."""
    raw.execute("DELETE FROM incident WHERE resolved_at < ?", (before,))
    raw.execute("DELETE FROM notification WHERE incident IS NULL AND created_at < ?", (before,))
