"""`/explore`: one box that tells PromQL, log queries and plain words apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.response import Template

from mamimon.dashboards.cells import Cell, legend
from mamimon.dashboards.plain import Offer, meant, offers
from mamimon.dashboards.sources import Sources, attempt
from mamimon.dashboards.units import shown
from mamimon.window import Window, read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core

_CALL = re.compile(
    r"\b(sum|avg|min|max|count|topk|bottomk|quantile|stddev|stdvar|group|count_values|limitk|rate|irate"
    r"|increase|delta|idelta|deriv|predict_linear|changes|resets|histogram_\w+|\w+_over_time|abs|absent"
    r"|absent_over_time|ceil|floor|round|clamp\w*|exp|ln|log2|log10|sqrt|sgn|sort\w*|time|timestamp|vector|scalar"
    r"|label_replace|label_join|info)\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\("
)
_SELECTOR = re.compile(r"[\w:\"]*\{[^{}]*\}|\w\[\d+\w\]")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset", "not"}
_ROWS = 200


class Found(msgspec.Struct):
    """What the page shows for a query."""

    kind: str
    src: str = ""
    cells: list[Cell] = []
    hits: list[Any] = []
    more: bool = False
    error: str = ""


async def tell(sources: Sources, text: str) -> str:
    """`metrics` or `logs`: PromQL that calls, selects or names a metric that exists; all else is logs."""
    if not _parses(text):
        return "logs"
    if _CALL.search(text) or _SELECTOR.search(text):
        return "metrics"
    names = [name for name in _NAME.findall(text) if name.lower() not in _WORDS]
    known = await attempt(sources.known(names))
    return "metrics" if known.data else "logs"


def _parses(text: str) -> bool:
    from mamimon.metrics.promql import PromQLError, parse

    try:
        parse(text)
    except PromQLError:
        return False
    return True


async def found(sources: Sources, text: str, kind: str, window: Window) -> Found:
    """The answer to a query, or its error text."""
    if kind == "metrics":
        src = "/api/mamimon/chart?" + urlencode({"query": text}) + "&" + window.query()
        answer = await attempt(sources.instant(text, None if window.since else window.end), 10.0)
        cells = [Cell(legend("", one.labels), shown(one.value), "", one.value) for one in answer.data or []]
        return Found(kind, src, cells[:_ROWS], [], len(cells) > _ROWS, answer.error)
    src = "/api/mamimon/dashboards/log-chart?" + urlencode({"query": text}) + "&" + window.query()
    answer = await attempt(sources.lines(text, window, _ROWS), 10.0)
    page = answer.data
    return Found(kind, src, [], page.hits if page else [], bool(page and page.more), answer.error)


def explore_handlers(core: Core, sources: Sources) -> list[ControllerRouterHandler]:
    """The page."""

    @get("/explore", include_in_schema=False)
    async def explore(request: Request[Any, Any, Any]) -> Template:
        query = request.query_params
        window = await sources.window(dict(query), core.clock.now())
        text = query.get("q", "").strip()[:4000]
        asked = query.get("kind", "auto")
        answer, could, run = None, list[Offer](), text
        if text:
            plain = meant(text) if asked not in {"metrics", "logs"} else None
            could = offers(plain) if plain is not None else []
            if plain is not None and plain.since:
                window = read_window({"since": plain.since}, core.clock.now())
            # Plain words are answered by the first query that they may mean; the others are offered.
            first = next((one for one in could if one.kind != "page"), None)
            run = first.query if first else text
            kind = (
                first.kind if first else asked if asked in {"metrics", "logs"} else await tell(sources, text)
            )
            answer = await found(sources, run, kind, window)
        beside = query.get("beside", "").strip()[:4000]
        second = await found(sources, beside, await tell(sources, beside), window) if beside else None
        context = {
            "section": "/explore",
            "text": text,
            "asked": asked,
            "window": window,
            "run": run,
            "found": answer,
            "offers": could,
            "beside": beside,
            "second": second,
            "split": "beside" in query,
        }
        return Template("explore/explore.html", context=context)

    return [explore]
