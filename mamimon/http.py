"""Bodies in and answers out for doors that are plain ASGI apps.

Hot ingest doors skip the framework (half of a request's cost); what they all need is here:
reading a bounded body, undoing its encoding without being bombed, and answering.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote_to_bytes

from mamimon.problems import Kind, Problem, bad_input, left, too_large

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Whole(NamedTuple):
    """A whole answer; `Content-Length` and `Date` are added."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


AtOnce = Callable[[Scope, bytes], Whole | None]
"""Answers a request with its body from memory, in well under a millisecond; None: ask the app."""

Done = TypeVar("Done")

_STEP = 1 << 20
_PATIENCE_S = 0.1
# Names that each request is asked for.
_RAW_NAMES = {
    name: name.encode()
    for name in (
        *("host", "origin", "cookie", "authorization", "accept", "accept-encoding", "accept-language"),
        *("content-type", "content-encoding", "sec-fetch-site"),
    )
}
# Where projects are in addresses: /p/<slug>/…
PROJECTS = "/p/"


def header(scope: Scope, name: str) -> str:
    """The first value of a request header, or an empty string; `name` in any case."""
    wanted = _RAW_NAMES.get(name) or name.lower().encode("latin-1")
    for key, value in scope["headers"]:
        if key == wanted:
            return cast(bytes, value).decode("latin-1")
    return ""


def query(scope: Scope) -> dict[str, str]:
    """The query string's parameters, the last of a repeated name winning; blank values kept."""
    return dict(query_items(scope))


def query_items(scope: Scope) -> list[tuple[str, str]]:
    """The query string's parameters in order, repeats kept."""
    return form_items(scope.get("query_string", b""))


def form_items(form: bytes) -> list[tuple[str, str]]:
    """The fields of a form or query string in order, as `parse_qsl` gives them, in half of its time."""
    items = []
    for part in form.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            if b"%" in name or b"+" in name:
                name = _unescaped(name)
            if b"%" in value or b"+" in value:
                value = _unescaped(value)
            items.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return items


def _unescaped(text: bytes) -> bytes:
    text = text.replace(b"+", b" ")
    if b"\\" not in text:
        # Python's own decoder of \xNN is faster than urllib's loop.
        try:
            return text.replace(b"%", b"\\x").decode("unicode_escape").encode("latin-1")
        except UnicodeDecodeError:
            pass  # some "%" does not stand before two digits
    return unquote_to_bytes(text)


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """Read a whole request body; over `limit_bytes` raises `TOO_LARGE`, a lost client `BAD_INPUT`."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_input("the client went away before its request was complete")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise too_large(f"request body is larger than {limit_bytes} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def unless_gone(receive: Callable[[], Awaitable[Any]], work: Awaitable[Done]) -> Done:
    """Await `work`; cancel it when the client leaves. The request's body must have been read."""
    task = asyncio.ensure_future(work)
    gone: asyncio.Future[None] | None = None
    try:
        await asyncio.wait((task,), timeout=_PATIENCE_S)  # most answers need nobody to watch
        if not task.done():
            gone = asyncio.ensure_future(client_gone(receive))
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise left()
        return task.result()
    finally:
        for one in (task, gone):
            if one is not None:
                one.cancel()


async def client_gone(receive: Callable[[], Awaitable[Any]]) -> None:
    """Return when the client has left; what it still sends is passed over."""
    while (await receive())["type"] != "http.disconnect":
        pass


def decompress(body: bytes, encodings: str, limit_bytes: int) -> bytes:
    """Undo a `Content-Encoding` list (gzip, deflate, br, zstd, snappy, identity).

    The output is bounded while it is made, so a bomb costs `limit_bytes` at most. Snappy is the
    block format that Prometheus remote write uses; its length prefix is checked before decoding.
    """
    return b"".join(decoded(body, encodings, limit_bytes)) if encodings else body


def decoded(body: bytes, encodings: str, limit_bytes: int) -> Iterator[bytes]:
    """The same in pieces of at most two megabytes, for who does not need the whole at once."""
    names = [part.strip().lower() for part in encodings.split(",") if part.strip()]
    if len(names) > 3:
        raise bad_input("more than three content encodings")
    todo = [name for name in reversed(names) if name != "identity"]
    for name in todo:
        if name not in _DECODERS:
            raise Problem(Kind.UNSUPPORTED, f"unsupported Content-Encoding: {name[:40]}")
    for name in todo[:-1]:
        body = b"".join(_bounded(name, body, limit_bytes))
    if todo:
        return _bounded(todo[-1], body, limit_bytes)
    return (body[at : at + _STEP] for at in range(0, len(body), _STEP))


