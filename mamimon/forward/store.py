"""Cursors and dead letters of forwarding, in `mamimon.db`."""

from __future__ import annotations

import sqlite3

from mamimon.forward.model import DeadLetter, Document
from mamimon.storage import Database

DEAD_KEPT = 10_000


class ForwardStore:
    """Reads and writes of the forward room."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def cursor(self, target: str) -> tuple[str, int] | None:
        """The cursor of `target` and how many documents it took so far; None where it is new."""

        def work(raw: sqlite3.Connection) -> tuple[str, int] | None:
            row = raw.execute(
                "SELECT cursor, sent FROM forward_cursor WHERE target = ?", (target,)
            ).fetchone()
            return (str(row[0]), int(row[1])) if row else None

        return await self._state.read(work)

    async def advance(
        self, target: str, cursor: str, sent: int, at: float, dead: list[tuple[Document, str]]
    ) -> None:
        """Move the cursor and keep what was refused, in one transaction."""

        def work(raw: sqlite3.Connection) -> None:
            raw.execute(
                "INSERT INTO forward_cursor (target, cursor, sent, at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (target) DO UPDATE SET cursor = excluded.cursor, sent = sent + excluded.sent,"
                " at = excluded.at",
                (target, cursor, sent, at),
            )
            if dead:
                raw.executemany(
                    "INSERT INTO forward_dead (at, target, index_name, doc_id, reason, document)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [(at, target, doc.index, doc.id, reason[:1000], doc.raw) for doc, reason in dead],
                )
                raw.execute(
                    "DELETE FROM forward_dead WHERE id <= (SELECT max(id) FROM forward_dead) - ?",
                    (DEAD_KEPT,),
                )

        await self._state.write(work)

    async def dead_count(self, target: str) -> int:
        """How many refused documents of `target` are kept."""

        def work(raw: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM forward_dead WHERE target = ?"
            return int(raw.execute(query, (target,)).fetchone()[0])

        return await self._state.read(work)

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """The newest refused documents."""

        def work(raw: sqlite3.Connection) -> list[DeadLetter]:
            rows = raw.execute(
                "SELECT at, index_name, doc_id, reason, document FROM forward_dead ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [
                DeadLetter(at, index, doc_id, reason, document.decode("utf-8", "replace"))
                for at, index, doc_id, reason, document in rows
            ]

        return await self._state.read(work)
