"""Lines on their way out as a file: read page by page, so that memory does not grow with their number."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from mamimon.logs.dates import iso
from mamimon.logs.model import LogHit
from mamimon.logs.query import DayBackend, LogQuery
from mamimon.logs.text import lookup, shown
from mamimon.problems import unavailable
from mamimon.storage.days import day_start

_DAY_S = 86_400.0


def exported(backend: DayBackend, query: LogQuery, most: int) -> AsyncIterator[list[LogHit]]:
    """Pages of the newest `most` lines; a mistake in the query is raised here, before anything is sent.

    Each page asks for one day, so that one with few matches is found in time. Where one is not, the
    pages end with an exception: a file that breaks off is better than one that only looks whole.
    """
    plan = backend.plan(query)
    return _pages(backend, query, backend.days_within(plan), most)


async def _pages(
    backend: DayBackend, query: LogQuery, days: Sequence[str], most: int
) -> AsyncIterator[list[LogHit]]:
    left = most
    for day in days:
        start, end = day_start(day), day_start(day) + _DAY_S
        start = start if query.start is None else max(start, query.start)
        end = end if query.end is None else min(end, query.end)
        before = ""
        while left > 0:
            size = min(query.size, left)
            page = await backend.search(
                msgspec.structs.replace(query, start=start, end=end, before=before, size=size)
            )
            if page.partial:
                raise unavailable(f"the lines of {day} could not all be read in time")
            yield page.hits
            left -= len(page.hits)
            before = page.next
            if not before:
                break


async def ndjson_lines(pages: AsyncIterator[list[LogHit]]) -> AsyncIterator[bytes]:
    """The stored documents, one a line."""
    async for hits in pages:
        yield b"".join(hit.raw + b"\n" for hit in hits)


async def csv_lines(pages: AsyncIterator[list[LogHit]], columns: Sequence[str]) -> AsyncIterator[bytes]:
    """Rows of time, level, dataset, logger and message, then the chosen fields or the whole document."""
    head = ["time", "level", "dataset", "logger", "message", *(columns or ["document"])]
    yield _written([head])
    async for hits in pages:
        # A page of documents takes some hundredths of a second to be read and written again.
        yield await asyncio.to_thread(_table_of, hits, columns)


def _table_of(hits: Sequence[LogHit], columns: Sequence[str]) -> bytes:
    return _written(_row(hit, columns) for hit in hits)


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _row(hit: LogHit, columns: Sequence[str]) -> list[str]:
    document = hit.document()
    rest = [", ".join(map(shown, lookup(document, name))) for name in columns]
    rest = rest or [json.dumps(document, ensure_ascii=False)]
    return [_cell(one) for one in (iso(hit.time), hit.level, hit.dataset, hit.logger, hit.message, *rest)]


def _cell(text: str) -> str:
    """A cell that begins like a formula must not run in a spreadsheet."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t"} else text
