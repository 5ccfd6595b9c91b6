"""The `_cat` family: tables for people in text, for programs in JSON or YAML."""

from __future__ import annotations

import fnmatch
import time
from functools import partial

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.dates import iso
from mamimon.logs.wire.elasticsearch import info, search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.definitions import kept
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal
from mamimon.logs.wire.elasticsearch.parameters import check_values
from mamimon.logs.wire.elasticsearch.request import read_request

_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "indices": (
        ("health", "h"), ("status", "s"), ("index", "i"), ("uuid", "id"), ("pri", "p"), ("rep", "r"),
        ("docs.count", "dc"), ("docs.deleted", "dd"), ("store.size", "ss"), ("pri.store.size", "pss"),
        ("dataset.size", "ds"), ("creation.date", "cd"), ("creation.date.string", "cds"),
    ),
    "health": (
        ("epoch", "t"), ("timestamp", "ts"), ("cluster", "cl"), ("status", "st"), ("node.total", "nt"),
        ("node.data", "nd"), ("shards", "t"), ("pri", "p"), ("relo", "r"), ("init", "i"), ("unassign", "u"),
        ("unassign.pri", "up"), ("pending_tasks", "pt"), ("max_task_wait_time", "mtwt"),
        ("active_shards_percent", "asp"),
    ),
    "count": (("epoch", "t"), ("timestamp", "ts"), ("count", "dc")),
    "aliases": (
        ("alias", "a"), ("index", "i"), ("filter", "f"), ("routing.index", "ri"), ("routing.search", "rs"),
        ("is_write_index", "w"),
    ),
    "nodes": (
        ("ip", "i"), ("heap.percent", "hp"), ("ram.percent", "rp"), ("cpu", "cpu"), ("load_1m", "l"),
        ("load_5m", "l5"), ("load_15m", "l15"), ("node.role", "r"), ("master", "m"), ("name", "n"),
    ),
    "master": (("id", "id"), ("host", "h"), ("ip", "ip"), ("node", "n")),
    "templates": (
        ("name", "n"), ("index_patterns", "t"), ("order", "o"), ("version", "v"), ("composed_of", "c"),
    ),
    "shards": (
        ("index", "i"), ("shard", "s"), ("prirep", "p"), ("state", "st"), ("docs", "d"), ("store", "sto"),
        ("dataset", "ds"), ("ip", "ip"), ("node", "n"),
    ),
    "plugins": (("name", "n"), ("component", "c"), ("version", "v")),
}  # fmt: skip
_SHOWN = {"indices": 11, "health": 15}
_ONLY = {
    "health": {"indices"}, "pri": {"indices"}, "include_unloaded_segments": {"indices"},
    "expand_wildcards": {"indices", "aliases"}, "full_id": {"nodes"}, "ts": {"health", "count"},
}  # fmt: skip
"""Tables that have a parameter, where not all do."""
_PARAMS = {
    "v", "h", "s", "help", "format", "bytes", "time", "ts", "health", "pretty", "human", "filter_path",
    "error_trace", "local", "master_timeout", "cluster_manager_timeout", "expand_wildcards",
    "allow_no_indices",     "ignore_unavailable", "include_unloaded_segments", "pri", "full_id", "timeout",
}  # fmt: skip


async def indices(call: Call) -> Answer:
    """`_cat/indices`."""
    health = call.params.get("health")
    if health is not None and health not in {"green", "yellow", "red"}:
        raise illegal(f"unknown cluster health status [{health[:40]}]")
    names = call.names()
    await search.check_names(call.room, names, lenient=call.lenient)
    found = names.pick(await call.room.catalogue.all()) if health in {None, "green"} else []
    return table(call, "indices", [_index_row(one, call) for one in found])


def _index_row(one: IndexInfo, call: Call) -> dict[str, str]:
    size = _size(one.size, call)
    return {
        "health": "green", "status": "open", "index": one.index, "uuid": info.pseudo_uuid(one.index),
        "pri": "1", "rep": "0", "docs.count": str(one.docs), "docs.deleted": str(one.deleted),
        "store.size": size, "pri.store.size": size, "dataset.size": size,
        "creation.date": str(int(one.created * 1000)), "creation.date.string": iso(one.created),
    }  # fmt: skip


