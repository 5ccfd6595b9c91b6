"""mamimon's own log API: search, histogram, facets, live tail, NDJSON in and out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.response import ServerSentEvent, ServerSentEventMessage

from mamimon.http import decompress, unless_gone
from mamimon.logs.dates import iso, parse_bound
from mamimon.logs.model import LogHistogram, LogHit, pattern_id
from mamimon.logs.query import LogQuery
from mamimon.logs.tail import Watcher
from mamimon.logs.text import number_of
from mamimon.logs.wire.document import dataset_named
from mamimon.logs.wire.ndjson import Taken, read_lines
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_SINCE = re.compile(r"(\d+)(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
COLUMNS = 6
_BEAT_S = 15.0
_THREAD_BYTES = 64 * 1024


def span(now: float, since: str, start: str, end: str) -> tuple[float, float]:
    """Epoch seconds of `since=1h`, or of `start` and `end` as dates, epoch seconds or date math."""
    if start or end:
        ends = [_instant(start, now) if start else now - 3600, _instant(end, now) if end else now + 1]
        if ends[0] >= ends[1]:
            raise bad_input("start must be before end")
        return ends[0], ends[1]
    found = _SINCE.fullmatch(since or "1h")
    if not found:
        raise bad_input(f"since must be like 15m, 1h or 7d, not {since[:20]}")
    return now - int(found[1]) * _SECONDS[found[2]], now + 1


def _instant(text: str, now: float) -> float:
    seconds = float(text) if re.fullmatch(r"\d{1,11}(\.\d+)?", text) else parse_bound(text, now)
    if seconds is None:
        raise bad_input(f"not a date: {text[:40]}")
    return seconds


def step_for(start: float, end: float, most: int = 90) -> float:
    """A round step that gives at most `most` bars."""
    return float(next((step for step in _STEPS if (end - start) / step <= most), _STEPS[-1]))


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the page and the API let a person choose, from the query string."""

    q: str = ""
    level: str = ""
    dataset: str = ""
    since: str = "1h"
    start: str = ""
    end: str = ""
    cols: str = ""
    """Fields shown as columns of the page and of CSV, by comma."""

    @classmethod
    def read(cls, request: Request[Any, Any, Any]) -> Choice:
        """From a request; what is not ours is passed over."""
        given = request.query_params
        chosen = {name: str(given[name]) for name in cls.__struct_fields__ if given.get(name)}
        if "q" not in chosen and given.get("query"):
            chosen["q"] = str(given["query"])
        return cls(**chosen)

    def span(self, now: float) -> tuple[float, float]:
        """Start and end in epoch seconds."""
        return span(now, self.since, self.start, self.end)

    def columns(self) -> list[str]:
        """The chosen columns, six at most."""
        return list(dict.fromkeys(part.strip() for part in self.cols.split(",") if part.strip()))[:COLUMNS]

    def query(self, now: float, size: int = 100, *, ever: bool = False, before: str = "") -> LogQuery:
        """As one query; `ever` leaves time out, `before` is the place an older page begins at."""
        text = self.q.strip()
        if self.level:
            levels = " OR ".join(f'"{part}"' for part in re.findall(r"[A-Za-z]+", self.level)[:8])
            text = f"({text}) AND level:({levels})" if text else f"level:({levels})"
        datasets = tuple(part for part in self.dataset.split(",") if part)
        start, end = (None, None) if ever else self.span(now)
        return LogQuery(text=text, datasets=datasets, start=start, end=end, size=size, before=before)


def number_given(
    request: Request[Any, Any, Any], name: str, default: float, low: float, high: float
) -> float:
    """A number of the query string between two bounds; anything else raises `BAD_INPUT`."""
    text = str(request.query_params.get(name) or default)
    value = number_of(text)
    if value is None or not low <= value <= high:
        raise bad_input(f"{name} must be a number from {low:g} to {high:g}")
    return value


def chart_of(histogram: LogHistogram) -> dict[str, Any]:
    """The answer that charts draw."""
    return {
        "times": histogram.times,
        "series": [{"name": name or "–", "values": values} for name, values in histogram.counts.items()],
        "marks": [],
        "error": "",
        "total": histogram.total,
        "partial": histogram.partial,
    }


def shown_hit(hit: LogHit) -> dict[str, Any]:
    """A hit as JSON."""
    return {
        "id": hit.id, "time": iso(hit.time), "dataset": hit.dataset, "level": hit.level, "logger": hit.logger,
        "message": hit.message, "pattern": pattern_id(hit.pattern) if hit.pattern else "",
        "document": msgspec.Raw(hit.raw),
    }  # fmt: skip


