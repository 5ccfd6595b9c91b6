"""What lines call themselves: level, logger and service as they are spelled, numbered within a day.

Counts by five minutes, dataset and label (`labelled`) answer histograms and terms over these
fields without opening a block; a sealed day has sums of them by the hour as well. A line with a
list or a number there, or one label too many, is `OTHER`: a day that has some in the asked time
is read line by line instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

FIELDS = ("level", "logger", "service")
SLOT_US = 300_000_000
HOUR_US = 3_600_000_000
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


def add_hours(raw: sqlite3.Connection) -> None:
    """Sum up a day that is sealed."""
    raw.execute(
        "CREATE TABLE labelled_hour (slot INTEGER, dataset INTEGER, level INTEGER, label INTEGER,"
        " n INTEGER NOT NULL, PRIMARY KEY (slot, dataset, level, label)) WITHOUT ROWID"
    )
    raw.execute(
        "INSERT INTO labelled_hour SELECT slot * ?1 / ?2, dataset, level, label, sum(n) AS lines"
        " FROM labelled GROUP BY 1, 2, 3, 4 HAVING lines > 0",
        (SLOT_US, HOUR_US),
    )


def has_hours(raw: sqlite3.Connection) -> bool:
    """Whether the day has sums by the hour."""
    return raw.execute("SELECT 1 FROM sqlite_master WHERE name='labelled_hour'").fetchone() is not None


def drop_hours(raw: sqlite3.Connection) -> None:
    """Forget the sums, before the day is changed."""
    raw.execute("DROP TABLE IF EXISTS labelled_hour")


def sums(
    raw: sqlite3.Connection, slot_us: int, first: int, last: int, step_us: int, *, levels: bool, labels: bool
) -> Iterable[tuple[int, int, int, int, int]]:
    """First slot of a step, dataset, level, label and lines of the slots `[first, last)`.

    Level and label are told apart only where asked for; a label that nobody asks for is -1.
    """
    table = "labelled_hour" if slot_us == HOUR_US else "labelled"
    return raw.execute(
        "SELECT min(slot), dataset, level * ?5 AS one, CASE WHEN ?6 THEN label ELSE -1 END AS other, sum(n)"  # noqa: S608 - fixed texts
        f" FROM {table} WHERE slot >= ?1 AND slot < ?2 GROUP BY slot * ?4 / ?3, dataset, one, other",
        (first, last, step_us, slot_us, int(levels), int(labels)),
    )


def used(raw: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """Which datasets, levels and labels there are together."""
    table = "labelled_hour" if has_hours(raw) else "labelled"
    return raw.execute(f"SELECT DISTINCT dataset, level, label FROM {table} WHERE n > 0").fetchall()  # noqa: S608 - fixed texts
