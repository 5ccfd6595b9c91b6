"""People, tokens and what they may do."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["viewer", "editor", "admin"]
Scope = Literal["ingest", "read", "write", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")
# What a request may need: a token's scope, or that a person asks about the own account.
Need = Literal["ingest", "read", "write", "admin", "self"]
SCOPES: tuple[Scope, ...] = ("ingest", "read", "write", "admin")
# An account's own role counts in the first project only; "none" is for people of other projects.
OWN_ROLES: tuple[str, ...] = ("none", *ROLES)
# The first project: its data are in the data directory itself.
FIRST = 1

_BY_ROLE: dict[str, frozenset[str]] = {
    "none": frozenset(),
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

    `role` counts in the first project; an "admin" administers the server and so every project.
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
    project_id: int = FIRST


class Project(msgspec.Struct, frozen=True):
    """Rooms and data of their own; `slug` names it in addresses and never changes.

    Times are epoch seconds.
    """

    id: int
    slug: str
    name: str
    created_at: float
    archived_at: float | None = None

    @property
    def live(self) -> bool:
        """Whether it is served."""
        return self.archived_at is None


class Team(msgspec.Struct, frozen=True):
    """People who are given roles together."""

    id: int
    name: str
    members: list[str]


class Grant(msgspec.Struct, frozen=True):
    """A role in a project: whose (`kind` is "user" or "team") and which."""

    project_id: int
    kind: Literal["user", "team"]
    name: str
    role: Role


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
    """A link that sets a password once: an invitation has a role, a reset has none.

    An invitation to another project than the first has its number and the role there.
    """

    name: str
    role: str | None
    made_by: str
    expires_at: float
    project_id: int | None = None
    project_role: str | None = None


class Opened(msgspec.Struct, frozen=True):
    """What a right password opens: a session's cookie, or, where a code is due, half a sign-in."""

    cookie: str = ""
    half: str = ""


class Actor(msgspec.Struct, frozen=True):
    """Who makes a request: a person, a token, or anybody while the server is open.

    `allowed` is what a request may need, in the project that is asked for.
    """

    name: str
    allowed: frozenset[str]
    person: bool = False
    user: User | None = None

    @property
    def belongs(self) -> bool:
        """Whether they have any role or scope in the project; for others it is not there."""
        return bool(self.allowed - {"self"})

    @classmethod
    def as_user(cls, user: User, role: str) -> Actor:
        """The actor that a signed-in person with a role in a project is."""
        return cls(user.name, _BY_ROLE[role] | {"self"}, True, user)

    @classmethod
    def as_token(cls, token: Token, project_id: int) -> Actor:
        """The actor that a program with this token is; in another project than the token's it is nobody."""
        allowed = _BY_SCOPE[token.scope] if token.project_id == project_id else frozenset[str]()
        return cls(f"token {token.name}", allowed)


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: when (epoch seconds), by whom, what, to what, and of which project where of one."""

    at: float
    actor: str
    action: str
    target: str
    project: str = ""


_EVERYTHING = frozenset[str]((*SCOPES, "self"))
LOCAL = Actor("local administrator", _EVERYTHING)
ANYBODY = Actor("anybody", _EVERYTHING)


def higher(one: str, other: str) -> str:
    """The role of the two that may more."""
    return max(one, other, key=OWN_ROLES.index)
