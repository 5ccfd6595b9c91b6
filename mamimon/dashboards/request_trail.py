"""One request from everything that tells of it: log lines, errors, events and exemplars, in order.

A request is known by its request id and by its trace id, and not everything carries both. So the
lines that carry the one are asked for the other, and the rest is looked for by all of them. What
was looked for and not found is said, with what would have to carry the id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from mamimon.i18n import gettext as _
from mamimon.logs.model import LogHit
from mamimon.logs.pages import quote_value
from mamimon.logs.query import LogQuery
from mamimon.metrics.model import Matcher
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.dashboards.sources import Sources
    from mamimon.storage import Core

T = TypeVar("T")
_FIELDS = ("request_id", "trace_id", "correlation_id", "trace.id", "traceId", "http.request.id")
_KINDS = ("log", "error", "event", "exemplar")
_LINES = 500
_OTHERS = 100
_EXEMPLARS = 10_000
_IDS = 8
_AROUND_S = 300.0
_NOTHING_S = 86_400.0
# Series that can carry exemplars; asking the others would only take time.
_WITH_EXEMPLARS = [[Matcher("__name__", "=~", ".+_(bucket|total|count)")]]


class Moment(msgspec.Struct, kw_only=True):
    """Something that happened in the request; `offset_ms` is from the first thing known."""

    kind: str
    """`log`, `error`, `event` or `exemplar`."""
    time: float
    level: str = ""
    source: str = ""
    text: str
    url: str = ""
    offset_ms: float = 0.0


class Trail(msgspec.Struct, kw_only=True):
    """All moments in the order of time, the ids that they share, and what is missing."""

    ids: list[str]
    moments: list[Moment]
    counts: dict[str, int]
    missing: list[str]
    duration_ms: float = 0.0


async def trail_of(sources: Sources, request_id: str, now: float) -> Trail:
    """Everything that carries the id; a part that cannot be asked is named among the missing."""
    missing: list[str] = []
    hits, ids = await _lines(sources, request_id, missing)
    start = hits[0].time - _AROUND_S if hits else now - _NOTHING_S
    end = hits[-1].time + _AROUND_S if hits else now + 1.0
    parts = await asyncio.gather(
        _tried(_errors(sources, ids), _("Errors"), missing),
        _tried(_events(sources, ids, start, end), _("Events"), missing),
        _tried(_exemplars(sources, ids, start, end), _("Exemplars"), missing),
    )
    moments = sorted([*map(_line, hits), *(one for part in parts for one in part)], key=lambda one: one.time)
    counts = {kind: sum(one.kind == kind for one in moments) for kind in _KINDS}
    missing += _absent(counts, hits)
    for one in moments:
        one.offset_ms = (one.time - moments[0].time) * 1000
    duration = moments[-1].offset_ms if moments else 0.0
    return Trail(ids=ids, moments=moments, counts=counts, missing=missing, duration_ms=duration)


async def _lines(sources: Sources, request_id: str, missing: list[str]) -> tuple[list[LogHit], list[str]]:
    """Lines of the request, the oldest first, and its ids; the second look is by the ids of the first."""
    ids = [request_id]
    hits: list[LogHit] = []
    for _round in range(2):
        text = " OR ".join(f'{field}:"{quote_value(one)}"' for one in ids for field in _FIELDS)
        page = await sources.lines_ever(LogQuery(text=text, size=_LINES))
        hits = page.hits[::-1]
        found = list(dict.fromkeys([*ids, *_ids_in(hits)]))[:_IDS]
        if page.more:
            missing.append(_("Only the newest 500 lines are shown."))
        if page.partial:
            missing.append(_("Some days of logs could not be read in time."))
        if found == ids:
            break
        missing.clear()
        ids = found
    return hits, ids


def _ids_in(hits: Iterable[LogHit]) -> Iterable[str]:
    for hit in hits:
        document = hit.document()
        for field in ("request_id", "trace_id"):
            value = document.get(field)
            if isinstance(value, str) and 0 < len(value) <= 200:
                yield value


async def _tried(work: Awaitable[list[T]], name: str, missing: list[str]) -> list[T]:
    try:
        return await work
    except Problem as problem:
        missing.append(f"{name}: {problem.detail}")
        return []


def _line(hit: LogHit) -> Moment:
    return Moment(
        kind="log", time=hit.time, level=hit.level, source=_source(hit),
        text=hit.message, url=f"/logs/line/{hit.id}#here",
    )  # fmt: skip


def _source(hit: LogHit) -> str:
    """The service and its logger: a request goes through several, and their loggers are called alike."""
    service = hit.document().get("service") or hit.document().get("service.name") or hit.dataset
    return " · ".join(dict.fromkeys(str(one)[:100] for one in (service, hit.logger) if one))


async def _errors(sources: Sources, ids: Sequence[str]) -> list[Moment]:
    return [
        Moment(
            kind="error", time=event.time, level=event.level.upper(), source=event.environment,
            text=event.title, url=f"/errors/{issue}?event={event.id}",
        )
        for event, issue in await sources.errors_of_requests(ids, _OTHERS)
    ]  # fmt: skip


async def _events(sources: Sources, ids: Sequence[str], start: float, end: float) -> list[Moment]:
    return [
        Moment(
            kind="event", time=event.at, source=event.type, text=_properties(event.properties),
            url=f"/events?type={event.type}",
        )
        for event in await sources.events.of_requests(ids, start, end, _OTHERS)
    ]  # fmt: skip


def _properties(properties: dict[str, Any]) -> str:
    own = {"request_id", "trace_id"}
    return " ".join(f"{k}={v}" for k, v in properties.items() if k not in own and k[:1] != "$")[:500]


async def _exemplars(sources: Sources, ids: Sequence[str], start: float, end: float) -> list[Moment]:
    wanted = set(ids)
    found: list[Moment] = []
    for labels, rows in await sources.exemplars(_WITH_EXEMPLARS, start, end, _EXEMPLARS):
        for _series, at_ms, value, text in rows:
            carried = msgspec.json.decode(text)
            if wanted.isdisjoint(map(str, carried.values())):
                continue
            name = labels.get("__name__", "")
            inner = ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k != "__name__")
            expr = name.removesuffix("_bucket")
            found.append(
                Moment(
                    kind="exemplar", time=at_ms / 1000, source=name, text=f"{value:g} {{{inner}}}",
                    url=f"/graph?q={expr}" if name == expr else f"/graph?q={name}",
                )
            )  # fmt: skip
    return found[:_OTHERS]


def _absent(counts: dict[str, int], hits: Sequence[LogHit]) -> list[str]:
    said: list[str] = []
    if not counts["log"]:
        said.append(_("No log line has this id in request_id or trace_id; older ones may have been deleted."))
    elif not any("trace_id" in hit.document() for hit in hits):
        said.append(_("The lines carry no trace_id, so what carries only that one is not found."))
    if not counts["error"]:
        said.append(_("No error event carries this id as its tag request_id."))
    if not counts["event"]:
        said.append(_("No product event has the property request_id with this id."))
    if not counts["exemplar"]:
        said.append(_("No metric has an exemplar with this id."))
    return said


def _read(path: str) -> str:
    """The id as a path gives it, which may have slashes of its own."""
    return path.removeprefix("/")[:200]


def request_handlers(core: Core, sources: Sources) -> list[ControllerRouterHandler]:
    """`/requests/<id>` and `/api/mamimon/requests/<id>`."""

    @get("/requests/{request_id:path}", include_in_schema=False)
    async def page(request_id: FromPath[str]) -> Template:
        """The request on a time axis."""
        request_id = _read(request_id)
        trail = await trail_of(sources, request_id, core.clock.now())
        context = {"section": "/logs", "request_id": request_id, "trail": trail, "url": core.base_url}
        return Template("dashboards/request.html", context=context)

    @get("/api/mamimon/requests/{request_id:path}")
    async def api(request_id: FromPath[str]) -> Trail:
        """Everything that tells of a request or trace, in order."""
        return await trail_of(sources, _read(request_id), core.clock.now())

    return [page, api]
