"""The error type that every door turns into its own dialect."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What went wrong, and the HTTP status that says so where a protocol has no better one."""

    BAD_INPUT = 400
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    NOT_ALLOWED = 405
    CONFLICT = 409
    TOO_LARGE = 413
    UNSUPPORTED = 415
    UNPROCESSABLE = 422
    TOO_MANY = 429
    LEFT = 499
    INTERNAL = 500
    UNAVAILABLE = 503
    TIMEOUT = 504


class Problem(Exception):  # noqa: N818 - the name every room uses for what went wrong
    """An error that a person or client can act on.

    `detail` is one sentence in plain English without secrets; `hint` says what to do next;
    `retry_after_s` is set where trying again helps.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status code of `kind`."""
        return self.kind.value


def bad_input(detail: str, hint: str = "") -> Problem:
    """The caller sent something that cannot be read or is not allowed."""
    return Problem(Kind.BAD_INPUT, detail, hint=hint)


def not_found(detail: str, hint: str = "") -> Problem:
    """There is no such thing."""
    return Problem(Kind.NOT_FOUND, detail, hint=hint)


def too_large(detail: str, hint: str = "") -> Problem:
    """The input is over a limit, which `detail` names."""
    return Problem(Kind.TOO_LARGE, detail, hint=hint)


def too_many(detail: str, retry_after_s: float = 1.0) -> Problem:
    """A queue or rate limit is full; nothing of the request was kept."""
    return Problem(Kind.TOO_MANY, detail, retry_after_s=retry_after_s)


def left() -> Problem:
    """Who asked has gone and reads no answer; it is counted, and not as a failure."""
    return Problem(Kind.LEFT, "the client went away before it was answered")


def unavailable(detail: str, hint: str = "", retry_after_s: float = 5.0) -> Problem:
    """The server cannot do this now (full disk, stopping, lost back end)."""
    return Problem(Kind.UNAVAILABLE, detail, hint=hint, retry_after_s=retry_after_s)
