"""The search page: lines, their counts beside them, older ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.response import Template

from mamimon.http import unless_gone
from mamimon.logs import fields
from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.clauses import Clause
from mamimon.logs.highlight import spans
from mamimon.logs.lucene import Style, parse
from mamimon.logs.model import LogHit, pattern_id
from mamimon.logs.routes import Choice
from mamimon.logs.search_routes import owner_now
from mamimon.logs.store import searches
from mamimon.logs.text import leaves, shown
from mamimon.problems import Problem
from mamimon.storage.days import day_of
from mamimon.window import fitting

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_ROWS = 100
_FACETS = ("level", "dataset", "logger", "service", "host")
_ALWAYS = ("level", "dataset")
_FACET_VALUES = 8
_AROUND_S = 300.0
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Shown(msgspec.Struct):
    """A row of the page: the hit, its message in pieces (text, marked), all its fields, chosen columns."""

    hit: LogHit
    pieces: list[tuple[str, bool]]
    fields: list[tuple[str, str]]
    request_id: str
    pattern: str = ""
    cells: list[str] = []


def page_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/logs` and its parts."""
    clock = core.clock

    async def lines(choice: Choice, before: str) -> dict[str, Any]:
        """One page of lines, as templates take it; a mistake in the query is its `problem`."""
        found: dict[str, Any] = {
            "choice": choice, "columns": choice.columns(), "problem": "", "rows": [], "older": "",
            "partial": False, "took_ms": 0.0, "query_string": link(choice), "before": before,
        }  # fmt: skip
        try:
            page = await room.backend.search(choice.query(clock.now(), _ROWS, before=before))
            clause = parse(choice.q, Style(now=clock.now()))
        except Problem as problem:
            found["problem"] = problem.detail
        else:
            rows = [shown_row(hit, clause, choice.columns()) for hit in page.hits]
            found.update(rows=rows, older=page.next, partial=page.partial, took_ms=page.took_ms)
        return found

    @get("/logs", include_in_schema=False)
    async def logs(request: Request[Any, Any, Any]) -> Template:
        """The search page."""
        choice = await opening(room, request, clock.now())
        before = str(request.query_params.get("before") or "")
        context = await unless_gone(request.receive, lines(choice, before))
        owner = owner_now()
        context.update(
            section="/logs",
            levels=LEVELS,
            datasets=await dataset_names(room),
            wider=_wider(choice, clock.now()) if not context["problem"] else "",
            column_links=[
                (name, link(choice, cols=",".join(one for one in choice.columns() if one != name)))
                for name in choice.columns()
            ],
            window=choice.span(clock.now())
            if (choice.start or choice.end) and not context["problem"]
            else None,
            latest=link(choice, start="", end="", since="1h"),
            now=clock.now(),
            first_use=not room.days(),
            url=core.base_url,
            day=day_of(clock.now()).replace("-", "."),
            searches=await core.state.read(lambda raw: searches.read(raw, owner)),
        )
        return Template("logs/logs.html", context=context)

    @get("/logs/rows", include_in_schema=False)
    async def older(request: Request[Any, Any, Any]) -> Template:
        """The lines of an older page alone, to be put under those that are there."""
        found = lines(Choice.read(request), str(request.query_params.get("before")))
        return Template("logs/older.html", context=await unless_gone(request.receive, found))

    return [logs, older, *_beside(room, core)]


def _beside(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """What a page asks for once it is shown."""
    clock = core.clock

    @get("/logs/facets", include_in_schema=False)
    async def facets(request: Request[Any, Any, Any]) -> Template:
        """Counts by field, loaded after the page."""
        choice = Choice.read(request)
        names = list(dict.fromkeys([*_FACETS, *choice.columns()]))
        asked = fields.counts(room, choice.query(clock.now()), names, _FACET_VALUES)
        found = await unless_gone(request.receive, asked)
        groups = [
            (field, [(value, n, link(choice, **_narrowed(choice, field, value))) for value, n in values])
            for field, values in found.values.items()
            if values and (field in _ALWAYS or len(values) > 1 or field in choice.columns())
        ]
        return Template("logs/facets.html", context={"groups": groups, "found": found})

    @get("/logs/last", include_in_schema=False)
    async def last(request: Request[Any, Any, Any]) -> Template:
        """The newest line that matches before the time in which none does; asked for by an empty page."""
        choice = Choice.read(request)
        start, _end = choice.span(clock.now())
        query = msgspec.structs.replace(choice.query(clock.now(), 1), start=None, end=start)
        page = await unless_gone(request.receive, room.backend.search(query))
        hit = page.hits[0] if page.hits else None
        context: dict[str, Any] = {"hit": hit, "partial": page.partial, "older": bool(room.days())}
        if hit is not None:
            ends = {"start": f"{hit.time - _AROUND_S:.0f}", "end": f"{hit.time + _AROUND_S:.0f}"}
            context["around"] = link(choice, **ends)
        return Template("logs/last.html", context=context)

    return [facets, last]


async def opening(room: LogRoom, request: Request[Any, Any, Any], now: float) -> Choice:
    """The choice of a request; without a time, the part of the last hour that has lines."""
    choice = Choice.read(request)
    if request.query_params.get("since"):
        return choice
    return msgspec.structs.replace(choice, since=fitting(await room.oldest(), now))


def shown_row(hit: LogHit, clause: Clause, columns: Sequence[str] = ()) -> Shown:
    """A hit as the page draws it."""
    document = hit.document()
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in spans(clause, "message", hit.message):
        pieces += [(hit.message[at:start], False), (hit.message[start:end], True)]
        at = end
    pieces.append((hit.message[at:], False))
    flat = [(path, shown(value)) for path, value in leaves(document)]
    request_id = shown(document.get("request_id") or document.get("trace_id") or "")
    return Shown(
        hit=hit,
        pieces=pieces,
        fields=flat,
        request_id=request_id,
        pattern=pattern_id(hit.pattern) if hit.pattern else "",
        cells=[", ".join(value for path, value in flat if path == name) for name in columns],
    )


def link(choice: Choice, **changes: str) -> str:
    """The query string of a choice, with some of it changed; defaults are left out."""
    given = {**msgspec.structs.asdict(choice), **changes}
    return urlencode(
        {k: v for k, v in given.items() if v and not (k == "since" and (given["start"] or given["end"]))}
    )


def quote_value(text: str) -> str:
    """`text` as it stands between quotation marks in a query."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _narrowed(choice: Choice, field: str, value: str) -> dict[str, str]:
    if field in {"level", "dataset"}:
        return {field: value}
    extra = f'{field}:"{quote_value(value)}"'
    return {"q": f"({choice.q}) AND {extra}" if choice.q else extra}


def _wider(choice: Choice, now: float) -> str:
    """The query string of three times the time, where a part of it was chosen."""
    if not (choice.start or choice.end):
        return ""
    start, end = choice.span(now)
    length = end - start
    return link(choice, start=f"{start - length:.0f}", end=f"{min(now + 1, end + length):.0f}")


async def dataset_names(room: LogRoom) -> list[str]:
    """The datasets with lines in the two newest days."""
    days = room.days()[-2:]
    infos: list[IndexInfo] = [info for day in days for info in await room.catalogue.day(day)]
    return sorted({info.dataset for info in infos if info.docs})
