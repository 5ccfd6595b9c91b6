"""How parts of an event read on a page: facts, trails, sparklines, nested values as text."""

from __future__ import annotations

import json
import shlex
from typing import Any

from mamimon.errors.model import Breadcrumb, Event
from mamimon.errors.scrub import FILTERED
from mamimon.i18n import gettext

_CONTEXT_NAMES = {
    "os": "OS",
    "gpu": "GPU",
    "app": "App",
    "browser": "Browser",
    "device": "Device",
    "runtime": "Runtime",
    "trace": "Trace",
    "page": "Page",
}
_HIDDEN = {"type"}


def spark(counts: list[int], width: int = 96, height: int = 20) -> str:
    """The path of a bar sparkline in a `width` × `height` box; an empty series draws its base line."""
    top = max(counts, default=0)
    if not top:
        return f"M0,{height - 1}H{width}"
    step = width / len(counts)
    parts = []
    for index, count in enumerate(counts):
        if count:
            tall = max(2.0, count / top * (height - 1))
            x, w = index * step, max(1.0, step - 1)
            parts.append(f"M{x:.1f},{height}v-{tall:.1f}h{w:.1f}v{tall:.1f}z")
    return "".join(parts)


def flat(value: Any) -> list[tuple[str, str]]:
    """A table's rows as (name, text); nested values as indented JSON; absent ones left out."""
    rows = value.items() if isinstance(value, dict) else value
    return [(str(key), shown(item)) for key, item in rows if shown(item)]


def shown(value: Any) -> str:
    """A value as text: JSON for nested ones, nothing for an absent one."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def facts(event: Event) -> list[tuple[str, list[tuple[str, str]]]]:
    """The sections beside the stack: user, contexts, request and the rest, each with its rows."""
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    if event.user is not None:
        user = event.user
        rows = [("id", user.id), ("name", user.name), ("email", user.email), ("ip", user.ip)]
        sections.append((gettext("User"), [row for row in rows if row[1]] + flat(user.data)))
    for name, context in sorted(event.contexts.items()):
        rows = flat({key: item for key, item in context.items() if key not in _HIDDEN})
        if rows:
            title = _CONTEXT_NAMES.get(name, name.replace("_", " ").capitalize())
            sections.append((gettext(title), rows))
    about = [
        (gettext("Event"), event.id),
        (gettext("Platform"), event.platform),
        (gettext("SDK"), event.sdk),
        (gettext("Server"), event.server),
        (gettext("Logger"), event.logger),
        (gettext("Build"), event.dist),
    ]
    sections.append((gettext("About the event"), [row for row in about if row[1]]))
    return sections


def trail(event: Event) -> list[tuple[Breadcrumb, str]]:
    """Breadcrumbs, the newest first, each with one line that says what happened."""
    return [(crumb, _crumb_line(crumb)) for crumb in reversed(event.breadcrumbs)]


def _crumb_line(crumb: Breadcrumb) -> str:
    data = dict(crumb.data)
    parts: list[str] = []
    method, url = shown(data.pop("method", "")), shown(data.pop("url", ""))
    status = shown(data.pop("status_code", ""))
    if method or url:
        parts.append(" ".join(part for part in (method, url, status) if part))
    elif status:
        data["status_code"] = status
    moved = (shown(data.pop("from", "")), shown(data.pop("to", "")))
    if any(moved):
        parts.append(" → ".join(part for part in moved if part))
    if crumb.message:
        parts.insert(0, crumb.message)
    parts += [f"{key}={json.dumps(item, ensure_ascii=False)}" for key, item in data.items() if shown(item)]
    return "  ".join(parts)


def curl_command(event: Event) -> str:
    """A command that sends the same request again, without what was filtered; empty for none."""
    request = event.request
    if request is None or not request.url.startswith(("http://", "https://")) or not request.method:
        return ""
    url = request.url + (f"?{request.query}" if request.query and "?" not in request.url else "")
    parts = ["curl", "-X", request.method]
    for name, value in request.headers:
        if FILTERED not in value and name.lower() not in {"host", "content-length", "connection"}:
            parts += ["-H", f"{name}: {value}"]
    if request.body is not None:
        parts += ["--data", request.body if isinstance(request.body, str) else json.dumps(request.body)]
    return " ".join(shlex.quote(part) for part in [*parts, url])


def markdown(event: Event, link: str) -> str:
    """The event as Markdown, for a bug tracker or an assistant."""
    lines = [f"# {event.title}", "", f"{event.culprit or event.platform}  ", link, ""]
    for key, value in event.tags.items():
        lines.append(f"- {key}: `{value}`")
    for one in reversed(event.exceptions):
        lines += ["", f"## {one.type or 'Exception'}", "", "```", one.value, "```", "", "```"]
        for frame in reversed(one.frames):
            mark = "*" if frame.in_app else " "
            lines.append(f"{mark} {frame.function or '?'} in {frame.module or frame.file}:{frame.line}")
            if frame.code:
                lines.append(f"      {frame.code.strip()}")
        lines.append("```")
    if event.breadcrumbs:
        lines += ["", "## Before it happened", ""]
        lines += [f"- {crumb.category or crumb.type}: {line}" for crumb, line in trail(event)[:20]]
    return "\n".join(lines) + "\n"
