"""Parameters' values as Go reads them: what Python would take beyond that is refused in Go's words."""

from __future__ import annotations

import datetime as dt
import math
import re
from json import dumps

from mamimon.metrics.scrape.yaml_file import duration

_DIGITS = "[0-9](?:_?[0-9])*"
_FLOAT = re.compile(
    rf"[+-]?(?:(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?|inf(?:inity)?|nan)",
    re.IGNORECASE,
)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_ENDS = {
    "-292273086-05-16T16:47:06Z": -9.2e12,
    "292277025-08-18T07:12:54.999999999Z": 9.2e12,
}
"""The first and last instant that Prometheus knows; its Go client sends them for "since ever"."""
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_MOST_S = 9.2e9
_MOST_INSTANT = 9.2e12


class Unreadable(Exception):  # noqa: N818 - the caller makes it a sentence about the parameter
    """A value that cannot be read, and why."""


def number(text: str) -> float | None:
    """What Go's ParseFloat makes of a decimal number, or None."""
    return float(text) if _FLOAT.fullmatch(text) else None


def instant(text: str) -> float:
    """Epoch seconds: a number or RFC 3339."""
    if text in _ENDS:
        return _ENDS[text]
    value = number(text)
    if value is None and _RFC3339.fullmatch(text):
        try:
            return dt.datetime.fromisoformat(text).timestamp()
        except ValueError:
            value = None
    if value is None or not math.isfinite(value) or abs(value) > _MOST_INSTANT:
        raise Unreadable(f"cannot parse {quoted(text)} to a valid timestamp")
    return value


def seconds(text: str) -> float:
    """A number of seconds or a Prometheus duration."""
    value = number(text)
    if value is None:
        value = duration(text)
        if value is None:
            raise Unreadable(f"cannot parse {quoted(text)} to a valid duration")
    if not math.isfinite(value) or abs(value) > _MOST_S:
        raise Unreadable(f"cannot parse {quoted(text)} to a valid duration. It overflows int64")
    return value


def whole_number(text: str, function: str = "Atoi", bits: int = 64) -> int:
    """A whole number of so many bits."""
    if not _WHOLE.fullmatch(text):
        raise Unreadable(f"strconv.{function}: parsing {quoted(text)}: invalid syntax")
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise Unreadable(f"strconv.{function}: parsing {quoted(text)}: value out of range")
    return value


def truth(text: str) -> bool:
    """A truth value as Go's ParseBool reads it; False where there is none."""
    if text in _TRUE:
        return True
    if text and text not in _FALSE:
        raise Unreadable(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")
    return False


def quoted(text: str) -> str:
    """A text as messages show it, cut to 200 characters."""
    return dumps(text[:200], ensure_ascii=False)
