"""One line for ever, with what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Template

from mamimon.logs.clauses import All
from mamimon.logs.model import LogHit
from mamimon.logs.pages import quote_value, shown_row
from mamimon.logs.query import LogQuery, place_of
from mamimon.logs.text import lookup, shown
from mamimon.storage.days import day_start

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom

_AROUND = 20
_MORE_AROUND = 100
_MORE_ROWS = 1000
_NEAR_S = 600.0
_SPANS_S = (0.5, 5.0, 60.0, _NEAR_S)
_SOURCE = ("host", "service")


def line_handlers(room: LogRoom) -> list[ControllerRouterHandler]:
    """`/logs/line/<id>`."""

    @get("/logs/line/{line_id:str}", include_in_schema=False)
    async def line(line_id: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        """One line for ever, with the lines around it from the same source."""
        hit = await room.line(line_id)
        around = _MORE_AROUND if request.query_params.get("around") == str(_MORE_AROUND) else _AROUND
        source = source_of(hit)
        rows = await around_line(room, hit, around)
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

    return [line]


async def around_line(room: LogRoom, hit: LogHit, most: int) -> list[LogHit]:
    """A line with at most `most` lines of its source on either side, newest first."""
    before = (await _others(room, hit, hit.time - _NEAR_S, hit.time + 1e-6, most))[:most]
    after = await _after(room, hit, most)
    return sorted([*before, *after, hit], key=lambda one: (-one.time, -one.seq))


def source_of(hit: LogHit) -> list[tuple[str, str]]:
    """What tells the place that a line came from, within its dataset."""
    document = hit.document()
    found = [(name, [value for value in lookup(document, name) if value != ""]) for name in _SOURCE]
    return [(name, shown(values[0])) for name, values in found if values]


def source_query(source: Sequence[tuple[str, str]]) -> str:
    """The query that finds lines of a source."""
    return " AND ".join(f'{name}:"{quote_value(value)}"' for name, value in source)


async def _after(room: LogRoom, hit: LogHit, most: int) -> list[LogHit]:
    """The lines that follow; a search answers the newest first, so the span grows until it holds enough."""
    found: list[LogHit] = []
    for span in _SPANS_S:
        found = await _others(room, hit, hit.time, hit.time + span, _MORE_ROWS)
        if len(found) >= most:
            break
    return found[-most:]


async def _others(room: LogRoom, hit: LogHit, start: float, end: float, size: int) -> list[LogHit]:
    """Lines of the same source in a span, newest first, without `hit` and those that it stands between."""
    text = source_query(source_of(hit))
    start = max(start, day_start("1970-01-01"))
    query = LogQuery(text=text, datasets=(hit.dataset,), start=start, end=end, size=size)
    if end <= hit.time + 1e-6:
        query = msgspec.structs.replace(query, before=place_of(hit))
        return (await room.backend.search(query)).hits
    found = (await room.backend.search(query)).hits
    return [one for one in found if (one.time, one.seq) > (hit.time, hit.seq)]
