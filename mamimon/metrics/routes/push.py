"""`/api/v1/write`: the remote write receiver, 1.0 and 2.0."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from litestar import asgi

from mamimon.http import answer, decompress, header, read_body
from mamimon.metrics.routes.answer import is_post
from mamimon.metrics.wire.remote_write import V1, V2, descriptions, proto_of, read
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Receive, Scope, Send
    from mamimon.metrics.ingest import Outcome, Pusher
    from mamimon.metrics.wire.remote_write import PushedSeries
    from mamimon.storage import Core

_LARGE = 1 << 19
_TEXT = "text/plain; charset=utf-8"
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


def push_handlers(core: Core, pusher: Pusher) -> list[ControllerRouterHandler]:
    """The doors that samples are pushed through."""

    async def write(scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_post(scope, send):
            return
        try:
            if not core.writable():
                raise Problem(Kind.UNAVAILABLE, "the disk is full: read-only", retry_after_s=5)
            proto = proto_of(header(scope, "content-type"))
            encoding = header(scope, "content-encoding").strip().lower()
            if encoding not in {"snappy", ""}:
                raise Problem(Kind.UNSUPPORTED, f"unsupported Content-Encoding: {encoding[:40]}; send snappy")
            limits = core.settings.server
            body = await read_body(receive, limits.max_body_bytes)
            body = decompress(body, "snappy", limits.max_decompressed_bytes)
            outcome = await pusher.push(await _read(body, proto, pusher))
            for about in descriptions(body) if proto == V1 else ():
                pusher.describe(about)
        except Problem as problem:
            retry = problem.retry_after_s
            headers = [] if retry is None else [("Retry-After", str(max(1, round(retry))))]
            await answer(
                send, problem.status, f"{problem.detail}\n".encode(), content_type=_TEXT, headers=headers
            )
            return
        await _done(send, outcome, proto)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await write(cast("Scope", scope), receive, send)

    return [asgi("/api/v1/write")(app)]


async def _read(body: bytes, proto: str, pusher: Pusher) -> list[PushedSeries]:
    """The series of a body; a large one is read in a thread."""
    if len(body) < _LARGE:
        return list(read(body, proto, pusher.known))
    return await asyncio.to_thread(lambda: list(read(body, proto, pusher.known)))


async def _done(send: Send, outcome: Outcome, proto: str) -> None:
    headers = []
    if proto == V2:
        headers = [
            (_WRITTEN.format("Samples"), str(outcome.samples)),
            (_WRITTEN.format("Histograms"), str(outcome.histograms)),
            (_WRITTEN.format("Exemplars"), str(outcome.exemplars)),
        ]
    if not outcome.refused:
        await answer(send, 204, content_type="", headers=headers)
        return
    reason = "; ".join(outcome.problems)
    kept = outcome.samples + outcome.histograms
    text = f"{kept} samples kept, {outcome.refused} refused: {reason}\n"
    await answer(send, 400, text.encode(), content_type=_TEXT, headers=headers)
