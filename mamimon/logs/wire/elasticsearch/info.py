"""What clients ask before they work: who are you, how are you, what is there."""

from __future__ import annotations

import fnmatch
import time
from functools import partial
from typing import Any

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.dates import iso
from mamimon.logs.store.day import installation_id
from mamimon.logs.wire.elasticsearch import search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, unknown_index
from mamimon.logs.wire.elasticsearch.names import parse_names

VERSION = "9.2.0"
_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "indices": (
        ("health", "h"), ("status", "s"), ("index", "i"), ("uuid", "id"), ("pri", "p"), ("rep", "r"),
        ("docs.count", "dc"), ("docs.deleted", "dd"), ("store.size", "ss"), ("pri.store.size", "pss"),
        ("dataset.size", "ds"), ("creation.date", "cd"), ("creation.date.string", "cds"),
    ),
    "health": (
        ("epoch", "t"), ("timestamp", "ts"), ("cluster", "cl"), ("status", "st"), ("node.total", "nt"),
        ("node.data", "nd"), ("shards", "t"), ("pri", "p"), ("relo", "r"), ("init", "i"), ("unassign", "u"),
        ("pending_tasks", "pt"), ("max_task_wait_time", "mtwt"), ("active_shards_percent", "asp"),
    ),
    "count": (("epoch", "t"), ("timestamp", "ts"), ("count", "dc")),
}  # fmt: skip
_SHOWN = {"indices": 11, "health": 14, "count": 3}


async def root(call: Call) -> Answer:
    """`GET /`."""
    return Answer(
        {
            "name": "mamimon",
            "cluster_name": "mamimon",
            "cluster_uuid": await _uuid(call),
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


async def _uuid(call: Call) -> str:
    return (await call.core.state.read(installation_id))[:22]


async def cat_indices(call: Call) -> Answer:
    """`_cat/indices`."""
    health = call.params.get("health")
    if health is not None and health not in {"green", "yellow", "red"}:
        raise illegal(f"unknown cluster health status [{health[:40]}]")
    names = parse_names(call.parts.get("index", ""), call.now)
    await search.check_names(call.room, names, lenient=call.lenient)
    infos = names.pick(await call.room.catalogue.all()) if health in {None, "green"} else []
    rows = [_index_row(info, call) for info in infos]
    return _table(call, "indices", rows)


def _index_row(info: IndexInfo, call: Call) -> dict[str, str]:
    size = str(info.size) if call.params.get("bytes") == "b" else _size(info.size)
    return {
        "health": "green", "status": "open", "index": info.index, "uuid": _pseudo_uuid(info.index),
        "pri": "1",
        "rep": "0", "docs.count": str(info.docs), "docs.deleted": str(info.deleted), "store.size": size,
        "pri.store.size": size, "dataset.size": size, "creation.date": str(int(info.created * 1000)),
        "creation.date.string": iso(info.created),
    }  # fmt: skip


def _pseudo_uuid(name: str) -> str:
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest())[:22].decode()


def _size(value: int) -> str:
    number = float(value)
    for unit in ("b", "kb", "mb", "gb"):
        if number < 1024:
            return f"{number:.1f}".removesuffix(".0") + unit
        number /= 1024
    return f"{number:.1f}tb"


async def cat_health(call: Call) -> Answer:
    """`_cat/health`."""
    now = call.now
    row = {
        "epoch": str(int(now)), "timestamp": time.strftime("%H:%M:%S", time.gmtime(now)),
        "cluster": "mamimon",
        "status": _status(call), "node.total": "1", "node.data": "1", "shards": "1", "pri": "1", "relo": "0",
        "init": "0", "unassign": "0", "pending_tasks": "0", "max_task_wait_time": "-",
        "active_shards_percent": "100.0%",
    }  # fmt: skip
    return _table(call, "health", [row])


async def cat_count(call: Call) -> Answer:
    """`_cat/count`."""
    request = search.read_request(call.room, call.parts.get("index", ""), {}, {}, call.now)
    total, _ = await search.count(call.room, request, lenient=call.lenient)
    row = {
        "epoch": str(int(call.now)),
        "timestamp": time.strftime("%H:%M:%S", time.gmtime(call.now)),
        "count": str(total),
    }
    return _table(call, "count", [row])


def _table(call: Call, name: str, rows: list[dict[str, str]]) -> Answer:
    columns = _COLUMNS[name]
    if "help" in call.params and call.flag("help"):
        width = max(len(column) for column, _ in columns)
        return Answer("".join(f"{column:<{width}} | {short} | {column}\n" for column, short in columns))
    names = [column for column, _ in columns][: _SHOWN[name]]
    if "h" in call.params:
        names = [
            column
            for asked in call.params["h"].split(",")
            for column, short in columns
            if asked in {column, short} or ("*" in asked and fnmatch.fnmatchcase(column, asked))
        ]
    for key in reversed([part for part in call.params.get("s", "").split(",") if part]):
        field, _, way = key.partition(":")
        rows.sort(key=partial(_cell_order, field), reverse=way == "desc")
    if call.params.get("format") == "json":
        return Answer([{column: row[column] for column in names} for row in rows])
    lines = [[row[column] for column in names] for row in rows]
    if call.flag("v"):
        lines.insert(0, names)
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))] if lines else []
    return Answer(
        "".join(
            " ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() + "\n"
            for line in lines
        )
    )


