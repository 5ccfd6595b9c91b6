"""Source maps and minified files, `errors/artifacts.db`; the only SQL on it.

Contents are kept once by their hash. What is over the room that the settings give goes, the oldest
first. Reading is synchronous on a read-only connection, because frames are resolved in the worker
threads that make events regular.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import zstandard

from mamimon.clock import Clock
from mamimon.errors.bundle import MAX_FILE_BYTES, Artifact
from mamimon.storage import Database, migrate

CHUNK_BYTES = 4 << 20
MAX_BUNDLE_BYTES = 512 << 20
_CHUNKS_KEPT_S = 86_400.0
_MAX_WAITING_BYTES = 1 << 30


class Stored(msgspec.Struct, kw_only=True):
    """An uploaded file in a list; `size` in bytes, `created_at` in epoch seconds."""

    release: str
    dist: str
    url: str
    kind: str
    debug_id: str
    size: int
    created_at: float


class ArtifactStore:
    """The uploads of every project."""

    def __init__(self, path: Path, clock: Clock, room_bytes: int) -> None:
        self._path = path
        self._clock = clock
        self._room = room_bytes
        self._database: Database | None = None
        self._raw: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self.version = 0
        """Goes up with every change, so that what was looked up can be looked up again."""

    async def open(self) -> None:
        """Take up what is there; the file is made by the first upload."""
        if self._path.exists():
            await self._writing()

    async def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if self._raw is not None:
                self._raw.close()
                self._raw = None
        if self._database is not None:
            await self._database.close()
            self._database = None

    async def _writing(self) -> Database:
        if self._database is None:
            database = await Database.open(self._path, readers=1)
            await migrate(database, "artifacts")
            self._database = database
            self.version += 1
        return self._database

    async def add(self, project: int, release: str, dist: str, files: Sequence[Artifact]) -> None:
        """Keep files in one transaction; one of the same place and debug id is replaced."""
        database = await self._writing()
        now = self._clock.now()
        await database.write(lambda raw: _add(raw, project, release, dist, files, now))
        await database.write(lambda raw: _make_room(raw, self._room))
        self.version += 1

    async def add_chunks(self, chunks: Sequence[tuple[str, bytes]]) -> None:
        """Keep parts of bundles by their SHA-1; parts of abandoned uploads go after a day."""
        database = await self._writing()
        now = self._clock.now()

        def work(raw: sqlite3.Connection) -> None:
            raw.execute("DELETE FROM chunk WHERE created_at < ?", (now - _CHUNKS_KEPT_S,))
            raw.executemany(
                "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?)",
                [(sha1, len(body), now, body) for sha1, body in chunks],
            )
            while raw.execute("SELECT sum(size) FROM chunk").fetchone()[0] > _MAX_WAITING_BYTES:
                raw.execute(
                    "DELETE FROM chunk WHERE sha1 = (SELECT sha1 FROM chunk ORDER BY created_at LIMIT 1)"
                )

        await database.write(work)

    async def missing(self, chunks: Sequence[str]) -> list[str]:
        """Which of the parts are not here yet."""
        database = await self._writing()
        marks = ",".join("?" * len(chunks))
        sql = f"SELECT sha1 FROM chunk WHERE sha1 IN ({marks})"  # noqa: S608 - marks only
        found = {row[0] for row in await database.read(lambda raw: raw.execute(sql, chunks).fetchall())}
        return [one for one in chunks if one not in found]

    async def chunk(self, sha1: str) -> bytes | None:
        """One part."""
        database = await self._writing()
        row = await database.read(
            lambda raw: raw.execute("SELECT body FROM chunk WHERE sha1 = ?", (sha1,)).fetchone()
        )
        return row[0] if row else None

    async def finish(self, sha1: str, places: Iterable[tuple[int, str, str]], chunks: Sequence[str]) -> None:
        """Note that a bundle was taken in for (project, release, dist) and drop its parts."""
        database = await self._writing()
        now = self._clock.now()

        def work(raw: sqlite3.Connection) -> None:
            raw.executemany(
                "INSERT OR REPLACE INTO bundle VALUES (?, ?, ?, ?, ?)", [(sha1, *one, now) for one in places]
            )
            raw.executemany("DELETE FROM chunk WHERE sha1 = ?", [(one,) for one in chunks])

        await database.write(work)

    async def has_bundle(self, sha1: str, places: Sequence[tuple[int, str, str]]) -> bool:
        """Whether the bundle was taken in for each (project, release, dist)."""
        database = await self._writing()
        rows = await database.read(
            lambda raw: raw.execute(
                "SELECT project_id, release, dist FROM bundle WHERE sha1 = ?", (sha1,)
            ).fetchall()
        )
        return set(places) <= {tuple(row) for row in rows}

    async def listed(self, project: int = 0, release: str = "", limit: int = 1000) -> list[Stored]:
        """Uploaded files, the newest first."""
        if self._database is None:
            return []
        rows = await self._database.read(
            lambda raw: raw.execute(_LISTED, (project, project, release, release, limit)).fetchall()
        )
        return [
            Stored(
                release=row[0], dist=row[1], url=row[2], kind=row[3], debug_id=row[4], size=row[5],
                created_at=row[6],
            )
            for row in rows
        ]  # fmt: skip

    def map_of_debug_id(self, project: int, debug_id: str) -> bytes | None:
        """The hash of the map with a debug id; called in worker threads."""
        row = self._ask(_BY_DEBUG_ID, (debug_id, project))
        return row[0] if row else None

    def map_of_place(self, project: int, release: str, dist: str, urls: Sequence[str]) -> bytes | None:
        """The hash of the map of a file of a release; the first of `urls` that is known counts."""
        if not release:
            return None
        for url in urls:
            for build in dict.fromkeys((dist, "")):
                row = self._ask(_BY_PLACE, (project, release, build, url))
                if row is None:
                    continue
                wanted = row[0] or f"{url}.map"
                found = self._ask(_MAP, (project, release, build, wanted))
                if found is not None:
                    return bytes(found[0])
            found = self._ask(_MAP, (project, release, dist, f"{url}.map"))
            if found is not None:
                return bytes(found[0])
        # A build that was uploaded without the prefix under which it is served; only where it is unique.
        name = urls[-1].rsplit("/", 1)[-1]
        row = self._ask(_BY_NAME, (project, release, f"{name}.map"))
        return bytes(row[0]) if row and row[1] == 1 else None

    def load(self, key: bytes) -> bytes | None:
        """A file's content; called in worker threads."""
        row = self._ask("SELECT body FROM blob WHERE hash = ?", (key,))
        return zstandard.decompress(row[0], max_output_size=MAX_FILE_BYTES) if row else None

    def _ask(self, sql: str, values: tuple[object, ...]) -> tuple[bytes, int] | None:
        if self._database is None:
            return None
        with self._lock:
            if self._raw is None:
                self._raw = sqlite3.connect(
                    f"{self._path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            found: tuple[bytes, int] | None = self._raw.execute(sql, values).fetchone()
            return found


def _add(
    raw: sqlite3.Connection, project: int, release: str, dist: str, files: Sequence[Artifact], now: float
) -> None:
    for one in files:
        key = hashlib.sha256(one.body).digest()
        if raw.execute("SELECT 1 FROM blob WHERE hash = ?", (key,)).fetchone() is None:
            packed = zstandard.compress(one.body, 3)
            raw.execute("INSERT INTO blob VALUES (?, ?, ?, ?)", (key, len(one.body), len(packed), packed))
        raw.execute(
            "INSERT OR REPLACE INTO artifact (project_id, release, dist, url, name, kind, debug_id, map_url,"
            " hash, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                project, release, dist, one.url, one.url.rsplit("/", 1)[-1], one.kind, one.debug_id,
                one.map_url, key, now,
            ),
        )  # fmt: skip


