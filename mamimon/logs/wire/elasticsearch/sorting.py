"""The order of hits: sort keys with directions, what is missing, and the values that answers show."""

from __future__ import annotations

import math
from ipaddress import ip_address
from typing import Any

import msgspec

from mamimon.logs.clauses import Row
from mamimon.logs.dateformat import write_date
from mamimon.logs.dates import parse_bound, parse_iso
from mamimon.logs.text import exact_number_of, shown
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, unknown_field

_MOST, _LEAST = 2**63 - 1, -(2**63)
_ABSENT = (_MOST, _LEAST, "Infinity", "-Infinity")
_OPTIONS = {"order", "missing", "mode", "format", "unmapped_type", "numeric_type", "nested"}
_ARRIVAL = {"_doc", "_shard_doc", "_seq_no"}


class Key(msgspec.Struct, frozen=True):
    """One part of an order."""

    field: str
    descending: bool = False
    missing: Any = "_last"
    mode: str = ""
    form: str = ""
    kind: str = ""
    """The field's type in the newest lines, once it is looked up."""


class Reversed:
    """Turns the order of a value round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Reversed) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Sort(msgspec.Struct, frozen=True):
    """An order of rows. Ties are broken by arrival, the newest first, so pages never overlap."""

    keys: tuple[Key, ...]
    given: bool

    @classmethod
    def read(cls, spec: Any) -> Sort:
        """A `sort` of a body, or `field:asc,other:desc` of a URI; none is newest first."""
        if spec is None or spec in ([], ""):
            return cls((Key("@timestamp", descending=True),), False)
        parts = spec if isinstance(spec, list) else [spec if isinstance(spec, dict) else shown(spec)]
        keys: list[Key] = []
        for part in parts:
            if isinstance(part, str):
                name, _, direction = part.partition(":")
                keys.append(
                    Key(name, descending=(direction or ("desc" if name == "_score" else "asc")) == "desc")
                )
                continue
            if not isinstance(part, dict):
                raise illegal(
                    "malformed sort format, within the sort array, an object, or an actual string are allowed"
                )
            for name, options in part.items():
                keys.append(_key(name, options))
        return cls(tuple(keys), True)

    def typed(self, kinds: dict[str, str]) -> Sort:
        """The same order, knowing of the fields' types."""
        return Sort(
            tuple(msgspec.structs.replace(key, kind=kinds.get(key.field, key.kind)) for key in self.keys),
            self.given,
        )

    def fields(self) -> set[str]:
        """The fields that it looks at."""
        return {key.field for key in self.keys}

    @property
    def by_time(self) -> str:
        """`desc` or `asc` where the order is that of time and arrival alone, else empty."""
        keys = [key for key in self.keys if key.field != "_score"]
        if not keys:
            return "desc"
        if keys[0].field in _ARRIVAL:
            # It is unlike for any two lines, so nothing behind it counts.
            return "desc" if keys[0].descending else "asc"
        if keys[0].field != "@timestamp":
            return ""
        rest = keys[1:]
        if all(key.field in _ARRIVAL for key in rest):
            return "desc" if keys[0].descending else "asc"
        return ""

    @property
    def first_come_first(self) -> bool:
        """Whether lines of one millisecond are wanted in the order of their arrival."""
        arrival = next((key for key in self.keys[:2] if key.field in _ARRIVAL), None)
        return arrival is not None and not arrival.descending

    def key(self, row: Row) -> tuple[Any, ...]:
        """What rows are compared by."""
        return (*(self._part(key, row) for key in self.keys), -_place(row))

    def _part(self, key: Key, row: Row) -> Any:
        return comparable(key, _value(key, row))

    def values(self, row: Row) -> list[Any]:
        """The `sort` of a hit."""
        return [_shown(key, _value(key, row)) for key in self.keys]

    def after(self, values: Any) -> tuple[Any, ...]:
        """The key that `search_after` names; rows must come behind it."""
        if not isinstance(values, list) or len(values) != len(self.keys):
            raise illegal(
                f"search_after has {len(values) if isinstance(values, list) else 0} value(s)"
                f" but sort has {len(self.keys)}."
            )
        parts = []
        for key, given in zip(self.keys, values, strict=True):
            # What stands for a missing value in an answer stands for it here too.
            value = None if given in _ABSENT and key.field not in _ARRIVAL else given
            if key.field == "@timestamp" and isinstance(given, str):
                seconds = parse_bound(given, 0.0)
                if seconds is None:
                    raise illegal(f"Failed to parse search_after value for field [{key.field}].")
                value = round(seconds * 1000)
            number = None if not isinstance(value, str) else exact_number_of(value)
            if number is None:
                number = _dated(value)
            text = comparable(key, value)
            parts.append(text if number == value else _Either(comparable(key, number), text))
        return tuple(parts)

    def edge_us(self, after: tuple[Any, ...]) -> int | None:
        """The first time that a row behind `after` can have; None where it does not say."""
        key, part = self.keys[0], after[0]
        if isinstance(part, _Either) or part[0] != 1:
            return None
        typed = part[1].value if key.descending else part[1]
        if typed[0] != 0 or key.field not in {"@timestamp", *_ARRIVAL}:
            return None
        if key.field != "@timestamp":
            return int(typed[1]) >> 32
        return int(typed[1]) * 1000 + (999 if key.descending else 0)

    def behind(self, after: tuple[Any, ...], row: Row) -> bool:
        """Whether a row comes behind the key that `after` made."""
        for place, own in zip(after, self.key(row), strict=False):
            mark = place.beside(own) if isinstance(place, _Either) else place
            if mark != own:
                return bool(mark < own)
        return False


