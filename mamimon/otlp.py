"""What all OTLP/HTTP doors share: requests in, answers out, any-values and attributes.

Protobuf and JSON are both read, gzip and the other encodings of `mamimon.http` undone, and an error is
a google.rpc.Status in the encoding of the request. Sources: the OTLP specification 1.x ("OTLP/HTTP")
and opentelemetry-proto's common.proto.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec

from mamimon import protobuf
from mamimon.http import Receive, Scope, Send, answer, decompress, header, read_body
from mamimon.problems import Kind, Problem, bad_input

T = TypeVar("T")

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_DEPTH = 32
"""Levels that an any-value may be nested; deeper ones are refused."""

_THREAD_BYTES = 64 * 1024
_log = logging.getLogger("mamimon.otlp")
_CODES = {
    Kind.BAD_INPUT: 3,
    Kind.UNAUTHENTICATED: 16,
    Kind.FORBIDDEN: 7,
    Kind.NOT_FOUND: 5,
    Kind.NOT_ALLOWED: 12,
    Kind.CONFLICT: 6,
    Kind.TOO_LARGE: 8,
    Kind.UNSUPPORTED: 3,
    Kind.UNPROCESSABLE: 3,
    Kind.TOO_MANY: 8,
    Kind.INTERNAL: 13,
    Kind.UNAVAILABLE: 14,
    Kind.TIMEOUT: 4,
}


class Outcome(msgspec.Struct):
    """What became of a request that could be read."""

    rejected: int = 0
    """Records (or data points) that were not taken; never to be sent again."""
    message: str = ""
    """Why not, or a warning, for people."""


def content_type(scope: Scope) -> str:
    """`PROTOBUF` or `JSON`, as the request's Content-Type says; another raises `UNSUPPORTED`."""
    kind = header(scope, "content-type").partition(";")[0].strip().lower()
    if kind not in {PROTOBUF, JSON}:
        shown = kind[:80] or "none"
        raise Problem(Kind.UNSUPPORTED, f"unsupported Content-Type: {shown}; send {PROTOBUF} or {JSON}")
    return kind


async def serve(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    max_body_bytes: int,
    max_decompressed_bytes: int,
    read: Callable[[bytes, str], T],
    take: Callable[[T], Awaitable[Outcome]],
) -> None:
    """Answer one export request.

    `read(body, content type)` decodes it, off the loop where it is large; it raises `Problem` or
    anything of `protobuf.BROKEN`. `take` stores what was read; both may raise any `Problem`.
    """
    kind = JSON
    try:
        if scope["method"] != "POST":
            raise Problem(Kind.NOT_ALLOWED, "an OTLP export is a POST")
        kind = content_type(scope)
        body = await read_body(receive, max_body_bytes)
        encodings = header(scope, "content-encoding")

        def work() -> T:
            plain = decompress(body, encodings, max_decompressed_bytes) if encodings else body
            return _decoded(plain, kind, read)

        large = len(body) > _THREAD_BYTES
        outcome = await take(await asyncio.to_thread(work) if large else work())
    except Problem as problem:
        await refuse(send, problem, kind)
        return
    except Exception:
        _log.exception("%s failed", scope["path"])
        await refuse(send, Problem(Kind.INTERNAL, "mamimon made a mistake; its log has the details"), kind)
        return
    await answer(send, 200, _accepted(outcome, scope["path"], kind), content_type=kind)


def _decoded(body: bytes, kind: str, read: Callable[[bytes, str], T]) -> T:
    try:
        return read(body, kind)
    except RecursionError:
        raise bad_input("the request is nested too deep") from None
    except (*protobuf.BROKEN, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise bad_input(f"the body is not an OTLP export request: {str(error)[:200]}") from None


_REJECTED = {"/v1/logs": "rejectedLogRecords", "/v1/metrics": "rejectedDataPoints"}


def _accepted(outcome: Outcome, path: str, kind: str) -> bytes:
    """An Export*ServiceResponse; `partial_success` is left out where there is nothing to say."""
    if kind == PROTOBUF:
        partial = protobuf.written(1, outcome.rejected) + protobuf.written(2, outcome.message)
        return protobuf.written(1, partial)
    if not outcome.rejected and not outcome.message:
        return b"{}"
    # 64-bit numbers are strings in protobuf's JSON.
    name = next((name for end, name in _REJECTED.items() if path.endswith(end)), "rejectedSpans")
    return msgspec.json.encode(
        {"partialSuccess": {name: str(outcome.rejected), "errorMessage": outcome.message}}
    )


async def refuse(send: Send, problem: Problem, kind: str) -> None:
    """Answer a google.rpc.Status, in the encoding `kind`, with Retry-After where that helps."""
    headers = []
    if problem.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(problem.retry_after_s)))))
    if problem.kind is Kind.NOT_ALLOWED:
        headers.append(("allow", "POST"))
    await answer(send, problem.status, status_body(problem, kind), content_type=kind, headers=headers)


def status_body(problem: Problem, kind: str) -> bytes:
    """The google.rpc.Status of a problem."""
    code = _CODES[problem.kind]
    if kind == PROTOBUF:
        return protobuf.written(1, code) + protobuf.written(2, problem.detail)
    return msgspec.json.encode({"code": code, "message": problem.detail})