def _cell_order(field: str, row: dict[str, str]) -> tuple[int, str]:
    cell = row.get(field, "")
    return (len(cell), cell) if cell.isdigit() else (0, cell)


def _status(call: Call) -> str:
    return "green" if call.core.writable() and not call.room.store.damaged else "yellow"


async def health(call: Call) -> Answer:
    """`_cluster/health`."""
    return Answer(
        {
            "cluster_name": "mamimon", "status": _status(call), "timed_out": False, "number_of_nodes": 1,
            "number_of_data_nodes": 1, "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
            "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
            "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0,
            "task_max_waiting_in_queue_millis": 0,
            "active_shards_percent_as_number": 100.0,
        }
    )  # fmt: skip


async def shards_done(call: Call) -> Answer:
    """`_refresh`, `_flush` and `_forcemerge`: what is acknowledged can be searched already."""
    names = parse_names(call.parts.get("index", ""), call.now)
    await search.check_names(call.room, names, call.lenient)
    return Answer({"_shards": _SHARDS})


async def get_index(call: Call) -> Answer:
    """`GET` and `HEAD /<index>`."""
    names = parse_names(call.parts["index"], call.now)
    await search.check_names(call.room, names, call.lenient)
    return Answer(
        {
            info.index: {
                "aliases": {},
                "mappings": {},
                "settings": {
                    "index": {
                        "number_of_shards": "1",
                        "number_of_replicas": "0",
                        "uuid": _pseudo_uuid(info.index),
                    }
                },
            }
            for info in names.pick(await call.room.catalogue.all())
        }
    )


async def resolve(call: Call) -> Answer:
    """`_resolve/index`."""
    names = parse_names(call.parts["index"], call.now)
    await search.check_names(call.room, names, call.lenient)
    infos = names.pick(await call.room.catalogue.all())
    return Answer(
        {
            "indices": [{"name": i.index, "attributes": ["open"]} for i in infos],
            "aliases": [],
            "data_streams": [],
        }
    )


async def license(call: Call) -> Answer:
    """`_license`: ours is free."""
    own = {
        "status": "active",
        "uid": await _uuid(call),
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
    return Answer({"_nodes": _SHARDS, "cluster_name": "mamimon", "nodes": {await _uuid(call): node}})


async def aliases(call: Call) -> Answer:
    """`_alias`: there are none but the datasets' own names."""
    if call.parts.get("name"):
        raise EsError(404, "aliases_not_found_exception", f"alias [{call.parts['name']}] missing")
    return Answer({info.index: {"aliases": {}} for info in await call.room.catalogue.all()})


async def data_stream(call: Call) -> Answer:
    """`_data_stream`: there are none; a dataset without its dates is looked at through `logs-<dataset>`."""
    name = call.parts.get("name", "")
    if call.method == "PUT":
        raise illegal(f"no matching index template found for data stream [{name[:80]}]")
    if name and "*" not in name:
        raise unknown_index(name)
    return Answer({"data_streams": []} if call.method == "GET" else {"acknowledged": True})


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
    ("GET", rf"/_cat/indices(?:{_INDEX})?", cat_indices),
    ("GET|HEAD", r"/_cat/health", cat_health),
    ("GET", rf"/_cat/count(?:{_INDEX})?", cat_count),
    ("GET", rf"/_cluster/health(?:{_INDEX})?", health),
    ("GET|POST", rf"(?:{_INDEX})?/_(?:refresh|flush|forcemerge)", shards_done),
    ("GET", r"/_resolve/index/(?P<index>[^/]+)", resolve),
    ("GET", r"/_license", license),
    ("GET", r"/_nodes(?:/.*)?", nodes),
    ("GET", r"(?:/[^/_][^/]*)?/_alias(?:es)?(?:/(?P<name>[^/]+))?", aliases),
    ("GET|PUT|DELETE", r"/_data_stream(?:/(?P<name>[^/]+))?", data_stream),
    ("GET|HEAD", _INDEX, get_index),
)
