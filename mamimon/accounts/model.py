"""People, tokens and what they may do."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["viewer", "editor", "admin"]
Scope = Literal["ingest", "read", "write", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")
SCOPES: tuple[Scope, ...] = ("ingest", "read", "write", "admin")

_BY_ROLE: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "editor": frozenset({"read", "write", "ingest"}),
    "admin": frozenset(SCOPES),
}
_BY_SCOPE: dict[str, frozenset[str]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write", "ingest"}),
    "admin": frozenset(SCOPES),
}


class User(msgspec.Struct, frozen=True):
    """A person who can sign in; `created_at` in epoch seconds.

    `second_factor`: a code is asked for beside the password. `single_sign_on`: the person comes by the
    identity provider and has no password here.
    """

    id: int
    name: str
    role: str
    created_at: float
    second_factor: bool = False
    single_sign_on: bool = False


class Token(msgspec.Struct, frozen=True):
    """An API token; its secret is shown once and kept as a hash."""

    id: int
    name: str
    scope: str
    created_at: float
    created_by: str
    used_at: float | None = None


class Session(msgspec.Struct, frozen=True):
    """An open session: the hash of its cookie, its times (epoch seconds) and the browser it began in."""

    hash: bytes
    created_at: float
    expires_at: float
    device: str


class Passkey(msgspec.Struct, frozen=True):
    """A device that signs in: its credential id, its name, when it was added and used (epoch seconds)."""

    id: bytes
    name: str
    created_at: float
    used_at: float | None


class Link(msgspec.Struct, frozen=True):
    """A link that sets a password once: an invitation has a role, a reset has none."""

    name: str
    role: str | None
    made_by: str
    expires_at: float


class Opened(msgspec.Struct, frozen=True):
    """What a right password opens: a session's cookie, or, where a code is due, half a sign-in."""

    cookie: str = ""
    half: str = ""


class Actor(msgspec.Struct, frozen=True):
    """Who makes a request: a person, a token, or anybody while the server is open."""

    name: str
    allowed: frozenset[str]
    person: bool = False

    @classmethod
    def user(cls, user: User) -> Actor:
        """The actor that a signed-in person is."""
        return cls(user.name, _BY_ROLE[user.role], True)

    @classmethod
    def token(cls, token: Token) -> Actor:
        """The actor that a program with this token is."""
        return cls(f"token {token.name}", _BY_SCOPE[token.scope])


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: when (epoch seconds), by whom, what, to what."""

    at: float
    actor: str
    action: str
    target: str


LOCAL = Actor("local administrator", frozenset(SCOPES))
ANYBODY = Actor("anybody", frozenset(SCOPES))
