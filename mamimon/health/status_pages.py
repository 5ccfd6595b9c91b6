"""The status page: what is up, ninety days of it, outages, planned work, and how to hear of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.health.feed import feed
from mamimon.health.model import Change, Outage, history, outages, runs, uptime
from mamimon.health.notices import WORDS, fitting
from mamimon.i18n import current_locale

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.health.maintenance import Maintenance
    from mamimon.health.model import CheckStatus
    from mamimon.health.notices import Notices
    from mamimon.health.store import HealthStore
    from mamimon.health.subscribers import Subscribers
    from mamimon.storage import Core

_DAY_S = 86_400.0
_DAYS = 90
_OUTAGES_S = 14 * _DAY_S
_MOST_OUTAGES, _MOST_ENTRIES = 10, 50
_MOST_NOTICES = 5
_NOTICE_BYTES = 6000
"""The page is to stay under 50 kB with all that it loads."""
_AHEAD_S = 7 * _DAY_S


def status_handlers(
    core: Core,
    statuses: Callable[[], list[CheckStatus]],
    store: HealthStore,
    maintenance: Maintenance,
    subscribers: Subscribers,
    notices: Notices,
) -> list[ControllerRouterHandler]:
    """`/status`, its feed and its subscriptions."""

    def shown() -> list[CheckStatus]:
        return sorted((one for one in statuses() if one.on_status_page), key=lambda one: one.name.lower())

    def recent(changes: dict[str, list[Change]], since: float) -> list[Outage]:
        names = [one.name for one in shown()]
        found = [one for name in names for one in outages(name, changes.get(name, []))]
        return sorted(
            (one for one in found if one.end is None or one.end >= since),
            key=lambda one: one.start,
            reverse=True,
        )

    def planned(now: float) -> list[tuple[str, float, float]]:
        """Work on what is shown that is under way or comes within a week: name, start, end."""
        found = []
        for one in maintenance.all():
            coming = maintenance.coming(one, now)
            covers = any(maintenance.covers(one, status.name) for status in shown())
            if coming is not None and covers and coming.start < now + _AHEAD_S:
                found.append((one.name, coming.start, coming.end))
        return found

    @get("/status", include_in_schema=False)
    async def status_page(asked: FromQuery[str] = "") -> Template:
        now = core.clock.now()
        # Whole days of UTC, today's with what it has so far.
        end = (math.floor(now / _DAY_S) + 1) * _DAY_S
        start = end - _DAYS * _DAY_S
        changes = await store.changes(start)
        rows = []
        for status in shown():
            known = [*changes.get(status.name, []), Change(now, "unknown")]
            cut = history(known, start, end, _DAYS)
            rows.append((status, runs(cut), uptime(cut)))
        found = recent(changes, now - _OUTAGES_S)
        told = await notices.since(now - _OUTAGES_S)
        opened = [one for one in told if one.ended_at is None][:_MOST_NOTICES]
        ended = [one for one in told if one.ended_at is not None][:_MOST_NOTICES]
        written = fitting([*opened, *ended], _NOTICE_BYTES)
        context = {
            "open": written[: len(opened)],
            "over": written[len(opened) :],
            "words": WORDS,
            "rows": rows,
            "outages": found[:_MOST_OUTAGES],
            "planned": planned(now),
            "mail": subscribers.possible,
            "asked": bool(asked),
        }
        return Template("health/status.html", context=context)

    @get("/status/feed.atom", include_in_schema=False)
    async def atom() -> Response[bytes]:
        now = core.clock.now()
        start = now - _DAYS * _DAY_S
        found = recent(await store.changes(start), 0.0)[:_MOST_ENTRIES]
        told = (await notices.since(start))[:_MOST_ENTRIES]
        return Response(feed(found, told, core.base_url, now), media_type="application/atom+xml")

    return [status_page, atom, *_subscription_handlers(subscribers)]


def _subscription_handlers(subscribers: Subscribers) -> list[ControllerRouterHandler]:
    @post("/status/subscribe", include_in_schema=False)
    async def subscribe(request: Request[Any, Any, Any], data: URLEncodedBody[dict[str, str]]) -> Redirect:
        client = request.client.host if request.client else ""
        await subscribers.ask(data.get("email", ""), client, current_locale.get())
        return Redirect("/status?asked=1#subscribe", status_code=303)

    async def link_page(what: str, token: str, done: bool = False) -> Template:
        # Programs that look at the links of mail only GET, so a GET changes nothing.
        known = await subscribers.knows(token)
        context = {"what": what, "token": token, "known": known, "done": done}
        return Template("health/subscription.html", context=context)

    @get("/status/confirm/{token:str}", include_in_schema=False)
    async def ask_confirm(token: FromPath[str]) -> Template:
        return await link_page("confirm", token)

    @post("/status/confirm/{token:str}", include_in_schema=False, status_code=200)
    async def confirm(token: FromPath[str]) -> Template:
        await subscribers.confirm(token)
        return await link_page("confirm", token, done=True)

    @get("/status/unsubscribe/{token:str}", include_in_schema=False)
    async def ask_leave(token: FromPath[str]) -> Template:
        return await link_page("unsubscribe", token)

    @post("/status/unsubscribe/{token:str}", include_in_schema=False, status_code=200)
    async def leave(token: FromPath[str]) -> Template:
        await subscribers.leave(token)
        return await link_page("unsubscribe", token, done=True)

    return [subscribe, ask_confirm, confirm, ask_leave, leave]
