"""The search family of calls: `_search`, `_count`, `_msearch`, scroll, point in time, fields."""

from __future__ import annotations

from typing import Any

from mamimon.logs.wire.elasticsearch import search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.dsl import Dsl
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, of_problem, parsing, unknown_field
from mamimon.logs.wire.elasticsearch.limits import read_timeout
from mamimon.logs.wire.elasticsearch.names import Names
from mamimon.logs.wire.elasticsearch.parameters import check_parameters, field_filter
from mamimon.logs.wire.elasticsearch.request import read_request
from mamimon.problems import Problem

_MOST_SEARCHES = 1_000
_FROM = "using [from] is not allowed in a scroll context"
_HEADS = {
    "index", "indices", "search_type", "preference", "routing", "ignore_unavailable", "allow_no_indices",
    "expand_wildcards", "request_cache", "ignore_throttled", "ccs_minimize_roundtrips",
    "allow_partial_search_results", "max_concurrent_shard_requests", "rest_total_hits_as_int",
    "cancel_after_time_interval",
}  # fmt: skip
# A search that is no search refuses all; one that cannot be run is an answer of its own.
_READ = {"parsing_exception", "x_content_parse_exception", "x_content_e_o_f_exception"}


async def find(call: Call) -> Answer:
    """`_search`, the first page of a scroll and pages over a point in time included."""
    body = search.object_of(call.body)
    index = call.parts.get("index", "")
    pit = body.get("pit")
    if isinstance(pit, dict):
        if unknown := set(pit) - {"id", "keep_alive"}:
            raise unknown_field("pit", min(unknown))
        index = str(search.unpack(str(pit.get("id", ""))).get("index", ""))
        sort = body.get("sort")
        if sort is not None and not any(
            "_shard_doc" in str(part) for part in (sort if isinstance(sort, list) else [sort])
        ):
            body["sort"] = [*(sort if isinstance(sort, list) else [sort]), "_shard_doc"]
    check_parameters("search", call.path, call.params)
    if not call.flag("allow_no_indices", True):
        await search.check_some(call.room, call.names(index), index)
    if "scroll" in call.params:
        _check_scroll(call.params, body)
        return Answer(await _scroll(call, {"index": index, "body": body, "params": call.params}))
    paged = isinstance(pit, dict)
    request = read_request(call.room, index, call.params, body, call.now, paged=paged)
    answer = await search.run(call.room, request, lenient=call.lenient)
    if not call.flag("allow_partial_search_results", True):
        _check_whole(answer)
    if isinstance(pit, dict):
        answer = {"pit_id": pit["id"], **answer}
    return Answer(_totalled(call, answer))


def _check_whole(answer: dict[str, Any]) -> None:
    """Refuse an answer of a part, which is not wanted."""
    failed = answer["_shards"]["failed"]
    if answer["timed_out"] or failed:
        why = (
            "Time exceeded"
            if answer["timed_out"]
            else f"Partial shards failure ({failed} shards unavailable)"
        )
        raise EsError(503, "search_phase_execution_exception", why, phase="query", grouped=True)


