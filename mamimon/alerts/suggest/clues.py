"""Log patterns, deploys, errors and series as suggestions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mamimon.alerts.suggest.endpoints import Span
from mamimon.alerts.suggest.model import Clue

if TYPE_CHECKING:
    from mamimon.errors.model import IssueSummary
    from mamimon.logs.patterns.room import PatternCount, PatternWindow
    from mamimon.metrics.changes import Change

_LEVELS = {"CRITICAL": 1.0, "ERROR": 1.0, "WARNING": 0.85, "NOTICE": 0.45, "INFO": 0.35, "DEBUG": 0.2}
# What a middleware writes of each request tells again what the endpoint's figures tell.
_REQUEST = re.compile(r'^"?(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|<\*>) (/|<\*>)')
_REQUEST_FACTOR = 0.3
_OWN_DATASET = "mamimon"
_DEPLOY_FADES_S = 900.0
_DEPLOY_SLACK_S = 90.0
"""A deploy is told when it ends; its first bad answers may come before."""
_LEAST = 0.12


def pattern_clues(window: PatternWindow, span: Span) -> list[Clue]:
    """Patterns that are new or came more often, the louder, rarer before and earlier ones first."""
    out = []
    for one in window.counts:
        if not one.new and one.change != "up":
            continue
        weight = _pattern_weight(one)
        if weight < _LEAST:
            continue
        first = next((i for i, n in enumerate(one.bins) if n), 0)
        begun = max(window.start + first * window.step_s, one.pattern.first_seen if one.new else 0.0)
        out.append(
            Clue(
                kind="pattern",
                name=one.pattern.template,
                weight=weight,
                url=f"/logs?q={quote(f'pattern:{one.pattern.id}')}&start={span.begin:.0f}&end={span.end:.0f}",
                since=begun,
                level=one.pattern.level,
                new=one.new,
                unit="lines",
                before=float(one.before),
                now=float(one.count),
                note=one.pattern.message,
            )
        )
    return out


def _pattern_weight(one: PatternCount) -> float:
    level = _LEVELS.get(one.pattern.level, 0.45)
    novel = 1.0 if one.new else 0.95 * min(1.0, math.log2(one.count / max(one.before, 0.5)) / 4)
    # One line may be chance; a few dozen are not.
    many = 0.5 + 0.5 * min(1.0, math.log10(max(one.count, 1)) / 1.5)
    told_before = _REQUEST_FACTOR if _REQUEST.match(one.pattern.template) else 1.0
    # What mamimon says of itself is rarely why an application fails.
    own = 0.5 if one.pattern.dataset == _OWN_DATASET else 1.0
    return 0.95 * level * novel * many * told_before * own


def deploy_clues(deploys: Sequence[dict[str, Any]], onset: float, services: set[str]) -> list[Clue]:
    """Deploys just before it began; one of another service counts little."""
    out = []
    for one in deploys:
        gap = onset - one["at"]
        if gap < -_DEPLOY_SLACK_S:
            continue
        fits = not one["service"] or not services or one["service"] in services
        weight = 0.9 * math.exp(-max(gap, 0.0) / _DEPLOY_FADES_S) * (1.0 if fits else 0.2)
        if weight >= _LEAST:
            out.append(
                Clue(
                    kind="deploy",
                    name=one["version"],
                    weight=weight,
                    url=f"/changes?start={one['at'] - 300:.0f}&end={one['at'] + 900:.0f}",
                    since=one["at"],
                    labels={"by": one["actor"]} if one["actor"] else {},
                    note=one["service"],
                )
            )
    return out


def error_clues(issues: Sequence[IssueSummary], span: Span, patterns: Sequence[Clue]) -> list[Clue]:
    """Issues that are new, came back, or are what fails now."""
    out = []
    for one in issues:
        new = one.first_seen >= span.begin
        weight = 0.6 if new else 0.5 if one.regressed else 0.25
        text = one.title.partition(":")[2].strip() or one.title
        if any(text in clue.note for clue in patterns):
            weight *= 0.6  # the log line says the same
        out.append(
            Clue(
                kind="error",
                name=one.title,
                weight=weight * min(1.0, 0.6 + one.count / 50),
                url=one.url,
                since=one.first_seen,
                level=one.level.upper(),
                new=new,
                unit="events",
                now=float(one.count),
                note=one.culprit,
            )
        )
    return out


def series_clues(changes: Sequence[Change]) -> list[Clue]:
    """Metrics that moved most."""
    return [
        Clue(
            kind="series",
            name=one.name or one.labels.get("job", ""),
            weight=0.45 * min(1.0, abs(one.score if one.score is not None else 20.0) / 40.0),
            url=f"/graph?q={quote(one.query)}",
            labels=one.labels,
            new=one.kind == "new",
            unit="per second" if one.unit == "per second" else "mean" if one.unit == "mean" else "",
            before=one.before,
            now=one.now,
        )
        for one in changes
        if not one.name.startswith("http_")  # endpoints tell those
    ]
