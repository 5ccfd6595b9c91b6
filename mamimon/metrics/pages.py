"""`/graph` and `/targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from litestar import Request, get
from litestar.response import Template

from mamimon.metrics.routes.encode import number
from mamimon.problems import Problem
from mamimon.window import fitting, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.query import SeriesBackend
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_MOST_ROWS = 500


def page_handlers(
    core: Core, store: SeriesStore, scraper: Scraper, backend: SeriesBackend
) -> list[ControllerRouterHandler]:
    """The pages of this room."""

    @get("/graph", include_in_schema=False)
    async def graph(request: Request[Any, Any, Any]) -> Template:
        """One or more queries as a chart and as a table of the values now."""
        now = core.clock.now()
        window = read_window(dict(request.query_params), now, fitting(store.oldest(), now))
        queries = [text for text in request.query_params.getall("q", []) if text.strip()][:10]
        # Prometheus' own page links as g0.expr=…; people have those in their notes.
        queries = queries or [
            text for key, text in request.query_params.multi_items() if key.endswith(".expr") and text
        ]
        answers = [await _answer(backend, text) for text in queries]
        return Template(
            "metrics/graph.html",
            context={
                "section": "/graph",
                "queries": queries or [""],
                "answers": answers,
                "window": window,
                "since": window.since or "1h",
                "charts": [
                    "/api/mamimon/chart?" + urlencode({"query": text}) + "&" + window.query()
                    for text in queries
                ],
            },
        )

    @get("/targets", include_in_schema=False)
    async def targets(request: Request[Any, Any, Any]) -> Template:
        """Every scrape target with its state, last error and next scrape."""
        wanted = request.query_params.get("state", "")
        text = request.query_params.get("q", "").lower()
        rows = [
            one
            for one in scraper.targets
            if wanted in ("", one.status.health) and text in f"{one.target.url} {one.target.labels}".lower()
        ]
        return Template(
            "metrics/targets.html",
            context={
                "section": "/graph",
                "rows": rows,
                "total": len(scraper.targets),
                "down": sum(one.status.health == "down" for one in scraper.targets),
                "state": wanted,
                "q": request.query_params.get("q", ""),
                "config": scraper.config,
                "errors": [error for found in scraper.discovery_errors.values() for error in found],
            },
        )

    return [graph, targets]


async def _answer(backend: SeriesBackend, text: str) -> dict[str, Any]:
    try:
        found = await backend.instant(text)
    except Problem as problem:
        return {"query": text, "error": problem.detail, "rows": [], "notes": [], "more": 0}
    if found.series:
        rows = [
            (labels, f"{number(float(values[-1]))} ({len(values)})")
            for labels, (_, values) in zip(found.labels, found.series, strict=True)
        ]
    elif found.kind == "string":
        rows = [({}, found.text)]
    else:
        rows = [
            (labels, number(value))
            for labels, value in zip(found.labels, found.values[:, 0].tolist(), strict=True)
        ]
    return {
        "query": text,
        "error": "",
        "rows": rows[:_MOST_ROWS],
        "more": max(0, len(rows) - _MOST_ROWS),
        "notes": [*found.warnings, *found.infos],
    }