def _totalled(call: Call, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose total is a number, where that is asked for."""
    if call.flag("rest_total_hits_as_int") and "total" in answer["hits"]:
        answer["hits"]["total"] = answer["hits"]["total"]["value"]
    return answer


def _check_scroll(params: dict[str, str], body: dict[str, Any]) -> None:
    if read_timeout(params["scroll"]) is None:
        raise illegal(f"failed to parse [{params['scroll'][:40]}]")
    for name, why in (("size", "[size] cannot be [0] in a scroll context"), ("from", _FROM)):
        given = str(params.get(name, body.get(name, "")))
        if given == "0" if name == "size" else given not in {"", "0"}:
            raise EsError(400, "action_request_validation_exception", f"Validation Failed: 1: {why};")


async def _scroll(call: Call, state: dict[str, Any]) -> dict[str, Any]:
    body = dict(state["body"])
    params = {k: v for k, v in state["params"].items() if k not in {"scroll", "from"}}
    given = body.get("sort") or params.pop("sort", None)
    if isinstance(given, str):
        given = given.split(",")
    sort = [*(given if isinstance(given, list) else [given] if given else []), "_shard_doc"]
    newest = [{"@timestamp": "desc"}, {"_shard_doc": "desc"}]
    body.update(sort=sort if given else newest, track_total_hits=True)
    known = state.get("total")
    if state.get("after"):
        body["search_after"] = state["after"]
        # Only the first page counts; the others carry its count along.
        body["track_total_hits"] = known is None
    request = read_request(call.room, state["index"], params, body, call.now, paged=True)
    answer = await search.run(call.room, request, lenient=call.lenient)
    if "total" not in answer["hits"]:
        answer["hits"] = {"total": {"value": known, "relation": "eq"}, **answer["hits"]}
    total = answer["hits"]["total"]["value"]
    hits = answer["hits"]["hits"]
    after = hits[-1]["sort"] if hits else state.get("after")
    for hit in hits:
        # The order's last part is ours, so that pages do not overlap.
        hit["sort"] = hit["sort"][:-1]
        if not given:
            hit.pop("sort")
            hit["_score"] = 1.0
    if call.flag("rest_total_hits_as_int"):
        answer["hits"]["total"] = answer["hits"]["total"]["value"]
    return {"_scroll_id": search.pack({**state, "after": after, "total": total}), **answer}


async def scroll(call: Call) -> Answer:
    """The next page of a scroll."""
    body = search.object_of(call.body)
    given = body.get("scroll_id") or call.params.get("scroll_id") or call.parts.get("id", "")
    if not given:
        raise EsError(
            400, "action_request_validation_exception", "Validation Failed: 1: scrollId is missing;"
        )
    state = search.unpack(str(given))
    if not {"index", "body", "params"} <= set(state):
        raise illegal("Cannot parse scroll id")
    return Answer(await _scroll(call, state))


async def close(call: Call) -> Answer:
    """End a scroll or a point in time: nothing is held for one, so there is nothing to free."""
    return Answer({"succeeded": True, "num_freed": 1})


async def open_pit_of_opensearch(call: Call) -> Answer:
    """OpenSearch's `_search/point_in_time`."""
    made = (await open_pit(call)).body
    return Answer({"pit_id": made["id"], "_shards": made["_shards"], "creation_time": round(call.now * 1000)})


async def close_pits_of_opensearch(call: Call) -> Answer:
    """OpenSearch's way to end points in time: each of those named is gone."""
    ids = search.object_of(call.body).get("pit_id")
    if not ids:
        raise EsError(
            400, "action_request_validation_exception", "Validation Failed: 1: no pit ids specified;"
        )
    given = ids if isinstance(ids, list) else [ids]
    for one in given:
        search.unpack(str(one))
    return Answer({"pits": [{"successful": True, "pit_id": one} for one in given]})


async def open_pit(call: Call) -> Answer:
    """A point in time: lines are never changed, so it is the name of what is read."""
    await search.check_names(call.room, call.names(), call.lenient)
    return Answer(
        {
            "id": search.pack({"index": call.parts["index"]}),
            "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        }
    )


async def count(call: Call) -> Answer:
    """`_count`."""
    body = search.object_of(call.body)
    check_parameters("count", call.path, call.params)
    if unknown := set(body) - {"query"}:
        raise parsing(f"request does not support [{min(unknown)}]")
    request = read_request(call.room, call.parts.get("index", ""), call.params, body, call.now)
    total, whole = await search.count(call.room, request, lenient=call.lenient)
    shards = {"total": 1, "successful": int(whole), "skipped": 0, "failed": int(not whole)}
    return Answer({"count": total, "_shards": shards})


async def several(call: Call) -> Answer:
    """`_msearch`: each search has its own answer, an error among them."""
    check_parameters("several searches", call.path, call.params)
    if not call.body.strip():
        raise EsError(400, "parse_exception", "request body or source parameter is required")
    if not call.body.endswith(b"\n"):
        raise illegal("The msearch request must be terminated by a newline [\n]")
    lines = [line for line in call.body.split(b"\n") if line.strip()]
    if len(lines) % 2:
        raise EsError(400, "action_request_validation_exception", "Validation Failed: 1: no requests added;")
    if len(lines) > 2 * _MOST_SEARCHES:
        raise illegal(f"more than {_MOST_SEARCHES} searches")
    answers: list[dict[str, Any]] = []
    own = {name: call.params[name] for name in ("typed_keys",) if name in call.params}
    for i in range(0, len(lines), 2):
        head, body = search.object_of(lines[i]), search.object_of(lines[i + 1])
        if unknown := set(head) - _HEADS:
            raise illegal(f"key [{min(unknown)[:80]}] is not supported in the metadata section")
        try:
            index = head.get("index") or call.parts.get("index", "")
            index = ",".join(index) if isinstance(index, list) else str(index)
            request = read_request(call.room, index, own, body, call.now)
            lenient = call.lenient or bool(head.get("ignore_unavailable"))
            answer = await search.run(call.room, request, lenient=lenient)
            answers.append({**_totalled(call, answer), "status": 200})
        except EsError as error:
            if error.type in _READ:
                raise
            answers.append(error.body())
        except Problem as problem:
            answers.append(of_problem(problem).body())
    return Answer({"took": sum(one.get("took", 0) for one in answers), "responses": answers})


async def field_caps(call: Call) -> Answer:
    """`_field_caps`: which fields there are and what can be done with them."""
    check_parameters("fields", call.path, call.params)
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    body = search.object_of(call.body)
    if "index_filter" in body:
        # Only read: Elasticsearch, too, may answer with more indices than match.
        Dsl(call.now).read(body["index_filter"])
    asked = call.params.get("fields") or body.get("fields")
    if not asked:
        raise illegal("specified fields can't be null or empty")
    patterns = Names(tuple(asked.split(",") if isinstance(asked, str) else asked), ())
    kept = field_filter(call.params)
    found: dict[str, Any] = {}
    fields = await _fields(call, names)
    for name, kind in {**fields, "_id": "_id", "_index": "_index"}.items():
        for path, one in (
            ((name, kind), (f"{name}.keyword", "keyword")) if kind == "text" else ((name, kind),)
        ):
            if patterns.match(path, path, True) and kept(path, one, path != name):
                own = {
                    "type": one,
                    "metadata_field": path[0] == "_",
                    "searchable": True,
                    "aggregatable": one != "text",
                }
                found[path] = {one: own}
                for at in (i for i, char in enumerate(name) if char == "."):
                    # What a field is in is an object.
                    if name[:at] not in fields and kept(name[:at], "object", False):
                        own = {"type": "object", "metadata_field": False}
                        found[name[:at]] = {"object": {**own, "searchable": False, "aggregatable": False}}
    indices = sorted({info.index for info in names.pick(await call.room.catalogue.all())})
    return Answer({"indices": indices, "fields": found})


async def mapping(call: Call) -> Answer:
    """`_mapping`, inferred from the newest lines."""
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    answer: dict[str, Any] = {}
    for info in names.pick(await call.room.catalogue.all()):
        answer[info.index] = {"mappings": await mapping_of(call, info.index)}
    return Answer(answer)


async def mapping_of(call: Call, index: str) -> dict[str, Any]:
    """The mapping of one index."""
    fields = await _fields(call, Names((index,), ()))
    return {"properties": _properties(fields)} if fields else {}


async def _fields(call: Call, names: Names) -> dict[str, str]:
    found = await call.room.catalogue.fields(names.wants())
    return {"@timestamp": "date", **{k: v for k, v in found.items() if k != "@timestamp"}} if found else {}


def _properties(fields: dict[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, kind in sorted(fields.items()):
        at = tree
        *outer, last = path.split(".")
        for name in outer:
            at = at.setdefault(name, {}).setdefault("properties", {})
        leaf: dict[str, Any] = {"type": kind}
        if kind == "text":
            leaf["fields"] = {"keyword": {"type": "keyword", "ignore_above": 256}}
        at[last] = {**at.get(last, {}), **leaf} if "properties" not in at.get(last, {}) else at[last]
    return tree


async def validate(call: Call) -> Answer:
    """`_validate/query`."""
    shards = {"total": 1, "successful": 1, "failed": 0}
    try:
        read_request(
            call.room, call.parts.get("index", ""), call.params, search.object_of(call.body), call.now
        )
    except (EsError, Problem) as error:
        return Answer({"_shards": shards, "valid": False, "error": str(error)})
    return Answer({"_shards": shards, "valid": True})


_INDEX = r"(?:/(?P<index>[^/_][^/]*|_all))?"
ROUTES = (
    ("GET|POST", rf"{_INDEX}/_search", find),
    ("GET|POST", rf"{_INDEX}/_count", count),
    ("GET|POST", rf"{_INDEX}/_msearch", several),
    ("GET|POST", r"/_search/scroll(?:/(?P<id>[^/]+))?", scroll),
    ("DELETE", r"/_search/scroll(?:/(?P<id>[^/]+))?", close),
    ("POST", rf"{_INDEX}/_pit", open_pit),
    ("POST", rf"{_INDEX}/_search/point_in_time", open_pit_of_opensearch),
    ("DELETE", r"/_search/point_in_time", close_pits_of_opensearch),
    ("DELETE", r"/_pit", close),
    ("GET|POST", rf"{_INDEX}/_field_caps", field_caps),
    ("GET", rf"{_INDEX}/_mappings?", mapping),
    ("GET|POST", rf"{_INDEX}/_validate/query", validate),
)
