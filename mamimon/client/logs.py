"""Standard logging all the way: handlers and formatters around the records that applications make anyway."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Optional, TextIO

from mamimon.client import agent
from mamimon.client.buffer import rank_of
from mamimon.client.lines import Lines
from mamimon.client.records import take
from mamimon.client.settings import Settings, warn

_COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_QUIET_FIELDS = frozenset(
    ("service", "environment", "host", "pid", "trace_id", "span_id", "exception", "stack")
)
_local = False


def get_logger(name: Optional[str] = None) -> logging.Logger:
    """The logger of a name, as `logging.getLogger`.

    Where the application configures no logging at all, its records from INFO up are written to
    stderr as JSON lines instead of being lost.
    """
    ensure_local()
    return logging.getLogger(name)


def ensure_local() -> None:
    """Make JSON lines on stderr the last resort of logging; leaves any configuration alone."""
    global _local  # noqa: PLW0603 - once a process
    if _local:
        return
    _local = True
    handler = StderrHandler(logging.INFO)
    handler.setFormatter(JSONFormatter())
    logging.lastResort = handler
    root = logging.getLogger()
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(logging.INFO)


class JSONFormatter(logging.Formatter):
    """One line of JSON a record: time, level, logger, message, service, request id, extras, exception."""

    def __init__(self, settings: Optional[Settings] = None) -> None:
        super().__init__()
        self._settings = settings
        self._lines: Optional[Lines] = None
        self._made_for: Optional[Settings] = None

    def _writer(self) -> Lines:
        settings = self._settings or agent.settings()
        if self._lines is None or self._made_for is not settings:
            self._lines, self._made_for = Lines(settings), settings
        return self._lines

    def document(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record as a mapping; secrets are masked."""
        return self._writer().documents.document(take(record))

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        return self._writer().write(take(record)).decode()


class ConsoleFormatter(JSONFormatter):
    """For people at a terminal: time, level, logger, message, fields, and the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """A coloured line, and the traceback below it."""
        document = self.document(record)
        line = take(record)
        clock = document["@timestamp"][11:23]
        shown = [
            f"{name}={value}"
            for name, value in document.items()
            if name not in _QUIET_FIELDS and name not in ("@timestamp", "level", "logger", "message")
        ]
        colour = _COLOURS.get(line.level, "0")
        head = (
            f"\x1b[2m{clock}\x1b[0m \x1b[{colour}m{line.level:<8}\x1b[0m {line.logger}  {document['message']}"
        )
        text = f"{head}  \x1b[2m{' '.join(shown)}\x1b[0m" if shown else head
        block = document.get("exception")
        if block:
            text += "\n" + str(block.get("stacktrace") or f"{block['type']}: {block['message']}").rstrip()
        return text


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg] # not generic before Python 3.11
    """Writes to whatever `sys.stderr` is at that moment, so that redirections and tests see it."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        logging.Handler.__init__(self, level)

    @property
    def stream(self) -> TextIO:
        """The current `sys.stderr`."""
        return sys.stderr


class ShipHandler(logging.Handler):
    """Hands records to the sender. Takes no lock: `Shipper.put` needs none."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Do without."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit, without the lock."""
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Copy the record's essentials and hand them over; never raises."""
        try:
            level = record.levelno
            agent.put("log", take(record), rank_of(level))
            if level >= logging.ERROR and record.exc_info and agent.settings().capture_logged:
                self._report(record)
        except Exception as error:
            warn(f"a log record could not be taken: {error!r}")

    def _report(self, record: logging.LogRecord) -> None:
        from mamimon.client.errors import report

        error = record.exc_info[1] if record.exc_info else None
        if error is not None and agent.ships("error"):
            level = "fatal" if record.levelno >= logging.CRITICAL else "error"
            line = take(record)
            report(error, level=level, logger=record.name, message=line.message, extra=line.extra or {})


def only_ships(logger: logging.Logger) -> bool:
    """Whether our sender is all that sees the records of a logger below the root, as they were made."""
    handlers = logging.getLogger().handlers
    return (
        len(handlers) == 1
        and type(handlers[0]) is ShipHandler
        and handlers[0].level == 0
        and logger.parent is logger.root
        and logger.propagate
        and not (logger.handlers or logger.filters or handlers[0].filters)
        and logging.getLogRecordFactory() is logging.LogRecord
    )


def attach(settings: Settings, ship: bool) -> list[logging.Handler]:
    """Put our handlers on the root logger and set the levels; returns the handlers."""
    root = logging.getLogger()
    others = bool(root.handlers)
    handlers: list[logging.Handler] = []
    if ship:
        handlers.append(ShipHandler())
    kind = settings.console
    if kind == "auto":
        kind = "off" if others else "pretty" if _is_terminal() else "json"
    if kind in ("json", "pretty"):
        console = StderrHandler()
        console.setFormatter(ConsoleFormatter(settings) if kind == "pretty" else JSONFormatter(settings))
        handlers.append(console)
    for handler in handlers:
        root.addHandler(handler)
    set_level(root, settings.level)
    for name, level in settings.levels.items():
        set_level(logging.getLogger(name), level)
    return handlers


def set_level(logger: logging.Logger, level: str) -> None:
    """Set a level by name; an unknown name is said on stderr and changes nothing."""
    try:
        logger.setLevel(level.upper())
    except ValueError:
        warn(f"there is no log level {level!r}")


def detach(handlers: list[logging.Handler]) -> None:
    """Take our handlers off again."""
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def ship_uncaught(name: str, message: str, error: BaseException, extra: Mapping[str, Any]) -> None:
    """Ship a CRITICAL record without writing it to the console, where Python prints the traceback itself."""
    record = logging.LogRecord(
        name, logging.CRITICAL, "", 0, message, (), (type(error), error, error.__traceback__)
    )
    record.__dict__.update(extra)
    agent.put("log", take(record), 3)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except Exception:
        return False
