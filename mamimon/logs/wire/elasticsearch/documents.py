"""Writing and reading single documents, `_bulk`, and deleting."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

from mamimon.logs.clauses import Ids
from mamimon.logs.model import dataset_of
from mamimon.logs.store.day import Dataset, DayFile
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.wire.elasticsearch import aliases, search
from mamimon.logs.wire.elasticsearch.bulk import Bulk
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.definitions import check_pipeline, pipeline_names, warned
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.names import Names, check_name
from mamimon.logs.wire.elasticsearch.parameters import check_parameters
from mamimon.logs.wire.elasticsearch.request import Request, read_request
from mamimon.logs.wire.elasticsearch.sorting import Sort
from mamimon.logs.wire.elasticsearch.sources import Sources
from mamimon.problems import unavailable
from mamimon.storage.days import day_of, day_start


async def bulk(call: Call) -> Answer:
    """`POST /_bulk` and `/<index>/_bulk`."""
    check_parameters("bulk", call.path, call.params)
    await check_pipeline(call)
    reader = Bulk(call.room, call.now, call.parts.get("index", ""), call.flag("require_alias"))
    if b'"pipeline"' in call.body:
        reader.pipelines = await pipeline_names(call)
    reader.delete = partial(_delete_one, call)
    body, status = await reader.run(call.body)
    return Answer(body, status)


async def write(call: Call) -> Answer:
    """`_doc` and `_create`, with or without an id."""
    await check_pipeline(call)
    index, identity = call.parts["index"], call.parts.get("id", "")
    action = (
        "create" if call.parts["kind"] == "_create" or call.params.get("op_type") == "create" else "index"
    )
    meta: dict[str, object] = {"_index": index}
    if identity:
        meta["_id"] = identity
    if not call.body.strip():
        raise EsError(400, "parse_exception", "request body is required")
    reader = Bulk(call.room, call.now, index)
    item = reader._item(action, meta, call.body)
    stored = (await call.room.ingest.append([item.record]))[0] if item.record is not None else None
    body = next(iter(reader.answer(item, stored).values()))
    status = body.pop("status")
    if item.error is not None:
        raise item.error
    return Answer(body, status)


async def read(call: Call) -> Answer:
    """`GET /<index>/_doc/<id>` and `/_source/<id>`."""
    index, identity = call.parts["index"], call.parts["id"]
    spec: dict[str, Any] = {}
    if "_source" in call.params:
        text = call.params["_source"]
        spec["_source"] = text == "true" if text in {"true", "false"} else text.split(",")
    includes, excludes = call.params.get("_source_includes"), call.params.get("_source_excludes")
    if includes or excludes:
        spec["_source"] = {
            "includes": includes.split(",") if includes else [],
            "excludes": excludes.split(",") if excludes else [],
        }
    hit = await one_by_id(call, index, identity, spec)
    if call.parts["kind"] == "_source":
        if hit is None:
            raise EsError(404, "resource_not_found_exception", f"Document not found [{index}]/[{identity}]")
        return Answer(hit["_source"])
    return Answer(hit) if hit else Answer({"_index": index, "_id": identity, "found": False}, 404)


async def one_by_id(call: Call, index: str, identity: str, spec: dict[str, Any]) -> dict[str, Any] | None:
    """A document as `_doc` shows it; None where there is none of that id."""
    names = call.names(index)
    await search.check_names(call.room, names)
    plan = Plan(
        clause=Ids([identity]),
        datasets=names.wants(),
        days=names.may_be_of,
        deadline=call.room.local.deadline(),
    )
    sources = Sources.read({**spec, "seq_no_primary_term": True, "version": True})
    for day in call.room.local.days_within(plan):
        hit, _ = await call.room.store.read(
            day,
            plan,
            lambda view: next((sources.hit(row, Sort.read(None)) for row in view.by_id(identity)), None),
        )
        if hit is not None:
            hit.pop("_score")
            source = {"_source": hit.pop("_source")} if "_source" in hit else {}
            return {**hit, "found": True, **source}
    return None


async def delete_by_query(call: Call) -> Answer:
    """`POST /<index>/_delete_by_query`."""
    body = search.object_of(call.body)
    if "query" not in body and "q" not in call.params:
        raise EsError(400, "action_request_validation_exception", "Validation Failed: 1: query is missing;")
    if unknown := set(body) - {"query", "slice", "max_docs", "conflicts"}:
        raise parsing(f"[delete_by_query] unknown field [{min(unknown)}]")
    asked: dict[str, Any] = {key: body[key] for key in ("query", "slice") if key in body}
    request = read_request(call.room, call.parts["index"], call.params, asked, call.now, paged=True)
    most = call.params.get("max_docs", body.get("max_docs"))
    if most is not None and (not str(most).isdecimal() or int(most) < 1):
        raise illegal(f"[max_docs] should be greater than 0, but was [{str(most)[:40]}]")
    return Answer(await _delete(call, request, None if most is None else int(most)))


async def delete(call: Call) -> Answer:
    """`DELETE /<index>/_doc/<id>`."""
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    done = await _delete_one(call, call.parts["index"], call.parts["id"])
    shards = {"total": 1, "successful": 1, "failed": 0}
    return Answer({**done, "_shards": shards}, 200 if done["result"] == "deleted" else 404)


async def _delete_one(call: Call, index: str, identity: str) -> dict[str, Any]:
    query = {"query": {"ids": {"values": [identity]}}}
    request = read_request(call.room, index, {}, query, call.now)
    gone = await _delete(call, request, None, lenient=True)
    done = "deleted" if gone["deleted"] else "not_found"
    return {"_index": index, "_id": identity, "_version": 2, "result": done, "_seq_no": 0, "_primary_term": 1}


async def _delete(call: Call, request: Request, most: int | None, *, lenient: bool = False) -> dict[str, Any]:
    """Delete what a request finds, `most` of it at most."""
    await search.check_names(call.room, request.names, lenient or call.lenient)
    plan = Plan(clause=request.clause, datasets=request.names.wants(), days=request.names.may_be_of)
    deleted = 0
    for day in call.room.local.days_within(plan):
        left = None if most is None else most - deleted
        work = partial(_numbers, left)
        seqs, _ = await call.room.store.read(day, plan, work)
        if seqs:
            async with call.room.store.using(day) as file:
                if file is not None:
                    deleted += await file.delete(seqs)
            call.room.catalogue.forget(day)
    return {
        "took": 0, "timed_out": False, "total": deleted, "deleted": deleted, "batches": 1,
        "version_conflicts": 0, "noops": 0, "failures": [],
    }  # fmt: skip


def _numbers(most: int | None, view: View) -> list[int]:
    return [row.seq for row in islice(view.any_order(), most)]


async def delete_index(call: Call) -> Answer:
    """`DELETE /<index>`: the datasets vanish at once."""
    names = call.names()
    if names.take == ("*",):
        raise illegal("Wildcard expressions or all indices are not allowed")
    if call.parts["index"] in call.room.aliases:
        raise illegal(
            f"The provided expression [{call.parts['index'][:80]}] matches an alias,"
            " specify the corresponding concrete indices instead."
        )
    await search.check_names(call.room, names, call.lenient)
    await aliases.forget(call, {one.index for one in names.pick(await call.room.catalogue.all())})
    for day in call.room.store.days():
        async with call.room.store.using(day) as file:
            if file is not None:
                await file.delete_datasets(partial(_meant, names, file))
        call.room.catalogue.forget(day)
    return Answer({"acknowledged": True})


def _meant(names: Names, file: DayFile, one: Dataset) -> bool:
    return names.match(file.index_name(one.id), one.name, one.plain)


async def create_index(call: Call) -> Answer:
    """`PUT /<index>`: an empty index that is listed from now on."""
    name = call.parts["index"]
    check_name(name)
    body = search.object_of(call.body)
    aliases.check(body.get("aliases") or {})
    if name in call.room.aliases:
        raise EsError(
            400,
            "invalid_index_name_exception",
            f"Invalid index name [{name}], already exists as alias",
            index=name,
        )
    dataset, plain = dataset_of(name)
    days = call.room.store.days()
    for day in days:
        if any(i.index == name for i in await call.room.catalogue.day(day)):
            raise EsError(
                400, "resource_already_exists_exception", f"index [{name}] already exists", index=name
            )
    # A plain index lies in the days of its lines; an empty one in today's.
    day = day_of(call.now) if plain else name[-10:].replace(".", "-")
    settings = call.core.settings.logs
    first = day_of(call.now - settings.retention_days * 86_400)
    if not _is_day(day) or not first <= day <= day_of(call.now + settings.future_limit_s):
        raise illegal(
            f"index [{name}] is of a day that no line is taken for: lines may be of {first} and later"
        )
    async with call.room.store.using(day) as file:
        if file is None:
            raise unavailable(f"the log file of {day} is damaged")
        await file.add_dataset(dataset, plain)
    call.room.catalogue.forget(day)
    await aliases.add(call, name, body.get("aliases") or {})
    said = "mappings and settings are not used: every field can be searched without them"
    return Answer(
        {"acknowledged": True, "shards_acknowledged": True, "index": name},
        headers=warned(said) if body.get("mappings") or body.get("settings") else [],
    )


def _is_day(text: str) -> bool:
    try:
        day_start(text)
    except ValueError:
        return False
    return True


async def refuse_update(call: Call) -> Answer:
    """`_update` and `_update_by_query`: a log line is never changed."""
    raise illegal("log lines cannot be updated")


_INDEX = r"/(?P<index>[^/_][^/]*|_all)"
ROUTES = (
    ("POST|PUT", r"/_bulk", bulk),
    ("POST|PUT", rf"{_INDEX}/_bulk", bulk),
    ("POST", rf"{_INDEX}/(?P<kind>_doc)", write),
    ("POST|PUT", rf"{_INDEX}/(?P<kind>_doc|_create)/(?P<id>[^/]+)", write),
    ("GET|HEAD", rf"{_INDEX}/(?P<kind>_doc|_source)/(?P<id>[^/]+)", read),
    ("DELETE", rf"{_INDEX}/_doc/(?P<id>[^/]+)", delete),
    ("POST", rf"{_INDEX}/_delete_by_query", delete_by_query),
    ("POST", rf"{_INDEX}/(?:_update/[^/]+|_update_by_query)", refuse_update),
    ("DELETE", _INDEX, delete_index),
    ("PUT", _INDEX, create_index),
)
