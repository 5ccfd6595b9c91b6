"""What clients ask before they work: who are you, how are you, what is there."""

from __future__ import annotations

import fnmatch
from typing import Any

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.store.day import installation_id
from mamimon.logs.wire.elasticsearch import aliases, search, searching
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.definitions import kept
from mamimon.logs.wire.elasticsearch.errors import EsError

VERSION = "9.2.0"
_SHARDS = {"total": 1, "successful": 1, "failed": 0}


async def root(call: Call) -> Answer:
    """`GET /`."""
    return Answer(
        {
            "name": "mamimon",
            "cluster_name": "mamimon",
            "cluster_uuid": await uuid(call),
            "version": {
                "number": VERSION,
                "build_flavor": "default",
                "build_type": "docker",
                "build_hash": "mamimon",
                "build_date": "2026-01-01T00:00:00.000Z",
                "build_snapshot": False,
                "lucene_version": "10.3.0",
                "minimum_wire_compatibility_version": "8.19.0",
                "minimum_index_compatibility_version": "8.0.0",
            },
            "tagline": "You Know, for Search",
        }
    )


async def uuid(call: Call) -> str:
    """What names this installation."""
    return (await call.core.state.read(installation_id))[:22]


def pseudo_uuid(name: str) -> str:
    """An index's uuid: always the same for a name."""
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest())[:22].decode()


def status(call: Call) -> str:
    """How we are: green, or yellow where the disk is full or a file is damaged."""
    return "green" if call.core.writable() and not call.room.store.damaged else "yellow"


async def health(call: Call) -> Answer:
    """`_cluster/health`; an index that is not there is waited for no longer than now."""
    if call.parts.get("index"):
        try:
            await search.check_names(call.room, call.names(), call.lenient)
        except EsError:
            red = {"cluster_name": "mamimon", "status": "red", "timed_out": True, "number_of_nodes": 1}
            return Answer(red, 408)
    return Answer(
        {
            "cluster_name": "mamimon", "status": status(call), "timed_out": False, "number_of_nodes": 1,
            "number_of_data_nodes": 1, "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
            "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
            "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0,
            "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 100.0,
        }
    )  # fmt: skip


async def shards_done(call: Call) -> Answer:
    """`_refresh`, `_flush` and `_forcemerge`: what is acknowledged can be searched already."""
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    return Answer({"_shards": _SHARDS})


def settings_of(one: IndexInfo) -> dict[str, str]:
    """The settings that an index would have in Elasticsearch."""
    return {
        "number_of_shards": "1",
        "number_of_replicas": "0",
        "uuid": pseudo_uuid(one.index),
        "creation_date": str(int(one.created * 1000)),
        "provided_name": one.index,
    }


async def get_index(call: Call) -> Answer:
    """`GET` and `HEAD /<index>`."""
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    return Answer(
        {
            info.index: {
                "aliases": aliases.of_index(call.room.aliases, info.index),
                "mappings": await searching.mapping_of(call, info.index),
                "settings": {"index": settings_of(info)},
            }
            for info in names.pick(await call.room.catalogue.all())
        }
    )


def _aliases(call: Call, index: str) -> dict[str, list[str]]:
    own = sorted(aliases.of_index(call.room.aliases, index))
    return {"aliases": own} if own else {}


async def resolve(call: Call) -> Answer:
    """`_resolve/index`."""
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    infos = names.pick(await call.room.catalogue.all())
    return Answer(
        {
            "indices": [
                {
                    "name": i.index,
                    **_aliases(call, i.index),
                    "attributes": ["open"],
                }
                for i in infos
            ],
            "aliases": [
                {"name": alias, "indices": sorted(of)}
                for alias, of in sorted(call.room.aliases.items())
                if set(of) & {i.index for i in infos}
            ],
            "data_streams": [
                {"name": name, "backing_indices": [name], "timestamp_field": "@timestamp"}
                for name in await kept(call, "_data_stream")
                if any(i.index == name for i in infos)
            ],
        }
    )


async def license(call: Call) -> Answer:
    """`_license`: ours is free."""
    own = {
        "status": "active",
        "uid": await uuid(call),
        "type": "basic",
        "issued_to": "mamimon",
        "issuer": "mamimon",
    }
    return Answer({"license": own})


async def nodes(call: Call) -> Answer:
    """`_nodes`: one, this one."""
    node = {
        "name": "mamimon",
        "version": VERSION,
        "roles": ["data", "ingest", "master"],
        "http": {"publish_address": call.core.base_url.partition("://")[2]},
    }
    return Answer({"_nodes": _SHARDS, "cluster_name": "mamimon", "nodes": {await uuid(call): node}})


def filter_path(body: Any, spec: str) -> Any:
    """Only the parts of an answer that `filter_path` names (with `*`, `**` and `-` to leave out)."""
    for part in (one.strip() for one in spec.split(",")):
        if part.startswith("-"):
            body = _leave(body, part[1:].split("."))
    takes = [
        one.strip().split(".") for one in spec.split(",") if one.strip() and not one.strip().startswith("-")
    ]
    if not takes:
        return body
    kept = _take(body, takes)
    return {} if kept is None else kept


def _next(key: str, paths: list[list[str]]) -> tuple[bool, list[list[str]]]:
    whole, deeper = False, []
    for path in paths:
        if path[0] == "**":
            deeper.append(path)
        step, *rest = (path[1:] or ["*"]) if path[0] == "**" else path
        if fnmatch.fnmatchcase(key, step):
            if rest:
                deeper.append(rest)
            else:
                whole = True
    return whole, deeper


def _take(body: Any, paths: list[list[str]]) -> Any:
    if isinstance(body, list):
        return [part for part in (_take(one, paths) for one in body) if part is not None] or None
    if not isinstance(body, dict):
        return None
    kept: dict[str, Any] = {}
    for key, value in body.items():
        whole, deeper = _next(key, paths)
        inner = value if whole else _take(value, deeper) if deeper else None
        if inner is not None or whole:
            kept[key] = inner
    return kept or None


def _leave(body: Any, path: list[str]) -> Any:
    if isinstance(body, list):
        return [_leave(one, path) for one in body]
    if not isinstance(body, dict):
        return body
    kept = {}
    for key, value in body.items():
        whole, deeper = _next(key, [path])
        if not whole:
            kept[key] = _leave(value, deeper[0]) if deeper else value
    return kept


_INDEX = r"/(?P<index>[^/_][^/]*|_all)"
ROUTES = (
    ("GET|HEAD", r"/?", root),
    ("GET", rf"/_cluster/health(?:{_INDEX})?", health),
    ("GET|POST", rf"(?:{_INDEX})?/_(?:refresh|flush|forcemerge)", shards_done),
    ("GET", r"/_resolve/index/(?P<index>[^/]+)", resolve),
    ("GET", r"/_license", license),
    ("GET", r"/_nodes(?:/.*)?", nodes),
    ("GET|HEAD", _INDEX, get_index),
)
