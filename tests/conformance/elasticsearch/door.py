"""What the runners of other people's suites share: a door, outcomes, and the comparison of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx
import msgspec


class Outcome(msgspec.Struct):
    """One case: its place (`suite/file:case`) and why it failed, empty where it passed."""

    place: str
    failure: str = ""


class Reply(msgspec.Struct):
    """An answer: its status, its body as JSON where it is JSON, and as text."""

    status: int
    body: Any
    text: str
    kind: str


class Door:
    """The Elasticsearch API of a running server."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=f"{url}/es", timeout=60)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send one request; every answer must name the product, errors included."""
        kinds = {"content-type": "application/json", **{k.lower(): v for k, v in (headers or {}).items()}}
        answer = self.client.request(
            method, "/" + path.lstrip("/"), params=texts(params) or None, content=content, headers=kinds
        )
        assert answer.headers.get("x-elastic-product") == "Elasticsearch", f"{method} {path} has no product"
        try:
            body = answer.json()
        except ValueError:
            body = None
        return Reply(answer.status_code, body, answer.text, answer.headers.get("content-type", ""))

    def empty(self) -> None:
        """Delete every index, template and pipeline, so that a file starts from nothing."""
        names = [row["index"] for row in self.ask("GET", "/_cat/indices", params={"format": "json"}).body]
        if names:
            assert self.ask("DELETE", "/" + ",".join(names)).status == 200
        for kind, key in (
            ("_index_template", "index_templates"),
            ("_component_template", "component_templates"),
        ):
            for one in self.ask("GET", f"/{kind}").body[key]:
                self.ask("DELETE", f"/{kind}/{one['name']}")
        for kind in ("_template", "_ingest/pipeline"):
            for name in self.ask("GET", f"/{kind}").body:
                self.ask("DELETE", f"/{kind}/{name}")


def texts(params: dict[str, Any] | None) -> dict[str, str]:
    """Query parameters as they go over the wire."""
    return {name: text(value) for name, value in (params or {}).items()}


def text(value: Any) -> str:
    """One value of a URL."""
    if isinstance(value, list):
        return ",".join(map(text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def ndjson(lines: Iterable[Any]) -> bytes:
    """Bodies of `_bulk` and `_msearch`."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def difference(expected: Any, actual: Any, path: str = "") -> str:
    """The first place where an answer lacks what is expected; what it has more is no difference.

    Lists must be of one length; a `$expect` is a Python expression of `val`.
    """
    if isinstance(expected, dict):
        if "$expect" in expected:
            wanted = expected["$expect"]
            for expression in [wanted] if isinstance(wanted, str) else wanted:
                if not eval(expression, {"__builtins__": {"len": len}}, {"val": actual}):
                    return f"{path}: {expression} is not true of {str(actual)[:80]}"
            return ""
        if not isinstance(actual, dict):
            return f"{path}: {str(actual)[:80]} is no object"
        for key, value in expected.items():
            if key not in actual and value is not None:
                return f"{path}.{key} is missing"
            if found := difference(value, actual.get(key), f"{path}.{key}"):
                return found
        return ""
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            size = len(actual) if isinstance(actual, list) else actual
            return f"{path}: {size} entries instead of {len(expected)}"
        for i, (one, other) in enumerate(zip(expected, actual, strict=True)):
            if found := difference(one, other, f"{path}.{i}"):
                return found
        return ""
    if isinstance(expected, bool) != isinstance(actual, bool) or expected != actual:
        return f"{path}: {str(actual)[:80]!r} instead of {str(expected)[:80]!r}"
    return ""
