"""What lines call themselves: level, logger and service as they are spelled, numbered within a day.

Counts by five minutes, dataset and label (`labelled`) answer histograms and terms over these
fields without opening a block. A line with a list or a number there, or one label too many, is
`OTHER`: a day that has some in the asked time is read line by line instead.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

FIELDS = ("level", "logger", "service")
SLOT_US = 300_000_000
OTHER = 0
_MOST = 2_000
_LONGEST = 200

Label = tuple[str | None, ...]
"""A value a field of `FIELDS`, None where there is none; `()` where it cannot be said so."""


class _Named(msgspec.Struct):
    level: Any = None
    logger: Any = None
    service: Any = None


_read = msgspec.json.Decoder(_Named).decode


def label_of(level: Any, logger: Any, service: Any) -> Label:
    """The label of a line with these values."""
    if type(level) is str and type(logger) is str and (service is None or type(service) is str):
        return level, logger, service
    found: list[str | None] = []
    for value in (level, logger, service):
        if isinstance(value, str):
            found.append(value)
        elif value is None or isinstance(value, dict):
            found.append(None)
        else:
            return ()
    return tuple(found)


def read_label(raw: bytes) -> Label:
    """The label of a stored line."""
    try:
        one = _read(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return label_of(one.level, one.logger, one.service)


def document_of(label: Label) -> bytes:
    """The JSON document that has nothing but a label's fields."""
    return msgspec.json.encode({k: v for k, v in zip(FIELDS, label, strict=True) if v is not None})


def load(raw: sqlite3.Connection) -> dict[Label, int]:
    """The labels of a day by number."""
    rows = raw.execute("SELECT id, document FROM label")
    return {read_label(document): number for number, document in rows}


def number_of(raw: sqlite3.Connection, label: Label, known: dict[Label, int], new: dict[Label, int]) -> int:
    """A label's number; one that is new is written and noted in `new`."""
    number = known.get(label) or new.get(label)
    if number is not None:
        return number
    if not label or len(known) + len(new) >= _MOST or any(len(part or "") > _LONGEST for part in label):
        return OTHER
    number = int(raw.execute("INSERT INTO label (document) VALUES (?)", (document_of(label),)).lastrowid or 0)
    new[label] = number
    return number
