"""OpenSearch's API stories: prologues prepare, each chapter is a case, epilogues clean up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.elasticsearch.door import Door, Outcome, Reply, difference, ndjson, text


def run(door: Door, root: Path) -> list[Outcome]:
    """Every chapter of every story; one that only managed services have is left out."""
    outcomes: list[Outcome] = []
    for path in sorted(root.rglob("*.yaml")):
        story = yaml.safe_load(path.read_text(encoding="utf-8"))
        door.empty()
        kept: dict[str, Any] = {}
        for step in story.get("prologues", []):
            _ask(door, step, kept)
        seen: dict[str, int] = {}
        for chapter in story.get("chapters", []):
            included = chapter.get("distributions", {}).get("included")
            if included and not any("opensearch.org" in name for name in included):
                continue
            name = chapter["synopsis"].strip().rstrip(".")
            seen[name] = seen.get(name, 0) + 1
            place = f"stories/{path.relative_to(root)}:{name}" + (f" #{seen[name]}" if seen[name] > 1 else "")
            methods = chapter["method"] if isinstance(chapter["method"], list) else [chapter["method"]]
            failures = [_judge(chapter, _ask(door, {**chapter, "method": m}, kept)) for m in methods]
            outcomes.append(Outcome(place, next(filter(None, failures), "")))
    return outcomes


def _judge(chapter: dict[str, Any], reply: Reply) -> str:
    response = chapter.get("response") or {}
    wanted = response.get("status")
    allowed = {200, 201} if wanted is None else {wanted}
    if reply.status not in allowed:
        return f"{reply.status} instead of {wanted or 200}: {reply.text[:160]}"
    kind = response.get("content_type")
    if kind and reply.kind.partition(";")[0] != kind:
        return f"{reply.kind} instead of {kind}"
    if "payload" not in response:
        return ""
    wanted = response["payload"]
    return difference(wanted, reply.text if isinstance(wanted, str) else reply.body)


def _ask(door: Door, step: dict[str, Any], kept: dict[str, Any]) -> Reply:
    path = step["path"]
    params = {name: _filled(value, kept) for name, value in (step.get("parameters") or {}).items()}
    for name in re.findall(r"\{(\w+)\}", path):
        path = path.replace(f"{{{name}}}", text(params.pop(name, "")))
    request = step.get("request") or {}
    payload = _filled(request.get("payload"), kept)
    if payload is None:
        content = b""
    elif isinstance(payload, list) and "ndjson" in request.get("content_type", ""):
        content = ndjson(payload)
    else:
        content = json.dumps(payload).encode()
    headers = {
        "content-type": request.get("content_type", "application/json"),
        **(request.get("headers") or {}),
    }
    reply = door.ask(step["method"], path, params=params, content=content, headers=headers)
    for name, source in (step.get("output") or {}).items():
        value = {"payload": reply.body}
        for part in source.replace("[", ".").replace("]", "").split("."):
            if isinstance(value, list):
                value = value[int(part)] if int(part) < len(value) else None
            else:
                value = (value or {}).get(part)
        kept[f"{step.get('id', '')}.{name}"] = value
    return reply


def _filled(value: Any, kept: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, kept) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, kept) for one in value]
    if isinstance(value, str) and (found := re.fullmatch(r"\$\{([\w.]+)\}", value)):
        return kept.get(found[1])
    return value