# Any-values: what attributes and log bodies hold. Both readers give str, bool, int, float, list, dict
# or None; bytes come as base64 text, and numbers that JSON cannot hold as "NaN", "Infinity", "-Infinity".


def any_value(data: bytes, depth: int = 0) -> Any:
    """Read a protobuf AnyValue."""
    if depth > MAX_DEPTH:
        raise ValueError("a value is nested too deep")
    value: Any = None
    for field, part in protobuf.fields(data):
        if field == 1:
            value = protobuf.text(part)
        elif field == 2:
            value = protobuf.number(part) != 0
        elif field == 3:
            value = protobuf.signed(protobuf.number(part))
        elif field == 4:
            value = _finite(protobuf.double(part))
        elif field == 5:
            inner = protobuf.fields(protobuf.message(part))
            value = [any_value(protobuf.message(one), depth + 1) for at, one in inner if at == 1]
        elif field == 6:
            inner = protobuf.fields(protobuf.message(part))
            value = attributes((protobuf.message(one) for at, one in inner if at == 1), depth + 1)
        elif field == 7:
            value = base64.b64encode(protobuf.message(part)).decode()
    return value


def attributes(pairs: Iterable[bytes], depth: int = 0) -> dict[str, Any]:
    """Read protobuf KeyValues; of a repeated key the last stands."""
    out: dict[str, Any] = {}
    for pair in pairs:
        size = pair[1] if pair[:1] == b"\x0a" and len(pair) > 1 else 0x80
        text = pair[size + 4 :]
        # Nearly every pair is a short key with a short text: \n size key \x12 size \n size text.
        if (
            0 < size < 0x80
            and len(text) > 2
            and len(text) < 0x80
            and pair[size + 2 : size + 5] == bytes((0x12, len(text), 0x0A))
            and text[1] == len(text) - 2
        ):
            out[pair[2 : size + 2].decode()] = text[2:].decode()
            continue
        key, value = "", None
        for field, part in protobuf.fields(pair):
            if field == 1:
                key = protobuf.text(part)
            elif field == 2:
                value = any_value(protobuf.message(part), depth)
        out[key] = value
    return out


def json_any_value(value: Any, depth: int = 0) -> Any:
    """Read an AnyValue of the JSON encoding; int64 may come as text."""
    if value is None:
        return None
    if depth > MAX_DEPTH:
        raise ValueError("a value is nested too deep")
    if not isinstance(value, dict):
        raise ValueError("an AnyValue is not an object")
    for name, part in value.items():
        if part is None:
            continue
        if name == "stringValue":
            return json_text(part)
        if name == "boolValue":
            if not isinstance(part, bool):
                raise ValueError("boolValue is not true or false")
            return part
        if name == "intValue":
            return json_int(part)
        if name == "doubleValue":
            return _finite(json_float(part))
        if name == "arrayValue":
            return [json_any_value(one, depth + 1) for one in json_list(part, "values")]
        if name == "kvlistValue":
            return json_attributes(json_list(part, "values"), depth + 1)
        if name == "bytesValue":
            return _base64(json_text(part))
    return None


def json_attributes(pairs: Iterable[Any], depth: int = 0) -> dict[str, Any]:
    """Read KeyValues of the JSON encoding."""
    out: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, dict):
            raise ValueError("a KeyValue is not an object")
        out[json_text(pair.get("key", ""))] = json_any_value(pair.get("value"), depth)
    return out


def json_object(body: bytes) -> dict[str, Any]:
    """The request's outer object; anything else raises `ValueError`."""
    found = msgspec.json.decode(body)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def json_list(holder: Any, name: str) -> list[Any]:
    """A repeated field; absent and null are empty."""
    if not isinstance(holder, dict):
        raise ValueError(f"what holds {name} is not an object")
    found = holder.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValueError(f"{name} is not a list")
    return found


def json_part(holder: Any, name: str) -> dict[str, Any]:
    """An embedded message; absent and null are empty."""
    found = holder.get(name) if isinstance(holder, dict) else holder
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not an object")
    return found


def json_text(value: Any) -> str:
    """A string field."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("a string field holds something else")
    return value


def json_int(value: Any) -> int:
    """An integer field: a number, or text where it has 64 bits; absent and null are 0."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value == "":
        raise ValueError("an integer field holds something else")
    whole = int(value)
    if isinstance(value, float) and whole != value:
        raise ValueError("an integer field holds a fraction")
    if not -(1 << 63) <= whole < 1 << 64:
        raise ValueError("an integer field is out of range")
    return whole


def json_float(value: Any) -> float:
    """A double field: a number, or NaN, Infinity, -Infinity as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("a double field holds something else")
    return float(value)


def json_enum(value: Any, names: dict[str, int]) -> int:
    """An enum: OTLP says numbers only, but several senders write the names."""
    if isinstance(value, str) and value in names:
        return names[value]
    return json_int(value)


def _finite(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _base64(value: str) -> str:
    """Bytes as base64 text of the standard alphabet, whatever alphabet and padding they came in."""
    standard = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise ValueError("bytesValue is not base64") from None
    return standard + "=" * (-len(standard) % 4)
