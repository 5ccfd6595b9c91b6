"""`/api/v1/admin/tsdb/snapshot`: off unless the setting is on; the gate lets only admins through."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, Response, route

from mamimon.metrics.routes.answer import failure, parameters, success
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_VERBS = [HttpMethod.POST, HttpMethod.PUT]


def admin_handlers(core: Core, store: SeriesStore) -> list[ControllerRouterHandler]:
    """Taking snapshots."""

    def check() -> None:
        if not core.settings.metrics.admin_api:
            raise Problem(Kind.UNAVAILABLE, "admin APIs disabled")

    @route(
        "/api/v1/admin/tsdb/snapshot",
        http_method=_VERBS,
        exception_handlers={Problem: failure},
        status_code=200,
    )
    async def snapshot(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A consistent copy of every day file under `metrics/snapshots/`; `skip_head` leaves out today."""
        check()
        skip_head = (await parameters(request)).flag("skip_head")
        at = dt.datetime.fromtimestamp(core.clock.now(), dt.UTC)
        name = f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"
        folder = store.directory / "snapshots" / name
        folder.mkdir(parents=True)
        days = store.days()
        for day in days[:-1] if skip_head else days:
            await store.snapshot_day(day, folder / f"{day}.db")
        return success({"name": name})

    return [snapshot]
