"""`/errors/releases`: how each release fares; and the files that came with an event."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from mamimon.errors.routes import seconds
from mamimon.errors.sessions import ReleaseHealth
from mamimon.problems import not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

SPANS = ("24h", "7d", "30d", "90d")


def release_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """The pages and `/api/mamimon/errors/releases`."""

    async def ask(since: str, project: int) -> list[ReleaseHealth]:
        now = room.core.clock.now()
        return await room.sessions.releases(now - seconds(since), now, project)

    @get("/errors/releases", include_in_schema=False)
    async def releases(since: FromQuery[str] = "30d", project: FromQuery[int] = 0) -> Template:
        """Releases with crash-free sessions and users."""
        projects = await room.projects()
        context = {
            "section": "/errors",
            "found": await ask(since, project),
            "since": since,
            "spans": SPANS,
            "project": project,
            "names": {one.id: one.name for one in projects},
            "projects": projects,
            "issues_of": lambda name: (
                "/errors?" + urlencode({"query": f'firstRelease:"{name}"', "status": "all"})
            ),
            "dsn": projects[0].dsn,
        }
        return Template("errors/releases.html", context=context)

    @get("/api/mamimon/errors/releases")
    async def releases_json(
        since: FromQuery[str] = "30d", project: FromQuery[int] = 0
    ) -> list[dict[str, float | int | str | None]]:
        """Sessions, users, crashes and new issues by release, the one seen last first."""
        return [
            {
                "project": one.project,
                "release": one.release,
                "sessions": one.sessions,
                "errored": one.errored,
                "abnormal": one.abnormal,
                "crashed": one.crashed,
                "crash_free_sessions": one.crash_free_sessions,
                "users": one.users,
                "crash_free_users": one.crash_free_users,
                "adoption": one.adoption,
                "new_issues": one.new_issues,
                "first_seen": one.first_seen,
                "last_seen": one.last_seen,
            }
            for one in await ask(since, project)
        ]

    @get("/errors/{issue_id:int}/events/{event_id:str}/attachments/{number:int}", include_in_schema=False)
    async def attachment(
        issue_id: FromPath[int], event_id: FromPath[str], number: FromPath[int]
    ) -> Response[bytes]:
        """One file that came with an event, to be saved: never shown in this site's name."""
        found = await room.query.event(issue_id, event_id)
        kept = await room.events.attachment(found[0], number) if found is not None else None
        if kept is None:
            raise not_found("this attachment is not kept", "contents over 1 MiB are not")
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(kept[0], safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
        return Response(kept[2], media_type="application/octet-stream", headers=headers)

    return [releases, releases_json, attachment]
