"""The page and the API of a project's rules: fingerprints, stack traces, owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import get, post, put
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery, JSONBody
from litestar.response import Redirect, Template

from mamimon.errors.grouping import group
from mamimon.errors.matchers import RuleError
from mamimon.errors.model import Event
from mamimon.errors.rule_store import RuleTexts
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
TRIED = 25


class Tried(msgspec.Struct, kw_only=True):
    """What the rules would do to an issue's newest event."""

    issue: int
    title: str
    reason: str
    parts: list[str]
    rule: str
    owner: str
    changed: bool


def rule_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """`/errors/rules` and `/api/mamimon/errors/projects/<id>/rules`."""

    @get("/errors/rules", include_in_schema=False)
    async def page(project: FromQuery[int] = 0) -> Template:
        """The rules of a project."""
        number = await _known(room, project)
        texts = (await room.rules.all()).get(number, RuleTexts())
        return await _page(room, number, texts, "", [])

    @post("/errors/rules", include_in_schema=False, status_code=200)
    async def save(data: Form) -> Template | Redirect:
        """Save the rules, or show what they would do (`do=try`)."""
        given = str(data.get("project") or "0")
        number = await _known(room, int(given) if given.isdigit() else 0)
        texts = RuleTexts(**{kind: str(data.get(kind) or "") for kind in RuleTexts.__struct_fields__})
        try:
            if data.get("do") == "try":
                return await _page(room, number, texts, "", await try_rules(room, number, texts))
            await room.set_rules(number, texts)
        except RuleError as error:
            return await _page(room, number, texts, str(error), [])
        return Redirect(f"/errors/rules?project={number}", status_code=303)

    @get("/api/mamimon/errors/projects/{project:int}/rules")
    async def read(project: FromPath[int]) -> RuleTexts:
        """The rules as they are written."""
        return (await room.rules.all()).get(await _known(room, project), RuleTexts())

    @put("/api/mamimon/errors/projects/{project:int}/rules")
    async def write(project: FromPath[int], data: JSONBody[RuleTexts]) -> RuleTexts:
        """Replace the rules; they hold for events from now on."""
        try:
            await room.set_rules(await _known(room, project), data)
        except RuleError as error:
            raise bad_input(str(error)) from None
        return data

    @post("/api/mamimon/errors/projects/{project:int}/rules/try", status_code=200)
    async def try_(project: FromPath[int], data: JSONBody[RuleTexts]) -> list[Tried]:
        """What rules would do to the newest events of the newest issues; nothing is saved."""
        try:
            return await try_rules(room, await _known(room, project), data)
        except RuleError as error:
            raise bad_input(str(error)) from None

    return [page, save, read, write, try_]


async def try_rules(room: ErrorRoom, project: int, texts: RuleTexts) -> list[Tried]:
    """Group the newest events of the newest issues by rules that are not saved."""
    rules = texts.read()
    found = await room.query.search("", now=room.core.clock.now(), project=project, limit=TRIED)
    tried: list[Tried] = []
    for issue in found.issues:
        kept = await room.query.event(issue.id)
        if kept is None:
            continue
        event = kept[1]
        before = event.grouping.hash
        made = group(_as_sent(event), rules)
        tried.append(
            Tried(
                issue=issue.id,
                title=issue.title,
                reason=made.reason,
                parts=made.parts,
                rule=made.rule,
                owner=rules.owner(event),
                changed=made.hash != before,
            )
        )
    return tried


def _as_sent(event: Event) -> Event:
    """Without what earlier rules said about it; whose its frames are stays as it was decided then."""
    event.heading = ""
    for frames in (*(one.frames for one in event.exceptions), event.frames):
        for frame in frames:
            frame.rule = ""
    return event


async def _known(room: ErrorRoom, project: int) -> int:
    numbers = [one.id for one in await room.projects()]
    if not project:
        return numbers[0]
    if project not in numbers:
        raise not_found(f"there is no project {project}")
    return project


async def _page(
    room: ErrorRoom, project: int, texts: RuleTexts, problem: str, tried: list[Tried]
) -> Template:
    return Template(
        "errors/rules.html",
        context={
            "section": "/errors",
            "project": project,
            "projects": await room.projects(),
            "texts": texts,
            "problem": problem,
            "tried": tried,
        },
    )
