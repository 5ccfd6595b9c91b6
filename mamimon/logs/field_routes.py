"""The API for completion of a query, and for one line by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from mamimon.logs import fields
from mamimon.logs.routes import Choice, shown_hit

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core


def field_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/api/mamimon/logs/complete` and `/api/mamimon/logs/lines/<id>`."""

    @get("/api/mamimon/logs/complete")
    async def complete(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Field names that begin with `prefix`, or with `field` the values that recent lines have of it."""
        field, prefix = (str(request.query_params.get(name) or "")[:200] for name in ("field", "prefix"))
        if field:
            found = await fields.values(room, Choice.read(request).query(core.clock.now()), field, prefix)
        else:
            found = await fields.field_names(room, prefix)
        return {"offers": [{"text": one.text, "note": one.note} for one in found]}

    @get("/api/mamimon/logs/lines/{line_id:str}")
    async def line(line_id: FromPath[str]) -> Response[bytes]:
        """One line by its id, as JSON."""
        hit = await room.line(line_id)
        return Response(msgspec.json.encode(shown_hit(hit)), media_type="application/json")

    return [complete, line]
