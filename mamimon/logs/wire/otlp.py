"""OTLP/HTTP logs: `POST /v1/logs`, protobuf and JSON.

A record becomes a line with the keys that mamimon's own client writes: `service`, `host` and
`environment` from the resource, `logger` from the scope, `trace_id`, `span_id`, `exception`; the rest
of the resource stands under `resource`, the record's attributes beside the message. A record that is
wrong in itself is rejected alone; what makes the request unreadable, or leaves none to take, answers 400.
Source: opentelemetry-proto 1.x, logs.proto and resource.proto; semantic conventions for the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar import asgi

from mamimon import otlp, protobuf
from mamimon.logs.ingest import Refusal
from mamimon.logs.model import LogRecord, normal_level
from mamimon.logs.wire.document import add, dataset_named, line, timestamp
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Scope
    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SEVERITIES = {
    f"SEVERITY_NUMBER_{name}{n or ''}": 4 * i + (n or 1)
    for i, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for n in (0, 2, 3, 4)
}
_ENVIRONMENTS = ("deployment.environment.name", "deployment.environment")
_EXCEPTION = ("type", "message", "stacktrace")
_BODY_MESSAGE = ("message", "msg", "log")
_MOST_REASONS = 3


class _Source(msgspec.Struct):
    """What the records of one scope of one resource share."""

    base: dict[str, Any]
    dataset: str


class _Record(msgspec.Struct):
    """A record as sent, in either encoding."""

    time_ns: int = 0
    observed_ns: int = 0
    severity: int = 0
    severity_text: str = ""
    body: Any = None
    attributes: dict[str, Any] = {}
    dropped: int = 0
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""


class _Batch(msgspec.Struct):
    records: list[LogRecord] = []
    rejected: int = 0
    reasons: list[str] = []

    def reject(self, reason: str) -> None:
        """Count a record that is not taken."""
        self.rejected += 1
        if len(self.reasons) < _MOST_REASONS and reason not in self.reasons:
            self.reasons.append(reason)


def otlp_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The door."""
    limit = core.settings.server.max_body_bytes

    def read(body: bytes, kind: str) -> _Batch:
        batch = _Batch(records=[], reasons=[])
        default = core.settings.logs.default_dataset
        sent = _json_records(body, default) if kind == otlp.JSON else _records(body, default)
        for source, record in sent:
            try:
                if isinstance(record, Exception):
                    raise record
                batch.records.append(line(room.ingest, _document(source, record), source.dataset))
            except (Refusal, *protobuf.BROKEN) as error:
                batch.reject(str(error) or "the record cannot be read")
        return batch

    async def take(batch: _Batch) -> otlp.Outcome:
        reasons = "; ".join(batch.reasons)[:1000]
        if batch.rejected and not batch.records:
            # Partial success is for what was taken in part; several SDKs look at nothing but the status.
            raise bad_input(f"none of {batch.rejected} log records was taken: {reasons}")
        await room.ingest.append(batch.records)
        return otlp.Outcome(rejected=batch.rejected, message=reasons)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await otlp.serve(
            cast("Scope", scope), receive, send,
            max_body_bytes=limit, max_decompressed_bytes=limit, read=read, take=take,
        )  # fmt: skip

    return [asgi("/v1/logs", copy_scope=False)(app)]


