"""Prometheus remote read: the request, and both forms of the answer.

SAMPLES is one snappy-compressed `ReadResponse`; STREAMED_XOR_CHUNKS is a frame a series (length as a
varint, CRC-32C big-endian, `ChunkedReadResponse`). Sources: prometheus/prometheus prompb (schemas) and
storage/remote/{read_handler,chunked}.go (behaviour).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from mamimon.metrics.model import ABSENT_BITS, Matcher
from mamimon.problems import bad_input
from mamimon.protobuf import BROKEN, fields, packed, signed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import Labels, Selection

SAMPLES, STREAMED = 0, 1
_OPS: tuple[Literal["=", "!=", "=~", "!~"], ...] = ("=", "!=", "=~", "!~")
_XOR = 1
_CHUNK_SAMPLES = 480
_FRAME_BYTES = 1 << 20
_MOST_QUERIES = 100
_MOST_MATCHERS = 1_000


class Query(msgspec.Struct):
    """One question of a request; both ends in milliseconds, included."""

    start: int = 0
    end: int = 0
    matchers: list[Matcher] = []


class ReadRequest(msgspec.Struct):
    """What is asked and the forms of answer that are taken, the preferred first."""

    queries: list[Query] = []
    accepted: list[int] = []


class Series(msgspec.Struct, eq=False):
    """One series of an answer."""

    labels: Labels
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    histograms: list[tuple[int, Histogram]] = []


def read_request(body: bytes) -> ReadRequest:
    """The request of a (decompressed) body; anything else raises `BAD_INPUT`."""
    out = ReadRequest()
    try:
        for field, value in fields(body):
            if field == 1 and isinstance(value, bytes):
                out.queries.append(_query(value))
            elif field == 2:
                out.accepted += packed(value) if isinstance(value, bytes) else [value]
    except BROKEN as error:
        raise bad_input(f"the body is not a prometheus.ReadRequest: {error}") from None
    if len(out.queries) > _MOST_QUERIES:
        raise bad_input(f"more than {_MOST_QUERIES} queries in one request")
    return out


def _query(message: bytes) -> Query:
    out = Query()
    for field, value in fields(message):
        if field == 1 and isinstance(value, int):
            out.start = signed(value)
        elif field == 2 and isinstance(value, int):
            out.end = signed(value)
        elif field == 3 and isinstance(value, bytes):
            out.matchers.append(_matcher(value))
    if len(out.matchers) > _MOST_MATCHERS:
        raise ValueError(f"more than {_MOST_MATCHERS} matchers")
    return out


def _matcher(message: bytes) -> Matcher:
    kind, name, text = 0, "", ""
    for field, value in fields(message):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif field == 3 and isinstance(value, bytes):
            text = value.decode("utf-8")
    if kind >= len(_OPS):
        raise ValueError("invalid matcher type")
    return Matcher(name, _OPS[kind], text)


def without_external(matchers: Sequence[Matcher], external: Mapping[str, str]) -> list[Matcher]:
    """The matchers as the store knows series: what equals an external label is absent there."""
    return [
        Matcher(one.name, "=", "") if one.op == "=" and external.get(one.name) == one.value else one
        for one in matchers
    ]


def series_of(selection: Selection, external: Mapping[str, str]) -> list[Series]:
    """The series that have samples, sorted by labels, external labels added where they have none."""
    import numpy as np

    out = []
    for block in selection.blocks:
        there = block.values.view(np.int64) != ABSENT_BITS
        for row, number in enumerate(block.rows.tolist()):
            inside = there[row]
            found: list[tuple[int, Histogram]] = []
            if block.histograms is not None:
                own = block.histograms[row]
                found = [(int(block.times[at]), own[at]) for at in range(len(own)) if own[at] is not None]
            if found or inside.any():
                labels = {**external, **selection.labels[number]}
                out.append(Series(labels, block.times[inside], block.values[row][inside], found))
    return sorted(out, key=lambda one: sorted(one.labels.items()))


def samples_response(answers: Sequence[Sequence[Series]]) -> bytes:
    """A `ReadResponse`, not yet compressed."""
    out = bytearray()
    for answer in answers:
        out += field(1, b"".join(field(1, timeseries(one)) for one in answer))
    return bytes(out)


def timeseries(one: Series) -> bytes:
    """A `TimeSeries`."""
    out = bytearray(labels_fields(one.labels))
    for at, value in zip(one.times.tolist(), one.values, strict=True):
        out += field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at & _MASK))
    for at, histogram in one.histograms:
        out += field(4, histogram_message(at, histogram))
    return bytes(out)


def labels_fields(labels: Labels) -> bytes:
    """The labels of a `TimeSeries`, sorted."""
    return b"".join(
        field(1, field(1, name.encode()) + field(2, text.encode()))
        for name, text in sorted(labels.items())
        if text
    )


def histogram_message(at: int, one: Histogram) -> bytes:
    """A float histogram: what the engine computes with is floats."""
    out = bytearray(b"\x11" + struct.pack("<d", one.count) + b"\x19" + struct.pack("<d", one.sum))
    out += b"\x20" + varint(zigzagged(one.schema)) + b"\x29" + struct.pack("<d", one.zero_threshold)
    out += b"\x39" + struct.pack("<d", one.zero_count)
    for spans, counts, side in ((8, 10, one.negative), (11, 13, one.positive)):
        for offset, length in spans_of(sorted(side)):
            out += field(spans, b"\x08" + varint(zigzagged(offset)) + b"\x10" + varint(length))
        if side:
            out += field(counts, struct.pack(f"<{len(side)}d", *(side[index] for index in sorted(side))))
    hint = ("unknown", "reset", "not_reset", "gauge").index(one.hint)
    out += b"\x70" + varint(hint) + b"\x78" + varint(at & _MASK)
    if one.custom:
        out += field(16, struct.pack(f"<{len(one.custom)}d", *one.custom))
    return bytes(out)


def spans_of(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Gap to the span before (the first: to bucket 0) and length of each run of bucket numbers."""
    out: list[tuple[int, int]] = []
    following = 0
    for index in indices:
        if out and index == following:
            out[-1] = out[-1][0], out[-1][1] + 1
        else:
            out.append((index - following, 1))
        following = index + 1
    return out


