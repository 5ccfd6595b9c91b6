"""Events of errors in monthly files, `errors/YYYY-MM.db`; the only SQL on them.

A batch is one transaction. It also leaves what it adds to each issue (`batch.delta`) until
`mamimon.db` has taken it over, so counts are exact after a crash between the two files. Writing
is in `batch_store`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zstandard

from mamimon.errors.attachment_store import attach
from mamimon.errors.batch_store import Delta, Prepared, append_batch
from mamimon.errors.model import Attachment, Event, EventRow, EventSummary
from mamimon.errors.packing import unpack
from mamimon.storage import Database, migrate
from mamimon.storage.days import remove_database

_MONTH = re.compile(r"^\d{4}-\d{2}$")


def month_of(seconds: float) -> str:
    """The month (UTC) of an instant, as files are named."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m")


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
        return await database.write(lambda raw: append_batch(raw, rows))

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
            await asyncio.to_thread(remove_database, self.path(month))

    async def snapshot(self, month: str, target: Path) -> None:
        """Write a consistent copy of a month's file to `target`, which must not exist."""
        database = await self.database(month)
        await database.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)).fetchall())

    async def close(self) -> None:
        """Close every file; idempotent."""
        while self._open:
            await self._open.popitem()[1].close()

    async def newest(self, family: Sequence[int]) -> EventRow | None:
        """The newest kept event of an issue, given its number and those of the issues merged into it."""
        question = _of(_NEWEST, family)
        for database in await self.existing():
            row = await database.read(lambda raw: raw.execute(question, (*family,)).fetchone())
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

    async def met_by(self, alias: bytes) -> set[int]:
        """Issues that somebody met, by what stands for them (`mamimon.errors.people`)."""
        found: set[int] = set()
        for database in await self.existing():
            rows = await database.read(
                lambda raw: raw.execute("SELECT issue_id FROM person WHERE alias = ?", (alias,)).fetchall()
            )
            found.update(row[0] for row in rows)
        return found

    async def attachment(self, place: EventRow, number: int) -> tuple[str, str, bytes] | None:
        """Name, type and content of an event's kept attachment."""
        database = await self.database(place.month)
        row = await database.read(
            lambda raw: raw.execute(
                "SELECT name, type, body FROM attachment WHERE event_id = ? AND number = ?",
                (place.id, number),
            ).fetchone()
        )
        return (
            None if row is None else (row[0], row[1], zstandard.decompress(row[2], max_output_size=2 << 20))
        )

    async def attach(self, project: int, event_id: str, files: Sequence[tuple[Attachment, bytes]]) -> int:
        """Add files (contents as `attachments.keep` gives them) to a kept event; returns how many are new.

        One of the same name, type and size is a repeat. An event of another project is none of theirs.
        """
        place = await self.find(event_id)
        if place is None:
            return 0
        database = await self.database(place[0].month)
        return await database.write(lambda raw: attach(raw, project, event_id, files))

    async def neighbours(self, family: Sequence[int], place: EventRow) -> tuple[str, str]:
        """The ids of the kept events before and after one; empty at the ends."""
        files = await self.existing()
        key = (*family, place.time, place.row)
        earlier, later = _of(_BEFORE, family), _of(_AFTER, family)
        before = after = ""
        for database in files:
            month = database.path.stem
            if not before and month <= place.month:
                row = await database.read(lambda raw: raw.execute(earlier, key).fetchone())
                before = row[0] if row else ""
        for database in reversed(files):
            month = database.path.stem
            if not after and month >= place.month:
                row = await database.read(lambda raw: raw.execute(later, key).fetchone())
                after = row[0] if row else ""
        return before, after

    async def recent(self, family: Sequence[int], limit: int = 50) -> list[EventSummary]:
        """The newest kept events of an issue."""
        question = _of(_RECENT, family)
        found: list[EventSummary] = []
        for database in await self.existing():
            left = limit - len(found)
            if left <= 0:
                break
            rows = await database.read(
                lambda raw, left=left: raw.execute(question, (*family, left)).fetchall()  # type: ignore[misc]
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

    async def of_requests(self, ids: Sequence[str], limit: int) -> list[tuple[EventSummary, int]]:
        """Kept events whose request id is one of `ids`, the newest first, with their issues' numbers."""
        marks = ", ".join("?" * len(ids))
        sql = (
            "SELECT row, event_id, time, title, level, release, environment, user, issue_id FROM event"  # noqa: S608 - marks only
            f" WHERE request_id IN ({marks}) AND request_id <> '' ORDER BY time DESC LIMIT ?"
        )
        found: list[tuple[EventSummary, int]] = []
        for database in await self.existing():
            values = (*ids, limit - len(found))
            rows = await database.read(
                lambda raw, values=values: raw.execute(sql, values).fetchall()  # type: ignore[misc]
            )
            found += [
                (
                    EventSummary(
                        month=database.path.stem, row=row[0], id=row[1], time=row[2], title=row[3],
                        level=row[4], release=row[5], environment=row[6], user=row[7],
                    ),
                    row[8],
                )
                for row in rows
            ]  # fmt: skip
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

    async def tags(self, family: Sequence[int]) -> dict[str, list[tuple[str, int]]]:
        """Each tag's values with their exact counts, most frequent first."""
        question = _of(_TAGS, family)
        sums: dict[str, Counter[str]] = {}
        for database in await self.existing():
            for key, value, count in await database.read(
                lambda raw: raw.execute(question, (*family,)).fetchall()
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


def _of(question: str, family: Sequence[int]) -> str:
    return question.replace("issue_id = ?", f"issue_id IN ({','.join('?' * len(family))})")


_TAGS = "SELECT key, value, count FROM tag WHERE issue_id = ?"
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
