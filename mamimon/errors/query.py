"""The search language of issues, and the questions that pages, commands and other rooms ask.

`is:unresolved`, `is:resolved`, `is:ignored`, `is:new`, `is:ongoing`, `is:regressed`, `is:unhandled`,
`is:assigned`, `is:merged`, `has:tag`, `level:error`, `project:1`, `release:web@1`, `platform:python`,
`times_seen:>10`, `users:>=3`, `age:-24h`, `lastSeen:-1h`, `firstSeen:>2026-11-01`, `assigned:ada`, any
tag as `browser:Chrome*`, a whole `user.email:…`, `user.id:…` or `user.username:…`, and plain words, which
must be in the title or the culprit. A leading `!` turns a term around. Values with blanks go in
double quotes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from mamimon.errors.event_store import EventStore
from mamimon.errors.issue_store import SORTS, IssueFilter, IssueStore, among
from mamimon.errors.model import NEW_S, STATUSES, Event, EventRow, Issue, IssueList, IssueSummary
from mamimon.errors.people import searched
from mamimon.errors.scrub import scrub
from mamimon.errors.templates import template
from mamimon.problems import bad_input

_TERM = re.compile(r'(!?)(?:([\w.\-]+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_NUMBER = re.compile(r"^(>=|<=|>|<|=?)(\d+)$")
_AGE = re.compile(r"^([+\-])(\d+)([smhdw])$")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_COLUMNS = {
    "level": "level",
    "platform": "platform",
    "assigned": "assignee",
    "assignee": "assignee",
    "title": "title",
    "culprit": "culprit",
    "firstrelease": "first_release",
}
_NUMBERS = {"times_seen": "count", "timesseen": "count", "count": "count", "users": "users"}
_TIMES = {"age": "first_seen", "firstseen": "first_seen", "lastseen": "last_seen"}
# What a search may call a user's field, and what it is called here; and other names of tags.
_PEOPLE = {
    "user.email": "email",
    "user.id": "id",
    "user.username": "name",
    "user.name": "name",
    "user": "id",
}
_TAG_NAMES = {"os.name": "os", "browser.name": "browser", "device.model": "device", "http.url": "url"}
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
        self.improve: Callable[[Event], bool] = lambda _: False
        """Changes an event before it is shown, in a worker thread; says whether."""

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
        totals = await self._totals(now - TREND_HOURS * 3600, now)
        found = await self._issues.page(chosen, "last_seen", 10_000, 0)
        found.issues.sort(key=lambda one: (-totals[one.id], -one.last_seen))
        found.issues = found.issues[offset : offset + limit]
        return found

    async def _totals(self, start: float, end: float) -> Counter[int]:
        """Counts by issue, those of merged ones with their root."""
        totals = await self._events.totals(start, end)
        for issue, root in (await self._issues.merged()).items():
            totals[root] += totals.pop(issue, 0)
        return totals

    async def add_trends(self, issues: Sequence[IssueSummary], now: float) -> None:
        """Fill in each issue's counts of the last 24 hours."""
        if not issues:
            return
        first = int(now // 3600) - TREND_HOURS + 1
        families = await self._issues.families([one.id for one in issues])
        members = [member for family in families.values() for member in family]
        hours = await self._events.hours(members, first * 3600, now)
        for one in issues:
            one.trend = [
                sum(hours.get(member, {}).get(first + step, 0) for member in families[one.id])
                for step in range(TREND_HOURS)
            ]

    async def top(self, since: float, now: float, limit: int) -> list[IssueSummary]:
        """The issues that happened most since `since`; `count` is what happened since then."""
        totals = await self._totals(since, now)
        best = [issue for issue, _ in totals.most_common(limit)]
        found = await self._issues.by_ids(best) if best else []
        await self.add_trends(found, now)
        for one in found:
            one.count = totals[one.id]
        return found

    async def issue(self, issue: int) -> Issue | None:
        """One issue; of a merged one the one that it was merged into."""
        found = await self._issues.get(issue)
        if found is not None and found.merged_into:
            return await self._issues.get(found.merged_into)
        return found

    async def similar(self, issue: Issue) -> list[IssueSummary]:
        """Up to five other issues that look alike: of the same place, or with much the same title."""
        mine = _words(issue.title)
        scored: list[tuple[float, IssueSummary]] = []
        for one in await self._issues.similar(issue, 200):
            theirs = _words(one.title)
            alike = len(mine & theirs) / max(1, len(mine | theirs))
            score = alike + (0.5 if one.culprit and one.culprit == issue.culprit else 0)
            if score >= 0.5:
                scored.append((score, one))
        scored.sort(key=lambda pair: (-pair[0], -pair[1].last_seen))
        return [one for _, one in scored[:5]]

    async def family(self, issue: int) -> list[int]:
        """The numbers that the events of an issue carry in the files."""
        return (await self._issues.families([issue]))[issue]

    async def event(self, issue: int, event: str = "") -> tuple[EventRow, Event] | None:
        """A kept event of the issue: the one named, else the newest.

        Its frames are resolved by the source maps there are now; its issue stays as it was grouped.
        """
        family = await self.family(issue)
        if event:
            found = await self._events.find(event)
            if found is None or found[1] not in family:
                return None
            place = found[0]
        else:
            newest = await self._events.newest(family)
            if newest is None:
                return None
            place = newest
        loaded = await self._events.load(place)
        if loaded is None:
            return None
        if await asyncio.to_thread(self.improve, loaded):
            # Lines of a source map may hold what those of the event would have lost before it was stored.
            scrub(loaded)
        return place, loaded

    async def hours(self, issue: int, start: float, end: float) -> Counter[int]:
        """An issue's counts by hour (hours since the epoch) in [start, end]."""
        sums: Counter[int] = Counter()
        for hours in (await self._events.hours(await self.family(issue), start, end)).values():
            sums.update(hours)
        return sums

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

    async def _condition(self, key: str, term: Term, now: float) -> tuple[str, list[str | int | float]]:
        value = term.value
        if not key:
            pattern = like(value, anywhere=True)
            return "title LIKE ? ESCAPE '\\' OR culprit LIKE ? ESCAPE '\\'", [pattern, pattern]
        if key == "is":
            return _state(value, now)
        if key == "has":
            return await self._tagged(value, "%")
        if key in _NUMBERS:
            number = _NUMBER.match(value)
            if number is None:
                raise bad_input(f"{key}: wants a number, as in {key}:>10")
            return f"{_NUMBERS[key]} {number[1] or '='} ?", [int(number[2])]
        if key in _TIMES:
            return _TIMES[key] + " " + _compared_age(key, value), [_instant(key, value, now)]
        if key == "project":
            if value.isdigit():
                return "project_id = ?", [int(value)]
            return "project_id IN (SELECT id FROM error_project WHERE name = ?)", [value]
        if key in {"assigned", "assignee"} and value in {"none", "nobody"}:
            return "assignee = ''", []
        if key in _COLUMNS:
            return f"{_COLUMNS[key]} LIKE ? ESCAPE '\\'", [like(value, anywhere=key in {"title", "culprit"})]
        if key in _PEOPLE:
            if "*" in value:
                raise bad_input(f"{key}: is known as a hash only, so it must be whole", "leave out the *")
            return among(await self._events.met_by(searched(self.secret, _PEOPLE[key], value)))
        return await self._tagged(term.key, like(value, anywhere=False))

    async def _tagged(self, key: str, pattern: str) -> tuple[str, list[str | int | float]]:
        # The release that Sentry calls release is a tag here, as is the environment.
        return among(await self._events.tagged(_TAG_NAMES.get(key.lower(), key), pattern))


def _words(title: str) -> set[str]:
    return set(re.findall(r"\w+", template(title).lower()))


def _state(value: str, now: float) -> tuple[str, list[str | int | float]]:
    if value in STATUSES:
        return "status = ?", [value]
    if value in {"new", "ongoing"}:
        older = ">" if value == "new" else "<="
        return f"status = 'unresolved' AND regressed = 0 AND first_seen {older} ?", [now - NEW_S]
    known = {
        "unhandled": "unhandled",
        "handled": "unhandled = 0",
        "regressed": "regressed AND status = 'unresolved'",
        "assigned": "assignee <> ''",
        "unassigned": "assignee = ''",
        "merged": "id IN (SELECT root_id FROM error_part)",
    }
    if value not in known:
        raise bad_input(
            f"is:{value[:40]} is not known",
            f"there are is:{', is:'.join((*STATUSES, 'new', 'ongoing', *known))}",
        )
    return known[value], []


def _compared_age(key: str, value: str) -> str:
    """`>=` or `<` of an age (`-24h` is newer) or an instant (`>2026-11-01`)."""
    if value.startswith(("-", ">")):
        return ">= ?"
    if value.startswith(("+", "<")):
        return "< ?"
    raise bad_input(
        f"{key}: wants an age, as in {key}:-24h (newer) or {key}:+7d (older), or {key}:>2026-11-01"
    )


def _instant(key: str, value: str, now: float) -> float:
    age = _AGE.match(value)
    if age is not None:
        return now - int(age[2]) * _UNITS[age[3]]
    try:
        when = dt.datetime.fromisoformat(value.lstrip("<>="))
    except ValueError:
        raise bad_input(f"{key}: {value[:40]} is neither an age such as -24h nor a date") from None
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()


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
