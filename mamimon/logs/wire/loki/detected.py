"""What the newest lines of a query have: labels with how many values, fields with their types and values.

Grafana's editor and its Logs Drilldown complete names and values by these. A field is what a line has
beside its labels, or what `| json` or `| logfmt` would make of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from mamimon.logs.clauses import Row
from mamimon.logs.store.scan import View
from mamimon.logs.text import number_of
from mamimon.logs.wire.loki.answers import Answers, Window
from mamimon.logs.wire.loki.rows import Selected, metadata_of, parsed_by, stream_of
from mamimon.logs.wire.loki.syntax import Log

MOST_LINES = 5_000
_MOST_VALUES = 10_000
_DURATION = re.compile(r"-?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_BYTES = re.compile(r"\d+(?:\.\d+)?\s?(?:[kKMGTP]i?)?B")


class Field(msgspec.Struct):
    """One field: what reads it out of a line, what its values are, and the distinct ones."""

    parsers: set[str] = msgspec.field(default_factory=set)
    kinds: set[str] = msgspec.field(default_factory=set)
    values: set[str] = msgspec.field(default_factory=set)

    @property
    def kind(self) -> str:
        """The type that all values have."""
        if self.kinds <= {"int", "float"}:
            return "float" if "float" in self.kinds else "int"
        return next(iter(self.kinds)) if len(self.kinds) == 1 else "string"


async def labels(answers: Answers, log: Log | None, window: Window) -> dict[str, Any]:
    """`detected_labels`."""
    found: dict[str, set[str]] = {}
    for stream in await answers.streams(log, window):
        for name, value in stream.items():
            found.setdefault(name, set()).add(value)
    return {"detectedLabels": [{"label": name, "cardinality": len(found[name])} for name in sorted(found)]}


async def fields(answers: Answers, log: Log, window: Window, lines: int, limit: int) -> dict[str, Any]:
    """`detected_fields` of the newest `lines`."""
    found = await _fields(answers, log, window, lines)
    names = sorted(found)[:limit]
    listed = [
        {
            "label": name,
            "type": (one := found[name]).kind,
            "cardinality": len(one.values),
            "parsers": sorted(one.parsers) or None,
        }
        for name in names
    ]
    return {"fields": listed, "limit": limit}


async def values(
    answers: Answers, log: Log, window: Window, lines: int, limit: int, name: str
) -> dict[str, Any]:
    """`detected_field/<name>/values`."""
    found = (await _fields(answers, log, window, lines)).get(name, Field())
    return {"values": sorted(found.values)[:limit], "limit": limit}


async def _fields(answers: Answers, log: Log, window: Window, lines: int) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for row in await answers.newest_of(Selected(log), window, lines, _read):
        for name, parser, text in row:
            one = found.setdefault(name, Field())
            one.kinds.add(_kind(text))
            if parser:
                one.parsers.add(parser)
            if len(one.values) < _MOST_VALUES:
                one.values.add(text)
    return found


def _read(limit: int, view: View) -> list[list[tuple[str, str, str]]]:
    return [list(_of_row(row)) for row in islice(view.newest(), limit)]


def _of_row(row: Row) -> Iterator[tuple[str, str, str]]:
    """Name, parser and value of each field of a line."""
    for name, text in metadata_of(row, stream_of(row)).items():
        yield name, "", text
    for parser in ("json", "logfmt"):
        for name, text in parsed_by(parser, row).items():
            yield name, parser, text


def _kind(text: str) -> str:
    if text in {"true", "false"}:
        return "boolean"
    number = number_of(text)
    if number is not None:
        return "int" if text.lstrip("+-").isdecimal() else "float"
    if _DURATION.fullmatch(text):
        return "duration"
    return "bytes" if _BYTES.fullmatch(text) else "string"
