"""What OpenMetrics 1.0 demands of a body beyond its syntax: order, suffixes, values, buckets, units.

Prometheus 3 reads bodies that break these rules, and exporters that break them are about, so a scrape
only asks this where `metrics.strict_openmetrics` is on. Source: the OpenMetrics 1.0 specification and
the project's parser cases.
"""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec

from mamimon.metrics.model import Labels
from mamimon.metrics.wire.exposition import (
    OM_LINE,
    OM_META,
    ExpositionError,
    exemplar_labels,
    float_of,
    series_labels,
    unquoted,
)

_SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("_info",),
}
_EXEMPLARS = {("counter", "_total"), ("histogram", "_bucket"), ("gaugehistogram", "_bucket")}
_NOT_NEGATIVE = {
    ("counter", "_total"), ("histogram", "_bucket"), ("histogram", "_count"), ("histogram", "_sum"),
    ("gaugehistogram", "_bucket"), ("gaugehistogram", "_gcount"), ("summary", ""), ("summary", "_count"),
    ("summary", "_sum"),
}  # fmt: skip
_MAY_BE_NAN = {("summary", "")}
_LONGEST_EXEMPLAR = 128


class _Group(msgspec.Struct):
    """The samples of one label set of a family, without `le` and `quantile`."""

    times: list[float | None] = []
    buckets: list[tuple[float, float]] = []
    count: float | None = None
    total: float | None = None


class _Family(msgspec.Struct):
    name: str
    kind: str = "unknown"
    said: set[str] = set()
    """Which of TYPE, HELP and UNIT it has had."""
    groups: dict[tuple[tuple[str, str], ...], _Group] = {}
    current: tuple[tuple[str, str], ...] | None = None
    series: dict[tuple[tuple[str, str], ...], list[float | None]] = {}


def check(text: str) -> None:
    """Raise `ExpositionError` for the first broken rule of a body that is read without one."""
    checker = _Checker()
    for number, line in enumerate(text.split("\n"), 1):
        if line == "# EOF":
            break
        checker.number = number
        checker.line(line)
    checker.end()


