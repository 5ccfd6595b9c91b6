"""The tables of accounts in `mamimon.db`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from mamimon.accounts.audit_store import note
from mamimon.accounts.model import AuditEntry, Project, Token, User
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Database

_USER = (
    "user.id, user.name, CASE WHEN user.outside THEN 'none' ELSE user.role END, user.created_at,"
    " user.totp_seed IS NOT NULL, user.subject IS NOT NULL"
)


def _user(row: Sequence[Any]) -> User:
    return User(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5]))


def kept_role(role: str) -> tuple[str, bool]:
    """The columns `role` and `outside` that say a role."""
    return ("viewer", True) if role == "none" else (role, False)


def insert_user(raw: sqlite3.Connection, name: str, role: str, password: str, now: float) -> None:
    """Add who signs in by a password (its hash); a taken name raises CONFLICT."""
    try:
        raw.execute(
            "INSERT INTO user (name, role, outside, password, created_at) VALUES (?, ?, ?, ?, ?)",
            (name, *kept_role(role), password, now),
        )
    except sqlite3.IntegrityError:
        raise Problem(Kind.CONFLICT, f"there is a user {name} already") from None


class AccountStore:
    """Reads and writes users, sessions, tokens and the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(self) -> list[User]:
        """Everybody, by name."""
        return await self._database.read(
            lambda raw: [
                _user(row)
                for row in raw.execute(f"SELECT {_USER} FROM user ORDER BY name")  # noqa: S608
            ]
        )

    async def password(self, name: str) -> tuple[User, str] | None:
        """A user and the hash of the password, by name in any case."""

        def read(raw: sqlite3.Connection) -> tuple[User, str] | None:
            row = raw.execute(
                f"SELECT {_USER}, password FROM user WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
            return None if row is None else (_user(row), row[6])

        return await self._database.read(read)

    async def add_user(self, name: str, role: str, password: str, now: float, actor: str) -> None:
        """Add a user; a taken name raises CONFLICT."""

        def write(raw: sqlite3.Connection) -> None:
            insert_user(raw, name, role, password, now)
            note(raw, now, actor, f"user.add {role}", name)

        await self._database.write(write)

    async def remove_user(self, name: str, now: float, actor: str) -> None:
        """Remove a user and the sessions; the last administrator cannot go while others remain."""

        def write(raw: sqlite3.Connection) -> None:
            row = raw.execute("SELECT id, role FROM user WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise not_found(f"there is no user {name}")
            others = raw.execute("SELECT role FROM user WHERE id != ?", (row[0],)).fetchall()
            if others and ("admin",) not in others:
                raise Problem(Kind.CONFLICT, f"{name} is the last administrator")
            raw.execute("DELETE FROM user WHERE id = ?", (row[0],))
            note(raw, now, actor, "user.remove", name)

        await self._database.write(write)

    async def set_role(self, name: str, role: str, now: float, actor: str) -> None:
        """Give a user another role; the last administrator keeps it."""

        def write(raw: sqlite3.Connection) -> None:
            row = raw.execute("SELECT id FROM user WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise not_found(f"there is no user {name}")
            others = raw.execute("SELECT role FROM user WHERE id != ?", row).fetchall()
            if role != "admin" and ("admin",) not in others:
                raise Problem(Kind.CONFLICT, f"{name} is the last administrator")
            raw.execute("UPDATE user SET role = ?, outside = ? WHERE id = ?", (*kept_role(role), row[0]))
            note(raw, now, actor, f"user.role {role}", name)

        await self._database.write(write)

    async def add_session(
        self, digest: bytes, user_id: int, now: float, expires_at: float, device: str
    ) -> None:
        """Keep a session, and forget those that are over."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute("DELETE FROM session WHERE expires_at <= ?", (now,))
            raw.execute(
                "INSERT INTO session (hash, user_id, created_at, expires_at, device) VALUES (?, ?, ?, ?, ?)",
                (digest, user_id, now, expires_at, device),
            )

        await self._database.write(write)

    async def session_user(self, digest: bytes, now: float) -> User | None:
        """Whose session it is, while it lasts."""

        def read(raw: sqlite3.Connection) -> User | None:
            row = raw.execute(
                f"SELECT {_USER} FROM session JOIN user ON user.id = user_id"  # noqa: S608
                " WHERE hash = ? AND expires_at > ?",
                (digest, now),
            ).fetchone()
            return None if row is None else _user(row)

        return await self._database.read(read)

    async def remove_session(self, digest: bytes) -> None:
        """End a session."""
        await self._database.write(
            lambda raw: raw.execute("DELETE FROM session WHERE hash = ?", (digest,)).rowcount
        )

    async def tokens(self) -> list[tuple[bytes, Token]]:
        """Every token with the hash of its secret."""
        return await self._database.read(
            lambda raw: [
                (row[0], Token(*row[1:]))
                for row in raw.execute(
                    "SELECT hash, id, name, scope, created_at, created_by, used_at, project_id FROM token"
                    " ORDER BY id"
                )
            ]
        )

    async def add_token(
        self, digest: bytes, name: str, scope: str, project: Project, now: float, actor: str
    ) -> None:
        """Keep a new token of a project."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute(
                "INSERT INTO token (hash, name, scope, created_at, created_by, project_id)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (digest, name, scope, now, actor, project.id),
            )
            note(raw, now, actor, f"token.add {scope}", name, project.slug)

        await self._database.write(write)

    async def tokens_used(self, used: Mapping[int, float]) -> None:
        """Write down when tokens (by id) were used last."""
        await self._database.write(
            lambda raw: (
                raw.executemany(
                    "UPDATE token SET used_at = ? WHERE id = ?", [(at, key) for key, at in used.items()]
                ).rowcount
            )
        )

    async def remove_token(self, token_id: int, project: Project, now: float, actor: str) -> None:
        """Revoke a token of a project; another project's is not there."""

        def write(raw: sqlite3.Connection) -> None:
            row = raw.execute(
                "DELETE FROM token WHERE id = ? AND project_id = ? RETURNING name", (token_id, project.id)
            ).fetchone()
            if row is None:
                raise not_found(f"there is no token {token_id}")
            note(raw, now, actor, "token.remove", row[0], project.slug)

        await self._database.write(write)

    async def audit(self, limit: int = 50, project: str = "") -> list[AuditEntry]:
        """The newest changes first; with a `project` (slug) only those of its people and tokens."""
        return await self._database.read(
            lambda raw: [
                AuditEntry(*row)
                for row in raw.execute(
                    "SELECT at, actor, action, target, project FROM audit WHERE ? IN ('', project)"
                    " ORDER BY id DESC LIMIT ?",
                    (project, limit),
                )
            ]
        )
