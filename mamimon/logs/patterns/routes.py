"""The API of patterns: which there are in a window, and watching one for alerts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody

from mamimon.http import unless_gone
from mamimon.logs.dates import iso
from mamimon.logs.model import pattern_number
from mamimon.logs.patterns.miner import Pattern
from mamimon.logs.patterns.room import PatternCount, PatternWindow
from mamimon.logs.routes import Choice
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

VIEWS = ("all", "new", "changed")
_MATCHED = 1_000
_RULE = """\
- alert: LogPattern_{id}
  expr: increase(mamimon_log_pattern_lines_total{{pattern="{id}"}}[5m]) > 0
  labels: {{severity: warning}}
  annotations:
    summary: '{{{{ $value | humanize }}}} lines in 5 minutes: {text}'
"""


class Choosing(msgspec.Struct, frozen=True, kw_only=True):
    """What a person chose on the page or in the API, and the window that it gave."""

    choice: Choice
    view: str
    window: PatternWindow
    counts: list[PatternCount]
    totals: dict[str, int]


async def choose(room: LogRoom, request: Request[Any, Any, Any], choice: Choice, now: float) -> Choosing:
    """The patterns of a request; a query narrows them to those of lines that match it."""
    view = str(request.query_params.get("view") or "all")
    if view not in VIEWS:
        raise bad_input(f"view must be one of {', '.join(VIEWS)}")
    start, end = choice.span(now)
    datasets = {part for part in choice.dataset.split(",") if part}

    def wanted(pattern: Pattern) -> bool:
        return (not choice.level or pattern.level == choice.level.upper()) and (
            not datasets or pattern.dataset in datasets
        )

    window = await room.patterns.window(start, end, wanted=wanted)
    if choice.q.strip():
        found = await room.local.facets(choice.query(now), ["pattern"], _MATCHED)
        matched = dict(found.values["pattern"])
        window.partial |= found.partial
        window.counts = [
            msgspec.structs.replace(one, count=matched[one.pattern.id])
            for one in window.counts
            if one.pattern.id in matched
        ]
        window.counts.sort(key=lambda one: (-one.count, one.pattern.number))
    by_view = {
        "all": window.counts,
        "new": sorted((one for one in window.counts if one.new), key=lambda one: -one.pattern.first_seen),
        "changed": sorted((one for one in window.counts if one.change), key=lambda one: -_size(one)),
    }
    totals = {name: len(counts) for name, counts in by_view.items()}
    return Choosing(choice=choice, view=view, window=window, counts=by_view[view], totals=totals)


def _size(one: PatternCount) -> float:
    return abs(one.count - one.before) / math.sqrt(one.count + one.before)


def rule_for(pattern: Pattern) -> str:
    """A rule for Prometheus' rule files that fires when a line of a watched pattern comes."""
    # A template is not YAML and not Go's template language: quotes are doubled, braces taken out.
    text = pattern.template[:120].replace("'", "''").replace("{", "(").replace("}", ")")
    return _RULE.format(id=pattern.id, text=text)


def _shown(one: PatternCount, step_s: float) -> dict[str, Any]:
    pattern = one.pattern
    return {
        "id": pattern.id, "template": pattern.template, "dataset": pattern.dataset, "level": pattern.level,
        "count": one.count, "before": one.before, "new": one.new, "change": one.change,
        "first_seen": iso(pattern.first_seen), "last_seen": iso(pattern.last_seen),
        "example": pattern.message, "watched": pattern.watched, "bins": one.bins, "step_s": step_s,
    }  # fmt: skip


def route_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The handlers under `/api/mamimon/logs/patterns`."""

    @get("/api/mamimon/logs/patterns")
    async def patterns(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Patterns of `since` or `start` and `end`; `view` is `all`, `new` or `changed`."""
        asked = choose(room, request, Choice.read(request), core.clock.now())
        found = await unless_gone(request.receive, asked)
        window = found.window
        return {
            "patterns": [_shown(one, window.step_s) for one in found.counts],
            "unsorted": window.unsorted,
            "partial": window.partial,
            "compared": window.compared,
        }

    @post("/api/mamimon/logs/patterns/{pattern_id:str}/watch", status_code=200)
    async def watch(pattern_id: FromPath[str], data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        """`{"watch": true}` counts the pattern's lines in a metric, and answers a rule that uses it."""
        pattern = await room.patterns.watch(pattern_number(pattern_id), bool(data.get("watch", True)))
        if pattern is None:
            raise not_found(f"there is no pattern {pattern_id[:40]}")
        return {"id": pattern.id, "watched": pattern.watched, "rule": rule_for(pattern)}

    return [patterns, watch]
