"""`/changes`: everything that is not as it was in a window, side by side.

The series that moved most, log patterns that are new or came more often, errors that were first seen
and deploys. Each part is asked alone within one budget, so one that fails costs only itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get
from litestar.response import Template

from mamimon.dashboards.sources import Sources, attempts
from mamimon.metrics.changes import Changes
from mamimon.window import read_window

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core
    from mamimon.window import Window

_BUDGET_S = 20.0
_DEFAULT = "15m"
_SERIES = 30
_OTHERS = 20


class PatternChange(msgspec.Struct, kw_only=True):
    """A log pattern that is new or came more often, with its lines in the window and before it."""

    id: str
    template: str
    level: str
    new: bool
    before: int
    count: int


class NewError(msgspec.Struct, kw_only=True):
    """An error group that was first seen in the window."""

    id: int
    title: str
    culprit: str
    first_seen: float
    count: int
    url: str


class EverythingChanged(msgspec.Struct, kw_only=True):
    """What a window has that the time before it had not; `problems` says which part has no answer and why."""

    start: float
    end: float
    metrics: Changes | None
    patterns: list[PatternChange]
    errors: list[NewError]
    deploys: list[dict[str, Any]]
    problems: dict[str, str]


async def everything_changed(sources: Sources, window: Window, now: float) -> EverythingChanged:
    """Ask every room at once."""
    found = await attempts(
        {
            "metrics": sources.changed_series(window, _SERIES),
            "patterns": sources.unusual_patterns(window, _OTHERS),
            "errors": sources.new_issues(window, now, _OTHERS),
            "deploys": sources.deploys(window),
        },
        _BUDGET_S,
    )
    return EverythingChanged(
        start=window.start,
        end=min(window.end, now),
        metrics=found["metrics"].data,
        patterns=[
            PatternChange(
                id=one.pattern.id,
                template=one.pattern.template.replace("<*>", "•"),
                level=one.pattern.level,
                new=one.new,
                before=one.before,
                count=one.count,
            )
            for one in found["patterns"].data or []
        ],
        errors=[
            NewError(
                id=one.id,
                title=one.title,
                culprit=one.culprit,
                first_seen=one.first_seen,
                count=one.count,
                url=one.url,
            )
            for one in found["errors"].data or []
        ],
        deploys=found["deploys"].data or [],
        problems={name: answer.error for name, answer in found.items() if answer.error},
    )


def changed_handlers(core: Core, sources: Sources) -> list[ControllerRouterHandler]:
    """The page and the API."""

    @get("/changes", include_in_schema=False)
    async def page(request: Request[Any, Any, Any]) -> Template:
        now = core.clock.now()
        window = read_window(dict(request.query_params), now, _DEFAULT)
        found = await everything_changed(sources, window, now)
        return Template(
            "metrics/changes.html",
            context={"section": "/graph", "found": found, "window": window, "query": window.query()},
        )

    @get("/api/mamimon/changes")
    async def api(request: Request[Any, Any, Any]) -> EverythingChanged:
        """What changed in a window (`since`, or `start` and `end`) against the time before it."""
        now = core.clock.now()
        window = read_window(dict(request.query_params), now, _DEFAULT)
        return await everything_changed(sources, window, now)

    return [page, api]
