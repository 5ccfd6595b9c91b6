"""How Prometheus writes things: quoted strings, numbers, durations."""

from __future__ import annotations

import math
import re

from mamimon.metrics.promql.errors import Flaw

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}
_UNESCAPES = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "\\": b"\\", "'": b"'", '"': b'"', "`": b"`",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
LEGACY_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")

UNITS_MS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_UNIT_ORDER = list(UNITS_MS)
_DURATION_PART = re.compile(r"([0-9]+)([^0-9]*)")


def _escape(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + quote
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and character != "\ufffd":  # which no literal may hold as it is
        return character
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quote(text: str) -> str:
    """As Go's `%q` of a string."""
    return '"' + "".join(_escape(character, '"') for character in text) + '"'


def quote_rune(character: str) -> str:
    """As Go's `%q` of a rune."""
    return "'" + _escape(character, "'") + "'"


def unquote(literal: str, errors: str = "replace") -> str:
    """The text inside a quoted literal whose escapes the lexer has checked; `errors` as in `decode`."""
    inside = literal[1:-1]
    if literal[0] == "`" or "\\" not in inside:
        return inside
    out = bytearray()
    position = 0
    for found in _ESCAPE.finditer(inside):
        out += inside[position : found.start()].encode("utf-8", "surrogateescape")
        position = found.end()
        byte, short, long, octal, plain = found.groups()
        if byte or octal:
            out.append(int(byte, 16) if byte else int(octal, 8))
        elif short or long:
            out += chr(int(short or long, 16)).encode()
        else:
            out += _UNESCAPES[plain]
    out += inside[position:].encode("utf-8", "surrogateescape")
    return out.decode("utf-8", errors)


def duration_ms(text: str) -> int:
    """`1h30m` in milliseconds; raises ValueError with Prometheus' words."""
    last = -1
    total = 0
    for found in _DURATION_PART.finditer(text):
        unit = found.group(2)
        if unit not in UNITS_MS:
            raise ValueError(f"unknown unit {quote(unit)} in duration {quote(text)}")
        order = _UNIT_ORDER.index(unit)
        if order <= last:
            raise ValueError(f"not a valid duration string: {quote(text)}")
        last = order
        total += int(found.group(1)) * UNITS_MS[unit]
    if total > 9_223_372_036_854:
        raise ValueError("duration out of range")
    return total


def format_duration(ms: int) -> str:
    """Milliseconds as Prometheus writes durations: `1h30m`; years, weeks only when nothing is left over."""
    if ms == 0:
        return "0s"
    sign = "-" if ms < 0 else ""
    ms = abs(ms)
    out = []
    for unit, size in UNITS_MS.items():
        exact = unit in ("y", "w", "d")
        if exact and ms % size:
            continue
        if count := ms // size:
            out.append(f"{count}{unit}")
            ms -= count * size
    return sign + "".join(out)


def to_ms(seconds: float) -> int:
    """Seconds of a literal in milliseconds, by way of whole nanoseconds as Go does."""
    return math.trunc(round(seconds * 1e9) / 1e6)


def number(text: str, start: int) -> float:
    """The value of a number token; 0755 is octal and 0x1f hexadecimal, as in Go."""
    lower = text.lower()
    try:
        if lower.startswith("0x"):
            return float(int(lower, 16))
        if re.fullmatch(r"0[0-7_]+", lower):
            return float(int(lower.replace("_", ""), 8))
        value = float(lower)
    except OverflowError:
        value = math.inf
        failure = "value out of range"
    except ValueError:
        value = math.nan
        failure = "invalid syntax"
    else:
        if not math.isinf(value) or "inf" in lower:
            return value
        failure = "value out of range"
    raise Flaw(
        f"error parsing number: strconv.ParseFloat: parsing {quote(text)}: {failure}",
        start,
        start + len(text),
    )


def format_float(value: float) -> str:
    """As Go's `FormatFloat(value, 'f', -1, 64)`: the shortest digits, never an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        sign = "-" if mantissa.startswith("-") else ""
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        digits, point = whole + fraction, len(whole) + int(exponent)
        if point <= 0:
            text = f"{sign}0.{'0' * -point}{digits}"
        elif point >= len(digits):
            text = f"{sign}{digits}{'0' * (point - len(digits))}"
        else:
            text = f"{sign}{digits[:point]}.{digits[point:]}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text


def format_general(value: float) -> str:
    """As Go's `%v`/`%g` of a float64: an exponent from 1e+21 on and below 1e-4."""
    if value == 0 or not math.isfinite(value) or 1e-4 <= abs(value) < 1e21:
        return format_float(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    power = int(exponent)
    if mantissa.endswith(".0"):
        mantissa = mantissa[:-2]
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
