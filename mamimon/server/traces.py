"""`/v1/traces`: spans are read, counted and not kept; the answer says so.

Mamimon is no tracing back end. What correlates is in the lines, errors and exemplars themselves, which
carry trace ids. An exporter that sends all three signals to one address must not fail for its spans,
so they are answered by OTLP's partial success: every span rejected, none to be sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar import asgi
from prometheus_client import Counter

from mamimon import otlp, protobuf

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Scope
    from mamimon.storage import Core

_WHY = "mamimon keeps no spans; send logs and metrics with their trace ids, they are shown together"


def trace_handlers(core: Core) -> list[ControllerRouterHandler]:
    """The door."""
    limits = core.settings.server
    spans = Counter("mamimon_spans_rejected", "Spans that were sent and not kept.", registry=core.registry)

    async def take(count: int) -> otlp.Outcome:
        spans.inc(count)
        return otlp.Outcome(count, _WHY if count else "")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await otlp.serve(
            cast("Scope", scope),
            receive,
            send,
            max_body_bytes=limits.max_body_bytes,
            max_decompressed_bytes=limits.max_decompressed_bytes,
            read=_count,
            take=take,
        )

    return [asgi("/v1/traces", copy_scope=False)(app)]


def _count(body: bytes, kind: str) -> int:
    """How many spans a request has; raises `ValueError` for what is none."""
    if kind == otlp.JSON:
        resources = otlp.json_list(otlp.json_object(body), "resourceSpans")
        scopes = [scope for one in resources for scope in otlp.json_list(one, "scopeSpans")]
        return sum(len(otlp.json_list(scope, "spans")) for scope in scopes)
    return sum(
        1 for resource in _embedded(body, 1) for scope in _embedded(resource, 2) for _ in _embedded(scope, 2)
    )


def _embedded(data: bytes, field: int) -> list[bytes]:
    return [protobuf.message(part) for number, part in protobuf.fields(data) if number == field]
