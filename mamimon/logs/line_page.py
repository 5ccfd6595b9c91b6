"""One line for ever, with what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Template

from mamimon.http import unless_gone
from mamimon.logs.clauses import All
from mamimon.logs.model import LogHit
from mamimon.logs.pages import quote_value, shown_row
from mamimon.logs.query import LogQuery, place_of
from mamimon.logs.text import lookup, shown

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom

_AROUND = 20
_MORE_AROUND = 100
_NEAR_S = 600.0
_SOURCE = ("host", "service")


def line_handlers(room: LogRoom) -> list[ControllerRouterHandler]:
    """`/logs/line/<id>` and what opens of it."""

    @get("/logs/line/{line_id:str}", include_in_schema=False)
    async def line(line_id: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        """One line for ever, with the lines around it from the same source."""
        hit = await unless_gone(request.receive, room.line(line_id))
        around = _MORE_AROUND if request.query_params.get("around") == str(_MORE_AROUND) else _AROUND
        source = source_of(hit)
        rows = await unless_gone(request.receive, around_line(room, hit, around))
        context = {
            "section": "/logs", "rows": [shown_row(one, All()) for one in rows], "line_id": hit.id,
            "source": [("dataset", hit.dataset), *source], "around": around, "more": _MORE_AROUND,
            "columns": [],
            "search": urlencode({
                "dataset": hit.dataset, "q": source_query(source),
                "start": f"{rows[-1].time - 0.001:.3f}", "end": f"{rows[0].time + 0.001:.3f}",
            }),
        }  # fmt: skip
        return Template("logs/line.html", context=context)

    @get("/logs/line/{line_id:str}/fields", include_in_schema=False)
    async def fields(line_id: FromPath[str]) -> Template:
        """What a line shows when it is opened, for rows that came without."""
        return Template("logs/fields.html", context={"one": shown_row(await room.line(line_id), All())})

    return [line, fields]


async def around_line(room: LogRoom, hit: LogHit, most: int) -> list[LogHit]:
    """A line with at most `most` lines of its source on either side, newest first."""
    place = place_of(hit)
    query = LogQuery(text=source_query(source_of(hit)), datasets=(hit.dataset,), size=most)
    before = msgspec.structs.replace(
        query, start=max(0.0, hit.time - _NEAR_S), end=hit.time + 1e-6, before=place
    )
    after = msgspec.structs.replace(query, start=max(0.0, hit.time), end=hit.time + _NEAR_S)
    following = await room.local.following(after, place)
    return [*following[::-1], hit, *(await room.local.search(before)).hits]


def source_of(hit: LogHit) -> list[tuple[str, str]]:
    """What tells the place that a line came from, within its dataset."""
    document = hit.document()
    found = [(name, [value for value in lookup(document, name) if value != ""]) for name in _SOURCE]
    return [(name, shown(values[0])) for name, values in found if values]


def source_query(source: Sequence[tuple[str, str]]) -> str:
    """The query that finds lines of a source."""
    return " AND ".join(f'{name}:"{quote_value(value)}"' for name, value in source)
