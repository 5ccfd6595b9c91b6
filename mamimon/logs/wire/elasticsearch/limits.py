"""What bounds a search: `slice`, which deals lines out to several readers, and `timeout`."""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

from mamimon.logs import clauses as c
from mamimon.logs.text import shown
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_field

_MOST_SLICES = 1024
_TIME = re.compile(r"(\d{1,15})(d|h|m|s|ms|micros|nanos)")
_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "micros": 1e-6, "nanos": 1e-9}


class Slice(c.Plain):
    """One of several parts of all lines: those whose id, or value of a field, falls to it by its hash."""

    def __init__(self, field: str, number: int, of: int) -> None:
        self.field = field
        self.number = number
        self.of = of

    def match(self, row: c.Row) -> bool:
        """See `Clause.match`."""
        if not self.field:
            return crc32(row.id.encode()) % self.of == self.number
        found = row.values(self.field)
        # What has no value is in the first part, as in Elasticsearch.
        mark = crc32(min(map(shown, found)).encode()) if found else 0
        return mark % self.of == self.number


def read_slice(given: Any, *, paged: bool) -> Slice | None:
    """The `slice` of a body, which only a scroll or a point in time may have."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise parsing("[slice] failed to parse object")
    if unknown := set(given) - {"field", "id", "max"}:
        raise unknown_field("slice", min(unknown))
    number, of = (_whole(name, given.get(name)) for name in ("id", "max"))
    if number < 0:
        raise illegal("id must be greater than or equal to 0")
    if of <= 1:
        raise illegal("max must be greater than 1")
    if number >= of:
        raise illegal("max must be greater than id")
    if of > _MOST_SLICES:
        raise illegal(
            f"The number of slices [{of}] is too large. It must be less than [{_MOST_SLICES}]. This limit can"
            " be set by changing the [index.max_slices_per_scroll] index level setting."
        )
    if not paged:
        raise EsError(
            400,
            "action_request_validation_exception",
            "Validation Failed: 1: [slice] can only be used with [scroll] or [point-in-time] requests;",
        )
    field = str(given.get("field", "_id"))
    return Slice("" if field in {"_id", "_doc", "_shard_doc"} else field, number, of)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise parsing(f"[slice] failed to parse field [{name}]")
    try:
        return int(value)
    except ValueError:
        raise parsing(f"[slice] failed to parse field [{name}]") from None


def read_timeout(given: Any) -> float | None:
    """The seconds of a `timeout`; None where there is none (`-1`)."""
    if given is None or str(given) == "-1":
        return None
    found = _TIME.fullmatch(str(given).strip().lower())
    if found is None:
        if str(given) == "0":
            return 0.0
        raise illegal(
            f"failed to parse setting [timeout] with value [{str(given)[:40]}] as a time value:"
            " unit is missing or unrecognized"
        )
    return int(found[1]) * _UNITS_S[found[2]]
