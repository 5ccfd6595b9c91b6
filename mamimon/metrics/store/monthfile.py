"""The SQLite file of one UTC month at one resolution: downsampled series, a chunk a day and 64–256 series.

All its SQL is here. It is opened for writing only while a day is put in; questions read by query-only
connections. A file is complete in itself: ids are the month's own.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import ABSENT_NAN, Matcher
from mamimon.metrics.store import codec
from mamimon.metrics.store.downsample import COLUMNS, DAY_MS, grid, needs, pack, unpack
from mamimon.metrics.store.histograms import Column, encode_column
from mamimon.metrics.store.index import SeriesIndex
from mamimon.problems import unavailable
from mamimon.storage import Database
from mamimon.storage.days import day_start

_VERSION = 1
_SCHEMA = (
    "CREATE TABLE day (day TEXT PRIMARY KEY, made_of TEXT NOT NULL, series INTEGER NOT NULL)",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL)",
    "CREATE TABLE layout (id INTEGER PRIMARY KEY, ids BLOB NOT NULL)",
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY, day TEXT NOT NULL, layout INTEGER NOT NULL)",
    "CREATE TABLE part (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE histogram (chunk INTEGER NOT NULL, place INTEGER NOT NULL, buckets BLOB NOT NULL,"
    " data BLOB NOT NULL, PRIMARY KEY (chunk, place))",
    f"PRAGMA user_version = {_VERSION}",
)
_SPREAD = 16
"""`part.id` = chunk × 16 + the column's place in `COLUMNS`."""


class Group(msgspec.Struct, eq=False):
    """Some series of a day, ready to be written."""

    keys: list[bytes]
    parts: list[bytes]
    """Compressed columns in the order of `COLUMNS`."""
    histograms: dict[int, dict[int, Histogram]]
    """Place in `keys` → bucket → native histogram."""


class MonthChunk(msgspec.Struct, frozen=True, eq=False):
    """A chunk's description."""

    id: int
    day: str
    ids: npt.NDArray[np.int32]


class MonthFile:
    """See the module; `load` before a question."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        """Grows when a day is put in anew, so that nobody is served what was decoded before."""
        self.days: dict[str, str] = {}
        """Each day that is there, and what the raw file that it was made of looked like."""
        self.index = SeriesIndex()
        self.chunks: dict[str, list[MonthChunk]] = {}
        self._loaded = False
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @property
    def loaded(self) -> int:
        """Series held in memory."""
        return len(self.index) if self._loaded else 0

    def look(self) -> None:
        """Learn which days are there. Blocking."""
        if self.path.exists():
            with self.reader() as raw:
                self.days = dict(raw.execute("SELECT day, made_of FROM day"))

    def load(self) -> None:
        """Read series and chunk descriptions; does nothing the second time. Blocking."""
        with self._lock:
            if self._loaded or not self.path.exists():
                return
        index, chunks = SeriesIndex(), dict[str, list[MonthChunk]]()
        with self.reader() as raw:
            rows = raw.execute("SELECT CAST(labels AS BLOB) FROM series ORDER BY id").fetchall()
            index.load([row[0] for row in rows])
            layouts = {
                number: codec.decode_times(blob).astype(np.int32)
                for number, blob in raw.execute("SELECT id, ids FROM layout")
            }
            for number, day, layout in raw.execute("SELECT id, day, layout FROM chunk ORDER BY id"):
                chunks.setdefault(day, []).append(MonthChunk(number, day, layouts[layout]))
        with self._lock:
            self.index, self.chunks, self._loaded = index, chunks, True

    def unload(self) -> None:
        """Forget what `load` read."""
        with self._lock:
            self.index, self.chunks, self._loaded = SeriesIndex(), {}, False

    async def put(self, day: str, groups: Sequence[Group], made_of: str, busy_timeout_s: float) -> None:
        """Write a day, in place of what was there of it."""
        database = await Database.open(self.path, readers=1, busy_timeout_s=busy_timeout_s)
        try:
            await database.write(lambda raw: _put(raw, self.path, day, groups, made_of))
            await database.sync()
        finally:
            await database.close()
        self.days[day] = made_of
        self.generation += 1
        self.unload()

    async def erase(self, day: str, busy_timeout_s: float) -> None:
        """Take a day out for good."""
        database = await Database.open(self.path, readers=1, busy_timeout_s=busy_timeout_s)
        try:
            await database.write(lambda raw: _erase(raw, day))
            await database.manage(lambda raw: raw.execute("VACUUM"))
            await database.sync()
        finally:
            await database.close()
        self.days.pop(day, None)
        self.generation += 1
        self.unload()

    async def delete(
        self, day: str, selectors: Sequence[Sequence[Matcher]], start: int, end: int, busy_timeout_s: float
    ) -> None:
        """Empty the buckets of matching series that touch `start <= t <= end` (ms)."""
        ids = np.unique(np.concatenate([self.index.match(one) for one in selectors]))
        changed = [
            found for chunk in self.chunks.get(day, ()) if (found := self._without(chunk, ids, start, end))
        ]
        if not changed:
            return
        database = await Database.open(self.path, readers=1, busy_timeout_s=busy_timeout_s)
        try:
            await database.write(lambda raw: _rewrite(raw, changed))
            await database.manage(lambda raw: raw.execute("VACUUM"))
            await database.sync()
        finally:
            await database.close()
        self.generation += 1

    def _without(
        self, chunk: MonthChunk, ids: npt.NDArray[np.int32], start: int, end: int
    ) -> tuple[int, list[bytes], list[int]] | None:
        places = np.flatnonzero(np.isin(chunk.ids, ids))
        columns = {name: self.column(chunk, name).copy() for name in COLUMNS}
        ends = grid(round(day_start(chunk.day) * 1000), DAY_MS // columns["last"].shape[1])
        touched = (ends >= start) & (ends - (ends[1] - ends[0]) < end)
        if not len(places) or not touched.any():
            return None
        for name, column in columns.items():
            column[np.ix_(places, np.flatnonzero(touched))] = 0.0 if name == "ended" else ABSENT_NAN
        # A native histogram goes whole with its day: what is left of it would not be of use.
        return chunk.id, pack(columns), places.tolist()

    def column(self, chunk: MonthChunk, name: str) -> npt.NDArray[np.float64]:
        """One column of a chunk, [series, buckets]. Blocking."""
        number = COLUMNS.index(name)
        with self.reader() as raw:
            found = raw.execute(
                "SELECT data FROM part WHERE id = ?", (chunk.id * _SPREAD + number,)
            ).fetchone()
        if found is None:
            raise unavailable(f"{self.path.name} is damaged: {name} of chunk {chunk.id} is missing")
        reference = self.column(chunk, needs(name)) if needs(name) else None
        return unpack(name, found[0], len(chunk.ids), reference)

    def histograms(self, chunk: MonthChunk, place: int) -> dict[int, Histogram]:
        """Bucket → native histogram of one series of a chunk. Blocking."""
        with self.reader() as raw:
            found = raw.execute(
                "SELECT buckets, data FROM histogram WHERE chunk = ? AND place = ?", (chunk.id, place)
            ).fetchone()
        if found is None:
            return {}
        buckets = np.frombuffer(found[0], np.int16).tolist()
        return dict(zip(buckets, Column(found[1]).read(0, len(buckets)), strict=True))

    def with_histograms(self, chunk: MonthChunk) -> set[int]:
        """Which places of a chunk have native histograms. Blocking."""
        with self.reader() as raw:
            return {
                place for (place,) in raw.execute("SELECT place FROM histogram WHERE chunk = ?", (chunk.id,))
            }

    def snapshot(self, target: Path) -> None:
        """A consistent, compact copy. Blocking."""
        with self.reader() as raw:
            raw.execute("PRAGMA query_only=OFF")
            try:
                raw.execute("VACUUM INTO ?", (str(target),))
            finally:
                raw.execute("PRAGMA query_only=ON")

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
                if self._closed or len(self._idle) >= 2:
                    raw.close()
                else:
                    self._idle.append(raw)

    def close(self) -> None:
        """Close every connection; idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for raw in idle:
            raw.close()


