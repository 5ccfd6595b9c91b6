"""Links that show one dashboard, read-only and without the rest of the pages, to whoever has them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Stream, Template

from mamimon.accounts.gate import current_actor
from mamimon.dashboards.boards import Boards
from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.model import Dashboard
from mamimon.dashboards.pages import head_context, live_answer, streamed
from mamimon.dashboards.store import Share
from mamimon.i18n import gettext as _
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

Form = dict[str, str]
_DAYS = {"1": 1, "7": 7, "30": 30, "365": 365, "": 0}


def share_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    """The page that makes links, and what the links show."""

    @get("/dashboards/{slug:str}/share", include_in_schema=False)
    async def links(slug: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        dashboard = await boards.find(slug)
        query = request.scope["query_string"].decode()
        return await _page(boards, dashboard, query, "")

    @post("/dashboards/{slug:str}/share", include_in_schema=False)
    async def make(slug: FromPath[str], data: URLEncodedBody[Form]) -> Template:
        dashboard = await boards.find(slug)
        days = _DAYS.get(data.get("days", "30"))
        if days is None:
            raise bad_input("a link is good for 1, 7, 30 or 365 days, or for ever")
        query = data.get("query", "")[:4000]
        token = secrets.token_urlsafe(32)
        until = boards.core.clock.now() + days * 86_400 if days else None
        await boards.store.share(token, slug, query, current_actor.get().name, until)
        return await _page(boards, dashboard, query, token)

    @post("/dashboards/{slug:str}/unshare", include_in_schema=False)
    async def take_back(slug: FromPath[str], data: URLEncodedBody[Form]) -> Response[Any]:
        await boards.find(slug)
        await boards.store.unshare(slug, data.get("link", ""))
        return Redirect(f"/dashboards/{slug}/share", status_code=303)

    @get("/shared/{token:str}", include_in_schema=False)
    async def shown(token: FromPath[str], request: Request[Any, Any, Any]) -> Stream:
        share, dashboard = await _shared(boards, token)
        opened, context = await head_context(boards, dashboard, request, share.query)
        more = {"live": f"/shared/{token}/live?{context['query']}", "kiosk": True, "shared": True}
        # The address is the key: it must not leave with a click.
        headers = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
        return streamed(boards, opened, context | _NOTHING | more, request, headers)

    @get("/shared/{token:str}/live", include_in_schema=False)
    async def live(token: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        share, dashboard = await _shared(boards, token)
        keys = request.query_params.get("keys", "")
        query = "&".join(one for one in (share.query, f"keys={keys}") if one)
        return await live_answer(boards, dashboard, query, request)

    return [links, make, take_back, shown, live]


_NOTHING: dict[str, Any] = {"others": [], "fixed": True, "may_edit": False, "may_copy": False}


async def _page(boards: Boards, dashboard: Dashboard, query: str, token: str) -> Template:
    context = {
        "section": "/dashboards",
        "dashboard": dashboard,
        "own": dashboard.slug not in builtin(),
        "query": query,
        "link": f"{boards.core.base_url or ''}/shared/{token}" if token else "",
        "shares": await boards.store.shares(dashboard.slug),
        "closed": boards.core.settings.server.public_url,
        "may_write": "write" in current_actor.get().allowed,
    }
    return Template("dashboards/share.html", context=context)


async def _shared(boards: Boards, token: str) -> tuple[Share, Dashboard]:
    share = await boards.store.shared(token)
    found = None
    if share is not None:
        slug = share.slug
        found = builtin().get(slug) or boards.provisioned.found.get(slug) or await boards.store.find(slug)
    if share is None or found is None:
        raise not_found(_("this link shows nothing: it was taken back, or its time is over"))
    return share, found
