"""The request and response examples of Elasticsearch's API specification.

A request passes where it is answered 2xx on a server that holds what it names; a response passes
where the answer to its request has every key that the example shows at the top.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.conformance.elasticsearch.door import Door, Outcome, Reply, ndjson


def run(door: Door, root: Path) -> list[Outcome]:
    """Every example of every call."""
    outcomes: list[Outcome] = []
    for folder in sorted({path.parent.parent for path in root.rglob("*.yaml")}):
        call = str(folder.relative_to(root).parent)
        first: Reply | None = None
        for path in sorted(folder.glob("request/*.yaml")):
            example = yaml.safe_load(path.read_text(encoding="utf-8"))
            reply = _send(door, example)
            first = first or reply
            failure = "" if reply.status < 300 else f"{reply.status}: {reply.text[:160]}"
            outcomes.append(Outcome(f"examples/{call}:{path.stem}", failure))
        for path in sorted(folder.glob("*response/*.yaml")):
            example = yaml.safe_load(path.read_text(encoding="utf-8"))
            outcomes.append(Outcome(f"examples/{call}:{path.stem}", _shape(example, first)))
    return outcomes


def _send(door: Door, example: dict[str, Any]) -> Reply:
    line = str(example["method_request"]).strip()
    method, _, target = line.partition(" ")
    path, _, query = target.strip().partition("?")
    params = dict(part.partition("=")[::2] for part in query.split("&") if part)
    door.empty()
    name = path.strip("/").partition("/")[0]
    if name and name[0] not in "_<%" and method != "PUT":
        for one in name.split(","):
            filled = [
                {"create": {"_index": one.replace("*", "1"), "_id": "1"}},
                {"user": {"id": "kimchy"}, "message": "a"},
            ]
            door.ask("POST", "/_bulk", content=ndjson(filled))
    content = example.get("value") or ""
    if not isinstance(content, str):
        content = msgspec.json.encode(content).decode()
    if "_bulk" in path or "_msearch" in path:
        content = content.rstrip() + "\n"
    return door.ask(
        method, path, params=params, content=re.sub(r'"""(.*?)"""', '""', content, flags=re.S).encode()
    )


def _shape(example: dict[str, Any], reply: Reply | None) -> str:
    if reply is None or reply.status >= 300:
        return "its request was not answered"
    value = example.get("value") or ""
    try:
        wanted = msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError:
        return "" if reply.text else "an empty answer"
    if isinstance(wanted, list):
        wanted, actual = wanted[0], (reply.body or [{}])[0] if isinstance(reply.body, list) else None
    else:
        actual = reply.body
    if not isinstance(actual, dict):
        return "the answer is no object"
    missing = [key for key in wanted if key not in actual]
    return f"{', '.join(missing)} missing" if missing else ""
