"""Prometheus remote write 1.0 and 2.0: protobuf by hand, for only a dozen fields are needed.

A sender repeats the same label bytes with every batch, so the receiver keys its cache by them and
decodes labels once a series. Sources: prometheus/prometheus prompb (the published schemas) and the
remote write specifications 1.0 and 2.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import STALE_NAN, Labels
from mamimon.metrics.wire.native import histogram_of, read_pushed
from mamimon.problems import Problem, bad_input
from mamimon.protobuf import BROKEN, double, fields, packed, signed, varint

V1 = "prometheus.WriteRequest"
V2 = "io.prometheus.write.v2.Request"
_KINDS = (
    "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset",
)  # fmt: skip


_STALE = struct.pack("<d", STALE_NAN)
_SAMPLE = struct.Struct("<HBdB6s")
_SAMPLE_HEAD = 0x1012  # field 2 of 16 bytes


class _MisfitError(Exception):
    """A reference points outside the symbols."""


class PushedExemplar(msgspec.Struct):
    """An example of a series' samples."""

    at: int
    """Milliseconds since the epoch."""
    value: float
    labels: Labels


class Described(msgspec.Struct):
    """What a sender says of a metric."""

    name: str
    kind: str
    help: str
    unit: str


class PushedSeries(msgspec.Struct):
    """One series of a request."""

    key: bytes
    """What identifies it among requests of the same version; empty where labels cannot be reused."""
    labels: Labels | None
    """None where they are wrong; `problem` says why."""
    samples: list[tuple[int, float | Histogram]] = []
    """Milliseconds and values, as sent."""
    starts: dict[int, int] = {}
    """Sample's milliseconds → when its counter began (milliseconds), where that was said."""
    exemplars: list[PushedExemplar] = []
    about: Described | None = None
    problem: str = ""
    refused: list[str] = []
    """Why some of its histograms were not read."""


def read(body: bytes, proto: str, known: dict[bytes, Labels]) -> Iterator[PushedSeries]:
    """The series of a request; a body that is no such message raises `BAD_INPUT`.

    `known` maps keys to labels and is added to.
    """
    try:
        yield from _read_v2(body) if proto == V2 else _read_v1(body, known)
    except BROKEN as error:
        raise bad_input(f"the body is not a {proto}: {error}") from None


def descriptions(body: bytes) -> Iterator[Described]:
    """The metadata of a 1.0 request; call it after `read` has found the body sound."""
    for field, message in fields(body):
        if field != 3 or not isinstance(message, bytes):
            continue
        kind, texts = 0, {2: "", 4: "", 5: ""}
        for number, value in fields(message):
            if number == 1 and isinstance(value, int):
                kind = value
            elif number in texts and isinstance(value, bytes):
                texts[number] = value.decode("utf-8", "replace")
        yield Described(texts[2], _kind(kind), texts[4], texts[5])


def _kind(number: int) -> str:
    return _KINDS[number] if number < len(_KINDS) else "unknown"


def proto_of(content_type: str) -> str:
    """Which message a Content-Type names; anything else raises `UNSUPPORTED`."""
    from mamimon.problems import Kind

    kind, *parameters = [part.strip() for part in content_type.split(";")]
    if kind and kind.lower() != "application/x-protobuf":
        raise Problem(Kind.UNSUPPORTED, f"unsupported Content-Type: {kind[:80]}; send application/x-protobuf")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            if value.strip().strip('"') not in {V1, V2}:
                raise Problem(Kind.UNSUPPORTED, f"unsupported message {value[:80]}; send {V1} or {V2}")
            return value.strip().strip('"')
    return V1


def _read_v1(body: bytes, known: dict[bytes, Labels]) -> Iterator[PushedSeries]:
    stamps: dict[bytes, int] = {}
    for field, message in fields(body):
        if field == 1 and isinstance(message, bytes):
            yield _series_v1(message, known, stamps)


def _series_v1(message: bytes, known: dict[bytes, Labels], stamps: dict[bytes, int]) -> PushedSeries:
    split = _behind_labels(message)
    out = PushedSeries(b"1" + message[:split], None)
    plain = _plain_samples(message, split, stamps)
    if plain is not None:
        out.samples = plain
    elif _take_fields(out, message, split):
        # Labels that do not stand first are lawful too, but their bytes are no prefix to know them by.
        out.key = b""
    out.labels = known.get(out.key)
    if out.labels is None:
        named = [_pair(value) for field, value in fields(message) if field == 1 and isinstance(value, bytes)]
        out.problem = _wrong(named)
        if not out.problem:
            out.labels = {name: value for name, value in named if value}
            if out.key:
                known[out.key] = out.labels
    return out


def _behind_labels(message: bytes) -> int:
    """Where the labels end that stand first, as every sender writes them."""
    at, end = 0, len(message)
    while at < end and message[at] == 10:
        size, at = varint(message, at + 1)
        at += size
    if at > end:
        raise ValueError("a field is cut short")
    return at


