"""`/dashboards`: the list, a dashboard, its live answers, and what can be taken away from it."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream, Template
from markupsafe import Markup

from mamimon.accounts.gate import current_actor
from mamimon.dashboards.boards import Boards, Opened, Render, interval_of, may_change
from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.export import as_csv
from mamimon.dashboards.fill import expand_text
from mamimon.dashboards.model import Dashboard, Link, slug_of
from mamimon.dashboards.panels import View, pairs_of
from mamimon.http import unless_gone
from mamimon.i18n import current_locale
from mamimon.problems import not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

_MOST_KEYS = 400
# Where a template lets what stands before it go out; no text of a page holds it.
_PAUSE = "\0"


def dashboard_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    """The pages that show dashboards."""

    @get("/dashboards", include_in_schema=False)
    async def listed() -> Template:
        every = await boards.listed()
        context = {
            "section": "/dashboards",
            "every": every,
            "problems": boards.provisioned.problems,
            "may_write": "write" in current_actor.get().allowed,
        }
        return Template("dashboards/list.html", context=context)

    @get("/dashboards/{slug:str}", include_in_schema=False)
    async def shown(slug: FromPath[str], request: Request[Any, Any, Any]) -> Stream:
        dashboard = await boards.find(slug)
        opened, context = await head_context(boards, dashboard, request)
        every = [one for one, _origin in await boards.listed()]
        fixed = boards.fixed(slug)
        actor = current_actor.get()
        context |= {
            "others": every,
            "live": f"/dashboards/{slug}/live?{context['query']}",
            "fixed": fixed,
            "kiosk": "kiosk" in request.query_params or "print" in request.query_params,
            "printing": "print" in request.query_params,
            "may_edit": not fixed and "write" in actor.allowed and may_change(dashboard),
            "may_copy": "write" in actor.allowed,
        }
        return streamed(boards, opened, context, request)

    @get("/dashboards/{slug:str}/live", include_in_schema=False)
    async def live(slug: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        dashboard = await boards.find(slug)
        return await live_answer(boards, dashboard, request.scope["query_string"].decode(), request)

    @get("/dashboards/{slug:str}/csv/{key:str}", include_in_schema=False)
    async def csv(slug: FromPath[str], key: FromPath[str], request: Request[Any, Any, Any]) -> Response[str]:
        """What a panel shows, as CSV."""
        dashboard = await boards.find(slug)
        opened = await boards.opened(dashboard, pairs_of(request.scope["query_string"].decode()))
        view = next((one for one in opened.views if one.key == key), None)
        if view is None:
            raise not_found(f"there is no panel {key[:40]!r}")
        name = f"{slug}-{slug_of(view.title or view.panel.kind)}.csv"
        return Response(
            await as_csv(boards.sources, view, opened.window),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return [listed, shown, live, csv]


async def page_context(
    boards: Boards, dashboard: Dashboard, request: Request[Any, Any, Any]
) -> dict[str, Any]:
    """What the page of a dashboard needs, its panels' answers among it as far as they came in time."""
    opened, context = await head_context(boards, dashboard, request)
    return context | {"bodies": await boards.bodies(opened, renderer(request))}


async def head_context(
    boards: Boards, dashboard: Dashboard, request: Request[Any, Any, Any], query: str | None = None
) -> tuple[Opened, dict[str, Any]]:
    """A dashboard as it is asked for, and what its page needs but the panels' answers."""
    asked = request.scope["query_string"].decode() if query is None else query
    opened = await boards.opened(dashboard, pairs_of(asked))
    return opened, {
        "section": "/dashboards",
        "dashboard": dashboard,
        "own": dashboard.slug not in builtin(),
        "window": opened.window,
        "picked": opened.picked,
        "query": opened.query(),
        "panels": opened.views,
        "links": [
            Link(
                expand_text(one.title, opened.picked.values),
                expand_text(one.url, opened.picked.values, in_url=True),
            )
            for one in dashboard.links
        ],
    }


def streamed(
    boards: Boards,
    opened: Opened,
    context: dict[str, Any],
    request: Request[Any, Any, Any],
    headers: dict[str, str] | None = None,
) -> Stream:
    """The page of a dashboard: everything above the panels at once, the panels when they are there."""
    engine = request.app.template_engine
    assert engine is not None
    bodies: dict[str, Markup] = {}
    pieces = engine.get_template("dashboards/dashboard.html").generate(
        context | {"request": request, "bodies": bodies, "pause": _PAUSE}
    )

    async def parts() -> AsyncIterator[str]:
        # Asked for while the head is made and sent; given up when the reader leaves before they are there.
        asked = asyncio.create_task(boards.bodies(opened, renderer(request)))
        try:
            part: list[str] = []
            for piece in pieces:
                before, pause, after = piece.partition(_PAUSE)
                part.append(before)
                if pause:
                    yield "".join(part)
                    part = [after]
                    bodies.update(await asked)
            yield "".join(part)
        finally:
            asked.cancel()

    return Stream(parts(), media_type="text/html; charset=utf-8", headers=headers)


def renderer(request: Request[Any, Any, Any]) -> Render:
    """Renders a panel's body by the app's templates."""
    engine = request.app.template_engine
    assert engine is not None

    def render(dashboard: Dashboard, view: View) -> str:
        return str(engine.get_template("dashboards/panel.html").render(view=view, dashboard=dashboard))

    return render


async def live_answer(
    boards: Boards, dashboard: Dashboard, query: str, request: Request[Any, Any, Any]
) -> Response[bytes]:
    """The answers of the panels `keys=` of a query string, shared by everybody who asks the same."""
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    now = boards.core.clock.now()

    async def make() -> bytes:
        pairs = pairs_of(query)
        keys = [key for name, value in pairs if name == "keys" for key in value.split(",")][:_MOST_KEYS]
        opened = await boards.opened(dashboard, pairs, fresh=False)
        body = await boards.live(opened, keys, renderer(request))
        return gzip.compress(body, 5, mtime=0) if zipped else body

    # By the dashboard itself: what is saved is seen at once.
    key = ("live", boards.digest(dashboard), query, zipped, current_locale.get())
    began = time.perf_counter()
    body = await unless_gone(request.receive, boards.answers.get(key, now, interval_of(dashboard), make))
    headers = {
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
        "Server-Timing": f"panels;dur={(time.perf_counter() - began) * 1000:.1f}",
    }
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type="application/json", headers=headers)
