"""`mamimon maintenance`: planned work, during which checks and alerts tell nobody."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import click

from mamimon.cli.ask import ask, server_options

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def maintenance() -> None:
    """Plan work: checks are shown as in maintenance, their alerts tell nobody."""


@maintenance.command("list")
@_JSON
@server_options
def list_(as_json: bool, **where: Any) -> None:
    """List windows: what is open first, then by when they open."""
    found = ask("GET", "/api/mamimon/maintenance", **where)
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no work is planned", err=True)


@maintenance.command()
@click.argument("name")
@click.option("--for", "duration", required=True, help="How long, as 30m, 2h or 1d.")
@click.option("--check", "checks", multiple=True, help="Name of a check, or a glob; '*' is all. Repeatable.")
@click.option("--matchers", default="", help='Alerts, as \'job="batch", severity=~"warn.*"\'.')
@click.option("--at", "starts", help="When it begins, as 2026-12-01T22:00 (default: now).")
@click.option("--schedule", default="", help="Cron expression of work that recurs, as '0 3 * * 0'.")
@click.option("--zone", default="UTC", help="Time zone of --at and --schedule, as Europe/Istanbul.")
@_JSON
@server_options
def add(name: str, duration: str, checks: tuple[str, ...], as_json: bool, **more: Any) -> None:
    """Plan work called NAME, once or by a schedule."""
    from mamimon.alerts.model import duration as seconds
    from mamimon.problems import Problem

    try:
        length = seconds(duration)
    except Problem as problem:
        raise click.UsageError(f"--for: {problem.detail}") from None
    keys = ("matchers", "starts", "schedule", "zone")
    body = {
        "name": name,
        "duration_s": length,
        "checks": list(checks),
        **{key: more.pop(key) for key in keys},
    }
    done = ask("POST", "/api/mamimon/maintenance", json=body, **more)
    click.echo(json.dumps(done) if as_json else _line(done))


@maintenance.command()
@click.argument("window")
@server_options
def remove(window: str, **where: Any) -> None:
    """End or call off the window with the id WINDOW."""
    ask("DELETE", f"/api/mamimon/maintenance/{window}", **where)
    click.echo(f"{window} is removed", err=True)


def _line(one: dict[str, Any]) -> str:
    window = one["window"]
    state = "open" if one["open"] else "over" if one["starts_at"] is None else "planned"
    covered = ", ".join([*window["checks"], *([window["matchers"]] if window["matchers"] else [])])
    rhythm = f"  ({window['schedule']} {window['zone']})" if window["schedule"] else ""
    span = "" if one["starts_at"] is None else f"  {_when(one['starts_at'])} – {_when(one['ends_at'])}"
    return f"{window['id']}  {state:<8}{span}  {window['name']}: {covered}{rhythm}"


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
