"""`/graph`, `/graph/metrics`, `/targets` and `/cardinality`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from litestar import Request, get
from litestar.response import Redirect, Template

from mamimon.metrics.explore import explored, grown, largest
from mamimon.metrics.links import asked_for, one_line
from mamimon.metrics.routes.number import number
from mamimon.problems import Problem
from mamimon.window import Window, fitting, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.ingest import Pusher
    from mamimon.metrics.query import LocalBackend
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.scrape.target import ScrapedTarget
    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_MOST_ROWS = 500
_MOST_QUERIES = 10
_VIEWS = ("line", "stack", "heat", "table")


def page_handlers(
    core: Core, store: SeriesStore, scraper: Scraper, backend: LocalBackend, pusher: Pusher
) -> list[ControllerRouterHandler]:
    """The pages of this room."""
    return [
        *_graph_handlers(core, store, backend),
        _targets_handler(scraper),
        *_explore_handlers(store, scraper, pusher),
    ]


def _graph_handlers(core: Core, store: SeriesStore, backend: LocalBackend) -> list[ControllerRouterHandler]:
    @get("/graph", include_in_schema=False)
    async def graph(request: Request[Any, Any, Any]) -> Template:
        """One or more queries, each as lines, stacked, as a heat map or as a table; all of it in the link."""
        now, given = core.clock.now(), request.query_params
        queries, views = given.getall("q", []), given.getall("v", [])
        asked = [(text, views[i] if i < len(views) else "line") for i, text in enumerate(queries)]
        span: dict[str, str] = {}
        if not queries:
            asked, span = asked_for(given.multi_items())
        asked = [(one_line(text), view if view in _VIEWS else "line") for text, view in asked]
        asked = [(text, view) for text, view in asked if text]
        window = read_window({**span, **dict(given)}, now, fitting(store.oldest(), now))
        explain, exemplars = bool(given.get("explain")), bool(given.get("exemplars"))
        panels = [
            await _panel(backend, text, view, window, now, explain=explain, exemplars=exemplars)
            for text, view in asked[:_MOST_QUERIES]
        ]
        return Template(
            "metrics/graph.html",
            context={
                "section": "/graph",
                "asked": asked[:_MOST_QUERIES] or [("", "line")],
                "panels": panels,
                "window": window,
                "since": window.since or "1h",
                "explain": explain,
                "exemplars": exemplars,
                "fixed": urlencode(
                    [
                        *((key, value) for text, view in asked for key, value in (("q", text), ("v", view))),
                        *((name, "1") for name in ("explain", "exemplars") if given.get(name)),
                        ("start", f"{window.start:.0f}"),
                        ("end", f"{min(window.end, now):.0f}"),
                    ]
                ),
            },
        )

    @get("/query", include_in_schema=False, sync_to_thread=False)
    def query(request: Request[Any, Any, Any]) -> Redirect:
        """Where Prometheus 3 has its graphs."""
        asked = request.url.query
        return Redirect(f"/graph?{asked}" if asked else "/graph", status_code=302)

    return [graph, query]


def _targets_handler(scraper: Scraper) -> ControllerRouterHandler:
    @get("/targets", include_in_schema=False)
    async def targets(request: Request[Any, Any, Any]) -> Template:
        """Every scrape target by job, with its state, last error and next scrape."""
        wanted, pool = request.query_params.get("state", ""), request.query_params.get("pool", "")
        text = request.query_params.get("q", "").lower()
        pools: dict[str, list[Any]] = {}
        for one in scraper.targets:
            said = f"{one.target.url} {one.target.labels} {one.status.last_error}".lower()
            if wanted in ("", one.status.health) and text in said and pool in ("", one.job.name):
                pools.setdefault(one.job.name, []).append(one)
        return Template(
            "metrics/targets.html",
            context={
                "section": "/graph",
                # What is down is what somebody comes for.
                "pools": sorted(
                    ((name, sorted(found, key=_is_up)) for name, found in pools.items()),
                    key=lambda pool: (all(_is_up(one) for one in pool[1]), pool[0]),
                ),
                "names": sorted({one.job.name for one in scraper.targets}),
                "total": len(scraper.targets),
                "up": Counter(one.job.name for one in scraper.targets if one.status.health == "up"),
                "of": Counter(one.job.name for one in scraper.targets),
                "down": sum(one.status.health == "down" for one in scraper.targets),
                "state": wanted,
                "pool": pool,
                "q": request.query_params.get("q", ""),
                "config": scraper.config,
                "errors": [
                    f"{name}: {error}" for name, found in scraper.discovery_errors.items() for error in found
                ],
            },
        )

    return targets


def _is_up(one: ScrapedTarget) -> bool:
    return one.status.health != "down"


def _explore_handlers(store: SeriesStore, scraper: Scraper, pusher: Pusher) -> list[ControllerRouterHandler]:
    @get("/graph/metrics", include_in_schema=False)
    async def metrics(request: Request[Any, Any, Any]) -> Template:
        """Every metric with type, help, unit and number of series, and a query to begin with."""
        text, kind = request.query_params.get("q", ""), request.query_params.get("type", "")
        rows = await asyncio.to_thread(explored, store, scraper, pusher)
        shown = [
            one for one in rows if text.lower() in f"{one.name} {one.help}".lower() and kind in ("", one.type)
        ]
        return Template(
            "metrics/metrics.html",
            context={
                "section": "/graph",
                "rows": shown[:_MOST_ROWS],
                "more": max(0, len(shown) - _MOST_ROWS),
                "total": len(rows),
                "types": sorted({one.type for one in rows}),
                "type": kind,
                "q": text,
            },
        )

    @get("/cardinality", include_in_schema=False)
    async def cardinality() -> Template:
        """What makes series many: the largest metrics, labels and values, and growth by day."""
        found = await asyncio.to_thread(store.cardinality)
        growth = await asyncio.to_thread(grown, store)
        return Template(
            "metrics/cardinality.html",
            context={
                "section": "/graph",
                "found": found,
                "tables": largest(found) if found else None,
                "growth": growth,
                "most": max((one.series for one in growth), default=1) or 1,
            },
        )

    return [metrics, cardinality]


async def _panel(
    backend: LocalBackend,
    text: str,
    view: str,
    window: Window,
    now: float,
    *,
    explain: bool,
    exemplars: bool,
) -> dict[str, Any]:
    panel = await _answer(backend, text, min(window.end, now))
    asked = urlencode({"query": text}) + "&" + window.query()
    source = "heatmap" if view == "heat" else "chart"
    panel |= {
        "view": view,
        "src": f"/api/mamimon/{source}?{asked}" + ("&exemplars=1" if exemplars and view != "heat" else ""),
        "csv": f"/api/mamimon/chart.csv?{asked}",
        "tree": None,
    }
    if explain and not panel["error"]:
        end = min(window.end, now)
        try:
            panel["tree"] = await backend.explain(text, window.start, end, window.step(240))
        except Problem as problem:
            panel["error"] = problem.detail
    return panel


def _flaw(text: str) -> tuple[str, str, str] | None:
    """The text before, in and behind the place of a syntax error; None where there is none."""
    from mamimon.metrics.promql import ParseError, parse

    try:
        parse(text)
    except ParseError as error:
        first = error.flaws[0]
        start = min(first.start, len(text))
        end = max(start, min(first.end, len(text)))
        return text[:start], text[start:end] or "\u2423", text[end:]
    return None


async def _answer(backend: LocalBackend, text: str, at: float) -> dict[str, Any]:
    empty: dict[str, Any] = {"query": text, "error": "", "flaw": None, "rows": [], "notes": [], "more": 0}
    try:
        found = await backend.instant(text, at)
    except Problem as problem:
        return empty | {"error": problem.detail, "flaw": _flaw(text)}
    if found.series:
        rows = [
            (labels, f"{number(float(values[-1]))} ({len(values)})" if len(values) else "")
            for labels, (_, values) in zip(found.labels, found.series, strict=True)
        ]
    elif found.kind == "string":
        rows = [({}, found.text)]
    else:
        native = found.histograms
        rows = [
            (
                labels,
                number(value)
                if native is None or native[row, 0] is None
                else f"count {number(native[row, 0].count)}, sum {number(native[row, 0].sum)}",
            )
            for row, (labels, value) in enumerate(zip(found.labels, found.values[:, 0].tolist(), strict=True))
        ]
    return empty | {
        "rows": rows[:_MOST_ROWS],
        "more": max(0, len(rows) - _MOST_ROWS),
        "notes": [*found.warnings, *found.infos],
    }
