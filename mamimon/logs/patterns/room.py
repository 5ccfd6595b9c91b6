"""Patterns while the server runs: known again after a restart, saved as they change, counted by window.

Definitions lie in `mamimon.db`, counts a minute and hour beside the lines in the day files. A kill
may cost the definitions of the last second; their counts are still there, and the definition is
made again of one of the lines.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial

import msgspec

from mamimon.logs.clauses import All
from mamimon.logs.model import level_number, pattern_id
from mamimon.logs.patterns import store
from mamimon.logs.patterns.drain import Template, forms_of, shapes_of, words_of
from mamimon.logs.patterns.miner import Miner, Pattern
from mamimon.logs.query import DayBackend, LogQuery
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from mamimon.problems import Problem
from mamimon.storage import Core
from mamimon.storage.days import day_start

_log = logging.getLogger("mamimon.logs")
_SAVE_S = 1.0
_FORGET_S = 3600.0
_BY_MINUTE_S = 12 * 3600.0
_ADOPTED = 20
_SURE = 3.0
_TIMES = 2.0


class PatternCount(msgspec.Struct, kw_only=True):
    """A pattern in a window: lines in it and in as long a time before, and lines by bin."""

    pattern: Pattern
    count: int
    before: int
    bins: list[int]
    new: bool
    """No line of it is older than the window."""
    change: str = ""
    """`up` or `down` where the rate at least doubled or halved and chance cannot explain it."""


class PatternWindow(msgspec.Struct, kw_only=True):
    """Patterns of a window, the commonest first; `step_s` is the length of a bin."""

    counts: list[PatternCount]
    start: float
    step_s: float
    unsorted: int = 0
    """Lines that have no pattern: without a message, or of more kinds than are told apart."""
    partial: bool = False
    compared: bool = True
    """False where there are no lines old enough to compare with."""


class PatternRoom:
    """`miner` sorts lines at ingest; `window` answers what pages and incidents ask."""

    def __init__(self, core: Core, days: LogDays, backend: DayBackend) -> None:
        self._core = core
        self._days = days
        self._backend = backend
        self.miner = Miner(core.registry, core.clock, core.settings.metrics.scrape_interval_s)
        days.sort = self.miner.sort
        self._failed = False

    async def open(self) -> None:
        """Know the patterns from before."""
        self.miner.load(await self._core.state.read(store.read))

    async def close(self) -> None:
        """Save what changed last."""
        await self._save()

    async def run(self) -> None:
        """Save each second what changed; forget each hour what has no line any more."""
        forgot = self._core.clock.monotonic()
        while True:
            await self._core.clock.sleep(_SAVE_S)
            await self._save()
            if self._core.clock.monotonic() - forgot > _FORGET_S:
                forgot = self._core.clock.monotonic()
                await self._forget()

    async def _save(self) -> None:
        changed = self.miner.changed()
        if not changed:
            return
        try:
            await self._core.state.write(lambda raw: store.save(raw, changed))
            self._failed = False
        except Problem as problem:
            self.miner.again(changed)
            if not self._failed:
                _log.warning("patterns cannot be saved for now: %s", problem.detail)
            self._failed = True

    async def _forget(self) -> None:
        days = self._days.days()
        oldest = day_start(days[0]) if days else math.inf
        gone = self.miner.forget(lambda pattern: pattern.last_seen < oldest)
        if gone:
            await self._core.state.write(lambda raw: store.delete(raw, gone))

    async def watch(self, number: int, watched: bool) -> Pattern | None:
        """Count a pattern's lines in `mamimon_log_pattern_lines_total`, or stop it; None if unknown."""
        pattern = self.miner.watch(number, watched)
        await self._save()
        return pattern

    async def window(
        self,
        start: float,
        end: float,
        *,
        bins: int = 40,
        wanted: Callable[[Pattern], bool] | None = None,
    ) -> PatternWindow:
        """Every pattern with lines in `[start, end)`, whole minutes or hours, and what is new or changed."""
        unit = 60.0 if end - start <= _BY_MINUTE_S else 3600.0
        first, last = math.floor(start / unit), math.ceil(end / unit)
        width = max(1, math.ceil((last - first) / bins))
        bins = math.ceil((last - first) / width)
        before = first - (last - first)
        totals: dict[int, list[int]] = {}
        earlier: dict[int, int] = {}
        whole = True
        plan = Plan(clause=All(), low_us=round(before * unit * 1e6), high_us=round(last * unit * 1e6))
        plan.deadline = self._backend.deadline()
        for day in self._backend.days_within(plan):
            work = partial(_counted, unit, before, first, last, width)
            found, seen = await self._days.read(day, plan, work)
            whole &= seen
            for number, place, n in found or []:
                if place < 0:
                    earlier[number] = earlier.get(number, 0) + n
                else:
                    totals.setdefault(number, [0] * bins)[place] += n
        unsorted = sum(totals.pop(0, []))
        compared = bool(earlier)
        counts = [
            _compare(pattern, row, earlier.get(pattern.number, 0), first * unit, compared)
            for pattern, row in await self._named(totals)
            if wanted is None or wanted(pattern)
        ]
        counts.sort(key=lambda one: (-one.count, one.pattern.number))
        return PatternWindow(
            counts=counts, start=first * unit, step_s=width * unit,
            unsorted=unsorted, partial=not whole, compared=compared,
        )  # fmt: skip

    async def unusual(self, start: float, end: float, limit: int = 10) -> list[PatternCount]:
        """Patterns that are new in `[start, end)` or came more often, the worst level first."""
        window = await self.window(start, end)
        found = [one for one in window.counts if one.new or one.change == "up"]
        found.sort(key=lambda one: (-level_number(one.pattern.level), not one.new, -one.count))
        return found[:limit]

    async def _named(self, totals: dict[int, list[int]]) -> list[tuple[Pattern, list[int]]]:
        known = self.miner.known()
        unknown = [number for number in totals if number not in known][:_ADOPTED]
        for pattern in await asyncio.gather(*map(self._adopt, unknown)):
            if pattern is not None:
                known[pattern.number] = pattern
        return [(known[number], row) for number, row in totals.items() if number in known and any(row)]

    async def _adopt(self, number: int) -> Pattern | None:
        """Make a lost definition again of the lines that have its number."""
        page = await self._backend.search(LogQuery(text=f"pattern:{pattern_id(number)}", size=100))
        if not page.hits:
            return None
        newest, oldest = page.hits[0], page.hits[-1]
        shapes = shapes_of(forms_of([hit.message for hit in page.hits]))
        template = Template(number, words_of(shapes[0]))
        for words in map(words_of, shapes[1:]):
            if len(words) == len(template.words):
                template.widen(words)
        pattern = Pattern(
            number=number,
            dataset=newest.dataset,
            level=newest.level,
            template=" ".join(template.words),
            first_seen=oldest.time,
            last_seen=newest.time,
            message=newest.message,
        )
        self.miner.load([pattern])
        self.miner.again([pattern])
        return pattern


def _counted(
    unit: float, before: int, first: int, last: int, width: int, view: View
) -> list[tuple[int, int, int]]:
    return view.patterns("minute" if unit == 60.0 else "hour", before, first, last, width)


def _compare(pattern: Pattern, row: list[int], before: int, start: float, compared: bool) -> PatternCount:
    count = sum(row)
    new = pattern.first_seen >= start
    # Two Poisson counts differ by chance less than three deviations of their sum.
    sure = compared and abs(count - before) >= _SURE * math.sqrt(count + before)
    change = ""
    # That a pattern is new says more than that it came more often.
    sure = sure and not new
    if sure and count >= _TIMES * before:
        change = "up"
    elif sure and before >= _TIMES * count:
        change = "down"
    return PatternCount(
        pattern=pattern, count=count, before=before, bins=row,
        new=new, change=change,
    )  # fmt: skip
