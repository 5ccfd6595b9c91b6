"""A search as it is asked: an address, its parameters and a body, read and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.clauses import All, And, Clause
from mamimon.logs.store.scan import Plan
from mamimon.logs.wire.elasticsearch import aggregations
from mamimon.logs.wire.elasticsearch.body import boosted, check_body, token
from mamimon.logs.wire.elasticsearch.divisions import Global
from mamimon.logs.wire.elasticsearch.dsl import Dsl
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.limits import read_slice, read_timeout
from mamimon.logs.wire.elasticsearch.marking import read_marks
from mamimon.logs.wire.elasticsearch.names import Names, parse_names
from mamimon.logs.wire.elasticsearch.parameters import merged
from mamimon.logs.wire.elasticsearch.sorting import Sort
from mamimon.logs.wire.elasticsearch.sources import Sources
from mamimon.logs.wire.elasticsearch.strings import query_string

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_WINDOW = 10_000


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
    """Count exactly up to here; None counts everything, -1 nothing."""
    after: tuple[Any, ...] | None = None
    after_values: Any = None
    boosted: list[str] = []
    """Indices that must be there, although their lines count no more than others."""
    typed_keys: bool = False
    early: bool = False
    """Whether the answer says that no day was left early, as `terminate_after` would have it."""
    timeout_s: float | None = None
    """After so long the search answers with what it has found."""

    def plan(self, room: LogRoom, clause: Clause) -> Plan:
        """What to read of the indices, and until when."""
        deadline = room.local.deadline()
        if self.timeout_s is not None:
            deadline = min(deadline, time.monotonic() + self.timeout_s)
        return Plan(clause=clause, datasets=self.names.wants(), days=self.names.may_be_of, deadline=deadline)


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
        clauses = [query_string(options, now)]
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
    sources = Sources.read(merged(body, params))
    # What hits are filtered by afterwards is nothing that was looked for.
    sources.clause = clauses[0] if "q" in params else searched
    sources.named = dsl.named
    sources.marks = read_marks(body.get("highlight"), now)
    aggs = aggregations.read(body.get("aggs", body.get("aggregations", {})), now)
    for agg in aggs.values():
        agg.searched(sources.clause, dsl.named)
    after = body.get("search_after")
    if after is not None:
        for value in after:
            if isinstance(value, (dict, list)):
                raise parsing(f"Expected a value but found [{token(value)}] inside search_after.")
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
        boosted=boosted(body),
        typed_keys=params.get("typed_keys", "false") != "false",
        early=bool(int(params.get("terminate_after", body.get("terminate_after", 0)))),
        timeout_s=read_timeout(params.get("timeout", body.get("timeout"))),
    )


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
    if text in {"false", "-1"}:
        return -1
    count = _count("track_total_hits", value, uri=uri)
    if count >= 2**31:
        raise EsError(400, "input_coercion_exception", f"Numeric value ({count}) out of range of int")
    return count
