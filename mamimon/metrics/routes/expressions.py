"""What reads only a query's text: layout, tree, the exemplars of its selectors, words for completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import HttpMethod, Request, Response, get, route

from mamimon.metrics.routes.answer import failure, nothing, parameters, success
from mamimon.metrics.routes.number import number
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.query import LocalBackend

_BOTH = [HttpMethod.GET, HttpMethod.POST]
MAX_EXEMPLARS = 10_000
END_OF_TIME = 9.2e9
"""Where no end is given (epoch seconds)."""


def expression_handlers(backend: LocalBackend) -> list[ControllerRouterHandler]:
    """`format_query`, `parse_query`, `query_exemplars` and the words of the language."""

    @route("/api/v1/format_query", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def format_query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The query, laid out."""
        from mamimon.metrics.promql import PromQLError, parse, pretty

        try:
            return success(pretty(parse((await parameters(request)).get("query"))))
        except PromQLError as error:
            raise bad_input(f'invalid parameter "query": {error}') from None

    @route("/api/v1/parse_query", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def parse_query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The query as a tree, as Prometheus' page draws it."""
        from mamimon.metrics.promql import PromQLError, parse
        from mamimon.metrics.routes.tree import tree

        try:
            return success(tree(parse((await parameters(request)).get("query"))))
        except PromQLError as error:
            raise bad_input(f'invalid parameter "query": {error}') from None

    @route(
        "/api/v1/query_exemplars", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200
    )
    async def query_exemplars(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Exemplars of the series that a query selects; the newest `limit` (at most 10,000)."""
        from mamimon.metrics.promql import PromQLError, parse
        from mamimon.metrics.promql.ast import Selector, walk

        given = await parameters(request)
        start, end = given.time("start", 0.0), given.time("end", END_OF_TIME)
        if end < start:
            raise bad_input("end timestamp must not be before start timestamp")
        try:
            nodes = list(walk(parse(given.get("query"))))
        except PromQLError as error:
            raise bad_input(str(error)) from None
        selectors = [list(node.matchers) for node in nodes if isinstance(node, Selector)]
        if not selectors:
            return nothing()
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

    return [format_query, parse_query, query_exemplars, words]


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
