"""A `logging.LogRecord` becomes a `Line` on the caller's thread and a JSON document on the sender's."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any, NamedTuple, Optional

from mamimon.client import frames
from mamimon.client.context import current
from mamimon.client.mask import MASK, is_secret_name, mask_sensitive_data, mask_text
from mamimon.client.plain import MAX_MESSAGE, plain
from mamimon.client.settings import Settings

# What every LogRecord has; everything else came by `extra=`. `message` and `asctime` are set by formatters.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "_mamimon"}
_STANDARD_COUNT = len(logging.makeLogRecord({}).__dict__)
_RESERVED = frozenset(("@timestamp", "level", "logger", "message", "host", "pid", "exception"))
_SIMPLE = frozenset((str, int, bool, type(None)))


class Line(NamedTuple):
    """The essentials of one log call; nothing in it can change after the call."""

    created: float
    levelno: int
    level: str
    logger: str
    message: str
    context: dict[str, Any]
    extra: Optional[dict[str, Any]]
    links: Optional[list[frames.Link]]
    stack: Optional[str]


def take(record: logging.LogRecord, context: dict[str, Any] | None = None) -> Line:
    """Copy what matters out of a record, on the thread that logged; no formatting, no source reading.

    Done once a record: the console and the sender share the copy.
    """
    fields = record.__dict__
    known = fields.get("_mamimon")
    if known is not None:
        return known  # type: ignore[no-any-return]
    try:
        message = record.getMessage()
    except Exception as error:
        message = f"{record.msg!s} (arguments do not fit: {error})"
    extra = None
    if len(fields) != _STANDARD_COUNT:
        extra = {
            name: value if type(value) in _SIMPLE and type(value) is not str else plain(value)
            for name, value in fields.items()
            if name not in _STANDARD
        }
    links = None
    if record.exc_info and record.exc_info[1] is not None:
        links = frames.walk(record.exc_info[1])
        if not frames.mark_logged(record.exc_info[1]):
            links = [link._replace(frames=[]) for link in links[-1:]]
    line = fields["_mamimon"] = Line(
        record.created,
        record.levelno,
        record.levelname,
        record.name,
        message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…",
        current() if context is None else context,
        extra or None,
        links,
        record.stack_info,
    )
    return line


def describe_exception(links: list[frames.Link], mask: bool) -> dict[str, Any]:
    """The `exception` block: type and message of the last link, the whole chain as text, its frames."""
    last = links[-1]
    hide = mask_text if mask else str
    block: dict[str, Any] = {"type": last.kind, "message": hide(last.message)}
    if last.frames or len(links) > 1:
        block["stacktrace"] = hide(frames.render(links))[:MAX_MESSAGE]
        block["frames"] = [
            {
                "file": frame.file,
                "line": frame.line,
                "function": frame.function,
                "module": frame.module,
                "code": hide(frames.source_line(frame)),
            }
            for frame in last.frames
        ]
    return block


class Documents:
    """Makes documents of lines for one service; keeps what is the same in all of them."""

    def __init__(self, settings: Settings) -> None:
        self._mask = settings.mask
        self._ecs = settings.ecs
        self._host = socket.gethostname()
        self._service = settings.service
        self._environment = settings.environment
        self._second = -1
        self._prefix = ""

    def timestamp(self, when: float) -> str:
        """ISO 8601 in UTC with milliseconds; the text of a second is made once."""
        milliseconds = int(when * 1000)
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._prefix}.{rest:03d}Z"

    def day(self, when: float) -> str:
        """The UTC day as index names have it."""
        self.timestamp(when)
        return self._prefix[:10].replace("-", ".")

    def document(self, line: Line) -> dict[str, Any]:
        """The record as it is stored: see docs/client.md for the keys."""
        mask = self._mask
        document: dict[str, Any] = {
            "@timestamp": self.timestamp(line.created),
            "level": line.level,
            "logger": line.logger,
            "message": mask_text(line.message) if mask else line.message,
            "service": self._service,
            "environment": self._environment,
            "host": self._host,
            "pid": os.getpid(),
        }
        self._add(document, line.context)
        if line.extra:
            self._add(document, line.extra)
        if line.links:
            document["exception"] = describe_exception(line.links, mask)
        if line.stack:
            document["stack"] = mask_text(line.stack) if mask else line.stack
        return _to_ecs(document) if self._ecs else document

    def _add(self, document: dict[str, Any], fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            if name[:1] == "_":
                continue
            key = "field_" + name.lstrip("@") if name in _RESERVED else name
            if self._mask and value not in (None, ""):
                document[key] = MASK if is_secret_name(name) else mask_sensitive_data(value)
            else:
                document[key] = value


_ECS = {
    "level": "log.level",
    "logger": "log.logger",
    "service": "service.name",
    "environment": "service.environment",
    "host": "host.hostname",
    "pid": "process.pid",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "user": "user.name",
    "method": "http.request.method",
    "status": "http.response.status_code",
    "path": "url.path",
}


def _to_ecs(document: dict[str, Any]) -> dict[str, Any]:
    named = {_ECS.get(name, name): value for name, value in document.items() if name != "exception"}
    block = document.get("exception")
    if block:
        named["error.type"], named["error.message"] = block["type"], block["message"]
        named["error.stack_trace"] = block.get("stacktrace", "")
    named["ecs.version"] = "8.11"
    return named
