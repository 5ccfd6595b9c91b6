"""Notices of the status page in `mamimon.db`, and the mail about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Literal, cast

import msgspec

from mamimon.accounts.audit_store import note
from mamimon.health.subscribers_store import add_mail_to_all
from mamimon.storage import Database

NoticeState = Literal["investigating", "identified", "watching", "resolved"]
Compose = Callable[[str], tuple[str, str]]
"""Subject and body of a mail in a locale."""


class Update(msgspec.Struct, frozen=True):
    """What was written at one time; `by` is for those who sign in, the page does not show it."""

    at: float
    state: NoticeState
    text: str
    by: str = ""


class Notice(msgspec.Struct, kw_only=True):
    """What people tell of an incident; times are epoch seconds, `updates` the newest first."""

    id: int = 0
    title: str
    parts: list[str] = []
    """Names of the checks it is about."""
    began_at: float
    ended_at: float | None = None
    updates: list[Update] = []

    @property
    def state(self) -> NoticeState:
        """As the newest update has it."""
        return self.updates[0].state


_SINCE = (
    "SELECT id, title, parts_json, began_at, ended_at FROM status_notice"
    " WHERE ended_at IS NULL OR ended_at >= ? ORDER BY began_at DESC, id DESC"
)
_ONE = "SELECT id, title, parts_json, began_at, ended_at FROM status_notice WHERE id = ?"


class NoticeStore:
    """Reads and writes of notices; each write is audited, and its mail made in the same transaction."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def since(self, start: float) -> list[Notice]:
        """Those that are open or ended after `start`, the newest first."""
        return await self._state.read(lambda raw: _read(raw, _SINCE, start))

    async def get(self, number: int) -> Notice | None:
        """One by its number."""
        found = await self._state.read(lambda raw: _read(raw, _ONE, number))
        return found[0] if found else None

    async def add(self, notice: Notice, compose: Compose | None, forget: float) -> Notice:
        """Keep a new one with its first update; those that ended before `forget` are dropped."""
        (update,) = notice.updates

        def work(raw: sqlite3.Connection) -> Notice:
            raw.execute("DELETE FROM status_notice WHERE ended_at < ?", (forget,))
            cursor = raw.execute(
                "INSERT INTO status_notice (title, parts_json, began_at, ended_at) VALUES (?, ?, ?, ?)",
                (notice.title, msgspec.json.encode(notice.parts).decode(), notice.began_at, notice.ended_at),
            )
            made = msgspec.structs.replace(notice, id=int(cursor.lastrowid or 0))
            _add_update(raw, made, update, compose)
            note(raw, update.at, update.by, "notice.add", notice.title)
            return made

        return await self._state.write(work)

    async def update(self, notice: Notice, update: Update, compose: Compose | None) -> None:
        """Add what is new; one that is told resolved has ended, any other is open again."""
        ended = update.at if update.state == "resolved" else None

        def work(raw: sqlite3.Connection) -> None:
            raw.execute("UPDATE status_notice SET ended_at = ? WHERE id = ?", (ended, notice.id))
            _add_update(raw, notice, update, compose)
            note(raw, update.at, update.by, "notice.update", notice.title)

        await self._state.write(work)

    async def remove(self, notice: Notice, by: str, now: float) -> None:
        """Take one off the page."""

        def work(raw: sqlite3.Connection) -> None:
            raw.execute("DELETE FROM status_notice WHERE id = ?", (notice.id,))
            note(raw, now, by, "notice.remove", notice.title)

        await self._state.write(work)


def _add_update(raw: sqlite3.Connection, notice: Notice, one: Update, compose: Compose | None) -> None:
    raw.execute(
        "INSERT INTO status_notice_update (notice, at, state, text, written_by) VALUES (?, ?, ?, ?, ?)",
        (notice.id, one.at, one.state, one.text, one.by),
    )
    if compose is not None:
        add_mail_to_all(raw, compose, one.at)


def _read(raw: sqlite3.Connection, asked: str, value: float) -> list[Notice]:
    return [
        Notice(
            id=number,
            title=title,
            parts=msgspec.json.decode(parts, type=list[str]),
            began_at=began,
            ended_at=ended,
            updates=_updates(raw, number),
        )
        for number, title, parts, began, ended in raw.execute(asked, (value,)).fetchall()
    ]


def _updates(raw: sqlite3.Connection, number: int) -> list[Update]:
    rows = raw.execute(
        "SELECT at, state, text, written_by FROM status_notice_update WHERE notice = ? ORDER BY id DESC",
        (number,),
    )
    return [Update(at, cast(NoticeState, state), text, by) for at, state, text, by in rows]
