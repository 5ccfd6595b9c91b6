"""One SQLite file with two lanes: one writer, a few query-only readers.

Exactly one connection writes and checkpoints (the WAL-reset bug of SQLite before 3.51.3 needs
two), and it runs in aiosqlite's thread. Work is a function of the raw connection, so a batch
costs one hop between threads, not one a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar, cast

import aiosqlite

from mamimon.problems import Kind, Problem, unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


class _Writer(aiosqlite.Connection):
    async def run(self, work: Work[T]) -> T:
        return cast(T, await self._execute(work, self._conn))  # type: ignore[no-untyped-call]


class Database:
    """A SQLite file that is open; every method is safe to call from one event loop."""

    def __init__(self, path: Path, opening: Callable[[], Awaitable[_Writer]], readers: int) -> None:
        self.path = path
        self._opening = opening
        self._writer: _Writer | None = None
        self._turn = asyncio.Lock()
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix=f"read-{path.stem}")
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        readers: int = 2,
        page_size: int = 4096,
        busy_timeout_s: float = 5.0,
        reading: bool = False,
    ) -> Database:
        """Open or create the file in WAL mode.

        `synchronous=FULL` makes each commit survive a power cut; NORMAL survives a kill and
        leaves power cuts to a periodic `sync`. With `reading` the file is there already and the
        writing connection is opened only when something is written.
        """

        async def opening() -> _Writer:
            writer = _Writer(
                lambda: sqlite3.connect(
                    path, isolation_level=None, cached_statements=256, timeout=busy_timeout_s
                ),
                iter_chunk_size=256,
            )
            await writer
            await writer.run(lambda raw: _prepare(raw, synchronous, page_size))
            return writer

        path.parent.mkdir(parents=True, exist_ok=True)
        database = cls(path, opening, readers)
        if not reading:
            await database._writing()
        return database

    async def _writing(self) -> _Writer:
        if self._writer is None:
            self._writer = await self._opening()
        return self._writer

    async def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction on the writing connection; an exception rolls it back.

        A full or failing disk raises `Problem(UNAVAILABLE)`; the batch can be retried whole.
        """
        async with self._turn:
            try:
                writer = await self._writing()
                return await writer.run(lambda raw: _transact(raw, work))
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FULL:
                    raise unavailable(f"{self.path.name} cannot be written: {error}") from error
                raise

    async def manage(self, work: Work[T]) -> T:
        """Run `work` on the writing connection outside a transaction (VACUUM, checkpoints, attach)."""
        async with self._turn:
            return await (await self._writing()).run(work)

    async def read(self, work: Work[T], *, timeout_s: float | None = None) -> T:
        """Run `work` on a query-only connection in a reader thread; past `timeout_s` it is stopped."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._reading, work, timeout_s)

    def _reading(self, work: Work[T], timeout_s: float | None) -> T:
        raw: sqlite3.Connection | None = getattr(self._local, "raw", None)
        if raw is None:
            raw = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            raw.execute("PRAGMA query_only=ON")
            self._local.raw = raw
            self._readers.append(raw)
        if timeout_s is None:
            return work(raw)
        deadline = time.monotonic() + timeout_s
        raw.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            return work(raw)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise Problem(Kind.TIMEOUT, f"the query took longer than {timeout_s:g} s") from None
            raise
        finally:
            raw.set_progress_handler(None, 0)

    async def sync(self) -> None:
        """Checkpoint the WAL into the file and fsync it (PRAGMA wal_checkpoint(PASSIVE))."""
        await self.manage(lambda raw: raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    async def close(self) -> None:
        """Close every connection; idempotent and one-way."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for raw in self._readers:
            raw.close()
        async with self._turn:
            if self._writer is not None:
                await self._writer.close()


def _prepare(raw: sqlite3.Connection, synchronous: str, page_size: int) -> None:
    raw.execute(f"PRAGMA page_size={page_size}")
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute(f"PRAGMA synchronous={synchronous}")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA secure_delete=OFF")


def _transact(raw: sqlite3.Connection, work: Work[T]) -> T:
    raw.execute("BEGIN IMMEDIATE")
    try:
        result = work(raw)
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raise
    return result
