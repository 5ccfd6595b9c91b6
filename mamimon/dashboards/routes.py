"""Our own API for dashboards: list, read, write, translate, and the chart of a log query."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from mamimon.accounts.gate import current_actor
from mamimon.dashboards.boards import Boards
from mamimon.dashboards.edit import read_either
from mamimon.dashboards.grafana_write import write_grafana
from mamimon.dashboards.model import Dashboard, Query, read_dashboard, read_panel
from mamimon.dashboards.panels import View, chart
from mamimon.dashboards.sources import attempt
from mamimon.problems import bad_input
from mamimon.window import read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler


def api_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    """Handlers under `/api/mamimon/dashboards`."""

    @get("/api/mamimon/dashboards")
    async def listed() -> list[dict[str, Any]]:
        """Every dashboard that may be seen: its slug, title and where it is from."""
        return [
            {"slug": one.slug, "title": one.title, "builtin": origin == "builtin", "origin": origin}
            for one, origin in await boards.listed()
        ]

    @get("/api/mamimon/dashboards/log-chart")
    async def log_chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Log lines a step by level for `query` (Lucene) in a time window, as chart JSON."""
        query = request.query_params
        window = read_window(dict(query), boards.core.clock.now())
        answer = await attempt(boards.sources.log_chart(query.get("query", ""), window), 10.0)
        if answer.error:
            return {"times": [], "series": [], "marks": [], "error": answer.error}
        found: dict[str, Any] = answer.data
        return found

    @get("/api/mamimon/dashboards/chart")
    async def panel_chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Queries over a window as chart JSON in the looks of a `panel` (its JSON), as editors draw it."""
        query = request.query_params
        window = read_window(dict(query), boards.core.clock.now())
        panel = read_panel(query.get("panel", "").encode())
        legends = query.getall("legend", [])
        asked = query.getall("query", [])[:40]
        panel.queries = [
            Query(one[:8000], said[:500]) for one, said in zip_longest(asked, legends, fillvalue="")
        ]
        return await chart(boards.sources, View("", 0, panel, ""), window)

    @get("/api/mamimon/dashboards/{slug:str}")
    async def exported(slug: FromPath[str]) -> Response[bytes]:
        """A dashboard as the JSON that `PUT` and the import form read back."""
        body = msgspec.json.format(msgspec.json.encode(await boards.find(slug)), indent=2)
        headers = {
            "Content-Disposition": f'inline; filename="{slug}.json"',
            "ETag": f'"{await boards.store.newest(slug)}"',
        }
        return Response(body, media_type="application/json", headers=headers)

    @put("/api/mamimon/dashboards/{slug:str}")
    async def written(slug: FromPath[str], request: Request[Any, Any, Any]) -> Response[Dashboard]:
        """Create or replace a dashboard by its JSON; the slug of the address wins.

        With `If-Match` only the version that its `ETag` named is replaced.
        """
        document = _object(await request.body())
        dashboard = read_dashboard(msgspec.json.encode({**document, "slug": slug}))
        by = current_actor.get().name
        if not boards.fixed(slug) and await boards.store.find(slug) is None:
            await boards.store.add(dashboard, by)
            return Response(dashboard, headers={"ETag": '"1"'})
        await boards.own(slug)
        base = request.headers.get("if-match", "").strip('"')
        if base and not base.isdigit():
            raise bad_input("If-Match is not a version of a dashboard")
        version = await boards.store.save(dashboard, by, int(base) if base else None)
        return Response(dashboard, headers={"ETag": f'"{version}"'})

    @delete("/api/mamimon/dashboards/{slug:str}", status_code=204)
    async def removed(slug: FromPath[str]) -> None:
        """Delete one of people's own dashboards."""
        await boards.own(slug)
        await boards.store.remove(slug)

    return [listed, log_chart, panel_chart, exported, written, removed, *_translation_handlers(boards)]


def _translation_handlers(boards: Boards) -> list[ControllerRouterHandler]:
    @post("/api/mamimon/dashboards/import", status_code=201)
    async def imported(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Store a dashboard of Grafana's or ours under a free slug; what did not translate, and why.

        With `dry_run` nothing is stored and the answer holds the dashboard.
        """
        dashboard, report = read_either(await request.body())
        dry = request.query_params.get("dry_run", "") not in ("", "0", "false")
        if not dry:
            dashboard = await boards.add(dashboard.title, dashboard)
        answer: dict[str, Any] = {
            "slug": dashboard.slug,
            "title": dashboard.title,
            "url": f"/dashboards/{dashboard.slug}",
            "panels": report.total if report else len(dashboard.panels),
            "converted": report.converted if report else len(dashboard.panels),
            "skipped": msgspec.to_builtins(report.skipped) if report else [],
            "remarks": msgspec.to_builtins(report.remarks) if report else [],
        }
        return answer | ({"dashboard": msgspec.to_builtins(dashboard)} if dry else {})

    @get("/api/mamimon/dashboards/{slug:str}/grafana")
    async def to_grafana(slug: FromPath[str]) -> Response[bytes]:
        """A dashboard as Grafana dashboard JSON (schema 39), to be imported there."""
        body = msgspec.json.format(msgspec.json.encode(write_grafana(await boards.find(slug))), indent=2)
        headers = {"Content-Disposition": f'attachment; filename="{slug}-grafana.json"'}
        return Response(body, media_type="application/json", headers=headers)

    return [imported, to_grafana]


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_input(f"body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad_input("body is not a JSON object")
    return document
