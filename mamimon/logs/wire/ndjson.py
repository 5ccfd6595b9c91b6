"""Lines of JSON: a document a line, or all of them as one array, as `POST /api/mamimon/logs` takes them."""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.ingest import Refusal
from mamimon.logs.model import LogRecord

if TYPE_CHECKING:
    from mamimon.logs.ingest import LogIngest

_SHOWN = 100
_ARRAY = re.compile(rb"\s*\[")
_array = msgspec.json.Decoder(list[msgspec.Raw])


class Taken(msgspec.Struct):
    """The lines that are taken, how many are not, and for the first hundred of those why."""

    records: list[LogRecord]
    refused: int
    errors: list[dict[str, Any]]


def read_lines(ingest: LogIngest, dataset: str, body: bytes) -> Taken:
    """Read a body; blank lines count as lines but are nothing. An array's items count as lines."""
    out = Taken([], 0, [])
    for number, line in enumerate(_lines(body), 1):
        if not line.strip():
            continue
        try:
            out.records.append(ingest.record_of(line.rstrip(b"\r"), dataset))
        except Refusal as refusal:
            out.refused += 1
            if len(out.errors) < _SHOWN:
                out.errors.append({"line": number, "error": refusal.reason})
    return out


def _lines(body: bytes) -> list[bytes]:
    body = body.removeprefix(codecs.BOM_UTF8)
    if _ARRAY.match(body):
        # Several shippers send one array where they are asked for JSON.
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return [bytes(item) for item in _array.decode(body)]
    return body.split(b"\n")
