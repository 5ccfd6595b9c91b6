"""What is true for the current request or task: ids and bound fields, in one context variable."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, NamedTuple

from mamimon.client import agent
from mamimon.client.plain import plain


class Trace(NamedTuple):
    """A position in a distributed trace (W3C Trace Context): lower-case hex ids and the sampled flag."""

    trace_id: str
    span_id: str
    sampled: bool = True


# One immutable dict per state: readers on other threads may hold it without a lock.
_fields: ContextVar[dict[str, Any]] = ContextVar("mamimon_fields", default={})  # noqa: B039 - never mutated

_TRACEPARENT = re.compile(r"\A([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?\Z")
# Ids go into logs, headers and URLs, so a stranger's id must be harmless there.
_REQUEST_ID = re.compile(r"\A[A-Za-z0-9._:+/=@-]{1,128}\Z")


class Bound:
    """Fields bound for the length of a `with` block; also works as `async with`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._new = fields
        self._before: dict[str, Any] = {}
        self._token: Token[dict[str, Any]] | None = None

    def __enter__(self) -> Bound:
        self._before = _fields.get()
        self._token = _fields.set({**self._before, **self._new})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self._token, self._before)
        self._token = None

    async def __aenter__(self) -> Bound:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def context(**fields: Any) -> Bound:
    """Bind fields to every record, error and event of this task: `with context(user="ada"): …`."""
    return Bound({name: plain(value) for name, value in fields.items()})


def enter(fields: dict[str, Any]) -> Token[dict[str, Any]]:
    """Bind without a block; pair with `leave`. For middleware, where a `with` costs an object."""
    return _fields.set({**_fields.get(), **fields})


def leave(token: Token[dict[str, Any]] | None, before: dict[str, Any]) -> None:
    """Undo `enter`. A generator closed in another context cannot reset its token, so it restores."""
    try:
        if token is not None:
            _fields.reset(token)
    except ValueError:
        _fields.set(before)


def current() -> dict[str, Any]:
    """The fields bound now; do not change the returned dict."""
    return _fields.get()


def request_id() -> str | None:
    """The id of the request being handled, or None outside one."""
    value = _fields.get().get("request_id")
    return None if value is None else str(value)


# Hex digits of the system's random source, read 2 KiB at a time; a child starts with none, so that no two
# processes hand out the same.
_random: list[str] = []


def _hex16() -> str:
    try:
        return _random.pop()
    except IndexError:
        digits = os.urandom(2048).hex()
        _random.extend([digits[at : at + 16] for at in range(16, len(digits), 16)])
        return digits[:16]


agent.in_children(_random.clear)


def new_request_id() -> str:
    """A fresh id of 32 hex digits."""
    return _hex16() + _hex16()


def new_trace(parent: Trace | None = None) -> Trace:
    """A new span in the parent's trace, or in a new trace."""
    if parent is None:
        return Trace(_hex16() + _hex16(), _hex16())
    return Trace(parent.trace_id, _hex16(), parent.sampled)


def parse_request_id(text: str) -> str | None:
    """A stranger's request id if it is short and made of harmless characters."""
    return text if _REQUEST_ID.match(text) else None


def parse_traceparent(text: str) -> Trace | None:
    """Read a `traceparent` header (W3C Trace Context, 3.2); None where it is not valid."""
    found = _TRACEPARENT.match(text.strip())
    if not found:
        return None
    version, trace_id, span_id, flags = found.groups()
    if version == "ff" or trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    if version == "00" and len(text.strip()) != 55:
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & 1))


def format_traceparent(trace: Trace) -> str:
    """Write a version 00 `traceparent` header."""
    return f"00-{trace.trace_id}-{trace.span_id}-{'01' if trace.sampled else '00'}"
