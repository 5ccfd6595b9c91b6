"""The lists "Look here first" and "Who is hit" on an incident's page, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from mamimon.alerts.suggest.hit import Hit, hit
from mamimon.alerts.suggest.model import HEADS
from mamimon.alerts.suggest.rank import Suggestions, suggestions
from mamimon.alerts.templates.functions import humanize
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting
    from mamimon.errors.room import ErrorRoom
    from mamimon.logs.room import LogRoom


def suggestion_handlers(service: Alerting, logs: LogRoom, errors: ErrorRoom) -> list[ControllerRouterHandler]:
    """The part of the page and the API."""

    @get("/incidents/{incident_id:int}/suggestions", include_in_schema=False)
    async def part(incident_id: FromPath[int]) -> Template:
        found = await suggestions(service, logs, errors, incident_id)
        context = {"found": found, "heads": HEADS, "humanize": humanize}
        return Template("alerts/suggestions.html", context=context)

    @get("/api/mamimon/incidents/{incident_id:int}/suggestions", tags=["alerts"])
    async def api(incident_id: FromPath[int]) -> Suggestions:
        """Endpoints, log patterns, deploys, errors and series to look at first, the likeliest first."""
        return await suggestions(service, logs, errors, incident_id)

    @get("/incidents/{incident_id:int}/hit", include_in_schema=False)
    async def whom(incident_id: FromPath[int]) -> Template:
        context: dict[str, Any] = {"found": None, "problem": ""}
        try:
            context["found"] = await hit(service, logs, errors, incident_id)
        except Problem as problem:
            if problem.kind is Kind.NOT_FOUND:
                raise
            context["problem"] = problem.detail
        return Template("alerts/hit.html", context=context)

    @get("/api/mamimon/incidents/{incident_id:int}/hit", tags=["alerts"])
    async def whom_api(incident_id: FromPath[int]) -> Hit:
        """Endpoints, users and requests that the incident's error lines name, with counts."""
        return await hit(service, logs, errors, incident_id)

    return [part, api, whom, whom_api]
