"""What pages, rules and other rooms ask of the log store, and its answer from the day files."""

from __future__ import annotations

import fnmatch
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Generic, Protocol, TypeVar

import msgspec

from mamimon.clock import Clock
from mamimon.config import LogSettings
from mamimon.logs.clauses import Row
from mamimon.logs.lucene import Style, parse
from mamimon.logs.model import (
    LEVELS,
    LogFacets,
    LogHistogram,
    LogHit,
    LogPage,
    logger_of,
    message_of,
)
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.store.summary import counted, grouping
from mamimon.logs.store.tally import EVER_US, Grain
from mamimon.logs.text import shown
from mamimon.problems import bad_input
from mamimon.storage.days import day_of, day_start

K = TypeVar("K", int, str)
_MOST_STEPS = 5_000
_FACET_VALUES = 20_000
_LONGEST_VALUE = 200


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines: a Lucene query string, datasets (names or wildcards), and time `[start, end)`."""

    text: str = ""
    datasets: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    size: int = 100
    before: str = ""
    """A page's `next`: only lines that come after it in the newest-first order."""
    within_s: float | None = None
    """Seconds after which what was found is enough; the setting's, and never more."""


class _Steps(msgspec.Struct, Generic[K]):
    """Counts by step for each key."""

    times: list[float]
    table: dict[K, list[int]]
    partial: bool


class LogBackend(Protocol):
    """Where lines are searched: our own day files, or an Elasticsearch."""

    async def search(self, query: LogQuery) -> LogPage:
        """The newest `size` lines."""
        ...

    async def histogram(self, query: LogQuery, step_s: float) -> LogHistogram:
        """Lines a step and level."""
        ...

    async def histogram_by(self, query: LogQuery, field: str, step_s: float, most: int) -> LogHistogram:
        """Lines a step and value of a field, of its `most` commonest; lines without it are left out."""
        ...

    async def facet(self, query: LogQuery, field: str, size: int = 10) -> list[tuple[str, int]]:
        """The commonest values of a field with their counts."""
        ...


