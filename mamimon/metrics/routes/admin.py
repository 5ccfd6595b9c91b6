"""`/api/v1/admin/tsdb/*`: off unless the setting is on; the gate lets only admins through."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
from typing import TYPE_CHECKING, Any

from litestar import HttpMethod, Request, Response, route

from mamimon.metrics.routes.answer import MATCH, Disabled, failure, parameters, selectors, success
from mamimon.metrics.routes.expressions import END_OF_TIME
from mamimon.metrics.routes.reading import Unreadable, truth
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.metrics.store import SeriesStore
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.metrics")
_VERBS = [HttpMethod.POST, HttpMethod.PUT]


def admin_handlers(core: Core, store: SeriesStore) -> list[ControllerRouterHandler]:
    """Deleting series and taking snapshots."""

    def check() -> None:
        if not core.settings.metrics.admin_api:
            raise Disabled("admin APIs")

    @route(
        "/api/v1/admin/tsdb/snapshot",
        http_method=_VERBS,
        exception_handlers={Problem: failure},
        status_code=200,
    )
    async def snapshot(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A consistent copy of every day file under `metrics/snapshots/`; `skip_head` leaves out today."""
        check()
        try:
            skip_head = truth((await parameters(request)).get("skip_head"))
        except Unreadable as error:
            raise bad_input(f'invalid parameter "skip_head": unable to parse boolean: {error}') from None
        at = dt.datetime.fromtimestamp(core.clock.now(), dt.UTC)
        name = f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"
        folder = store.directory / "snapshots" / name
        folder.mkdir(parents=True)
        days = store.days()
        for day in days[:-1] if skip_head else days:
            await store.snapshot_day(day, folder / f"{day}.db")
        return success({"name": name})

    @route(
        "/api/v1/admin/tsdb/delete_series",
        http_method=_VERBS,
        exception_handlers={Problem: failure},
        status_code=204,
    )
    async def delete_series(request: Request[Any, Any, Any]) -> None:
        """Delete the samples of the selected series between start and end, at once and for good."""
        check()
        given = await parameters(request)
        if not given.all("match[]"):
            raise bad_input("no match[] parameter provided")
        start, end = given.time("start", 0.0), given.time("end", END_OF_TIME)
        count = await store.delete(selectors(given, MATCH), round(start * 1000), round(end * 1000))
        _log.warning("%d samples were deleted over the admin API", count)

    @route(
        "/api/v1/admin/tsdb/clean_tombstones",
        http_method=_VERBS,
        exception_handlers={Problem: failure},
        status_code=204,
    )
    async def clean_tombstones() -> None:
        """Give the space of what was deleted back to the file system."""
        check()
        await store.give_back()

    return [snapshot, delete_series, clean_tombstones]
