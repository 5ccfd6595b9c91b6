"""How issues read in a terminal: bold titles, a bar for each hour of the last day, own frames marked.

What applications sent may hold anything, so control characters are spelled out.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import click

from mamimon.cli.paint import safe

_BARS = "▁▂▃▄▅▆▇█"
_COLOURS = {"fatal": "red", "error": "red", "warning": "yellow", "info": "blue", "debug": "bright_black"}


def bars(counts: list[int]) -> str:
    """Counts as a row of bars; blanks where nothing happened."""
    top = max(counts, default=0)
    return "".join(_BARS[(count * 8 - 1) // top] if count else " " for count in counts) if top else ""


def ago(seconds: float) -> str:
    """`5 min ago` of an instant."""
    passed = max(0.0, time.time() - seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= size:
            return f"{int(passed // size)} {unit} ago"
    return "just now"


def listed(issues: list[dict[str, Any]]) -> Iterator[str]:
    """Two lines an issue."""
    for one in issues:
        title = click.style(safe(one["title"]), bold=True, fg=_COLOURS.get(one["level"]))
        state = "regressed" if one["regressed"] else one["status"]
        facts = [safe(one["culprit"]), state, f"seen {ago(one['last_seen'])}", safe(one["last_release"])]
        facts.append(f"assigned to {safe(one['assignee'])}" if one["assignee"] else "")
        counts = f"{one['count']:>7} ×  {one['users']:>5} users"
        yield f"{one['id']:>6}  {counts}  {bars(one['trend']):<24}  {title}"
        yield click.style(f"{'':>6}  {' · '.join(fact for fact in facts if fact)}", dim=True)


def shown(answer: dict[str, Any], event: dict[str, Any] | None) -> Iterator[str]:
    """An issue and one of its events, the exception that names it last, as Python prints them."""
    issue = answer["issue"]
    yield f"#{issue['id']} " + click.style(safe(issue["title"]), bold=True, fg=_COLOURS.get(issue["level"]))
    if issue["culprit"]:
        yield safe(issue["culprit"])
    state = "regressed" if issue["regressed"] else issue["status"]
    yield f"{state}, {issue['level']}, {issue['count']} events, {issue['users']} users"
    yield f"first seen {_when(issue['first_seen'])} {safe(issue['first_release'])}".rstrip()
    yield f"last seen  {_when(issue['last_seen'])} {safe(issue['last_release'])}".rstrip()
    if issue["assignee"]:
        yield f"assigned to {safe(issue['assignee'])}"
    yield f"grouped by {issue['grouping'].get('reason', '')}:"
    yield from (f"  {safe(part)}" for part in issue["grouping"].get("parts", []))
    if answer["parts"]:
        yield "merged of " + ", ".join(f"#{part['id']} ({part['count']} ×)" for part in answer["parts"])
    if event is None:
        yield "\nIts events are older than what is kept."
        return
    yield f"\nEvent {event['id']} of {_when(event['time'])}"
    if event.get("message") and event["message"] != issue["title"]:
        yield safe(event["message"])
    yield from _chain(event)
    request = event.get("request") or {}
    if request.get("url"):
        yield f"\n{safe(request.get('method', ''))} {safe(request['url'])}".replace("  ", " ")
    crumbs = event.get("breadcrumbs", [])[-8:]
    if crumbs:
        yield "\nBefore it happened:"
        yield from (f"  {safe(one.get('category', ''))}  {safe(one.get('message', ''))}" for one in crumbs)
    tags = event.get("tags", {})
    if tags:
        yield "\n" + "  ".join(f"{safe(key)}={safe(value)}" for key, value in tags.items())


def _chain(event: dict[str, Any]) -> Iterator[str]:
    chain = event.get("exceptions") or ([{"frames": event["frames"]}] if event.get("frames") else [])
    for number, one in enumerate(chain):
        title = ": ".join(part for part in (one.get("type", ""), one.get("value", "")) if part)
        yield "\n" + (click.style(safe(title), bold=True) if title else "Stack")
        for frame in one.get("frames", []):
            yield from _frame(frame)
        if number + 1 < len(chain):
            yield "\nwhich led to"


def _frame(frame: dict[str, Any]) -> Iterator[str]:
    own = bool(frame.get("in_app"))
    place = safe(frame.get("module") or frame.get("file") or "?")
    line = f":{frame['line']}" if frame.get("line") else ""
    text = f"  {'>' if own else ' '} {safe(frame.get('function') or '?')} in {place}{line}"
    yield text if own else click.style(text, dim=True)
    if frame.get("code"):
        yield f"      {safe(frame['code'].strip())}"
    if own:
        for name, value in list(frame.get("variables", {}).items())[:8]:
            yield click.style(f"        {safe(name)} = {safe(str(value))[:160]}", dim=True)


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
