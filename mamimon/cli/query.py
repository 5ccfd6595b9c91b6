"""`mamimon query`: ask the running server in PromQL."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from mamimon.cli.ask import ask, server_options
from mamimon.problems import Problem
from mamimon.window import seconds

_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 60


@click.command()
@click.argument("promql")
@click.option("--since", help="Ask over the time up to now, such as 1h, instead of for now.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as the Prometheus API gives it.")
@server_options
def query(
    promql: str, since: str | None, as_json: bool, url: str | None, token: str | None, data_dir: Path | None
) -> None:
    """Evaluate PROMQL now, or with --since over a range: one line a series."""
    params: dict[str, Any] = {"query": promql}
    path = "/api/v1/query"
    if since is not None:
        try:
            span = seconds(since)
        except Problem as problem:
            raise click.BadParameter(f"{problem.detail}; {problem.hint}", param_hint="--since") from None
        now = time.time()
        params |= {"start": now - span, "end": now, "step": max(1.0, round(span / _POINTS))}
        path = "/api/v1/query_range"
    answer = ask("GET", path, url=url, token=token, data_dir=data_dir, params=params)
    for warning in [*answer.get("warnings", []), *answer.get("infos", [])]:
        click.echo(warning, err=True)
    data = answer["data"]
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    for line in _lines(data):
        click.echo(line)
    if not data["result"]:
        click.echo("no series matches; `mamimon query up` shows what is scraped", err=True)
        sys.exit(1)


def _lines(data: dict[str, Any]) -> list[str]:
    if data["resultType"] in {"scalar", "string"}:
        return [str(data["result"][1])]
    return [f"{_series(one['metric'])} {_value(one)}" for one in data["result"]]


def _series(labels: dict[str, str]) -> str:
    inner = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in sorted(labels.items())
        if name != "__name__"
    )
    return f"{labels.get('__name__', '')}{{{inner}}}"


def _value(one: dict[str, Any]) -> str:
    if "value" in one:
        return str(one["value"][1])
    values = [float(value) for _, value in one["values"]]
    return f"{_spark(values)}  {one['values'][-1][1]}"


def _spark(values: list[float]) -> str:
    """The course of a series as one character a point."""
    known = [value for value in values if value - value == 0]
    if not known:
        return ""
    low, high = min(known), max(known)
    width = (high - low) or 1.0
    return "".join(
        _BARS[round((value - low) / width * (len(_BARS) - 1))] if value - value == 0 else " "
        for value in values
    )
