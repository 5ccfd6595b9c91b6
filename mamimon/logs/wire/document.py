"""What the doors that are not Elasticsearch's share: from a protocol's record to a line of ours.

Every door makes a plain dict and hands it to `line`, so that time, level, masking and limits are
decided in one place (`LogIngest.record_of`).
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.model import LogRecord

if TYPE_CHECKING:
    from mamimon.logs.ingest import LogIngest

RESERVED = frozenset(("@timestamp", "level", "logger", "message", "service", "host", "environment"))
"""Keys that hold text in every line of ours, so that no field may make an object of them."""

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_.-]+")
_encode = msgspec.json.Encoder().encode


def line(ingest: LogIngest, document: dict[str, Any], dataset: str) -> LogRecord:
    """The record of a document; raises `Refusal`."""
    return ingest.record_of(_encode(document), dataset)


def add(document: dict[str, Any], fields: dict[str, Any]) -> None:
    """Put a record's own fields into its document.

    One that would stand in the way of a key of ours (`level`, or `service.version` beside `service`,
    which Elasticsearch would not take when lines are sent on) goes under `attributes`.
    """
    for name, value in fields.items():
        if name.partition(".")[0] in RESERVED or name in document or not name:
            document.setdefault("attributes", {})[name] = value
        else:
            document[name] = value


def timestamp(nanoseconds: int) -> str:
    """ISO 8601 in UTC of nanoseconds since the epoch, with as many digits as matter, three at least.

    A number that is no date of this calendar raises `ValueError`.
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    digits = f"{rest:09}"
    shown = digits[:3] if rest % 1_000_000 == 0 else digits[:6] if rest % 1000 == 0 else digits
    return f"{_second(seconds)}.{shown}Z"


@lru_cache(256)
def _second(seconds: int) -> str:
    """Most lines of a batch share theirs."""
    try:
        return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}"
    except (OverflowError, OSError):
        raise ValueError("a time outside the calendar") from None


def dataset_named(name: str, default: str) -> str:
    """A dataset's name made of a service's: lower case, what an index name may not hold as `-`."""
    made = _NOT_IN_A_NAME.sub("-", name.strip().lower()).strip("-._+")[:100]
    return made or default
