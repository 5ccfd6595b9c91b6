"""`/api/v1/read`: remote read, for another Prometheus (or Thanos) that shows our series as its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from litestar import asgi

from mamimon.http import answer, decompress, read_body
from mamimon.metrics.routes.answer import is_post
from mamimon.metrics.store import predicate
from mamimon.metrics.wire.remote_read import (
    SAMPLES,
    STREAMED,
    ReadRequest,
    Series,
    frames,
    read_request,
    samples_response,
    series_of,
    without_external,
)
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Receive, Scope, Send
    from mamimon.metrics.query import LocalBackend
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.storage import Core

_TEXT = "text/plain; charset=utf-8"
_STREAMED = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"


def read_handlers(core: Core, backend: LocalBackend, scraper: Scraper) -> list[ControllerRouterHandler]:
    """The door of remote read."""

    async def ask(request: ReadRequest) -> list[list[Series]]:
        external = scraper.config.external_labels if scraper.config else {}
        out = []
        for one in request.queries:
            matchers = without_external(one.matchers, external)
            for matcher in matchers:
                # A regex that RE2 refuses is refused, also where there is nothing to match it with.
                predicate(matcher)
            selection = await backend.select(matchers, one.start, one.end)
            out.append(await asyncio.to_thread(series_of, selection, external))
        return out

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_post(scope, send):
            return
        try:
            limits = core.settings.server
            body = await read_body(receive, limits.max_body_bytes)
            request = read_request(decompress(body, "snappy", limits.max_decompressed_bytes))
            streamed = _streamed(request.accepted)
            found = await ask(request)
        except Problem as problem:
            # A question that is too large is the asker's mistake: Prometheus says 400 as well.
            status = 400 if problem.kind is Kind.UNPROCESSABLE else problem.status
            await answer(send, status, f"{problem.detail}\n".encode(), content_type=_TEXT)
            return
        # Chunks hold floats only; the other form has a place for native histograms.
        if streamed and not any(one.histograms for series in found for one in series):
            await _stream(send, found)
            return
        raw = await asyncio.to_thread(_compressed, found)
        await answer(
            send, 200, raw, content_type="application/x-protobuf", headers=[("Content-Encoding", "snappy")]
        )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read(cast("Scope", scope), receive, send)

    return [asgi("/api/v1/read", copy_scope=False)(app)]


def _streamed(accepted: Sequence[int]) -> bool:
    for form in accepted:
        if form in (SAMPLES, STREAMED):
            return form == STREAMED
    if accepted:
        raise bad_input(f"server does not support any of the requested response types: {accepted[:10]}")
    return False


def _compressed(found: Sequence[Sequence[Series]]) -> bytes:
    import cramjam

    return bytes(cramjam.snappy.compress_raw(samples_response(found)))


async def _stream(send: Send, found: Sequence[Sequence[Series]]) -> None:
    headers = [(b"content-type", _STREAMED.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    parts = (frame for number, series in enumerate(found) for frame in frames(number, series))
    while batch := await asyncio.to_thread(_some, parts):
        await send({"type": "http.response.body", "body": batch, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _some(parts: Iterator[bytes]) -> bytes:
    out = bytearray()
    for part in parts:
        out += part
        if len(out) >= 1 << 20:
            break
    return bytes(out)
