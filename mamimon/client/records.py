"""A `logging.LogRecord` becomes a `Line` on the caller's thread and a JSON document on the sender's."""

from __future__ import annotations

import logging
import os
import socket
import time
from itertools import islice
from typing import Any, NamedTuple, Optional

from mamimon.client import agent, frames
from mamimon.client.context import current
from mamimon.client.mask import MASK, is_secret_name, mask_sensitive_data, mask_text
from mamimon.client.plain import MAX_MESSAGE, MAX_TEXT, plain
from mamimon.client.settings import Settings

# What every LogRecord has; everything else came by `extra=`. `message` and `asctime` are set by formatters.
_NAMES = tuple(logging.makeLogRecord({}).__dict__)
_STANDARD = frozenset(_NAMES) | {"message", "asctime", "taskName", "_mamimon"}
_STANDARD_COUNT, _STANDARD_LAST = len(_NAMES), _NAMES[-1]
RESERVED = frozenset(("@timestamp", "level", "logger", "message", "host", "pid", "exception"))
_SIMPLE = frozenset((str, int, bool, type(None)))


pid = os.getpid()


def _after_fork() -> None:
    global pid  # noqa: PLW0603 - a system call a line would be a tenth of its cost
    pid = os.getpid()


agent.in_children(_after_fork)


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
    bare = len(fields) == _STANDARD_COUNT and next(reversed(fields)) == _STANDARD_LAST
    extra = None if bare else _extras(fields)
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


def _extras(fields: dict[str, Any]) -> dict[str, Any]:
    """What a record has beyond the standard; it stands behind it, unless somebody moved things."""
    rest = islice(fields.items(), _STANDARD_COUNT - 1, None)
    moved = next(rest, ("",))[0] != _STANDARD_LAST
    extra = dict(rest) if not moved else dict(fields)
    if moved or "message" in extra or "asctime" in extra:  # the two that formatters add
        extra = {name: value for name, value in extra.items() if name not in _STANDARD}
    for name, value in extra.items():
        kind = type(value)
        if kind not in _SIMPLE or (kind is str and len(value) > MAX_TEXT):
            extra[name] = plain(value)
    return extra


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
        self.day = ""
        """The UTC day of the last timestamp, as index names have it."""

    def timestamp(self, when: float) -> str:
        """ISO 8601 in UTC with milliseconds; the text of a second is made once."""
        milliseconds = int(when * 1000)
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second, self.day = second, self._prefix[:10].replace("-", ".")
        return f"{self._prefix}.{rest:03d}Z"

    def common(self) -> dict[str, Any]:
        """What every document of this process has."""
        return {
            "service": self._service,
            "environment": self._environment,
            "host": self._host,
            "pid": pid,
        }

    def document(self, line: Line) -> dict[str, Any]:
        """The record as it is stored: see docs/client.md for the keys."""
        mask = self._mask
        document: dict[str, Any] = {
            "@timestamp": self.timestamp(line.created),
            "level": line.level,
            "logger": line.logger,
            "message": mask_text(line.message) if mask else line.message,
            **self.common(),
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
            key = "field_" + name.lstrip("@") if name in RESERVED else name
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
