"""The clean-up: a day that is too old is backed up, verified, deleted, and the deletion is logged.

A day whose backup fails stays. Each step leaves a state that the next start understands: partial
files are swept, and a deletion is a row before the file goes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from mamimon.problems import Kind, Problem
from mamimon.retention import backup
from mamimon.retention.backup import BackupError
from mamimon.retention.model import DayResult, DayStore, Deletion, DueDay, Manifest, Run, ends_at
from mamimon.retention.store import RetentionStore
from mamimon.storage import Core

_log = logging.getLogger("mamimon.retention")
_DAY_S = 86_400.0
Note = Callable[[str, str, dict[str, object]], Awaitable[None]]


class Cleanup:
    """Deletes and backs up; one at a time.

    `signals` maps a name to its store and how many days it keeps; `note(level, message, fields)`
    writes a line to the log store.
    """

    def __init__(
        self, core: Core, store: RetentionStore, signals: dict[str, tuple[DayStore, int]], note: Note
    ) -> None:
        self._core = core
        self._store = store
        self._signals = signals
        self._note = note
        self._turn = asyncio.Lock()
        self.last: Run | None = None
        self.failures = 0
        self.deleted = 0

    @property
    def backup_dir(self) -> Path:
        """Where backups go."""
        return backup_dir(self._core.settings.retention.backup_dir, self._core.data_dir)

    async def recover(self) -> None:
        """Sweep up after an interrupted run."""
        self.last = await self._store.last_run()
        if self.backup_dir.is_dir():
            await asyncio.to_thread(backup.clear_partials, self.backup_dir)
        for number, signal, day in await self._store.open_deletions():
            known = self._signals.get(signal)
            if known is not None and day in known[0].days():
                await self._store.forget(number)
            else:
                await self._store.done(number, self._core.clock.now())

    def due(self) -> list[DueDay]:
        """The days that are wholly older than their signal is kept, oldest first."""
        now = self._core.clock.now()
        found: list[DueDay] = []
        for signal, (days, keep_days) in self._signals.items():
            old = [day for day in days.days() if ends_at(day) <= now - keep_days * _DAY_S]
            found += [DueDay(signal, day, _size(days.day_path(day))) for day in old]
        return sorted(found, key=lambda one: (one.day, one.signal))

    async def run(self) -> list[DayResult]:
        """Back up, verify, delete and log every due day; what fails stays and is told."""
        async with self._turn:
            results = [await self._one(one) for one in self.due()]
            pruned = await asyncio.to_thread(self._prune)
            failed = [one for one in results if one.error]
            self.deleted += len(results) - len(failed)
            self.failures += len(failed)
            message = f"{failed[0].signal} {failed[0].day}: {failed[0].error}" if failed else ""
            self.last = Run(self._core.clock.now(), len(results) - len(failed), len(failed), message)
            await self._store.add_run(self.last)
            level, said = ("ERROR", "could not finish") if failed else ("INFO", "finished")
            text = f"clean-up {said}: {self.last.deleted} days deleted, {len(failed)} kept"
            await self._note(level, f"{text}: {message}" if message else text, {"expired_backups": pruned})
            return results

    async def _one(self, due: DueDay) -> DayResult:
        days = self._signals[due.signal][0]
        file, checksum = "", ""
        try:
            if self._core.settings.retention.backup_before_delete:
                manifest = await self._back_up(due.signal, due.day)
                file, checksum = f"{due.signal}/{manifest.file}", manifest.sha256
            row = Deletion(due.signal, due.day, due.bytes, file, checksum, self._core.clock.now(), None)
            number = await self._store.begin(row)
            await days.drop_day(due.day)
            await self._store.done(number, self._core.clock.now())
        except (BackupError, Problem, OSError, sqlite3.Error) as error:
            _log.error("%s of %s is kept: %s", due.signal, due.day, error)
            return DayResult(due.signal, due.day, due.bytes, file, str(error))
        where = f"backed up as {file}" if file else "without a backup"
        await self._note(
            "INFO",
            f"deleted {due.signal} of {due.day} ({due.bytes} bytes), {where}",
            {"signal": due.signal, "day": due.day, "bytes": due.bytes, "backup": file, "sha256": checksum},
        )
        return DayResult(due.signal, due.day, due.bytes, file)

    async def back_up_all(self) -> list[Manifest]:
        """Back up `mamimon.db` and every day whose backup is missing or out of date."""
        async with self._turn:
            made = [await self._back_up_state()]
            for signal, (days, _) in self._signals.items():
                changed = [day for day in days.days() if not await self._is_backed_up(signal, day)]
                made.extend([await self._back_up(signal, day) for day in changed])
            return made

    async def _is_backed_up(self, signal: str, day: str) -> bool:
        source = _look(self._signals[signal][0].day_path(day))
        known = await asyncio.to_thread(backup.read_manifest, self.backup_dir / signal, day)
        return known is not None and known.source == source

    async def _back_up(self, signal: str, day: str) -> Manifest:
        days = self._signals[signal][0]
        source = _look(days.day_path(day))
        path = str(days.day_path(day).relative_to(self._core.data_dir))
        folder = self.backup_dir / signal
        return await self._pack(folder, signal, day, path, source, lambda to: days.snapshot_day(day, to))

    async def _back_up_state(self) -> Manifest:
        moment = dt.datetime.fromtimestamp(self._core.clock.now(), dt.UTC).strftime("%Y-%m-%dT%H%M%SZ")
        folder = self.backup_dir / "state"
        return await self._pack(folder, "state", moment, "mamimon.db", "", self._store.snapshot)

    async def _pack(
        self,
        folder: Path,
        signal: str,
        day: str,
        path: str,
        source: str,
        snapshot: Callable[[Path], Awaitable[None]],
    ) -> Manifest:
        try:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
            scratch = await asyncio.to_thread(tempfile.TemporaryDirectory, dir=folder, prefix="snapshot-")
        except OSError as error:
            raise BackupError(f"{folder}: {error.strerror}") from None
        try:
            copy = Path(scratch.name) / f"{day}.db"
            await snapshot(copy)
            return await asyncio.to_thread(
                backup.make,
                copy,
                folder,
                signal=signal,
                day=day,
                path=path,
                recipients=self._core.settings.retention.backup_recipients,
                made_at=self._core.clock.now(),
                source=source,
            )
        finally:
            await asyncio.to_thread(scratch.cleanup)

    def _prune(self) -> int:
        """Delete backups that are older than `backup_keep_days`; the newest state backup stays."""
        keep_days = self._core.settings.retention.backup_keep_days
        if not keep_days or not self.backup_dir.is_dir():
            return 0
        limit = self._core.clock.now() - keep_days * _DAY_S
        known = backup.manifests(self.backup_dir)
        newest_state = max((m.made_at for _, m in known if m.signal == "state"), default=0.0)
        old = [
            (folder, m)
            for folder, m in known
            if m.made_at < limit and not (m.signal == "state" and m.made_at == newest_state)
        ]
        for folder, manifest in old:
            backup.remove(folder, manifest)
        return len(old)

    def started(self) -> None:
        """Raise `Problem(CONFLICT)` while a run is under way."""
        if self._turn.locked():
            raise Problem(Kind.CONFLICT, "a clean-up or backup is under way", retry_after_s=10)


def backup_dir(setting: str, data_dir: Path) -> Path:
    """The folder that `retention.backup_dir` names, `backups/` in the data directory where it is empty."""
    return Path(setting).expanduser() if setting else data_dir / "backups"


def next_night(now: float, hour: int) -> float:
    """The next time that the local clock shows `hour`:00 (or the first moment after, in a DST gap)."""
    local = dt.datetime.fromtimestamp(now).astimezone()
    day = local.date()
    for _ in range(3):
        at = dt.datetime.combine(day, dt.time(hour)).timestamp()
        if dt.datetime.fromtimestamp(at).astimezone().hour != hour:
            # The hour does not exist that night; the other reading lies after the gap.
            at = max(at, dt.datetime.combine(day, dt.time(hour, fold=1)).timestamp())
        if at > now:
            return at
        day += dt.timedelta(days=1)
    raise AssertionError


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _look(path: Path) -> str:
    """Size and time of the file and its WAL: equal looks mean an equal content."""
    looks = []
    for one in (path, path.with_name(path.name + "-wal")):
        try:
            stat = one.stat()
        except OSError:
            continue
        if one == path or stat.st_size:
            looks.append(f"{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(looks)
