"""The checks page and the checks' small API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import get, post
from litestar.params import JSONBody, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.health.model import CheckStatus, Run, history, runs, uptime, worst_first
from mamimon.problems import not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.health.heartbeats import Heartbeats
    from mamimon.health.monitor import Monitor
    from mamimon.health.store import HealthStore
    from mamimon.storage import Core

_DAY_S = 86_400.0


def health_pages(
    core: Core, monitor: Monitor, heartbeats: Heartbeats, store: HealthStore
) -> list[ControllerRouterHandler]:
    """`/checks` and `/api/mamimon/checks`."""

    def statuses() -> list[CheckStatus]:
        return worst_first(monitor.statuses() + heartbeats.statuses())

    async def rows(span_s: float, slots: int) -> list[tuple[CheckStatus, list[Run], float | None]]:
        end = core.clock.now()
        changes = await store.changes(end - span_s)
        found = []
        for status in statuses():
            cut = history(changes.get(status.name, []), end - span_s, end, slots)
            found.append((status, runs(cut), uptime(cut)))
        return found

    @get("/checks", include_in_schema=False)
    async def checks_page() -> Template:
        context = {
            "section": "/checks",
            "rows": await rows(_DAY_S, 48),
            "heartbeats": heartbeats.all(),
            "base_url": core.base_url,
        }
        return Template("health/checks.html", context=context)

    @post("/checks/run", include_in_schema=False)
    async def check_now(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await _run(monitor, data.get("name", ""))
        return Redirect("/checks", status_code=303)

    @get("/api/mamimon/checks", sync_to_thread=False)
    def checks_list() -> list[CheckStatus]:
        """Every check as it stands, the worst first."""
        return statuses()

    @post("/api/mamimon/checks/run", status_code=200)
    async def run_check(data: JSONBody[dict[str, Any]]) -> CheckStatus:
        """Check `{"name": …}` now and answer its state."""
        return await _run(monitor, str(data.get("name", "")))

    return [checks_page, check_now, checks_list, run_check]


async def _run(monitor: Monitor, name: str) -> CheckStatus:
    if name not in monitor.names():
        raise not_found(f"there is no check named {name[:100]!r}", "GET /api/mamimon/checks lists them")
    return await monitor.once(name)
