"""What the page of an issue shows: the issue, one of its events, and where else to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from litestar.response import Redirect, Template

from mamimon.errors.model import Event, ExceptionValue, Frame, Issue
from mamimon.errors.present import curl_command, facts, flat, spark, trail
from mamimon.problems import not_found

if TYPE_CHECKING:
    from mamimon.errors.room import ErrorRoom

MAX_VALUES = 5


async def issue_page(room: ErrorRoom, issue_id: int, event_id: str) -> Template | Redirect:
    """The page of an issue with the event named, else its newest; a merged one leads to its root."""
    issue = await room.query.issue(issue_id)
    if issue is None:
        raise not_found(f"there is no issue {issue_id}")
    if issue.id != issue_id:
        rest = f"/events/{event_id}" if event_id else ""
        return Redirect(f"/errors/{issue.id}{rest}", status_code=303)
    found = await room.query.event(issue_id, event_id)
    if found is None and event_id:
        raise not_found("this event is no longer kept", f"open /errors/{issue_id} for the newest one")
    now = room.core.clock.now()
    await room.query.add_trends([issue], now)
    family = await room.query.family(issue_id)
    tags = await room.events.tags(family)
    context: dict[str, Any] = {
        "section": "/errors",
        "issue": issue,
        "state": issue.state(now),
        "event": None,
        "tags": [_distribution(key, values) for key, values in tags.items() if key != "release"],
        "releases": _distribution("release", tags.get("release", [])),
        "activity": await room.issues.activity(issue_id),
        "parts": await room.issues.parts(issue_id) if len(family) > 1 else [],
        "similar": await room.query.similar(issue),
        "spark": spark,
        "recent": await room.events.recent(family, 20),
        "people": await room.issues.assignees(),
    }
    if found is not None:
        place, event = found
        before, after = await room.events.neighbours(family, place)
        context |= _event_context(event, issue) | {
            "event": event,
            "place": place,
            "before": before,
            "after": after,
            "feedback": await room.issues.feedback(event.id),
        }
    return Template("errors/issue.html", context=context)


def _distribution(key: str, values: list[tuple[str, int]]) -> tuple[str, list[tuple[str, int]], int, int]:
    """A tag, its most frequent values with counts, all counts together, and how many values are left out."""
    return key, values[:MAX_VALUES], sum(count for _, count in values), max(0, len(values) - MAX_VALUES)


def _event_context(event: Event, issue: Issue) -> dict[str, Any]:
    """What the template shows of an event, ready to print."""
    chain = list(reversed(event.exceptions))
    if not chain and event.frames:
        chain = [ExceptionValue(frames=event.frames)]
    return {
        "chain": [(one, _stack(one.frames), _relation(event, one)) for one in chain],
        "trail": trail(event),
        "facts": facts(event),
        "extra": flat(event.extra),
        "curl": curl_command(event),
        "logs": _logs_of_request(event),
        "second": {"start": f"{event.time - 1:.3f}", "end": f"{event.time + 1:.3f}"},
        "flat": flat,
        "grouping": event.grouping if event.grouping.hash else issue.grouping,
    }


def _relation(event: Event, one: ExceptionValue) -> str:
    """How an exception stands to the one above it: `cause`, `member` of a group, or nothing."""
    if one is event.main:
        return ""
    parent = next((other for other in event.exceptions if other.id == one.parent), None)
    return "member" if parent is not None and parent.group else "cause"


def _stack(frames: list[Frame]) -> list[tuple[Frame, bool]]:
    """Frames with the innermost first, and whether each is shown open."""
    last = next((index for index in range(len(frames) - 1, -1, -1) if frames[index].in_app), len(frames) - 1)
    return [(frame, index == last) for index, frame in reversed(list(enumerate(frames)))]


def _logs_of_request(event: Event) -> str:
    """The query string of the logs of the same request or trace; empty where neither is known."""
    window = {"start": int(event.time) - 300, "end": int(event.time) + 300}
    if event.request_id and '"' not in event.request_id:
        return urlencode({"q": f'request_id:"{event.request_id}"', **window})
    if event.trace_id:
        return urlencode({"q": f'trace_id:"{event.trace_id}"', **window})
    return ""
