"""Our own API for events: take them in, count them, break them down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response, delete, get, post
from litestar.params import FromQuery

from mamimon.events import query
from mamimon.events.model import EventRow, Receipt, Summary
from mamimon.events.store.keys import KeyInfo
from mamimon.events.wire.doors import MAX_BODY_BYTES
from mamimon.events.wire.posthog import parse, unpack
from mamimon.problems import bad_input
from mamimon.window import Window, instant, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.events.ingest import Ingest
    from mamimon.events.store import EventStore, PseudonymKeys
    from mamimon.storage import Core

_MOST_SERIES = 8


def key_handlers(core: Core, keys: PseudonymKeys) -> list[ControllerRouterHandler]:
    """Handlers of the pseudonym keys; the secrets themselves never leave the server."""

    @get("/api/mamimon/events/keys")
    async def listed() -> list[KeyInfo]:
        """Every key, newest first, without its secret."""
        return await keys.listed()

    @delete("/api/mamimon/events/keys", status_code=200)
    async def dropped(before: FromQuery[str]) -> dict[str, int]:
        """Drop the keys made before a time, which anonymises what was stored under them for good."""
        return {"dropped": await keys.drop(instant(before, core.clock.now()))}

    return [listed, dropped]


def api_handlers(core: Core, store: EventStore, ingest: Ingest) -> list[ControllerRouterHandler]:
    """Handlers under `/api/mamimon/events`."""

    def window(request: Request[Any, Any, Any]) -> Window:
        return read_window(dict(request.query_params), core.clock.now(), "24h")

    @post("/api/mamimon/events", status_code=200)
    async def take(request: Request[Any, Any, Any]) -> Receipt:
        """Store one event, a list of events or `{"events": [...]}`; durable when answered."""
        limit = min(MAX_BODY_BYTES, core.settings.server.max_body_bytes)
        headers = request.headers
        body = unpack(
            await request.body(),
            headers.get("content-encoding", ""),
            headers.get("content-type", ""),
            "",
            limit,
        )
        incoming, refused = parse(body, core.clock.now())
        return await ingest.append(incoming, refused)

    @get("/api/mamimon/events")
    async def listed(request: Request[Any, Any, Any]) -> list[EventRow]:
        """The newest events, already anonymised: `type`, `size` and a time window."""
        at = window(request)
        size = whole(request.query_params.get("size", "50"), 1, 1000)
        return await query.recent(store, at.start, at.end, request.query_params.get("type", ""), size)

    @get("/api/mamimon/events/summary")
    async def totals(request: Request[Any, Any, Any]) -> Summary:
        """Counts and different users by type in a time window."""
        at = window(request)
        return await query.summary(store, at.start, at.end)

    @get("/api/mamimon/events/chart")
    async def chart(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Events a step by type, as the chart of a page reads them; the rarer types are added up."""
        at = window(request)
        return Response(await chart_data(store, at, request.query_params.getall("type", [])))

    @get("/api/mamimon/events/breakdown")
    async def broken_down(request: Request[Any, Any, Any]) -> list[dict[str, Any]]:
        """How often each value of `property` occurs in events of `type`."""
        at, wanted = window(request), request.query_params
        if not wanted.get("type") or not wanted.get("property"):
            raise bad_input("a breakdown needs `type` and `property`")
        rows = await query.breakdown(store, at.start, at.end, wanted["type"], wanted["property"])
        return [{"value": value, "count": count} for value, count in rows]

    return [take, listed, totals, chart, broken_down]


async def chart_data(store: EventStore, at: Window, types: list[str]) -> dict[str, Any]:
    """Chart JSON of counts a step; `types` empty means all."""
    step = at.step()
    start = at.start // step * step
    found = await query.counts(store, start, at.end, step)
    if types:
        found = {name: found[name] for name in types if name in found}
    order = sorted(found, key=lambda name: -sum(found[name]))
    series = [{"name": name, "values": found[name]} for name in order[:_MOST_SERIES]]
    if order[_MOST_SERIES:]:
        rest = [sum(column) for column in zip(*(found[name] for name in order[_MOST_SERIES:]), strict=True)]
        series.append({"name": "…", "values": rest})
    steps = len(series[0]["values"]) if series else 0
    return {"times": [start + step * i for i in range(steps)], "series": series, "marks": [], "error": ""}


def whole(text: str, low: int, high: int) -> int:
    """A whole number between two bounds, or `BAD_INPUT`."""
    if not text.isdigit() or not low <= int(text) <= high:
        raise bad_input(f"{text[:20]!r} is not a number between {low} and {high}")
    return int(text)
