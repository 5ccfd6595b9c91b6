"""What pages are made of, from memory and compressed; and pages, compressed on their way out."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
import zlib
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import msgspec

from mamimon.http import AsgiApp, Receive, Scope, Send, answer, header
from mamimon.i18n import web_dir

# A page of 20 kB takes 0.4 ms at this level, and 1.1 ms at the next that saves something.
_PAGE_LEVEL = 4
_LEAST_BYTES = 1000


class Asset(msgspec.Struct, frozen=True):
    """A file under `web/static` in the forms that browsers take."""

    kind: str
    tag: str
    plain: bytes
    zipped: bytes
    brotli: bytes


@cache
def assets() -> dict[str, Asset]:
    """Every file by its path below `/static/`; read and compressed once."""
    import cramjam

    root = web_dir() / "static"
    found = {}
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        body = path.read_bytes()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[path.relative_to(root).as_posix()] = Asset(
            f"{kind}; charset=utf-8" if kind.startswith("text/") or "svg" in kind else kind,
            f'"{hashlib.sha256(body).hexdigest()[:20]}"',
            body,
            gzip.compress(body, 9, mtime=0),
            bytes(cramjam.brotli.compress(body, level=9)),
        )
    return found


async def static(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI app mounted at `/static`: browsers ask each time and are told 304 where nothing changed."""
    every = assets() if assets.cache_info().currsize else await asyncio.to_thread(assets)
    one = every.get(scope["path"].split("/static/", 1)[-1].strip("/"))
    if one is None or scope["method"] not in {"GET", "HEAD"}:
        await answer(send, 404 if one is None else 405, b'{"error":"there is no such file","status":404}')
        return
    accepted = header(scope, "accept-encoding")
    coding = next((name for name in ("br", "gzip") if name in accepted), "")
    body = {"br": one.brotli, "gzip": one.zipped}.get(coding, one.plain)
    tag = f'{one.tag[:-1]}-{coding}"' if coding else one.tag
    headers = [("etag", tag), ("cache-control", "no-cache"), ("vary", "accept-encoding")]
    if coding:
        headers.append(("content-encoding", coding))
    if header(scope, "if-none-match") == tag:
        await answer(send, 304, b"", content_type="", headers=headers)
        return
    shown = b"" if scope["method"] == "HEAD" else body
    await answer(send, 200, shown, content_type=one.kind, headers=headers)


def _packed(packer: zlib._Compress, body: bytes, more: bool) -> bytes:
    return packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)


def zipped(app: AsgiApp) -> AsgiApp:
    """Wrap the app: HTML pages are gzipped for those who take it; everything else is left alone.

    A page that comes in parts goes out in parts, each readable as it arrives.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "gzip" not in header(scope, "accept-encoding"):
            await app(scope, receive, send)
            return
        held: MutableMapping[str, Any] | None = None
        packer: zlib._Compress | None = None

        async def squeeze(message: MutableMapping[str, Any]) -> None:
            nonlocal held, packer
            if message["type"] == "http.response.start":
                sent = dict(message.get("headers", []))
                page = sent.get(b"content-type", b"").startswith(b"text/html")
                if page and b"content-encoding" not in sent:
                    held = message
                    return
            elif held is not None:
                start, held = held, None
                body, more = message.get("body", b""), message.get("more_body", False)
                if more or len(body) >= _LEAST_BYTES:
                    packer = zlib.compressobj(_PAGE_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
                    message = {**message, "body": _packed(packer, body, more)}
                    kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                    kept += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
                    if not more:
                        kept.append((b"content-length", str(len(message["body"])).encode()))
                    start = {**start, "headers": kept}
                await send(start)
            elif packer is not None:
                more = message.get("more_body", False)
                message = {**message, "body": _packed(packer, message.get("body", b""), more)}
            await send(message)

        await app(scope, receive, squeeze)

    return run
