"""Our own API for dashboards: list, read, write as JSON, and the chart of a log query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.params import FromPath

from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.model import Dashboard, read_dashboard
from mamimon.dashboards.pages import find
from mamimon.dashboards.sources import Sources, attempt
from mamimon.problems import Kind, Problem, bad_input
from mamimon.window import read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.dashboards.store import DashboardStore
    from mamimon.storage import Core


def api_handlers(core: Core, sources: Sources, store: DashboardStore) -> list[ControllerRouterHandler]:
    """Handlers under `/api/mamimon/dashboards`."""

    @get("/api/mamimon/dashboards")
    async def listed() -> list[dict[str, Any]]:
        """Every dashboard: its slug, title and whether it is built in."""
        found = [(one, True) for one in builtin().values()] + [(one, False) for one in await store.listed()]
        return [{"slug": one.slug, "title": one.title, "builtin": mark} for one, mark in found]

    @get("/api/mamimon/dashboards/log-chart")
    async def log_chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Log lines a step by level for `query` (Lucene) in a time window, as chart JSON."""
        query = request.query_params
        window = read_window(dict(query), core.clock.now())
        answer = await attempt(sources.log_chart(query.get("query", ""), window), 10.0)
        if answer.error:
            return {"times": [], "series": [], "marks": [], "error": answer.error}
        found: dict[str, Any] = answer.data
        return found

    @get("/api/mamimon/dashboards/{slug:str}")
    async def exported(slug: FromPath[str]) -> Response[bytes]:
        """A dashboard as the JSON that `PUT` and the import form read back."""
        body = msgspec.json.format(msgspec.json.encode(await find(store, slug)), indent=2)
        headers = {"Content-Disposition": f'inline; filename="{slug}.json"'}
        return Response(body, media_type="application/json", headers=headers)

    @put("/api/mamimon/dashboards/{slug:str}")
    async def written(slug: FromPath[str], request: Request[Any, Any, Any]) -> Dashboard:
        """Create or replace a dashboard by its JSON; the slug of the address wins."""
        if slug in builtin():
            raise Problem(Kind.CONFLICT, "built-in dashboards are not changed")
        try:
            document = msgspec.json.decode(await request.body())
        except msgspec.DecodeError as error:
            raise bad_input(f"body is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise bad_input("body is not a JSON object")
        dashboard = read_dashboard(msgspec.json.encode({**document, "slug": slug}))
        if await store.find(slug) is None:
            await store.add(dashboard)
        else:
            await store.save(dashboard)
        return dashboard

    @delete("/api/mamimon/dashboards/{slug:str}", status_code=204)
    async def removed(slug: FromPath[str]) -> None:
        """Delete one of people's own dashboards."""
        if slug in builtin():
            raise Problem(Kind.CONFLICT, "built-in dashboards are not deleted")
        await store.remove(slug)

    return [listed, log_chart, exported, written, removed]
