"""`/api/v1/query`, `/api/v1/query_range` and what only reads a query's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import HttpMethod, Request, Response, get, route

from mamimon.metrics.routes.answer import Parameters, failure, number, parameters, result, success
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core

BOTH = [HttpMethod.GET, HttpMethod.POST]
MAX_POINTS = 11_000
MAX_EXEMPLARS = 10_000


def question_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The handlers that evaluate or read PromQL."""

    @route("/api/v1/query", http_method=BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Evaluate at one instant (Prometheus: instant queries)."""
        given = await parameters(request)
        at = given.time("time", core.clock.now())
        return result(await backend.instant(_text(given), at, timeout_s=given.duration("timeout")))

    @route("/api/v1/query_range", http_method=BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def query_range(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Evaluate over a range (Prometheus: range queries)."""
        given = await parameters(request)
        start, end = given.needed_time("start"), given.needed_time("end")
        if end < start:
            raise bad_input('invalid parameter "end": end timestamp must not be before start time')
        step = given.duration("step")
        if step is None:
            raise bad_input('invalid parameter "step": cannot parse "" to a valid duration')
        if step <= 0:
            reason = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            raise bad_input(f'invalid parameter "step": {reason}')
        if (end - start) / step > MAX_POINTS:
            raise bad_input(
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        return result(
            await backend.range(_text(given), start, end, step, timeout_s=given.duration("timeout"))
        )

    @route("/api/v1/format_query", http_method=BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def format_query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The query, laid out."""
        from mamimon.metrics.promql import PromQLError, parse, pretty

        try:
            return success(pretty(parse(_text(await parameters(request)))))
        except PromQLError as error:
            raise bad_input(f'invalid parameter "query": {error}') from None

    @route(
        "/api/v1/query_exemplars", http_method=BOTH, exception_handlers={Problem: failure}, status_code=200
    )
    async def query_exemplars(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Exemplars of the series that a query selects; the newest `limit` (at most 10,000)."""
        from mamimon.metrics.promql import PromQLError, parse
        from mamimon.metrics.promql.ast import Selector, walk

        given = await parameters(request)
        start, end = given.needed_time("start"), given.needed_time("end")
        if end < start:
            raise bad_input("end timestamp must not be before start timestamp")
        try:
            nodes = list(walk(parse(_text(given))))
        except PromQLError as error:
            raise bad_input(f'invalid parameter "query": {error}') from None
        selectors = [list(node.matchers) for node in nodes if isinstance(node, Selector)]
        limit = min(given.limit() or MAX_EXEMPLARS, MAX_EXEMPLARS)
        found = await backend.exemplars(selectors, start, end, limit)
        return success(
            [
                {
                    "seriesLabels": labels,
                    "exemplars": [_exemplar(at, value, text) for _, at, value, text in rows],
                }
                for labels, rows in found
            ]
        )

    return [query, query_range, format_query, query_exemplars, words]


@get("/api/mamimon/promql/words", sync_to_thread=False)
def words() -> dict[str, Any]:
    """The functions and aggregators with their help, for completion."""
    from mamimon.metrics.promql import AGGREGATOR_HELP, FUNCTIONS

    functions = [
        {"name": one.name, "signature": one.signature, "help": one.help} for one in FUNCTIONS.values()
    ]
    return {"functions": functions, "aggregators": list(AGGREGATOR_HELP), "help": AGGREGATOR_HELP}


def _exemplar(at: int, value: float, labels: str) -> dict[str, Any]:
    return {"labels": msgspec.Raw(labels.encode()), "value": number(value), "timestamp": at / 1000}


def _text(given: Parameters) -> str:
    return given.get("query")
