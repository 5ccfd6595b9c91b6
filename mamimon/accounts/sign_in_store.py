"""What signing in needs beside the password: second factors, links that set a password, open sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mamimon.accounts.audit_store import note
from mamimon.accounts.model import Link, Session
from mamimon.accounts.store import insert_user, kept_role
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Database


class SignInStore:
    """Reads and writes TOTP seeds, recovery codes, account links and sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seed(self, user_id: int) -> bytes | None:
        """The seed of a user's TOTP secret; None without a second factor."""

        def read(raw: sqlite3.Connection) -> bytes | None:
            row = raw.execute("SELECT totp_seed FROM user WHERE id = ?", (user_id,)).fetchone()
            return None if row is None else row[0]

        return await self._database.read(read)

    async def set_factor(
        self, user_id: int, name: str, seed: bytes, step: int, codes: Sequence[bytes], now: float
    ) -> None:
        """Keep a second factor that was proven by the code of `step`, with hashes of its recovery codes."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute("UPDATE user SET totp_seed = ?, totp_step = ? WHERE id = ?", (seed, step, user_id))
            raw.execute("DELETE FROM recovery_code WHERE user_id = ?", (user_id,))
            raw.executemany(
                "INSERT INTO recovery_code (user_id, hash) VALUES (?, ?)", [(user_id, code) for code in codes]
            )
            note(raw, now, name, "second-factor.add", name)

        await self._database.write(write)

    async def drop_factor(self, name: str, now: float, actor: str) -> None:
        """Take a user's second factor and recovery codes away."""

        def write(raw: sqlite3.Connection) -> None:
            row = raw.execute(
                "SELECT id FROM user WHERE name = ? AND totp_seed IS NOT NULL", (name,)
            ).fetchone()
            if row is None:
                raise not_found(f"{name} has no second factor")
            raw.execute("UPDATE user SET totp_seed = NULL, totp_step = 0 WHERE id = ?", row)
            raw.execute("DELETE FROM recovery_code WHERE user_id = ?", row)
            note(raw, now, actor, "second-factor.remove", name)

        await self._database.write(write)

    async def take_step(self, user_id: int, step: int) -> bool:
        """Use up a TOTP time step; False where it or a later one was used before (RFC 6238 §5.2)."""
        return await self._database.write(
            lambda raw: (
                raw.execute(
                    "UPDATE user SET totp_step = ? WHERE id = ? AND totp_step < ?", (step, user_id, step)
                ).rowcount
                == 1
            )
        )

    async def take_code(self, user_id: int, name: str, digest: bytes, now: float) -> bool:
        """Use up a recovery code; False where there is no such code."""

        def write(raw: sqlite3.Connection) -> bool:
            gone = raw.execute(
                "DELETE FROM recovery_code WHERE user_id = ? AND hash = ?", (user_id, digest)
            ).rowcount
            if gone:
                note(raw, now, name, "recovery-code.use", name)
            return gone == 1

        return await self._database.write(write)

    async def codes_left(self, user_id: int) -> int:
        """How many recovery codes a user has."""
        return await self._database.read(
            lambda raw: int(
                raw.execute("SELECT count(*) FROM recovery_code WHERE user_id = ?", (user_id,)).fetchone()[0]
            )
        )

    async def sessions(self, user_id: int, now: float) -> list[Session]:
        """A user's open sessions, newest first; 100 at most."""
        return await self._database.read(
            lambda raw: [
                Session(*row)
                for row in raw.execute(
                    "SELECT hash, created_at, expires_at, device FROM session"
                    " WHERE user_id = ? AND expires_at > ? ORDER BY created_at DESC LIMIT 100",
                    (user_id, now),
                )
            ]
        )

    async def end_others(self, user_id: int, keep: bytes) -> int:
        """End a user's sessions but one; returns how many."""
        return await self._database.write(
            lambda raw: (
                raw.execute("DELETE FROM session WHERE user_id = ? AND hash <> ?", (user_id, keep)).rowcount
            )
        )

    async def set_password(self, user_id: int, name: str, password: str, keep: bytes, now: float) -> None:
        """A new password hash; every other session of the user ends."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute("UPDATE user SET password = ? WHERE id = ?", (password, user_id))
            raw.execute("DELETE FROM session WHERE user_id = ? AND hash <> ?", (user_id, keep))
            note(raw, now, name, "password.change", name)

        await self._database.write(write)

    async def add_link(self, digest: bytes, link: Link, now: float, project: str = "") -> None:
        """Keep a link by which a new person (it has a role) or one there is (None) sets a password.

        `project` is the slug of the one that it invites to, for the audit log.
        """

        def write(raw: sqlite3.Connection) -> None:
            name, role = link.name, link.role
            there = raw.execute("SELECT 1 FROM user WHERE name = ?", (name,)).fetchone() is not None
            if there and role is not None:
                raise Problem(Kind.CONFLICT, f"there is a user {name} already")
            if not there and role is None:
                raise not_found(f"there is no user {name}")
            # A newer link makes the older ones void.
            raw.execute("DELETE FROM account_link WHERE name = ? OR expires_at <= ?", (name, now))
            raw.execute(
                "INSERT INTO account_link (hash, name, role, made_by, expires_at, project_id, project_role)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (digest, name, role, link.made_by, link.expires_at, link.project_id, link.project_role),
            )
            action = f"user.invite {link.project_role or role}" if role else "password.reset-link"
            note(raw, now, link.made_by, action, name, project)

        await self._database.write(write)

    async def link(self, digest: bytes, now: float) -> Link | None:
        """An account link that still works."""

        def read(raw: sqlite3.Connection) -> Link | None:
            row = raw.execute(
                "SELECT name, role, made_by, expires_at, project_id, project_role FROM account_link"
                " WHERE hash = ? AND expires_at > ?",
                (digest, now),
            ).fetchone()
            return None if row is None else Link(*row)

        return await self._database.read(read)

    async def use_link(self, digest: bytes, password: str, now: float) -> str:
        """Set the password that a link was made for, once; returns the name.

        A reset ends every session. Raises NOT_FOUND for a link that is used or over.
        """

        def write(raw: sqlite3.Connection) -> str:
            row = raw.execute(
                "DELETE FROM account_link WHERE hash = ? AND expires_at > ?"
                " RETURNING name, role, project_id, project_role",
                (digest, now),
            ).fetchone()
            if row is None:
                raise not_found("this link was used already or is over")
            name = str(row[0])
            role, project_id, project_role = row[1:]
            if role is not None:
                insert_user(raw, name, role, password, now)
                if project_id is not None:
                    raw.execute(
                        "INSERT INTO project_role (project_id, user_id, role)"
                        " SELECT ?, id, ? FROM user WHERE name = ?",
                        (project_id, project_role, name),
                    )
                note(raw, now, name, f"user.join {project_role or role}", name)
                return name
            found = raw.execute("SELECT id FROM user WHERE name = ?", (name,)).fetchone()
            if found is None:
                raise not_found(f"there is no user {name}")
            raw.execute("UPDATE user SET password = ? WHERE id = ?", (password, found[0]))
            raw.execute("DELETE FROM session WHERE user_id = ?", found)
            note(raw, now, name, "password.reset", name)
            return name

        return await self._database.write(write)

    async def by_subject(self, subject: str) -> tuple[str, str] | None:
        """Name and role of who the identity provider knows by a subject."""

        def read(raw: sqlite3.Connection) -> tuple[str, str] | None:
            row = raw.execute(
                "SELECT name, CASE WHEN outside THEN 'none' ELSE role END FROM user WHERE subject = ?",
                (subject,),
            ).fetchone()
            return None if row is None else (str(row[0]), str(row[1]))

        return await self._database.read(read)

    async def add_subject(self, subject: str, name: str, role: str, now: float) -> None:
        """Add who comes by the identity provider for the first time.

        A name that is taken raises CONFLICT: whoever can choose a name there must not become its owner here.
        """

        def write(raw: sqlite3.Connection) -> None:
            try:
                raw.execute(
                    "INSERT INTO user (name, role, outside, password, created_at, subject)"
                    " VALUES (?, ?, ?, '', ?, ?)",
                    (name, *kept_role(role), now, subject),
                )
            except sqlite3.IntegrityError:
                raise Problem(
                    Kind.CONFLICT, f"there is a user {name} already, who does not sign in by the provider"
                ) from None
            note(raw, now, name, f"user.sign-on {role}", name)

        await self._database.write(write)
