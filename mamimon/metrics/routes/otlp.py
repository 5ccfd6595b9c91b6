"""`/v1/metrics` and Prometheus' `/api/v1/otlp/v1/metrics`: OTLP over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar import asgi

from mamimon import otlp
from mamimon.metrics.wire.otlp import Batch, OtlpSettings, read, translate
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Scope
    from mamimon.metrics.ingest import Pusher
    from mamimon.storage import Core


def otlp_handlers(core: Core, pusher: Pusher) -> list[ControllerRouterHandler]:
    """The door, under both its paths."""
    limits = core.settings.server

    def decode(body: bytes, kind: str) -> Batch:
        return read(body, kind == otlp.JSON)

    async def take(batch: Batch) -> otlp.Outcome:
        if not core.writable():
            raise Problem(Kind.UNAVAILABLE, "the disk is full: read-only", retry_after_s=5)
        found = translate(batch, OtlpSettings())
        kept = await pusher.push(found.series)
        reasons = [*found.reasons, *kept.problems]
        return otlp.Outcome(found.rejected + kept.refused, "; ".join(reasons)[:1000])

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
