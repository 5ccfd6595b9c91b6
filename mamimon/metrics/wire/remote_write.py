"""Prometheus remote write 1.0 and 2.0: protobuf by hand, for only a dozen fields are needed.

A sender repeats the same label bytes with every batch, so the receiver keys its cache by them and
decodes labels once a series. Sources: prometheus/prometheus prompb (the published schemas) and the
remote write specifications 1.0 and 2.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from mamimon.metrics.model import Labels
from mamimon.problems import Problem, bad_input

V1 = "prometheus.WriteRequest"
V2 = "io.prometheus.write.v2.Request"
_double = struct.Struct("<d").unpack_from
_SKIP = {0: None, 1: 8, 5: 4}


class PushedSeries(msgspec.Struct):
    """One series of a request."""

    key: bytes
    """What identifies it among requests of the same version; empty where labels cannot be reused."""
    labels: Labels | None
    """None where the caller knows the key already."""
    samples: list[tuple[int, float]]
    """Milliseconds and values, as sent."""
    histograms: int = 0
    exemplars: int = 0
    problem: str = ""


def read(body: bytes, proto: str, known: dict[bytes, Labels]) -> Iterator[PushedSeries]:
    """The series of a request; a body that is no such message raises `BAD_INPUT`.

    `known` maps keys to labels and is added to.
    """
    try:
        yield from _read_v2(body, known) if proto == V2 else _read_v1(body, known)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise bad_input(f"the body is not a {proto}: {error}") from None


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
    for field, message in _fields(body):
        if field == 1 and isinstance(message, bytes):
            yield _series_v1(message, known)


def _series_v1(message: bytes, known: dict[bytes, Labels]) -> PushedSeries:
    pairs: list[bytes] = []
    out = PushedSeries(b"", None, [])
    for field, value in _fields(message):
        if not isinstance(value, bytes):
            continue
        if field == 1:
            pairs.append(value)
        elif field == 2:
            out.samples.append(_sample(value))
        elif field == 3:
            out.exemplars += 1
        elif field == 4:
            out.histograms += 1
    out.key = b"1" + b"".join(len(pair).to_bytes(4, "little") + pair for pair in pairs)
    if out.key not in known:
        named = [_pair(pair) for pair in pairs]
        out.problem = _wrong(named)
        if not out.problem:
            known[out.key] = {name: value for name, value in named if value}
    out.labels = known.get(out.key)
    return out


def _pair(message: bytes) -> tuple[str, str]:
    name = value = ""
    for field, part in _fields(message):
        if isinstance(part, bytes):
            if field == 1:
                name = part.decode("utf-8")
            elif field == 2:
                value = part.decode("utf-8")
    return name, value


def _read_v2(body: bytes, known: dict[bytes, Labels]) -> Iterator[PushedSeries]:
    symbols: list[str] = []
    later: list[bytes] = []
    for field, value in _fields(body):
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
    out = PushedSeries(b"", None, [])
    for field, value in _fields(message):
        if field == 1:
            references += _packed(value) if isinstance(value, bytes) else [value]
        elif isinstance(value, bytes):
            if field == 2:
                out.samples.append(_sample(value))
            elif field == 3:
                out.histograms += 1
            elif field == 4:
                out.exemplars += 1
    if len(references) % 2 or any(reference >= len(symbols) for reference in references):
        out.problem = "labels_refs do not fit the symbols"
        return out
    named = [
        (symbols[name], symbols[value]) for name, value in zip(references[::2], references[1::2], strict=True)
    ]
    out.problem = _wrong(named)
    if not out.problem:
        out.labels = {name: value for name, value in named if value}
    return out


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


def _sample(message: bytes) -> tuple[int, float]:
    value, at = 0.0, 0
    for field, part in _fields(message):
        if field == 1 and isinstance(part, bytes):
            value = _double(part)[0]
        elif field == 2 and isinstance(part, int):
            at = part - (1 << 64) if part >> 63 else part
    return at, value


def _packed(data: bytes) -> list[int]:
    out, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        out.append(value)
    return out


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers with their raw value: bytes, or the whole number of a varint."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a field is cut short")
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif kind in _SKIP:
            size = _SKIP[kind] or 0
            if at + size > end:
                raise ValueError("a field is cut short")
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")
