"""`mamimon version`."""

from __future__ import annotations

import platform
import sqlite3

import click

import mamimon


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the versions of mamimon and of what it stands on."""
    facts = {
        "mamimon": mamimon.__version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
    }
    if as_json:
        import json

        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name} {value}")
