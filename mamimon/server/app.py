"""Assembles the Litestar app from the rooms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from litestar import Litestar, MediaType, Request, Response, asgi
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins.core import MsgspecDIPlugin
from litestar.response import Template
from litestar_htmx import HTMXPlugin

from mamimon.accounts.gate import Gate
from mamimon.problems import Problem
from mamimon.room import Direct, Prompt
from mamimon.server.assets import static, zipped
from mamimon.server.pages import page_handlers, template_config
from mamimon.server.protect import Protection
from mamimon.server.rooted import rooted
from mamimon.server.system import system_handlers
from mamimon.server.traces import trace_handlers

if TYPE_CHECKING:
    from litestar.plugins import PluginProtocol

    from mamimon.http import AsgiApp, AtOnce, Receive, Scope, Send
    from mamimon.server.house import House
    from mamimon.server.houses import Houses
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.server")


class _App(Litestar):
    """Litestar without its plugins for attrs and pydantic: it imports these wherever they are installed."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def create_app(house: House, core: Core) -> AsgiApp:
    """The app of one project: every room's handlers."""
    app = _App(
        route_handlers=[
            *house.handlers(),
            *page_handlers(house, core),
            *system_handlers(core),
            *trace_handlers(core),
            asgi("/static", is_mount=True, copy_scope=True)(static),
        ],
        template_config=template_config(house, core),
        plugins=[HTMXPlugin()],
        exception_handlers={Problem: _problem, HTTPException: _http, Exception: _crash},
        openapi_config=OpenAPIConfig(
            title="mamimon", version="1", path="/schema", render_plugins=[JsonRenderPlugin(path="/")]
        ),
        request_max_body_size=core.settings.server.max_body_bytes,
        logging_config=None,
    )
    inner = cast("AsgiApp", app)
    return _direct(zipped(rooted(inner, house.root) if house.root else inner), house)


def front(houses: Houses) -> tuple[AsgiApp, dict[str, AtOnce]]:
    """The app of the server: every project's app behind the gate and `protect`; and what answers at once."""
    core, people = houses.first.core, houses.first.people
    assert core is not None and people is not None
    gate, protection = Gate(houses, core, people), Protection(core)
    prompt = {
        path: protection.at_once(path, gate.at_once(door))
        for room in houses.first.rooms
        if isinstance(room, Prompt)
        for path, door in room.at_once().items()
    }
    return protection.app(gate), prompt


def _direct(app: AsgiApp, house: House) -> AsgiApp:
    """Rooms' busiest doors before the framework, whose routing costs as much as they do."""
    rooms = [room for room in house.rooms if isinstance(room, Direct)]

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for room in rooms:
                door = room.direct(scope["path"])
                if door is not None:
                    await door(scope, receive, send)
                    return
        await app(scope, receive, send)

    return run


def _problem(request: Request[Any, Any, Any], error: Problem) -> Response[Any]:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return _answer(request, error.status, error.detail, error.hint, headers)


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    detail = error.detail
    if error.extra:
        detail = f"{detail}: {error.extra}"
    return _answer(request, error.status_code, detail, "", dict(error.headers or {}))


def _crash(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, "mamimon made a mistake; the log has the details", "", {})


def _answer(
    request: Request[Any, Any, Any], status: int, detail: str, hint: str, headers: dict[str, str]
) -> Response[Any]:
    """A page for a browser's navigation, JSON for everybody else."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        context = {"title": str(status), "status": status, "detail": detail, "hint": hint}
        return Template("error.html", context=context, status_code=status, headers=headers)
    body = {"error": detail, "status": status} | ({"hint": hint} if hint else {})
    return Response(body, status_code=status, headers=headers, media_type=MediaType.JSON)
