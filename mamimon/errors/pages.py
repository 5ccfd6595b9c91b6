"""The errors' pages: the list of issues and the page of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Redirect, Template

from mamimon.errors.issue_changes import form_handlers
from mamimon.errors.issue_page import issue_page
from mamimon.errors.issue_routes import place_of
from mamimon.errors.present import markdown, spark
from mamimon.problems import Kind, Problem, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

PAGE = 50
_EVENT_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def page_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """`/errors` and `/errors/<id>`."""
    return [*_reading(room), *form_handlers(room)]


def _reading(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @get("/errors", include_in_schema=False)
    async def issues(
        search: Annotated[str, QueryParameter(name="query")] = "",
        status: FromQuery[str] = "unresolved",
        sort: FromQuery[str] = "last_seen",
        project: FromQuery[int] = 0,
        page: Annotated[int, QueryParameter(ge=1, le=2000)] = 1,
    ) -> Template | Redirect:
        """The list of issues; an event's id leads to its page."""
        if _EVENT_ID.fullmatch(search.strip()):
            try:
                return Redirect((await place_of(room, search.strip())).url, status_code=303)
            except Problem as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
        now = room.core.clock.now()
        problem = ""
        found = None
        try:
            found = await room.query.search(
                search,
                now=now,
                status=status,
                sort=sort,
                project=project,
                limit=PAGE,
                offset=(page - 1) * PAGE,
            )
        except Problem as error:
            problem = f"{error.detail}. {error.hint}".strip()
        projects = await room.projects()
        kept = {"query": search, "status": status, "sort": sort, "project": project or ""}
        return Template(
            "errors/list.html",
            context={
                "section": "/errors",
                "found": found,
                "problem": problem,
                "query": search,
                "status": status,
                "sort": sort,
                "project": project,
                "projects": projects,
                "page": page,
                "pages": -(-found.total // PAGE) if found else 1,
                "link": lambda **change: (
                    "/errors?" + urlencode({k: v for k, v in (kept | change).items() if v})
                ),
                "spark": spark,
                "now": now,
                "any": bool(found and sum(found.by_status.values())) or await _has_issues(room),
                "snippet": _snippet(projects[0].dsn),
            },
        )

    @get("/errors/{issue_id:int}", include_in_schema=False)
    async def issue(issue_id: FromPath[int]) -> Template | Redirect:
        """An issue with its newest event."""
        return await issue_page(room, issue_id, "")

    @get("/errors/{issue_id:int}/events/{event_id:str}", include_in_schema=False)
    async def event(issue_id: FromPath[int], event_id: FromPath[str]) -> Template | Redirect | Response[str]:
        """An issue with one of its events; `<event>.md` is the event as Markdown."""
        if event_id.endswith(".md"):
            found = await room.query.event(issue_id, event_id.removesuffix(".md"))
            if found is None:
                raise not_found("this event is not kept")
            body = markdown(found[1], f"{room.core.base_url}/errors/{issue_id}/events/{found[1].id}")
            return Response(body, media_type="text/markdown; charset=utf-8")
        return await issue_page(room, issue_id, event_id)

    return [issues, issue, event]


def _snippet(dsn: str) -> str:
    return f"pip install sentry-sdk\npython -c \"import sentry_sdk; sentry_sdk.init('{dsn}'); 1 / 0\""


async def _has_issues(room: ErrorRoom) -> bool:
    found = await room.query.search("", now=room.core.clock.now(), limit=1)
    return found.total > 0
