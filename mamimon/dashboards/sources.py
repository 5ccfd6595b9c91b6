"""Where panels get their data: the rooms below, each question within its own small budget.

A question that fails or takes too long becomes the panel's own error text; the page goes on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
from litestar.exceptions import HTTPException

from mamimon.events.routes import chart_data
from mamimon.i18n import gettext as _
from mamimon.logs.query import LogQuery
from mamimon.metrics.changes import changes
from mamimon.metrics.drawn import drawn, exemplars_drawn, heat_drawn
from mamimon.problems import Problem
from mamimon.window import Window, fitting, read_window

if TYPE_CHECKING:
    from mamimon.errors.model import EventSummary, IssueSummary
    from mamimon.errors.room import ErrorRoom
    from mamimon.events.room import EventRoom
    from mamimon.health.model import CheckStatus
    from mamimon.health.room import HealthRoom
    from mamimon.logs.model import LogPage
    from mamimon.logs.patterns.room import PatternCount
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.changes import Changes
    from mamimon.metrics.model import Matcher, QueryResult
    from mamimon.metrics.room import MetricRoom
    from mamimon.metrics.store.dayfile import ExemplarRow

T = TypeVar("T")
_log = logging.getLogger("mamimon.dashboards")
BUDGET_S = 2.0
_VARYING = re.compile(r"\b0x[0-9a-f]+\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\d+(?:\.\d+)?", re.I)
ERROR_LINES = "level:ERROR OR level:CRITICAL"


class AlertSource(Protocol):
    """What the pages ask of the alerts room; a sibling, so the house hands it over."""

    def firing(self) -> Sequence[Any]:
        """Pending and firing alerts, from memory."""
        ...

    def incidents(self, limit: int = 20) -> Awaitable[Sequence[Any]]:
        """Incidents that are not resolved, then the latest resolved ones."""
        ...

    def deploys(self, start: float, end: float) -> Awaitable[list[dict[str, Any]]]:
        """Deploys between two instants, newest first."""
        ...

    def marks(self, start: float, end: float) -> Awaitable[Sequence[dict[str, Any]]]:
        """What charts mark: deploys and incidents between two instants."""
        ...


class Sample(msgspec.Struct):
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


class Answer(msgspec.Struct):
    """What a question was answered: the data, or why there is none."""

    data: Any = None
    error: str = ""


class Sources:
    """The rooms, asked in one voice."""

    def __init__(
        self, logs: LogRoom, metrics: MetricRoom, errors: ErrorRoom, events: EventRoom, health: HealthRoom
    ) -> None:
        self._logs = logs
        self._metrics = metrics
        self._errors = errors
        self.events = events
        self._health = health
        self.alerts: AlertSource | None = None

    async def lines_ever(self, query: LogQuery) -> LogPage:
        """Log lines by a query of one's own, of any time."""
        return await self._logs.backend.search(query)

    async def errors_of_requests(self, ids: Sequence[str], limit: int) -> list[tuple[EventSummary, int]]:
        """Error events of requests, each with the number of its issue."""
        return await self._errors.events.of_requests(ids, limit)

    async def exemplars(
        self, selectors: Sequence[Sequence[Matcher]], start: float, end: float, limit: int
    ) -> list[tuple[dict[str, str], list[ExemplarRow]]]:
        """Exemplars of series between two epoch seconds."""
        return await self._metrics.exemplars(selectors, start, end, limit)

    async def instant(self, expr: str, at: float | None = None) -> list[Sample]:
        """The series of an instant query with their values, absent ones left out."""
        result = await self._metrics.backend.instant(expr, at, timeout_s=BUDGET_S)
        if result.kind == "string":
            return []
        return [
            Sample(dict(labels), float(result.values[row, 0]))
            for row, labels in enumerate(result.labels)
            if bool(result.present[row, 0])
        ]

    async def result(self, expr: str, at: float | None = None) -> QueryResult:
        """An instant query as a matrix of one step."""
        return await self._metrics.backend.instant(expr, at, timeout_s=BUDGET_S)

    async def range(self, expr: str, window: Window, points: int) -> QueryResult:
        """A query over a window; the last of about `points` steps is its end."""
        step = window.step(points)
        start = window.end - int((window.end - window.start) / step) * step
        return await self._metrics.backend.range(expr, start, window.end, step, timeout_s=BUDGET_S)

    async def lines_of(
        self, queries: Sequence[str], legends: Sequence[str], window: Window, *, exemplars: bool = False
    ) -> dict[str, Any]:
        """Queries over a window, as chart JSON."""
        answer = await drawn(self._metrics.backend, queries, legends, window, window.end)
        if exemplars:
            found = exemplars_drawn(self._metrics.exemplars, queries, window.start, window.end)
            answer["exemplars"] = await found
        return answer

    async def heat(self, query: str, window: Window) -> dict[str, Any]:
        """A histogram over a window, as the JSON of a heat map."""
        return await heat_drawn(self._metrics.backend, query, window, window.end)

    async def event_chart(self, types: Sequence[str], window: Window) -> dict[str, Any]:
        """Events a step by type, as chart JSON."""
        return await chart_data(self.events.store, window, list(types))

    async def marks(self, start: float, end: float) -> list[dict[str, Any]]:
        """Deploys, alerts and incidents of a time: `time`, `label` and `kind` of each."""
        return [] if self.alerts is None else list(await self.alerts.marks(start, end))

    async def lines(self, text: str, window: Window, size: int = 20) -> LogPage:
        """The newest log lines that match (`LogPage`)."""
        return await self._logs.backend.search(_log_query(text, window, size))

    async def log_chart(self, text: str, window: Window) -> dict[str, Any]:
        """Log lines a step by level, as chart JSON."""
        step = window.step(60)
        found = await self._logs.backend.histogram(_log_query(text, window), step)
        series = [
            {"name": level or "–", "values": counts} for level, counts in found.counts.items() if any(counts)
        ]
        return {"times": list(found.times), "series": series, "marks": [], "error": ""}

    async def log_top(self, text: str, field: str, window: Window, size: int = 10) -> list[tuple[str, int]]:
        """The most frequent values of a field in the lines that match; messages without their numbers."""
        if field != "message":
            return await self._logs.backend.facet(_log_query(text, window), field, size)
        # Lines that differ in an id or a duration only are one line to a person.
        alike: Counter[str] = Counter()
        for value, count in await self._logs.backend.facet(_log_query(text, window), field, 500):
            alike[_VARYING.sub("<n>", value)] += count
        return alike.most_common(size)

    async def top_errors(self, start: float, end: float, limit: int = 10) -> list[IssueSummary]:
        """The error groups that happened most between two epoch seconds, to the hour."""
        return await self._errors.query.top(start, end, limit)

    async def changed_series(self, window: Window, limit: int) -> Changes:
        """The series that moved most in a window."""
        return await changes(self._metrics.backend, window.start, window.end, limit)

    async def unusual_patterns(self, window: Window, limit: int) -> list[PatternCount]:
        """Patterns of log lines that are new in a window or came more often."""
        return await self._logs.patterns.unusual(window.start, window.end, limit)

    async def new_issues(self, window: Window, now: float, limit: int) -> list[IssueSummary]:
        """Error groups that were first seen in a window, the newest first."""
        text = f"age:-{math.ceil(max(now - window.start, 1))}s"
        if window.end < now - 1:
            text += f" age:+{math.floor(now - window.end)}s"
        return (await self._errors.query.search(text, now=now, sort="first_seen", limit=limit)).issues

    async def deploys(self, window: Window) -> list[dict[str, Any]]:
        """Deploys of a window, the newest first."""
        return await self.alerts.deploys(window.start, window.end) if self.alerts is not None else []

    async def window(self, query: Mapping[str, str], now: float, default: str = "1h") -> Window:
        """The window a page is asked for; without one, the part of the default that has samples or lines."""
        if not (query.get("since") or query.get("start") or query.get("end")):
            firsts = (self._metrics.oldest(), (await attempt(self._logs.oldest())).data)
            default = fitting(min((one for one in firsts if one is not None), default=None), now, default)
        return read_window(query, now, default)

    def checks(self) -> list[CheckStatus]:
        """Every check as it stands."""
        return list(self._health.statuses())

    def firing(self) -> list[Any]:
        """Pending and firing alerts."""
        return list(self.alerts.firing()) if self.alerts is not None else []

    async def incidents(self) -> list[Any]:
        """Incidents that are not resolved."""
        if self.alerts is None:
            return []
        return [one for one in await self.alerts.incidents(20) if one.state != "resolved"]

    async def choices(self, metric: str, label: str) -> list[str]:
        """The values of a label among the current series of a metric."""
        found = await self.instant(f"count by ({label}) ({metric})")
        return sorted(one.labels[label] for one in found if one.labels.get(label))

    async def known(self, names: Sequence[str]) -> bool:
        """Whether any of these is the name of a metric that has samples now."""
        if not names:
            return False
        pattern = "|".join(names[:20])
        return bool(await self.instant(f'count({{__name__=~"{pattern}"}})'))


async def attempt(work: Awaitable[T], budget_s: float = BUDGET_S) -> Answer:
    """The answer of `work` within `budget_s`, or the reason why there is none."""
    try:
        return Answer(await asyncio.wait_for(work, budget_s))
    except Problem as error:
        return Answer(error=error.detail)
    except HTTPException as error:
        return Answer(error=error.detail)
    except TimeoutError:
        return Answer(error=_("This took too long; ask for a shorter time."))
    except Exception:
        _log.exception("a panel failed")
        return Answer(error=_("This panel failed; mamimon's log has the details."))


async def attempts(work: Mapping[str, Awaitable[Any]], budget_s: float = BUDGET_S) -> dict[str, Answer]:
    """Several attempts at once, by name; each fails alone."""
    answers = await asyncio.gather(*(attempt(one, budget_s) for one in work.values()))
    return dict(zip(work, answers, strict=True))


def _log_query(text: str, window: Window, size: int = 100) -> LogQuery:
    return LogQuery(text=text, start=window.start, end=window.end, size=size)
