"""Lines of JSON: a document a line, as `POST /api/mamimon/logs` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.ingest import Refusal
from mamimon.logs.model import LogRecord

if TYPE_CHECKING:
    from mamimon.logs.ingest import LogIngest

_SHOWN = 100


class Taken(msgspec.Struct):
    """The lines that are taken, how many are not, and for the first hundred of those why."""

    records: list[LogRecord]
    refused: int
    errors: list[dict[str, Any]]


def read_lines(ingest: LogIngest, dataset: str, body: bytes) -> Taken:
    """Read a body; blank lines count as lines but are nothing."""
    out = Taken([], 0, [])
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            out.records.append(ingest.record_of(line.rstrip(b"\r"), dataset))
        except Refusal as refusal:
            out.refused += 1
            if len(out.errors) < _SHOWN:
                out.errors.append({"line": number, "error": refusal.reason})
    return out
