"""`mamimon projects` and `mamimon teams`: rooms and data of their own, and who may see them."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

import click

from mamimon.cli.accounts import change, rows, server_options
from mamimon.cli.ask import chosen_project

ROLE = click.Choice(["none", "viewer", "editor", "admin"])


@click.group()
def projects() -> None:
    """Make, list, archive and delete projects, and give roles in them."""


@projects.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def list_(as_json: bool, **where: Any) -> None:
    """List every project; an archived one has a time in the last column."""
    rows("/api/mamimon/projects", ("slug", "name", "archived_at"), as_json, where)


@projects.command()
@click.argument("slug")
@click.option("--name", default="", help="Name that people see (default: the short name).")
@server_options
def create(slug: str, name: str, **where: Any) -> None:
    """Make a project; its doors and pages are below /p/SLUG/."""
    change("POST", "/api/mamimon/projects", {"slug": slug, "name": name}, where)
    click.echo(f"made {slug}: /p/{slug}/", err=True)


@projects.command()
@click.argument("slug")
@click.argument("name")
@server_options
def rename(slug: str, name: str, **where: Any) -> None:
    """Give a project another name; the short one in addresses stays."""
    change("POST", f"/api/mamimon/projects/{quote(slug)}/name", {"name": name}, where)
    click.echo(f"{slug} is called {name} now", err=True)


@projects.command()
@click.argument("slug")
@server_options
def archive(slug: str, **where: Any) -> None:
    """Take a project out of service; its data stay."""
    change("POST", f"/api/mamimon/projects/{quote(slug)}/archive", None, where)
    click.echo(f"archived {slug}", err=True)


@projects.command("return")
@click.argument("slug")
@server_options
def return_(slug: str, **where: Any) -> None:
    """Put an archived project into service again."""
    change("POST", f"/api/mamimon/projects/{quote(slug)}/return", None, where)
    click.echo(f"{slug} is back", err=True)


@projects.command()
@click.argument("slug")
@click.option("--confirm", help="The short name once more, instead of the question.")
@server_options
def delete(slug: str, confirm: str | None, **where: Any) -> None:
    """Delete a project and all its data; the server must be running."""
    typed = confirm or click.prompt(f"Type {slug} to delete it with all its data", err=True)
    if typed != slug:
        click.echo("mamimon: that is another name; nothing was deleted", err=True)
        sys.exit(1)
    change("DELETE", f"/api/mamimon/projects/{quote(slug)}?confirm={quote(typed)}", None, where)
    click.echo(f"deleted {slug}", err=True)


@projects.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def members(as_json: bool, **where: Any) -> None:
    """List who was given a role in a project (--project)."""
    rows("/api/mamimon/members", ("kind", "name", "role"), as_json, where)


@projects.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@click.option("--team", is_flag=True, help="NAME is a team.")
@server_options
def grant(name: str, role: str, team: bool, **where: Any) -> None:
    """Give a person or a team a role in a project (--project); none takes it away."""
    body = {"kind": "team" if team else "user", "name": name, "role": role}
    change("POST", "/api/mamimon/members", body, where)
    click.echo(f"{name} is {role} in {chosen_project() or 'the first project'} now", err=True)


@projects.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin"]), default="viewer", show_default=True)
@server_options
def invite(name: str, role: str, **where: Any) -> None:
    """Print a path by which somebody new joins one project (--project), once."""
    made = change("POST", "/api/mamimon/members/invite", {"name": name, "role": role}, where)
    click.echo(made["path"])


@click.group()
def teams() -> None:
    """Make teams and put people into them; `projects grant --team` gives them roles."""


@teams.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def list_teams(as_json: bool, **where: Any) -> None:
    """List every team and its people."""
    rows("/api/mamimon/teams", ("name", "members"), as_json, where)


@teams.command()
@click.argument("name")
@server_options
def add(name: str, **where: Any) -> None:
    """Make a team."""
    change("POST", "/api/mamimon/teams", {"name": name}, where)
    click.echo(f"made {name}", err=True)


@teams.command()
@click.argument("name")
@server_options
def remove(name: str, **where: Any) -> None:
    """Forget a team; its people lose the roles it gave."""
    change("DELETE", f"/api/mamimon/teams/{quote(name)}", None, where)
    click.echo(f"removed {name}", err=True)


@teams.command()
@click.argument("team")
@click.argument("name")
@server_options
def join(team: str, name: str, **where: Any) -> None:
    """Put a person into a team."""
    change("POST", f"/api/mamimon/teams/{quote(team)}/members", {"name": name}, where)
    click.echo(f"{name} is in {team} now", err=True)


@teams.command()
@click.argument("team")
@click.argument("name")
@server_options
def leave(team: str, name: str, **where: Any) -> None:
    """Take a person out of a team."""
    change("DELETE", f"/api/mamimon/teams/{quote(team)}/members/{quote(name)}", None, where)
    click.echo(f"{name} is not in {team} any more", err=True)
