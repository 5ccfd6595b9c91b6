"""`mamimon dashboards`: list, take over from Grafana, and take away."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options


@click.group()
def dashboards() -> None:
    """List, import and export dashboards, ours and Grafana's."""


@dashboards.command("list")
@server_options
def listed(**where: Any) -> None:
    """Every dashboard: its slug, where it is from and its title."""
    for one in ask("GET", "/api/mamimon/dashboards", **where):
        click.echo(f"{one['slug']}\t{one['origin']}\t{one['title']}")


@dashboards.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken over, and store nothing.")
@server_options
def imported(files: tuple[Path, ...], dry_run: bool, **where: Any) -> None:
    """Take over dashboards from JSON files of mamimon or Grafana; what does not translate is listed."""
    for file in files:
        done = ask(
            "POST",
            "/api/mamimon/dashboards/import",
            params={"dry_run": "1"} if dry_run else {},
            content=file.read_bytes(),
            mistake=2,
            **where,
        )
        click.echo(f"{file}: {done['converted']} of {done['panels']} panels → {done['url']}")
        for mark, name in (("✗", "skipped"), ("·", "remarks")):
            for one in done[name]:
                click.echo(f"  {mark} {one['title'] or '–'} ({one['type']}): {one['reason']}")


@dashboards.command()
@click.argument("slug")
@click.option("--grafana", is_flag=True, help="As Grafana dashboard JSON.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (default: standard output).",
)
@server_options
def export(slug: str, grafana: bool, output: Path | None, **where: Any) -> None:
    """Write a dashboard as JSON."""
    path = f"/api/mamimon/dashboards/{slug}" + ("/grafana" if grafana else "")
    text = json.dumps(ask("GET", path, **where), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
