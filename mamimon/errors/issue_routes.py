"""The API that changes issues: their states, who has them, comments, merging and splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import ANYBODY
from mamimon.errors.model import Activity, Issue, StatusChange
from mamimon.problems import not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom


class StatusRequest(StatusChange, forbid_unknown_fields=True, kw_only=True):
    """Which issues get which status."""

    ids: Annotated[list[int], msgspec.Meta(max_length=1000)]


class Assignment(msgspec.Struct, forbid_unknown_fields=True):
    """Who gets the issue; nobody where empty."""

    assignee: Annotated[str, msgspec.Meta(max_length=100)]


class Comment(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody wrote."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class MergeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which issues are one."""

    ids: Annotated[list[int], msgspec.Meta(min_length=2, max_length=500)]


class SplitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which of the merged issues leave."""

    parts: Annotated[list[int], msgspec.Meta(min_length=1, max_length=500)]


class EventPlace(msgspec.Struct, kw_only=True):
    """The issue of an event, and its page."""

    issue: int
    url: str


def actor_name() -> str:
    """Who makes this request; empty while the server is open to everybody."""
    actor = current_actor.get()
    return "" if actor is ANYBODY else actor.name


async def existing(room: ErrorRoom, issue_id: int) -> Issue:
    """The issue, or the one that it was merged into; raises `NOT_FOUND`."""
    found = await room.query.issue(issue_id)
    if found is None:
        raise not_found(f"there is no issue {issue_id}")
    return found


def issue_change_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """`/api/mamimon/errors/issues/…` with POST."""

    def now() -> float:
        return room.core.clock.now()

    @post("/api/mamimon/errors/issues/status", status_code=200)
    async def change(data: JSONBody[StatusRequest]) -> dict[str, int]:
        """Resolve, ignore or reopen issues."""
        changed = await room.issues.set_status(data.ids, data, actor_name(), now())
        await room.recount()
        return {"changed": changed}

    @post("/api/mamimon/errors/issues/merge", status_code=200)
    async def merge(data: JSONBody[MergeRequest]) -> Issue:
        """Make one issue of several."""
        root = await room.issues.merge(data.ids, actor_name(), now())
        await room.recount()
        return await existing(room, root)

    @post("/api/mamimon/errors/issues/{issue_id:int}/split", status_code=200)
    async def split(issue_id: FromPath[int], data: JSONBody[SplitRequest]) -> dict[str, list[int]]:
        """Take merged issues out again."""
        freed = await room.issues.split(issue_id, data.parts, actor_name(), now())
        await room.recount()
        return {"issues": freed}

    @post("/api/mamimon/errors/issues/{issue_id:int}/assign", status_code=200)
    async def assign(issue_id: FromPath[int], data: JSONBody[Assignment]) -> Issue:
        """Give an issue to somebody."""
        issue = await existing(room, issue_id)
        await room.issues.assign(issue.id, data.assignee.strip(), actor_name(), now())
        return await existing(room, issue.id)

    @post("/api/mamimon/errors/issues/{issue_id:int}/comments", status_code=201)
    async def comment(issue_id: FromPath[int], data: JSONBody[Comment]) -> list[Activity]:
        """Write a comment; answers the activity."""
        issue = await existing(room, issue_id)
        await room.issues.comment(issue.id, data.text, actor_name(), now())
        return await room.issues.activity(issue.id)

    @get("/api/mamimon/errors/issues/{issue_id:int}/activity")
    async def activity(issue_id: FromPath[int]) -> list[Activity]:
        """What happened to an issue, newest first."""
        return await room.issues.activity((await existing(room, issue_id)).id)

    @get("/api/mamimon/errors/events/{event_id:str}")
    async def find(event_id: FromPath[str]) -> EventPlace:
        """Where an event is, by the id that its client printed."""
        return await place_of(room, event_id)

    return [change, merge, split, assign, comment, activity, find]


async def place_of(room: ErrorRoom, event_id: str) -> EventPlace:
    """The issue and the page of an event; raises `NOT_FOUND`."""
    found = await room.events.find(event_id.replace("-", "").lower())
    if found is None:
        raise not_found(f"there is no event {event_id[:40]}", "of noisy issues only some events are kept")
    place, part = found
    issue = await existing(room, part)
    return EventPlace(issue=issue.id, url=f"/errors/{issue.id}/events/{place.id}")
