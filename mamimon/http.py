"""Bodies in and answers out for doors that are plain ASGI apps.

Hot ingest doors skip the framework (half of a request's cost); what they all need is here:
reading a bounded body, undoing its encoding without being bombed, and answering.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, cast
from urllib.parse import parse_qsl

from mamimon.problems import Kind, Problem, bad_input, too_large

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_STEP = 1 << 20


def header(scope: Scope, name: str) -> str:
    """The first value of a request header, or an empty string; `name` in any case."""
    wanted = name.lower().encode("latin-1")
    for key, value in scope["headers"]:
        if key == wanted:
            return cast(bytes, value).decode("latin-1")
    return ""


def query(scope: Scope) -> dict[str, str]:
    """The query string's parameters, the last of a repeated name winning; blank values kept."""
    return dict(query_items(scope))


def query_items(scope: Scope) -> list[tuple[str, str]]:
    """The query string's parameters in order, repeats kept."""
    return parse_qsl(scope.get("query_string", b"").decode("utf-8", "replace"), keep_blank_values=True)


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


def decompress(body: bytes, encodings: str, limit_bytes: int) -> bytes:
    """Undo a `Content-Encoding` list (gzip, deflate, br, zstd, snappy, identity).

    The output is bounded while it is made, so a bomb costs `limit_bytes` at most. Snappy is the
    block format that Prometheus remote write uses; its length prefix is checked before decoding.
    """
    names = [part.strip().lower() for part in encodings.split(",") if part.strip()]
    if len(names) > 3:
        raise bad_input("more than three content encodings")
    for name in reversed(names):
        if name == "identity":
            continue
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise Problem(Kind.UNSUPPORTED, f"unsupported Content-Encoding: {name[:40]}")
        try:
            body = decoder(body, limit_bytes)
        except Problem:
            raise
        except Exception as error:
            raise bad_input(f"body is not valid {name}: {str(error)[:200]}") from None
    return body


def _inflate(window_bits: int) -> Callable[[bytes, int], bytes]:
    def run(body: bytes, limit_bytes: int) -> bytes:
        out: list[bytes] = []
        size = 0
        rest = body
        while rest:
            engine = zlib.decompressobj(window_bits)
            while not engine.eof:
                part = engine.decompress(rest, _STEP)
                rest = engine.unconsumed_tail
                size += len(part)
                if size > limit_bytes:
                    raise _bomb(limit_bytes)
                out.append(part)
                if not part and not rest and not engine.eof:
                    raise ValueError("stream is cut short")
            rest = engine.unused_data
        return b"".join(out)

    return run


def _deflate(body: bytes, limit_bytes: int) -> bytes:
    # "deflate" is zlib by RFC 9110, but several clients send the raw stream.
    try:
        return _inflate(zlib.MAX_WBITS)(body, limit_bytes)
    except zlib.error:
        return _inflate(-zlib.MAX_WBITS)(body, limit_bytes)


def _zstd(body: bytes, limit_bytes: int) -> bytes:
    import zstandard

    out: list[bytes] = []
    size = 0
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        body, read_across_frames=True
    ) as reader:
        while part := reader.read(_STEP):
            size += len(part)
            if size > limit_bytes:
                raise _bomb(limit_bytes)
            out.append(part)
    return b"".join(out)


def _brotli(body: bytes, limit_bytes: int) -> bytes:
    import cramjam

    engine = cramjam.brotli.Decompressor()
    out: list[bytes] = []
    size = 0
    # Brotli reaches about 1:1000 and cramjam takes no output limit, so feed it small pieces.
    for start in range(0, len(body), 4096):
        engine.decompress(body[start : start + 4096])
        part = bytes(engine.flush())
        size += len(part)
        if size > limit_bytes:
            raise _bomb(limit_bytes)
        out.append(part)
    out.append(bytes(engine.finish()))
    return b"".join(out)


def _snappy(body: bytes, limit_bytes: int) -> bytes:
    import cramjam

    length = shift = 0
    for byte in body[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    if length > limit_bytes:
        raise _bomb(limit_bytes)
    return bytes(cramjam.snappy.decompress_raw(body))


def _bomb(limit_bytes: int) -> Problem:
    return too_large(f"request body is larger than {limit_bytes} bytes after decompression")


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
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


def prefixed(app: AsgiApp, prefix: str) -> AsgiApp:
    """The same app seen one folder deeper: a request for `/x` is served as `prefix + "/x"`."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if prefix and scope["type"] in {"http", "websocket"}:
            scope = {**scope, "path": prefix + scope["path"]}
            raw = scope.get("raw_path")
            if raw is not None:
                scope["raw_path"] = prefix.encode() + raw
        await app(scope, receive, send)

    return run
