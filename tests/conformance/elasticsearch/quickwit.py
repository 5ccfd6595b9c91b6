"""Quickwit's REST scenarios, run as their files are run against Elasticsearch.

A folder is a suite: `_ctx.yaml` (and `_ctx.elasticsearch.yaml`) are defaults of every step, and
`_setup.elasticsearch.yaml` prepares. Suites that were written for Quickwit's index alone have only
a set-up by its own API, whose two calls (make an index, ingest) are said in Elasticsearch's words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.conformance.elasticsearch.door import Door, Outcome, difference, ndjson

_OWN = "http://localhost:7280/api/v1/"
# What only speaks Quickwit's own search API.
_OTHERS = {"qw_search_api", "default_search_fields"}


def run(door: Door, root: Path) -> list[Outcome]:
    """Every step of every scenario."""
    outcomes: list[Outcome] = []
    for suite in sorted(path for path in root.iterdir() if path.is_dir() and path.name not in _OTHERS):
        door.empty()
        _suite(door, root, suite, {}, outcomes)
    return outcomes


def _suite(door: Door, root: Path, folder: Path, outer: dict[str, Any], outcomes: list[Outcome]) -> None:
    context = dict(outer)
    for name in ("_ctx.yaml", "_ctx.elasticsearch.yaml"):
        for part in _steps(folder / name):
            context.update(part)
    only_quickwit = not (folder / "_setup.elasticsearch.yaml").exists() and context.get("engines")
    setup = folder / ("_setup.quickwit.yaml" if _quickwits(folder) else "_setup.elasticsearch.yaml")
    for step in _steps(setup):
        _do(door, {**context, **step, "status_code": None}, folder, {})
    for path in sorted(folder.glob("[0-9]*.yaml")):
        kept: dict[str, Any] = {}
        for number, step in enumerate(_steps(path), 1):
            whole = {**context, **step}
            engines = whole.get("engines", ["elasticsearch"])
            if "elasticsearch" not in engines and not (only_quickwit or _quickwits(folder)):
                continue
            if not _elastic(whole):
                continue
            failure = _do(door, whole, folder, kept)
            outcomes.append(Outcome(f"quickwit/{path.relative_to(root)}:{number}", failure))
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        _suite(door, root, inner, context, outcomes)


def _quickwits(folder: Path) -> bool:
    """Whether the suite has only Quickwit's own set-up."""
    return (folder / "_setup.quickwit.yaml").exists() and not (folder / "_setup.elasticsearch.yaml").exists()


def _steps(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def _elastic(step: dict[str, Any]) -> bool:
    root = str(step.get("api_root", ""))
    return "_elastic" in root or "9200" in root or str(step.get("endpoint", "")).startswith("_elastic/")


def _do(door: Door, step: dict[str, Any], folder: Path, kept: dict[str, Any]) -> str:
    methods = step.get("method", "GET")
    for method in [methods] if isinstance(methods, str) else methods:
        if failure := _once(door, method, step, folder, kept):
            return f"{method}: {failure}"
    return ""


def _once(door: Door, method: str, step: dict[str, Any], folder: Path, kept: dict[str, Any]) -> str:
    method, path, content = _translated(method, step, folder, kept)
    if not path and not method:
        return ""
    params = _filled(step.get("params"), kept)
    if path.endswith("/_bulk") and not _elastic(step):
        # Its own ingest can be told when to commit; `_bulk` answers after the commit anyway.
        params = {name: value for name, value in (params or {}).items() if name != "commit"}
    reply = door.ask(method, path, params=params, content=content, headers=step.get("headers"))
    wanted = step.get("status_code", 200)
    if wanted is not None and reply.status != wanted:
        return f"{reply.status} instead of {wanted}: {reply.text[:160]}"
    for name, source in (step.get("store") or {}).items():
        kept[name] = (
            eval(source, {"__builtins__": {}}, {"val": reply.body})
            if "val" in source
            else reply.body.get(source)
        )
    if reply.body is not None:
        kept["$previous"] = reply.body
    return difference(step["expected"], reply.body) if "expected" in step else ""


def _translated(
    method: str, step: dict[str, Any], folder: Path, kept: dict[str, Any]
) -> tuple[str, str, bytes]:
    path = str(step.get("endpoint", "")).lstrip("/")
    lines = step.get("ndjson", step.get("shuffle_ndjson"))
    if "json" in step:
        content = ndjson([_filled(step["json"], kept)])
    elif lines is not None:
        content = ndjson(lines)
    elif "body_from_file" in step:
        content = (folder / step["body_from_file"]).read_bytes()
    else:
        content = b""
    if _elastic(step):
        return method, path.removeprefix("_elastic/"), content
    if path.rstrip("/") == "indexes" and method == "POST":
        return "PUT", step["json"]["index_id"], b""
    if path.startswith("indexes/") and method == "DELETE":
        return "DELETE", path.removeprefix("indexes/"), b""
    if path.endswith("/ingest") and lines is not None:
        made = [part for line in lines for part in ({"index": {}}, line)]
        return "POST", path.removesuffix("/ingest") + "/_bulk", ndjson(made)
    return "", "", b""


def _filled(value: Any, kept: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$previous" in value:
            return eval(value["$previous"], {"__builtins__": {}}, {"val": kept["$previous"]})
        if "$store" in value:
            return kept[value["$store"]]
        return {key: _filled(one, kept) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, kept) for one in value]
    if isinstance(value, str) and value.startswith("$") and value[1:] in kept:
        return kept[value[1:]]
    return value
