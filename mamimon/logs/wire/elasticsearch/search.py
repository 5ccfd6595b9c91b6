"""`_search` and its relatives: a request body to rows, counts and aggregations."""

from __future__ import annotations

import base64
import binascii
import heapq
import time
from collections.abc import Iterator
from contextlib import aclosing
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.clauses import All, And, Clause, Row
from mamimon.logs.query import count_all
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.store.summary import counted, tallies
from mamimon.logs.store.tally import Grain
from mamimon.logs.wire.elasticsearch import aggregations, pipelines
from mamimon.logs.wire.elasticsearch.body import check_body, token
from mamimon.logs.wire.elasticsearch.divisions import Global
from mamimon.logs.wire.elasticsearch.dsl import Dsl
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_index
from mamimon.logs.wire.elasticsearch.limits import read_slice, read_timeout
from mamimon.logs.wire.elasticsearch.names import Names, parse_names
from mamimon.logs.wire.elasticsearch.sorting import Sort
from mamimon.logs.wire.elasticsearch.sources import Sources

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_WINDOW = 10_000
_TYPED_DAYS = 2
"""A field's type is what the newest lines of so many days say."""


class Request(msgspec.Struct, kw_only=True):
    """A search as it will be run."""

    names: Names
    clause: Clause
    size: int
    start: int
    sort: Sort
    sources: Sources
    aggs: dict[str, aggregations.Agg]
    wide: dict[str, aggregations.Agg]
    """Aggregations over every line of the indices."""
    track: int | None
    """Count exactly up to here; None counts everything, 0 nothing."""
    after: tuple[Any, ...] | None = None
    after_values: Any = None
    timeout_s: float | None = None
    """After so long the search answers with what it has found."""

    def plan(self, room: LogRoom, clause: Clause) -> Plan:
        """What to read of the indices, and until when."""
        deadline = room.local.deadline()
        if self.timeout_s is not None:
            deadline = min(deadline, time.monotonic() + self.timeout_s)
        return Plan(clause=clause, datasets=self.names.wants(), days=self.names.may_be_of, deadline=deadline)


class _Found(msgspec.Struct):
    """What one search has gathered so far; `wide` are the counters of `global` aggregations."""

    hits: list[tuple[Any, dict[str, Any]]] = []
    total: int = 0
    states: dict[str, Any] = {}
    wide: dict[str, Any] = {}
    timed_out: bool = False
    last: Any = None


def read_request(
    room: LogRoom,
    index: str,
    params: dict[str, str],
    body: dict[str, Any],
    now: float,
    *,
    paged: bool = False,
) -> Request:
    """Merge URI and body; what Elasticsearch refuses is refused in its words.

    `paged`: it is of a scroll or a point in time.
    """
    check_body(body)
    dsl = Dsl(now)
    clauses = [dsl.read(body["query"])] if body.get("query") is not None else []
    searched = clauses[0] if clauses else All()
    if body.get("post_filter") is not None:
        clauses.append(dsl.read(body["post_filter"]))
    if "q" in params:
        options = {"query": params["q"], "default_operator": params.get("default_operator", "or")}
        if "df" in params:
            options["default_field"] = params["df"]
        clauses = [dsl.query_string(options)]
    if (part := read_slice(body.get("slice"), paged=paged)) is not None:
        clauses.append(part)
    clause = clauses[0] if len(clauses) == 1 else And(clauses) if clauses else dsl.read(None)
    size = _count("size", params.get("size", body.get("size", 10)), uri="size" in params)
    start = _count("from", params.get("from", body.get("from", 0)), uri="from" in params)
    if size + start > _WINDOW:
        raise illegal(
            f"Result window is too large, from + size must be less than or equal to:"
            f" [{_WINDOW}] but was [{size + start}]."
            " See the scroll api for a more efficient way to request large data sets."
        )
    sort = Sort.read([p for p in params["sort"].split(",") if p] if "sort" in params else body.get("sort"))
    shown = dict(body)
    for key, name in (("_source_includes", "includes"), ("_source_excludes", "excludes")):
        if key in params:
            old = shown.get("_source") if isinstance(shown.get("_source"), dict) else {}
            shown["_source"] = {**(old or {}), name: params[key].split(",")}
    if "_source" in params:
        text = params["_source"]
        shown["_source"] = text == "true" if text in {"true", "false"} else text.split(",")
    for key in ("version", "seq_no_primary_term"):
        if key in params:
            shown[key] = params[key] in {"", "true"}
    sources = Sources.read(shown)
    # What hits are filtered by afterwards is nothing that was looked for.
    sources.clause = clauses[0] if "q" in params else searched
    aggs = aggregations.read(body.get("aggs", body.get("aggregations", {})), now)
    after = body.get("search_after")
    if after is not None:
        if not isinstance(after, list):
            raise parsing(f"Unknown key for a {token(after)} in [search_after].")
        if not sort.given:
            raise illegal("Sort must contain at least one field.")
        if start > 0 and not paged:
            raise illegal("`from` parameter must be set to 0 when `search_after` is used.")
    return Request(
        names=parse_names(index, now, room.aliases),
        clause=clause,
        size=size,
        start=start,
        sort=sort,
        sources=sources,
        aggs={name: agg for name, agg in aggs.items() if not isinstance(agg, Global)},
        wide={name: agg for name, agg in aggs.items() if isinstance(agg, Global)},
        track=_track(
            params.get("track_total_hits", body.get("track_total_hits", _WINDOW)),
            uri="track_total_hits" in params,
        ),
        after=None if after is None else sort.after(after),
        after_values=after,
        timeout_s=read_timeout(params.get("timeout", body.get("timeout"))),
    )


