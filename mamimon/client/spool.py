"""Batches that could not be sent yet, on disk: bounded in bytes and age, and they survive a crash.

One file a batch, already compressed, named by what eviction needs to know:
`<milliseconds>-<number>-<kind>-<rank>-<records>.gz`, written under another name and renamed. Not synced:
it survives the death of the process, not of the machine. Each process owns a folder, held by a lock
on a file in it; the folders of processes that died are adopted by the next one that looks.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mamimon.client.buffer import Losses

try:
    import fcntl
except ImportError:  # Windows: no adoption, so no disk
    fcntl = None  # type: ignore[assignment]


class SpoolError(Exception):
    """The disk takes nothing; `str()` says why."""


class Batch(NamedTuple):
    """One request body, gzip'd, with what is needed to judge it. `created` in seconds since the epoch."""

    kind: str
    rank: int
    records: int
    created: float
    body: bytes


class Entry(NamedTuple):
    """A spooled batch: its file and what its name says."""

    path: Path
    kind: str
    rank: int
    records: int
    created: float
    size: int


def default_folder() -> Path:
    """The user's cache folder; the temporary one where a service has no home."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    if not base:
        home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
        base = os.path.join(home, ".cache") if home not in ("~", "/") else ""  # noqa: PTH118
    return Path(base or tempfile.gettempdir()) / "mamimon"


class Spool:
    """The batches waiting on disk, of this process and of dead ones it adopted. Not thread-safe."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        max_age_s: float,
        losses: Losses,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base = folder
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._losses = losses
        self._now = now
        self._number = 0
        self._locks: list[tuple[Path, int]] = []
        self._own: Path | None = None
        self.entries: list[Entry] = []
        self.bytes = 0
        self.failed = ""

    def add(self, batch: Batch) -> Entry | None:
        """Write a batch; None where the bound refuses it (counted); `SpoolError` where the disk does."""
        if self._own is None and not self._open():
            raise SpoolError(self.failed)
        assert self._own is not None
        self._number += 1
        order = f"{int(batch.created * 1000):013d}-{self._number:06d}"
        name = f"{order}-{batch.kind}-{batch.rank}-{batch.records}.gz"
        path = self._own / name
        try:
            temporary = path.with_suffix(".part")
            temporary.write_bytes(batch.body)
            temporary.replace(path)
        except OSError as error:
            raise SpoolError(f"the disk queue at {self._own} cannot be written: {error}") from error
        entry = Entry(path, batch.kind, batch.rank, batch.records, batch.created, len(batch.body))
        self.entries.append(entry)
        self.bytes += entry.size
        self._enforce()
        return entry if entry in self.entries else None

    def read(self, entry: Entry) -> Batch | None:
        """The batch of an entry; a file that somebody removed is counted as lost."""
        try:
            return Batch(entry.kind, entry.rank, entry.records, entry.created, entry.path.read_bytes())
        except OSError as error:
            self._losses.add(
                entry.kind, entry.rank, entry.records, f"a file of the disk queue is gone: {error}"
            )
            self.remove(entry)
            return None

    def remove(self, entry: Entry) -> None:
        """Forget a batch that arrived or was given up."""
        if entry in self.entries:
            self.entries.remove(entry)
            self.bytes -= entry.size
        try:
            entry.path.unlink()
        except OSError:
            return

    def next(self, kinds: set[str]) -> Entry | None:
        """What to send next of these kinds: the most important first, then the oldest."""
        self._expire()
        ready = [entry for entry in self.entries if entry.kind in kinds]
        return min(ready, key=lambda entry: (-entry.rank, entry.created, entry.path.name), default=None)

    def has_legacy(self) -> bool:
        """Whether an earlier process may have left something; one look at the folder."""
        try:
            return fcntl is not None and any(self._base.iterdir())
        except OSError:
            return False

    def adopt(self) -> None:
        """Take over the folders of processes that died, so that what they left is sent."""
        if fcntl is None or not self._base.is_dir():
            return
        held = {folder for folder, _ in self._locks}
        for folder in sorted(self._base.iterdir()):
            if folder in held or not folder.is_dir():
                continue
            descriptor = _lock(folder / "lock")
            if descriptor is None:
                continue
            self._locks.append((folder, descriptor))
            for path in sorted(folder.glob("*.gz")):
                entry = _entry(path)
                if entry is not None:
                    self.entries.append(entry)
                    self.bytes += entry.size
        self._enforce()

    def sweep(self) -> None:
        """Delete what is over its age in the folders beside ours: nobody sends to those destinations now."""
        oldest = self._now() - self._max_age_s
        try:
            for path in self._base.parent.glob("*/*/*.gz"):
                entry = _entry(path)
                if entry is not None and entry.created < oldest and path.parent.parent != self._base:
                    path.unlink()
        except OSError:  # somebody else's folder, or gone meanwhile: the next start looks again
            return

    def close(self) -> None:
        """Let go: empty folders are removed, others wait for the next process."""
        for folder, descriptor in self._locks:
            if not any(entry.path.parent == folder for entry in self.entries):
                for left in [*folder.glob("*.part"), folder / "lock"]:
                    _quiet(left.unlink)
                _quiet(folder.rmdir)
            _quiet(os.close, descriptor)
        self._locks = []
        self._own = None

    def after_fork(self) -> None:
        """The parent keeps its folders. Its locks are shared with us, so only the descriptors close."""
        for _, descriptor in self._locks:
            _quiet(os.close, descriptor)
        self._locks, self._own, self.entries, self.bytes = [], None, [], 0

    def _open(self) -> bool:
        if fcntl is None:
            self.failed = "this system has no file locks for a disk queue"
            return False
        try:
            self._base.mkdir(parents=True, exist_ok=True, mode=0o700)
            own = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=str(self._base)))
        except OSError as error:
            self.failed = f"the disk queue cannot be made: {error}"
            return False
        descriptor = _lock(own / "lock", create=True)
        if descriptor is None:
            self.failed = f"the disk queue at {own} cannot be locked"
            return False
        self._own = own
        self._locks.append((own, descriptor))
        return True

    def _expire(self) -> None:
        oldest = self._now() - self._max_age_s
        for entry in [entry for entry in self.entries if entry.created < oldest]:
            self._losses.add(entry.kind, entry.rank, entry.records, "it waited on disk for too long")
            self.remove(entry)

    def _enforce(self) -> None:
        self._expire()
        while self.bytes > self._max_bytes and self.entries:
            least = min(self.entries, key=lambda entry: (entry.rank, entry.created, entry.path.name))
            self._losses.add(
                least.kind, least.rank, least.records, f"the disk queue is full ({self._max_bytes} bytes)"
            )
            self.remove(least)


