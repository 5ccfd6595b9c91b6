"""`/api/mamimon/chart`: PromQL as the compact answer that every chart of the pages draws."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get

from mamimon.metrics.drawn import MOST_QUERIES, POINTS, drawn, exemplars_drawn, heat_drawn, named, steps
from mamimon.metrics.routes.answer import parameters
from mamimon.metrics.routes.status import rfc3339
from mamimon.problems import bad_input
from mamimon.window import read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core


def chart_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The chart endpoint and its forms as CSV and heat map."""

    @get("/api/mamimon/chart")
    async def chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Evaluate one or more queries over a window; a query that fails is told in `error`.

        `query` and `legend` (`{{label}}`) may repeat, in step; `since` or `start` and `end` is the window.
        """
        given = await parameters(request)
        queries = given.all("query")
        if not queries:
            raise bad_input("chart needs a query")
        now = core.clock.now()
        window = read_window(dict(request.query_params), now)
        answer = await drawn(backend, queries[:MOST_QUERIES], given.all("legend"), window, now)
        if given.get("exemplars"):
            start, end, _step = steps(window, now, POINTS)
            answer["exemplars"] = await exemplars_drawn(backend.exemplars, queries[:MOST_QUERIES], start, end)
        return answer

    return [chart, *_other_handlers(core, backend)]


def _other_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    @get("/api/mamimon/chart.csv")
    async def csv(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A query over a window as CSV: a row a step, a column a series; raises as the query does."""
        given = await parameters(request)
        window = read_window(dict(request.query_params), core.clock.now())
        found = await backend.range(
            given.get("query"), window.start, window.end, given.time("step", window.step(POINTS))
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
        now = core.clock.now()
        window = read_window(dict(request.query_params), now)
        return await heat_drawn(backend, given.get("query"), window, now)

    return [csv, heatmap]


def _csv(found: QueryResult) -> bytes:
    import csv as writing

    out = io.StringIO()
    writer = writing.writer(out)
    writer.writerow(["time", *(named(labels, "", "value") for labels in found.labels)])
    columns = [found.drawn(row) for row in range(len(found.labels))]
    for step, at in enumerate(found.times.tolist()):
        writer.writerow([rfc3339(at / 1000), *("" if (v := one[step]) is None else v for one in columns)])
    return out.getvalue().encode()
