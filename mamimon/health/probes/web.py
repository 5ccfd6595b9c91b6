"""Checks of URLs: status, body, JSON, latency, redirects, certificate."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mamimon.config_checks import JSON_CONDITION, CheckSettings
from mamimon.health.model import Finding
from mamimon.health.probes.outcome import Failed, Look, certificate, trust
from mamimon.health.said import quoted, said

_BODY_LIMIT = 1 << 20
_STEP = re.compile(r"\.?([\w-]+)|\[(\d+)\]")
_ABSENT = object()
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


async def http(check: CheckSettings, _: Look) -> Finding:
    """A URL."""
    import httpx

    async with (
        httpx.AsyncClient(
            follow_redirects=check.max_redirects > 0,
            max_redirects=max(1, check.max_redirects),
            timeout=None,  # noqa: S113 - `probe` holds the one deadline
            trust_env=False,
            verify=trust(check.ca_file),
        ) as client,
        client.stream(
            check.method, check.target, headers=check.headers, content=check.payload or None
        ) as answer,
    ):
        body = b""
        async for part in answer.aiter_bytes(65536):
            body += part
            if len(body) >= _BODY_LIMIT:
                break
        stream = answer.extensions.get("network_stream")
        secured = stream.get_extra_info("ssl_object") if stream is not None else None
        facts = {
            "probe_http_status_code": float(answer.status_code),
            "probe_http_redirects": float(len(answer.history)),
            "probe_http_ssl": 1.0 if secured is not None else 0.0,
            "probe_http_version": float(answer.http_version.removeprefix("HTTP/")),
            "probe_http_content_length": float(answer.headers.get("content-length", -1)),
            "probe_http_uncompressed_body_length": float(len(body)),
            "probe_failed_due_to_regex": 0.0,
        }
        accepted = answer.status_code in check.status if check.status else 200 <= answer.status_code < 400
        if not accepted:
            code = f"HTTP {answer.status_code} {answer.reason_phrase}".strip()
            raise Failed(quoted(code), facts)
        _judge_body(check, body, answer.status_code, facts)
        words = quoted(f"HTTP {answer.status_code}")
        return certificate(secured, check, words, facts)


def _judge_body(check: CheckSettings, body: bytes, status: int, facts: dict[str, float]) -> None:
    refused = {**facts, "probe_failed_due_to_regex": 1.0}
    if check.body and check.body.encode() not in body:
        raise Failed(
            said("HTTP %(status)s, but the body lacks %(part)s", status=status, part=repr(check.body[:80])),
            refused,
        )
    if check.body_not and check.body_not.encode() in body:
        raise Failed(
            said("HTTP %(status)s, but the body has %(part)s", status=status, part=repr(check.body_not[:80])),
            refused,
        )
    if not check.json:
        return
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise Failed(said("HTTP %(status)s, but the body is not JSON", status=status), refused) from None
    for condition in check.json:
        have = _unmet(condition, document)
        if have is not None:
            raise Failed(
                said("%(condition)s is not so: it is %(value)s", condition=condition, value=have), refused
            )


def _unmet(condition: str, document: Any) -> str | None:
    """What is there instead, or None where the condition is met; `CheckSettings` checked its form."""
    found = JSON_CONDITION.fullmatch(condition)
    assert found is not None
    have = _at(document, found["path"])
    if have is _ABSENT:
        return "—"
    if found["op"] is None:
        return None
    want = msgspec.json.decode(found["value"])
    try:
        met = _OPERATORS[found["op"]](have, want)
    except TypeError:
        met = False
    return None if met else msgspec.json.encode(have).decode()[:80]


def _at(document: Any, path: str) -> Any:
    for name, index in _STEP.findall(path):
        if index:
            if not isinstance(document, list) or int(index) >= len(document):
                return _ABSENT
            document = document[int(index)]
        elif isinstance(document, dict) and name in document:
            document = document[name]
        else:
            return _ABSENT
    return document
