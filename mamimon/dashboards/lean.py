"""Answers of charts in as few bytes as can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np

# A chart is a few thousand pixels high at most.
_DIGITS = 6


def lean(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with its values to six significant digits: a third of the bytes, and nothing to be seen."""
    if "series" not in answer:
        return answer
    series = [{**one, "values": _short(one["values"])} for one in answer["series"]]
    return {**answer, "series": series}


def _short(values: list[float | None]) -> list[float | None]:
    numbers = np.array([np.nan if one is None else one for one in values], dtype=np.float64)
    there = np.isfinite(numbers) & (numbers != 0)
    size = np.floor(np.log10(np.abs(numbers, where=there, out=np.ones_like(numbers))))
    # Dividing by a power of ten that is exact keeps the shortest text: 0.3, not 0.30000000000000004.
    places = np.clip(_DIGITS - 1 - size, -300, 300)
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        short = np.round(numbers * up / down) / up * down
    return [
        None if one is None else (new if finite else one)
        for one, new, finite in zip(values, short.tolist(), np.isfinite(short).tolist(), strict=True)
    ]