class DayBackend:
    """`LogBackend` over the day files."""

    def __init__(self, days: LogDays, settings: LogSettings, clock: Clock) -> None:
        self.days = days
        self._settings = settings
        self._clock = clock

    def plan(self, query: LogQuery) -> Plan:
        """Read the query's text; a mistake in it raises `BAD_INPUT`."""
        patterns = query.datasets
        return Plan(
            clause=parse(query.text, Style(now=self._clock.now())),
            datasets=(lambda name, plain, index: any(fnmatch.fnmatchcase(name, p) for p in patterns))
            if patterns
            else None,
            low_us=-(1 << 62) if query.start is None else math.ceil(round(query.start * 1e6, 1)),
            high_us=1 << 62 if query.end is None else math.ceil(round(query.end * 1e6, 1)),
            deadline=self.deadline(query.within_s),
        )

    def deadline(self, within_s: float | None = None) -> float:
        """When a query that starts now must end, on `time.monotonic()`, which worker threads read."""
        most = self._settings.query_timeout_s
        return time.monotonic() + (most if within_s is None else min(most, within_s))

    def days_within(self, plan: Plan) -> list[str]:
        """The days that can hold an answer, newest first."""
        return _within(plan, self.days.days())[::-1]

    def damaged_within(self, plan: Plan) -> int:
        """How many of the days that could hold an answer were set aside as damaged."""
        return len(_within(plan, sorted(self.days.damaged)))

    async def search(self, query: LogQuery) -> LogPage:
        """See `LogBackend.search`."""
        if not 0 <= query.size <= self._settings.query_max_rows:
            raise bad_input(f"size must be between 0 and {self._settings.query_max_rows}")
        began = time.monotonic()
        plan = self.plan(query)
        wanted = query.size + 1
        edge = read_place(query.before)
        if edge is not None:
            plan.high_us = min(plan.high_us, edge[0] + 1)
        hits: list[LogHit] = []
        incomplete = False

        def work(view: View) -> list[LogHit]:
            # Those of newer days are there already, at least of the days that were answered.
            return _newest_hits(wanted - len(hits), edge, view)

        async with aclosing(self.days.read_each(self.days_within(plan), plan, work)) as answers:
            async for found, whole in answers:
                incomplete |= not whole
                hits += found or []
                if len(hits) >= wanted:
                    break
        incomplete |= self.damaged_within(plan) > 0
        took = (time.monotonic() - began) * 1000
        more = len(hits) > query.size
        hits = hits[: query.size]
        following = place_of(hits[-1]) if more and hits else ""
        return LogPage(hits=hits, more=more, partial=incomplete, took_ms=took, next=following)

    async def following(self, query: LogQuery, place: str) -> list[LogHit]:
        """The `size` lines that come next after a place (`place_of`), the oldest first."""
        plan = self.plan(query)
        edge = read_place(place)
        assert edge is not None
        plan.low_us = max(plan.low_us, edge[0])
        hits: list[LogHit] = []
        days = self.days_within(plan)[::-1]

        def work(view: View) -> list[LogHit]:
            return _next_hits(query.size - len(hits), edge, view)

        async with aclosing(self.days.read_each(days, plan, work)) as answers:
            async for found, _ in answers:
                hits += found or []
                if len(hits) >= query.size:
                    break
        return hits[: query.size]

    async def histogram(self, query: LogQuery, step_s: float) -> LogHistogram:
        """See `LogBackend.histogram`."""
        found = await self._steps(query, step_s, count_steps)
        table = {LEVELS[level]: counts for level, counts in found.table.items()}
        ordered = {name: table[name] for name in LEVELS if name in table}
        return LogHistogram(times=found.times, counts=ordered, partial=found.partial)

    async def histogram_by(self, query: LogQuery, field: str, step_s: float, most: int) -> LogHistogram:
        """See `LogBackend.histogram_by`."""
        found = await self._steps(query, step_s, partial(_count_value_steps, field=field))
        commonest = sorted(found.table, key=lambda value: (-sum(found.table[value]), value))[:most]
        counts = {value: found.table[value] for value in commonest}
        return LogHistogram(times=found.times, counts=counts, partial=found.partial)

    async def _steps(
        self, query: LogQuery, step_s: float, work: Callable[..., dict[tuple[int, K], int]]
    ) -> _Steps[K]:
        plan = self.plan(query)
        days = self.days_within(plan)
        start = query.start if query.start is not None else day_start(days[-1]) if days else 0.0
        end = query.end if query.end is not None else self._clock.now()
        if step_s <= 0 or (end - start) / step_s > _MOST_STEPS:
            raise bad_input(f"a histogram may have {_MOST_STEPS} steps at most")
        first = math.floor(start / step_s)
        count = max(0, math.ceil(end / step_s) - first)
        step_us = round(step_s * 1_000_000)
        counts: Counter[tuple[int, K]] = Counter()
        incomplete = False
        async with aclosing(self.days.read_each(days, plan, partial(work, step_us=step_us))) as answers:
            async for found, whole in answers:
                incomplete |= not whole
                counts.update(found or {})
        incomplete |= self.damaged_within(plan) > 0
        table: dict[K, list[int]] = {}
        for (step, key), n in counts.items():
            if 0 <= step - first < count:
                table.setdefault(key, [0] * count)[step - first] += n
        return _Steps([(first + i) * step_s for i in range(count)], table, incomplete)

    async def facet(self, query: LogQuery, field: str, size: int = 10) -> list[tuple[str, int]]:
        """See `LogBackend.facet`."""
        return (await self.facets(query, [field], size)).values[field]

    async def facets(self, query: LogQuery, fields: Sequence[str], size: int = 10) -> LogFacets:
        """Several facets by one pass over the lines."""
        plan = self.plan(query)
        incomplete = self.damaged_within(plan) > 0
        totals: dict[str, Counter[str]] = {field: Counter() for field in fields}
        work = partial(_count_values, fields=fields)
        async with aclosing(self.days.read_each(self.days_within(plan), plan, work)) as answers:
            async for found, whole in answers:
                incomplete |= not whole
                for field, counts in (found or {}).items():
                    totals[field].update(counts)
        values = {
            field: sorted(((k, n) for k, n in counts.items() if k), key=lambda pair: (-pair[1], pair[0]))[
                :size
            ]
            for field, counts in totals.items()
        }
        return LogFacets(values=values, partial=incomplete)