def _bounded(name: str, body: bytes, limit_bytes: int) -> Iterator[bytes]:
    size = 0
    try:
        for part in _DECODERS[name](body, limit_bytes):
            size += len(part)
            if size > limit_bytes:
                raise _bomb(limit_bytes)
            yield part
    except Problem:
        raise
    except Exception as error:
        raise bad_input(f"body is not valid {name}: {str(error)[:200]}") from None


def _inflate(window_bits: int) -> Callable[[bytes, int], Iterator[bytes]]:
    def run(body: bytes, _: int) -> Iterator[bytes]:
        rest = body
        while rest:
            engine = zlib.decompressobj(window_bits)
            while not engine.eof:
                part = engine.decompress(rest, _STEP)
                rest = engine.unconsumed_tail
                if part:
                    yield part
                elif not rest and not engine.eof:
                    raise ValueError("stream is cut short")
            rest = engine.unused_data

    return run


def _deflate(body: bytes, limit_bytes: int) -> Iterator[bytes]:
    # "deflate" is zlib by RFC 9110, but several clients send the raw stream.
    is_zlib = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)(body, limit_bytes)


def _zstd(body: bytes, _: int) -> Iterator[bytes]:
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        body, read_across_frames=True
    ) as reader:
        size = 0
        while part := reader.read(_STEP):
            size += len(part)
            yield part
    # The reader ends quietly where the stream is cut; a frame that tells its size gives that away.
    if size < zstandard.frame_content_size(body):
        raise ValueError("stream is cut short")


def _brotli(body: bytes, _: int) -> Iterator[bytes]:
    import brotli

    # 316 bytes of brotli can be 200 megabytes, so what matters is the bound on a step's output.
    engine = brotli.Decompressor()
    part = engine.process(body, output_buffer_limit=_STEP)
    while part:
        yield part
        part = engine.process(b"", output_buffer_limit=_STEP)
    if not engine.is_finished():
        raise ValueError("stream is cut short")


def _snappy(body: bytes, limit_bytes: int) -> Iterator[bytes]:
    import cramjam

    length = shift = 0
    for byte in body[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    if length > limit_bytes:
        raise _bomb(limit_bytes)
    yield bytes(cramjam.snappy.decompress_raw(body))


def _bomb(limit_bytes: int) -> Problem:
    return too_large(f"request body is larger than {limit_bytes} bytes after decompression")


_DECODERS: dict[str, Callable[[bytes, int], Iterator[bytes]]] = {
    "gzip": _inflate(16 + zlib.MAX_WBITS),
    "x-gzip": _inflate(16 + zlib.MAX_WBITS),
    "deflate": _deflate,
    "zstd": _zstd,
    "br": _brotli,
    "snappy": _snappy,
}


async def answer(
    send: Send,
    status: int,
    body: bytes = b"",
    *,
    content_type: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
) -> None:
    """Send a whole response."""
    raw = [(b"content-length", str(len(body)).encode())]
    if body or content_type:
        raw.append((b"content-type", content_type.encode("latin-1")))
    raw.extend((key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers)
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def denying(send: Send) -> Send:
    """`send` of a WebSocket that takes an HTTP answer too, with which the upgrade is then refused."""

    async def run(message: MutableMapping[str, Any]) -> None:
        if message["type"].startswith("http.response."):
            message = {**message, "type": f"websocket.{message['type']}"}
        await send(message)

    return run


def split_project(path: str) -> tuple[str, str]:
    """The slug of the project that a path names, and the path inside it: `/p/shop/logs` → `shop`, `/logs`.

    The slug is empty where the path names none.
    """
    if not path.startswith(PROJECTS):
        return "", path
    slug, _, rest = path[len(PROJECTS) :].partition("/")
    return slug, f"/{rest}"


def moved(scope: Scope, change: Callable[[str], str]) -> Scope:
    """The same request at another path."""
    scope = {**scope, "path": change(scope["path"])}
    raw = scope.get("raw_path")
    if raw is not None:
        scope["raw_path"] = change(raw.decode("latin-1")).encode("latin-1")
    return scope


def prefixed(app: AsgiApp, prefix: str) -> AsgiApp:
    """The same app seen one folder deeper: a request for `/x` is served as `prefix + "/x"`.

    A project's name stays in front: `/p/shop/x` is served as `/p/shop` + prefix + `/x`.
    """

    def deeper(path: str) -> str:
        slug, rest = split_project(path)
        return f"{PROJECTS}{slug}{prefix}{rest}" if slug else prefix + path

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if prefix and scope["type"] in {"http", "websocket"}:
            scope = moved(scope, deeper)
        await app(scope, receive, send)

    return run
