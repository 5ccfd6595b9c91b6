"""An OTLP metrics request as both encodings are read into it (opentelemetry-proto 1.x, metrics.proto)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal["gauge", "sum", "histogram", "exponential", "summary", ""]
UNSPECIFIED, DELTA, CUMULATIVE = 0, 1, 2
NO_RECORDED_VALUE = 1
"""The flag of a data point that says: the series has ended."""


class OtlpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The `otlp` section of a prometheus.yml."""

    promote_resource_attributes: tuple[str, ...] = ()
    promote_all_resource_attributes: bool = False
    ignore_resource_attributes: tuple[str, ...] = ()
    translation_strategy: str = "UnderscoreEscapingWithSuffixes"
    keep_identifying_resource_attributes: bool = False
    convert_histograms_to_nhcb: bool = False
    promote_scope_metadata: bool = False
    label_name_underscore_sanitization: bool = True
    label_name_preserve_multiple_underscores: bool = True
    disable_target_info: bool = False

    @property
    def utf8(self) -> bool:
        """Whether names keep their characters."""
        return self.translation_strategy.startswith("No")

    @property
    def suffixes(self) -> bool:
        """Whether names get their unit and `_total`."""
        return self.translation_strategy in ("UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes")


STRATEGIES = (
    "UnderscoreEscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "NoTranslation",
)


class Example(msgspec.Struct):
    """An exemplar."""

    time_ns: int = 0
    value: float = 0.0
    trace_id: str = ""
    span_id: str = ""
    attributes: dict[str, Any] = {}


class Buckets(msgspec.Struct):
    """One side of an exponential histogram: `counts[i]` has index `offset + i`."""

    offset: int = 0
    counts: list[int] = []


class Point(msgspec.Struct):
    """A data point of any kind; what its kind has not is at its default."""

    attributes: dict[str, Any] = {}
    start_ns: int = 0
    time_ns: int = 0
    value: float | None = None
    flags: int = 0
    exemplars: list[Example] = []
    count: int = 0
    sum: float | None = None
    bounds: list[float] = []
    counts: list[int] = []
    scale: int = 0
    zero_count: int = 0
    zero_threshold: float = 0.0
    positive: Buckets = msgspec.field(default_factory=Buckets)
    negative: Buckets = msgspec.field(default_factory=Buckets)
    quantiles: list[tuple[float, float]] = []

    @property
    def stale(self) -> bool:
        """Whether it only says that the series has ended."""
        return bool(self.flags & NO_RECORDED_VALUE)


class Metric(msgspec.Struct):
    """A metric with its points."""

    name: str = ""
    description: str = ""
    unit: str = ""
    kind: Kind = ""
    temporality: int = UNSPECIFIED
    monotonic: bool = False
    points: list[Point] = []


class Scope(msgspec.Struct):
    """The instrumentation library and its metrics."""

    name: str = ""
    version: str = ""
    schema_url: str = ""
    attributes: dict[str, Any] = {}
    metrics: list[Metric] = []


class Resource(msgspec.Struct):
    """What produced the metrics."""

    attributes: dict[str, Any] = {}
    scopes: list[Scope] = []


Batch = list[Resource]
