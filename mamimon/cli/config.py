"""`mamimon config`: what the settings are and mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from mamimon.config import ConfigError, load, table
from mamimon.config_show import shown


@click.group()
def config() -> None:
    """Show and check settings."""


@config.command()
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="mamimon.toml to read."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(path: Path | None, as_json: bool) -> None:
    """Print every setting with its value, default and meaning; secrets are hidden."""
    path = path or (Path("mamimon.toml") if Path("mamimon.toml").is_file() else None)
    try:
        settings = load(path, env_file=Path(".env"))
    except ConfigError as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(2)
    values = shown(settings)
    if as_json:
        click.echo(json.dumps(values))
        return
    section = ""
    for row in table():
        if row.section != section:
            section = row.section
            click.echo(f"\n[{section}]")
        value = values[row.section][row.key]
        mark = "" if value == row.default else f"  (default {_toml(row.default)})"
        names = row.variable + (f" or {row.mission}" if row.mission else "")
        click.echo(f"# {row.about}{mark} {names}\n{row.key} = {_toml(value)}")


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
