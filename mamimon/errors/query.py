"""The search language of issues, and the questions that pages, commands and other rooms ask.

`is:unresolved`, `is:resolved`, `is:ignored`, `is:unhandled`, `is:regressed`, `level:error`,
`project:1`, `release:web@1`, `platform:python`, `times_seen:>10`, `users:>=3`, `age:-24h`,
`lastSeen:-1h`, `assigned:ada`, any tag as `browser:Chrome*`, `user.email:…`, and plain words, which
must be in the title or the culprit. A leading `!` turns a term around. Values with blanks go in
double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from mamimon.errors.event_store import EventStore
from mamimon.errors.issue_store import SORTS, IssueFilter, IssueStore
from mamimon.errors.model import STATUSES, Event, EventRow, Issue, IssueList, IssueSummary
from mamimon.errors.people import searched
from mamimon.problems import bad_input

_TERM = re.compile(r'(!?)(?:([\w.\-]+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_NUMBER = re.compile(r"^(>=|<=|>|<|=?)(\d+)$")
_AGE = re.compile(r"^([+\-])(\d+)([smhdw])$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_COLUMNS = {
    "level": "level",
    "platform": "platform",
    "assigned": "assignee",
    "title": "title",
    "culprit": "culprit",
    "firstrelease": "first_release",
}
_NUMBERS = {"times_seen": "count", "timesseen": "count", "count": "count", "users": "users"}
_TIMES = {"age": "first_seen", "firstseen": "first_seen", "lastseen": "last_seen"}
_PEOPLE = {"user.id": "id", "user.email": "email", "user.username": "name", "user.name": "name"}
TREND_HOURS = 24


class Term(msgspec.Struct):
    """One term of a search: `negated key:value`; the key of a plain word is empty."""

    negated: bool
    key: str
    value: str


def parse(text: str) -> list[Term]:
    """The terms of a search; raises `BAD_INPUT` where there are more than twenty."""
    terms = [
        Term(bool(found[1]), found[2] or "", (found[3] if found[3] is not None else found[4]).strip())
        for found in _TERM.finditer(text[:1000])
    ]
    if len(terms) > 20:
        raise bad_input("more than twenty terms in a search")
    return terms


def like(value: str, *, anywhere: bool) -> str:
    """A SQL LIKE pattern (escape `\\`) of a value in which `*` stands for anything."""
    escaped = re.sub(r"([%_\\])", r"\\\1", value).replace("*", "%")
    return f"%{escaped}%" if anywhere else escaped


class IssueQuery:
    """Answers questions about issues and their events."""

    def __init__(self, issues: IssueStore, events: EventStore) -> None:
        self._issues = issues
        self._events = events
        self.secret = b""
        """The key of people's pseudonyms."""

    async def search(
        self,
        text: str,
        *,
        now: float,
        status: str = "",
        project: int = 0,
        sort: str = "last_seen",
        limit: int = 50,
        offset: int = 0,
    ) -> IssueList:
        """Issues that match, with the counts of the last day by hour."""
        chosen = await self._filter(parse(text), now)
        chosen.status = chosen.status or (status if status in STATUSES else "")
        if project:
            chosen.conditions.append("project_id = ?")
            chosen.values.append(project)
        if sort == "trend":
            found = await self._by_trend(chosen, now, limit, offset)
        else:
            found = await self._issues.page(chosen, sort if sort in SORTS else "last_seen", limit, offset)
        await self.add_trends(found.issues, now)
        return found

    async def _by_trend(self, chosen: IssueFilter, now: float, limit: int, offset: int) -> IssueList:
        """Issues by how often they happened in the last day."""
        totals = await self._events.totals(now - TREND_HOURS * 3600, now)
        found = await self._issues.page(chosen, "last_seen", 10_000, 0)
        found.issues.sort(key=lambda one: (-totals[one.id], -one.last_seen))
        found.issues = found.issues[offset : offset + limit]
        return found

    async def add_trends(self, issues: Sequence[IssueSummary], now: float) -> None:
        """Fill in each issue's counts of the last 24 hours."""
        if not issues:
            return
        first = int(now // 3600) - TREND_HOURS + 1
        hours = await self._events.hours([one.id for one in issues], first * 3600, now)
        for one in issues:
            mine = hours.get(one.id, {})
            one.trend = [mine.get(first + step, 0) for step in range(TREND_HOURS)]

    async def top(self, since: float, now: float, limit: int) -> list[IssueSummary]:
        """The issues that happened most since `since`; `count` is what happened since then."""
        totals = await self._events.totals(since, now)
        best = [issue for issue, _ in totals.most_common(limit)]
        found = await self._issues.by_ids(best) if best else []
        await self.add_trends(found, now)
        for one in found:
            one.count = totals[one.id]
        return found

    async def issue(self, issue: int) -> Issue | None:
        """One issue."""
        return await self._issues.get(issue)

    async def event(self, issue: int, event: str = "") -> tuple[EventRow, Event] | None:
        """A kept event of the issue: the one named, else the newest."""
        if event:
            found = await self._events.find(event)
            if found is None or found[1] != issue:
                return None
            place = found[0]
        else:
            newest = await self._events.newest(issue)
            if newest is None:
                return None
            place = newest
        loaded = await self._events.load(place)
        return None if loaded is None else (place, loaded)

    async def _filter(self, terms: Sequence[Term], now: float) -> IssueFilter:
        chosen = IssueFilter()
        for term in terms:
            key = term.key.lower()
            if key == "is" and term.value in STATUSES and not term.negated:
                chosen.status = term.value
                continue
            condition, values = await self._condition(key, term, now)
            chosen.conditions.append(f"NOT ({condition})" if term.negated else f"({condition})")
            chosen.values += values
        return chosen

    async def _carrying(self, term: Term) -> set[int]:
        """Issues of which an event was met by somebody, or carries a tag."""
        kind = _PEOPLE.get(term.key.lower())
        if kind:
            return await self._events.met_by(searched(self.secret, kind, term.value))
        return await self._events.tagged(term.key, like(term.value, anywhere=False))

    async def _condition(self, key: str, term: Term, now: float) -> tuple[str, list[str | int | float]]:
        value = term.value
        if not key:
            pattern = like(value, anywhere=True)
            return "title LIKE ? ESCAPE '\\' OR culprit LIKE ? ESCAPE '\\'", [pattern, pattern]
        if key == "is":
            if value in STATUSES:
                return "status = ?", [value]
            flags = {"unhandled": "unhandled", "regressed": "regressed"}
            if value == "assigned":
                return "assignee <> ''", []
            if value == "unassigned":
                return "assignee = ''", []
            if value not in flags:
                raise bad_input(f"is:{value[:40]} is not known", "try is:unresolved, is:resolved, is:ignored")
            return flags[value], []
        if key in _NUMBERS:
            number = _NUMBER.match(value)
            if number is None:
                raise bad_input(f"{key}: wants a number, as in {key}:>10")
            return f"{_NUMBERS[key]} {number[1] or '='} ?", [int(number[2])]
        if key in _TIMES:
            age = _AGE.match(value)
            if age is None:
                raise bad_input(f"{key}: wants an age, as in {key}:-24h (newer) or {key}:+7d (older)")
            limit = now - int(age[2]) * _UNITS[age[3]]
            return f"{_TIMES[key]} {'>=' if age[1] == '-' else '<'} ?", [limit]
        if key == "project":
            if value.isdigit():
                return "project_id = ?", [int(value)]
            return "project_id IN (SELECT id FROM error_project WHERE name = ?)", [value]
        if key in _COLUMNS:
            return f"{_COLUMNS[key]} LIKE ? ESCAPE '\\'", [like(value, anywhere=key in {"title", "culprit"})]
        tagged = await self._carrying(term)
        if not tagged:
            return "0", []
        return f"id IN ({','.join(str(one) for one in sorted(tagged)[:20_000])})", []


def histogram(
    rows: Sequence[tuple[int, str, int]], start: float, end: float, step_s: float
) -> dict[str, list[object]]:
    """Chart data of minute counts: one series a level, in steps of whole minutes."""
    step = max(1, round(step_s / 60))
    first = int(start // 60) // step * step
    steps = max(1, -(-(int(-(-end // 60)) - first) // step))
    series: dict[str, list[int]] = {}
    for minute, level, count in rows:
        at = (minute - first) // step
        if 0 <= at < steps:
            series.setdefault(level, [0] * steps)[at] += count
    order = ("debug", "info", "warning", "error", "fatal")
    return {
        "times": [(first + index * step) * 60 for index in range(steps)],
        "series": [{"name": level, "values": series[level]} for level in order if level in series],
    }
