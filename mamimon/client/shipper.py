"""The background sender: one thread, batches by size and time, retries with jitter, a bounded disk queue.

The application's threads only append to a deque. Everything else happens here: encoding, compressing,
sending, and deciding what happens to what could not be sent. A destination that fails is left alone
for a while (its door is closed), what comes meanwhile goes to disk, and the rest goes on.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Optional

from mamimon.client import push
from mamimon.client.buffer import RANKS, Buffer, Losses
from mamimon.client.doors import KINDS, Doors, Verdict
from mamimon.client.encode import Encoder, dataset_of, split
from mamimon.client.settings import Settings, warn
from mamimon.client.spool import Batch, Entry, Shelf, Spool, SpoolError, default_folder
from mamimon.client.transport import Transport, TransportError

IDLE_S = 1.0
PARK_S = 2.0
ADOPT_S = 5.0  # a process that is just ending still holds its folder: look again soon
SHELF_BYTES = 8 * 1024 * 1024


class _Hurry(Exception):  # noqa: N818 - not an error: the time given to the last round is over
    """Stops a request at the end of the time given to `stop`."""


class Shipper:
    """Owns the queue, the thread and the disk queue of one `init`."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.losses = Losses(monotonic)
        self.buffer = Buffer(settings.queue_records, self.losses)
        self.encoder = Encoder(settings, self.losses, self._hurried)
        self._monotonic = monotonic
        self._transport = Transport(monotonic)
        self._doors = Doors(settings, self._transport, monotonic, random.random)
        self._spool = self._make_spool() if settings.spool else None
        self._shelf = Shelf(SHELF_BYTES, self.losses)
        self._parked: dict[tuple[str, int], list[Any]] = {}
        self._parked_at = 0.0
        self._push_at = monotonic() + settings.push_metrics_s
        self._fresh_threading()

    def _hurried(self) -> bool:
        """Whether catching up matters more than staying out of the application's way."""
        return self._stop_at is not None or len(self.buffer) > self.buffer.limit // 4

    def _fresh_threading(self) -> None:
        self._thread: Optional[threading.Thread] = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._full = threading.Event()
        self._flushes: list[threading.Event] = []
        self._stop_at: Optional[float] = None

    def _make_spool(self) -> Spool:
        settings = self.settings
        # By service and destination: what one application could not send, another must not send elsewhere.
        where = f"{settings.bulk_url}\n{settings.url}\n{settings.dsn}".encode()
        folder = f"{dataset_of(settings.service)}-{sha256(where).hexdigest()[:12]}"
        base = Path(settings.spool_dir) if settings.spool_dir else default_folder()
        return Spool(base / folder, settings.spool_bytes, settings.spool_age_s, self.losses)

    def begin(self) -> None:
        """Start at once where an earlier process left something; else the first `put` does."""
        if self._pushes() or (self._spool is not None and self._spool.has_legacy()):
            self._start()

    def _pushes(self) -> bool:
        return self.settings.push_metrics_s > 0 and bool(self.settings.url)

    def _push_metrics(self, whatever: bool = False) -> None:
        """Put this process's metrics among what is to be sent, each time that they are due."""
        now = self._monotonic()
        if self._pushes() and (whatever or now >= self._push_at):
            self._push_at = now + self.settings.push_metrics_s
            when = time.time()
            instance = f"{socket.gethostname()}:{os.getpid()}"
            self.buffer.put(("metrics", (when, instance, push.everything(when))), 1)

    def put(self, kind: str, payload: Any, rank: int) -> None:
        """Hand one thing over; returns at once, whatever the other side does."""
        waiting = self.buffer.put((kind, payload), rank)
        if waiting == 1:
            self._wake.set()
        elif waiting >= self.settings.batch_records and not self._full.is_set():
            self._full.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="mamimon-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is going down or has no more threads
                return
            self._thread = thread

    def after_fork(self) -> None:
        """In a child: what waited belongs to the parent; the thread is started by the first `put`."""
        self.buffer.clear()
        self.losses.after_fork()
        self._transport.close()
        if self._spool is not None:
            self._spool.after_fork()
        self._shelf = Shelf(SHELF_BYTES, self.losses)
        self._parked = {}
        self._fresh_threading()

    def flush(self, timeout_s: float) -> bool:
        """Try to deliver all that was put so far; whether nothing is left."""
        if self._thread is None and not len(self.buffer):
            return True
        self._start()
        done = threading.Event()
        self._flushes.append(done)
        self._full.set()
        self._wake.set()
        return done.wait(timeout_s) and not self.left()

    def left(self) -> int:
        """Records that wait anywhere."""
        stored = sum(entry.records for entry in self._spool.entries) if self._spool else 0
        parked = sum(len(payloads) for payloads in self._parked.values())
        return len(self.buffer) + parked + stored + sum(batch.records for batch in self._shelf.batches)

    def stop(self, timeout_s: float) -> None:
        """Deliver or store what waits, within the time given, and end the thread."""
        if self._thread is None and len(self.buffer):
            self._start()
        self._stop_at = self._monotonic() + timeout_s
        self._full.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s + 0.3)

    def _run(self) -> None:
        adopted_at = float("-inf")
        if self._spool is not None:
            self._spool.sweep()
        while self._stop_at is None:
            try:
                if self._spool is not None and self._monotonic() - adopted_at >= ADOPT_S:
                    adopted_at = self._monotonic()
                    self._spool.adopt()
                self._wake.wait(self._pause())
                self._wake.clear()
                self._push_metrics()
                if not self._flushes and len(self.buffer):
                    self._full.wait(self.settings.linger_s)
                self._full.clear()
                flushes, self._flushes = self._flushes, []
                try:
                    self._round(bool(flushes))
                finally:
                    for done in flushes:
                        done.set()
            except _Hurry:
                break
            except Exception as error:
                warn(f"the sender stumbled and goes on: {error!r}")
                self._doors.close_all(1.0)
        self._last_round()

    def _last_round(self) -> None:
        try:
            self._push_metrics(whatever=True)
            if self._stop_at is None or self._monotonic() < self._stop_at:
                self._round(True)
        except _Hurry:
            self._transport.close()
        except Exception as error:
            warn(f"the sender could not finish: {error!r}")
        while self._collect():
            pass
        for key in list(self._parked):
            self._keep_all(key)
        for done in self._flushes:
            done.set()
        self._transport.close()
        if self._spool is not None:
            self._spool.close()
        if self._shelf.batches:
            for batch in self._shelf.batches:
                self.losses.add(batch.kind, batch.rank, batch.records, "the application ended")

    def _pause(self) -> float:
        if self._stored():
            return min(IDLE_S, max(0.02, self._doors.next_opening() - self._monotonic()))
        return 0.2 if self._parked else IDLE_S

    def _stored(self) -> bool:
        return bool(self._shelf.batches or (self._spool is not None and self._spool.entries))

    def _round(self, everything: bool) -> None:
        """Send all that can be sent now; with `everything`, closed doors are tried once and nothing waits."""
        if everything:
            self._doors.try_again()
        while True:
            took = self._collect()
            worked = False
            for key in sorted(self._parked, key=lambda key: -key[1]):
                if self._doors.is_open(key[0]):
                    worked |= self._send_all(key)
                elif everything or self._is_due(key):
                    self._keep_all(key)
            worked |= self._send_stored()
            if not took and not worked:
                return

    def _is_due(self, key: tuple[str, int]) -> bool:
        full = len(self._parked[key]) >= self.settings.batch_records
        return full or self._monotonic() - self._parked_at >= PARK_S

    def _collect(self) -> bool:
        """Move what waits in the buffer to its group, up to a batch from each lane."""
        took = False
        for rank in range(len(RANKS) - 1, -1, -1):
            for kind, payload in self.buffer.take(self.settings.batch_records, rank):
                if not self._parked:
                    self._parked_at = self._monotonic()
                group = self._parked.get((kind, rank))
                if group is None:
                    group = self._parked[kind, rank] = []
                group.append(payload)
                took = True
        return took

    def _encode(self, key: tuple[str, int]) -> list[Batch]:
        return self.encoder.encode(key[0], key[1], self._parked.pop(key, []))

    def _send_all(self, key: tuple[str, int]) -> bool:
        batches = self._encode(key)
        try:
            while batches:
                rest = self._send(batches[0]) if self._doors.is_open(key[0]) else batches[:1]
                del batches[0]
                for batch in rest:
                    self._keep(batch)
        except BaseException:
            for batch in batches:
                self._keep(batch)
            raise
        return True

    def _keep_all(self, key: tuple[str, int]) -> None:
        for batch in self._encode(key):
            self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        if self._spool is not None:
            try:
                self._spool.add(batch)
                return
            except SpoolError as error:
                warn(f"{error}; keeping records in memory")
        self._shelf.add(batch)

    def _send_stored(self) -> bool:
        """Send one stored batch through an open door; False where there is none."""
        kinds = {kind for kind in KINDS if self._doors.is_open(kind)}
        if not kinds:
            return False
        held = self._shelf.next(kinds)
        if held is not None:
            rest = self._send(held)
            if rest != [held]:
                self._shelf.remove(held)
                for one in rest:
                    self._keep(one)
            return True
        entry: Entry | None = self._spool.next(kinds) if self._spool is not None else None
        if entry is None or self._spool is None:
            return False
        batch = self._spool.read(entry)
        if batch is not None:
            rest = self._send(batch)
            if rest != [batch]:
                self._spool.remove(entry)
                for one in rest:
                    self._keep(one)
        return True

    def _send(self, batch: Batch) -> list[Batch]:
        """Send a batch; what has to be kept for another time is returned."""
        try:
            verdict, rest = self._doors.send(batch, self._deadline(), self._tick)
        except TransportError as error:
            self._doors.fail(batch.kind, str(error))
            return [batch]
        if verdict is Verdict.TOO_LARGE:
            halves = split(batch)
            if halves:
                return halves
        if verdict in (Verdict.REFUSED, Verdict.TOO_LARGE):
            self.losses.add(batch.kind, batch.rank, batch.records, self._doors.reason(batch.kind))
            return []
        refused = batch.records - sum(one.records for one in rest) if verdict is Verdict.PARTLY else 0
        refused -= self._doors.accepted
        if refused > 0:
            self.losses.add(batch.kind, batch.rank, refused, self._doors.reason(batch.kind))
        return rest

    def _deadline(self) -> float:
        end = self._monotonic() + self.settings.timeout_s
        return end if self._stop_at is None else min(end, self._stop_at)

    def _tick(self) -> None:
        """Called ten times a second while a request waits: the queue must not fill up meanwhile."""
        if self._stop_at is not None and self._monotonic() >= self._stop_at:
            raise _Hurry
        if len(self.buffer) > self.buffer.limit // 2:
            self._collect()
            for key in list(self._parked):
                self._keep_all(key)