class Shelf:
    """The same without a disk: what waits in memory where there is none, or where it is switched off."""

    def __init__(self, max_bytes: int, losses: Losses) -> None:
        self._max_bytes = max_bytes
        self._losses = losses
        self.batches: list[Batch] = []
        self.bytes = 0

    def add(self, batch: Batch) -> None:
        """Keep a batch; the least important, then the oldest, makes room."""
        self.batches.append(batch)
        self.bytes += len(batch.body)
        while self.bytes > self._max_bytes and self.batches:
            least = min(self.batches, key=lambda one: (one.rank, one.created))
            self._losses.add(least.kind, least.rank, least.records, "nothing more fits in memory")
            self.remove(least)

    def next(self, kinds: set[str]) -> Batch | None:
        """What to send next of these kinds: the most important first, then the oldest."""
        ready = [batch for batch in self.batches if batch.kind in kinds]
        return min(ready, key=lambda batch: (-batch.rank, batch.created), default=None)

    def remove(self, batch: Batch) -> None:
        """Forget a batch."""
        for at, one in enumerate(self.batches):
            if one is batch:
                del self.batches[at]
                self.bytes -= len(batch.body)
                return


def _entry(path: Path) -> Entry | None:
    try:
        milliseconds, _, kind, rank, records = path.name[:-3].split("-")
        return Entry(
            path, kind, min(3, int(rank)), int(records), int(milliseconds) / 1000, path.stat().st_size
        )
    except (ValueError, OSError):
        return None


def _lock(path: Path, create: bool = False) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _quiet(action: Callable[..., Any], *arguments: Any) -> None:
    """Tidying that may find its work done or forbidden; nothing depends on it."""
    try:
        action(*arguments)
    except OSError:
        return
