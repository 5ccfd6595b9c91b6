"""The protobuf exposition format: delimited `io.prometheus.client.MetricFamily` messages.

The only format that carries native histograms. Its series get the text that the text format would give
them, so that who scrapes keeps one table for all formats. Sources: prometheus/client_model
metrics.proto; prometheus model/textparse (which series a family becomes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import HISTOGRAM_NAN, Labels
from mamimon.metrics.wire.exposition import (
    Exemplar,
    Exposition,
    ExpositionError,
    Metadata,
    bound_text,
    quoted,
)
from mamimon.metrics.wire.native import histogram_of, is_native, read_scraped
from mamimon.protobuf import BROKEN, double, fields, signed, varint

_KINDS = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")
_TIMED = {3: 3, 4: 4, 7: 15}
"""Field of a metric → field of its start timestamp: counter, summary, histogram."""


class _Metric(msgspec.Struct):
    labels: list[str] = []
    """`name="value"` each."""
    field: int = 0
    """Which of gauge (2), counter (3), summary (4), untyped (5) and histogram (7) it has."""
    body: bytes = b""
    time_ms: int | None = None


def parse_families(body: bytes, *, native: bool, keep_classic: bool, most: int = 10_000_000) -> Exposition:
    """Read a body of at most `most` series; raises `ExpositionError` (line 0).

    Without `native` only classic histograms are seen. A histogram that is exposed both ways is read
    as the native one, and with `keep_classic` as both.
    """
    reader = _Reader(native, keep_classic)
    name = ""
    try:
        for message in _delimited(body):
            name = reader.family(message)
            if reader.count > most:
                raise ExpositionError(0, f"more samples than max_series_per_target ({most})")
    except BROKEN as error:
        raise ExpositionError(0, f"not a MetricFamily after {name!r}: {error}") from None
    return reader.done()


def _delimited(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size, at = varint(body, at)
        if at + size > len(body):
            raise ValueError("a message is cut short")
        yield body[at : at + size]
        at += size


class _Reader:
    """Collects the families of one body."""

    def __init__(self, native: bool, keep_classic: bool) -> None:
        self._native = native
        self._keep_classic = keep_classic
        self._name = ""
        self._keys: list[str] = []
        self._values: list[float] = []
        self._times: list[int | None] = []
        self._metadata: dict[str, Metadata] = {}
        self._exemplars: list[Exemplar] = []
        self._histograms: dict[int, Histogram] = {}
        self._starts: dict[int, int] = {}

    @property
    def count(self) -> int:
        """Series so far."""
        return len(self._keys)

    def family(self, message: bytes) -> str:
        """Take in one family; answers its name."""
        texts = {1: "", 2: "", 5: ""}
        kind = 0
        metrics: list[bytes] = []
        for field, value in fields(message):
            if field == 4 and isinstance(value, bytes):
                metrics.append(value)
            elif field == 3 and isinstance(value, int):
                kind = value
            elif field in texts and isinstance(value, bytes):
                texts[field] = value.decode("utf-8")
        name = self._name = texts[1]
        if not name:
            raise ExpositionError(0, "a metric family has no name")
        if kind >= len(_KINDS):
            raise ExpositionError(0, f"unknown metric type {kind} of {name!r}")
        self._metadata[name] = Metadata(_KINDS[kind], texts[2], texts[5])
        for metric in metrics:
            self._metric(_metric(metric), gauge=kind == 5)
        return name

    def _metric(self, metric: _Metric, *, gauge: bool) -> None:
        first = len(self._keys)
        if metric.field == 7:
            self._histogram(metric, gauge)
        elif metric.field == 4:
            self._summary(metric)
        else:
            value, example = _plain(metric)
            index = self._add(metric, "", value)
            if example:
                self._exemplars.append(_exemplar(example, index))
        start = _start(metric)
        if start:
            self._starts.update(dict.fromkeys(range(first, len(self._keys)), start))

    def _add(self, metric: _Metric, suffix: str, value: float, *more: str) -> int:
        self._keys.append(series_text(self._name + suffix, [*metric.labels, *more]))
        self._values.append(value)
        self._times.append(metric.time_ms)
        return len(self._keys) - 1

    def _summary(self, metric: _Metric) -> None:
        count, total = 0, 0.0
        quantiles: list[tuple[float, float]] = []
        for field, value in fields(metric.body):
            if field == 1 and isinstance(value, int):
                count = value
            elif field == 2 and isinstance(value, bytes):
                total = double(value)
            elif field == 3 and isinstance(value, bytes):
                pair = {1: 0.0, 2: 0.0}
                for number, part in fields(value):
                    if number in pair and isinstance(part, bytes):
                        pair[number] = double(part)
                quantiles.append((pair[1], pair[2]))
        self._add(metric, "_count", float(count))
        self._add(metric, "_sum", total)
        for quantile, level in quantiles:
            self._add(metric, "", level, f'quantile="{bound_text(quantile)}"')

    def _histogram(self, metric: _Metric, gauge: bool) -> None:
        wire = read_scraped(metric.body)
        as_native = self._native and is_native(wire)
        if as_native:
            if not wire.count_float and not wire.zero_float:
                wire.count_float = None
            try:
                found = histogram_of(wire, gauge=gauge)
            except ValueError as error:
                raise ExpositionError(0, f"histogram {self._name!r}: {error}") from None
            index = self._add(metric, "", HISTOGRAM_NAN)
            self._histograms[index] = found
            self._exemplars += [
                one for one in _histogram_exemplars(metric.body, index) if one.time_ms is not None
            ]
        buckets = [
            _bucket(value) for field, value in fields(metric.body) if field == 3 and isinstance(value, bytes)
        ]
        if as_native and not (self._keep_classic and buckets):
            return
        count = wire.count_float or float(wire.count_int or 0)
        self._add(metric, "_count", count)
        self._add(metric, "_sum", wire.sum)
        for bound, value, example in buckets:
            index = self._add(metric, "_bucket", value, f'le="{bound_text(bound)}"')
            if example:
                self._exemplars.append(_exemplar(example, index))
        if not any(bound == float("inf") for bound, _, _ in buckets):
            self._add(metric, "_bucket", count, 'le="+Inf"')

    def done(self) -> Exposition:
        import numpy as np

        timed = any(time is not None for time in self._times)
        return Exposition(
            self._keys,
            np.array(self._values, dtype=np.float64),
            self._times if timed else None,
            self._metadata,
            self._exemplars,
            self._histograms,
            self._starts,
        )


def series_text(name: str, labels: Sequence[str]) -> str:
    """A series as the text format writes it, from `name="value"` pairs."""
    if name.isascii() and name.replace(":", "_").isidentifier():
        return f"{name}{{{','.join(labels)}}}" if labels else name
    return f"{{{','.join([quoted(name), *labels])}}}"


def _metric(message: bytes) -> _Metric:
    out = _Metric()
    for field, value in fields(message):
        if field == 6 and isinstance(value, int):
            # proto3 cannot say "not given", so Prometheus takes 0 for it.
            out.time_ms = signed(value) or None
        elif isinstance(value, bytes):
            if field == 1:
                name, text = _pair(value)
                plain = name.isascii() and name.isidentifier()
                out.labels.append(f"{name if plain else quoted(name)}={quoted(text)}")
            elif field in (2, 3, 4, 5, 7):
                out.field, out.body = field, value
    return out


def _pair(message: bytes) -> tuple[str, str]:
    found = {1: "", 2: ""}
    for field, value in fields(message):
        if field in found and isinstance(value, bytes):
            found[field] = value.decode("utf-8")
    return found[1], found[2]


def _plain(metric: _Metric) -> tuple[float, bytes]:
    """The value of a counter, gauge or untyped metric, and a counter's exemplar."""
    number, example = 0.0, b""
    for field, value in fields(metric.body):
        if field == 1 and isinstance(value, bytes):
            number = double(value)
        elif field == 2 and isinstance(value, bytes) and metric.field == 3:
            example = value
    return number, example


