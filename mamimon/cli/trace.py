"""`mamimon trace`: one request from everything that tells of it."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import quote

import click

from mamimon.cli.ask import ask, server_options
from mamimon.cli.paint import safe

_SIGNS = {"log": " ", "error": "✗", "event": "◆", "exemplar": "≈"}
_COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow", "DEBUG": "bright_black"}


@click.command()
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def trace(request_id: str, as_json: bool, **where: Any) -> None:
    """Print the log lines, errors, events and exemplars of a request or trace id, in order.

    Exits 1 where nothing carries the id. What is missing is said on standard error.
    """
    found = ask("GET", f"/api/mamimon/requests/{quote(request_id, safe='')}", **where)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        for one in found["moments"]:
            level = click.style(f"{one['level'] or '-':<8}", fg=_COLOURS.get(one["level"]))
            offset = click.style(f"+{one['offset_ms']:>9.1f} ms", dim=True)
            source = click.style(safe(one["source"]), fg="cyan")
            click.echo(f"{offset} {_SIGNS[one['kind']]} {level} {source} {safe(one['text'])}")
        for text in found["missing"]:
            click.echo(text, err=True)
    if not found["moments"]:
        sys.exit(1)
