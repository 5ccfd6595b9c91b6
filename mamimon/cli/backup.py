"""`mamimon backup`: make, list, verify and restore backups."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mamimon.cli.ask import ask, server_options

if TYPE_CHECKING:
    from mamimon.retention.model import Manifest

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def backup() -> None:
    """Make, list, verify and restore backups."""


def _place(command: F) -> F:
    """Options of the commands that work on the files themselves, without a server."""
    for option in (
        click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory."),
        click.option(
            "--backup-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder of backups."
        ),
        click.option(
            "--identity",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with the age secret key, for encrypted backups.",
        ),
    ):
        command = option(command)
    return command


@backup.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def run(as_json: bool, **where: Any) -> None:
    """Back up mamimon.db and every day that changed since its backup; the server must be running."""
    made = ask("POST", "/api/mamimon/backup", timeout_s=3600.0, **where)
    if as_json:
        click.echo(json.dumps(made))
        return
    for one in made:
        click.echo(f"{one['signal']}/{one['file']} {one['file_bytes']} bytes, verified")


@backup.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_place
def list_(as_json: bool, data_dir: Path | None, backup_dir: Path | None, identity: Path | None) -> None:
    """List the backups."""
    import msgspec

    found = _find(data_dir, backup_dir)[1]
    if as_json:
        click.echo(msgspec.json.encode([manifest for _, manifest in found]).decode())
        return
    for _, one in found:
        made = dt.datetime.fromtimestamp(one.made_at, dt.UTC).strftime("%Y-%m-%d %H:%M")
        lock = " encrypted" if one.encrypted else ""
        click.echo(f"{one.signal}/{one.day}  {one.file_bytes:>12,} bytes  made {made} UTC{lock}")
    if not found:
        click.echo("there is no backup", err=True)


@backup.command()
@click.argument("names", nargs=-1)
@_place
def verify(
    names: tuple[str, ...], data_dir: Path | None, backup_dir: Path | None, identity: Path | None
) -> None:
    """Read backups again and compare checksums; NAMES are as `list` prints them, none means all."""
    from mamimon.retention import backup as files

    keys = files.read_identities(identity) if identity else None
    bad = 0
    for folder, manifest in _chosen(names, _find(data_dir, backup_dir)[1]):
        try:
            files.verify(folder, manifest, keys)
        except files.BackupError as error:
            bad += 1
            click.echo(f"{manifest.signal}/{manifest.day} BAD: {error}")
        else:
            depth = (
                "checksum only, pass --identity to open it" if manifest.encrypted and not keys else "whole"
            )
            click.echo(f"{manifest.signal}/{manifest.day} good ({depth})")
    sys.exit(bool(bad))


@backup.command()
@click.argument("names", nargs=-1)
@_place
def restore(
    names: tuple[str, ...], data_dir: Path | None, backup_dir: Path | None, identity: Path | None
) -> None:
    """Put backups back into a data directory that no server uses.

    NAMES are as `list` prints them (`logs/2026-08-01`, or `logs` for all its days); none means
    everything, and of the state the newest.
    """
    from mamimon.retention import backup as files
    from mamimon.storage.data_dir import data_dir_is_free

    target, found = _find(data_dir, backup_dir)
    chosen = _chosen(names, found)
    states = [pair for pair in chosen if pair[1].signal == "state"]
    chosen = [pair for pair in chosen if pair[1].signal != "state"] + states[-1:]
    if not data_dir_is_free(target):
        click.echo(f"mamimon: a server uses {target}; stop it first", err=True)
        sys.exit(1)
    keys = files.read_identities(identity) if identity else None
    bad = 0
    for folder, manifest in chosen:
        try:
            click.echo(files.restore(folder, manifest, target, keys))
        except (files.BackupError, OSError) as error:
            bad += 1
            click.echo(f"mamimon: {manifest.signal}/{manifest.day}: {error}", err=True)
    if len(chosen) > bad:
        click.echo("days older than their retention_days go again in the next clean-up", err=True)
    sys.exit(bool(bad))


def _find(data_dir: Path | None, backup_dir: Path | None) -> tuple[Path, list[tuple[Path, Manifest]]]:
    """The data directory and every backup that belongs to it."""
    from mamimon.config import ConfigError, load
    from mamimon.retention import backup as files
    from mamimon.retention.cleanup import backup_dir as resolve
    from mamimon.storage.data_dir import default_data_dir

    path = Path("mamimon.toml")
    try:
        settings = load(path if path.is_file() else None, env_file=Path(".env"))
        configured = Path(settings.server.data_dir) if settings.server.data_dir else default_data_dir()
        target = data_dir or configured
        root = backup_dir or resolve(settings.retention.backup_dir, target)
        return target, files.manifests(root)
    except (ConfigError, files.BackupError) as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(2)


def _chosen(names: tuple[str, ...], found: list[tuple[Path, Manifest]]) -> list[tuple[Path, Manifest]]:
    if not names:
        return found
    chosen = []
    for name in names:
        hits = [pair for pair in found if name in {pair[1].signal, f"{pair[1].signal}/{pair[1].day}"}]
        if not hits:
            click.echo(f"mamimon: there is no backup {name}; `mamimon backup list` shows them", err=True)
            sys.exit(1)
        chosen += hits
    return chosen
