"""`/events`: how often things happen, by how many people, and the newest of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.response import Template

from mamimon.events import query
from mamimon.events.model import Summary, TypeCount
from mamimon.window import Window, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.events.store import EventStore, PseudonymKeys
    from mamimon.storage import Core

MISSION = ("login", "chat_start", "message_sent", "image_generated")


class EventsView(msgspec.Struct):
    """What the page shows."""

    window: Window
    summary: Summary
    cards: list[TypeCount]
    type: str
    property: str
    properties: list[str]
    breakdown: list[tuple[str, int]]
    recent: list[Any]
    ever: bool
    url: str


def page_handlers(core: Core, store: EventStore, keys: PseudonymKeys) -> list[ControllerRouterHandler]:
    """The events page."""

    @get("/events", include_in_schema=False)
    async def events(request: Request[Any, Any, Any]) -> Template:
        wanted = request.query_params
        at = read_window(dict(wanted), core.clock.now(), "24h")
        type_, property_ = wanted.get("type", ""), wanted.get("property", "")
        view = await _view(store, at, type_, property_)
        view.url = core.base_url or "http://127.0.0.1:7007"
        context = {
            "section": "/events",
            "view": view,
            "keys": await keys.listed(),
            "key_days": core.settings.events.pseudonym_days,
        }
        template = "events/recent.html" if wanted.get("part") == "recent" else "events/events.html"
        return Template(template, context=context)

    return [events]


async def _view(store: EventStore, at: Window, type_: str, property_: str) -> EventsView:
    totals, recent = await asyncio.gather(
        query.summary(store, at.start, at.end), query.recent(store, at.start, at.end, type_, 25)
    )
    by_type = {one.type: one for one in totals.types}
    cards = [by_type.get(name, TypeCount(name, 0, 0)) for name in MISSION]
    names: list[str] = []
    values: list[tuple[str, int]] = []
    if type_:
        names = await query.property_names(store, at.start, at.end, type_)
        if not property_ and names:
            property_ = names[0]
        if property_:
            values = await query.breakdown(store, at.start, at.end, type_, property_)
    return EventsView(
        window=at,
        summary=totals,
        cards=cards,
        type=type_,
        property=property_,
        properties=names,
        breakdown=values,
        recent=recent,
        ever=bool(store.days()),
        url="",
    )
