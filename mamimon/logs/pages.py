"""The pages of the logs room: the search page, one line with what stands around it, one request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Template

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.clauses import All, Clause, Ids
from mamimon.logs.highlight import spans
from mamimon.logs.lucene import Style, parse
from mamimon.logs.model import LogHit
from mamimon.logs.query import LogQuery, hit_of
from mamimon.logs.routes import Choice
from mamimon.logs.store.scan import Plan
from mamimon.logs.text import leaves, shown
from mamimon.problems import Problem, not_found
from mamimon.storage.days import day_of, day_start
from mamimon.window import fitting

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_ROWS = 100
_MORE_ROWS = 1000
_AROUND = 20
_NEAR_S = 600.0
_SPANS_S = (0.5, 5.0, 60.0, _NEAR_S)
_FACETS = ("level", "dataset", "logger")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Shown(msgspec.Struct):
    """A row of the page: the hit, its message in pieces (text, marked), and all its fields."""

    hit: LogHit
    pieces: list[tuple[str, bool]]
    fields: list[tuple[str, str]]
    request_id: str


def page_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/logs`, `/logs/facets`, `/logs/line/<id>` and `/requests/<id>`."""
    clock = core.clock

    @get("/logs", include_in_schema=False)
    async def logs(request: Request[Any, Any, Any]) -> Template:
        """The search page."""
        choice = await opening(room, request, clock.now())
        more = request.query_params.get("size") == str(_MORE_ROWS)
        context: dict[str, Any] = {"section": "/logs", "choice": choice, "levels": LEVELS, "problem": ""}
        rows: list[Shown] = []
        page = None
        try:
            query = choice.query(clock.now(), _MORE_ROWS if more else _ROWS)
            page = await room.backend.search(query)
            clause = parse(choice.q, Style(now=clock.now()))
            rows = [shown_row(hit, clause) for hit in page.hits]
        except Problem as problem:
            context["problem"] = problem.detail
        context.update(
            rows=rows,
            more=bool(page and page.more) and not more,
            partial=bool(page and page.partial),
            took_ms=page.took_ms if page else 0.0,
            datasets=await dataset_names(room),
            query_string=link(choice),
            first_use=not room.days(),
            url=core.base_url,
            day=day_of(clock.now()).replace("-", "."),
        )
        return Template("logs/logs.html", context=context)

    @get("/logs/facets", include_in_schema=False)
    async def facets(request: Request[Any, Any, Any]) -> Template:
        """Counts by level, dataset and logger, loaded after the page."""
        choice = Choice.read(request)
        query = choice.query(clock.now())
        found = await asyncio.gather(*(room.backend.facet(query, field, 8) for field in _FACETS))
        groups = [
            (field, [(value, n, link(choice, **_narrowed(choice, field, value))) for value, n in values])
            for field, values in zip(_FACETS, found, strict=True)
        ]
        top = max((n for _, values in groups for _, n, _ in values), default=1)
        total = sum(n for _, n in found[0])
        return Template("logs/facets.html", context={"groups": groups, "top": top, "total": total})

    @get("/logs/line/{line_id:str}", include_in_schema=False)
    async def line(line_id: FromPath[str]) -> Template:
        """One line for ever, with the lines around it from the same dataset."""
        hit = await _find(room, line_id)
        near: list[Shown] = []
        near += await _after(room, hit)
        near += (await _others(room, hit, hit.time - _NEAR_S, hit.time, _AROUND + 1))[:_AROUND]
        rows = sorted([*near, shown_row(hit, All())], key=lambda row: (-row.hit.time, -row.hit.seq))
        context = {"section": "/logs", "row": shown_row(hit, All()), "rows": rows, "line_id": hit.id}
        return Template("logs/line.html", context=context)

    @get("/requests/{request_id:str}", include_in_schema=False)
    async def one_request(request_id: FromPath[str]) -> Template:
        """Every line of one request, in order."""
        quoted = request_id.replace("\\", "\\\\").replace('"', '\\"')
        text = f'request_id:"{quoted}" OR trace_id:"{quoted}" OR correlation_id:"{quoted}"'
        page = await room.backend.search(LogQuery(text=text, size=500))
        rows = [shown_row(hit, All()) for hit in reversed(page.hits)]
        context = {"section": "/logs", "request_id": request_id, "rows": rows, "more": page.more}
        return Template("logs/request.html", context=context)

    return [logs, facets, line, one_request]


async def opening(room: LogRoom, request: Request[Any, Any, Any], now: float) -> Choice:
    """The choice of a request; without a time, the part of the last hour that has lines."""
    choice = Choice.read(request)
    if request.query_params.get("since"):
        return choice
    return msgspec.structs.replace(choice, since=fitting(await room.oldest(), now))


def shown_row(hit: LogHit, clause: Clause) -> Shown:
    """A hit as the page draws it."""
    document = hit.document()
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, end in spans(clause, "message", hit.message):
        pieces += [(hit.message[at:start], False), (hit.message[start:end], True)]
        at = end
    pieces.append((hit.message[at:], False))
    fields = [(path, shown(value)) for path, value in leaves(document)]
    request_id = shown(document.get("request_id") or document.get("trace_id") or "")
    return Shown(hit=hit, pieces=pieces, fields=fields, request_id=request_id)


def link(choice: Choice, **changes: str) -> str:
    """The query string of a choice, with some of it changed; defaults are left out."""
    given = {**msgspec.structs.asdict(choice), **changes}
    return urlencode(
        {k: v for k, v in given.items() if v and not (k == "since" and (given["start"] or given["end"]))}
    )


def _narrowed(choice: Choice, field: str, value: str) -> dict[str, str]:
    if field in {"level", "dataset"}:
        return {field: value}
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    extra = f'{field}:"{quoted}"'
    return {"q": f"({choice.q}) AND {extra}" if choice.q else extra}


async def dataset_names(room: LogRoom) -> list[str]:
    """The datasets with lines in the two newest days."""
    days = room.days()[-2:]
    infos: list[IndexInfo] = [info for day in days for info in await room.catalogue.day(day)]
    return sorted({info.dataset for info in infos if info.docs})


async def _find(room: LogRoom, line_id: str) -> LogHit:
    plan = Plan(clause=Ids([line_id]))
    for day in reversed(room.days()):
        hit, _ = await room.store.read(day, plan, lambda view: next(map(hit_of, view.by_id(line_id)), None))
        if hit is not None:
            return hit
    raise not_found("this line is not here, or not any more")


async def _after(room: LogRoom, hit: LogHit) -> list[Shown]:
    """The lines that follow; a search answers the newest first, so the span grows until it holds enough."""
    found: list[Shown] = []
    for span in _SPANS_S:
        found = await _others(room, hit, hit.time, hit.time + span, _MORE_ROWS)
        if len(found) >= _AROUND:
            break
    return found[-_AROUND:]


async def _others(room: LogRoom, hit: LogHit, start: float, end: float, size: int) -> list[Shown]:
    """Lines of the same dataset in a span, newest first, without `hit`."""
    query = LogQuery(datasets=(hit.dataset,), start=max(start, day_start("1970-01-01")), end=end, size=size)
    found = (await room.backend.search(query)).hits
    return [shown_row(other, All()) for other in found if other.id != hit.id]