def _plain_samples(
    message: bytes, at: int, stamps: dict[bytes, int]
) -> list[tuple[int, float | Histogram]] | None:
    """The samples, if nothing else stands from `at` on and all look as senders write them; else None.

    A value, then six bytes of milliseconds: right for every instant from 1971 to 2109. `stamps`
    remembers the milliseconds, because a request repeats a few.
    """
    if (len(message) - at) % _SAMPLE.size:
        return None
    out: list[tuple[int, float | Histogram]] = []
    for head, tag, value, behind, raw in _SAMPLE.iter_unpack(memoryview(message)[at:]):
        if head != _SAMPLE_HEAD or tag != 9 or behind != 16:
            return None
        stamp = stamps.get(raw)
        if stamp is None:
            stamp, end = varint(raw, 0)
            if end != len(raw):
                return None
            stamps[raw] = stamp
        out.append((stamp, value))
    return out


def _take_fields(out: PushedSeries, message: bytes, at: int) -> bool:
    """Everything but the labels in front; answers whether there are labels behind."""
    late = False
    for field, value in fields(message[at:]):
        if not isinstance(value, bytes):
            continue
        if field == 1:
            late = True
        elif field == 2:
            _add_sample(out, value)
        elif field == 3:
            out.exemplars.append(_exemplar(value, None))
        elif field == 4:
            _add_histogram(out, value)
    return late


def _pair(message: bytes) -> tuple[str, str]:
    name = value = ""
    for field, part in fields(message):
        if isinstance(part, bytes):
            if field == 1:
                name = part.decode("utf-8")
            elif field == 2:
                value = part.decode("utf-8")
    return name, value


def _read_v2(body: bytes) -> Iterator[PushedSeries]:
    symbols: list[str] = []
    later: list[bytes] = []
    for field, value in fields(body):
        if field == 4 and isinstance(value, bytes):
            symbols.append(value.decode("utf-8"))
        elif field == 5 and isinstance(value, bytes):
            later.append(value)
    if symbols and symbols[0]:
        raise ValueError("the first symbol is not the empty string")
    for message in later:
        yield _series_v2(message, symbols)


def _series_v2(message: bytes, symbols: Sequence[str]) -> PushedSeries:
    references: list[int] = []
    out = PushedSeries(b"", None)
    examples: list[bytes] = []
    about = b""
    for field, value in fields(message):
        if field == 1:
            references += packed(value) if isinstance(value, bytes) else [value]
        elif isinstance(value, bytes):
            if field == 2:
                _add_sample(out, value)
            elif field == 3:
                _add_histogram(out, value)
            elif field == 4:
                examples.append(value)
            elif field == 5:
                about = value
    try:
        named = _interned(references, symbols)
        out.exemplars = [_exemplar(example, symbols) for example in examples]
        out.problem = _wrong(named)
        if not out.problem:
            out.labels = {name: value for name, value in named if value}
            out.about = _about(about, out.labels["__name__"], symbols) if about else None
    except _MisfitError:
        out.labels, out.problem = None, "a reference does not fit the symbols"
    return out


def _interned(references: Sequence[int], symbols: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs that references name; raises `_MisfitError` where they do not fit."""
    if len(references) % 2 or any(reference >= len(symbols) for reference in references):
        raise _MisfitError
    return [
        (symbols[name], symbols[value]) for name, value in zip(references[::2], references[1::2], strict=True)
    ]


def _about(message: bytes, name: str, symbols: Sequence[str]) -> Described:
    found = {1: 0, 3: 0, 4: 0}
    for field, value in fields(message):
        if field in found and isinstance(value, int):
            found[field] = value
    ((text, unit),) = _interned((found[3], found[4]), symbols)
    return Described(name, _kind(found[1]), text, unit)


def _wrong(named: Sequence[tuple[str, str]]) -> str:
    """Why a label set is refused, or an empty string."""
    names = [name for name, _ in named]
    if len(set(names)) != len(names):
        return "a label name stands twice"
    if not all(names):
        return "a label name is empty"
    if not dict(named).get("__name__"):
        return "__name__ is missing"
    return ""


def _add_sample(out: PushedSeries, message: bytes) -> None:
    value, at, start = 0.0, 0, 0
    for field, part in fields(message):
        if field == 1 and isinstance(part, bytes):
            value = double(part)
        elif field == 2 and isinstance(part, int):
            at = signed(part)
        elif field == 3 and isinstance(part, int):
            start = signed(part)
    out.samples.append((at, value))
    if start:
        out.starts[at] = start


def _add_histogram(out: PushedSeries, message: bytes) -> None:
    wire = read_pushed(message)
    if is_stale(wire.sum):
        out.samples.append((wire.at, STALE_NAN))
        return
    try:
        out.samples.append((wire.at, histogram_of(wire)))
    except ValueError as error:
        out.refused.append(str(error))
        return
    if wire.start:
        out.starts[wire.at] = wire.start


def is_stale(value: float) -> bool:
    """Whether a number is Prometheus' staleness marker."""
    return struct.pack("<d", value) == _STALE


def _exemplar(message: bytes, symbols: Sequence[str] | None) -> PushedExemplar:
    out = PushedExemplar(0, 0.0, {})
    references: list[int] = []
    for field, value in fields(message):
        if field == 1 and symbols is not None:
            references += packed(value) if isinstance(value, bytes) else [value]
        elif field == 1 and isinstance(value, bytes):
            name, text = _pair(value)
            out.labels[name] = text
        elif field == 2 and isinstance(value, bytes):
            out.value = double(value)
        elif field == 3 and isinstance(value, int):
            out.at = signed(value)
    if symbols is not None:
        out.labels = dict(_interned(references, symbols))
    return out
