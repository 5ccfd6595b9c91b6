"""The ping door and the heartbeats' API and forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import MediaType, Request, Response, delete, get, post, route
from litestar.params import FromPath, JSONBody, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.health.heartbeats import BODY_KEPT
from mamimon.health.model import Ping
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.health.heartbeats import Heartbeats
    from mamimon.health.model import Heartbeat
    from mamimon.health.monitor import Monitor
    from mamimon.health.store import HealthStore
    from mamimon.storage import Core

_BODY_READ = 100_000


class NewHeartbeat(msgspec.Struct):
    """A heartbeat to make; seconds, or a cron expression and the zone it is read in."""

    name: str
    period_s: float = 86_400.0
    grace_s: float = 3_600.0
    schedule: str = ""
    zone: str = "UTC"


class HeartbeatView(msgspec.Struct):
    """A heartbeat with the address that its job calls."""

    id: str
    name: str
    period_s: float
    grace_s: float
    ping_url: str
    last_at: float | None
    due_at: float | None
    schedule: str
    zone: str


def heartbeat_routes(
    core: Core, monitor: Monitor, heartbeats: Heartbeats, store: HealthStore
) -> list[ControllerRouterHandler]:
    """`/ping/…`, `/api/mamimon/heartbeats` and the forms of the checks page."""

    async def ping(request: Request[Any, Any, Any], heartbeat: str, action: str) -> Response[str]:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) >= _BODY_READ:
                break
        source = (
            f"{request.client.host if request.client else ''} {request.headers.get('user-agent', '')[:100]}"
        )
        try:
            await heartbeats.ping(
                heartbeat, action, source.strip(), body, request.query_params.get("rid", "")[:64]
            )
        except Problem as problem:
            return Response(problem.detail, status_code=problem.status, media_type=MediaType.TEXT)
        limit = {"Ping-Body-Limit": str(BODY_KEPT)}
        return Response("OK", media_type=MediaType.TEXT, status_code=200, headers=limit)

    @route("/ping/{heartbeat:str}", http_method=["GET", "HEAD", "POST"], include_in_schema=False)
    async def plain_ping(request: Request[Any, Any, Any], heartbeat: FromPath[str]) -> Response[str]:
        return await ping(request, heartbeat, "")

    @route("/ping/{heartbeat:str}/{action:str}", http_method=["GET", "HEAD", "POST"], include_in_schema=False)
    async def ending_ping(
        request: Request[Any, Any, Any], heartbeat: FromPath[str], action: FromPath[str]
    ) -> Response[str]:
        return await ping(request, heartbeat, action)

    def view(one: Heartbeat) -> HeartbeatView:
        address = f"{core.base_url}/ping/{one.id}"
        return HeartbeatView(
            one.id,
            one.name,
            one.period_s,
            one.grace_s,
            address,
            one.last_at,
            one.due_at,
            one.schedule,
            one.zone,
        )

    @get("/api/mamimon/heartbeats")
    async def list_heartbeats() -> list[HeartbeatView]:
        """Every heartbeat with its ping address."""
        return [view(one) for one in heartbeats.all()]

    @post("/api/mamimon/heartbeats")
    async def add_heartbeat(data: JSONBody[NewHeartbeat]) -> HeartbeatView:
        """Make a heartbeat."""
        names = set(monitor.names())
        made = await heartbeats.add(
            data.name, data.period_s, data.grace_s, names, schedule=data.schedule.strip(), zone=data.zone
        )
        return view(made)

    @delete("/api/mamimon/heartbeats/{heartbeat:str}")
    async def remove_heartbeat(heartbeat: FromPath[str]) -> None:
        """Remove a heartbeat and its history."""
        await heartbeats.remove(heartbeat)

    @get("/api/mamimon/heartbeats/{heartbeat:str}/pings")
    async def list_pings(heartbeat: FromPath[str]) -> list[Ping]:
        """The newest 100 pings of a heartbeat."""
        return await store.pings(heartbeat)

    @get("/checks/heartbeats/{heartbeat:str}", include_in_schema=False)
    async def pings_page(heartbeat: FromPath[str]) -> Template:
        beat = heartbeats.get(heartbeat)
        status = next(one for one in heartbeats.statuses() if one.name == beat.name)
        context = {
            "section": "/checks",
            "beat": beat,
            "status": status,
            "pings": await store.pings(heartbeat),
            "base_url": core.base_url,
        }
        return Template("health/heartbeat.html", context=context)

    @post("/checks/heartbeats", include_in_schema=False)
    async def add_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        every = data.get("every", "")
        try:
            period_s = float(every) if every else float(data["period"]) * 60
            # A tenth of an hour, an hour of a day, seven of a week.
            grace_s = max(300.0, period_s / 24) if every else float(data["grace"]) * 60
        except (KeyError, ValueError):
            raise bad_input("period and grace must be numbers of minutes") from None
        made = await heartbeats.add(
            data.get("name", "").strip() or heartbeats.free_name(),
            period_s,
            grace_s,
            set(monitor.names()),
            schedule="" if every else data.get("schedule", "").strip(),
            zone=data.get("zone", "").strip() or "UTC",
        )
        return Redirect(f"/checks#h-{made.id}", status_code=303)

    @post("/checks/heartbeats/remove", include_in_schema=False)
    async def remove_by_form(data: URLEncodedBody[dict[str, str]]) -> Redirect:
        await heartbeats.remove(data.get("id", ""))
        return Redirect("/checks", status_code=303)

    return [
        plain_ping,
        ending_ping,
        list_heartbeats,
        add_heartbeat,
        remove_heartbeat,
        list_pings,
        pings_page,
        add_by_form,
        remove_by_form,
    ]