def _document(source: _Source, record: _Record) -> dict[str, Any]:
    document = dict(source.base)
    nanoseconds = record.time_ns or record.observed_ns
    if nanoseconds:
        document["@timestamp"] = timestamp(nanoseconds)
    level = _level(record.severity, record.severity_text)
    if level:
        document["level"] = level
    if record.severity_text and normal_level(record.severity_text) != level:
        document["severity_text"] = record.severity_text
    attributes = record.attributes
    body = record.body
    if isinstance(body, dict):
        found = next((body[name] for name in _BODY_MESSAGE if isinstance(body.get(name), str)), None)
        document["message"] = found if found is not None else record.event_name or _json(body)
        document["body"] = body
    elif isinstance(body, list):
        document["message"], document["body"] = _json(body), body
    elif body is not None:
        document["message"] = body if isinstance(body, str) else _json(body)
    else:
        document["message"] = record.event_name
    own = {
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "event_name": record.event_name,
        "dropped_attributes_count": record.dropped,
    }
    document |= {name: value for name, value in own.items() if value}
    if "exception.type" in attributes or "exception.message" in attributes:
        attributes = dict(attributes)
        exception = {part: attributes.pop(f"exception.{part}", "") for part in _EXCEPTION}
        document["exception"] = {part: value for part, value in exception.items() if value}
    add(document, attributes)
    return document


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _level(severity: int, text: str) -> str:
    """The severity number decides; its text may only say NOTICE or CRITICAL where the number cannot."""
    named = normal_level(text)
    if not 1 <= severity <= 24:
        return named
    level = _LEVELS[(severity - 1) // 4]
    return named if (level, named) in {("INFO", "NOTICE"), ("ERROR", "CRITICAL")} else level


def _source(
    resource: dict[str, Any], name: str, version: str, attributes: dict[str, Any], default: str
) -> _Source:
    rest = dict(resource)
    base: dict[str, Any] = {}
    service = rest.pop("service.name", "")
    if service:
        base["service"] = service
    host = rest.pop("host.name", "") or rest.get("k8s.pod.name", "")
    if host:
        base["host"] = host
    environment = next((rest.pop(key) for key in _ENVIRONMENTS if key in rest), "")
    if environment:
        base["environment"] = environment
    if name:
        base["logger"] = name
    if rest:
        base["resource"] = rest
    scope = {**({"version": version} if version else {}), **attributes}
    if scope:
        base["scope"] = scope
    # SDKs that were told no name say unknown_service:python.
    known = isinstance(service, str) and not service.startswith("unknown_service")
    return _Source(base, dataset_named(service if known else "", default))


# --- protobuf ---------------------------------------------------------------------------------------


def _records(body: bytes, default: str) -> Iterator[tuple[_Source, _Record | Exception]]:
    for field, part in protobuf.fields(body):
        if field == 1:
            yield from _resource_logs(protobuf.message(part), default)


def _resource_logs(data: bytes, default: str) -> Iterator[tuple[_Source, _Record | Exception]]:
    resource: dict[str, Any] = {}
    scopes: list[bytes] = []
    for field, part in protobuf.fields(data):
        if field == 1:
            inner = protobuf.fields(protobuf.message(part))
            resource |= otlp.attributes(protobuf.message(one) for at, one in inner if at == 1)
        elif field == 2:
            scopes.append(protobuf.message(part))
    for scope in scopes:
        name = version = ""
        attributes: dict[str, Any] = {}
        logs: list[bytes] = []
        for field, part in protobuf.fields(scope):
            if field == 1:
                name, version, attributes = _scope(protobuf.message(part))
            elif field == 2:
                logs.append(protobuf.message(part))
        source = _source(resource, name, version, attributes, default)
        for record in logs:
            yield source, _record(record)


def _scope(data: bytes) -> tuple[str, str, dict[str, Any]]:
    name = version = ""
    pairs: list[bytes] = []
    for field, part in protobuf.fields(data):
        if field == 1:
            name = protobuf.text(part)
        elif field == 2:
            version = protobuf.text(part)
        elif field == 3:
            pairs.append(protobuf.message(part))
    return name, version, otlp.attributes(pairs)


def _record(data: bytes) -> _Record | Exception:
    try:
        return _read_record(data)
    except protobuf.BROKEN as error:
        return error


def _read_record(data: bytes) -> _Record:
    out = _Record(attributes={})
    pairs: list[bytes] = []
    for field, part in protobuf.fields(data):
        if field == 6:
            pairs.append(protobuf.message(part))
        elif field == 5:
            out.body = otlp.any_value(protobuf.message(part))
        elif field == 1:
            out.time_ns = protobuf.fixed64(part)
        elif field == 11:
            out.observed_ns = protobuf.fixed64(part)
        elif field == 2:
            out.severity = protobuf.number(part)
        elif field == 3:
            out.severity_text = protobuf.text(part)
        elif field == 7:
            out.dropped = protobuf.number(part)
        elif field == 9:
            out.trace_id = _identity(protobuf.message(part).hex(), 32, "trace id")
        elif field == 10:
            out.span_id = _identity(protobuf.message(part).hex(), 16, "span id")
        elif field == 12:
            out.event_name = protobuf.text(part)
    out.attributes = otlp.attributes(pairs)
    return out


def _identity(text: str, length: int, what: str) -> str:
    """A trace or span id in lower-case hex; all zeros and empty mean none."""
    if not text.strip("0"):
        return ""
    if not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", text):
        raise ValueError(f"the {what} is not {length} hexadecimal digits")
    return text.lower()


# --- JSON -------------------------------------------------------------------------------------------


def _json_records(body: bytes, default: str) -> Iterator[tuple[_Source, _Record | Exception]]:
    for one in otlp.json_list(otlp.json_object(body), "resourceLogs"):
        resource = otlp.json_attributes(otlp.json_list(otlp.json_part(one, "resource"), "attributes"))
        for logs in otlp.json_list(one, "scopeLogs"):
            scope = otlp.json_part(logs, "scope")
            source = _source(
                resource,
                otlp.json_text(scope.get("name")),
                otlp.json_text(scope.get("version")),
                otlp.json_attributes(otlp.json_list(scope, "attributes")),
                default,
            )
            for record in otlp.json_list(logs, "logRecords"):
                yield source, _json_record(record)


def _json_record(record: Any) -> _Record | Exception:
    try:
        if not isinstance(record, dict):
            raise ValueError("a log record is not an object")
        return _Record(
            time_ns=otlp.json_int(record.get("timeUnixNano")),
            observed_ns=otlp.json_int(record.get("observedTimeUnixNano")),
            severity=otlp.json_enum(record.get("severityNumber"), _SEVERITIES),
            severity_text=otlp.json_text(record.get("severityText")),
            body=otlp.json_any_value(record.get("body")),
            attributes=otlp.json_attributes(otlp.json_list(record, "attributes")),
            dropped=otlp.json_int(record.get("droppedAttributesCount")),
            trace_id=_identity(otlp.json_text(record.get("traceId")), 32, "trace id"),
            span_id=_identity(otlp.json_text(record.get("spanId")), 16, "span id"),
            event_name=otlp.json_text(record.get("eventName")),
        )
    except ValueError as error:
        return error