def _make_room(raw: sqlite3.Connection, room: int) -> None:
    """Drop contents that nobody names, then the oldest artifacts while there is too much."""
    raw.execute("DELETE FROM blob WHERE hash NOT IN (SELECT hash FROM artifact)")
    while (raw.execute("SELECT sum(packed) FROM blob").fetchone()[0] or 0) > room:
        raw.execute(
            "DELETE FROM artifact WHERE id IN (SELECT id FROM artifact ORDER BY created_at, id LIMIT 20)"
        )
        raw.execute("DELETE FROM blob WHERE hash NOT IN (SELECT hash FROM artifact)")
        # A bundle that lost a file has to be sent again.
        raw.execute("DELETE FROM bundle")


_LISTED = (
    "SELECT release, dist, url, kind, debug_id, size, artifact.created_at"
    " FROM artifact JOIN blob USING (hash)"
    " WHERE (? = 0 OR project_id = ?) AND (? = '' OR release = ?) ORDER BY artifact.id DESC LIMIT ?"
)
_BY_DEBUG_ID = (
    "SELECT hash, 0 FROM artifact WHERE debug_id = ? AND debug_id <> '' AND kind = 'source_map'"
    " AND project_id = ? ORDER BY id DESC LIMIT 1"
)
_BY_PLACE = (
    "SELECT map_url, 0 FROM artifact WHERE project_id = ? AND release = ? AND dist = ? AND url = ?"
    " AND kind <> 'source_map' ORDER BY id DESC LIMIT 1"
)
_MAP = (
    "SELECT hash, 0 FROM artifact WHERE project_id = ? AND release = ? AND dist = ? AND url = ?"
    " AND kind = 'source_map' ORDER BY id DESC LIMIT 1"
)
_BY_NAME = (
    "SELECT max(hash), count(DISTINCT hash) FROM artifact WHERE project_id = ? AND release = ? AND name = ?"
    " AND kind = 'source_map'"
)
