"""StatsD and DogStatsD lines: `name:value|type|@rate|#tag:value,…`.

Names and tags become Prometheus names the way statsd_exporter makes them: what is no letter, digit,
`_` or `:` becomes `_`. Tags are read in DogStatsD's, InfluxDB's (`name,tag=value`) and Librato's
(`name#tag=value`) places. Sources: etsy/statsd docs/metric_types.md; Datadog's "DogStatsD datagram
format" 1.3; statsd_exporter's README.
"""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

from mamimon.metrics.model import Labels

Kind = Literal["counter", "gauge", "timer", "set"]
_KINDS: dict[str, Kind] = {
    "c": "counter", "m": "counter", "g": "gauge", "ms": "timer", "h": "timer", "d": "timer", "s": "set",
}  # fmt: skip
_NOT_NAME = re.compile(r"[^a-zA-Z0-9_:]")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_MOST_VALUES = 1_000
_MOST_TAGS = 50


class MalformedError(ValueError):
    """A line that cannot be read."""


class Line(msgspec.Struct):
    """One line: what it measured and how often it was sampled."""

    name: str
    kind: Kind
    labels: Labels
    values: list[float]
    """Empty for a set."""
    members: list[str] = []
    """Of a set."""
    relative: bool = False
    """A gauge that is changed by its value, not set to it."""
    rate: float = 1.0
    """The share of events that are sent, 0 < rate <= 1."""


def read_line(line: str) -> Line | None:
    """Read one line; None for an event or a service check of DogStatsD. Raises `MalformedError`."""
    if line.startswith(("_e{", "_sc|")):
        return None
    head, *parts = line.split("|")
    # A name may hold colons only where its tags do, so the value begins behind the first one.
    written, colon, value = head.partition(":")
    if not colon or not parts:
        raise MalformedError("no value or no type")
    kind = _KINDS.get(parts[0])
    if kind is None:
        raise MalformedError(f"unknown type {parts[0][:20]!r}")
    name, labels = _named(written)
    rate = 1.0
    for part in parts[1:]:
        if part.startswith("@"):
            rate = _number(part[1:])
            if not 0 < rate <= 1:
                raise MalformedError(f"sample rate {part[1:21]!r} is not in (0, 1]")
        elif part.startswith("#"):
            _add_tags(labels, part[1:].split(","), ":")
    values = value.split(":", _MOST_VALUES)
    if len(values) > _MOST_VALUES:
        raise MalformedError(f"more than {_MOST_VALUES} values")
    if kind == "set":
        return Line(name, kind, labels, [], values)
    numbers = [_number(one) for one in values]
    if parts[0] == "ms":
        numbers = [number / 1000 for number in numbers]
    relative = kind == "gauge" and value[:1] in ("+", "-")
    return Line(name, kind, labels, numbers, relative=relative, rate=rate)


def _named(written: str) -> tuple[str, Labels]:
    labels: Labels = {}
    name = written
    for mark in (",", "#"):
        if mark in written:
            name, _, tags = written.partition(mark)
            _add_tags(labels, tags.split(","), "=")
            break
    name = _NOT_NAME.sub("_", name)
    if not name.strip("_"):
        raise MalformedError("no name")
    return (f"_{name}" if name[0].isdigit() else name), labels


def _add_tags(labels: Labels, tags: list[str], between: str) -> None:
    if len(tags) > _MOST_TAGS:
        raise MalformedError(f"more than {_MOST_TAGS} tags")
    for tag in tags:
        name, _, value = tag.partition(between)
        if not name:
            continue
        label = _NOT_LABEL.sub("_", name)
        if label[0].isdigit() or label.startswith("__"):
            label = f"tag_{label.lstrip('_')}"
        labels[label] = value or "true"


def _number(text: str) -> float:
    # Python's float() would also take "nan", "1_000" and blanks.
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise MalformedError(f"{text[:40]!r} is not a number")
    return float(text)
