"""Functions that map each sample of an instant vector: arithmetic, trigonometry, dates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mamimon.metrics.promql.values import Floats, Ints

PLAIN: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": lambda x: np.where(np.exp(np.abs(x)) < np.inf, np.cosh(x), np.abs(x) * np.inf),
    "deg": lambda x: x * 180 / np.pi,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": lambda x: x * np.pi / 180,
    "sgn": lambda x: np.where(x < 0, -1.0, np.where(x > 0, 1.0, x)),
    "sin": np.sin,
    "sinh": lambda x: np.where(np.exp(np.abs(x)) < np.inf, np.sinh(x), x * np.inf),
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""One argument, one result. Go's sinh and cosh overflow where its exp does."""


def round_to(values: Floats, nearest: Floats) -> Floats:
    """Ties go up."""
    inverse = 1.0 / nearest
    return np.asarray(np.floor(values * inverse + 0.5) / inverse)


def larger(left: Floats, right: Floats) -> Floats:
    """As Go's Max: NaN wins, but over no +Inf."""
    return np.where(np.isposinf(left) | np.isposinf(right), np.inf, np.maximum(left, right))


def smaller(left: Floats, right: Floats) -> Floats:
    """As Go's Min: NaN wins, but over no -Inf."""
    return np.where(np.isneginf(left) | np.isneginf(right), -np.inf, np.minimum(left, right))


def clamp(values: Floats, low: Floats, high: Floats) -> Floats:
    """Between the limits."""
    return larger(low, smaller(high, values))


def _seconds(values: Floats) -> Ints:
    """Whole seconds; what no calendar holds counts as the epoch."""
    usable = np.abs(values) < 1e14
    return np.where(usable, np.nan_to_num(values), 0.0).astype(np.int64)


def _part(values: Floats, unit: str) -> Ints:
    return _seconds(values).astype("datetime64[s]").astype(f"datetime64[{unit}]").astype(np.int64)


def _day_of_month(values: Floats) -> Ints:
    month = _seconds(values).astype("datetime64[s]").astype("datetime64[M]")
    return _part(values, "D") - month.astype("datetime64[D]").astype(np.int64) + 1


def _day_of_year(values: Floats) -> Ints:
    year = _seconds(values).astype("datetime64[s]").astype("datetime64[Y]")
    return _part(values, "D") - year.astype("datetime64[D]").astype(np.int64) + 1


def _days_in_month(values: Floats) -> Ints:
    month = _seconds(values).astype("datetime64[s]").astype("datetime64[M]")
    following = (month + 1).astype("datetime64[D]").astype(np.int64)
    return np.asarray(following - month.astype("datetime64[D]").astype(np.int64))


DATES: dict[str, Callable[[Floats], Ints]] = {
    "day_of_month": _day_of_month,
    "day_of_week": lambda x: (_part(x, "D") + 4) % 7,
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
    "hour": lambda x: _part(x, "h") % 24,
    "minute": lambda x: _part(x, "m") % 60,
    "month": lambda x: _part(x, "M") % 12 + 1,
    "year": lambda x: _part(x, "Y") + 1970,
}
"""Parts of a UTC time given in seconds since the epoch."""
