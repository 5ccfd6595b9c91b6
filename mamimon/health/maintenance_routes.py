"""The page and the API of planned work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, JSONBody, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.health.model import Window
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.types import ControllerRouterHandler

    from mamimon.health.maintenance import Maintenance
    from mamimon.storage import Core


class NewWindow(msgspec.Struct):
    """Work to plan: once from `starts`, or by a cron expression."""

    name: str
    duration_s: float
    checks: list[str] = []
    matchers: str = ""
    starts: float | str | None = None
    schedule: str = ""
    zone: str = "UTC"


class WindowView(msgspec.Struct):
    """A window with when it is open now or next (epoch seconds)."""

    window: Window
    open: bool
    starts_at: float | None
    ends_at: float | None


def maintenance_handlers(
    core: Core, maintenance: Maintenance, names: Callable[[], list[str]]
) -> list[ControllerRouterHandler]:
    """`/maintenance` and `/api/mamimon/maintenance`."""

    def view(one: Window) -> WindowView:
        now = core.clock.now()
        coming = maintenance.coming(one, now)
        if coming is None:
            return WindowView(one, False, None, None)
        return WindowView(one, coming.start <= now, coming.start, coming.end)

    @get("/api/mamimon/maintenance", sync_to_thread=False)
    def list_windows() -> list[WindowView]:
        """Planned work: what is under way first, then by when it comes."""
        return [view(one) for one in maintenance.all()]

    @post("/api/mamimon/maintenance")
    async def add_window(data: JSONBody[NewWindow]) -> WindowView:
        """Plan work on checks and alerts."""
        made = await maintenance.add(
            data.name,
            duration_s=data.duration_s,
            checks=data.checks,
            matchers=data.matchers,
            starts=data.starts,
            schedule=data.schedule,
            zone=data.zone,
            by=current_actor.get().name,
        )
        return view(made)

    @delete("/api/mamimon/maintenance/{window:str}")
    async def remove_window(window: FromPath[str]) -> None:
        """End planned work, or call it off."""
        await maintenance.remove(window)

    @get("/maintenance", include_in_schema=False, sync_to_thread=False)
    def page() -> Template:
        context = {
            "section": "/checks",
            "windows": [view(one) for one in maintenance.all()],
            "names": sorted(names(), key=str.lower),
        }
        return Template("health/maintenance.html", context=context)

    @post("/maintenance", include_in_schema=False)
    async def add_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        try:
            duration_s = float(data["minutes"]) * 60
        except (KeyError, ValueError):
            raise bad_input("the duration must be a number of minutes") from None
        await maintenance.add(
            data.get("name", ""),
            duration_s=duration_s,
            checks=data.get("checks", "").split(","),
            matchers=data.get("matchers", ""),
            starts=data.get("starts") or None,
            schedule=data.get("schedule", ""),
            zone=data.get("zone", "").strip() or "UTC",
            by=current_actor.get().name,
        )
        return Redirect("/maintenance", status_code=303)

    @post("/maintenance/remove", include_in_schema=False)
    async def remove_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await maintenance.remove(data.get("id", ""))
        return Redirect("/maintenance", status_code=303)

    return [list_windows, add_window, remove_window, page, add_by_form, remove_by_form]
