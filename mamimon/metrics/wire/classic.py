"""Classic histograms turned into native ones with custom buckets (`convert_classic_histograms_to_nhcb`).

Series of one family and label set go together whatever their order in the body. Where Prometheus drops
a histogram whose buckets contradict each other, its classic series are kept here, because losing what a
target says without a word helps nobody. Source: prometheus model/textparse, util/convertnhcb.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mamimon.metrics.histogram import CUSTOM, Histogram
from mamimon.metrics.model import HISTOGRAM_NAN
from mamimon.metrics.wire.exposition import Exemplar, Exposition, Metadata, quoted, series_labels
from mamimon.metrics.wire.metric_family import series_text

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels

_SUFFIXES = ("_bucket", "_count", "_sum")


class Part(msgspec.Struct, frozen=True):
    """What a series is to a classic histogram."""

    key: str
    """The text of the native series it belongs to."""
    suffix: str
    bound: float = math.nan
    gauge: bool = False


class _Found(msgspec.Struct):
    buckets: dict[float, float] = {}
    count: float | None = None
    total: float = 0.0
    time_ms: int | None = None
    start_ms: int = 0
    members: list[int] = []
    gauge: bool = False


def to_native(
    exposition: Exposition, parts: dict[str, Part | None], *, keep_classic: bool, gauges: bool = False
) -> Exposition:
    """The exposition with its classic histograms as native ones; `parts` remembers series over scrapes.

    `gauges` converts gauge histograms too, which Prometheus does in the protobuf format only.
    """
    kinds = {"histogram", "gaugehistogram"} if gauges else {"histogram"}
    found: dict[str, _Found] = {}
    exponential = {exposition.keys[index] for index in exposition.histograms}
    times = exposition.times_ms
    for index, (key, value) in enumerate(zip(exposition.keys, exposition.values.tolist(), strict=True)):
        if key not in parts:
            parts[key] = _part(key, exposition.metadata, kinds)
        part = parts[key]
        if part is None or part.key in exponential:
            continue
        one = found.setdefault(part.key, _Found())
        one.members.append(index)
        one.gauge = part.gauge
        one.time_ms = times[index] if times else None
        one.start_ms = one.start_ms or exposition.starts_ms.get(index, 0)
        if part.suffix == "_bucket":
            one.buckets.setdefault(part.bound, value)
        elif part.suffix == "_count":
            one.count = value
        else:
            one.total = value
    made = {key: (one, _histogram(one)) for key, one in found.items()}
    return _with(exposition, {k: (o, h) for k, (o, h) in made.items() if h is not None}, keep_classic)


def _part(key: str, metadata: Mapping[str, Metadata], kinds: Container[str]) -> Part | None:
    brace = key.find("{")
    name = key[:brace].strip() if brace > 0 else key.strip()
    if brace > 0 and not name.endswith(_SUFFIXES):
        return None
    labels = series_labels(key)
    base, suffix = _split(labels["__name__"])
    family = metadata.get(base)
    if family is None or family.kind not in kinds:
        return None
    text, gauge = label_set(base, labels), family.kind == "gaugehistogram"
    if suffix != "_bucket":
        return Part(text, suffix, gauge=gauge)
    try:
        bound = float(labels["le"])
    except (KeyError, ValueError):
        return None
    return None if math.isnan(bound) else Part(text, suffix, bound, gauge)


def _split(name: str) -> tuple[str, str]:
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix
    return name, ""


def label_set(name: str, labels: Labels) -> str:
    """The text of a series by another name, without the bound of a bucket."""
    own = [(label, value) for label, value in labels.items() if label not in ("__name__", "le")]
    pairs = [
        f"{label if label.isascii() and label.isidentifier() else quoted(label)}={quoted(value)}"
        for label, value in own
    ]
    return series_text(name, pairs)


def _histogram(one: _Found) -> Histogram | None:
    """None where the buckets contradict each other or the count."""
    bounds = sorted(one.buckets)
    cumulative = [one.buckets[bound] for bound in bounds]
    count = one.count if one.count is not None else cumulative[-1] if cumulative else 0.0
    if not bounds or bounds[-1] != math.inf:
        cumulative.append(count)
    else:
        bounds.pop()
    rising = all(low <= high for low, high in pairwise([0.0, *cumulative]))
    if not rising or cumulative[-1] != count:
        return None
    counts = [high - low for low, high in pairwise([0.0, *cumulative])]
    return Histogram(
        schema=CUSTOM,
        count=count,
        sum=one.total,
        custom=tuple(bounds),
        positive={index: float(number) for index, number in enumerate(counts) if number},
        hint="gauge" if one.gauge else "unknown",
    )


def _with(
    exposition: Exposition, made: Mapping[str, tuple[_Found, Histogram]], keep_classic: bool
) -> Exposition:
    import numpy as np

    gone = set() if keep_classic else {index for one, _ in made.values() for index in one.members}
    stays = [index for index in range(len(exposition.keys)) if index not in gone]
    new = {old: index for index, old in enumerate(stays)}
    keys = [exposition.keys[index] for index in stays]
    values = exposition.values[stays].tolist()
    times: list[int | None] = (
        [exposition.times_ms[i] for i in stays] if exposition.times_ms else [None] * len(stays)
    )
    histograms = {new[index]: one for index, one in exposition.histograms.items()}
    starts = {new[index]: at for index, at in exposition.starts_ms.items() if index in new}
    native_of: dict[int, int] = {}
    for key, (one, histogram) in made.items():
        index = len(keys)
        keys.append(key)
        values.append(HISTOGRAM_NAN)
        times.append(one.time_ms)
        histograms[index] = histogram
        if one.start_ms:
            starts[index] = one.start_ms
        native_of.update(dict.fromkeys(one.members, index))
    exemplars = [
        Exemplar(native_of.get(one.sample, new.get(one.sample, -1)), one.labels, one.value, one.time_ms)
        for one in exposition.exemplars
    ]
    return Exposition(
        keys,
        np.asarray(values, dtype=np.float64),
        times if any(time is not None for time in times) else None,
        exposition.metadata,
        exemplars,
        histograms,
        starts,
    )
