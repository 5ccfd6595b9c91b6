"""`/api/mamimon/chart`: PromQL as the compact answer that every chart of the pages draws."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from litestar import Request, get

from mamimon.metrics.routes.answer import parameters
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
_REFERENCE = re.compile(r"\{\{\s*([^}\s]+)\s*\}\}")


def chart_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The chart endpoint."""

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
        return answer

    return [chart]


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
