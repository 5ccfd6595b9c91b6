"""`mamimon logs export`: as many lines as a disk takes, written as they come."""

from __future__ import annotations

import sys
from typing import Any

import click

from mamimon.cli.ask import reached, reason, server_options

_MOST = 1_000_000


@click.command()
@click.argument("query", default="")
@click.option("--since", default="1h", show_default=True, help="How far back: 15m, 1h, 7d.")
@click.option("--dataset", default="", help="Only this dataset; wildcards are allowed.")
@click.option(
    "--size", default=100_000, show_default=True, type=click.IntRange(1, _MOST), help="Lines at most."
)
@click.option("--format", "form", default="ndjson", type=click.Choice(["ndjson", "csv"]), show_default=True)
@click.option("--fields", default="", help="With CSV: fields as columns, by comma.")
@server_options
def export(query: str, since: str, dataset: str, size: int, form: str, fields: str, **where: Any) -> None:
    """Write the newest lines that match QUERY to standard output, the newest first.

    Nothing of it is kept in memory. Exits 1 where the answer breaks off before its end.
    """
    import httpx

    address, headers = reached(**where)
    params: dict[str, str | int] = {
        "q": query,
        "since": since,
        "dataset": dataset,
        "size": size,
        "format": form,
        "cols": fields,
    }
    try:
        with httpx.stream(
            "GET", f"{address}/api/mamimon/logs/export", params=params, headers=headers, timeout=60
        ) as answer:
            if answer.status_code >= 400:
                answer.read()
                click.echo(f"mamimon: {reason(answer)}", err=True)
                sys.exit(2 if answer.status_code == 400 else 1)
            for part in answer.iter_bytes():
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
    except httpx.ConnectError as error:
        click.echo(f"mamimon: no server answers on {address}: {error}", err=True)
        sys.exit(1)
    except httpx.TransportError as error:
        sys.stdout.buffer.flush()
        click.echo(f"mamimon: the answer broke off, there are more lines: {error}", err=True)
        sys.exit(1)
