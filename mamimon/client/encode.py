"""What was put aside becomes request bodies, on the sender's thread.

Logs: Elasticsearch `_bulk` lines into `logs-<service>-YYYY.MM.DD`. Events: a PostHog-style batch.
Errors: one Sentry envelope each (develop.sentry.dev, Envelopes). Metrics: one OTLP request each.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mamimon.client import push, reports
from mamimon.client.buffer import Losses
from mamimon.client.lines import Lines
from mamimon.client.plain import dump
from mamimon.client.settings import Settings
from mamimon.client.spool import Batch

# After so many payloads (a millisecond) the application's threads get their turn: a batch held the
# interpreter's lock for 4 ms, and every request that came meanwhile waited. Oftener is worse on a busy
# machine, where each change of hands waits for a core; a sleep of zero has the lock back too soon.
RUN = 128
BREATH_S = 0.000_05

_LEVEL = 1  # of gzip: level 6 is three times slower for a tenth less


def dataset_of(service: str) -> str:
    """The service as the middle of an index name: lower case, no separators of Elasticsearch's."""
    return re.sub(r"[^a-z0-9._-]+", "-", service.lower()).strip("-._") or "app"


class Encoder:
    """Makes batches of payloads of one kind and importance, with pauses unless `hurried`."""

    def __init__(
        self, settings: Settings, losses: Losses, hurried: Callable[[], bool] = lambda: False
    ) -> None:
        self._hurried = hurried
        self._lines = Lines(settings)
        self._documents = self._lines.documents
        self._action = ("", b"")
        self._settings = settings
        self._losses = losses
        self._dataset = dataset_of(settings.service)

    def encode(self, kind: str, rank: int, payloads: list[Any]) -> list[Batch]:
        """One or more batches, each within the byte limit; what cannot be encoded is counted as lost."""
        make = {"log": self._logs, "event": self._events, "error": self._singly, "metrics": self._singly}[
            kind
        ]
        return [
            Batch(kind, rank, records, created, gzip.compress(body, _LEVEL))
            for records, created, body in make(self._safely(kind, rank, payloads))
        ]

    def _safely(self, kind: str, rank: int, payloads: list[Any]) -> Iterator[tuple[float, bytes]]:
        one = {"log": self._log, "event": self._event, "error": self._error, "metrics": self._metrics}[kind]
        for number, payload in enumerate(payloads, 1):
            if number % RUN == 0 and not self._hurried():
                time.sleep(BREATH_S)
            try:
                yield one(payload)
            except Exception as error:
                self._losses.add(kind, rank, 1, f"it could not be written as JSON: {error!r}")

    def _log(self, line: Any) -> tuple[float, bytes]:
        document = self._lines.write(line)
        day = self._documents.day
        if day != self._action[0]:
            self._action = day, f'{{"create":{{"_index":"logs-{self._dataset}-{day}"}}}}\n'.encode()
        return line.created, self._action[1] + document + b"\n"

    def _event(self, payload: Any) -> tuple[float, bytes]:
        created, event = payload
        return created, dump({**event, "timestamp": self._documents.timestamp(created)})

    def _error(self, report: Any) -> tuple[float, bytes]:
        event = reports.sentry_event(report, self._settings, self._documents.timestamp(report.created))
        body = dump(event)
        head = dump({"event_id": event["event_id"], "sent_at": event["timestamp"]})
        item = dump({"type": "event", "length": len(body), "content_type": "application/json"})
        return report.created, b"\n".join((head, item, body)) + b"\n"

    def _logs(self, lines: Iterable[tuple[float, bytes]]) -> Iterator[tuple[int, float, bytes]]:
        for piece in self._pieces(lines):
            yield len(piece), piece[0][0], b"".join(body for _, body in piece)

    def _events(self, events: Iterable[tuple[float, bytes]]) -> Iterator[tuple[int, float, bytes]]:
        key = dump({"key": self._settings.token or self._settings.service})[7:-1]
        for piece in self._pieces(events):
            joined = b",".join(body for _, body in piece)
            yield len(piece), piece[0][0], b'{"api_key":' + key + b',"batch":[' + joined + b"]}"

    def _metrics(self, payload: Any) -> tuple[float, bytes]:
        created, instance, found = payload
        return created, dump(push.message(self._settings, instance, found))

    def _singly(self, bodies: Iterable[tuple[float, bytes]]) -> Iterator[tuple[int, float, bytes]]:
        for created, body in bodies:
            yield 1, created, body

    def _pieces(self, items: Iterable[tuple[float, bytes]]) -> Iterator[list[tuple[float, bytes]]]:
        piece: list[tuple[float, bytes]] = []
        size = 0
        for item in items:
            if piece and size + len(item[1]) > self._settings.batch_bytes:
                yield piece
                piece, size = [], 0
            piece.append(item)
            size += len(item[1])
        if piece:
            yield piece


def split(batch: Batch) -> list[Batch]:
    """Two halves of a batch that was too large for the other side; empty where it has one record."""
    if batch.records < 2 or batch.kind in ("error", "metrics"):
        return []
    body = gzip.decompress(batch.body)
    half = batch.records // 2
    if batch.kind == "log":
        lines = body.split(b"\n")
        parts = [b"\n".join(lines[: 2 * half]) + b"\n", b"\n".join(lines[2 * half :])]
    else:
        content = json.loads(body)
        events = content["batch"]
        parts = [dump({**content, "batch": piece}) for piece in (events[:half], events[half:])]
    sizes = (half, batch.records - half)
    return [
        batch._replace(records=size, body=gzip.compress(part, _LEVEL)) for size, part in zip(sizes, parts)
    ]


def pick(batch: Batch, wanted: list[int]) -> Batch:
    """A `_bulk` batch of only these documents, to be sent again."""
    lines = gzip.decompress(batch.body).split(b"\n")
    body = b"".join(lines[2 * at] + b"\n" + lines[2 * at + 1] + b"\n" for at in wanted)
    return batch._replace(records=len(wanted), body=gzip.compress(body, _LEVEL))
