"""`/api/v1/query` and `/api/v1/query_range`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mamimon.http import AsgiApp, Receive, Scope, Send, unless_gone
from mamimon.http import answer as send_answer
from mamimon.metrics.query import Spent
from mamimon.metrics.routes.answer import (
    LIMITED,
    Body,
    Parameters,
    parameters_of,
    quoted,
    refused,
    result,
    stream,
)
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")
_METHODS = ("GET", "POST")
MAX_POINTS = 11_000


def question_doors(core: Core, backend: LocalBackend) -> dict[str, AsgiApp]:
    """What evaluates PromQL, by path: plain ASGI, for the framework would be half of a small answer."""

    async def instant(given: Parameters, receive: Receive) -> Body:
        limit = given.limit()
        at = given.time("time", core.clock.now())
        spent = Spent()
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            text = _text(given)
            answer = backend.at_hand(text, at, timeout_s=timeout, lookback_s=lookback, spent=spent)
            if answer is None:
                work = backend.instant(text, at, timeout_s=timeout, lookback_s=lookback, spent=spent)
                answer = await unless_gone(receive, work)
        return await _answered(given, answer, limit, spent)

    async def over_range(given: Parameters, receive: Receive) -> Body:
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
            answer = await unless_gone(receive, work)
        return await _answered(given, answer, limit, spent)

    return {"/api/v1/query": _door(instant), "/api/v1/query_range": _door(over_range)}


Work = Callable[[Parameters, Receive], Awaitable[Body]]


def _door(work: Work) -> AsgiApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_template"] = scope["path"]
        await _serve(work, scope, receive, send)

    return app


async def _serve(work: Work, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] not in _METHODS:
        status = 204 if scope["method"] == "OPTIONS" else 405
        await send_answer(send, status, content_type="", headers=[("Allow", "GET, OPTIONS, POST")])
        return
    try:
        body = await work(await parameters_of(scope, receive), receive)
    except Problem as problem:
        status, said, headers = refused(problem)
        await send_answer(send, status, said, headers=headers.items())
        return
    except Exception:
        _log.exception("%s %s failed", scope["method"], scope["path"])
        status, said, _ = refused(Problem(Kind.INTERNAL, "mamimon made a mistake; the log has the details"))
        await send_answer(send, status, said)
        return
    await stream(scope, receive, send, body)


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


async def _answered(given: Parameters, answer: QueryResult, limit: int, spent: Spent) -> Body:
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
