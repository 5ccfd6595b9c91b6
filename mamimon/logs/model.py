"""The log record as it comes in (`LogRecord`) and as it is found again (`LogHit`)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

LEVELS = ("", "TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
"""Levels as they are stored, by number; the empty one is a line that names no level we know."""
LEVEL_NUMBERS = {name: number for number, name in enumerate(LEVELS)}

_ALIASES = {
    "TRACE": 1, "FINEST": 1, "FINER": 1, "VERBOSE": 1, "SILLY": 1,
    "DEBUG": 2, "DBG": 2, "FINE": 2, "D": 2,
    "INFO": 3, "INFORMATION": 3, "INFORMATIONAL": 3, "INF": 3, "I": 3, "HTTP": 3,
    "NOTICE": 4, "SUCCESS": 4,
    "WARNING": 5, "WARN": 5, "WRN": 5, "W": 5,
    "ERROR": 6, "ERR": 6, "SEVERE": 6, "E": 6, "EROR": 6,
    "CRITICAL": 7, "CRIT": 7, "FATAL": 7, "ALERT": 7, "EMERG": 7, "EMERGENCY": 7, "PANIC": 7, "F": 7,
}  # fmt: skip
# Bunyan, pino and Python's logging count in tens.
_BY_TENS = {10: 1, 20: 3, 30: 3, 40: 5, 50: 6, 60: 7}
_MESSAGE_KEYS = ("message", "msg", "log", "event", "short_message", "body", "text")
_LOGGER_KEYS = ("logger", "logger_name", "log.logger", "name", "service", "service.name", "app")
_PATTERN = re.compile(r"[pP][0-9a-fA-F]{8}")
_DAILY = re.compile(r"^logs-(?P<dataset>.+)-(?P<day>\d{4}\.\d{2}\.\d{2})$")


class LogRecord(msgspec.Struct, kw_only=True, gc=False):
    """One line on its way in: what is indexed, and the JSON document as it will be stored."""

    time: float
    level: str
    raw: bytes
    dataset: str
    plain: bool = False
    """The line was written to an index of the dataset's own name, not to `logs-<dataset>-<day>`."""
    message: str | None = None
    """The document's message where whoever made the record knows it; None is read from `raw`."""
    id: str = ""
    create: bool = False
    """A document of this id must not be there yet."""
    label: tuple[str | None, ...] | None = None
    """What `store.labels` counts the line by; None: to be read from `raw`."""


class LogHit(msgspec.Struct, kw_only=True):
    """One line that was found."""

    id: str
    dataset: str
    time: float
    level: str
    logger: str
    message: str
    raw: bytes
    index: str = ""
    seq: int = 0
    pattern: int = 0

    def document(self) -> dict[str, Any]:
        """The stored JSON document."""
        return read_document(self.raw)


class LogPage(msgspec.Struct, kw_only=True):
    """Lines, newest first. `more`: older ones match too; `partial`: some day could not be read."""

    hits: list[LogHit]
    more: bool = False
    partial: bool = False
    took_ms: float = 0.0
    next: str = ""
    """Where the next older page begins (`LogQuery.before`); empty where there is none."""


class LogHistogram(msgspec.Struct, kw_only=True):
    """Counts by time and level, or value of a field; `times` are the starts of the steps in epoch seconds."""

    times: list[float]
    counts: dict[str, list[int]]
    partial: bool = False

    @property
    def total(self) -> int:
        """Lines counted."""
        return sum(sum(values) for values in self.counts.values())


class LogFacets(msgspec.Struct, kw_only=True):
    """The commonest values of fields with their counts; `partial`: some lines were not counted."""

    values: dict[str, list[tuple[str, int]]]
    partial: bool = False


def level_number(value: object) -> int:
    """The stored level of a level as programs write it: any case, short forms, numbers in tens; 0 unknown."""
    if isinstance(value, str):
        known = LEVEL_NUMBERS.get(value)
        return _ALIASES.get(value.strip().upper(), 0) if known is None else known
    if isinstance(value, int) and not isinstance(value, bool):
        return _BY_TENS.get(value, 0)
    return 0


def normal_level(value: object) -> str:
    """The name of `level_number`."""
    return LEVELS[level_number(value)]


def pattern_id(number: int) -> str:
    """How people and queries name a pattern: `p` and eight hexadecimal digits."""
    return f"p{number:08x}"


def pattern_number(text: str) -> int:
    """The number that `pattern_id` wrote; 0 for another text."""
    return int(text[1:], 16) if _PATTERN.fullmatch(text) else 0


def read_document(raw: bytes) -> dict[str, Any]:
    """Decode a stored document; what msgspec does not take (`1e999`) is read as Python's json does."""
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        import json

        document = json.loads(raw.decode("utf-8", "replace"))
    return document if isinstance(document, dict) else {"message": document}


def message_of(document: dict[str, Any]) -> str:
    """The sentence a person reads first."""
    return _first(document, _MESSAGE_KEYS)


def logger_of(document: dict[str, Any]) -> str:
    """Who said it: the logger, else the program."""
    return _first(document, _LOGGER_KEYS)


def _first(document: dict[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = document.get(key)
        if value is None and "." in key:
            outer, _, inner = key.partition(".")
            nested = document.get(outer)
            value = nested.get(inner) if isinstance(nested, dict) else None
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)):
            return str(value)
    return ""


def dataset_of(index: str) -> tuple[str, bool]:
    """The dataset that an index name writes to, and whether the name is the dataset's own (plain)."""
    found = _DAILY.match(index)
    return (found["dataset"], False) if found else (index, True)


def index_of(dataset: str, plain: bool, day: str) -> str:
    """The index that shows lines of `dataset` stored in the file of `day` (`YYYY-MM-DD`)."""
    return dataset if plain else f"logs-{dataset}-{day.replace('-', '.')}"
