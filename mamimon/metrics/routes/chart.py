"""`/api/mamimon/chart`: PromQL as the compact answer that every chart of the pages draws."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get

from mamimon.metrics.heat import heat_of, query_of
from mamimon.metrics.routes.answer import parameters
from mamimon.metrics.routes.status import rfc3339
from mamimon.problems import Problem, bad_input
from mamimon.window import read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import Labels, QueryResult
    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core

_POINTS = 240
_MOST_SERIES = 60
_MOST_QUERIES = 10
_HEAT_POINTS = 120
_MOST_EXEMPLARS = 300
_REQUEST_LABELS = ("request_id", "trace_id", "traceID", "traceId")
_REFERENCE = re.compile(r"\{\{\s*([^}\s]+)\s*\}\}")


def chart_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The chart endpoint and its forms as CSV and heat map."""

    @get("/api/mamimon/chart")
    async def chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Evaluate one or more queries over a window; a query that fails is told in `error`.

        `query` and `legend` (`{{label}}`) may repeat, in step; `since` or `start` and `end` is the window.
        """
        given = await parameters(request)
        queries, legends = given.all("query"), given.all("legend")
        if not queries:
            raise bad_input("chart needs a query")
        window = read_window(dict(request.query_params), core.clock.now())
        step = window.step(_POINTS)
        # The last point is now, so that what was scraped a second ago is on the chart.
        end = min(window.end, core.clock.now())
        start = end - int((end - window.start) / step) * step
        answer: dict[str, Any] = {"times": [], "series": [], "error": "", "step": step, "warnings": []}
        count = 0
        for i, text in enumerate(queries[:_MOST_QUERIES]):
            # `$step` is the chart's own window for rates, as Grafana's $__rate_interval is.
            expr = text.replace("$step", f"{max(round(step * 4), 60)}s")
            try:
                found = await backend.range(expr, start, end, step)
            except Problem as problem:
                answer["error"] = problem.detail
                continue
            answer["times"] = [at / 1000 for at in found.times.tolist()]
            answer["warnings"] += [*found.warnings, *found.infos]
            legend = legends[i] if i < len(legends) else ""
            # Only what is shown is turned into Python numbers: a query may match thousands of series.
            answer["series"] += _series(found, legend, text, _MOST_SERIES - len(answer["series"]))
            count += len(found.labels)
        answer["more"] = count - len(answer["series"])
        if given.get("exemplars"):
            answer["exemplars"] = await _exemplars(backend, queries[:_MOST_QUERIES], start, end)
        return answer

    return [chart, *_other_handlers(core, backend)]


def _other_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    @get("/api/mamimon/chart.csv")
    async def csv(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A query over a window as CSV: a row a step, a column a series; raises as the query does."""
        given = await parameters(request)
        window = read_window(dict(request.query_params), core.clock.now())
        found = await backend.range(
            given.get("query"), window.start, window.end, given.time("step", window.step(_POINTS))
        )
        return Response(
            await asyncio.to_thread(_csv, found),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="query.csv"'},
        )

    @get("/api/mamimon/heatmap")
    async def heatmap(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """A histogram, classic or native, over a window: counts by step and bucket."""
        given = await parameters(request)
        window = read_window(dict(request.query_params), core.clock.now())
        step = window.step(_HEAT_POINTS)
        end = min(window.end, core.clock.now())
        start = end - int((end - window.start) / step) * step
        empty: dict[str, Any] = {"times": [], "lower": [], "upper": [], "counts": [], "error": ""}
        from mamimon.metrics.promql import PromQLError

        try:
            found = await backend.range(query_of(given.get("query"), step), start, end, step)
        except (Problem, PromQLError) as error:
            return empty | {"error": str(error)}
        heat = await asyncio.to_thread(heat_of, found)
        return {**msgspec.structs.asdict(heat), "step": step, "error": ""}

    return [csv, heatmap]


async def _exemplars(
    backend: LocalBackend, queries: list[str], start: float, end: float
) -> list[dict[str, Any]]:
    """The exemplars of the series that queries select, as dots with where they lead."""
    from mamimon.metrics.promql import PromQLError, parse
    from mamimon.metrics.promql.ast import Selector, walk

    selectors = []
    for text in queries:
        with contextlib.suppress(PromQLError):  # the chart itself says what is wrong
            selectors += [list(node.matchers) for node in walk(parse(text)) if isinstance(node, Selector)]
    out = []
    for labels, rows in await backend.exemplars(selectors, start, end, _MOST_EXEMPLARS) if selectors else []:
        for _, at, value, text in rows:
            own = msgspec.json.decode(text, type=dict[str, str])
            request_id = next((own[name] for name in _REQUEST_LABELS if own.get(name)), "")
            shown = [*own.items(), *((name, said) for name, said in labels.items() if name != "__name__")]
            out.append(
                {
                    "time": at / 1000,
                    "value": value,
                    "label": ", ".join(f"{name}={said}" for name, said in shown),
                    "url": f"/requests/{quote(request_id, safe='')}" if request_id else "",
                }
            )
    return out[:_MOST_EXEMPLARS]


def _csv(found: QueryResult) -> bytes:
    import csv as writing

    out = io.StringIO()
    writer = writing.writer(out)
    writer.writerow(["time", *(_name(labels, "", "value") for labels in found.labels)])
    columns = [found.drawn(row) for row in range(len(found.labels))]
    for step, at in enumerate(found.times.tolist()):
        writer.writerow([rfc3339(at / 1000), *("" if (v := one[step]) is None else v for one in columns)])
    return out.getvalue().encode()


def _series(found: QueryResult, legend: str, text: str, most: int) -> list[dict[str, Any]]:
    out = []
    shared = (
        set.intersection(*(set(labels.items()) for labels in found.labels)) if found.labels[1:] else set()
    )
    for row, full in enumerate(found.labels[:most]):
        # What all lines have in common tells none apart; the metric's name stays for the reader.
        labels = (
            full if legend else {n: v for n, v in full.items() if n == "__name__" or (n, v) not in shared}
        )
        out.append({"name": _name(labels, legend, text), "values": found.drawn(row)})
    return out


def _name(labels: Labels, legend: str, text: str) -> str:
    if legend:
        return _REFERENCE.sub(lambda found: labels.get(found.group(1), ""), legend)
    name = labels.get("__name__", "")
    rest = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    if not name and not rest:
        return text[:120]
    return f"{name}{{{rest}}}" if rest else name
