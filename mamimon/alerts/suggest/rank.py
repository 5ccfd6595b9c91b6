"""Where to look first in an incident: endpoints, log patterns, deploys, errors and series, ranked together.

The rule that fired tells how late it was: it waited for its `for` and saw back as far as its longest
range. So what was usual ends that long before, and the endpoint that moved first says when it began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mamimon.alerts import incidents, store
from mamimon.alerts.suggest import clues
from mamimon.alerts.suggest.endpoints import Span, endpoint_clues
from mamimon.alerts.suggest.model import Clue, ordered
from mamimon.metrics.changes import changes
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.alerts.model import Incident
    from mamimon.alerts.service import Alerting
    from mamimon.errors.room import ErrorRoom
    from mamimon.logs.room import LogRoom

_log = logging.getLogger("mamimon.alerts")
T = TypeVar("T")
USUAL_S = 3600.0
AROUND_S = 900.0
SLACK_S = 300.0
MOST_LEAD_S = 3600.0
POINTS = 240
MOST_CLUES = 12
_DEPLOYS_BACK_S = 2 * 3600.0


class Suggestions(msgspec.Struct, kw_only=True):
    """The list, best first; `onset` is when it seems to have begun, `missing` what could not be asked."""

    onset: float
    clues: list[Clue]
    missing: list[str]


async def suggestions(service: Alerting, logs: LogRoom, errors: ErrorRoom, incident_id: int) -> Suggestions:
    """What to look at first in an incident; what a part cannot answer is left out and named."""
    incident = await service.core.state.read(lambda raw: incidents.get(raw, incident_id))
    now = service.core.clock.now()
    span = _span(service, incident, now)
    missing: list[str] = []

    async def part(name: str, work: Awaitable[T], without: T) -> T:
        try:
            return await work
        except Problem as problem:
            _log.warning("suggestions of incident %s without %s: %s", incident_id, name, problem.detail)
            missing.append(name)
            return without

    empty: list[Any] = []
    places, moved, window, issues = await asyncio.gather(
        part("endpoints", endpoint_clues(service.backend(), span), empty),
        part("series", _moved(service, span), empty),
        part("patterns", logs.patterns.window(span.begin, span.end), None),
        part("errors", errors.top(span.begin, 10), empty),
    )
    said = clues.pattern_clues(window, span) if window is not None else []
    onset = _onset(places, said, incident.started_at)
    services = _services(incident, places)
    deploys = await service.core.state.read(
        lambda raw: store.deploys(raw, onset - _DEPLOYS_BACK_S, incident.started_at)
    )
    found = [
        *_named(places, incident),
        *said,
        *clues.deploy_clues(deploys, onset, services),
        *clues.error_clues(issues, span, said),
        *clues.series_clues(moved),
    ]
    return Suggestions(onset=onset, clues=ordered(found)[:MOST_CLUES], missing=missing)


def _span(service: Alerting, incident: Incident, now: float) -> Span:
    waited = next(
        (rule.for_s for g in service.engine.groups for rule in g.rules if rule.expr == incident.expr), 0.0
    )
    lead = min(waited + _longest_range(incident.expr) + SLACK_S, MOST_LEAD_S)
    begin = incident.started_at - lead
    # Steps of a log pattern are minutes.
    begin -= begin % 60
    end = min(now, (incident.resolved_at or now), incident.started_at + AROUND_S)
    step = max(15.0, round((end - begin + USUAL_S) / POINTS))
    return Span(begin - USUAL_S, begin, max(end, begin + 60), step)


def _longest_range(expr: str) -> float:
    """Seconds that an expression looks back at most; 0 for none, or where it cannot be read."""
    from mamimon.metrics.promql import PromQLError, parse
    from mamimon.metrics.promql.ast import Range, Subquery, walk

    try:
        tree = parse(expr)
    except PromQLError:
        return 0.0
    return max((one.range_ms / 1000 for one in walk(tree) if isinstance(one, Range | Subquery)), default=0.0)


async def _moved(service: Alerting, span: Span) -> list[Any]:
    return (await changes(service.backend(), span.begin, span.end, 10)).rows


def _onset(places: list[Clue], said: list[Clue], started: float) -> float:
    """When it began: as the weightiest endpoint says, else the weightiest pattern, else as the alert says."""
    for found in (places, said):
        best = max(found, key=lambda one: one.weight, default=None)
        if best is not None and best.since is not None:
            return min(best.since, started)
    return started


def _services(incident: Incident, places: list[Clue]) -> set[str]:
    best = max(places, key=lambda one: one.weight, default=None)
    own = {incident.labels.get(name, "") for name in ("service", "job", "service_name")}
    if best is not None:
        own.add(best.labels.get("service", ""))
    return own - {""}


def _named(places: list[Clue], incident: Incident) -> list[Clue]:
    """Endpoints, with the one that the alert itself names in front."""
    said = set(incident.labels.values())
    for one in places:
        if one.name in said:
            one.weight = 1.0
    return places
