"""Templates, life-cycle policies and ingest pipelines, which shippers install before they write.

They are kept and given back as they were sent. None of them changes how lines are stored, and the
answer to whoever installs one says so in a `Warning` header, which Elasticsearch's clients show. A
pipeline that would change lines is refused, because storing them unchanged would be untrue.
"""

from __future__ import annotations

import fnmatch
from functools import partial
from typing import Any

import msgspec

from mamimon.logs.dates import iso
from mamimon.logs.store import definitions as store
from mamimon.logs.store.definitions import Definition
from mamimon.logs.wire.elasticsearch import search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal

_LONGEST_BYTES = 1 << 20
_KINDS = {
    "_index_template": "index template",
    "_component_template": "component template",
    "_template": "template",
    "_ilm/policy": "lifecycle policy",
    "_ingest/pipeline": "pipeline",
}
_SAID = {
    "_ilm/policy": "life-cycle policies are kept but not run; logs.retention_days says how long lines stay",
    "_ingest/pipeline": "",
}
_TEMPLATES = "templates are kept but change nothing; every field of a line can be searched without a mapping"


async def put(call: Call) -> Answer:
    """`PUT`: keep one."""
    kind, name = call.parts["kind"], call.parts["name"]
    if not name or "*" in name or "," in name or len(name.encode()) > 255:
        raise illegal(f"invalid {_KINDS[kind]} name [{name[:80]}]")
    if len(call.body) > _LONGEST_BYTES:
        raise illegal(f"a {_KINDS[kind]} may have {_LONGEST_BYTES} bytes")
    body = search.object_of(call.body)
    _check(kind, name, body)
    if call.flag("create") and any(one.name == name for one in await _all(call, kind)):
        raise illegal(f"{_KINDS[kind]} [{name}] already exists")
    await call.core.state.write(
        partial(store.put, kind=kind, name=name, body=msgspec.json.encode(body), now=call.now)
    )
    said = _SAID.get(kind, _TEMPLATES)
    return Answer({"acknowledged": True}, headers=warned(said) if said else [])


def warned(text: str) -> list[tuple[str, str]]:
    """A `Warning` header as Elasticsearch writes one."""
    return [("warning", f'299 Elasticsearch-9.2.0-mamimon "{text}"')]


def _check(kind: str, name: str, body: dict[str, Any]) -> None:
    if kind in {"_index_template", "_template"} and not body.get("index_patterns"):
        raise EsError(
            400, "action_request_validation_exception", "Validation Failed: 1: index patterns are missing;"
        )
    if kind == "_component_template" and not isinstance(body.get("template"), dict):
        raise illegal("Required [template]")
    if kind == "_ilm/policy" and not isinstance(body.get("policy"), dict):
        raise illegal("Required [policy]")
    if kind == "_ingest/pipeline":
        processors = body.get("processors")
        if not isinstance(processors, list):
            raise EsError(
                400,
                "parse_exception",
                "[processors] required property is missing",
                property_name="processors",
            )
        if processors:
            first = next(iter(processors[0]), "") if isinstance(processors[0], dict) else str(processors[0])
            raise EsError(
                400,
                "parse_exception",
                f"No processor type exists with name [{first[:80]}]",
                processor_type=first[:80],
            )


async def read(call: Call) -> Answer:
    """`GET` and `HEAD`: those that are kept."""
    kind, name = call.parts["kind"], call.parts["name"]
    found = _meant(await _all(call, kind), name)
    missing = _missing(found, name)
    if missing and kind in {"_template", "_ingest/pipeline"} and not found:
        return Answer({}, 404)
    if missing and kind == "_ilm/policy":
        raise _none(f"Lifecycle policy not found: {missing}")
    if missing and not found:
        raise _none(f"{_KINDS[kind]} matching [{missing}] not found")
    if kind in {"_index_template", "_component_template"}:
        one = kind[1:]
        return Answer({one + "s": [{"name": d.name, one: msgspec.Raw(d.body)} for d in found]})
    if kind == "_ilm/policy":
        return Answer({d.name: _policy(d) for d in found})
    return Answer({d.name: msgspec.Raw(d.body) for d in found})


def _policy(one: Definition) -> dict[str, Any]:
    return {
        "version": one.version,
        "modified_date": iso(one.updated_at),
        "policy": msgspec.json.decode(one.body)["policy"],
        "in_use_by": {"indices": [], "data_streams": [], "composable_templates": []},
    }


async def delete(call: Call) -> Answer:
    """`DELETE`: forget some."""
    kind, name = call.parts["kind"], call.parts["name"]
    found = _meant(await _all(call, kind), name)
    missing = _missing(found, name)
    if missing or not found:
        if kind in {"_index_template", "_template"}:
            raise EsError(404, "index_template_missing_exception", f"index_template [{name}] missing")
        if kind == "_ilm/policy":
            raise _none(f"Lifecycle policy not found: {name}")
        raise _none(f"{_KINDS[kind]} [{name}] is missing")
    await call.core.state.write(partial(store.delete, kind=kind, names=[one.name for one in found]))
    return Answer({"acknowledged": True})


async def kept(call: Call, kind: str) -> dict[str, Any]:
    """Those of a kind as they were sent, by name."""
    return {one.name: msgspec.json.decode(one.body) for one in await _all(call, kind)}


async def check_pipeline(call: Call) -> None:
    """Refuse a write through a pipeline that is not there."""
    name = call.params.get("pipeline", "_none")
    if name != "_none" and name not in await pipeline_names(call):
        raise illegal(f"pipeline with id [{name[:80]}] does not exist")


async def pipeline_names(call: Call) -> frozenset[str]:
    """The pipelines that a write may name; they do nothing, as they have no processors."""
    return frozenset({"_none", *(one.name for one in await _all(call, "_ingest/pipeline"))})


async def _all(call: Call, kind: str) -> list[Definition]:
    return await call.core.state.read(partial(store.read, kind=kind))


def _meant(kept: list[Definition], text: str) -> list[Definition]:
    patterns = [part for part in text.split(",") if part] or ["*"]
    return [one for one in kept if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in patterns)]


def _missing(found: list[Definition], text: str) -> str:
    names = {one.name for one in found}
    return ",".join(part for part in text.split(",") if part and "*" not in part and part not in names)


def _none(reason: str) -> EsError:
    return EsError(404, "resource_not_found_exception", reason)


_KIND = r"/(?P<kind>_index_template|_component_template|_template|_ilm/policy|_ingest/pipeline)"
ROUTES = (
    ("GET|HEAD", _KIND + r"(?:/(?P<name>[^/]+))?", read),
    ("PUT|POST", _KIND + r"/(?P<name>[^/]+)", put),
    ("DELETE", _KIND + r"/(?P<name>[^/]+)", delete),
)
