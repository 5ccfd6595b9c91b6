"""`mamimon errors`: issues in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options, server_url
from mamimon.cli.issues import listed, shown


@click.group()
def errors() -> None:
    """List and show issues, and print the DSN that applications use."""


@errors.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def dsn(as_json: bool, **where: Any) -> None:
    """Print the DSN of the default project."""
    answer = ask("GET", "/api/mamimon/errors/dsn", **where)
    click.echo(json.dumps(answer) if as_json else answer["dsn"])


@errors.command("list")
@click.argument("query", default="is:unresolved")
@click.option(
    "--sort",
    type=click.Choice(["last_seen", "first_seen", "count", "users", "trend"]),
    default="last_seen",
    help="Order, the most first.",
)
@click.option("--limit", type=click.IntRange(1, 500), default=25, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def list_(query: str, sort: str, limit: int, as_json: bool, **where: Any) -> None:
    """List issues by a search such as "is:unresolved release:web@2"."""
    params = {"query": query, "sort": sort, "limit": limit}
    answer = ask("GET", "/api/mamimon/errors/issues", params=params, **where)
    if as_json:
        click.echo(json.dumps(answer["issues"]))
        return
    for line in listed(answer["issues"]):
        click.echo(line)
    click.echo(f"{answer['total']} issues match", err=True)


@errors.command()
@click.argument("issue", type=int)
@click.option("--event", "event_id", default="", help="One of its events instead of the newest.")
@click.option("--markdown", is_flag=True, help="Print the event as Markdown, for a bug tracker.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def show(issue: int, event_id: str, markdown: bool, as_json: bool, **where: Any) -> None:
    """Show an issue with its newest event: chain, stack, variables, request, breadcrumbs, tags."""
    answer = ask("GET", f"/api/mamimon/errors/issues/{issue}", **where)
    if event_id:
        answer["event"] = ask("GET", f"/api/mamimon/errors/issues/{issue}/events/{event_id}", **where)
    event = answer["event"]
    if as_json:
        click.echo(json.dumps(answer))
    elif markdown:
        if event is None:
            raise click.ClickException("the issue's events are older than what is kept")
        import msgspec

        from mamimon.errors import present
        from mamimon.errors.model import Event

        link = f"{server_url(where['url'], where['data_dir'])}/errors/{answer['issue']['id']}"
        click.echo(present.markdown(msgspec.convert(event, Event), f"{link}/events/{event['id']}"), nl=False)
    else:
        for line in shown(answer, event):
            click.echo(line)


@errors.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--release", default="", help="The release whose files these are; not needed with debug ids.")
@click.option("--dist", default="", help="The build of the release.")
@click.option("--url-prefix", default="~/", help="Under which address the folder is served.")
@click.option("--project", type=int, default=1, help="The project's number.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def sourcemaps(
    folder: Path, release: str, dist: str, url_prefix: str, project: int, as_json: bool, **where: Any
) -> None:
    """Upload the source maps and minified files of a build's folder."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in {".js", ".mjs", ".cjs", ".map"}
        and path.is_file()
        and "node_modules" not in path.relative_to(folder).parts
    )
    if not any(path.suffix == ".map" for path in files):
        raise click.UsageError(f"{folder} holds no source maps (*.map)")
    sent = []
    for path in files:
        url = f"{url_prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}"
        params = {"url": url, "release": release, "dist": dist, "project": project}
        answer = ask(
            "POST", "/api/mamimon/errors/sourcemaps", params=params, content=path.read_bytes(), **where
        )
        sent.append(answer)
        if not as_json:
            click.echo(f"{answer['kind']:<16} {answer['url']}  {answer['debug_id']}".rstrip())
    if as_json:
        click.echo(json.dumps(sent))
    click.echo(f"{len(sent)} files uploaded", err=True)
