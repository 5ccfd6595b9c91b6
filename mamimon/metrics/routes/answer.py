"""The dialect of the Prometheus API: parameters in, `{"status": …}` out (web/api/v1, OpenAPI document)."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response

from mamimon.http import Receive, Scope, Send, answer, client_gone, header, query_items, read_body
from mamimon.metrics.routes.encode import encode
from mamimon.metrics.scrape.yaml_file import duration
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from mamimon.metrics.model import Matcher, QueryResult

_ERROR_TYPES = {
    Kind.BAD_INPUT: "bad_data",
    Kind.NOT_FOUND: "not_found",
    Kind.UNPROCESSABLE: "execution",
    Kind.TIMEOUT: "timeout",
    Kind.TOO_LARGE: "bad_data",
    Kind.UNAVAILABLE: "unavailable",
    Kind.TOO_MANY: "unavailable",
    Kind.INTERNAL: "internal",
}
_BUSY = ("timeout", "unavailable")
_encode = msgspec.json.Encoder().encode
MAX_FORM_BYTES = 10 * 1024 * 1024
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_EMPTY = "vector selector must contain at least one non-empty matcher"
LIMITED = "results truncated due to limit"


class Parameters:
    """The query string and, of a POST, the form; the first of a repeated name counts, as in Go."""

    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        self._items = items
        self._first = dict(reversed(items))

    def get(self, name: str, default: str = "") -> str:
        """One value."""
        return self._first.get(name, default)

    def all(self, name: str) -> list[str]:
        """Every value."""
        return [value for key, value in self._items if key == name]

    def time(self, name: str, default: float) -> float:
        """An instant in epoch seconds: a number or RFC 3339."""
        text = self.get(name)
        return default if not text else _time(name, text, f"invalid time value for '{name}': ")

    def needed_time(self, name: str) -> float:
        """An instant that must be given."""
        return _time(name, self.get(name))

    def duration(self, name: str) -> float | None:
        """Seconds: a number or a Prometheus duration; None where it is not given."""
        text = self.get(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            found = duration(text)
            if found is None:
                reason = f"cannot parse {quoted(text)} to a valid duration"
                raise bad_input(f"invalid parameter {quoted(name)}: {reason}") from None
            return found
        if not math.isfinite(seconds) or abs(seconds) > 9.2e9:
            reason = f"cannot parse {quoted(text)} to a valid duration. It overflows int64"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return seconds

    def limit(self) -> int:
        """The most entries that are wanted; 0 is no limit."""
        limit = self.integer("limit")
        if limit < 0:
            raise bad_input('invalid parameter "limit": limit must be non-negative')
        return limit

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.get(name)
        if not text:
            return default
        if not _WHOLE.fullmatch(text):
            reason = f"strconv.Atoi: parsing {quoted(text)}: invalid syntax"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return int(text)

    def flag(self, name: str) -> bool:
        """A truth value as Go's ParseBool reads it; False where it is not given."""
        text = self.get(name)
        if text in _TRUE:
            return True
        if text and text not in _FALSE:
            reason = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return False


def selector(text: str) -> list[Matcher]:
    """The matchers of a `match[]` parameter."""
    from mamimon.metrics.promql import PromQLError, matchers_of

    try:
        return matchers_of(text)
    except PromQLError as error:
        reason = "match[] must contain at least one non-empty matcher" if _EMPTY in str(error) else error
        raise bad_input(f'invalid parameter "match[]": {reason}') from None


async def parameters(request: Request[Any, Any, Any]) -> Parameters:
    """Read a request's parameters."""
    scope = cast("Scope", request.scope)
    return _parameters(scope, await request.body() if request.method == "POST" else b"")


async def parameters_of(scope: Scope, receive: Receive) -> Parameters:
    """Read a request's parameters and the whole of its body."""
    return _parameters(scope, await read_body(receive, MAX_FORM_BYTES))


def _parameters(scope: Scope, body: bytes) -> Parameters:
    items = query_items(scope) if scope.get("query_string") else []
    if body and scope["method"] == "POST":
        kind = header(scope, "content-type").partition(";")[0].strip()
        if kind == "application/x-www-form-urlencoded" and len(body) <= MAX_FORM_BYTES:
            items = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) + items
    return Parameters(items)


def _time(name: str, text: str, prefix: str = "") -> float:
    try:
        value = float(text)
    except ValueError:
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            reason = f"{prefix}cannot parse {quoted(text)} to a valid timestamp"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    if not math.isfinite(value) or abs(value) > 9.2e12:
        raise bad_input(
            f"invalid parameter {quoted(name)}: {prefix}cannot parse {quoted(text)} to a valid timestamp"
        )
    return value


def quoted(text: str) -> str:
    """A text as messages show it, cut to 200 characters."""
    return msgspec.json.encode(text[:200]).decode()


def success(data: Any, *, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response[bytes]:
    """`{"status": "success", "data": …}`."""
    start, end = _envelope(warnings, infos)
    return Response(b"%b%b%b" % (start, _encode(data), end), media_type="application/json", status_code=200)


def _envelope(warnings: Sequence[str], infos: Sequence[str]) -> tuple[bytes, bytes]:
    """What stands before and behind `data`."""
    more = b',"warnings":' + _encode(list(warnings)) if warnings else b""
    more += b',"infos":' + _encode(list(infos)) if infos else b""
    return b'{"status":"success","data":', more + b"}"


def failure(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A `Problem` as the API says it."""
    status, body, headers = refused(error)
    return Response(body, media_type="application/json", status_code=status, headers=headers)


class Disabled(Problem):
    """Asked of an API that is off; Prometheus says "unavailable" with a 500."""

    def __init__(self, what: str) -> None:
        super().__init__(Kind.UNAVAILABLE, f"{what} disabled")


def refused(error: Exception) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of `failure`."""
    assert isinstance(error, Problem)
    kind = _ERROR_TYPES.get(error.kind, "internal")
    status = 500 if isinstance(error, Disabled) else 503 if kind in _BUSY else error.status
    body = {"status": "error", "errorType": kind, "error": error.detail}
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return status, _encode(body), headers


SMALL = 2_000
"""Samples of an answer that may be written on the event loop."""


class Body(msgspec.Struct):
    """A response's body: its first piece, and those that follow, which take a moment each to be made."""

    first: bytes
    rest: Iterator[bytes | memoryview] | None = None


async def result(found: QueryResult, stats: bytes = b"") -> Body:
    """A query's result; `stats` is JSON that goes beside it."""
    start, end = _envelope(found.warnings, found.infos)
    pieces = encode(found, stats)
    if found.values.size + sum(len(times) for times, _ in found.series) <= SMALL:
        return Body(b"".join((start, *pieces, end)))
    first, second = await asyncio.to_thread(lambda: (next(pieces), next(pieces, None)))
    if second is None:
        return Body(b"".join((start, first, end)))
    return Body(start, itertools.chain((first, second), pieces, (end,)))


async def stream(scope: Scope, receive: Receive, send: Send, body: Body) -> None:
    """Send a body piece by piece, each made while the one before it is on its way, until nobody listens."""
    if body.rest is None or scope.get("http_version") == "1.0":  # 1.0 has no chunks
        rest = b"" if body.rest is None else await asyncio.to_thread(b"".join, body.rest)
        await answer(send, 200, body.first + rest)
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(client_gone(receive))
    try:
        piece: bytes | memoryview = body.first
        rest_of = body.rest
        while piece and not gone.done():
            following = asyncio.ensure_future(asyncio.to_thread(next, rest_of, b""))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await following
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
