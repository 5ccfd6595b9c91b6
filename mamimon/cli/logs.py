"""`mamimon logs`: search and follow the lines of a running server, and see their patterns."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import click

from mamimon.cli.ask import ask, server_options
from mamimon.cli.follow import Printed, events
from mamimon.cli.ingest import ingest
from mamimon.cli.logs_export import export
from mamimon.cli.paint import Painter, safe

_BARS = "▁▂▃▄▅▆▇█"
_MOST_IN_CONTEXT = 200
_MOST_MISSED = 5_000
_MOST_LINES = 10_000


@click.group()
def logs() -> None:
    """Search log lines, follow them as they come, see their patterns, or send files of them."""


logs.add_command(ingest)
logs.add_command(export)


def _fields(_: Any, __: Any, value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


@logs.command()
@click.argument("query", default="")
@click.option("--since", default="1h", show_default=True, help="How far back: 15m, 1h, 7d.")
@click.option("--dataset", default="", help="Only this dataset; wildcards are allowed.")
@click.option(
    "--size", default=100, show_default=True, type=click.IntRange(1, _MOST_LINES), help="Lines at most."
)
@click.option(
    "--context", "-C", default=0, type=click.IntRange(0, 100), help="Lines of the same source around each."
)
@click.option("--fields", default="", callback=_fields, help="Fields to show after the message, by comma.")
@click.option("--json", "as_json", is_flag=True, help="Print the documents as NDJSON.")
@server_options
def search(
    query: str,
    since: str,
    dataset: str,
    size: int,
    context: int,
    fields: list[str],
    as_json: bool,
    **where: Any,
) -> None:
    """Print the newest lines that match QUERY, oldest first.

    Exits 1 where no line matches, and 2 where the query has a mistake.
    """
    params = {"q": query, "since": since, "dataset": dataset, "size": size}
    found = ask("GET", "/api/mamimon/logs/search", params=params, mistake=2, **where)
    painter = Painter(as_json=as_json, fields=fields)
    hits = found["hits"][::-1]
    if context and not as_json:
        _in_context(painter, hits, context, where)
    else:
        for hit in hits:
            painter.line(hit)
    painter.flush()
    if found["partial"]:
        click.echo("some of it could not be read in time; the answer is not complete", err=True)
    if found["more"]:
        larger = f"--size {min(size * 10, _MOST_LINES)}" if size < _MOST_LINES else "mamimon logs export"
        click.echo(f"there are more; {larger} shows older ones", err=True)
    if not hits:
        click.echo(f"no line of the last {since} matches", err=True)
        sys.exit(1)


def _in_context(painter: Painter, hits: list[dict[str, Any]], context: int, where: dict[str, Any]) -> None:
    """As `grep -C`: groups that touch are one group, and no line is printed twice."""
    wanted = {hit["id"] for hit in hits}
    printed: set[str] = set()
    for i, hit in enumerate(hits):
        if i >= _MOST_IN_CONTEXT:
            click.echo(f"only the first {_MOST_IN_CONTEXT} lines are shown with their context", err=True)
            return
        path = f"/api/mamimon/logs/lines/{hit['id']}/context"
        group = ask("GET", path, params={"size": context}, **where)["hits"]
        new = [one for one in group if one["id"] not in printed]
        if printed and len(new) == len(group):
            painter.gap()
        for one in new:
            painter.line(one, around=one["id"] not in wanted)
            printed.add(one["id"])


@logs.command()
@click.argument("query", default="")
@click.option("--dataset", default="", help="Only this dataset; wildcards are allowed.")
@click.option(
    "--lines", "-n", default=10, show_default=True, type=click.IntRange(0, 1000), help="Last ones first."
)
@click.option("--count", default=0, type=click.IntRange(0), help="Stop after this many new lines; 0 goes on.")
@click.option("--fields", default="", callback=_fields, help="Fields to show after the message, by comma.")
@click.option("--json", "as_json", is_flag=True, help="Print the documents as NDJSON.")
@server_options
def tail(
    query: str, dataset: str, lines: int, count: int, fields: list[str], as_json: bool, **where: Any
) -> None:
    """Print lines that match QUERY as they come; Ctrl-C ends it. A lost connection is made again."""
    painter = Painter(as_json=as_json, fields=fields)
    params = {"q": query, "dataset": dataset}
    seen = 0
    printed = Printed()
    signal.signal(signal.SIGINT, _leave)
    for kind, data in events(params, where):
        # Watched first and searched then, so that no line falls between; some are in both.
        if kind == "open":
            hits = _caught_up(params, where, lines, data)
        elif kind == "lost":
            click.echo(f"{data.strip()} lines came too fast to be shown", err=True)
            continue
        elif kind == "line":
            hits = [json.loads(data)]
        else:
            continue
        for hit in filter(lambda one: printed.new(one["id"]), hits):
            painter.line(hit)
            painter.flush()
            seen += kind == "line" or data is not None
            if count and seen >= count:
                return


def _caught_up(
    params: dict[str, Any], where: dict[str, Any], lines: int, since: float | None
) -> list[dict[str, Any]]:
    """The last lines, or after a lost connection all that came meanwhile."""
    if since is None:
        asked = {**params, "since": "24h", "size": lines}
    else:
        asked = {**params, "start": f"{since:.3f}", "size": _MOST_MISSED}
    try:
        found = ask("GET", "/api/mamimon/logs/search", params=asked, mistake=2, **where)
    except SystemExit:
        if since is None:
            raise
        # The server has gone once more; what is missing is said, and the tail goes on.
        found = {"hits": [], "more": True, "partial": True}
    if since is not None and (found["more"] or found["partial"]):
        click.echo("not all lines that came meanwhile are shown", err=True)
    return list(found["hits"][::-1])


def _leave(*_: Any) -> None:
    # An exception that strikes inside a finalizer is lost, and the tail would go on.
    os._exit(0)


@logs.command()
@click.argument("query", default="")
@click.option("--since", default="1h", show_default=True, help="How far back: 15m, 1h, 7d.")
@click.option("--new-since", default="", help="Only patterns that were first seen within this time: 1h.")
@click.option("--changed", is_flag=True, help="Only those that came much more or less often than before.")
@click.option("--dataset", default="", help="Only this dataset.")
@click.option("--level", default="", help="Only this level.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def patterns(
    query: str,
    since: str,
    new_since: str,
    changed: bool,
    dataset: str,
    level: str,
    limit: int,
    as_json: bool,
    **where: Any,
) -> None:
    """Print what the lines that match QUERY say, the commonest pattern first.

    Exits 1 where there is none, so that `mamimon logs patterns --new-since 10m --level ERROR` can
    be asked by a script.
    """
    view = "new" if new_since else "changed" if changed else "all"
    params = {"q": query, "since": new_since or since, "dataset": dataset, "level": level, "view": view}
    found = ask("GET", "/api/mamimon/logs/patterns", params=params, mistake=2, **where)
    shown = found["patterns"][:limit]
    if as_json:
        print(json.dumps(shown, ensure_ascii=False))
    else:
        for one in shown:
            print(_pattern(one))
        rest = len(found["patterns"]) - len(shown)
        if rest:
            click.echo(f"{rest} more; --limit {limit * 10} shows them", err=True)
        if found["partial"]:
            click.echo("some of it could not be read in time; the counts are not complete", err=True)
        if found["unsorted"]:
            click.echo(f"{found['unsorted']} lines have no pattern", err=True)
        if changed and not found["compared"]:
            click.echo("there are no older lines to compare with yet", err=True)
    if not shown:
        click.echo("no pattern matches", err=True)
        sys.exit(1)


def _pattern(one: dict[str, Any]) -> str:
    bins, top = one["bins"], max(one["bins"], default=0) or 1
    spark = "".join(" " if not n else _BARS[round(n / top * (len(_BARS) - 1))] for n in bins)
    sign = "new" if one["new"] else {"up": "▲", "down": "▼"}.get(one["change"], "")
    return (
        f"{one['count']:>9} {sign:<3} {spark} {one['id']} {one['level'] or '-':<8} {one['dataset']}"
        f" {safe(one['template'])}"
    )
