"""One sample as the text of the Prometheus API."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """A sample as Prometheus writes it: shortest digits, NaN, +Inf, -Inf."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if text[-1] in "fn" or "e" in text:
        return _odd(value, text)
    return text


def _odd(value: float, text: str) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = text.partition("e")
    # An exponent of at least two digits, and plain digits between 1e-6 and 1e21.
    if 1e-6 <= abs(value) < 1e21:
        from mamimon.metrics.promql.text import format_float

        return format_float(value)
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"