async def run(room: LogRoom, request: Request, *, lenient: bool = False) -> dict[str, Any]:
    """The answer of `_search`."""
    began = time.monotonic()
    await check_names(room, request.names, lenient)
    plan = request.plan(room, request.clause)
    found = _Found(states={name: agg.state() for name, agg in request.aggs.items()})
    days = room.local.days_within(plan)
    if any(map(untyped, {*request.sort.fields(), *aggregations.fields(request.aggs, request.wide)})):
        kinds = await room.catalogue.kinds(days[:_TYPED_DAYS], request.names.wants())
        request.sort = request.sort.typed(kinds)
        if request.after is not None:
            request.after = request.sort.after(request.after_values)
        for agg in (*request.aggs.values(), *request.wide.values()):
            agg.told(kinds)
    if request.sort.by_time == "asc":
        days.reverse()
    if request.aggs or request.sort.by_time != "desc":
        for day in days:
            _, whole = await room.store.read(day, plan, lambda view: _gather(view, request, found))
            found.timed_out |= not whole and day not in room.store.damaged
            if _enough(request, found):
                break
    else:
        await _gather_newest(room, request, plan, days, found)
    await _feed_wide(room, request, found)
    failed = room.local.damaged_within(plan)
    hits = [hit for _, hit in found.hits[request.start : request.start + request.size]]
    answer: dict[str, Any] = {
        "took": round((time.monotonic() - began) * 1000),
        "timed_out": found.timed_out,
        "_shards": {"total": len(days) + failed, "successful": len(days), "skipped": 0, "failed": failed},
        "hits": {"max_score": 1.0 if hits and not request.sort.given else None, "hits": hits},
    }
    if request.track != 0:
        over = request.track is not None and found.total > request.track
        total = {"value": request.track if over else found.total, "relation": "gte" if over else "eq"}
        answer["hits"] = {"total": total, **answer["hits"]}
    aggs = {**request.aggs, **request.wide}
    if aggs and (found.total or request.names.pick(await room.catalogue.all())):
        answer["aggregations"] = aggregations.write(aggs, {**found.states, **found.wide})
        pipelines.siblings(request.aggs, answer["aggregations"])
    return answer


def untyped(field: str) -> bool:
    """Whether a field's name alone does not say its type."""
    return not field.endswith(".keyword") and field not in {"", "@timestamp", "level"} and field[0] != "_"


async def _gather_newest(room: LogRoom, request: Request, plan: Plan, days: list[str], found: _Found) -> None:
    """Hits that come in the right order, day by day, until there are enough."""

    def work(view: View) -> _Found:
        part = _Found()
        _gather(view, request, part, len(found.hits))
        return part

    async with aclosing(room.store.read_each(days, plan, work)) as answers:
        async for part, whole in answers:
            found.timed_out |= not whole and part is not None
            if part is not None:
                found.hits += part.hits
                found.total += part.total
            if _enough(request, found):
                break


async def _feed_wide(room: LogRoom, request: Request, found: _Found) -> None:
    if not request.wide:
        return
    plan = request.plan(room, All())
    found.wide = {name: agg.state() for name, agg in request.wide.items()}

    def feed(view: View) -> None:
        for row in view.any_order():
            for name, agg in request.wide.items():
                agg.add(found.wide[name], row)

    for day in room.local.days_within(plan):
        _, whole = await room.store.read(day, plan, feed)
        found.timed_out |= not whole


async def check_some(room: LogRoom, names: Names, asked: str) -> None:
    """At least one index must be there, else 404."""
    if not names.pick(await room.catalogue.all()):
        raise unknown_index(asked)


async def check_names(room: LogRoom, names: Names, lenient: bool = False) -> None:
    """A name without a wildcard must be there, else 404."""
    missing = names.concrete()
    if not missing or lenient:
        return
    for day in reversed(room.store.days()):
        if not Names(tuple(missing), ()).may_be_of(day):
            continue
        infos = await room.catalogue.day(day)
        missing = [
            m for m in missing if not any(Names((m,), ()).match(i.index, i.dataset, i.plain) for i in infos)
        ]
        if not missing:
            return
    raise unknown_index(missing[0])


