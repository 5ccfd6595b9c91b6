"""Sessions of Sentry's clients: single updates and aggregates become counts by release and hour."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mamimon.errors.scrub import scrub_text
from mamimon.errors.values import instant, text

HEALTHY, ERRORED, ABNORMAL, CRASHED = range(4)
_STATES = {"crashed": CRASHED, "unhandled": ERRORED, "abnormal": ABNORMAL, "errored": ERRORED}
_STATUSES = {"ok", "exited", "init", *_STATES}
MAX_AGE_S = 5 * 86_400
MAX_AGGREGATES = 1_000


class Sessions(msgspec.Struct, kw_only=True):
    """What one update or aggregate adds; `session` and `user` are empty where unknown."""

    project: int
    release: str
    environment: str
    time: float
    session: bytes = b""
    user: bytes = b""
    started: int = 0
    errored: int = 0
    abnormal: int = 0
    crashed: int = 0

    @property
    def state(self) -> int:
        """The worst of it."""
        if self.crashed:
            return CRASHED
        return ABNORMAL if self.abnormal else ERRORED if self.errored else HEALTHY


class ReleaseHealth(msgspec.Struct, kw_only=True):
    """How a release fares; shares are from 0 to 1, None where there were no sessions or users."""

    project: int
    release: str
    sessions: int
    errored: int
    abnormal: int
    crashed: int
    users: int
    crashed_users: int
    first_seen: float
    last_seen: float
    new_issues: int = 0
    adoption: float | None = None

    @property
    def crash_free_sessions(self) -> float | None:
        """The share of sessions that did not crash."""
        return 1 - min(self.crashed, self.sessions) / self.sessions if self.sessions else None

    @property
    def crash_free_users(self) -> float | None:
        """The share of users who met no crash."""
        return 1 - self.crashed_users / self.users if self.users else None


def read_session(raw: dict[str, Any], project: int, now: float, secret: bytes) -> Sessions:
    """One update of a session; raises `ValueError` for what is none."""
    release, environment = _attributes(raw)
    if not text(raw.get("sid")):
        raise ValueError("a session without an id")
    status = text(raw.get("status"), 20) or "ok"
    if status not in _STATUSES:
        raise ValueError(f"a session's status cannot be {status}")
    errors = raw.get("errors")
    state = _STATES.get(status, ERRORED if isinstance(errors, int) and errors > 0 else HEALTHY)
    return Sessions(
        project=project,
        release=release,
        environment=environment,
        time=_time(raw.get("started"), now),
        session=_hash(secret, text(raw.get("sid"), 100)),
        user=_user(raw.get("did"), secret),
        started=int(raw.get("init") is True),
        errored=int(state > HEALTHY),
        abnormal=int(state == ABNORMAL),
        crashed=int(state == CRASHED),
    )


def read_aggregates(raw: dict[str, Any], project: int, now: float, secret: bytes) -> list[Sessions]:
    """Sessions that a server counted by itself; raises `ValueError` for what is none."""
    release, environment = _attributes(raw)
    rows = raw.get("aggregates")
    if not isinstance(rows, list) or len(rows) > MAX_AGGREGATES:
        raise ValueError(f"aggregates are a list of at most {MAX_AGGREGATES}")
    found = []
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("an aggregate is an object")
        counts = {
            key: _count(row.get(key)) for key in ("exited", "errored", "abnormal", "crashed", "unhandled")
        }
        bad = counts["errored"] + counts["abnormal"] + counts["crashed"] + counts["unhandled"]
        if not bad and not counts["exited"]:
            continue
        found.append(
            Sessions(
                project=project,
                release=release,
                environment=environment,
                time=_time(row.get("started"), now),
                user=_user(row.get("did"), secret),
                started=bad + counts["exited"],
                errored=bad,
                abnormal=counts["abnormal"],
                crashed=counts["crashed"],
            )
        )
    return found


def _attributes(raw: dict[str, Any]) -> tuple[str, str]:
    attributes = raw.get("attrs")
    attributes = attributes if isinstance(attributes, dict) else {}
    release = scrub_text(text(attributes.get("release"), 250))
    if not release:
        raise ValueError("a session without a release")
    return release, scrub_text(text(attributes.get("environment"), 64))


def _time(value: Any, now: float) -> float:
    started = instant(value)
    return now if started is None or not now - MAX_AGE_S <= started <= now else started


def _count(value: Any) -> int:
    return min(value, 10**9) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _user(value: Any, secret: bytes) -> bytes:
    name = text(value, 200)
    return _hash(secret, name) if name else b""


def _hash(secret: bytes, value: str) -> bytes:
    return hashlib.blake2b(value.encode("utf-8", "replace"), key=secret, digest_size=8).digest()
