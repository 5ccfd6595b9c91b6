"""The table of passkeys."""

from __future__ import annotations

import sqlite3

from mamimon.accounts.audit_store import note
from mamimon.accounts.model import Passkey
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Database

# More than anybody has devices.
MOST = 20


class PasskeyStore:
    """Reads and writes passkeys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, user_id: int) -> list[Passkey]:
        """A user's passkeys, oldest first."""
        return await self._database.read(
            lambda raw: [
                Passkey(*row)
                for row in raw.execute(
                    "SELECT id, name, created_at, used_at FROM passkey WHERE user_id = ? ORDER BY created_at",
                    (user_id,),
                )
            ]
        )

    async def find(self, key_id: bytes) -> tuple[str, bytes, int] | None:
        """Whose passkey it is (the name), its public key and the count of its signatures."""

        def read(raw: sqlite3.Connection) -> tuple[str, bytes, int] | None:
            row = raw.execute(
                "SELECT user.name, public_key, sign_count FROM passkey JOIN user ON user.id = user_id"
                " WHERE passkey.id = ?",
                (key_id,),
            ).fetchone()
            return None if row is None else (str(row[0]), bytes(row[1]), int(row[2]))

        return await self._database.read(read)

    async def add(
        self, key_id: bytes, user_id: int, by: str, public_key: bytes, count: int, name: str, now: float
    ) -> None:
        """Keep a passkey; one that is known, or the `MOST`+1st, raises CONFLICT."""

        def write(raw: sqlite3.Connection) -> None:
            (had,) = raw.execute("SELECT count(*) FROM passkey WHERE user_id = ?", (user_id,)).fetchone()
            if had >= MOST:
                raise Problem(Kind.CONFLICT, f"{MOST} passkeys are enough; remove one first")
            try:
                raw.execute(
                    "INSERT INTO passkey (id, user_id, public_key, sign_count, name, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (key_id, user_id, public_key, count, name, now),
                )
            except sqlite3.IntegrityError:
                raise Problem(Kind.CONFLICT, "this passkey is here already") from None
            note(raw, now, by, "passkey.add", name)

        await self._database.write(write)

    async def used(self, key_id: bytes, count: int, now: float) -> None:
        """Write down that it signed, and its count."""
        await self._database.write(
            lambda raw: (
                raw.execute(
                    "UPDATE passkey SET sign_count = ?, used_at = ? WHERE id = ?", (count, now, key_id)
                ).rowcount
            )
        )

    async def remove(self, key_id: bytes, user_id: int, by: str, now: float) -> None:
        """Forget one of the user's own."""

        def write(raw: sqlite3.Connection) -> None:
            row = raw.execute(
                "DELETE FROM passkey WHERE id = ? AND user_id = ? RETURNING name", (key_id, user_id)
            ).fetchone()
            if row is None:
                raise not_found("there is no such passkey")
            note(raw, now, by, "passkey.remove", str(row[0]))

        await self._database.write(write)