def _size(value: int, call: Call) -> str:
    unit = call.params.get("bytes")
    units = ("b", "kb", "mb", "gb", "tb")
    if unit in units:
        return str(value // 1024 ** units.index(unit))
    number = float(value)
    for name in units[:-1]:
        if number < 1024:
            return f"{number:.1f}".removesuffix(".0") + name
        number /= 1024
    return f"{number:.1f}tb"


async def health(call: Call) -> Answer:
    """`_cat/health`."""
    row = {
        **_moment(call), "cluster": "mamimon", "status": info.status(call), "node.total": "1",
        "node.data": "1", "shards": "1", "pri": "1", "relo": "0", "init": "0", "unassign": "0",
        "unassign.pri": "0", "pending_tasks": "0", "max_task_wait_time": "-",
        "active_shards_percent": "100.0%",
    }  # fmt: skip
    return table(call, "health", [row])


async def count(call: Call) -> Answer:
    """`_cat/count`; where not all lines could be counted in time it is an error, not a smaller number."""
    request = read_request(call.room, call.parts.get("index", ""), {}, {}, call.now)
    total, whole = await search.count(call.room, request, lenient=call.lenient)
    if not whole:
        raise EsError(
            503, "search_phase_execution_exception", "not all lines could be read; ask for fewer days"
        )
    return table(call, "count", [{**_moment(call), "count": str(total)}])


def _moment(call: Call) -> dict[str, str]:
    if not call.flag("ts", True):
        return {"epoch": "-", "timestamp": "-"}
    return {"epoch": str(int(call.now)), "timestamp": time.strftime("%H:%M:%S", time.gmtime(call.now))}


async def aliases(call: Call) -> Answer:
    """`_cat/aliases`."""
    wanted = [part for part in call.parts.get("name", "").split(",") if part] or ["*"]
    rows = [
        {
            "alias": alias, "index": index, "filter": "-", "routing.index": "-", "routing.search": "-",
            "is_write_index": str(options["is_write_index"]).lower() if "is_write_index" in options else "-",
        }
        for alias, of in sorted(call.room.aliases.items())
        if any(fnmatch.fnmatchcase(alias, part) for part in wanted)
        for index, options in sorted(of.items())
    ]  # fmt: skip
    return table(call, "aliases", rows)


async def nodes(call: Call) -> Answer:
    """`_cat/nodes`: one, this one."""
    import os

    import psutil

    load = [f"{value:.2f}" for value in os.getloadavg()]
    row = {
        "ip": "127.0.0.1", "heap.percent": str(round(psutil.Process().memory_percent())),
        "ram.percent": str(round(psutil.virtual_memory().percent)), "cpu": str(round(psutil.cpu_percent())),
        "load_1m": load[0], "load_5m": load[1], "load_15m": load[2], "node.role": "dim", "master": "*",
        "name": "mamimon",
    }  # fmt: skip
    return table(call, "nodes", [row])


async def master(call: Call) -> Answer:
    """`_cat/master`, which OpenSearch calls `_cat/cluster_manager`."""
    uuid = await info.uuid(call)
    return table(call, "master", [{"id": uuid, "host": "127.0.0.1", "ip": "127.0.0.1", "node": "mamimon"}])


async def templates(call: Call) -> Answer:
    """`_cat/templates`: those that were installed."""
    pattern = call.parts.get("name") or "*"
    rows: list[dict[str, str]] = []
    for kind, rank in (("_template", "order"), ("_index_template", "priority")):
        for name, body in (await kept(call, kind)).items():
            if fnmatch.fnmatchcase(name, pattern):
                patterns = body.get("index_patterns", [])
                patterns = patterns if isinstance(patterns, list) else [patterns]
                composed = ", ".join(body.get("composed_of", []))
                rows.append(
                    {
                        "name": name, "index_patterns": f"[{', '.join(map(str, patterns))}]",
                        "order": str(body.get(rank, 0)), "version": str(body.get("version", "")),
                        "composed_of": f"[{composed}]" if rank == "priority" else "",
                    }
                )  # fmt: skip
    return table(call, "templates", rows)


async def shards(call: Call) -> Answer:
    """`_cat/shards`: one an index."""
    names = call.names()
    await search.check_names(call.room, names, lenient=call.lenient)
    rows = [
        {
            "index": one.index, "shard": "0", "prirep": "p", "state": "STARTED", "docs": str(one.docs),
            "store": _size(one.size, call), "dataset": _size(one.size, call), "ip": "127.0.0.1",
            "node": "mamimon",
        }
        for one in names.pick(await call.room.catalogue.all())
    ]  # fmt: skip
    return table(call, "shards", rows)


async def plugins(call: Call) -> Answer:
    """`_cat/plugins`: there are none."""
    return table(call, "plugins", [])


async def listing(call: Call) -> Answer:
    """`_cat`: the tables there are."""
    return Answer("=^.^=\n" + "".join(f"/_cat/{name}\n" for name in sorted(_COLUMNS)))


def table(call: Call, name: str, rows: list[dict[str, str]]) -> Answer:
    """Rows in the columns, the order and the form that are asked for."""
    for param in call.params:
        if param not in _PARAMS or name not in _ONLY.get(param, {name}):
            raise illegal(f"request [{call.path}] contains unrecognized parameter: [{param[:80]}]")
    check_values(call.params)
    columns = _COLUMNS[name]
    if call.flag("help"):
        width = max(len(column) for column, _ in columns)
        return Answer("".join(f"{column:<{width}} | {short} | {column}\n" for column, short in columns))
    names = [column for column, _ in columns][: _SHOWN.get(name, 99)]
    if "h" in call.params:
        names = [
            column
            for asked in call.params["h"].split(",")
            for column, short in columns
            if asked in {column, short} or ("*" in asked and fnmatch.fnmatchcase(column, asked))
        ]
    full = {short: column for column, short in reversed(columns)}
    for key in reversed([part for part in call.params.get("s", "").split(",") if part]):
        field, _, way = key.partition(":")
        field = field if any(field == column for column, _ in columns) else full.get(field, "")
        if not field:
            raise illegal(f"Unable to sort by unknown sort key `{key[:60]}`")
        rows.sort(key=partial(_cell_order, field), reverse=way == "desc")
    if call.params.get("format", "text") != "text":
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


_INDEX = r"/(?P<index>[^/_][^/]*|_all)"
_NAME = r"/(?P<name>[^/]+)"
ROUTES = (
    ("GET|HEAD", r"/_cat", listing),
    ("GET|HEAD", rf"/_cat/indices(?:{_INDEX})?", indices),
    ("GET|HEAD", r"/_cat/health", health),
    ("GET|HEAD", rf"/_cat/count(?:{_INDEX})?", count),
    ("GET|HEAD", rf"/_cat/aliases(?:{_NAME})?", aliases),
    ("GET|HEAD", r"/_cat/nodes", nodes),
    ("GET|HEAD", r"/_cat/(?:master|cluster_manager)", master),
    ("GET|HEAD", rf"/_cat/templates(?:{_NAME})?", templates),
    ("GET|HEAD", rf"/_cat/shards(?:{_INDEX})?", shards),
    ("GET|HEAD", r"/_cat/plugins", plugins),
)
