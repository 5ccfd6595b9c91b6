"""Loki's push: streams of lines, as JSON or as snappy-compressed protobuf.

Source: grafana/loki pkg/push/push.proto and its HTTP API reference ("Ingest logs"); the order of labels
that a service's name is taken from is Loki's own (`discover_service_name`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon import protobuf
from mamimon.logs.dates import parse_iso
from mamimon.logs.ingest import Refusal
from mamimon.logs.model import LogRecord, level_number
from mamimon.logs.wire.document import add, dataset_named, line, timestamp
from mamimon.logs.wire.loki.logql import Lexer
from mamimon.logs.wire.loki.syntax import LogQLError
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from mamimon.logs.ingest import LogIngest

_SERVICES = (
    "service_name", "service", "app", "application", "app_name", "name", "app_kubernetes_io_name",
    "container", "container_name", "k8s_container_name", "component", "workload", "job", "k8s_job_name",
)  # fmt: skip
_HOSTS = ("host", "hostname", "instance", "node", "node_name", "nodename")
_ENVIRONMENTS = ("environment", "env", "deployment_environment")
_LEVELS = ("level", "detected_level", "severity", "severity_text", "lvl", "log_level", "loglevel")
# What Loki looks for where nothing names a level.
_IN_TEXT = re.compile(
    r"\b(trace|debug|info|notice|warn(?:ing)?|err(?:or)?|fatal|critical|panic)\b", re.IGNORECASE | re.ASCII
)
_MAX_LABELS = 64
_MAX_LABEL_BYTES = 4096


class Entry(msgspec.Struct):
    """One line of a stream."""

    time_ns: int
    text: str
    metadata: dict[str, str]


class Stream(msgspec.Struct):
    """Lines that share labels."""

    labels: dict[str, str]
    entries: list[Entry]


class Pushed(msgspec.Struct):
    """What a request brought: what can be stored, and what is refused, in Loki's words."""

    records: list[LogRecord]
    errors: list[str]
    refused: int = 0


def records(ingest: LogIngest, streams: Iterator[Stream], default: str) -> Pushed:
    """The lines of the streams."""
    out = Pushed([], [])
    for stream in streams:
        try:
            base, dataset = _shared(stream.labels, default)
        except ValueError as error:
            out.refused += len(stream.entries)
            out.errors.append(str(error))
            continue
        for entry in stream.entries:
            try:
                out.records.append(line(ingest, _document(base, entry), dataset))
            except (Refusal, ValueError) as error:
                out.refused += 1
                if len(out.errors) < 10:
                    out.errors.append(f"entry for stream '{shown(stream.labels)}' was refused: {error}")
    return out


def _shared(labels: dict[str, str], default: str) -> tuple[dict[str, Any], str]:
    if not labels:
        raise ValueError("error at least one label pair is required per stream")
    if len(labels) > _MAX_LABELS:
        raise ValueError(
            f"entry for stream '{shown(labels)[:200]}' has {len(labels)} label names; limit {_MAX_LABELS}"
        )
    for name, value in labels.items():
        if len(name) > _MAX_LABEL_BYTES or len(value) > _MAX_LABEL_BYTES:
            raise ValueError(f"stream has label name or value too long: '{name[:80]}'")
    service = _first(labels, _SERVICES)
    own = {"service": service, "host": _first(labels, _HOSTS), "environment": _first(labels, _ENVIRONMENTS)}
    base: dict[str, Any] = {key: value for key, value in own.items() if value}
    base["labels"] = labels
    return base, dataset_named(service, default)