class _Either(msgspec.Struct, frozen=True):
    """A text of `search_after` that spells a number: the field's own type says which is meant."""

    number: tuple[Any, ...]
    text: tuple[Any, ...]

    def beside(self, own: tuple[Any, ...]) -> tuple[Any, ...]:
        """The reading to compare with a row's part of the key."""
        typed = own[1].value if len(own) > 1 and isinstance(own[1], Reversed) else own[-1]
        return self.text if isinstance(typed, tuple) and typed[0] == 1 else self.number


def comparable(key: Key, value: Any) -> Any:
    """A value as it is ordered: numbers before text, what is missing at the end that was asked for."""
    if value is None:
        first = key.missing == "_first"
        return (0,) if first else (3,)
    if isinstance(value, bool):
        value = int(value)
    typed = (0, value) if isinstance(value, (int, float)) else (1, ranked(key.kind, shown(value)))
    return (1, Reversed(typed) if key.descending else typed)


def _key(name: str, options: Any) -> Key:
    if isinstance(options, str):
        options = {"order": options}
    if not isinstance(options, dict):
        raise EsError(400, "x_content_parse_exception", f"[field_sort] malformed sort of [{name[:80]}]")
    if name == "_script" or "nested" in options:
        raise illegal(f"[{name}] sorting is not supported by a log store")
    if unknown := set(options) - _OPTIONS:
        raise unknown_field("field_sort", min(unknown))
    order = str(options.get("order", "desc" if name == "_score" else "asc")).lower()
    if order not in {"asc", "desc"}:
        raise illegal(f"No enum constant org.elasticsearch.search.sort.SortOrder.{order[:40]}")
    return Key(
        name,
        order == "desc",
        options.get("missing", "_last"),
        str(options.get("mode", "")),
        str(options.get("format", "")),
    )


def _place(row: Row) -> int:
    # Microseconds and then arrival: the order that a store of days has anyway.
    return (row.time_us << 32) | row.seq


def _value(key: Key, row: Row) -> Any:
    if key.field == "@timestamp":
        return row.time_us // 1000
    if key.field in _ARRIVAL:
        return _place(row)
    if key.field == "_score":
        return 1.0
    found = [_dated(value) for value in row.values(key.field)]
    if not found:
        return None if key.missing in {"_last", "_first"} else key.missing
    if len(found) == 1:
        return found[0]
    mode = key.mode or ("max" if key.descending else "min")
    if mode in {"sum", "avg"} and all(isinstance(value, (int, float)) for value in found):
        total = sum(found)
        if mode == "sum":
            return total
        mean = total / len(found)
        # The mean of whole numbers is one, as in Lucene's columns.
        return math.floor(mean + 0.5) if isinstance(total, int) else mean
    ordered = sorted(
        found, key=lambda one: (isinstance(one, str), ranked(key.kind, one) if isinstance(one, str) else one)
    )
    return ordered[-1 if mode == "max" else 0]


def _dated(value: Any) -> Any:
    if isinstance(value, str) and len(value) >= 19 and value[4:5] == "-":
        seconds = parse_iso(value)
        if seconds is not None:
            return round(seconds * 1000)
    return value


def ranked(kind: str, text: str) -> str:
    """Text by which values of a type are ordered: addresses by their numbers."""
    if kind != "ip":
        return text
    try:
        address = ip_address(text)
    except ValueError:
        return text
    # IPv4 stands at ::ffff:0:0/96 as in Lucene.
    return f"{int(address) + (0xFFFF_0000_0000 if address.version == 4 else 0):032x}"


def _shown(key: Key, value: Any) -> Any:
    if value is None and key.missing in {"_last", "_first"}:
        # Elasticsearch shows where a line without the value stands.
        high = (key.missing == "_last") != key.descending
        if key.kind in {"long", "date", "boolean"}:
            return _MOST if high else _LEAST
        if key.kind == "float":
            return "Infinity" if high else "-Infinity"
    if key.form and isinstance(value, int) and (key.kind == "date" or key.field == "@timestamp"):
        return value // 1000 if key.form == "epoch_second" else write_date(value, key.form)
    return value
