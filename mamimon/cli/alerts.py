"""`mamimon alerts`: what fires, answering it, keeping it quiet; checking, testing and backtesting rules."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import sys
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_BY = click.option("--by", default=getpass.getuser, help="Your name (default: your login).")


@click.group()
def alerts() -> None:
    """See, acknowledge and silence alerts; check and backtest rules."""


@alerts.command("list")
@_JSON
@server_options
def list_(as_json: bool, **where: Any) -> None:
    """List incidents that are not resolved, and pending and firing alerts."""
    incidents = [one for one in ask("GET", "/api/mamimon/incidents", **where) if one["state"] != "resolved"]
    found = ask("GET", "/api/mamimon/alerts", **where)
    if as_json:
        click.echo(json.dumps({"incidents": incidents, "alerts": found}))
        return
    for one in incidents:
        who = f"  {one['acknowledged_by']}" if one["acknowledged_by"] else ""
        click.echo(f"#{one['id']:<5} {one['state']:<13} {_when(one['since'])}  {one['title']}{who}")
    for one in found:
        quiet = "".join(f"  {_quiet(why)}" for why in one["quiet"])
        labels = " ".join(f"{k}={v}" for k, v in sorted(one["labels"].items()) if k != "alertname")
        click.echo(f"{one['state']:<8} {_when(one['since'])}  {one['name']}  {labels}{quiet}")
    if not incidents and not found:
        click.echo("nothing is pending or firing", err=True)


_QUIET = {
    "silence": "silenced by {by}",
    "inhibition": "hidden by {name}",
    "maintenance": "muted by maintenance {name}",
    "interval": "muted by interval {name}",
}


def _quiet(why: dict[str, Any]) -> str:
    until = f" until {_when(why['until'])}" if why["until"] is not None else ""
    return _QUIET[why["kind"]].format(**why) + until


@alerts.command()
@click.argument("incident", type=int)
@click.option("--note", default="", help="What you will do.")
@_BY
@_JSON
@server_options
def ack(incident: int, note: str, by: str, as_json: bool, **where: Any) -> None:
    """Acknowledge an incident, so that nobody else is woken."""
    body = {"by": by, "note": note}
    done = ask("POST", f"/api/mamimon/incidents/{incident}/acknowledge", json=body, **where)
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"#{done['id']} {done['title']}: {done['state']} by {done['acknowledged_by']}")


@alerts.command()
@click.argument("matchers")
@click.option("--for", "duration", default="1h", help="How long, as 30m, 2h or 1d.")
@click.option("--comment", default="", help="Why.")
@_BY
@_JSON
@server_options
def silence(matchers: str, duration: str, comment: str, by: str, as_json: bool, **where: Any) -> None:
    """Keep the alerts that MATCHERS match quiet, as 'alertname="X", job=~"batch.*"'."""
    from mamimon.alerts.model import duration as seconds
    from mamimon.problems import Problem

    try:
        length = seconds(duration)
    except Problem as problem:
        raise click.UsageError(f"--for: {problem.detail}") from None
    body = {"matchers": matchers, "duration_s": length, "by": by, "comment": comment}
    done = ask("POST", "/api/mamimon/silences", json=body, **where)
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"{done['id']} until {_when(done['ends_at'])}, hides {len(done['hides'])} now")


@alerts.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@_JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Read rule files and say what is wrong with them; exits 1 for any mistake."""
    from mamimon.alerts.rules import load_files
    from mamimon.metrics.promql import parse

    loaded = load_files(files, 15.0, lambda text: void(parse(text)))
    rules = sum(len(group.rules) for group in loaded.groups)
    if as_json:
        errors = [{"file": one.file, "line": one.line, "message": one.message} for one in loaded.errors]
        click.echo(json.dumps({"groups": len(loaded.groups), "rules": rules, "errors": errors}))
    else:
        for error in loaded.errors:
            click.echo(str(error))
        click.echo(f"{rules} rules in {len(loaded.groups)} groups, {len(loaded.errors)} mistakes", err=True)
    sys.exit(1 if loaded.errors else 0)


@alerts.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@_JSON
def test(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rules, in the form of `promtool test rules`; exits 1 where one fails."""
    from mamimon.alerts.unit_tests import run_file

    verdicts = [run_file(path) for path in files]
    if as_json:
        out = [{"file": one.file, "tests": one.tests, "failures": one.failures} for one in verdicts]
        click.echo(json.dumps(out))
    else:
        for one in verdicts:
            click.echo(f"{one.file}: {'FAILED' if one.failures else 'passed'} ({one.tests} tests)")
            for failure in one.failures:
                click.echo(f"  {failure}")
    sys.exit(1 if any(one.failures for one in verdicts) else 0)


@alerts.command()
@click.argument("expr")
@click.option("--for", "duration", default="0s", help="How long it must be true, as 5m.")
@click.option("--days", type=click.FloatRange(0.01, 400), default=30.0, help="How far back.")
@_JSON
@server_options
def backtest(expr: str, duration: str, days: float, as_json: bool, **where: Any) -> None:
    """Say how often and when a rule would have fired."""
    body = {"expr": expr, "for": duration, "days": days}
    done = ask("POST", "/api/mamimon/alerts/backtest", json=body, timeout_s=300.0, **where)
    if as_json:
        click.echo(json.dumps(done))
        return
    for one in done["episodes"]:
        labels = " ".join(f"{k}={v}" for k, v in sorted(one["labels"].items()))
        click.echo(f"{_when(one['start'])}  {one['seconds'] / 60:>8.1f} min  {labels}")
    click.echo(
        f"would have fired {done['fired']} times in {days:g} days, {done['firing_s'] / 60:.1f} min in all",
        err=True,
    )


def void(_: object) -> None:
    """Drop a value where only the exception matters."""


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@click.argument("version")
@click.option("--service", default="", help="What was deployed.")
@click.option("--note", default="", help="What is new.")
@_BY
@_JSON
@server_options
def deploy(version: str, service: str, note: str, by: str, as_json: bool, **where: Any) -> None:
    """Mark that VERSION went live; charts of incidents show it."""
    body = {"version": version, "service": service, "note": note, "by": by}
    done = ask("POST", "/api/mamimon/deploys", json=body, **where)
    click.echo(json.dumps(done) if as_json else f"deploy {done['version']} at {_when(done['at'])}")
