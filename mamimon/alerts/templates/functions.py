"""Templates: the functions of Go's text/template, Prometheus and Alertmanager that rules use."""

from __future__ import annotations

import datetime as dt
import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import re2

from mamimon.alerts.templates.syntax import TemplateError

_MAX = 64 * 1024


def truth(value: Any) -> bool:
    """Go's idea of a non-empty value."""
    if value is None:
        return False
    if isinstance(value, bool | int | float | str | Mapping | Sequence):
        return bool(value)
    return True


def go_print(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{k}:{go_print(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, dt.datetime):
        return _time_text(value)
    if isinstance(value, Sequence):
        return "[" + " ".join(go_print(one) for one in value) + "]"
    return str(value)


def go_float(value: float) -> str:
    """The shortest exact form; an exponent below 1e-4 and from 1e6 on (fmt's `%v`)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    digits = mantissa.replace(".", "").lstrip("-").strip("0")
    scale = math.floor(math.log10(abs(value))) if not exponent else int(exponent)
    if -4 <= scale < 6:
        return f"{value:.{max(0, len(digits) - scale - 1)}f}"
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{'-' if value < 0 else ''}{head}e{scale:+03d}"


def number(value: Any) -> float:
    """A float from a number or a numeric string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TemplateError(f"can't convert {go_print(value)[:40]} to a number")
    try:
        return float(value)
    except ValueError:
        raise TemplateError(f"can't convert {str(value)[:40]!r} to a number") from None


def _short(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return go_float(value)
    return f"{value:.4g}"


def humanize(raw: Any) -> str:
    """SI prefixes, four digits: `1.234k`."""
    value = number(raw)
    if value == 0 or math.isnan(value) or math.isinf(value):
        return _short(value)
    prefix = ""
    if abs(value) >= 1:
        for one in "kMGTPEZY":
            if abs(value) < 1000:
                break
            prefix, value = one, value / 1000
    else:
        for one in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = one, value * 1000
    return _short(value) + prefix


def humanize1024(raw: Any) -> str:
    """Binary prefixes, four digits: `1.5Ki`."""
    value = number(raw)
    if abs(value) <= 1 or math.isnan(value) or math.isinf(value):
        return _short(value)
    prefix = ""
    for one in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        if abs(value) < 1024:
            break
        prefix, value = one, value / 1024
    return _short(value) + prefix


def humanize_duration(raw: Any) -> str:
    """Seconds as `1d 2h 3m 4s`, below one second with a prefix."""
    value = number(raw)
    if math.isnan(value) or math.isinf(value):
        return _short(value)
    if value == 0:
        return "0s"
    if abs(value) < 1:
        prefix = ""
        for one in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = one, value * 1000
        return f"{_short(value)}{prefix}s"
    sign = "-" if value < 0 else ""
    whole = int(abs(value))
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_short(abs(value))}s"


def _time_text(value: dt.datetime) -> str:
    fraction = f"{value.microsecond:06d}".rstrip("0")
    return f"{value:%Y-%m-%d %H:%M:%S}{'.' + fraction if fraction else ''} +0000 UTC"


def to_time(raw: Any) -> Any:
    """A UTC instant from epoch seconds."""
    value = number(raw)
    if not math.isfinite(value) or abs(value) > 2e11:
        raise TemplateError("not a time")
    return dt.datetime.fromtimestamp(value, dt.UTC)


def humanize_timestamp(raw: Any) -> str:
    """Epoch seconds as a UTC date and time."""
    value = number(raw)
    return _short(value) if math.isnan(value) or math.isinf(value) else _time_text(to_time(value))


_VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def printf(form: Any, *args: Any) -> str:
    """Go's `fmt.Sprintf` for the verbs that templates use."""
    given = list(args)

    def one(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not given:
            return f"%!{verb}(MISSING)"
        if int(width or 0) > 1000 or int(precision or 0) > 1000:
            return f"%!{verb}(BADWIDTH)"
        text = _verb(verb, flags, precision, given.pop(0))
        size = int(width or 0)
        if "-" in flags:
            return text.ljust(size)
        if "0" in flags and verb not in "sqv" and text[:1] in "+-":
            return text[0] + text[1:].rjust(size - 1, "0")
        return text.rjust(size, "0" if "0" in flags and verb not in "sqv" else " ")

    text = _VERB.sub(one, str(form))
    return text + (f"%!(EXTRA {', '.join(go_print(a) for a in given)})" if given else "")


def _verb(verb: str, flags: str, precision: str | None, value: Any) -> str:
    sign = "+" if "+" in flags else ""
    if verb in "feEgG" and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            return go_float(value)
        if verb == "g" and precision is None:
            return go_float(float(value))
        return format(float(value), f"{sign}.{precision or 6}{verb}")
    if verb in "dxXob" and isinstance(value, int) and not isinstance(value, bool):
        return format(value, sign + verb)
    if verb == "t" and isinstance(value, bool):
        return go_print(value)
    if verb == "q":
        return json.dumps(go_print(value), ensure_ascii=False)
    if verb in "sv" and (verb == "v" or isinstance(value, str | Mapping | Sequence)):
        text = go_print(value)
        return text[: int(precision)] if precision and verb == "s" else text
    if verb == "T":
        return {bool: "bool", int: "int", float: "float64", str: "string"}.get(type(value), "map")
    return f"%!{verb}({go_print(value)})"


def _compare(test: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def run(first: Any, *others: Any) -> bool:
        if not others:
            raise TemplateError("missing argument for comparison")
        for other in others:
            if isinstance(first, str) != isinstance(other, str):
                raise TemplateError("incompatible types for comparison")
            if test(first, other):
                return True
        return False

    return run


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    return value[start:end]


def _replace(pattern: str, replacement: str, text: str) -> str:
    if len(text) > _MAX or len(pattern) > 4096:
        raise TemplateError("text too long for reReplaceAll")
    rewritten = re.sub(r"\$\{?(\w+)\}?", lambda m: f"\\{m[1]}" if m[1].isdigit() else "", replacement)
    return str(re2.sub(pattern, rewritten, text))


def _first(samples: Sequence[Any]) -> Any:
    if not samples:
        raise TemplateError("first() called on vector with no elements")
    return samples[0]


def _strip_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    return host.strip("[]") if host and port.isdigit() else text


def _strip_domain(text: str) -> str:
    host, colon, port = text.partition(":")
    return host.split(".")[0] + colon + port


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": _compare(lambda a, b: bool(a == b)),
    "ne": lambda a, b: a != b,
    "lt": _compare(lambda a, b: bool(a < b)),
    "le": _compare(lambda a, b: bool(a <= b)),
    "gt": _compare(lambda a, b: bool(a > b)),
    "ge": _compare(lambda a, b: bool(a >= b)),
    "not": lambda value: not truth(value),
    "len": len,
    "index": _index,
    "slice": _slice,
    "print": lambda *args: "".join(go_print(one) for one in args),
    "println": lambda *args: " ".join(go_print(one) for one in args) + "\n",
    "printf": printf,
    "html": lambda value: html.escape(go_print(value)),
    "js": lambda value: json.dumps(go_print(value))[1:-1],
    "urlquery": lambda value: quote_plus(go_print(value)),
    "urlQueryEscape": lambda value: quote_plus(go_print(value)),
    "safeHtml": go_print,
    "safeUrl": go_print,
    "title": lambda text: re.sub(r"\b\w", lambda m: m[0].upper(), str(text)),
    "toUpper": lambda text: str(text).upper(),
    "toLower": lambda text: str(text).lower(),
    "trimSpace": lambda text: str(text).strip(),
    "join": lambda sep, parts: str(sep).join(str(one) for one in parts),
    "stringSlice": lambda *args: list(args),
    "match": lambda pattern, text: re2.search(str(pattern), str(text)) is not None,
    "reReplaceAll": _replace,
    "stripPort": _strip_port,
    "stripDomain": _strip_domain,
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": lambda value: _short(number(value) * 100) + "%",
    "humanizeTimestamp": humanize_timestamp,
    "toTime": to_time,
    "parseDuration": lambda text: _duration(str(text)),
    "first": _first,
    "value": lambda sample: sample.go_field("Value"),
    "label": lambda name, sample: sample.go_field("Labels").get(name, ""),
    "strvalue": lambda sample: sample.go_field("Labels").get("__value__", ""),
    "sortByLabel": lambda name, samples: sorted(samples, key=lambda s: s.go_field("Labels").get(name, "")),
    "graphLink": lambda expr: f"/graph?query={quote(str(expr))}",
    "tableLink": lambda expr: f"/graph?query={quote(str(expr))}&view=table",
    "args": lambda *values: {f"arg{number}": one for number, one in enumerate(values)},
}


def _duration(text: str) -> float:
    from mamimon.alerts.model import duration

    return duration(text)
