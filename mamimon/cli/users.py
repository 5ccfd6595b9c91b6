"""`mamimon users`: people who may sign in."""

from __future__ import annotations

import sys
from typing import Any

import click

from mamimon.cli.accounts import change, rows, server_options


@click.group()
def users() -> None:
    """Add, list and remove people."""


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin"]), default="viewer", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@server_options
def add(name: str, role: str, password_stdin: bool, **where: Any) -> None:
    """Add a person; the first one closes the server to everybody else."""
    password = (
        sys.stdin.readline().rstrip("\n")
        if password_stdin
        else click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    )
    change("POST", "/api/mamimon/users", {"name": name, "role": role, "password": password}, where)
    click.echo(f"added {name} ({role})", err=True)


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def list_(as_json: bool, **where: Any) -> None:
    """List everybody."""
    rows("/api/mamimon/users", ("name", "role"), as_json, where)


@users.command()
@click.argument("name")
@server_options
def remove(name: str, **where: Any) -> None:
    """Remove a person and end the sessions."""
    change("DELETE", f"/api/mamimon/users/{name}", None, where)
    click.echo(f"removed {name}", err=True)
