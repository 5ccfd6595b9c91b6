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

from mamimon.logs.clauses import All, Row
from mamimon.logs.query import count_all
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.store.summary import counted, tallies
from mamimon.logs.store.tally import Grain
from mamimon.logs.wire.elasticsearch import aggregations
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_index
from mamimon.logs.wire.elasticsearch.names import Names
from mamimon.logs.wire.elasticsearch.request import Request
from mamimon.logs.wire.elasticsearch.typed import typed

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_TYPED_DAYS = 2
"""A field's type is what the newest lines of so many days say."""


class _Found(msgspec.Struct):
    """What one search has gathered so far; `wide` are the counters of `global` aggregations."""

    hits: list[tuple[Any, dict[str, Any]]] = []
    total: int = 0
    states: dict[str, Any] = {}
    wide: dict[str, Any] = {}
    timed_out: bool = False
    last: Any = None


async def run(room: LogRoom, request: Request, *, lenient: bool = False) -> dict[str, Any]:
    """The answer of `_search`."""
    began = time.monotonic()
    await check_names(room, request.names, lenient)
    await check_names(room, Names(tuple(request.boosted), ()), lenient)
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
        "hits": {"max_score": hits[0]["_score"] if hits else None, "hits": hits},
    }
    if request.early:
        # A bound of work, not of the answer: it is not needed here.
        answer["terminated_early"] = False
    if request.track != -1:
        over = request.track is not None and found.total > request.track
        total = {"value": request.track if over else found.total, "relation": "gte" if over else "eq"}
        answer["hits"] = {"total": total, **answer["hits"]}
    aggs = {**request.aggs, **request.wide}
    if aggs and (found.total or request.names.pick(await room.catalogue.all())):
        answer["aggregations"] = aggregations.write(aggs, {**found.states, **found.wide})
        if request.typed_keys:
            answer["aggregations"] = typed(aggs, answer["aggregations"])
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
    return request.track is not None and (request.track == -1 or found.total > request.track)


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
        rows = None if request.track == -1 else tallies(view, Grain())
        if rows is not None:
            _add_up(rows, request, found)
        elif request.track != -1:
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
