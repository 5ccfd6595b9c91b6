"""`mamimon users`: people who may sign in."""

from __future__ import annotations

import sys
from typing import Any

import click

from mamimon.cli.accounts import change, rows, server_options

# "none" is for people of other projects than the first.
ROLE = click.Choice(["none", "viewer", "editor", "admin"])


@click.group()
def users() -> None:
    """Add, list and remove people."""


@users.command()
@click.argument("name")
@click.option("--role", type=ROLE, default="viewer", show_default=True)
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


@users.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@server_options
def role(name: str, role: str, **where: Any) -> None:
    """Give a person another role."""
    change("POST", f"/api/mamimon/users/{name}/role", {"role": role}, where)
    click.echo(f"{name} is {role} now", err=True)


@users.command()
@click.argument("name")
@click.option("--role", type=ROLE, help="Invite a new person with this role; without it, a new password.")
@server_options
def link(name: str, role: str | None, **where: Any) -> None:
    """Print a path by which a person sets a password, once."""
    made = change("POST", f"/api/mamimon/users/{name}/link", {"role": role} if role else {}, where)
    click.echo(made["path"])


@users.command("drop-factor")
@click.argument("name")
@server_options
def drop_factor(name: str, **where: Any) -> None:
    """Take the second factor away from a person who lost it."""
    change("DELETE", f"/api/mamimon/users/{name}/second-factor", None, where)
    click.echo(f"{name} signs in by the password alone now", err=True)
