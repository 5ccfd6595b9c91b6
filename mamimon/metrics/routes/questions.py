"""`/api/v1/query` and `/api/v1/query_range`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import HttpMethod, Request, Response, route

from mamimon.metrics.query import Spent
from mamimon.metrics.routes.answer import (
    LIMITED,
    Parameters,
    failure,
    parameters,
    quoted,
    result,
    unless_gone,
)
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core

_BOTH = [HttpMethod.GET, HttpMethod.POST]
MAX_POINTS = 11_000


def question_handlers(core: Core, backend: LocalBackend) -> list[ControllerRouterHandler]:
    """The handlers that evaluate PromQL."""

    @route("/api/v1/query", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Evaluate at one instant (Prometheus: instant queries)."""
        given = await parameters(request)
        limit = given.limit()
        at = given.time("time", core.clock.now())
        spent = Spent()
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            work = backend.instant(_text(given), at, timeout_s=timeout, lookback_s=lookback, spent=spent)
            answer = await unless_gone(request, work)
        return await _answered(given, answer, limit, spent)

    @route("/api/v1/query_range", http_method=_BOTH, exception_handlers={Problem: failure}, status_code=200)
    async def query_range(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Evaluate over a range (Prometheus: range queries)."""
        given = await parameters(request)
        limit = given.limit()
        start, end = given.needed_time("start"), given.needed_time("end")
        if end < start:
            raise bad_input('invalid parameter "end": end timestamp must not be before start time')
        step = given.duration("step")
        if step is None:
            raise bad_input('invalid parameter "step": cannot parse "" to a valid duration')
        if step <= 0:
            reason = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            raise bad_input(f'invalid parameter "step": {reason}')
        if (end - start) // step > MAX_POINTS:
            raise bad_input(
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        spent = Spent()
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            work = backend.range(
                _text(given), start, end, step, timeout_s=timeout, lookback_s=lookback, spent=spent
            )
            answer = await unless_gone(request, work)
        return await _answered(given, answer, limit, spent)

    return [query, query_range]


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """An expression that cannot be read is a mistake in the parameter `query`."""
    try:
        yield
    except Problem as problem:
        if problem.kind is Kind.BAD_INPUT:
            raise bad_input(f'invalid parameter "query": {problem.detail}') from None
        raise


def _lookback(given: Parameters) -> float | None:
    try:
        return given.duration("lookback_delta")
    except Problem as problem:
        reason = problem.detail.removeprefix('invalid parameter "lookback_delta": ')
        raise bad_input(f"error parsing lookback delta duration: {reason}") from None


async def _answered(given: Parameters, answer: QueryResult, limit: int, spent: Spent) -> Response[bytes]:
    if limit and answer.kind in ("vector", "matrix") and len(answer.labels) > limit:
        _cut(answer, limit)
        answer.warnings = [*answer.warnings, LIMITED]
    wanted = given.get("stats")
    if not wanted:
        return await result(answer)
    if wanted not in ("true", "all"):
        answer.warnings = [
            *answer.warnings,
            f'value {quoted(wanted)} for parameter "stats" is deprecated and will be rejected in the next '
            'major release, use "true" or "all"',
        ]
    timings = {
        "evalTotalTime": spent.evaluated_s,
        "resultSortTime": 0,
        "queryPreparationTime": 0,
        "innerEvalTime": spent.evaluated_s,
        "execQueueTime": spent.queued_s,
        "execTotalTime": spent.queued_s + spent.evaluated_s,
    }
    # The engine works on whole matrices: all that is read is held at once.
    read = dict.fromkeys(("totalQueryableSamples", "samplesRead", "peakSamples"), spent.samples)
    return await result(answer, msgspec.json.encode({"timings": timings, "samples": read}))


def _cut(answer: QueryResult, limit: int) -> None:
    """Leave the first `limit` series."""
    answer.labels = answer.labels[:limit]
    answer.values, answer.present = answer.values[:limit], answer.present[:limit]
    answer.series, answer.series_histograms = answer.series[:limit], answer.series_histograms[:limit]
    if answer.histograms is not None:
        answer.histograms = answer.histograms[:limit]


def _text(given: Parameters) -> str:
    return given.get("query")