def route_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The handlers under `/api/mamimon/logs` and the tail."""
    clock = core.clock

    @get("/api/mamimon/logs/search")
    async def search(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The newest `size` lines that match `q`, `level`, `dataset` and `since` or `start` and `end`.

        `before` takes an answer's `next` and gives the lines that follow, older ones.
        """
        size = int(number_given(request, "size", 100, 0, core.settings.logs.query_max_rows))
        before = str(request.query_params.get("before") or "")
        query = Choice.read(request).query(clock.now(), size, before=before)
        page = await unless_gone(request.receive, room.backend.search(query))
        body = {
            "hits": [shown_hit(hit) for hit in page.hits],
            "more": page.more,
            "next": page.next,
            "partial": page.partial,
            "took_ms": round(page.took_ms, 2),
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    @get("/api/mamimon/logs/histogram")
    async def histogram(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """Lines by level and `step` seconds, as a chart: what was counted `within` so many seconds."""
        choice = Choice.read(request)
        step = number_given(request, "step", step_for(*choice.span(clock.now())), 0.001, 1e9)
        within = number_given(request, "within", core.settings.logs.query_timeout_s, 0.001, 600)
        query = msgspec.structs.replace(choice.query(clock.now()), within_s=within)
        found = room.backend.histogram(query, step)
        return chart_of(await unless_gone(request.receive, found))

    @get("/api/mamimon/logs/facet")
    async def facet(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """The `size` commonest values of `field`."""
        field = str(request.query_params.get("field") or "level")
        size = int(number_given(request, "size", 10, 1, 1000))
        query = Choice.read(request).query(clock.now())
        found = await unless_gone(request.receive, room.local.facets(query, [field], size))
        values = [{"value": value, "count": n} for value, n in found.values[field]]
        return {"field": field, "values": values, "partial": found.partial}

    @post("/api/mamimon/logs", status_code=200)
    async def ingest(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """NDJSON in: a JSON object a line; bad lines are refused one by one, by their number.

        Where no line at all was taken the answer is a 400, with the same counts and reasons.
        """
        name = str(request.query_params.get("dataset") or core.settings.logs.default_dataset)
        if dataset_named(name, "") != name:
            raise bad_input(
                f"{name[:60]!r} is no name for a dataset", "use lower-case letters, digits, dots, _ and -"
            )
        body = await request.body()
        encodings = request.headers.get("content-encoding", "")

        def work() -> Taken:
            most = core.settings.server.max_decompressed_bytes
            return read_lines(room.ingest, name, decompress(body, encodings, most))

        taken = await asyncio.to_thread(work) if len(body) > _THREAD_BYTES else work()
        await room.ingest.append(taken.records)
        return _counted(taken)

    @get("/logs/tail", include_in_schema=False)
    async def tail(request: Request[Any, Any, Any]) -> ServerSentEvent:
        """New lines as server-sent events, in the query language of the page."""
        query = Choice.read(request).query(clock.now(), ever=True)
        return ServerSentEvent(_events(room, room.tail.watch(room.local.plan(query))))

    return [search, histogram, facet, ingest, tail]


def _counted(taken: Taken) -> Response[dict[str, Any]]:
    """How many lines were taken, how many not, and why not; a mistake where none was."""
    counts = {"accepted": len(taken.records), "refused": taken.refused, "errors": taken.errors}
    if taken.records or not taken.refused:
        return Response(counts)
    first = taken.errors[0]
    why = f"none of {taken.refused} lines was taken; line {first['line']}: {first['error']}"
    return Response({"error": why, "status": 400, **counts}, status_code=400)


async def _events(room: LogRoom, watcher: Watcher) -> AsyncIterator[ServerSentEventMessage]:
    lost = 0
    try:
        yield ServerSentEventMessage(comment="live")
        while not watcher.closed:
            hits = await watcher.take(_BEAT_S)
            if not hits and not watcher.closed:
                # An event and no comment, as a page must hear it to know that the connection is not lost.
                yield ServerSentEventMessage(event="beat", data="-")
            for hit in hits:
                yield ServerSentEventMessage(event="line", data=msgspec.json.encode(shown_hit(hit)).decode())
            if watcher.lost > lost:
                yield ServerSentEventMessage(event="lost", data=str(watcher.lost - lost))
                lost = watcher.lost
    finally:
        room.tail.leave(watcher)