def _first(labels: dict[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _document(base: dict[str, Any], entry: Entry) -> dict[str, Any]:
    document = dict(base)
    if entry.time_ns:
        document["@timestamp"] = timestamp(entry.time_ns)
    document["message"] = entry.text
    fields = _fields(entry.text)
    level = _level(base["labels"], entry.metadata, fields, entry.text)
    if level:
        document["level"] = level
    for name in ("trace_id", "span_id", "request_id"):
        if name in base["labels"]:
            document[name] = base["labels"][name]
    for name in ("message", "msg", "@timestamp", "timestamp", "time", "ts", *_LEVELS):
        fields.pop(name, None)  # the line holds them as they were
    add(document, {name: value for name, value in entry.metadata.items() if name != "level"})
    add(document, fields)
    return document


def _fields(text: str) -> dict[str, Any]:
    """The fields of a line that is a JSON object, so that they can be searched for by name."""
    if not text.startswith("{"):
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _level(labels: dict[str, str], metadata: dict[str, str], fields: dict[str, Any], text: str) -> str:
    for holder in (labels, metadata, fields):
        for name in _LEVELS:
            value = holder.get(name)
            if isinstance(value, (str, int)) and level_number(value):
                return str(value)
    found = _IN_TEXT.search(text, 0, 200)
    return found[1].upper() if found else ""


def shown(labels: dict[str, str]) -> str:
    """Labels as Loki writes them: `{a="b", c="d"}`."""
    return "{" + ", ".join(f"{name}={_quoted(value)}" for name, value in sorted(labels.items())) + "}"


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()


# --- JSON -------------------------------------------------------------------------------------------


def json_streams(body: bytes) -> Iterator[Stream]:
    """The streams of a JSON body, of today's form and of the one before 1.0."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_input(f"couldn't parse push request: {str(error)[:200]}") from None
    streams = found.get("streams") if isinstance(found, dict) else None
    if streams is None and isinstance(found, dict):
        streams = []
    if not isinstance(streams, list):
        raise bad_input("couldn't parse push request: streams is not an array")
    for one in streams:
        if not isinstance(one, dict):
            raise bad_input("couldn't parse push request: a stream is not an object")
        labels = one.get("stream")
        if labels is None and isinstance(one.get("labels"), str):
            yield Stream(read_labels(one["labels"]), [_old_entry(e) for e in _list(one, "entries")])
            continue
        yield Stream(_texts(labels or {}), [_entry(entry) for entry in _list(one, "values")])


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    found = holder.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise bad_input(f"couldn't parse push request: {name} is not an array")
    return found


def _texts(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise bad_input("couldn't parse push request: Value is not a string")
    return found


def _entry(entry: Any) -> Entry:
    if not isinstance(entry, list) or not 2 <= len(entry) <= 3:
        raise bad_input("couldn't parse push request: array must contain 2 or 3 values")
    when, text = entry[0], entry[1]
    if not isinstance(when, str) or not re.fullmatch(r"-?[0-9]{1,19}", when):
        raise bad_input(f"couldn't parse push request: error reading entry timestamp: {str(when)[:40]}")
    if not isinstance(text, str):
        raise bad_input("couldn't parse push request: Value is not a string")
    return Entry(int(when), text, _texts(entry[2]) if len(entry) == 3 else {})


def _old_entry(entry: Any) -> Entry:
    when = entry.get("ts") if isinstance(entry, dict) else None
    text = entry.get("line") if isinstance(entry, dict) else None
    seconds = parse_iso(when) if isinstance(when, str) else None
    if seconds is None or not isinstance(text, str):
        raise bad_input("couldn't parse push request: an entry needs ts and line")
    return Entry(round(seconds * 1e9), text, {})


def read_labels(text: str) -> dict[str, str]:
    """Read `{a="b"}`; raises `BAD_INPUT`."""
    try:
        matchers = Lexer(text).labels()
    except LogQLError as error:
        raise bad_input(f"error parsing labels '{text[:200]}': {error}") from None
    return matchers


# --- protobuf ---------------------------------------------------------------------------------------


def protobuf_streams(body: bytes) -> Iterator[Stream]:
    """The streams of a decompressed PushRequest."""
    try:
        for field, part in protobuf.fields(body):
            if field == 1:
                yield _stream(protobuf.message(part))
    except protobuf.BROKEN as error:
        raise bad_input(f"couldn't parse push request: {str(error)[:200]}") from None


def _stream(data: bytes) -> Stream:
    labels = ""
    entries: list[Entry] = []
    for field, part in protobuf.fields(data):
        if field == 1:
            labels = protobuf.text(part)
        elif field == 2:
            entries.append(_proto_entry(protobuf.message(part)))
    return Stream(read_labels(labels), entries)


def _proto_entry(data: bytes) -> Entry:
    entry = Entry(0, "", {})
    for field, part in protobuf.fields(data):
        if field == 2:
            entry.text = protobuf.text(part)
        elif field == 1:
            for inner, value in protobuf.fields(protobuf.message(part)):
                scale = {1: 1_000_000_000, 2: 1}.get(inner, 0)
                entry.time_ns += protobuf.signed(protobuf.number(value)) * scale
        elif field == 3:
            pair = dict(protobuf.fields(protobuf.message(part)))
            entry.metadata[protobuf.text(pair.get(1, b""))] = protobuf.text(pair.get(2, b""))
    return entry