def _put(raw: sqlite3.Connection, path: Path, day: str, groups: Sequence[Group], made_of: str) -> None:
    version = int(raw.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise unavailable(f"{path.name} was written by a newer mamimon")
    if not version:
        for statement in _SCHEMA:
            raw.execute(statement)
    _erase(raw, day)
    known = {key: number for number, key in raw.execute("SELECT id, CAST(labels AS BLOB) FROM series")}
    layouts = {blob: number for number, blob in raw.execute("SELECT id, ids FROM layout")}
    for group in groups:
        new = [key for key in group.keys if key not in known]
        raw.executemany(
            "INSERT INTO series (id, labels) VALUES (?, ?)",
            [(len(known) + i, key.decode()) for i, key in enumerate(new)],
        )
        known.update({key: len(known) + i for i, key in enumerate(new)})
        ids = codec.encode_times(np.asarray([known[key] for key in group.keys], dtype=np.int64))
        if ids not in layouts:
            layouts[ids] = len(layouts) + 1
            raw.execute("INSERT INTO layout (id, ids) VALUES (?, ?)", (layouts[ids], ids))
        cursor = raw.execute("INSERT INTO chunk (day, layout) VALUES (?, ?)", (day, layouts[ids]))
        chunk = int(cursor.lastrowid or 0)
        raw.executemany(
            "INSERT INTO part (id, data) VALUES (?, ?)",
            [(chunk * _SPREAD + number, data) for number, data in enumerate(group.parts)],
        )
        raw.executemany(
            "INSERT INTO histogram (chunk, place, buckets, data) VALUES (?, ?, ?, ?)",
            [
                (
                    chunk,
                    place,
                    np.asarray(sorted(found), dtype=np.int16).tobytes(),
                    encode_column([found[bucket] for bucket in sorted(found)]),
                )
                for place, found in group.histograms.items()
            ],
        )
    count = sum(len(group.keys) for group in groups)
    raw.execute("INSERT INTO day (day, made_of, series) VALUES (?, ?, ?)", (day, made_of, count))


def _rewrite(raw: sqlite3.Connection, changed: Sequence[tuple[int, list[bytes], list[int]]]) -> None:
    for chunk, parts, places in changed:
        raw.executemany(
            "UPDATE part SET data = ? WHERE id = ?",
            [(data, chunk * _SPREAD + number) for number, data in enumerate(parts)],
        )
        raw.executemany(
            "DELETE FROM histogram WHERE chunk = ? AND place = ?", [(chunk, place) for place in places]
        )


def _erase(raw: sqlite3.Connection, day: str) -> None:
    for (chunk,) in raw.execute("SELECT id FROM chunk WHERE day = ?", (day,)).fetchall():
        raw.execute("DELETE FROM part WHERE id BETWEEN ? AND ?", (chunk * _SPREAD, (chunk + 1) * _SPREAD - 1))
        raw.execute("DELETE FROM histogram WHERE chunk = ?", (chunk,))
    raw.execute("DELETE FROM chunk WHERE day = ?", (day,))
    raw.execute("DELETE FROM day WHERE day = ?", (day,))
