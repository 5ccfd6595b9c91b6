"""The errors' pages: the list of issues and the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery, QueryParameter
from litestar.response import Redirect, Template

from mamimon.errors.model import STATUSES, Event, ExceptionValue, Frame, Status
from mamimon.errors.present import curl_command, facts, flat, markdown, spark, trail
from mamimon.problems import Problem, bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

PAGE = 50
Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]


def page_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """`/errors` and `/errors/<id>`."""
    return [*_reading(room), *_changing(room)]


def _reading(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @get("/errors", include_in_schema=False)
    async def issues(
        search: Annotated[str, QueryParameter(name="query")] = "",
        status: FromQuery[str] = "unresolved",
        sort: FromQuery[str] = "last_seen",
        project: FromQuery[int] = 0,
        page: Annotated[int, QueryParameter(ge=1, le=2000)] = 1,
    ) -> Template:
        """The list of issues."""
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
                "any": bool(found and sum(found.by_status.values())) or await _has_issues(room),
                "snippet": _snippet(projects[0].dsn),
            },
        )

    @get("/errors/{issue_id:int}", include_in_schema=False)
    async def issue(issue_id: FromPath[int]) -> Template:
        """An issue with its newest event."""
        return await _issue_page(room, issue_id, "")

    @get("/errors/{issue_id:int}/events/{event_id:str}", include_in_schema=False)
    async def event(issue_id: FromPath[int], event_id: FromPath[str]) -> Template | Response[str]:
        """An issue with one of its events; `<event>.md` is the event as Markdown."""
        if event_id.endswith(".md"):
            found = await room.query.event(issue_id, event_id.removesuffix(".md"))
            if found is None:
                raise not_found("this event is not kept")
            body = markdown(found[1], f"{room.core.base_url}/errors/{issue_id}/events/{found[1].id}")
            return Response(body, media_type="text/markdown; charset=utf-8")
        return await _issue_page(room, issue_id, event_id)

    return [issues, issue, event]


def _changing(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @post("/errors/status", include_in_schema=False, status_code=303)
    async def change(request: Request[Any, Any, Any]) -> Redirect:
        """Change the status of the ticked issues."""
        form = await request.form()
        ids = [int(value) for value in form.getall("id", []) if str(value).isdigit()]
        await room.issues.set_status(ids[:1000], _status(form.get("status")), "", room.core.clock.now())
        await room.recount()
        return Redirect(_back(str(form.get("back") or "")), status_code=303)

    @post("/errors/{issue_id:int}/status", include_in_schema=False, status_code=303)
    async def change_one(issue_id: FromPath[int], data: Form) -> Redirect:
        """Change one issue's status; an ignore may end after `more` events or `hours`."""
        now = room.core.clock.now()
        more = str(data.get("more") or "0")
        hours = str(data.get("hours") or "0")
        if not more.isdigit() or not hours.isdigit():
            raise bad_input("more and hours are whole numbers")
        await room.issues.set_status(
            [issue_id],
            _status(data.get("status")),
            "",
            now,
            more=min(int(more), 10**9),
            until=now + int(hours) * 3600 if int(hours) else 0,
        )
        await room.recount()
        return Redirect(f"/errors/{issue_id}", status_code=303)

    @post("/errors/{issue_id:int}/comment", include_in_schema=False, status_code=303)
    async def comment(issue_id: FromPath[int], data: Form) -> Redirect:
        """Write a comment."""
        words = str(data.get("text") or "").strip()[:4000]
        if not words:
            raise bad_input("an empty comment")
        if await room.query.issue(issue_id) is None:
            raise not_found(f"there is no issue {issue_id}")
        await room.issues.comment(issue_id, words, "", room.core.clock.now())
        return Redirect(f"/errors/{issue_id}#activity", status_code=303)

    @post("/errors/{issue_id:int}/assign", include_in_schema=False, status_code=303)
    async def assign(issue_id: FromPath[int], data: Form) -> Redirect:
        """Give the issue to somebody."""
        who = str(data.get("assignee") or "").strip()[:100]
        await room.issues.assign(issue_id, who, "", room.core.clock.now())
        return Redirect(f"/errors/{issue_id}", status_code=303)

    return [change, change_one, comment, assign]


async def _issue_page(room: ErrorRoom, issue_id: int, event_id: str) -> Template:
    issue = await room.query.issue(issue_id)
    if issue is None:
        raise not_found(f"there is no issue {issue_id}", "it may have been merged into another one")
    found = await room.query.event(issue_id, event_id)
    if found is None and event_id:
        raise not_found("this event is no longer kept", f"open /errors/{issue_id} for the newest one")
    await room.query.add_trends([issue], room.core.clock.now())
    tags = await room.events.tags(issue_id)
    context: dict[str, Any] = {
        "section": "/errors",
        "issue": issue,
        "event": None,
        "tags": [(key, values[:5], sum(count for _, count in values)) for key, values in tags.items()],
        "activity": await room.issues.activity(issue_id),
        "spark": spark,
        "recent": await room.events.recent(issue_id, 20),
    }
    if found is not None:
        place, event = found
        before, after = await room.events.neighbours(issue_id, place)
        context |= _event_context(event) | {
            "event": event,
            "place": place,
            "before": before,
            "after": after,
            "feedback": await room.issues.feedback(event.id),
        }
    return Template("errors/issue.html", context=context)


def _event_context(event: Event) -> dict[str, Any]:
    """What the template shows of an event, ready to print."""
    chain = list(reversed(event.exceptions))
    if not chain and event.frames:
        chain = [ExceptionValue(frames=event.frames)]
    return {
        "chain": [(one, _stack(one.frames)) for one in chain],
        "trail": trail(event),
        "facts": facts(event),
        "extra": flat(event.extra),
        "curl": curl_command(event),
        "logs": _logs_link(event),
        "flat": flat,
    }


def _stack(frames: list[Frame]) -> list[tuple[Frame, bool]]:
    """Frames with the innermost first, and whether each is shown open."""
    last = next((index for index in range(len(frames) - 1, -1, -1) if frames[index].in_app), len(frames) - 1)
    return [(frame, index == last) for index, frame in reversed(list(enumerate(frames)))]


def _logs_link(event: Event) -> str:
    """Where the logs of the same request are; else those of the same minute; empty for neither."""
    window = {"start": int(event.time) - 300, "end": int(event.time) + 300}
    if event.request_id and '"' not in event.request_id:
        return "/logs?" + urlencode({"q": f'request_id:"{event.request_id}"', **window})
    if event.trace_id:
        return "/logs?" + urlencode({"q": f'trace_id:"{event.trace_id}"', **window})
    return ""


def _snippet(dsn: str) -> str:
    return f"pip install sentry-sdk\npython -c \"import sentry_sdk; sentry_sdk.init('{dsn}'); 1 / 0\""


async def _has_issues(room: ErrorRoom) -> bool:
    found = await room.query.search("", now=room.core.clock.now(), limit=1)
    return found.total > 0


def _status(value: object) -> Status:
    for status in STATUSES:
        if value == status:
            return status
    raise bad_input(f"status is one of {', '.join(STATUSES)}")


def _back(path: str) -> str:
    """Only a way back into the list, never to another site."""
    return path if path.startswith("/errors") and "\n" not in path and "\r" not in path else "/errors"
