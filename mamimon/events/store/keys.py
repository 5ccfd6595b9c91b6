"""The keys of the pseudonyms: one is in use, older ones can still find a person, dropped ones cannot.

A key is used for `events.pseudonym_days`, so a person keeps one pseudonym for that long. Dropping
a key anonymises what was stored under it for good.
"""

from __future__ import annotations

import secrets
import sqlite3

import msgspec

from mamimon.events.anonymise import Pseudonym, pseudonym_of
from mamimon.storage import Core

_DAY_S = 86_400.0


class KeyInfo(msgspec.Struct):
    """A key without its secret; times in epoch seconds."""

    id: int
    created_at: float
    dropped_at: float | None


class PseudonymKeys:
    """The keys in `mamimon.db`, the one in use held in memory."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._expires = 0.0
        self._current: Pseudonym | None = None

    async def current(self) -> Pseudonym:
        """The function of the key in use; makes the next key when the last one's time is over."""
        now = self._core.clock.now()
        if self._current is None or now >= self._expires:
            life = self._core.settings.events.pseudonym_days * _DAY_S
            secret, created = await self._core.state.write(lambda raw: _in_use(raw, now, life))
            self._current, self._expires = pseudonym_of(secret), created + life
        return self._current

    async def listed(self) -> list[KeyInfo]:
        """All keys, newest first."""
        rows = await self._core.state.read(
            lambda raw: raw.execute(
                "SELECT id, created_at, dropped_at FROM pseudonym_key ORDER BY id DESC"
            ).fetchall()
        )
        return [KeyInfo(*row) for row in rows]

    async def drop(self, before: float) -> int:
        """Drop every key made before `before` (epoch seconds); returns how many. Cannot be undone."""
        now = self._core.clock.now()

        def work(raw: sqlite3.Connection) -> int:
            return raw.execute(
                "UPDATE pseudonym_key SET secret=NULL, dropped_at=?"
                " WHERE secret IS NOT NULL AND created_at<?",
                (now, before),
            ).rowcount

        dropped = await self._core.state.write(work)
        self._current = None
        return dropped


def _in_use(raw: sqlite3.Connection, now: float, life_s: float) -> tuple[bytes, float]:
    row = raw.execute(
        "SELECT secret, created_at FROM pseudonym_key WHERE secret IS NOT NULL AND created_at>?"
        " ORDER BY id DESC LIMIT 1",
        (now - life_s,),
    ).fetchone()
    if row is None:
        row = (secrets.token_bytes(32), now)
        raw.execute("INSERT INTO pseudonym_key (secret, created_at) VALUES (?, ?)", row)
    return row[0], row[1]
