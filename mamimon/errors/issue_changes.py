"""The forms of the issue pages: what people do to issues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Redirect

from mamimon.errors.issue_routes import actor_name, existing
from mamimon.errors.model import STATUSES, Status, StatusChange
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]


def form_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """The forms of the list and of an issue's page."""
    return [*_list_forms(room), *_issue_forms(room)]


def _list_forms(room: ErrorRoom) -> list[ControllerRouterHandler]:
    @post("/errors/status", include_in_schema=False, status_code=303)
    async def change(request: Request[Any, Any, Any]) -> Redirect:
        """Change the status of the ticked issues, give them to somebody, or merge them."""
        form = await request.form()
        ids = [int(value) for value in form.getall("id", []) if str(value).isdigit()][:1000]
        now = room.core.clock.now()
        if form.get("do") == "merge":
            root = await room.issues.merge(ids, actor_name(), now)
            await room.recount()
            return Redirect(f"/errors/{root}#merged", status_code=303)
        if form.get("do") == "assign":
            for one in ids:
                await room.issues.assign(one, _name(form.get("assignee")), actor_name(), now)
        else:
            await room.issues.set_status(ids, _change(dict(form), now), actor_name(), now)
            await room.recount()
        return Redirect(_back(str(form.get("back") or "")), status_code=303)

    return [change]


def _issue_forms(room: ErrorRoom) -> list[ControllerRouterHandler]:
    def now() -> float:
        return room.core.clock.now()

    @post("/errors/{issue_id:int}/status", include_in_schema=False, status_code=303)
    async def change_one(issue_id: FromPath[int], data: Form) -> Redirect:
        """Change one issue's status; an ignore may end after `more` events, `users` or `hours`."""
        await room.issues.set_status([issue_id], _change(data, now()), actor_name(), now())
        await room.recount()
        return Redirect(f"/errors/{issue_id}", status_code=303)

    @post("/errors/{issue_id:int}/comment", include_in_schema=False, status_code=303)
    async def comment(issue_id: FromPath[int], data: Form) -> Redirect:
        """Write a comment."""
        words = str(data.get("text") or "").strip()[:4000]
        if not words:
            raise bad_input("an empty comment")
        issue = await existing(room, issue_id)
        await room.issues.comment(issue.id, words, actor_name(), now())
        return Redirect(f"/errors/{issue.id}#activity", status_code=303)

    @post("/errors/{issue_id:int}/assign", include_in_schema=False, status_code=303)
    async def assign(issue_id: FromPath[int], data: Form) -> Redirect:
        """Give the issue to somebody."""
        issue = await existing(room, issue_id)
        await room.issues.assign(issue.id, _name(data.get("assignee")), actor_name(), now())
        return Redirect(f"/errors/{issue.id}", status_code=303)

    @post("/errors/{issue_id:int}/merge", include_in_schema=False, status_code=303)
    async def merge(issue_id: FromPath[int], data: Form) -> Redirect:
        """Make one issue of this and another one."""
        other = str(data.get("other") or "").lstrip("#")
        if not other.isdigit():
            raise bad_input("the other issue's number is missing")
        root = await room.issues.merge([issue_id, int(other)], actor_name(), now())
        await room.recount()
        return Redirect(f"/errors/{root}#merged", status_code=303)

    @post("/errors/{issue_id:int}/split", include_in_schema=False, status_code=303)
    async def split(issue_id: FromPath[int], request: Request[Any, Any, Any]) -> Redirect:
        """Take merged issues out again."""
        form = await request.form()
        parts = [int(value) for value in form.getall("part", []) if str(value).isdigit()]
        if not parts:
            raise bad_input("no issue is ticked")
        await room.issues.split(issue_id, parts, actor_name(), now())
        await room.recount()
        return Redirect(f"/errors/{issue_id}#merged", status_code=303)

    return [change_one, comment, assign, merge, split]


def _change(form: dict[str, Any], now: float) -> StatusChange:
    """`status` with `next=1`, `more`, `users` and `hours` of a form."""
    numbers = {name: str(form.get(name) or "0") for name in ("more", "users", "hours")}
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in numbers.values()):
        raise bad_input("more, users and hours are whole numbers")
    more, users, hours = (int(text) for text in numbers.values())
    return StatusChange(
        status=_status(form.get("status")),
        next_release=form.get("next") == "1",
        more=more,
        users=users,
        until=now + hours * 3600 if hours else 0.0,
    )


def _name(value: object) -> str:
    return str(value or "").strip()[:100]


def _status(value: object) -> Status:
    for status in STATUSES:
        if value == status:
            return status
    raise bad_input(f"status is one of {', '.join(STATUSES)}")


def _back(path: str) -> str:
    """Only a way back into the list, never to another site."""
    return path if path.startswith("/errors") and "\n" not in path and "\r" not in path else "/errors"
