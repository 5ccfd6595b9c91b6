"""`mamimon errors`: issues in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options


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
    for one in answer["issues"]:
        click.echo(
            f"{one['id']:>6}  {one['count']:>7} ×  {one['users']:>5} users"
            f"  {one['status']:<10}  {one['title']}"
        )
        click.echo(f"{'':>6}  {one['culprit']}")
    click.echo(f"{answer['total']} issues match", err=True)


@errors.command()
@click.argument("issue", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def show(issue: int, as_json: bool, **where: Any) -> None:
    """Show an issue with its newest event: chain, stack, request, tags."""
    answer = ask("GET", f"/api/mamimon/errors/issues/{issue}", **where)
    if as_json:
        click.echo(json.dumps(answer))
        return
    found, event = answer["issue"], answer["event"]
    click.echo(f"#{found['id']} {found['title']}\n{found['culprit']}")
    click.echo(f"{found['status']}, {found['level']}, {found['count']} events, {found['users']} users")
    click.echo(f"grouped by {found['grouping']['reason']}")
    if event is None:
        return
    for one in event.get("exceptions", []):
        click.echo(f"\n{one.get('type', '')}: {one.get('value', '')}")
        for frame in one.get("frames", []):
            place = f"{frame.get('module') or frame.get('file', '')}:{frame.get('line', '')}"
            click.echo(f"  {'>' if frame.get('in_app') else ' '} {frame.get('function', '?')} in {place}")
            if frame.get("code"):
                click.echo(f"      {frame['code'].strip()}")
    if event.get("request"):
        click.echo(f"\n{event['request'].get('method', '')} {event['request'].get('url', '')}".rstrip())
    click.echo("\n" + "  ".join(f"{key}={value}" for key, value in event.get("tags", {}).items()))


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
