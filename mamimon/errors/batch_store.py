"""One transaction on a month's file: events, their exact counts, and what they add to each issue.

Of a noisy issue the first `KEEP` events of a month are kept, then ever fewer, and always the newest.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

import msgspec

from mamimon.errors.model import Event

KEEP = 500
MAX_TAG_VALUES = 200
OTHER = "(other)"
# Values that are new with every event say nothing as a distribution.
_NOT_COUNTED = {"request_id", "trace_id", "span_id"}


class Prepared(msgspec.Struct, kw_only=True):
    """An event ready to be written; `body` is compressed JSON, `user` the keyed hash of who met it."""

    event: Event
    body: bytes
    user: bytes
    issue: int = 0
    aliases: list[bytes] = []
    """What stands for the user's id, email and name, to be searched for."""
    files: list[bytes] = []
    """Contents of the event's attachments, zstd; empty for one that is not kept."""
    fresh: bool = False
    """Whether it was written: its id was not there before."""


class Delta(msgspec.Struct, kw_only=True):
    """What a batch adds to one issue."""

    issue: int
    count: int
    first: float
    last: float
    level: str
    release: str
    unhandled: bool
    users: list[bytes]
    releases: list[str] = []


_ADD_EVENT = (
    "INSERT INTO event (event_id, issue_id, time, title, level, release, environment, user, request_id,"
    " sample, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_DROP_NEWEST_FILES = (
    "DELETE FROM attachment WHERE event_id IN (SELECT event_id FROM event WHERE issue_id = ? AND sample = 0)"
)


def append_batch(raw: sqlite3.Connection, rows: Sequence[Prepared]) -> tuple[int, list[Delta]]:
    """Write events; returns the batch's number (0 for nothing new) and what it added."""
    deltas: dict[int, Delta] = {}
    hours: Counter[tuple[int, int]] = Counter()
    minutes: Counter[tuple[int, int, str]] = Counter()
    tags: Counter[tuple[int, str, str]] = Counter()
    months: dict[int, list[int]] = {}
    for one in rows:
        event, issue = one.event, one.issue
        one.fresh = not raw.execute("SELECT 1 FROM event WHERE event_id = ?", (event.id,)).fetchone()
        if not one.fresh:
            continue
        _add_event(raw, one, months)
        hours[issue, int(event.time // 3600)] += 1
        minutes[int(event.time // 60), event.project, event.level] += 1
        for key, value in event.tags.items():
            if key not in _NOT_COUNTED:
                tags[issue, key, value] += 1
        _add_delta(deltas, one)
    if not deltas:
        return 0, []
    raw.executemany(
        "INSERT INTO issue_hour VALUES (?, ?, ?)"
        " ON CONFLICT (issue_id, hour) DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in hours.items()],
    )
    raw.executemany(
        "INSERT INTO minute VALUES (?, ?, ?, ?)"
        " ON CONFLICT (minute, project_id, level) DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in minutes.items()],
    )
    raw.executemany(
        "INSERT INTO issue_month (issue_id, count, kept) VALUES (?, ?, ?)"
        " ON CONFLICT (issue_id) DO UPDATE SET count = excluded.count, kept = excluded.kept",
        [(issue, *state[:2]) for issue, state in months.items()],
    )
    _add_tags(raw, tags)
    raw.execute("DELETE FROM batch WHERE number < (SELECT max(number) - 64 FROM batch)")
    cursor = raw.execute(
        "INSERT INTO batch (delta) VALUES (?)", (msgspec.msgpack.encode([*deltas.values()]),)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid, list(deltas.values())


def _add_event(raw: sqlite3.Connection, one: Prepared, months: dict[int, list[int]]) -> None:
    event, issue = one.event, one.issue
    state = months.get(issue)
    if state is None:
        found = raw.execute("SELECT count, kept FROM issue_month WHERE issue_id = ?", (issue,)).fetchone()
        state = months[issue] = list(found) if found else [0, 0]
    state[0] += 1
    keep = state[0] <= KEEP or state[0] % (state[0] // (KEEP // 2)) == 0
    if state[0] > KEEP:
        raw.execute(_DROP_NEWEST_FILES, (issue,))
        raw.execute("DELETE FROM event WHERE issue_id = ? AND sample = 0", (issue,))
    state[1] += keep
    raw.execute(
        _ADD_EVENT,
        (
            event.id,
            issue,
            event.time,
            event.title,
            event.level,
            event.release,
            event.environment,
            event.user.identity if event.user is not None else "",
            event.request_id,
            int(keep),
            one.body,
        ),
    )
    raw.executemany("INSERT OR IGNORE INTO person VALUES (?, ?)", [(alias, issue) for alias in one.aliases])
    raw.executemany(
        "INSERT OR REPLACE INTO attachment VALUES (?, ?, ?, ?, ?)",
        [
            (event.id, number, about.name, about.type, body)
            for number, (about, body) in enumerate(zip(event.attachments, one.files, strict=True))
            if body
        ],
    )


def _add_delta(deltas: dict[int, Delta], one: Prepared) -> None:
    event = one.event
    delta = deltas.get(one.issue)
    if delta is None:
        delta = deltas[one.issue] = Delta(
            issue=one.issue,
            count=0,
            first=event.time,
            last=event.time,
            level=event.level,
            release=event.release,
            unhandled=False,
            users=[],
        )
    delta.count += 1
    delta.first = min(delta.first, event.time)
    if event.time >= delta.last:
        delta.last, delta.level, delta.release = event.time, event.level, event.release or delta.release
    delta.unhandled = delta.unhandled or event.handled is False
    if one.user and one.user not in delta.users:
        delta.users.append(one.user)
    if event.release and event.release not in delta.releases:
        delta.releases.append(event.release)


def _add_tags(raw: sqlite3.Connection, tags: Counter[tuple[int, str, str]]) -> None:
    for (issue, key, value), count in tags.items():
        cursor = raw.execute(
            "UPDATE tag SET count = count + ? WHERE issue_id = ? AND key = ? AND value = ?",
            (count, issue, key, value),
        )
        if cursor.rowcount:
            continue
        (many,) = raw.execute(
            "SELECT count(*) FROM tag WHERE issue_id = ? AND key = ?", (issue, key)
        ).fetchone()
        raw.execute(
            "INSERT INTO tag VALUES (?, ?, ?, ?)"
            " ON CONFLICT (issue_id, key, value) DO UPDATE SET count = count + excluded.count",
            (issue, key, value if many < MAX_TAG_VALUES else OTHER, count),
        )
