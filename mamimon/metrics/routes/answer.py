"""The dialect of the Prometheus API: parameters in, `{"status": …}` out (web/api/v1, OpenAPI document)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from litestar import Request, Response

from mamimon.http import Receive, Scope, Send, answer, client_gone, form_items, header, query_items, read_body
from mamimon.metrics.routes.encode import encode
from mamimon.metrics.routes.reading import Unreadable, instant, quoted, seconds, whole_number
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
TRIED = "mamimon.tried"
"""In the scope of a request to which nothing was at hand: its parameters."""
MATCH = 'invalid parameter "match[]": '
LIMITED = "results truncated due to limit"


class Parameters:
    """The query string and, of a POST, the form; the first of a repeated name counts, as in Go."""

    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        self._items = items
        self._first = dict(reversed(items))
        self.tried = False
        """Whether what is at hand has been asked already."""

    def get(self, name: str, default: str = "") -> str:
        """One value."""
        return self._first.get(name, default)

    def all(self, name: str) -> list[str]:
        """Every value."""
        return [value for key, value in self._items if key == name]

    def time(self, name: str, default: float) -> float:
        """An instant in epoch seconds: a number or RFC 3339."""
        text = self.get(name)
        return default if not text else _read(name, instant, text, f"invalid time value for '{name}': ")

    def needed_time(self, name: str) -> float:
        """An instant that must be given."""
        return _read(name, instant, self.get(name))

    def duration(self, name: str) -> float | None:
        """Seconds: a number or a Prometheus duration; None where it is not given."""
        text = self.get(name)
        return _read(name, seconds, text) if text else None

    def limit(self) -> int:
        """The most entries that are wanted; 0 is no limit."""
        limit = self.integer("limit")
        if limit < 0:
            raise bad_input('invalid parameter "limit": limit must be non-negative')
        return limit

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.get(name)
        return _read(name, whole_number, text) if text else default


def selectors(given: Parameters, about: str = "") -> list[list[Matcher]]:
    """The matchers of each `match[]`, one of which must not fit the empty text.

    Some endpoints say in front of the reason which parameter it is `about`, others do not.
    """
    from mamimon.metrics.promql import PromQLError, choosy, matchers_of

    try:
        found = [matchers_of(text) for text in given.all("match[]")]
    except PromQLError as error:
        raise bad_input(f"{about}{error}") from None
    if not all(choosy(matchers) for matchers in found):
        raise bad_input(f"{about}match[] must contain at least one non-empty matcher")
    return found


async def parameters(request: Request[Any, Any, Any]) -> Parameters:
    """Read a request's parameters."""
    scope = cast("Scope", request.scope)
    return parameters_with(scope, await request.body() if request.method == "POST" else b"")


async def parameters_of(scope: Scope, receive: Receive) -> Parameters:
    """Read a request's parameters and the whole of its body."""
    body = await read_body(receive, MAX_FORM_BYTES)
    known: Parameters | None = scope.get(TRIED)
    return parameters_with(scope, body) if known is None else known


def parameters_with(scope: Scope, body: bytes) -> Parameters:
    """Read the parameters of a request whose body is here."""
    items = query_items(scope) if scope.get("query_string") else []
    if body and scope["method"] == "POST":
        kind = header(scope, "content-type").partition(";")[0].strip()
        if kind == "application/x-www-form-urlencoded" and len(body) <= MAX_FORM_BYTES:
            items = form_items(body) + items
    return Parameters(items)


Value = TypeVar("Value")


def _read(name: str, reader: Callable[[str], Value], text: str, prefix: str = "") -> Value:
    try:
        return reader(text)
    except Unreadable as error:
        raise bad_input(f"invalid parameter {quoted(name)}: {prefix}{error}") from None


def success(data: Any, *, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response[bytes]:
    """`{"status": "success", "data": …}`."""
    start, end = _envelope(warnings, infos)
    return Response(b"%b%b%b" % (start, _encode(data), end), media_type="application/json", status_code=200)


def nothing() -> Response[bytes]:
    """204: done, or asked for what has no answer."""
    return Response(b"", status_code=204)


async def is_post(scope: Scope, send: Send) -> bool:
    """Whether it is; what is asked by another method is answered here."""
    if scope["method"] == "POST":
        return True
    status = 204 if scope["method"] == "OPTIONS" else 405
    await answer(send, status, content_type="", headers=[("Allow", "OPTIONS, POST")])
    return False


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


class Body(msgspec.Struct):
    """A response's body: its first piece, and those that follow, which take a moment each to be made."""

    first: bytes
    rest: Iterator[bytes | memoryview] | None = None


def whole(found: QueryResult) -> bytes:
    """The whole body of a small answer."""
    start, end = _envelope(found.warnings, found.infos)
    return b"".join((start, *encode(found), end))


def body_of(found: QueryResult, stats: bytes = b"") -> Body:
    """A query's result; `stats` is JSON that goes beside it. Long work for large answers."""
    start, end = _envelope(found.warnings, found.infos)
    pieces = encode(found, stats)
    first, second = next(pieces), next(pieces, None)
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