def frames(query: int, answer: Sequence[Series]) -> Iterator[bytes]:
    """The frames of one query: series after series, a long one in several."""
    from mamimon.metrics.wire import xor

    for one in answer:
        labels = labels_fields(one.labels)
        chunks = bytearray()
        for low in range(0, len(one.times), _CHUNK_SAMPLES):
            times = one.times[low : low + _CHUNK_SAMPLES]
            data = xor.encode(times, one.values[low : low + _CHUNK_SAMPLES])
            edges = b"\x08" + varint(int(times[0]) & _MASK) + b"\x10" + varint(int(times[-1]) & _MASK)
            chunks += field(2, edges + b"\x18" + varint(_XOR) + field(4, data))
            if len(chunks) > _FRAME_BYTES:
                yield _frame(query, labels + bytes(chunks))
                chunks.clear()
        if chunks:
            yield _frame(query, labels + bytes(chunks))


def _crc_table() -> list[int]:
    out = []
    for start in range(256):
        number = start
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        out.append(number)
    return out


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (zlib has the other CRC-32 only); some 15 MB/s."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _frame(query: int, series: bytes) -> bytes:
    message = field(1, series) + b"\x10" + varint(query)
    return varint(len(message)) + crc32c(message).to_bytes(4, "big") + message


_MASK = (1 << 64) - 1


def zigzagged(number: int) -> int:
    """A signed number as protobuf's sint types have it."""
    return ((number << 1) ^ (number >> 63)) & _MASK


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, with its number and length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
