"""Passwords: their argon2id hashes."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from mamimon.problems import bad_input

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_PASSWORD = 8


async def hashed(password: str) -> str:
    """A password's argon2id hash, made in a thread; raises BAD_INPUT for a short or endless one."""
    if len(password) < MIN_PASSWORD or len(password) > 1000:
        raise bad_input(f"a password has at least {MIN_PASSWORD} characters")
    return await asyncio.to_thread(lambda: _hasher().hash(password))


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


_DUMMY: list[str] = []


def dummy() -> str:
    """The hash of a password nobody has, for names nobody has."""
    if not _DUMMY:
        _DUMMY.append(_hasher().hash(secrets.token_urlsafe(16)))
    return _DUMMY[0]


def verified(digest: str, password: str) -> bool:
    """Whether a password is the one of a hash; takes its 50 ms on purpose, so call it in a thread."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(digest, password)
    except (VerificationError, InvalidHashError):
        return False