def _bucket(message: bytes) -> tuple[float, float, bytes]:
    count, bound, example = 0.0, 0.0, b""
    for field, value in fields(message):
        if field == 1 and isinstance(value, int):
            count = count or float(value)
        elif field == 2 and isinstance(value, bytes):
            bound = double(value)
        elif field == 3 and isinstance(value, bytes):
            example = value
        elif field == 4 and isinstance(value, bytes):
            count = double(value) or count
    return bound, count, example


def _histogram_exemplars(message: bytes, index: int) -> Iterator[Exemplar]:
    """Those of the native histogram, or if it has none those of the classic buckets."""
    own = [value for field, value in fields(message) if field == 16 and isinstance(value, bytes)]
    if not own:
        buckets = [
            _bucket(value) for field, value in fields(message) if field == 3 and isinstance(value, bytes)
        ]
        own = [example for _, _, example in buckets if example]
    for example in own:
        yield _exemplar(example, index)


def _exemplar(message: bytes, index: int) -> Exemplar:
    labels: Labels = {}
    number = 0.0
    time_ms = None
    for field, value in fields(message):
        if not isinstance(value, bytes):
            continue
        if field == 1:
            name, text = _pair(value)
            labels[name] = text
        elif field == 2:
            number = double(value)
        elif field == 3:
            time_ms = _timestamp(value)
    return Exemplar(index, labels, number, time_ms)


def _timestamp(message: bytes) -> int:
    """A google.protobuf.Timestamp in milliseconds."""
    found = {1: 0, 2: 0}
    for field, value in fields(message):
        if field in found and isinstance(value, int):
            found[field] = signed(value)
    return found[1] * 1000 + found[2] // 1_000_000


def _start(metric: _Metric) -> int:
    wanted = _TIMED.get(metric.field)
    for field, value in fields(metric.body):
        if field == wanted and isinstance(value, bytes):
            return _timestamp(value)
    return 0
