"""`mamimon cleanup`: delete what is too old now instead of tonight."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from mamimon.cli.ask import ask, server_options


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def cleanup(dry_run: bool, as_json: bool, **where: Any) -> None:
    """Back up and delete every day that is older than it is kept; exit 1 where one had to stay."""
    if dry_run:
        rows = ask("GET", "/api/mamimon/cleanup", **where)["due"]
    else:
        rows = ask("POST", "/api/mamimon/cleanup", timeout_s=3600.0, **where)
    if as_json:
        click.echo(json.dumps(rows))
    for row in [] if as_json else rows:
        size = f"{row['bytes'] / 2**20:.1f} MiB"
        if dry_run:
            click.echo(f"{row['signal']} {row['day']} {size} would be deleted")
        elif row["error"]:
            click.echo(f"{row['signal']} {row['day']} {size} kept: {row['error']}")
        else:
            click.echo(f"{row['signal']} {row['day']} {size} deleted, backup {row['backup'] or 'none'}")
    if not rows:
        click.echo("nothing is older than it is kept", err=True)
    if not dry_run and any(row["error"] for row in rows):
        sys.exit(1)
