"""Events of errors in monthly files, `errors/YYYY-MM.db`; the only SQL on them.

A batch is one transaction. It also leaves what it adds to each issue (`batch.delta`) until
`mamimon.db` has taken it over, so counts are exact after a crash between the two files. Of a noisy
issue the first `KEEP` events of a month are kept, then ever fewer, and always the newest.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zstandard

from mamimon.errors.model import Event, EventRow, EventSummary
from mamimon.storage import Database, migrate

KEEP = 500
MAX_TAG_VALUES = 200
OTHER = "(other)"
_MONTH = re.compile(r"^\d{4}-\d{2}$")
# Values that are new with every event say nothing as a distribution.
_NOT_COUNTED = {"request_id", "trace_id", "span_id"}


class Prepared(msgspec.Struct, kw_only=True):
    """An event ready to be written; `body` is compressed JSON, `user` the keyed hash of who met it."""

    event: Event
    body: bytes
    user: bytes
    issue: int = 0


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


def month_of(seconds: float) -> str:
    """The month (UTC) of an instant, as files are named."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m")


def pack(event: Event) -> bytes:
    """An event as it is stored."""
    return zstandard.compress(msgspec.json.encode(event), 3)


def unpack(body: bytes) -> Event:
    """A stored event."""
    return msgspec.json.decode(zstandard.decompress(body, max_output_size=64 << 20), type=Event)


