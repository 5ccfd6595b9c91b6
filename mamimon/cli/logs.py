"""`mamimon logs`: search and follow the lines of a running server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options, server_token, server_url
from mamimon.cli.ingest import ingest

_COLOURS = {
    "ERROR": "red",
    "CRITICAL": "red",
    "WARNING": "yellow",
    "DEBUG": "bright_black",
    "TRACE": "bright_black",
}


@click.group()
def logs() -> None:
    """Search log lines, follow them as they come, or send files of them."""


logs.add_command(ingest)


@logs.command()
@click.argument("query", default="")
@click.option("--since", default="1h", show_default=True, help="How far back: 15m, 1h, 7d.")
@click.option("--dataset", default="", help="Only this dataset.")
@click.option("--size", default=100, show_default=True, help="Lines at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the documents as NDJSON.")
@server_options
def search(
    query: str,
    since: str,
    dataset: str,
    size: int,
    as_json: bool,
    url: str | None,
    token: str | None,
    data_dir: Path | None,
) -> None:
    """Print the newest lines that match QUERY, oldest first."""
    params = {"q": query, "since": since, "dataset": dataset, "size": size}
    found = ask("GET", "/api/mamimon/logs/search", url=url, token=token, data_dir=data_dir, params=params)
    for hit in reversed(found["hits"]):
        _print(hit, as_json)
    if found["more"]:
        click.echo(f"there are more; --size {size * 10} shows older ones", err=True)


@logs.command()
@click.argument("query", default="")
@click.option("--dataset", default="", help="Only this dataset.")
@click.option("--json", "as_json", is_flag=True, help="Print the documents as NDJSON.")
@server_options
def tail(
    query: str, dataset: str, as_json: bool, url: str | None, token: str | None, data_dir: Path | None
) -> None:
    """Print lines that match QUERY as they come; Ctrl-C ends it."""
    import httpx

    known = server_token(url, token, data_dir)
    headers = {"Authorization": f"Bearer {known}"} if known else {}
    address = f"{server_url(url, data_dir)}/logs/tail"
    params = {"q": query, "dataset": dataset}
    try:
        with httpx.stream("GET", address, params=params, headers=headers, timeout=60) as answer:
            if answer.status_code != 200:
                answer.read()
                click.echo(f"mamimon: {answer.text[:300]}", err=True)
                sys.exit(1)
            _follow(answer, as_json)
    except httpx.TransportError as error:
        click.echo(f"mamimon: {address}: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        return


def _follow(answer: Any, as_json: bool) -> None:
    event = ""
    for line in answer.iter_lines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:") and event == "line":
            _print(json.loads(line[5:]), as_json)
            sys.stdout.flush()
        elif line.startswith("data:") and event == "lost":
            click.echo(f"{line[5:].strip()} lines came too fast to be shown", err=True)


def _print(hit: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(hit["document"], ensure_ascii=False))
        return
    level = click.style(f"{hit['level'] or '-':<8}", fg=_COLOURS.get(hit["level"]))
    click.echo(f"{click.style(hit['time'], dim=True)} {level} {hit['logger']} {hit['message']}")
