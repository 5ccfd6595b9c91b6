"""Questions to series: the interface that pages, rules and the API see, and our own store behind it."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec
from prometheus_client import Gauge

from mamimon.metrics.lane import Lane, Late
from mamimon.metrics.store import SeriesStore
from mamimon.metrics.store.at_hand import MOST_CELLS
from mamimon.problems import Kind, Problem
from mamimon.storage import Core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mamimon.metrics.model import Labels, Matcher, QueryResult, Selection
    from mamimon.metrics.promql.evaluator import Evaluator
    from mamimon.metrics.promql.explain import Explained
    from mamimon.metrics.store.dayfile import ExemplarRow
    from mamimon.metrics.store.select import LocalSource


Done = TypeVar("Done")
MOST_RAW_SAMPLES = 10_000_000
"""Samples that are handed out as they are (remote read) for one question: they are held twice."""


_OFTEN_MS = 30_000
"""Samples are taken to be so far apart where it is guessed how many there are."""
Span = tuple[int, int, int]
"""The first and the last instant and the step between them, in milliseconds; a step of 0 is one instant."""


def span(start: float, end: float | None = None, step_s: float = 0.0) -> Span:
    """Epoch seconds as a `Span`; without an end one instant."""
    if end is None:
        return round(start * 1000), round(start * 1000), 0
    return round(start * 1000), round(end * 1000), max(1, round(step_s * 1000))


class Spent(msgspec.Struct):
    """What answering a question took: seconds waiting for a thread and evaluating, samples loaded."""

    queued_s: float = 0.0
    evaluated_s: float = 0.0
    samples: int = 0


class Few(msgspec.Struct):
    """A small answer to an instant question: labels as JSON (of a number `{}`) and values."""

    kind: Literal["scalar", "vector"]
    at_ms: int
    rows: list[tuple[bytes, float]]


class SeriesBackend(Protocol):
    """Answers PromQL; times in epoch seconds, steps and time-outs in seconds."""

    async def instant(
        self, expr: str, at: float | None = None, *, timeout_s: float | None = None
    ) -> QueryResult:
        """Evaluate at one instant, now by default. Raises `Problem` (BAD_INPUT, UNPROCESSABLE, TIMEOUT)."""
        ...

    async def range(
        self, expr: str, start: float, end: float, step_s: float, *, timeout_s: float | None = None
    ) -> QueryResult:
        """Evaluate at each step of `[start, end]`. Raises as `instant`."""
        ...


def _as_it_is(found: QueryResult) -> QueryResult:
    return found


class LocalBackend:
    """PromQL over our own store, in worker threads, within a budget of time and samples."""

    def __init__(self, core: Core, store: SeriesStore) -> None:
        self._core = core
        self._settings = core.settings.metrics
        self._store = store
        self._lane = Lane(self._settings.query_max_concurrency)
        self._lookups = ThreadPoolExecutor(2, thread_name_prefix="series")
        self._running = Gauge(
            "mamimon_promql_queries", "PromQL queries under evaluation.", registry=core.registry
        )

    async def instant(
        self,
        expr: str,
        at: float | None = None,
        *,
        timeout_s: float | None = None,
        lookback_s: float | None = None,
        spent: Spent | None = None,
    ) -> QueryResult:
        """See `SeriesBackend.instant`; `spent` is filled in, `lookback_s` stands in for the setting."""
        at = self._core.clock.now() if at is None else at
        found = self.at_hand(expr, at, timeout_s=timeout_s, lookback_s=lookback_s, spent=spent)
        if found is not None:
            return found
        return await self.in_thread(_as_it_is, expr, span(at), timeout_s, lookback_s, spent)

    def at_hand(
        self,
        expr: str,
        start: float,
        end: float | None = None,
        step_s: float = 0.0,
        *,
        timeout_s: float | None = None,
        lookback_s: float | None = None,
        spent: Spent | None = None,
    ) -> QueryResult | None:
        """The answer to a small question, now, if it is in memory; raises as `instant`.

        At one instant, or at the steps to `end`. Never blocks. None: let a thread do it.
        """
        if "mamimon.metrics.promql.calls" not in sys.modules:
            return None  # importing it takes longer than any answer may here
        from mamimon.metrics.promql.small import is_small, is_small_over_time
        from mamimon.metrics.store.day import NotAtHand

        if not (is_small(expr) if end is None else is_small_over_time(expr)):
            return None
        at, began = span(start, end, step_s), time.monotonic()
        points = (at[1] - at[0]) // at[2] + 1 if at[2] else 1
        if points > MOST_CELLS:
            return None
        # Over many steps, or over long, only few series are few samples.
        source = self._store.at_hand(max(points, min((at[1] - at[0]) // _OFTEN_MS, MOST_CELLS)))
        try:
            found = self._answer(source, expr, at, lookback_s, began + min(1.0, timeout_s or 1.0))
        except NotAtHand:
            return None
        if spent is not None:
            spent.evaluated_s, spent.samples = time.monotonic() - began, source.loaded
        return found

    def few(self, expr: str, at: float, lookback_s: float | None = None) -> Few | None:
        """As `at_hand` where that is a number or few series' newest samples: no array is made for it."""
        if "mamimon.metrics.promql.parser" not in sys.modules:
            return None  # as in `at_hand`
        from mamimon.metrics.promql.small import plan
        from mamimon.metrics.store.day import NotAtHand

        found, at_ms = plan(expr), round(at * 1000)
        if found is None:
            return None
        if found.number is not None:
            return Few("vector" if found.is_vector else "scalar", at_ms, [(b"{}", found.number)])
        when = (at_ms if found.at_ms is None else found.at_ms) - found.offset_ms
        lookback_ms = round((lookback_s or self._settings.lookback_s) * 1000)
        try:
            return Few("vector", at_ms, self._store.newest.find(found.matchers, when, lookback_ms))
        except NotAtHand:
            return None

    def _answer(
        self,
        source: LocalSource,
        expr: str,
        at: Span,
        lookback_s: float | None,
        deadline: float,
        stopped: Callable[[], bool] = lambda: False,
        evaluator: Callable[..., Evaluator] | None = None,
    ) -> QueryResult:
        from mamimon.metrics.promql import PromQLError, evaluate
        from mamimon.metrics.promql.evaluator import Evaluator

        try:
            return evaluate(
                source,
                expr,
                *at,
                lookback_ms=round((lookback_s or self._settings.lookback_s) * 1000),
                max_samples=self._settings.query_max_samples,
                deadline=deadline,
                stopped=stopped,
                evaluator=evaluator or Evaluator,
            )
        except PromQLError as error:
            kinds = {"bad_data": Kind.BAD_INPUT, "execution": Kind.UNPROCESSABLE, "timeout": Kind.TIMEOUT}
            # "canceled" reaches nobody: who asked has gone.
            raise Problem(kinds.get(error.kind, Kind.UNAVAILABLE), str(error)) from None

    async def range(
        self,
        expr: str,
        start: float,
        end: float,
        step_s: float,
        *,
        timeout_s: float | None = None,
        lookback_s: float | None = None,
        spent: Spent | None = None,
    ) -> QueryResult:
        """See `SeriesBackend.range` and `instant`."""
        return await self.in_thread(_as_it_is, expr, span(start, end, step_s), timeout_s, lookback_s, spent)

    async def explain(self, expr: str, start: float, end: float, step_s: float) -> Explained:
        """What each node of a query takes and gives over `[start, end]`. Raises as `range`."""
        from mamimon.metrics.promql.explain import Tracing

        runs: list[Tracing] = []

        def traced(*given: Any, **named: Any) -> Tracing:
            runs.append(Tracing(*given, **named))
            return runs[-1]

        await self.in_thread(_as_it_is, expr, span(start, end, step_s), None, None, None, traced)
        return runs[-1].explained(expr)

    async def in_thread(
        self,
        then: Callable[[QueryResult], Done],
        expr: str,
        at: Span,
        timeout_s: float | None,
        lookback_s: float | None,
        spent: Spent | None,
        evaluator: Callable[..., Evaluator] | None = None,
    ) -> Done:
        """As `instant` and `range`, without a look at what is at hand; `then` makes of it what is wanted."""
        limit = self._settings.query_timeout_s
        asked = time.monotonic()
        deadline = asked + (limit if timeout_s is None else min(timeout_s, limit))
        stopped = False

        def work() -> Done:
            began = time.monotonic()
            self._running.inc()
            source = self._store.source(
                max_samples=self._settings.query_max_samples,
                deadline=deadline,
                stopped=lambda: stopped,
                step_ms=at[2],
            )
            try:
                found = self._answer(source, expr, at, lookback_s, deadline, lambda: stopped, evaluator)
                if spent is not None:
                    spent.queued_s, spent.evaluated_s = began - asked, time.monotonic() - began
                    spent.samples = source.loaded
                return then(found)
            finally:
                self._running.dec()

        try:
            return await self._lane.run(work, deadline - asked)
        except Late:
            raise Problem(Kind.TIMEOUT, "query timed out in query queue") from None
        except asyncio.CancelledError:
            stopped = True
            raise

    async def series(self, selectors: Sequence[Sequence[Matcher]], start: float, end: float) -> list[Labels]:
        """The label sets that match one of the selectors between two epoch seconds."""
        return await asyncio.get_running_loop().run_in_executor(
            self._lookups, self._store.series, selectors, round(start * 1000), round(end * 1000)
        )

    async def select(self, matchers: Sequence[Matcher], start: int, end: int) -> Selection:
        """The raw samples of matching series, `start <= t <= end` (ms), within the budget of a question."""
        source = self._store.source(
            max_samples=min(self._settings.query_max_samples, MOST_RAW_SAMPLES),
            deadline=time.monotonic() + self._settings.query_timeout_s,
        )
        return await asyncio.get_running_loop().run_in_executor(
            self._lookups, source.select, matchers, start, end
        )

    async def exemplars(
        self, selectors: Sequence[Sequence[Matcher]], start: float, end: float, limit: int
    ) -> list[tuple[Labels, list[ExemplarRow]]]:
        """The exemplars of matching series between two epoch seconds."""
        return await asyncio.get_running_loop().run_in_executor(
            self._lookups, self._store.exemplars, selectors, round(start * 1000), round(end * 1000), limit
        )

    def close(self) -> None:
        """Let the threads end."""
        self._lane.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)
