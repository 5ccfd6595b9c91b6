"""Saving a search under a name, and deleting one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import ANYBODY
from mamimon.logs.store import searches
from mamimon.problems import not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core


def owner_now() -> str:
    """Whose searches this request sees and saves; empty is everybody's, without accounts."""
    actor = current_actor.get()
    return "" if actor is ANYBODY else actor.name


def search_handlers(core: Core) -> list[ControllerRouterHandler]:
    """The handlers under `/logs/searches`."""

    @post("/logs/searches", include_in_schema=False)
    async def save(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        """Give the search a name; the page that was searched comes back."""
        query = data.get("query", "").lstrip("?")
        owner = owner_now()
        await core.state.write(
            lambda raw: searches.save(raw, owner, data.get("name", ""), query, core.clock.now())
        )
        return Redirect(f"/logs?{query}", status_code=303)

    @post("/logs/searches/{number:int}/delete", include_in_schema=False)
    async def forget(number: FromPath[int], data: URLEncodedBody[dict[str, str]]) -> Redirect:
        """Delete a saved search."""
        owner = owner_now()
        if not await core.state.write(lambda raw: searches.delete(raw, owner, number)):
            raise not_found("this search is not here, or not yours")
        return Redirect(f"/logs?{data.get('query', '').lstrip('?')}", status_code=303)

    return [save, forget]
