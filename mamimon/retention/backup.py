"""Backup files: make one, verify it, restore it; all blocking, so call them in a thread.

A backup is a SQLite file, compressed by zstd and, with recipients, encrypted by age, so that
`age -d`, `zstd -d` and `sqlite3` restore it without mamimon. The manifest is written last: a
backup without one does not exist.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

import mamimon
from mamimon.retention.model import Manifest

_STEP = 1 << 20
PARTIAL = ".partial"


class BackupError(Exception):
    """A backup could not be made, read or trusted; the message names the file and the reason."""


def make(
    snapshot: Path,
    folder: Path,
    *,
    signal: str,
    day: str,
    path: str,
    recipients: list[str],
    made_at: float,
    source: str = "",
) -> Manifest:
    """Turn `snapshot` (a SQLite file of our own, no longer written) into a verified backup in `folder`."""
    check_sqlite(snapshot)
    size, plain_sum = snapshot.stat().st_size, _sum_file(snapshot)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{day}.db.zst{'.age' if recipients else ''}"
    packed = folder / f"{day}.db.zst{PARTIAL}"
    try:
        _compress(snapshot, packed)
        if _sum_stream(_decompressed(packed)) != plain_sum:
            raise BackupError(f"{packed.name} does not decompress to what went in")
        if recipients:
            locked = folder / f"{name}{PARTIAL}"
            _encrypt(packed, locked, recipients)
            packed.unlink()
            packed = locked
        _sync(packed)
        manifest = Manifest(
            signal=signal,
            day=day,
            path=path,
            file=name,
            bytes=size,
            sha256=plain_sum,
            file_bytes=packed.stat().st_size,
            file_sha256=_sum_file(packed),
            encrypted=bool(recipients),
            recipients=recipients,
            made_at=made_at,
            made_by=f"mamimon {mamimon.__version__}",
            source=source,
        )
        packed.replace(folder / name)
    except OSError as error:
        raise BackupError(f"{folder / name}: {error.strerror or error}") from error
    finally:
        packed.unlink(missing_ok=True)
    _write_manifest(folder, manifest)
    verify(folder, manifest)
    return manifest


def read_manifest(folder: Path, day: str) -> Manifest | None:
    """The manifest of a day's backup, or None where there is none."""
    path = folder / f"{day}.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupError(f"{path}: not a manifest: {error}") from None


def manifests(root: Path) -> list[tuple[Path, Manifest]]:
    """Every backup under `root` with the folder it lies in, by signal and day."""
    found = []
    for path in sorted(root.glob("*/*.json")):
        manifest = read_manifest(path.parent, path.stem)
        if manifest is not None:
            found.append((path.parent, manifest))
    return found


def verify(folder: Path, manifest: Manifest, identities: list[str] | None = None) -> None:
    """Read the backup again and compare; raises `BackupError`.

    An encrypted one is opened only with `identities` (age secret keys); without them its own
    checksum is compared.
    """
    path = folder / manifest.file
    if not path.is_file():
        raise BackupError(f"{path} is missing")
    if path.stat().st_size != manifest.file_bytes or _sum_file(path) != manifest.file_sha256:
        raise BackupError(f"{path} is not what was written: its checksum differs")
    if manifest.encrypted and not identities:
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="verify-") as scratch:
        _open_to(folder, manifest, Path(scratch) / "day.db", identities)


def restore(folder: Path, manifest: Manifest, data_dir: Path, identities: list[str] | None = None) -> Path:
    """Put a backup where it belongs under `data_dir`; a file that is there already is not touched."""
    target = (data_dir / manifest.path).resolve()
    if not target.is_relative_to(data_dir.resolve()):
        raise BackupError(f"{manifest.path} leads out of the data directory")
    if target.exists():
        raise BackupError(f"{target} is there already; move it away to restore the backup")
    verify_sum = folder / manifest.file
    if _sum_file(verify_sum) != manifest.file_sha256:
        raise BackupError(f"{verify_sum} is not what was written: its checksum differs")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL)
    try:
        _open_to(folder, manifest, partial, identities)
        _sync(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return target


def remove(folder: Path, manifest: Manifest) -> None:
    """Delete a backup, its manifest first."""
    (folder / f"{manifest.day}.json").unlink(missing_ok=True)
    (folder / manifest.file).unlink(missing_ok=True)


def clear_partials(root: Path) -> None:
    """Delete what an interrupted backup left."""
    for path in [*root.glob(f"*/*{PARTIAL}"), *root.glob("*/snapshot-*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def check_sqlite(path: Path) -> None:
    """Raise `BackupError` unless SQLite finds the file whole."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as raw:
            answer = raw.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise BackupError(f"{path.name}: {error}") from None
    if answer != "ok":
        raise BackupError(f"{path.name}: {answer}")


def _open_to(folder: Path, manifest: Manifest, target: Path, identities: list[str] | None) -> None:
    source = folder / manifest.file
    opened = target.with_name(target.name + ".zst" + PARTIAL)
    try:
        if manifest.encrypted:
            _decrypt(source, opened, identities or [])
            source = opened
        digest = hashlib.sha256()
        with target.open("wb") as file:
            for part in _decompressed(source):
                digest.update(part)
                file.write(part)
    finally:
        opened.unlink(missing_ok=True)
    if digest.hexdigest() != manifest.sha256:
        raise BackupError(f"{manifest.file} does not hold what its manifest says")
    check_sqlite(target)


def _compress(source: Path, target: Path) -> None:
    import zstandard

    with _create(target) as file, source.open("rb") as raw:
        zstandard.ZstdCompressor(level=6, write_checksum=True).copy_stream(raw, file)


def _decompressed(path: Path) -> Iterator[bytes]:
    import zstandard

    try:
        with path.open("rb") as file:
            yield from zstandard.ZstdDecompressor().read_to_iter(file, read_size=_STEP)
    except zstandard.ZstdError as error:
        raise BackupError(f"{path.name}: {error}") from None


def _encrypt(source: Path, target: Path, recipients: list[str]) -> None:
    try:
        import pyrage
    except ImportError:
        raise BackupError("retention.backup_recipients needs pyrage: pip install 'mamimon[backup]'") from None
    try:
        keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
        with _create(target):
            pyrage.encrypt_file(str(source), str(target), keys)
    except (pyrage.RecipientError, pyrage.EncryptError) as error:
        raise BackupError(f"retention.backup_recipients: {error}") from None


def _decrypt(source: Path, target: Path, identities: list[str]) -> None:
    if not identities:
        raise BackupError(f"{source.name} is encrypted; pass --identity with the age secret key's file")
    try:
        import pyrage
    except ImportError:
        raise BackupError("opening an encrypted backup needs pyrage: pip install 'mamimon[backup]'") from None
    try:
        keys = [pyrage.x25519.Identity.from_str(text) for text in identities]
        with _create(target):
            pyrage.decrypt_file(str(source), str(target), keys)
    except (pyrage.IdentityError, pyrage.DecryptError) as error:
        raise BackupError(f"{source.name}: {error}") from None


def read_identities(path: Path) -> list[str]:
    """The secret keys of an age identity file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("AGE-SECRET-KEY-")]


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    path = folder / f"{manifest.day}.json"
    partial = path.with_name(path.name + PARTIAL)
    with _create(partial) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(folder)


def _create(path: Path) -> IO[bytes]:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb")


def _sum_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum_stream(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_sync_folder = _sync
