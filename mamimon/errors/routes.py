"""The errors' API: Sentry's doors and our own `/api/mamimon/errors/…`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from mamimon.errors.artifact_store import Stored
from mamimon.errors.model import Event, EventSummary, Issue, IssueList, Part, Project
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom


class IssueDetail(msgspec.Struct, kw_only=True):
    """An issue, its newest kept event, its tags' values with counts, and what it was merged of."""

    issue: Issue
    event: Event | None
    tags: dict[str, list[tuple[str, int]]]
    parts: list[Part]


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """A project to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[\w\- .]+$")]


def route_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """Every door of the room."""
    return [*_issue_routes(room), *_project_routes(room), *_sourcemap_routes(room)]


def _project_routes(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @get("/api/mamimon/errors/dsn")
    async def dsn() -> dict[str, str]:
        """The DSN of the first project; public, as the key in it is."""
        return {"dsn": (await room.projects())[0].dsn}

    @get("/api/mamimon/errors/projects")
    async def projects() -> list[Project]:
        """Every project with its DSN."""
        return await room.projects()

    @post("/api/mamimon/errors/projects")
    async def add_project(data: JSONBody[NewProject]) -> Project:
        """Make a project with a key."""
        if any(one.name == data.name for one in await room.projects()):
            raise bad_input(f"there is already a project named {data.name}")
        return await room.add_project(data.name)

    return [dsn, projects, add_project]


def _sourcemap_routes(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @post("/api/mamimon/errors/sourcemaps")
    async def add_sourcemap(
        request: Request[Any, Any, Any],
        url: FromQuery[str],
        release: FromQuery[str] = "",
        dist: FromQuery[str] = "",
        project: FromQuery[int] = 1,
    ) -> dict[str, str]:
        """Keep a source map or a minified file (the body) under the `url` that frames name."""
        if project not in {one.id for one in await room.projects()}:
            raise not_found(f"there is no project {project}")
        made = await room.uploads.add_file(project, release[:250], dist[:64], url, await request.body())
        return {"url": made.url, "kind": made.kind, "debug_id": made.debug_id}

    @get("/api/mamimon/errors/sourcemaps")
    async def sourcemaps(
        release: FromQuery[str] = "",
        project: FromQuery[int] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1000,
    ) -> list[Stored]:
        """Uploaded source maps and minified files, the newest first."""
        return await room.artifacts.listed(project, release, limit)

    return [add_sourcemap, sourcemaps]


def _issue_routes(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @get("/api/mamimon/errors/issues")
    async def issues(
        search: Annotated[str, QueryParameter(name="query")] = "",
        status: FromQuery[str] = "",
        sort: FromQuery[str] = "last_seen",
        project: FromQuery[int] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
        offset: Annotated[int, QueryParameter(ge=0, le=100_000)] = 0,
    ) -> IssueList:
        """Issues by the search language of `/errors`."""
        return await room.query.search(
            search,
            now=room.core.clock.now(),
            status=status,
            sort=sort,
            project=project,
            limit=limit,
            offset=offset,
        )

    @get("/api/mamimon/errors/issues/{issue_id:int}")
    async def issue(issue_id: FromPath[int]) -> IssueDetail:
        """One issue with its newest event."""
        found = await room.query.issue(issue_id)
        if found is None:
            raise not_found(f"there is no issue {issue_id}")
        newest = await room.query.event(found.id)
        tags = await room.events.tags(await room.query.family(found.id))
        parts = await room.issues.parts(found.id)
        return IssueDetail(issue=found, event=newest[1] if newest else None, tags=tags, parts=parts)

    @get("/api/mamimon/errors/issues/{issue_id:int}/events")
    async def events(
        issue_id: FromPath[int], limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50
    ) -> list[EventSummary]:
        """The newest kept events of an issue."""
        return await room.events.recent(await room.query.family(issue_id), limit)

    @get("/api/mamimon/errors/issues/{issue_id:int}/events/{event_id:str}")
    async def event(issue_id: FromPath[int], event_id: FromPath[str]) -> Response[bytes]:
        """One event as it is stored."""
        found = await room.query.event(issue_id, event_id)
        if found is None:
            raise not_found(f"issue {issue_id} has no event {event_id[:40]}")
        body = msgspec.json.format(msgspec.json.encode(found[1]), indent=2)
        return Response(body, media_type="application/json")

    @get("/api/mamimon/errors/histogram")
    async def chart(
        since: FromQuery[str] = "24h",
        start: FromQuery[float] = 0.0,
        end: FromQuery[float] = 0.0,
        project: FromQuery[int] = 0,
    ) -> dict[str, Any]:
        """Error events by level over time, as chart data."""
        now = room.core.clock.now()
        end = end or now
        start = start or end - seconds(since)
        if not 0 < end - start <= 400 * 86400:
            raise bad_input("start must be before end, by at most 400 days")
        step = next((s for s in _STEPS if (end - start) / s <= 120), _STEPS[-1])
        return await room.histogram(start, end, step, project)

    @get("/api/mamimon/errors/issues/{issue_id:int}/histogram")
    async def issue_chart(issue_id: FromPath[int], since: FromQuery[str] = "24h") -> dict[str, Any]:
        """How often an issue happened, by hour, or by day over more than a week."""
        return await issue_histogram(room, issue_id, seconds(since))

    return [issues, issue, events, event, chart, issue_chart]


_STEPS = (60, 300, 600, 1800, 3600, 6 * 3600, 86400, 7 * 86400)
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def seconds(since: str) -> float:
    """Seconds of `5m`, `24h`, `30d`; raises `BAD_INPUT` for anything else or over 400 days."""
    number, unit = since[:-1], since[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit():
        raise bad_input(f"{since[:20]} is not a duration such as 5m, 24h or 30d")
    return min(int(number) * _UNITS[unit], 400 * 86400)


async def issue_histogram(room: ErrorRoom, issue_id: int, window_s: float) -> dict[str, Any]:
    """Chart data of one issue."""
    now = room.core.clock.now()
    step = 1 if window_s <= 7 * 86400 else 24
    last = int(now // 3600) // step
    first = last - max(1, round(window_s / 3600 / step)) + 1
    hours = await room.query.hours(issue_id, first * step * 3600, now)
    values = [0] * (last - first + 1)
    for hour, count in hours.items():
        if first <= hour // step <= last:
            values[hour // step - first] += count
    times = [(first + index) * step * 3600 for index in range(len(values))]
    return {"times": times, "series": [{"name": "events", "values": values}], "marks": [], "error": ""}
