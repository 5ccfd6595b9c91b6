"""The REST tests of the OpenSearch server: `do`, `match`, `catch`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.elasticsearch.door import Door, Outcome, Reply, difference, ndjson, text

# The API names that the files use, and where each goes.
_CALLS = {
    "bulk": ("POST", "/_bulk"),
    "count": ("GET", "/{index}/_count"),
    "cat.indices": ("GET", "/_cat/indices/{index}"),
    "indices.create": ("PUT", "/{index}"),
    "indices.close": ("POST", "/{index}/_close"),
    "indices.put_alias": ("PUT", "/{index}/_alias/{name}"),
}


def run(door: Door, root: Path) -> list[Outcome]:
    """Every named section of every file."""
    outcomes: list[Outcome] = []
    for path in sorted(root.rglob("*.yml")):
        for section in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            for name, steps in (section or {}).items():
                door.empty()
                outcomes.append(Outcome(f"rest/{path.relative_to(root)}:{name}", _section(door, steps)))
    return outcomes


def _section(door: Door, steps: list[dict[str, Any]]) -> str:
    last: Reply | None = None
    for step in steps:
        (kind, body), *_ = step.items()
        if kind == "do":
            last, failure = _do(door, dict(body))
        elif kind == "match":
            assert last is not None
            failure = _match(body, last)
        else:
            failure = f"the step {kind} is not known here"
        if failure:
            return failure
    return ""


def _do(door: Door, body: dict[str, Any]) -> tuple[Reply, str]:
    caught, headers = body.pop("catch", None), body.pop("headers", None)
    ((name, params),) = body.items()
    params = dict(params)
    content = params.pop("body", b"")
    if isinstance(content, str):
        content = content.encode()
    elif isinstance(content, list):
        content = ndjson(content)
    elif isinstance(content, dict):
        content = json.dumps(content).encode()
    method, path = _CALLS[name]
    for part in re.findall(r"/\{(\w+)\}", path):
        value = text(params.pop(part, ""))
        path = path.replace(f"/{{{part}}}", f"/{value}" if value else "")
    reply = door.ask(method, path, params=params, content=content, headers=headers)
    if caught is None:
        return reply, "" if reply.status < 400 else f"{name}: {reply.status} {reply.text[:160]}"
    if reply.status < 400:
        return reply, f"{name}: {reply.status} where an error is expected"
    if caught.startswith("/") and not re.search(caught.strip("/"), reply.text.replace('\\"', '"')):
        return reply, f"{name}: {reply.text[:160]} does not say {caught}"
    return reply, ""


def _match(wanted: dict[str, Any], reply: Reply) -> str:
    for path, value in wanted.items():
        if path == "$body":
            pattern = value.strip().removeprefix("/").removesuffix("/")
            if not re.search(pattern, reply.text, re.VERBOSE):
                return f"{reply.text[:160]!r} is not {pattern[:60]}"
            continue
        at: Any = reply.body
        for part in path.split("."):
            at = at[int(part)] if isinstance(at, list) else (at or {}).get(part)
        if failure := difference(value, at, path):
            return failure
    return ""
