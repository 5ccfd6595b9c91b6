"""The page on which notices are written, and their API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.health.notices import LONGEST_TEXT, LONGEST_TITLE, WORDS
from mamimon.health.notices_store import Notice
from mamimon.health.store import KEEP_S
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ControllerRouterHandler

    from mamimon.health.notices import Notices
    from mamimon.health.subscribers import Subscribers
    from mamimon.storage import Core

Text = Annotated[str, msgspec.Meta(max_length=4000)]


class NewNotice(msgspec.Struct):
    """A notice; `parts` are names of checks, `mail` tells subscribers."""

    title: Text
    text: Text
    state: Text = "investigating"
    parts: list[Text] = []
    mail: bool = True


class NewUpdate(msgspec.Struct):
    """What is new of a notice."""

    text: Text
    state: Text = "investigating"
    mail: bool = True


def notice_handlers(
    core: Core, notices: Notices, subscribers: Subscribers, names: Callable[[], set[str]]
) -> list[ControllerRouterHandler]:
    """`/notices` and `/api/mamimon/notices`."""

    async def kept() -> list[Notice]:
        return await notices.since(core.clock.now() - KEEP_S)

    @get("/api/mamimon/notices")
    async def list_notices() -> list[Notice]:
        """Notices of the status page, the newest first."""
        return await kept()

    @post("/api/mamimon/notices")
    async def add_notice(data: JSONBody[NewNotice]) -> Notice:
        """Write a notice on the status page."""
        by = current_actor.get().name
        return await notices.add(data.title, data.text, data.state, data.parts, by, mail=data.mail)

    @post("/api/mamimon/notices/{number:int}/updates")
    async def add_update(number: FromPath[int], data: JSONBody[NewUpdate]) -> Notice:
        """Write what is new; `resolved` ends the notice."""
        by = current_actor.get().name
        return await notices.update(number, data.text, data.state, by, mail=data.mail)

    @delete("/api/mamimon/notices/{number:int}")
    async def remove_notice(number: FromPath[int]) -> None:
        """Take a notice off the page."""
        await notices.remove(number, current_actor.get().name)

    @get("/notices", include_in_schema=False)
    async def page(title: FromQuery[str] = "") -> Template:
        context = {
            "section": "/checks",
            "notices": await kept(),
            "words": WORDS,
            "names": sorted(names(), key=str.lower),
            "mail": subscribers.possible,
            "title": title[:LONGEST_TITLE],
            "longest": {"title": LONGEST_TITLE, "text": LONGEST_TEXT},
        }
        return Template("health/notices.html", context=context)

    @post("/notices", include_in_schema=False)
    async def add_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await notices.add(
            data.get("title", ""),
            data.get("text", ""),
            data.get("state", ""),
            data.get("parts", "").split(","),
            current_actor.get().name,
            mail="mail" in data,
        )
        return Redirect("/notices", status_code=303)

    @post("/notices/update", include_in_schema=False)
    async def update_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await notices.update(
            _number(data),
            data.get("text", ""),
            data.get("state", ""),
            current_actor.get().name,
            mail="mail" in data,
        )
        return Redirect("/notices", status_code=303)

    @post("/notices/remove", include_in_schema=False)
    async def remove_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await notices.remove(_number(data), current_actor.get().name)
        return Redirect("/notices", status_code=303)

    return [
        list_notices,
        add_notice,
        add_update,
        remove_notice,
        page,
        add_by_form,
        update_by_form,
        remove_by_form,
    ]


def _number(data: dict[str, str]) -> int:
    text = data.get("id", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise bad_input("which notice?")
    return int(text)
