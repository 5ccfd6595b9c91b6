"""The pages of patterns: which there are, and one with its lines over time and a rule to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.http import unless_gone
from mamimon.logs.clauses import All
from mamimon.logs.model import pattern_number
from mamimon.logs.pages import LEVELS, dataset_names, link, opening, shown_row
from mamimon.logs.patterns.drain import VARIABLE
from mamimon.logs.patterns.room import PatternCount
from mamimon.logs.patterns.routes import VIEWS, choose, rule_for
from mamimon.logs.query import LogQuery
from mamimon.logs.routes import Choice
from mamimon.problems import Problem, not_found

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.patterns.miner import Pattern
    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_ROWS = 200
_LINES = 20
_SPARK_HEIGHT = 22


class Line(msgspec.Struct):
    """A row of the page: the count, the template in pieces (text, variable), and its trend as a path."""

    one: PatternCount
    pieces: list[tuple[str, bool]]
    spark: str
    search: str


def pieces_of(template: str) -> list[tuple[str, bool]]:
    """The template cut at its variables."""
    pieces: list[tuple[str, bool]] = []
    for i, text in enumerate(template.split(VARIABLE)):
        if i:
            pieces.append(("•", True))
        if text:
            pieces.append((text, False))
    return pieces


def spark(bins: list[int]) -> str:
    """An SVG path of one bar a bin, two units apart, in a box of 22 units height."""
    top = max(bins, default=0) or 1
    return "".join(
        f"M{2 * i + 1} {_SPARK_HEIGHT}v-{max(1.0, n / top * _SPARK_HEIGHT):.1f}"
        for i, n in enumerate(bins)
        if n
    )


def page_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """`/logs/patterns` and `/logs/patterns/<id>`."""

    @get("/logs/patterns", include_in_schema=False)
    async def patterns(request: Request[Any, Any, Any]) -> Template:
        """Every pattern of the window, the new ones, or those whose rate changed."""
        choice = await opening(room, request, core.clock.now())
        context: dict[str, Any] = {
            "section": "/logs", "choice": choice, "levels": LEVELS, "problem": "", "views": VIEWS,
            "datasets": await dataset_names(room), "query_string": link(choice), "rows": [], "found": None,
            "view": "all", "first_use": not room.days(), "more": 0,
        }  # fmt: skip
        try:
            asked = choose(room, request, choice, core.clock.now())
            found = await unless_gone(request.receive, asked)
            context["rows"] = [_line(one, choice) for one in found.counts[:_ROWS]]
            context.update(found=found, view=found.view, more=max(0, len(found.counts) - _ROWS))
        except Problem as problem:
            context["problem"] = problem.detail
        return Template("logs/patterns.html", context=context)

    @get("/logs/patterns/counts", include_in_schema=False)
    async def counts(request: Request[Any, Any, Any]) -> Template:
        """How many patterns the window has and how many are new, for the tab beside the lines.

        Of all lines, as those of a query would all have to be read.
        """
        choice = msgspec.structs.replace(Choice.read(request), q="")
        asked = choose(room, request, choice, core.clock.now())
        return Template(
            "logs/pattern_counts.html", context={"found": await unless_gone(request.receive, asked)}
        )

    @get("/logs/patterns/{pattern_id:str}", include_in_schema=False)
    async def pattern(pattern_id: FromPath[str], request: Request[Any, Any, Any]) -> Template:
        """One pattern: its lines over time, the newest of them, and how to be alerted."""
        one = _find(room, pattern_id)
        choice = await opening(room, request, core.clock.now())
        choice = msgspec.structs.replace(choice, q=f"pattern:{one.id}", level="", dataset="")
        query = LogQuery(text=choice.q, size=_LINES)
        page = await unless_gone(request.receive, room.backend.search(query))
        context = {
            "section": "/logs", "pattern": one, "pieces": pieces_of(one.template), "choice": choice,
            "rows": [shown_row(hit, All()) for hit in page.hits], "query_string": link(choice),
            "rule": rule_for(one),
        }  # fmt: skip
        return Template("logs/pattern.html", context=context)

    @post("/logs/patterns/{pattern_id:str}/watch", include_in_schema=False)
    async def watch(pattern_id: FromPath[str], data: URLEncodedBody[dict[str, str]]) -> Redirect:
        """Begin or stop to count a pattern's lines for alerts."""
        one = _find(room, pattern_id)
        await room.patterns.watch(one.number, data.get("watch") == "1")
        return Redirect(f"/logs/patterns/{one.id}", status_code=303)

    return [patterns, counts, pattern, watch]


def _line(one: PatternCount, choice: Any) -> Line:
    search = link(choice, q=f"pattern:{one.pattern.id}", level="", dataset="")
    return Line(one=one, pieces=pieces_of(one.pattern.template), spark=spark(one.bins), search=search)


def _find(room: LogRoom, pattern_id: str) -> Pattern:
    pattern = room.patterns.miner.get(pattern_number(pattern_id))
    if pattern is None:
        raise not_found("this pattern is not here, or not any more")
    return pattern
