"""Subscribers of the status page, their mail, and how far changes were told; in `mamimon.db`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from mamimon.health.model import State
from mamimon.storage import Database


class Subscriber(msgspec.Struct, frozen=True):
    """Somebody who asked for mail; `confirmed_at` is None until he followed the link in the first."""

    id: int
    email: str
    token: str
    locale: str
    asked_at: float
    confirmed_at: float | None


class Mail(msgspec.Struct, frozen=True):
    """A mail that waits."""

    id: int
    email: str
    token: str
    subject: str
    body: str
    made_at: float
    tries: int


class Told(msgspec.Struct, frozen=True):
    """A change of a check's state; `was` is the last before it in which anything was known."""

    id: int
    name: str
    at: float
    state: State
    was: State | None


_BY_EMAIL = "SELECT id, email, token, locale, asked_at, confirmed_at FROM status_subscriber WHERE email = ?"
_OF_LINK = "SELECT id, email, token, locale, asked_at, confirmed_at FROM status_subscriber WHERE token = ?"


class SubscriberStore:
    """Reads and writes of subscriptions."""

    def __init__(self, state: Database) -> None:
        self._state = state

    async def ask(
        self, email: str, token: str, locale: str, now: float, *, again_s: float, most: int
    ) -> Subscriber | None:
        """Note that somebody asked; None where no mail is due: asked lately, confirmed, or too many wait."""

        def work(raw: sqlite3.Connection) -> Subscriber | None:
            row = raw.execute(_BY_EMAIL, (email,)).fetchone()
            if row is not None:
                found = Subscriber(*row)
                if found.confirmed_at is not None or found.asked_at > now - again_s:
                    return None
                raw.execute(
                    "UPDATE status_subscriber SET asked_at = ?, locale = ? WHERE id = ?",
                    (now, locale, found.id),
                )
                return msgspec.structs.replace(found, asked_at=now, locale=locale)
            if raw.execute("SELECT count(*) FROM status_subscriber").fetchone()[0] >= most:
                return None
            raw.execute(
                "INSERT INTO status_subscriber (email, token, locale, made_at, asked_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (email, token, locale, now, now),
            )
            return Subscriber(*raw.execute(_BY_EMAIL, (email,)).fetchone())

        return await self._state.write(work)

    async def find(self, token: str) -> Subscriber | None:
        """The subscriber of a link."""

        def work(raw: sqlite3.Connection) -> Subscriber | None:
            row = raw.execute(_OF_LINK, (token,)).fetchone()
            return Subscriber(*row) if row else None

        return await self._state.read(work)

    async def confirm(self, token: str, now: float) -> None:
        """The link of the first mail was followed."""
        await self._state.write(
            lambda raw: raw.execute(
                "UPDATE status_subscriber SET confirmed_at = coalesce(confirmed_at, ?) WHERE token = ?",
                (now, token),
            )
        )

    async def remove(self, token: str) -> None:
        """Forget a subscriber and the mail that waits for him."""
        await self._state.write(
            lambda raw: raw.execute("DELETE FROM status_subscriber WHERE token = ?", (token,))
        )

    async def forget_unconfirmed(self, before: float) -> None:
        """Forget who asked and never confirmed."""
        await self._state.write(
            lambda raw: raw.execute(
                "DELETE FROM status_subscriber WHERE confirmed_at IS NULL AND asked_at < ?", (before,)
            )
        )

    async def count(self) -> tuple[int, int]:
        """How many are confirmed, and how many are not."""

        def work(raw: sqlite3.Connection) -> tuple[int, int]:
            row = raw.execute("SELECT count(confirmed_at), count(*) FROM status_subscriber").fetchone()
            return int(row[0]), int(row[1] - row[0])

        return await self._state.read(work)

    async def add_mail(self, subscriber: int, subject: str, body: str, now: float) -> None:
        """Have a mail sent."""
        await self._state.write(lambda raw: _add_mail(raw, subscriber, subject, body, now))

    async def due(self, now: float, limit: int) -> list[Mail]:
        """Mail whose time has come, the oldest first."""

        def work(raw: sqlite3.Connection) -> list[Mail]:
            rows = raw.execute(
                "SELECT m.id, s.email, s.token, m.subject, m.body, m.made_at, m.tries FROM status_mail AS m"
                " JOIN status_subscriber AS s ON s.id = m.subscriber WHERE m.due_at <= ?"
                " ORDER BY m.id LIMIT ?",
                (now, limit),
            )
            return [Mail(*row) for row in rows]

        return await self._state.read(work)

    async def sent(self, mail: int) -> None:
        """A mail is done with."""
        await self._state.write(lambda raw: raw.execute("DELETE FROM status_mail WHERE id = ?", (mail,)))

    async def put_off(self, mail: int, due_at: float) -> None:
        """Try a mail again later."""
        await self._state.write(
            lambda raw: raw.execute(
                "UPDATE status_mail SET tries = tries + 1, due_at = ? WHERE id = ?", (due_at, mail)
            )
        )

    async def untold(self, now: float) -> tuple[list[Told], float]:
        """Changes that were not told yet, and when mail was last made; the first time there are none."""

        def work(raw: sqlite3.Connection) -> tuple[list[Told], float]:
            row = raw.execute("SELECT change, mailed_at FROM status_told").fetchone()
            if row is None:
                newest = raw.execute("SELECT coalesce(max(id), 0) FROM check_change").fetchone()[0]
                raw.execute("INSERT INTO status_told (one, change, mailed_at) VALUES (1, ?, 0)", (newest,))
                return [], 0.0
            rows = raw.execute(
                "SELECT id, name, at, state, (SELECT state FROM check_change WHERE name = c.name"
                " AND id < c.id AND state IN ('up', 'down', 'degraded') ORDER BY id DESC LIMIT 1)"
                " FROM check_change AS c WHERE id > ? ORDER BY id LIMIT 5000",
                (row[0],),
            )
            found = [
                Told(number, name, at, cast(State, state), cast("State | None", was))
                for number, name, at, state, was in rows
            ]
            return found, float(row[1])

        return await self._state.write(work)

    async def tell(self, through: int, compose: Callable[[str], tuple[str, str]] | None, now: float) -> int:
        """Changes up to `through` are told: by a mail to each confirmed subscriber, `compose` making
        subject and body for a locale, or, with None, by nobody. Returns how many mails there are."""

        def work(raw: sqlite3.Connection) -> int:
            if compose is None:
                raw.execute("UPDATE status_told SET change = ?", (through,))
                return 0
            count = add_mail_to_all(raw, compose, now)
            raw.execute("UPDATE status_told SET change = ?, mailed_at = ?", (through, now))
            return count

        return await self._state.write(work)


def add_mail_to_all(raw: sqlite3.Connection, compose: Callable[[str], tuple[str, str]], now: float) -> int:
    """A mail to each confirmed subscriber in his locale; returns how many there are."""
    rows: Sequence[tuple[int, str]] = raw.execute(
        "SELECT id, locale FROM status_subscriber WHERE confirmed_at IS NOT NULL"
    ).fetchall()
    words = {locale: compose(locale) for locale in {locale for _, locale in rows}}
    for subscriber, locale in rows:
        _add_mail(raw, subscriber, *words[locale], now)
    return len(rows)


def _add_mail(raw: sqlite3.Connection, subscriber: int, subject: str, body: str, now: float) -> None:
    raw.execute(
        "INSERT INTO status_mail (subscriber, subject, body, made_at, due_at) VALUES (?, ?, ?, ?, ?)",
        (subscriber, subject, body, now, now),
    )
