"""`mamimon tokens`: secrets that programs present."""

from __future__ import annotations

from typing import Any

import click

from mamimon.cli.accounts import change, rows, server_options


@click.group()
def tokens() -> None:
    """Make, list and revoke API tokens."""


@tokens.command()
@click.argument("name", default="token")
@click.option("--scope", type=click.Choice(["ingest", "read", "write", "admin"]), required=True)
@server_options
def add(name: str, scope: str, **where: Any) -> None:
    """Make a token and print it; it is shown only now."""
    made = change("POST", "/api/mamimon/tokens", {"name": name, "scope": scope}, where)
    click.echo(made["token"])


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def list_(as_json: bool, **where: Any) -> None:
    """List every token, without its secret."""
    rows("/api/mamimon/tokens", ("id", "name", "scope", "created_by"), as_json, where)


@tokens.command()
@click.argument("token_id", type=int)
@server_options
def remove(token_id: int, **where: Any) -> None:
    """Revoke a token."""
    change("DELETE", f"/api/mamimon/tokens/{token_id}", None, where)
    click.echo(f"revoked {token_id}", err=True)
