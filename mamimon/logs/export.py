"""Lines on their way out as a file: read page by page, so that memory does not grow with their number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence

import msgspec

from mamimon.logs.dates import iso
from mamimon.logs.model import LogHit
from mamimon.logs.query import LogBackend, LogQuery
from mamimon.logs.text import lookup, shown


async def exported(backend: LogBackend, query: LogQuery, most: int) -> AsyncIterator[list[LogHit]]:
    """Pages of the newest `most` lines; the first is read here, so that a bad query is refused at once."""
    first = await backend.search(query)

    async def pages() -> AsyncIterator[list[LogHit]]:
        page, left = first, most
        while page.hits:
            yield page.hits[:left]
            left -= len(page.hits)
            if left <= 0 or not page.next:
                return
            page = await backend.search(msgspec.structs.replace(query, before=page.next))

    return pages()


async def ndjson_lines(pages: AsyncIterator[list[LogHit]]) -> AsyncIterator[bytes]:
    """The stored documents, one a line."""
    async for hits in pages:
        yield b"".join(hit.raw + b"\n" for hit in hits)


async def csv_lines(pages: AsyncIterator[list[LogHit]], columns: Sequence[str]) -> AsyncIterator[bytes]:
    """Rows of time, level, dataset, logger and message, then the chosen fields or the whole document."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["time", "level", "dataset", "logger", "message", *(columns or ["document"])])
    async for hits in pages:
        for hit in hits:
            document = hit.document()
            rest = [", ".join(map(shown, lookup(document, name))) for name in columns]
            rest = rest or [json.dumps(document, ensure_ascii=False)]
            writer.writerow(
                map(_cell, [iso(hit.time), hit.level, hit.dataset, hit.logger, hit.message, *rest])
            )
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue().encode()


def _cell(text: str) -> str:
    """A cell that begins like a formula must not run in a spreadsheet."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t"} else text