class EventStore:
    """The monthly files; each is opened when it is first asked for."""

    def __init__(self, folder: Path, readers: int = 2) -> None:
        self._folder = folder
        self._readers = readers
        self._open: dict[str, Database] = {}
        self._opening = asyncio.Lock()

    def months(self) -> list[str]:
        """The months there are files of, oldest first."""
        return sorted(path.stem for path in self._folder.glob("*.db") if _MONTH.match(path.stem))

    def path(self, month: str) -> Path:
        """The file of a month."""
        return self._folder / f"{month}.db"

    async def database(self, month: str) -> Database:
        """The month's file, open; created where it is not there yet."""
        found = self._open.get(month)
        if found is not None:
            return found
        async with self._opening:
            if month not in self._open:
                database = await Database.open(self.path(month), readers=self._readers)
                await migrate(database, "errors")
                self._open[month] = database
        return self._open[month]

    async def existing(self, first: float | None = None, last: float | None = None) -> list[Database]:
        """Every month's file that may hold [first, last], newest first."""
        chosen = [
            month
            for month in reversed(self.months())
            if (first is None or month >= month_of(first)) and (last is None or month <= month_of(last))
        ]
        return [await self.database(month) for month in chosen]

    async def append(self, month: str, rows: Sequence[Prepared]) -> tuple[int, list[Delta]]:
        """Write events in one transaction; returns the batch's number and what it added.

        An event whose id is already there is a repeat and changes nothing.
        """
        database = await self.database(month)
        return await database.write(lambda raw: _append(raw, rows))

    async def unapplied(self, month: str, after: int) -> list[tuple[int, list[Delta]]]:
        """Batches beyond number `after`, in order."""
        database = await self.database(month)
        found = await database.read(
            lambda raw: raw.execute(
                "SELECT number, delta FROM batch WHERE number > ? ORDER BY number", (after,)
            ).fetchall()
        )
        return [(number, msgspec.msgpack.decode(delta, type=list[Delta])) for number, delta in found]

    async def drop(self, month: str) -> None:
        """Close and delete a month's file."""
        async with self._opening:
            database = self._open.pop(month, None)
            if database is not None:
                await database.close()
            for suffix in ("", "-wal", "-shm"):
                self.path(month).with_name(f"{month}.db{suffix}").unlink(missing_ok=True)

    async def snapshot(self, month: str, target: Path) -> None:
        """Write a consistent copy of a month's file to `target`, which must not exist."""
        database = await self.database(month)
        await database.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)).fetchall())

    async def close(self) -> None:
        """Close every file; idempotent."""
        while self._open:
            await self._open.popitem()[1].close()

    async def newest(self, issue: int) -> EventRow | None:
        """The newest kept event of an issue."""
        for database in await self.existing():
            row = await database.read(lambda raw: raw.execute(_NEWEST, (issue,)).fetchone())
            if row is not None:
                return EventRow(month=database.path.stem, row=row[0], id=row[1], time=row[2])
        return None

    async def find(self, event_id: str) -> tuple[EventRow, int] | None:
        """Where a kept event is, and its issue."""
        for database in await self.existing():
            row = await database.read(lambda raw: raw.execute(_FIND, (event_id,)).fetchone())
            if row is not None:
                place = EventRow(month=database.path.stem, row=row[0], id=event_id, time=row[2])
                return place, row[1]
        return None

    async def load(self, place: EventRow) -> Event | None:
        """A whole event."""
        database = await self.database(place.month)
        row = await database.read(
            lambda raw: raw.execute("SELECT body FROM event WHERE row = ?", (place.row,)).fetchone()
        )
        return None if row is None else unpack(row[0])

    async def neighbours(self, issue: int, place: EventRow) -> tuple[str, str]:
        """The ids of the kept events before and after one; empty at the ends."""
        files = await self.existing()
        key = (issue, place.time, place.row)
        before = after = ""
        for database in files:
            month = database.path.stem
            if not before and month <= place.month:
                row = await database.read(lambda raw: raw.execute(_BEFORE, key).fetchone())
                before = row[0] if row else ""
        for database in reversed(files):
            month = database.path.stem
            if not after and month >= place.month:
                row = await database.read(lambda raw: raw.execute(_AFTER, key).fetchone())
                after = row[0] if row else ""
        return before, after

    async def recent(self, issue: int, limit: int = 50) -> list[EventSummary]:
        """The newest kept events of an issue."""
        found: list[EventSummary] = []
        for database in await self.existing():
            left = limit - len(found)
            if left <= 0:
                break
            rows = await database.read(
                lambda raw, left=left: raw.execute(_RECENT, (issue, left)).fetchall()  # type: ignore[misc]
            )
            month = database.path.stem
            found += [
                EventSummary(
                    month=month,
                    row=row[0],
                    id=row[1],
                    time=row[2],
                    title=row[3],
                    level=row[4],
                    release=row[5],
                    environment=row[6],
                    user=row[7],
                )
                for row in rows
            ]
        return found

    async def hours(self, issues: Sequence[int], start: float, end: float) -> dict[int, dict[int, int]]:
        """Exact counts an hour (hours since the epoch) of each issue in [start, end]."""
        marks = ",".join("?" * len(issues))
        question = (
            f"SELECT issue_id, hour, count FROM issue_hour WHERE issue_id IN ({marks})"  # noqa: S608 - marks only
            " AND hour BETWEEN ? AND ?"
        )
        bounds = (*issues, int(start // 3600), int(end // 3600))
        found: dict[int, dict[int, int]] = {}
        for database in await self.existing(start, end):
            for issue, hour, count in await database.read(
                lambda raw: raw.execute(question, bounds).fetchall()
            ):
                hours = found.setdefault(issue, {})
                hours[hour] = hours.get(hour, 0) + count
        return found

    async def totals(self, start: float, end: float) -> Counter[int]:
        """Exact counts of every issue in the hours that touch [start, end]."""
        found: Counter[int] = Counter()
        bounds = (int(start // 3600), int(end // 3600))
        for database in await self.existing(start, end):
            for issue, count in await database.read(lambda raw: raw.execute(_TOTALS, bounds).fetchall()):
                found[issue] += count
        return found

    async def minutes(self, start: float, end: float, project: int = 0) -> list[tuple[int, str, int]]:
        """Counts by minute (since the epoch) and level in [start, end)."""
        found: list[tuple[int, str, int]] = []
        bounds = (int(start // 60), int(-(-end // 60)), project, project)
        for database in await self.existing(start, end):
            found += await database.read(lambda raw: raw.execute(_MINUTES, bounds).fetchall())
        return found

    async def tags(self, issue: int) -> dict[str, list[tuple[str, int]]]:
        """Each tag's values with their exact counts, most frequent first."""
        sums: dict[str, Counter[str]] = {}
        for database in await self.existing():
            for key, value, count in await database.read(
                lambda raw: raw.execute(
                    "SELECT key, value, count FROM tag WHERE issue_id = ?", (issue,)
                ).fetchall()
            ):
                sums.setdefault(key, Counter())[value] += count
        return {key: counts.most_common() for key, counts in sorted(sums.items())}

    async def tagged(self, key: str, pattern: str) -> set[int]:
        """Issues of which an event carries tag `key` with a value LIKE `pattern`."""
        found: set[int] = set()
        for database in await self.existing():
            rows = await database.read(
                lambda raw: raw.execute(
                    "SELECT DISTINCT issue_id FROM tag WHERE key = ? AND value LIKE ? ESCAPE '\\'",
                    (key, pattern),
                ).fetchall()
            )
            found.update(row[0] for row in rows)
        return found

    async def move(self, source: int, target: int) -> None:
        """Give every event and count of one issue to another (a merge)."""
        for month in self.months():
            database = await self.database(month)
            await database.write(lambda raw: _move(raw, source, target))


_NEWEST = "SELECT row, event_id, time FROM event WHERE issue_id = ? ORDER BY time DESC, row DESC LIMIT 1"
_FIND = "SELECT row, issue_id, time FROM event WHERE event_id = ?"
_BEFORE = (
    "SELECT event_id FROM event WHERE issue_id = ? AND (time, row) < (?, ?)"
    " ORDER BY time DESC, row DESC LIMIT 1"
)
_AFTER = "SELECT event_id FROM event WHERE issue_id = ? AND (time, row) > (?, ?) ORDER BY time, row LIMIT 1"
_RECENT = (
    "SELECT row, event_id, time, title, level, release, environment, user FROM event"
    " WHERE issue_id = ? ORDER BY time DESC, row DESC LIMIT ?"
)
_TOTALS = "SELECT issue_id, sum(count) FROM issue_hour WHERE hour BETWEEN ? AND ? GROUP BY issue_id"
_MINUTES = (
    "SELECT minute, level, sum(count) FROM minute WHERE minute >= ? AND minute < ?"
    " AND (? = 0 OR project_id = ?) GROUP BY minute, level"
)
_ADD_EVENT = (
    "INSERT INTO event (event_id, issue_id, time, title, level, release, environment, user, request_id,"
    " sample, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _append(raw: sqlite3.Connection, rows: Sequence[Prepared]) -> tuple[int, list[Delta]]:
    deltas: dict[int, Delta] = {}
    hours: Counter[tuple[int, int]] = Counter()
    minutes: Counter[tuple[int, int, str]] = Counter()
    tags: Counter[tuple[int, str, str]] = Counter()
    months: dict[int, list[int]] = {}
    for one in rows:
        event, issue = one.event, one.issue
        if raw.execute("SELECT 1 FROM event WHERE event_id = ?", (event.id,)).fetchone():
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


def _move(raw: sqlite3.Connection, source: int, target: int) -> None:
    raw.execute("UPDATE event SET issue_id = ? WHERE issue_id = ?", (target, source))
    for table, columns, sums in (
        ("issue_hour", "hour", ("count",)),
        ("tag", "key, value", ("count",)),
        ("issue_month", "", ("count", "kept")),
    ):
        rest = (columns + ", " if columns else "") + ", ".join(sums)
        clash = "issue_id" + (", " + columns if columns else "")
        update = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
        raw.execute(
            f"INSERT INTO {table} (issue_id, {rest}) SELECT ?, {rest} FROM {table} WHERE issue_id = ?"  # noqa: S608 - names above
            f" ON CONFLICT ({clash}) DO UPDATE SET {update}",
            (target, source),
        )
        raw.execute(f"DELETE FROM {table} WHERE issue_id = ?", (source,))  # noqa: S608 - names above
