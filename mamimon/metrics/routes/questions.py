"""`/api/v1/query` and `/api/v1/query_range`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mamimon.http import AsgiApp, AtOnce, Receive, Scope, Send, Whole, unless_gone
from mamimon.http import answer as send_answer
from mamimon.metrics.query import Spent, span
from mamimon.metrics.routes.answer import (
    LIMITED,
    TRIED,
    Body,
    Parameters,
    body_of,
    parameters_of,
    parameters_with,
    refused,
    stream,
    whole,
)
from mamimon.metrics.routes.encode import encode_few
from mamimon.metrics.routes.reading import quoted
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import LocalBackend
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")
_METHODS = ("GET", "POST")
_JSON = ((b"content-type", b"application/json"),)
MAX_POINTS = 11_000


def question_doors(core: Core, backend: LocalBackend) -> dict[str, AsgiApp]:
    """What evaluates PromQL, by path: plain ASGI, for the framework would be half of a small answer."""

    async def instant(given: Parameters, receive: Receive) -> Body:
        limit = given.limit()
        at = given.time("time", core.clock.now())
        spent = Spent()
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            text = given.get("query")
            answer = None
            if not given.tried:
                answer = backend.at_hand(text, at, timeout_s=timeout, lookback_s=lookback, spent=spent)
            if answer is not None:
                return _answered(given, limit, spent, answer)
            at_ms = round(at * 1000)
            written = partial(_answered, given, limit, spent)
            work = backend.in_thread(written, text, (at_ms, at_ms, 0), timeout, lookback, spent)
            return await unless_gone(receive, work)

    async def over_range(given: Parameters, receive: Receive) -> Body:
        limit = given.limit()
        asked = span(*_range(given))
        spent = Spent()
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            written = partial(_answered, given, limit, spent)
            work = backend.in_thread(written, given.get("query"), asked, timeout, lookback, spent)
            return await unless_gone(receive, work)

    return {"/api/v1/query": _door(instant), "/api/v1/query_range": _door(over_range)}


def prompt_doors(core: Core, backend: LocalBackend) -> dict[str, AtOnce]:
    """What of these is answered before a task is made: small questions whose samples are in memory."""

    def instant(given: Parameters) -> bytes | None:
        limit = given.limit()
        at = given.time("time", core.clock.now())
        timeout, lookback = given.duration("timeout"), _lookback(given)
        text = given.get("query")
        few = backend.few(text, at, lookback)
        if few is not None and (not limit or len(few.rows) <= limit):
            return encode_few(few)
        with _readable():
            answer = backend.at_hand(text, at, timeout_s=timeout, lookback_s=lookback)
        return _whole(answer, limit)

    def over_range(given: Parameters) -> bytes | None:
        limit = given.limit()
        asked = _range(given)
        timeout, lookback = given.duration("timeout"), _lookback(given)
        with _readable():
            answer = backend.at_hand(given.get("query"), *asked, timeout_s=timeout, lookback_s=lookback)
        return _whole(answer, limit)

    return {"/api/v1/query": _prompt_door(instant), "/api/v1/query_range": _prompt_door(over_range)}


def _prompt_door(work: Callable[[Parameters], bytes | None]) -> AtOnce:
    def run(scope: Scope, body: bytes) -> Whole | None:
        try:
            given = parameters_with(scope, body)
            found = None if given.get("stats") else work(given)
        except Problem as problem:
            status, said, headers = refused(problem)
            more = tuple((key.encode(), value.encode()) for key, value in headers.items())
            return Whole(status, (*_JSON, *more), said)
        except Exception:
            status, said = _failed(scope)
            return Whole(status, _JSON, said)
        if found is None:
            given.tried = True
            scope[TRIED] = given
            return None
        return Whole(200, _JSON, found)

    return run


def _whole(answer: QueryResult | None, limit: int) -> bytes | None:
    if answer is None:
        return None
    _limit(answer, limit)
    return whole(answer)


def _range(given: Parameters) -> tuple[float, float, float]:
    """Start, end and step."""
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
    return start, end, step


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
        await send_answer(send, *_failed(scope))
        return
    await stream(scope, receive, send, body)


def _failed(scope: Scope) -> tuple[int, bytes]:
    _log.exception("%s %s failed", scope["method"], scope["path"])
    return refused(Problem(Kind.INTERNAL, "mamimon made a mistake; the log has the details"))[:2]


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


def _answered(given: Parameters, limit: int, spent: Spent, answer: QueryResult) -> Body:
    """The body of an answer. Long work for large ones."""
    _limit(answer, limit)
    wanted = given.get("stats")
    if not wanted:
        return body_of(answer)
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
    return body_of(answer, msgspec.json.encode({"timings": timings, "samples": read}))


def _limit(answer: QueryResult, limit: int) -> None:
    """Leave the first `limit` series; 0 is no limit."""
    if not limit or answer.kind not in ("vector", "matrix") or len(answer.labels) <= limit:
        return
    answer.warnings = [*answer.warnings, LIMITED]
    answer.labels = answer.labels[:limit]
    answer.values, answer.present = answer.values[:limit], answer.present[:limit]
    answer.series, answer.series_histograms = answer.series[:limit], answer.series_histograms[:limit]
    if answer.histograms is not None:
        answer.histograms = answer.histograms[:limit]