def place_of(hit: LogHit) -> str:
    """Where a line stands in the newest-first order, as `LogQuery.before` takes it."""
    return f"{round(hit.time * 1_000_000)}.{hit.seq}"


def read_place(text: str) -> tuple[int, int] | None:
    """Microseconds and row number of a place; None for no text."""
    if not text:
        return None
    found = re.fullmatch(r"(-?\d{1,18})\.(\d{1,18})", text)
    if not found:
        raise bad_input(f"not a place in the lines: {text[:40]}")
    return int(found[1]), int(found[2])


def _newest_hits(most: int, edge: tuple[int, int] | None, view: View) -> list[LogHit]:
    # Lines of the edge's own microsecond that stand before it were on the page before.
    rows = (row for row in view.newest() if edge is None or (row.time_us, row.seq) < edge)
    return [hit_of(row) for row in islice(rows, max(0, most))]


def _next_hits(most: int, edge: tuple[int, int], view: View) -> list[LogHit]:
    rows = (row for row in view.oldest() if (row.time_us, row.seq) > edge)
    return [hit_of(row) for row in islice(rows, max(0, most))]


def hit_of(row: Row) -> LogHit:
    """A found row with what people read of it."""
    document = row.document
    return LogHit(
        id=row.id,
        dataset=row.source.dataset_of(row.dataset),
        time=row.time_us / 1_000_000,
        level=LEVELS[row.level],
        logger=logger_of(document),
        message=message_of(document),
        raw=row.raw,
        index=row.source.index_of(row.dataset),
        seq=row.seq,
        pattern=row.pattern,
    )


def _within(plan: Plan, days: list[str]) -> list[str]:
    """Those of the days, which are in order, that the plan's time touches."""
    low, high = plan.window()
    if low > -(1 << 61):
        first = day_of(max(low / 1e6, -62e9))
        days = [day for day in days if day >= first]
    if high < 1 << 61:
        last = day_of(min(max(high / 1e6, -62e9), 253e9))
        days = [day for day in days if day <= last]
    return days if plan.days is None else [day for day in days if plan.days(day)]


def count_steps(view: View, step_us: int) -> dict[tuple[int, int], int]:
    """Matching rows by (step number, level); from the roll-ups where the clause asks no more."""
    counts: Counter[tuple[int, int]] = Counter()
    grain = Grain(0 if step_us >= EVER_US else step_us, levels=True)
    for row in counted(view, grain):
        counts[row.time_us // step_us, row.level] += row.weight
    return counts


def _count_value_steps(view: View, field: str, step_us: int) -> dict[tuple[int, str], int]:
    counts: Counter[tuple[int, str]] = Counter()
    values: set[str] = {""}
    named = grouping(field)
    grain = Grain(0 if step_us >= EVER_US else step_us, fields=named or frozenset())
    for row in view.any_order() if named is None else counted(view, grain):
        step = row.time_us // step_us
        for value in [LEVELS[row.level]] if field == "level" else row.values(field):
            text = shown(value)[:_LONGEST_VALUE]
            if text not in values and len(values) <= _FACET_VALUES:
                values.add(text)
            if text and text in values:
                counts[step, text] += row.weight
    return counts


def count_all(view: View) -> int:
    """How many rows match."""
    return sum(row.weight for row in counted(view, Grain()))


def _count_values(view: View, fields: Sequence[str]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {field: Counter() for field in fields}
    named = [grouping(field) for field in fields]
    grain = Grain(fields=frozenset().union(*(one for one in named if one)))
    for row in view.any_order() if None in named else counted(view, grain):
        for field in fields:
            counter = counts[field]
            for value in [LEVELS[row.level]] if field == "level" else row.values(field):
                text = shown(value)
                if text in counter or len(counter) < _FACET_VALUES:
                    counter[text] += row.weight
    return counts