def _enough(request: Request, found: _Found) -> bool:
    if request.aggs or not request.sort.by_time or len(found.hits) < request.start + request.size:
        return False
    return request.track is not None and (request.track == 0 or found.total > request.track)


def _gather(view: View, request: Request, found: _Found, known: int = 0) -> None:
    """Add what a day has; so many hits that come before its own are `known` already."""
    wanted = max(0, request.start + request.size - known)
    if request.aggs and (wanted == 0 or request.sort.by_time):
        grain = aggregations.grain_of(request.aggs)
        if grain is not None:
            _add_up(counted(view, grain), request, found)
            _first(view, request, found, wanted)
            return
    if not request.aggs and request.sort.by_time:
        rows = None if request.track == 0 else tallies(view, Grain())
        if rows is not None:
            _add_up(rows, request, found)
        elif request.track != 0:
            found.total += view.count(request.track)
        _first(view, request, found, wanted)
        return
    for row in view.any_order():
        found.total += 1
        for name, agg in request.aggs.items():
            agg.add(found.states[name], row)
        if not wanted:
            continue
        if request.after is not None and not request.sort.behind(request.after, row):
            continue
        key = request.sort.key(row)
        if len(found.hits) >= wanted and found.last is not None and not key < found.last:
            continue
        found.hits.append((key, request.sources.hit(row, request.sort)))
        if len(found.hits) > 2 * wanted + 200:
            _cut(found, wanted)
    _cut(found, wanted)


def _add_up(rows: Iterator[Row], request: Request, found: _Found) -> None:
    for row in rows:
        found.total += row.weight
        for name, agg in request.aggs.items():
            agg.add(found.states[name], row)


def _cut(found: _Found, wanted: int) -> None:
    found.hits = heapq.nsmallest(wanted, found.hits, key=lambda pair: pair[0])
    found.last = found.hits[-1][0] if len(found.hits) >= wanted and wanted else None


def _first(view: View, request: Request, found: _Found, wanted: int) -> None:
    """Hits come in the right order, so reading stops once there are enough of them."""
    if len(found.hits) >= wanted:
        return
    if request.after is not None and (edge := request.sort.edge_us(request.after)) is not None:
        # What comes behind the page before is not before its last line.
        view = view.until(edge) if request.sort.by_time == "desc" else view.since(edge)
    rows = view.newest() if request.sort.by_time == "desc" else view.oldest()
    turned = request.sort.first_come_first == (request.sort.by_time == "desc")
    for row in _turned(rows) if turned else rows:
        if request.after is not None and not request.sort.behind(request.after, row):
            continue
        found.hits.append((None, request.sources.hit(row, request.sort)))
        if len(found.hits) >= wanted:
            break


def _turned(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows of one millisecond, which a date cannot tell apart, the other way round."""
    for _, together in groupby(rows, key=lambda row: row.time_us // 1000):
        yield from reversed(list(together))


async def count(room: LogRoom, request: Request, *, lenient: bool = False) -> tuple[int, bool]:
    """How many lines match, and whether all were looked at in the time that a query has."""
    await check_names(room, request.names, lenient)
    plan = request.plan(room, request.clause)
    total, whole = 0, True
    async with aclosing(room.store.read_each(room.local.days_within(plan), plan, count_all)) as answers:
        async for part, all_seen in answers:
            whole &= all_seen
            total += part or 0
    return total, whole and not room.local.damaged_within(plan)


def pack(state: dict[str, Any]) -> str:
    """A scroll or point-in-time id: it holds what it stands for, so a restart does not lose it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(state)).decode()


def unpack(text: str) -> dict[str, Any]:
    """What `pack` packed; anything else is refused."""
    try:
        state = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.DecodeError, UnicodeError):
        raise illegal(f"Cannot parse scroll id or point in time id [{text[:40]}]") from None
    return state


def object_of(body: bytes) -> dict[str, Any]:
    """A JSON object from a request's body; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if str(error).startswith("Expected `object`"):
            raise parsing(f"Expected [START_OBJECT]: {str(error)[:100]}") from None
        cut = "truncated" in str(error)
        raise EsError(
            400,
            "x_content_e_o_f_exception" if cut else "x_content_parse_exception",
            f"the request body is not a JSON object: {str(error)[:200]}",
        ) from None


def _count(name: str, value: Any, *, uri: bool = False) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        text = str(value)[:40]
        if uri:
            raise illegal(f"Failed to parse int parameter [{name}] with value [{text}]") from None
        raise EsError(400, "number_format_exception", f'For input string: "{text}"') from None
    if number < 0:
        raise illegal(f"[{name}] parameter cannot be negative, found [{number}]")
    return number


def _track(value: Any, *, uri: bool) -> int | None:
    text = str(value).lower()
    if text == "true":
        return None
    if text == "false":
        return 0
    return _count("track_total_hits", value, uri=uri)
