"""The SQLite file of one UTC day: series, the write-ahead rows of open chunks, sealed chunks.

All SQL of the metric store is here. A day is deleted by unlinking its file, so every file is
complete in itself: ids are the day's own.

Native histograms of a sealed chunk lie in `histogram`, a row a series that has any.

`part.id` = chunk × 65536 + the part's place, so a part is found by its rowid without an index.
A part is a column group: see `grouping`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import zstandard

from mamimon.metrics.store import codec, grouping
from mamimon.metrics.store.chunk import Chunk, Sealed
from mamimon.metrics.store.dayschema import create, version_of
from mamimon.metrics.store.head import Head, Row
from mamimon.metrics.store.histograms import Column, pack_all
from mamimon.metrics.store.replay import LoggedRow, replay
from mamimon.metrics.store.starts import Starts, decode, pack_changes
from mamimon.problems import unavailable
from mamimon.storage import Database

if TYPE_CHECKING:
    from mamimon.metrics.store.deletion import Rewritten

ExemplarRow = tuple[int, int, float, str]
"""Series id, milliseconds, value, labels as JSON."""


class DayFile:
    """One day's file, open; without a database it only answers."""

    def __init__(self, path: Path, database: Database | None) -> None:
        self.path = path
        self._writer = database
        self._saved = 0
        self._saved_sources = 0
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._dirty = False
        self.generation = 0
        """Grows when sealed chunks change, so that nobody is served what was decoded before."""

    @classmethod
    async def open(cls, path: Path, busy_timeout_s: float) -> DayFile:
        """Open or create the file; a file of a newer version raises `UNAVAILABLE`."""
        database = await Database.open(path, readers=1, busy_timeout_s=busy_timeout_s)
        try:
            await database.write(lambda raw: create(raw, path))
        except BaseException:
            await database.close()
            raise
        return cls(path, database)

    @property
    def _database(self) -> Database:
        if self._writer is None:
            raise unavailable(f"{self.path.name} is open for reading only")
        return self._writer

    @property
    def writable(self) -> bool:
        """Whether it takes samples."""
        return self._writer is not None

    @property
    def dirty(self) -> bool:
        """Whether there is something to fsync."""
        return self._dirty

    async def append(
        self,
        heads: Sequence[tuple[Head, Row]],
        sources: dict[str, int],
        keys_from: Callable[[int], list[bytes]],
    ) -> None:
        """Write rows durably, with the sources and series they need that are not saved yet."""
        new_sources = list(sources.items())[self._saved_sources :]
        new_keys = keys_from(self._saved)

        def work(raw: sqlite3.Connection) -> None:
            raw.executemany("INSERT INTO source (name, id) VALUES (?, ?)", new_sources)
            new = ((number, key.decode()) for number, key in enumerate(new_keys, self._saved))
            raw.executemany("INSERT INTO series (id, labels) VALUES (?, ?)", new)
            before: dict[int, npt.NDArray[np.uint64]] = {}
            for head, row in heads:
                bits = row.values.view(np.uint64)
                blob = codec.encode_row(bits, before.get(id(head), head.last_logged))
                before[id(head)] = bits
                added = np.asarray(row.added, dtype=np.int32).tobytes()
                packed = b""
                began = pack_changes(row.starts) if row.starts else b""
                if row.histograms:
                    packed = zstandard.compress(pack_all(list(row.histograms.values())), 1)
                raw.execute(
                    "INSERT INTO wal (head, source, window_ms, at_ms, added, row, histograms, starts)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (head.number, head.source, head.window, row.at, added, blob, packed, began),
                )

        await self._database.write(work)
        self._saved += len(new_keys)
        self._saved_sources += len(new_sources)
        self._dirty = True
        for head, row in heads:
            head.last_logged = row.values.view(np.uint64)

    async def seal(self, sealed: Sealed) -> int:
        """Write a chunk in place of its write-ahead rows; returns its id."""

        def work(raw: sqlite3.Connection) -> int:
            cursor = raw.execute(
                "INSERT INTO chunk (source, start_ms, end_ms, scrapes, series, times, ids, cuts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    sealed.source,
                    int(sealed.times[0]),
                    int(sealed.times[-1]),
                    len(sealed.times),
                    len(sealed.ids),
                    codec.encode_times(sealed.times),
                    codec.encode_times(sealed.ids.astype(np.int64)),
                    grouping.pack(sealed.cuts),
                ),
            )
            number = int(cursor.lastrowid or 0)
            raw.executemany(
                "INSERT INTO part (id, data) VALUES (?, ?)",
                [(number * 65536 + place, part) for place, part in enumerate(sealed.parts)],
            )
            raw.executemany(
                "INSERT INTO histogram (chunk, place, data) VALUES (?, ?, ?)",
                [(number, place, data) for place, data in sealed.histograms.items()],
            )
            if sealed.starts:
                raw.execute("INSERT INTO start (chunk, data) VALUES (?, ?)", (number, sealed.starts))
            raw.execute("DELETE FROM wal WHERE head = ?", (sealed.head,))
            return number

        number = await self._database.write(work)
        self._dirty = True
        return number

    async def erase(self, changes: Sequence[Rewritten], series: Sequence[int], start: int, end: int) -> None:
        """Put rewritten chunks in place; exemplars of `series` with `start <= t <= end` (ms) go as well."""

        def work(raw: sqlite3.Connection) -> None:
            for one in changes:
                ids = codec.encode_times(one.ids.astype(np.int64))
                raw.execute("UPDATE chunk SET ids = ? WHERE id = ?", (ids, one.chunk))
                parts = [(data, one.chunk * 65536 + part) for part, data in one.parts.items()]
                raw.executemany("UPDATE part SET data = ? WHERE id = ?", parts)
                columns = [(data, one.chunk, place) for place, data in one.histograms.items()]
                raw.executemany("UPDATE histogram SET data = ? WHERE chunk = ? AND place = ?", columns)
            raw.executemany(
                "DELETE FROM exemplar WHERE series = ? AND at_ms BETWEEN ? AND ?",
                [(number, start, end) for number in series],
            )

        await self._database.write(work)
        self.generation += 1
        self._dirty = True

    async def add_exemplars(self, rows: Sequence[ExemplarRow]) -> None:
        """Keep exemplars; a second one of a series for an instant is ignored."""
        await self._database.write(
            lambda raw: raw.executemany(
                "INSERT OR IGNORE INTO exemplar (series, at_ms, value, labels) VALUES (?, ?, ?, ?)", rows
            )
        )
        self._dirty = True

    def exemplars(self, series: Sequence[int], start: int, end: int, limit: int) -> list[ExemplarRow]:
        """Exemplars of some series, `start <= t <= end` (ms), by series and time. Blocking."""
        found: list[ExemplarRow] = []
        with self.reader() as raw:
            for number in series:
                found += raw.execute(
                    "SELECT series, at_ms, value, labels FROM exemplar"
                    " WHERE series = ? AND at_ms BETWEEN ? AND ? ORDER BY at_ms DESC LIMIT ?",
                    (number, start, end, limit - len(found)),
                )
                if len(found) >= limit:
                    break
        return found

    async def compact(self, *, erased: bool = False) -> None:
        """Give the space of deleted write-ahead rows back; for a day that is over.

        A file without free pages keeps its time, by which the long history knows it again, unless samples
        were `erased`, of which something may be left inside pages. For the long history's sake the WAL is
        emptied now as well, not by the next stop.
        """

        def work(raw: sqlite3.Connection) -> None:
            if erased or raw.execute("PRAGMA freelist_count").fetchone()[0]:
                raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await self._database.manage(work)

    def load_series(self) -> list[bytes]:
        """The canonical label texts in the order of their ids. Blocking."""
        with self.reader() as raw:
            rows = raw.execute("SELECT CAST(labels AS BLOB) FROM series ORDER BY id").fetchall()
        self._saved = len(rows)
        return [row[0] for row in rows]

    def count(self) -> int:
        """How many series the day has. Blocking."""
        with self.reader() as raw:
            return int(raw.execute("SELECT COALESCE(MAX(id) + 1, 0) FROM series").fetchone()[0])

    def load_sources(self) -> dict[str, int]:
        """Source name → id. Blocking."""
        with self.reader() as raw:
            sources = dict(raw.execute("SELECT name, id FROM source ORDER BY id"))
        self._saved_sources = len(sources)
        return sources

    def load_chunks(self) -> list[Chunk]:
        """Every sealed chunk's description. Blocking."""
        with self.reader() as raw:
            native: dict[int, list[int]] = {}
            started = (
                {row[0] for row in raw.execute("SELECT chunk FROM start")} if version_of(raw) > 2 else ()
            )
            if version_of(raw) > 1:
                for chunk, place in raw.execute("SELECT chunk, place FROM histogram ORDER BY chunk, place"):
                    native.setdefault(chunk, []).append(place)
            cuts = "cuts" if version_of(raw) > 3 else "x''"
            rows = raw.execute(
                f"SELECT id, source, start_ms, end_ms, series, times, ids, {cuts} FROM chunk ORDER BY id"  # noqa: S608
            )
            return [
                Chunk(
                    number,
                    source,
                    start,
                    end,
                    codec.decode_times(times),
                    codec.decode_times(ids).astype(np.int32),
                    grouping.unpack(cuts, series),
                    np.asarray(native.get(number, ()), dtype=np.int64),
                    number in started,
                )
                for number, source, start, end, series, times, ids, cuts in rows
            ]

    def load_heads(self) -> list[Head]:
        """Replay the write-ahead rows, each open chunk in a thread of its own. Blocking."""
        logged: dict[int, list[LoggedRow]] = {}
        of: dict[int, tuple[int, int]] = {}
        with self.reader() as raw:
            extra = {1: "x'', x''", 2: "histograms, x''"}.get(version_of(raw), "histograms, starts")
            for number, source, window, at, *row in raw.execute(
                f"SELECT head, source, window_ms, at_ms, added, row, {extra} FROM wal ORDER BY id"  # noqa: S608
            ):
                of[number] = source, window
                logged.setdefault(number, []).append((at, *row))
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            return list(
                pool.map(lambda number: replay(Head(number, *of[number]), logged.pop(number)), list(of))
            )

    def part(self, chunk: int, place: int) -> npt.NDArray[np.float64]:
        """One column group, decoded. Blocking."""
        return self.samples(chunk, place, np.empty).astype(np.float64, copy=False)

    def samples(self, chunk: int, place: int, room: codec.Room) -> codec.Samples:
        """As `part`, whole numbers as such, in memory that `room` gives. Blocking."""
        return next(self.several(chunk, place, place, room))[1]

    def several(
        self, chunk: int, first: int, last: int, room: codec.Room
    ) -> Iterator[tuple[int, codec.Samples]]:
        """Column groups from `first` to `last` by their places; see `samples`. Blocking."""
        start = chunk * 65536
        with self.reader() as raw:
            found = raw.execute(
                "SELECT id, data FROM part WHERE id BETWEEN ? AND ? ORDER BY id",
                (start + first, start + last),
            ).fetchall()
        if len(found) <= last - first:
            raise unavailable(
                f"{self.path.name} is damaged: of parts {first} to {last} of chunk {chunk} some are missing"
            )
        for number, data in found:
            yield number - start, codec.samples(data, room)

    def histogram_column(self, chunk: int, number: int) -> Column:
        """The native histograms of a series of a chunk, by `-1 - place`. Blocking."""
        with self.reader() as raw:
            found = raw.execute(
                "SELECT data FROM histogram WHERE chunk = ? AND place = ?", (chunk, -1 - number)
            ).fetchone()
        if found is None:
            raise unavailable(f"{self.path.name} is damaged: histograms of chunk {chunk} are missing")
        return Column(found[0])

    def starts(self, chunk: int) -> Starts:
        """When the counters of a chunk began, by place. Blocking."""
        with self.reader() as raw:
            found = raw.execute("SELECT data FROM start WHERE chunk = ?", (chunk,)).fetchone()
        return decode(found[0]) if found else Starts()

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A query-only connection for the calling thread; raises `UNAVAILABLE` once closed."""
        with self._lock:
            if self._closed:
                raise unavailable(f"{self.path.name} was deleted while it was read")
            raw = self._idle.pop() if self._idle else None
        if raw is None:
            raw = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            raw.execute("PRAGMA query_only=ON")
        try:
            yield raw
        finally:
            with self._lock:
                if self._closed or len(self._idle) >= 4:
                    raw.close()
                else:
                    self._idle.append(raw)

    def fsync(self) -> None:
        """Bring what was committed since the last call to the disk. Blocking."""
        if not self._dirty:
            return
        self._dirty = False
        # SQLite keeps its locks on the database file, never on the WAL, so a second descriptor of
        # the WAL may be closed without losing them.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(f"{self.path}-wal", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    async def snapshot(self, target: Path) -> None:
        """A consistent, compact copy of the day."""
        await self._database.manage(lambda raw: raw.execute("VACUUM INTO ?", (str(target),)))

    async def close(self) -> None:
        """Close every connection; idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for raw in idle:
            raw.close()
        if self._writer is not None:
            await self._writer.close()
