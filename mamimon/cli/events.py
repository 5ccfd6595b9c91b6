"""`mamimon events`: ask a running server about product events, or send one."""

from __future__ import annotations

import json
from typing import Any

import click

from mamimon.cli.ask import ask, server_options


@click.group()
def events() -> None:
    """Product events: counts, the newest, and sending one."""


@events.command()
@click.option("--since", default="24h", help="How far back, as 15m, 24h or 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def counts(since: str, as_json: bool, **where: Any) -> None:
    """How often each event happened, and by how many people."""
    answer = ask("GET", "/api/mamimon/events/summary", params={"since": since}, **where)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for one in answer["types"]:
        click.echo(f"{one['count']:>9}  {one['users']:>7} people  {one['type']}")
    click.echo(f"{answer['count']} events by {answer['users']} people in {since}", err=True)
    if answer["partial"]:
        click.echo("a day's file could not be read; its events are missing", err=True)


@events.command("list")
@click.option("--type", "type_", default="", help="Only this event.")
@click.option("--since", default="24h", help="How far back, as 15m, 24h or 7d.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one event a line.")
@server_options
def list_(type_: str, since: str, limit: int, as_json: bool, **where: Any) -> None:
    """The newest events, already anonymised."""
    import datetime as dt

    params = {"type": type_, "since": since, "size": limit}
    for row in ask("GET", "/api/mamimon/events", params=params, **where):
        if as_json:
            click.echo(json.dumps(row, ensure_ascii=False))
            continue
        at = dt.datetime.fromtimestamp(row["at"], dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        properties = json.dumps(row["properties"], ensure_ascii=False)
        click.echo(f"{at}  {row['user'][:8] or '-':<8}  {row['type']}  {properties}")


@events.command()
@click.argument("event")
@click.option("--user", default="", help="Who did it; stored as a pseudonym.")
@click.option("--property", "properties", multiple=True, help="NAME=VALUE; may repeat.")
@server_options
def send(event: str, user: str, properties: tuple[str, ...], **where: Any) -> None:
    """Send one event."""
    pairs = [one.partition("=") for one in properties]
    if any(not mark for _, mark, _ in pairs):
        raise click.UsageError("--property is NAME=VALUE")
    body = {"event": event, "distinct_id": user, "properties": {name: value for name, _, value in pairs}}
    answer = ask("POST", "/api/mamimon/events", json=body, **where)
    if answer["refused"]:
        raise click.ClickException(answer["refused"][0]["error"])
    click.echo("stored", err=True)


@events.command()
@click.option("--drop-before", help="Drop keys made before this time (ISO 8601 or now-90d). For good.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def keys(drop_before: str | None, as_json: bool, **where: Any) -> None:
    """The pseudonym keys; a dropped key anonymises what was stored under it for good."""
    if drop_before:
        ask("DELETE", "/api/mamimon/events/keys", params={"before": drop_before}, **where)
    answer = ask("GET", "/api/mamimon/events/keys", **where)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for one in answer:
        click.echo(
            f"{one['id']:>4}  made {one['created_at']:.0f}  {'dropped' if one['dropped_at'] else 'kept'}"
        )