class _Checker:
    def __init__(self) -> None:
        self.number = 0
        self._family: _Family | None = None
        self._reserved: dict[str, str] = {}
        """Sample name → the family that it belongs to."""

    def line(self, line: str) -> None:
        """Take in one line."""
        if line.startswith("#"):
            found = OM_META.match(line)
            assert found is not None
            self._meta(*found.groups())
            return
        found = OM_LINE.match(line)
        assert found is not None
        key, value, at, exemplar = found.group(1), found.group(2), found.group(3), found.group(4)
        if line[found.end(1)] != " ":
            self._fail("no space before the value")
        labels = series_labels(key, strict=True)
        if key.endswith(",}"):
            self._fail("a comma behind the last label")
        family, suffix = self._of(labels["__name__"])
        number = float_of(self.number, value)
        self._value(family, suffix, labels, number)
        self._order(family, suffix, labels, None if at is None else float_of(self.number, at))
        self._collect(family, suffix, labels, number)
        if exemplar is not None:
            self._exemplar(family, suffix, exemplar)

    def _fail(self, reason: str) -> None:
        raise ExpositionError(self.number, f"not OpenMetrics: {reason}")

    def _meta(self, word: str, quoted_name: str, rest: str) -> None:
        name = unquoted(quoted_name)
        if self._family is None or self._family.name != name:
            self._begin(name)
        family = self._family
        assert family is not None
        if word in family.said:
            self._fail(f"a second {word} of {name[:80]!r}")
        if family.series:
            self._fail(f"{word} of {name[:80]!r} stands behind its samples")
        family.said.add(word)
        if word == "TYPE":
            family.kind = rest
            self._reserve(family)
        elif word == "UNIT" and rest and family.kind in ("info", "stateset"):
            self._fail(f"a {family.kind} has no unit")

    def _begin(self, name: str) -> _Family:
        self.end()
        if name in self._reserved:
            self._fail(f"{name[:80]!r} stands twice or clashes with {self._reserved[name][:80]!r}")
        self._family = _Family(name)
        self._reserve(self._family)
        return self._family

    def _reserve(self, family: _Family) -> None:
        for suffix in {"", *_SUFFIXES.get(family.kind, ())}:
            owner = self._reserved.setdefault(family.name + suffix, family.name)
            if owner != family.name:
                self._fail(f"{family.name[:80]!r} clashes with {owner[:80]!r}")

    def _of(self, name: str) -> tuple[_Family, str]:
        family = self._family
        if family is not None and name.startswith(family.name):
            suffix = name.removeprefix(family.name)
            if suffix in _SUFFIXES.get(family.kind, ("",)):
                return family, suffix
        if name in self._reserved:
            self._fail(f"{name[:80]!r} stands apart from its family or does not fit its type")
        return self._begin(name), ""

    def end(self) -> None:
        """Check the family that ends here as a whole."""
        family = self._family
        if family is None:
            return
        for group in family.groups.values():
            if family.kind in ("histogram", "gaugehistogram"):
                self._buckets(family, group)
        self._family = None

    def _buckets(self, family: _Family, group: _Group) -> None:
        bounds, counts = [b for b, _ in group.buckets], [c for _, c in group.buckets]
        if not bounds or bounds[-1] != math.inf:
            self._fail(f"{family.name[:80]!r} has no +Inf bucket at its end")
        if any(not low < high for low, high in pairwise(bounds)):
            self._fail(f"the buckets of {family.name[:80]!r} are not in ascending order")
        if any(low > high for low, high in pairwise(counts)):
            self._fail(f"the buckets of {family.name[:80]!r} are not cumulative")
        if (group.count is None) != (group.total is None):
            self._fail(f"{family.name[:80]!r} has one of count and sum only")
        if group.count is not None and group.count != counts[-1]:
            self._fail(f"the count of {family.name[:80]!r} is not its +Inf bucket")
        negative = bounds[0] < 0
        if family.kind == "histogram" and negative and group.total is not None:
            self._fail(f"{family.name[:80]!r} has a sum beside negative buckets")
        below = group.total is not None and not group.total >= 0
        if family.kind == "gaugehistogram" and not negative and below:
            self._fail(f"{family.name[:80]!r} has a negative sum without negative buckets")

    def _value(self, family: _Family, suffix: str, labels: Labels, value: float) -> None:
        kind = family.kind
        if (kind, suffix) in _NOT_NEGATIVE:
            if value < 0:
                self._fail(f"a negative value of a {kind}")
            if math.isnan(value) and (kind, suffix) not in _MAY_BE_NAN:
                self._fail(f"NaN in a {kind}")
        if kind == "info" and value != 1:
            self._fail("the value of an info is 1")
        if kind == "stateset":
            if value not in (0, 1):
                self._fail("a state is 0 or 1")
            if family.name not in labels:
                self._fail(f"a state has the label {family.name[:80]!r}")
        if kind == "summary" and not suffix:
            quantile = _number(labels.get("quantile", ""))
            if quantile is None or not 0 <= quantile <= 1:
                self._fail("a quantile is between 0 and 1")

    def _order(self, family: _Family, suffix: str, labels: Labels, at: float | None) -> None:
        group_key = tuple(sorted((n, v) for n, v in labels.items() if n not in ("__name__", *_inner(family))))
        if family.current != group_key:
            if group_key in family.groups:
                self._fail(f"the samples of a label set of {family.name[:80]!r} do not stand together")
            family.current = group_key
            family.groups[group_key] = _Group()
        times = family.series.setdefault(tuple(sorted(labels.items())), [])
        if times:
            before = times[-1]
            if (before is None) != (at is None):
                self._fail("some samples of a series have a timestamp and some have not")
            if before is not None and at is not None and at < before:
                self._fail("timestamps go back")
            if before is None:
                self._fail("a series stands twice")
        times.append(at)

    def _collect(self, family: _Family, suffix: str, labels: Labels, value: float) -> None:
        assert family.current is not None
        group = family.groups[family.current]
        if suffix == "_bucket":
            text = labels.get("le", "")
            bound = _number(text)
            if bound is None or math.isnan(bound) or (math.isinf(bound) and text != "+Inf"):
                self._fail(f"a bucket without a bound: le={text[:40]!r}")
            group.buckets.append((bound or 0.0, value))
        elif suffix in ("_count", "_gcount"):
            group.count = value
        elif suffix in ("_sum", "_gsum"):
            group.total = value

    def _exemplar(self, family: _Family, suffix: str, text: str) -> None:
        if (family.kind, suffix) not in _EXEMPLARS:
            self._fail(f"an exemplar on a sample of a {family.kind} that has none")
        labels = exemplar_labels(text, self.number)
        length = sum(len(name) + len(value) for name, value in labels.items())
        if length > _LONGEST_EXEMPLAR:
            self._fail(f"the labels of an exemplar have {length} characters, more than {_LONGEST_EXEMPLAR}")


def _inner(family: _Family) -> tuple[str, ...]:
    """Labels that tell samples of one metric apart."""
    if family.kind in ("histogram", "gaugehistogram"):
        return ("le",)
    if family.kind == "summary":
        return ("quantile",)
    return (family.name,) if family.kind == "stateset" else ()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
