"""Data streams, which newer shippers write to: an index of the stream's own name, kept by all its days.

A stream needs an index template that says so, as in Elasticsearch. Its lines are dropped day by day
with all others, so it never rolls over.
"""

from __future__ import annotations

import fnmatch
from functools import partial
from typing import Any

from mamimon.logs.store import definitions as store
from mamimon.logs.wire.elasticsearch import documents, info
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.definitions import kept
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, unknown_index

_KIND = "_data_stream"


async def _template(call: Call, name: str) -> str:
    """The template that makes a stream of a name: the one of the highest priority that matches."""
    best, found = -1, ""
    for template, body in (await kept(call, "_index_template")).items():
        patterns = body.get("index_patterns", [])
        patterns = patterns if isinstance(patterns, list) else [patterns]
        rank = int(body.get("priority", 0))
        if "data_stream" in body and rank > best and any(fnmatch.fnmatchcase(name, one) for one in patterns):
            best, found = rank, template
    return found


async def _meant(call: Call) -> list[str]:
    patterns = [part for part in call.parts.get("name", "").split(",") if part] or ["*"]
    names = await kept(call, _KIND)
    for part in patterns:
        if "*" not in part and part not in names:
            raise unknown_index(part)
    return [name for name in names if any(fnmatch.fnmatchcase(name, part) for part in patterns)]


async def put(call: Call) -> Answer:
    """`PUT _data_stream/<name>`."""
    name = call.parts["name"]
    if not await _template(call, name):
        raise illegal(f"no matching index template found for data stream [{name[:80]}]")
    if name in await kept(call, _KIND):
        raise EsError(400, "resource_already_exists_exception", f"data_stream [{name}] already exists")
    call.parts["index"], call.body = name, b""
    made = await documents.create_index(call)
    await call.core.state.write(partial(store.put, kind=_KIND, name=name, body=b"{}", now=call.now))
    return Answer({"acknowledged": True}, headers=made.headers)


async def get(call: Call) -> Answer:
    """`GET _data_stream`."""
    streams = [await _shown(call, name) for name in await _meant(call)]
    return Answer({"data_streams": streams})


async def _shown(call: Call, name: str) -> dict[str, Any]:
    return {
        "name": name, "timestamp_field": {"name": "@timestamp"},
        "indices": [{"index_name": name, "index_uuid": info.pseudo_uuid(name)}], "generation": 1,
        "status": info.status(call).upper(), "template": await _template(call, name), "hidden": False,
        "system": False, "allow_custom_routing": False, "replicated": False, "rollover_on_write": False,
    }  # fmt: skip


async def delete(call: Call) -> Answer:
    """`DELETE _data_stream/<name>`: with its lines."""
    for name in await _meant(call):
        call.parts["index"] = name
        call.params["ignore_unavailable"] = "true"
        await documents.delete_index(call)
        await call.core.state.write(partial(store.delete, kind=_KIND, names=[name]))
    return Answer({"acknowledged": True})


_NAME = r"/(?P<name>[^/_][^/]*)"
ROUTES = (
    ("GET", rf"/_data_stream(?:{_NAME})?", get),
    ("PUT", rf"/_data_stream{_NAME}", put),
    ("DELETE", rf"/_data_stream{_NAME}", delete),
)
