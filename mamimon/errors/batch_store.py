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
_DROP_NEWEST = "DELETE FROM event WHERE issue_id = ? AND sample = 0"
_KNOWN = "SELECT event_id FROM event WHERE event_id IN (?)"
_MONTHS = "SELECT issue_id, count, kept FROM issue_month WHERE issue_id IN (?)"
_MANY = 500


def append_batch(raw: sqlite3.Connection, rows: Sequence[Prepared]) -> tuple[int, list[Delta]]:
    """Write events; returns the batch's number (0 for nothing new) and what it added."""
    deltas: dict[int, Delta] = {}
    hours: Counter[tuple[int, int]] = Counter()
    minutes: Counter[tuple[int, int, str]] = Counter()
    tags: Counter[tuple[int, str, str]] = Counter()
    fresh = _mark_fresh(raw, rows)
    months = _add_events(raw, fresh)
    for one in fresh:
        event, issue = one.event, one.issue
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


def _mark_fresh(raw: sqlite3.Connection, rows: Sequence[Prepared]) -> list[Prepared]:
    """Those whose ids are not there yet, each id once."""
    known: set[str] = set()
    ids = list({one.event.id for one in rows})
    for start in range(0, len(ids), _MANY):
        part = ids[start : start + _MANY]
        known.update(row[0] for row in raw.execute(_in(_KNOWN, part), part))
    for one in rows:
        one.fresh = one.event.id not in known
        known.add(one.event.id)
    return [one for one in rows if one.fresh]


def _add_events(raw: sqlite3.Connection, rows: Sequence[Prepared]) -> dict[int, list[int]]:
    """Write those that are kept; returns how many each issue had in the month and how many were kept."""
    issues = list({one.issue for one in rows})
    months = {issue: [0, 0] for issue in issues}
    for start in range(0, len(issues), _MANY):
        part = issues[start : start + _MANY]
        months.update((row[0], [row[1], row[2]]) for row in raw.execute(_in(_MONTHS, part), part))
    kept: list[tuple[Prepared, int]] = []
    newest: dict[int, Prepared | None] = {}
    for one in rows:
        state = months[one.issue]
        state[0] += 1
        keep = state[0] <= KEEP or state[0] % (state[0] // (KEEP // 2)) == 0
        state[1] += keep
        if keep:
            kept.append((one, 1))
        if state[0] > KEEP:
            newest[one.issue] = None if keep else one
    raw.executemany(_DROP_NEWEST_FILES, [(issue,) for issue in newest])
    raw.executemany(_DROP_NEWEST, [(issue,) for issue in newest])
    kept += [(one, 0) for one in newest.values() if one is not None]
    raw.executemany(_ADD_EVENT, [_row(one, sample) for one, sample in kept])
    raw.executemany(
        "INSERT OR IGNORE INTO person VALUES (?, ?)",
        {(alias, one.issue) for one in rows for alias in one.aliases},
    )
    files = [row for one, _ in kept for row in _files(one)]
    if files:
        raw.executemany("INSERT OR REPLACE INTO attachment VALUES (?, ?, ?, ?, ?)", files)
    return months


def _row(one: Prepared, sample: int) -> tuple[object, ...]:
    event = one.event
    return (
        event.id,
        one.issue,
        event.time,
        event.title,
        event.level,
        event.release,
        event.environment,
        event.user.identity if event.user is not None else "",
        event.request_id,
        sample,
        one.body,
    )


def _files(one: Prepared) -> list[tuple[object, ...]]:
    return [
        (one.event.id, number, about.name, about.type, body)
        for number, (about, body) in enumerate(zip(one.event.attachments, one.files, strict=True))
        if body
    ]


def _in(question: str, values: Sequence[object]) -> str:
    return question.replace("(?)", f"({','.join('?' * len(values))})")


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
        cursor = raw.execute(_COUNT_TAG, (count, issue, key, value))
        if cursor.rowcount:
            continue
        (many,) = raw.execute(_TAG_VALUES, (issue, key)).fetchone()
        shown = value if many < MAX_TAG_VALUES else OTHER
        raw.execute(_ADD_TAG, (issue, key, shown, count))


_COUNT_TAG = "UPDATE tag SET count = count + ? WHERE issue_id = ? AND key = ? AND value = ?"
_TAG_VALUES = "SELECT count(*) FROM tag WHERE issue_id = ? AND key = ?"
_ADD_TAG = (
    "INSERT INTO tag VALUES (?, ?, ?, ?)"
    " ON CONFLICT (issue_id, key, value) DO UPDATE SET count = count + excluded.count"
)
