"""The API for what pages need beside a search: completion, one line by its id, lines as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from mamimon.http import unless_gone
from mamimon.logs import fields
from mamimon.logs.export import csv_lines, exported, ndjson_lines
from mamimon.logs.line_page import around_line
from mamimon.logs.routes import Choice, number_given, shown_hit
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_EXPORT_ROWS = 100_000
_EXPORT_PAGE = 2_000
_MOST_EXPORTED = 1_000_000


def reading_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/api/mamimon/logs/complete`, `…/lines/<id>` and `…/export`."""

    @get("/api/mamimon/logs/complete")
    async def complete(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Field names that begin with `prefix`, or with `field` the values that recent lines have of it."""
        field, prefix = (str(request.query_params.get(name) or "")[:200] for name in ("field", "prefix"))
        if field:
            asked = fields.values(room, Choice.read(request).query(core.clock.now()), field, prefix)
        else:
            asked = fields.field_names(room, prefix)
        found = await unless_gone(request.receive, asked)
        return {"offers": [{"text": one.text, "note": one.note} for one in found]}

    @get("/api/mamimon/logs/lines/{line_id:str}")
    async def line(line_id: FromPath[str]) -> Response[bytes]:
        """One line by its id, as JSON."""
        hit = await room.line(line_id)
        return Response(msgspec.json.encode(shown_hit(hit)), media_type="application/json")

    @get("/api/mamimon/logs/lines/{line_id:str}/context")
    async def context(line_id: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes]:
        """A line with `size` lines of its source before and after it, the oldest first."""
        size = int(number_given(request, "size", 20, 0, 100))
        hits = await unless_gone(request.receive, around_line(room, await room.line(line_id), size))
        body = {"hits": [shown_hit(hit) for hit in reversed(hits)]}
        return Response(msgspec.json.encode(body), media_type="application/json")

    @get("/api/mamimon/logs/export")
    async def export(request: Request[Any, Any, Any]) -> Stream:
        """The newest `size` lines (100,000 unless told, a million at most), as `format` `ndjson` or `csv`."""
        form = str(request.query_params.get("format") or "ndjson")
        if form not in {"ndjson", "csv"}:
            raise bad_input("format must be ndjson or csv")
        choice = Choice.read(request)
        size = int(number_given(request, "size", _EXPORT_ROWS, 1, _MOST_EXPORTED))
        hits = exported(room.local, choice.query(core.clock.now(), min(_EXPORT_PAGE, size)), size)
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        lines = csv_lines(hits, choice.columns()) if form == "csv" else ndjson_lines(hits)
        headers = {"Content-Disposition": f'attachment; filename="logs.{form}"'}
        return Stream(lines, media_type=kind, headers=headers)

    return [complete, line, context, export]
