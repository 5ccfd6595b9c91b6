"""Native histograms as tests of rules write them: `{{schema:0 sum:3 count:2 buckets:[1 1]}}`.

Source: Prometheus, "Unit testing for rules" (series notation).
"""

from __future__ import annotations

import re
from typing import cast, get_args

from mamimon.metrics.histogram import Hint, Histogram
from mamimon.metrics.promql.histogram_sums import added, subtracted

_FIELD = re.compile(r"(\w+):(\[[^\]]*\]|\S+)")
_SERIES = re.compile(r"(\{\{.*?\}\})(?:([+-])(\{\{.*?\}\}))?(?:x([0-9]+))?")
_KNOWN = {
    "schema", "sum", "count", "z_bucket", "z_bucket_w", "custom_values", "buckets", "offset", "n_buckets",
    "n_offset", "counter_reset_hint",
}  # fmt: skip


def histogram_of(text: str) -> tuple[Histogram, bool]:
    """The histogram, and whether a counter reset hint stands with it; raises `ValueError`."""
    if not (text.startswith("{{") and text.endswith("}}")):
        raise ValueError(f"not a histogram: {text[:100]!r}")
    fields = dict(_FIELD.findall(text[2:-2]))
    unknown = sorted(set(fields) - _KNOWN)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} of a histogram")

    def numbers(name: str) -> list[float]:
        return [float(number) for number in fields.get(name, "[]")[1:-1].split()]

    def side(name: str, offset: str) -> dict[int, float]:
        return dict(enumerate(numbers(name), int(fields.get(offset, 0))))

    hint = fields.get("counter_reset_hint", "unknown")
    if hint not in get_args(Hint):
        raise ValueError(f"unknown counter_reset_hint {hint!r}")
    one = Histogram(
        schema=int(fields.get("schema", 0)),
        sum=float(fields.get("sum", 0)),
        count=float(fields.get("count", 0)),
        zero_count=float(fields.get("z_bucket", 0)),
        zero_threshold=float(fields.get("z_bucket_w", 0)),
        custom=tuple(numbers("custom_values")),
        positive=side("buckets", "offset"),
        negative=side("n_buckets", "n_offset"),
        hint=cast("Hint", hint),
    )
    return one, "counter_reset_hint" in fields


def histograms_of(text: str, most: int) -> list[tuple[Histogram, bool]]:
    """`{{…}}`, `{{…}}xN` or `{{…}}+{{…}}xN` as N + 1 histograms; raises `ValueError`, over `most` as well."""
    found = _SERIES.fullmatch(text)
    if found is None:
        raise ValueError(f"not a histogram: {text[:100]!r}")
    first = histogram_of(found[1])
    if found[4] is None:
        return [first]
    if int(found[4]) > most:
        raise ValueError(f"{text[:100]}: too many samples")
    step = histogram_of(found[3]) if found[3] else None
    combine = added if found[2] == "+" else subtracted
    out, current = [first], first[0]
    for _ in range(int(found[4])):
        if step is not None:
            current = combine(current, step[0]).histogram
        out.append((current, (step or first)[1]))
    return out
