"""Numbers as people read them, in the language of the page."""

from __future__ import annotations

import datetime as dt
import math

from mamimon.i18n import current_locale

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_OF_SECOND = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SUFFIX = {
    "rate": "/s", "hertz": "Hz", "celsius": "°C", "volt": "V", "amp": "A", "watt": "W", "bits": "bit",
    "bits/s": "bit/s",
}  # fmt: skip
_SHORT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


def shown(value: float | None, unit: str = "") -> str:
    """A value in its unit (`mamimon.dashboards.model.Unit`); a dash for none or NaN."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit in {"bytes", "bytes/s"}:
        return _bytes(value) + unit.removeprefix("bytes")
    if unit in _OF_SECOND:
        return _seconds(value * _OF_SECOND[unit])
    if unit == "date":
        return dt.datetime.fromtimestamp(min(max(value, 0.0), 32_503_680_000.0), dt.UTC).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
    if unit in {"percent", "ratio"}:
        return f"{_digits(value * (100 if unit == 'ratio' else 1))} %"
    text = _short(value)
    return f"{text} {_SUFFIX[unit]}" if unit in _SUFFIX else text


def _digits(value: float, significant: int = 3) -> str:
    """Three significant digits, thousands grouped, no exponent."""
    if value == 0:
        return "0"
    places = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.translate(str.maketrans(",.", ".,")) if current_locale.get() == "tr" else text


def _short(value: float) -> str:
    for limit, letter in _SHORT:
        if abs(value) >= limit:
            return f"{_digits(value / (1000 if letter == 'k' else limit))} {letter}"
    return _digits(value, 4 if abs(value) >= 1000 else 3)


def _bytes(value: float) -> str:
    index = 0
    while abs(value) >= 1024 and index < len(_BYTES) - 1:
        value /= 1024
        index += 1
    return f"{_digits(value)} {_BYTES[index]}"


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 172_800:
        return f"{_digits(value / 86_400)} d"
    if size >= 7200:
        return f"{_digits(value / 3600)} h"
    if size >= 120:
        return f"{_digits(value / 60)} min"
    if size >= 1 or size == 0:
        return f"{_digits(value)} s"
    if size >= 1e-3:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value * 1e6)} µs" if size >= 1e-6 else f"{_digits(value * 1e9)} ns"
