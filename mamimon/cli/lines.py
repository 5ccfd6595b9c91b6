"""What a program prints, as records: JSON, logfmt, plain lines with a level in them, tracebacks joined."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import Any

from mamimon.client.frames import Frame, Link
from mamimon.client.plain import MAX_MESSAGE, plain
from mamimon.client.records import Line

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

_NAMES = {
    "trace": "DEBUG",
    "debug": "DEBUG",
    "info": "INFO",
    "notice": "INFO",
    "warn": "WARNING",
    "warning": "WARNING",
    "err": "ERROR",
    "error": "ERROR",
    "fatal": "CRITICAL",
    "critical": "CRITICAL",
    "panic": "CRITICAL",
    "emerg": "CRITICAL",
    "alert": "CRITICAL",
}
# pino and bunyan write numbers
_NUMBERS = {10: "DEBUG", 20: "DEBUG", 30: "INFO", 40: "WARNING", 50: "ERROR", 60: "CRITICAL"}
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)")
# Upper case anywhere near the start, or set off by brackets, a colon or `level=`: prose rarely is.
_IN_TEXT = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|FATAL|CRITICAL|PANIC)\b"
    r"|[\[<(](trace|debug|info|notice|warn(?:ing)?|err(?:or)?|fatal|critical|panic)[\]>)]"
    r"|^(?:\w+: )?(debug|info|warning|error|fatal|critical)(?=:)",
)
_PAIR = re.compile(r'([A-Za-z_@][\w.@-]{0,63})=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')
_MESSAGE = ("message", "msg", "event", "text")
_LEVEL = ("level", "severity", "levelname", "log.level", "lvl")
_TIME = ("@timestamp", "timestamp", "time", "ts")
_LOGGER = ("logger", "name", "log.logger", "logger_name")
_BEGIN = "Traceback (most recent call last):"
_FRAME = re.compile(r'^ +File "([^"]{1,1024})", line (\d{1,9})(?:, in (.{1,256}))?$')
_RAISED = re.compile(r"^([A-Za-z_][\w.]{0,255})(?:: (.*))?$", re.S)
MAX_TRACEBACK_LINES = 400


class Recogniser:
    """Feeds on the lines of one stream; a traceback is held back until it is complete."""

    def __init__(self, logger: str) -> None:
        self._logger = logger
        self._held: list[str] = []
        self.last_error: Link | None = None

    def feed(self, text: str) -> list[Line]:
        """The records that this line completes: none, one, or two."""
        text = _ANSI.sub("", text).rstrip("\r\n")
        if text == _BEGIN:
            return [*self.flush(), *self._hold(text)]
        if self._held:
            self._held.append(text)
            if text.startswith((" ", "\t")) and len(self._held) < MAX_TRACEBACK_LINES:
                return []
            return self.flush()
        return [self._line(text)] if text.strip() else []

    def _hold(self, text: str) -> list[Line]:
        self._held = [text]
        return []

    def flush(self) -> list[Line]:
        """What is held back, as a record."""
        held, self._held = self._held, []
        if not held:
            return []
        link = _link(held)
        self.last_error = link
        message = f"{link.kind}: {link.message}" if link.message else link.kind
        return [_make(time.time(), "ERROR", self._logger, message, None, [link])]

    def _line(self, text: str) -> Line:
        fields = _json(text) or _logfmt(text)
        if fields is None:
            return _make(time.time(), level_in(text), self._logger, text, None, None)
        message = _take(fields, _MESSAGE)
        level = _level(_take(fields, _LEVEL))
        created = _time(_take(fields, _TIME))
        logger = _take(fields, _LOGGER)
        name = logger if isinstance(logger, str) and logger else self._logger
        return _make(created, level, name, text if message is None else str(message), fields, None)


def level_in(text: str) -> str:
    """The level that a plain line names near its start; INFO where it names none."""
    found = _IN_TEXT.search(text[:120])
    return "INFO" if found is None else _NAMES.get((found[1] or found[2] or found[3]).lower(), "INFO")


def _make(
    created: float,
    level: str,
    logger: str,
    message: str,
    fields: dict[str, Any] | None,
    links: list[Link] | None,
) -> Line:
    extra = plain(fields) if fields else None
    return Line(created, LEVELS[level], level, logger, message[:MAX_MESSAGE], {}, extra, links, None)


def _json(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _logfmt(text: str) -> dict[str, Any] | None:
    """A line of nothing but `key=value` pairs that has a level or a message."""
    fields: dict[str, Any] = {}
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return None
        value = found[2]
        fields[found[1]] = value[1:-1].replace('\\"', '"') if value[:1] == '"' else value
        at = found.end()
    return fields if len(fields) > 1 and any(name in fields for name in (*_LEVEL, *_MESSAGE)) else None


def _take(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in fields:
            return fields.pop(name)
    return None


def _level(value: Any) -> str:
    if isinstance(value, str):
        return _NAMES.get(value.strip().lower(), "INFO")
    return _NUMBERS.get(value, "INFO") if isinstance(value, int) else "INFO"


def _time(value: Any) -> float:
    """Seconds since the epoch of an ISO 8601 text or a number of seconds or milliseconds; now for others."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if value > 1e11 else float(value)
        return seconds if 1e9 < seconds < 1e10 else time.time()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return time.time()
    return time.time()


def _link(held: list[str]) -> Link:
    """The exception of a printed traceback, with its frames."""
    frames: list[Frame] = []
    for text in held[1:]:
        found = _FRAME.match(text)
        if found:
            frames.append(Frame(found[1], int(found[2]), found[3] or "<module>", ""))
    raised = _RAISED.match(held[-1])
    if raised is None:
        return Link("Traceback", "", held[-1].strip(), frames)
    module, _, kind = raised[1].rpartition(".")
    return Link(kind, module or "builtins", raised[2] or "", frames)
