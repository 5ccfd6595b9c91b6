"""`/v1/metrics` and Prometheus' `/api/v1/otlp/v1/metrics`: OTLP over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar import asgi

from mamimon import otlp
from mamimon.metrics.deltas import Deltas
from mamimon.metrics.wire.otlp import Batch, OtlpSettings, read, translate
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Scope
    from mamimon.metrics.ingest import Pusher
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.storage import Core


def otlp_handlers(core: Core, pusher: Pusher, scraper: Scraper) -> list[ControllerRouterHandler]:
    """The door, under both its paths."""
    limits = core.settings.server
    deltas = Deltas(core.settings.metrics.max_series_per_target)

    def decode(body: bytes, kind: str) -> Batch:
        return read(body, kind == otlp.JSON)

    async def take(batch: Batch) -> otlp.Outcome:
        if not core.writable():
            raise Problem(Kind.UNAVAILABLE, "the disk is full: read-only", retry_after_s=5)
        dropped, why = deltas.convert(batch) if core.settings.metrics.otlp_convert_deltas else (0, [])
        found = translate(batch, scraper.config.otlp if scraper.config else OtlpSettings())
        kept = await pusher.push(found.series)
        reasons = [*why, *found.reasons, *kept.problems]
        return otlp.Outcome(dropped + found.rejected + kept.refused, "; ".join(reasons)[:1000])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await otlp.serve(
            cast("Scope", scope),
            receive,
            send,
            max_body_bytes=limits.max_body_bytes,
            max_decompressed_bytes=limits.max_decompressed_bytes,
            read=decode,
            take=take,
        )

    return [asgi(["/v1/metrics", "/api/v1/otlp/v1/metrics"], copy_scope=False)(app)]
