"""The parts of a LogQL query: its tree, its literals, and the error that a wrong one is."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mamimon.problems import Kind, Problem

RANGES = ("count_over_time", "rate", "bytes_over_time", "bytes_rate")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "topk", "bottomk")
COMPARISONS = ("==", "!=", ">=", "<=", ">", "<")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800,
    "y": 31_536_000,
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.S)
_SHORT = dict(zip("ntrabfv\\\"'", "\n\t\r\a\b\f\v\\\"'", strict=True))


class LogQLError(Problem):
    """A query that cannot be read or is not supported."""

    def __init__(self, detail: str) -> None:
        super().__init__(Kind.BAD_INPUT, detail)


class Matcher(msgspec.Struct, frozen=True):
    """`name op value`; in a filter the value may be a number."""

    name: str
    op: str
    value: str
    number: float | None = None


class LineFilter(msgspec.Struct, frozen=True):
    """`|= "a" or "b"`."""

    op: str
    values: tuple[str, ...]


class Parser(msgspec.Struct, frozen=True):
    """`| json` or `| logfmt`."""

    kind: str


class Drop(msgspec.Struct, frozen=True):
    """`| drop a, b`."""

    names: tuple[str, ...]


Stage = LineFilter | Matcher | Parser | Drop


class Log(msgspec.Struct, frozen=True):
    """A log query: a selector and its pipeline."""

    matchers: tuple[Matcher, ...]
    stages: tuple[Stage, ...] = ()


class Range(msgspec.Struct, frozen=True):
    """`count_over_time(log[5m] offset 1h)`."""

    function: str
    log: Log
    range_s: float
    offset_s: float = 0.0


class Aggregate(msgspec.Struct, frozen=True):
    """`sum by (a) (inner)`."""

    function: str
    inner: Any
    names: tuple[str, ...] = ()
    without: bool = False
    grouped: bool = False
    count: int = 0


class Number(msgspec.Struct, frozen=True):
    """A literal, or with `vector` a vector of one sample without labels."""

    value: float
    vector: bool = False


class Binary(msgspec.Struct, frozen=True):
    """`left op right`."""

    op: str
    left: Any
    right: Any


def seconds(text: str) -> float:
    """The seconds of a duration such as `1h30m`."""
    return sum(
        float(number) * _UNITS[unit]
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|[smhdwy])", text)
    )


def regex(pattern: str) -> Any:
    """A compiled pattern (RE2, as Go's); a broken one is a parse error."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise LogQLError(f"error parsing regexp: {why}: `{pattern[:200]}`") from None


def unquoted(text: str) -> str:
    """A Go string literal's inside; raises `ValueError`."""

    def one(found: re.Match[str]) -> str:
        number = found[1] or found[2] or found[3]
        if number:
            return chr(int(number, 16))
        if found[4]:
            return chr(int(found[4], 8))
        if found[5] not in _SHORT:
            raise ValueError(found[0])
        return _SHORT[found[5]]

    made = _ESCAPE.sub(one, text)
    made.encode()  # a lone surrogate is no text
    return made
