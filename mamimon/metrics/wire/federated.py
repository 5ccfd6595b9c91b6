"""Samples as an exposition for another Prometheus: text 0.0.4, or delimited protobuf for native histograms.

As Prometheus' expfmt and web/federate.go write them: untyped families, a histogram of custom buckets as a
classic one, one of exponential buckets only as protobuf, names escaped for who does not know UTF-8 ones.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence

import msgspec

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels
from mamimon.metrics.wire.exposition import bound_text, quoted
from mamimon.metrics.wire.remote_read import field, spans_of, varint, zigzagged

_PROTO_TYPE = "application/vnd.google.protobuf"
_PROTOCOL = "io.prometheus.client.MetricFamily"
_SCHEMES = ("allow-utf-8", "underscores", "dots", "values")
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNTYPED, _HISTOGRAM, _GAUGE_HISTOGRAM = 3, 4, 5


class Sample(msgspec.Struct, eq=False):
    """The newest sample of a series; `more` are labels of the server that the series has not."""

    labels: Labels
    more: list[tuple[str, str]]
    at: int
    value: float
    histogram: Histogram | None = None

    @property
    def name(self) -> str:
        """The metric."""
        return self.labels["__name__"]

    def pairs(self, scheme: str) -> list[tuple[str, str]]:
        """The labels but the name, in the order of the exposition."""
        own = sorted(pair for pair in self.labels.items() if pair[0] != "__name__")
        return [(escaped(name, scheme), text) for name, text in [*own, *self.more]]


class Format(msgspec.Struct, frozen=True):
    """What was agreed upon."""

    protobuf: bool = False
    scheme: str = "underscores"

    @property
    def content_type(self) -> str:
        """The header."""
        kind = f"{_PROTO_TYPE}; proto={_PROTOCOL}; encoding=delimited"
        return (
            f"{kind if self.protobuf else 'text/plain; version=0.0.4; charset=utf-8'}; escaping={self.scheme}"
        )


def negotiated(accept: str) -> Format:
    """The format of the best clause of an `Accept` header; text where there is none."""
    scheme = "underscores"
    for kind, given in sorted(map(_clause, accept.split(",")), key=lambda one: -_quality(one[1])):
        if given.get("escaping") in _SCHEMES:
            scheme = given["escaping"]
        if kind == _PROTO_TYPE and given.get("proto") == _PROTOCOL and given.get("encoding") == "delimited":
            return Format(True, scheme)
        if kind == "text/plain" and given.get("version", "0.0.4") == "0.0.4":
            break
    return Format(False, scheme)


def _clause(text: str) -> tuple[str, dict[str, str]]:
    kind, *rest = (part.strip() for part in text.split(";"))
    return kind, {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest)}


def _quality(given: dict[str, str]) -> float:
    try:
        return float(given.get("q", "1"))
    except ValueError:
        return 1.0


def escaped(name: str, scheme: str) -> str:
    """A name in the old alphabet, as the scheme of that name in Prometheus' model writes it."""
    if scheme == "allow-utf-8" or (_PLAIN.fullmatch(name) and scheme != "dots"):
        return name
    if scheme == "underscores":
        return "".join(letter if _legacy(letter, at) else "_" for at, letter in enumerate(name))
    if scheme == "dots":
        special = {"_": "__", ".": "_dot_"}
        return "".join(
            special.get(letter) or (letter if _legacy(letter, at) else "__") for at, letter in enumerate(name)
        )
    return "U__" + "".join(
        "__" if letter == "_" else letter if _legacy(letter, at) else f"_{ord(letter):x}_"
        for at, letter in enumerate(name)
    )


def _legacy(letter: str, at: int) -> bool:
    return letter.isascii() and (letter.isalpha() or letter in "_:" or (letter.isdigit() and at > 0))


def exposition(samples: Iterable[Sample], agreed: Format) -> bytes:
    """The samples, which stand in the order of their names."""
    write = _family if agreed.protobuf else _lines
    out = bytearray()
    family: list[Sample] = []
    for one in samples:
        if one.histogram is not None and not (one.histogram.is_custom or agreed.protobuf):
            continue
        if family and _kind(family[0]) != _kind(one):
            out += write(family, agreed.scheme)
            family = []
        family.append(one)
    return bytes(out + write(family, agreed.scheme) if family else out)


def _kind(one: Sample) -> tuple[str, int]:
    if one.histogram is None:
        return one.name, _UNTYPED
    return one.name, _GAUGE_HISTOGRAM if one.histogram.hint == "gauge" else _HISTOGRAM


# -- text ------------------------------------------------------------------------------------------


def _lines(family: Sequence[Sample], scheme: str) -> bytes:
    name = escaped(family[0].name, scheme)
    kind = "untyped" if family[0].histogram is None else "histogram"
    out = [f"# TYPE {_shown(name)} {kind}\n"]
    for one in family:
        pairs = one.pairs(scheme)
        if one.histogram is None:
            out.append(_line(name, pairs, one.value, one.at))
            continue
        for bound, count in _cumulative(one.histogram):
            out.append(_line(f"{name}_bucket", [*pairs, ("le", _number(bound))], count, one.at))
        out.append(_line(f"{name}_bucket", [*pairs, ("le", "+Inf")], one.histogram.count, one.at))
        out.append(_line(f"{name}_sum", pairs, one.histogram.sum, one.at))
        out.append(_line(f"{name}_count", pairs, one.histogram.count, one.at))
    return "".join(out).encode()


def _line(name: str, pairs: Sequence[tuple[str, str]], value: float, at: int) -> str:
    inner = [f"{_shown(label)}={quoted(text)}" for label, text in pairs]
    plain = _PLAIN.fullmatch(name)
    shown = ",".join(inner if plain else [quoted(name), *inner])
    return f"{name if plain else ''}{{{shown}}} {_number(value)} {at}\n"


def _shown(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quoted(name)


def _number(value: float) -> str:
    return bound_text(value).removesuffix(".0") if value else "0"


def _cumulative(one: Histogram) -> list[tuple[float, float]]:
    total, out = 0.0, []
    for index, bound in enumerate(one.custom):
        total += one.positive.get(index, 0.0)
        out.append((bound, total))
    return out


# -- protobuf --------------------------------------------------------------------------------------


def _family(family: Sequence[Sample], scheme: str) -> bytes:
    name, kind = _kind(family[0])
    out = bytearray(field(1, escaped(name, scheme).encode()) + b"\x18" + varint(kind))
    for one in family:
        metric = bytearray()
        for label, text in one.pairs(scheme):
            metric += field(1, field(1, label.encode()) + field(2, text.encode()))
        if one.histogram is None:
            metric += field(5, _double(1, one.value))
        else:
            metric += field(7, _histogram(one.histogram))
        metric += b"\x30" + varint(one.at)
        out += field(4, bytes(metric))
    return varint(len(out)) + bytes(out)


def _histogram(one: Histogram) -> bytes:
    out = bytearray(_double(4, one.count) + _double(2, one.sum))
    if one.is_custom:
        for bound, count in _cumulative(one):
            out += field(3, _double(4, count) + _double(2, bound))
        return bytes(out)
    out += (
        b"\x28" + varint(zigzagged(one.schema)) + _double(6, one.zero_threshold) + _double(8, one.zero_count)
    )
    for spans, counts, side in ((9, 11, one.negative), (12, 14, one.positive)):
        for offset, length in spans_of(sorted(side)):
            out += field(spans, b"\x08" + varint(zigzagged(offset)) + b"\x10" + varint(length))
        for index in sorted(side):
            out += _double(counts, side[index])
    return bytes(out)


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)
