"""An exception or message as it is reported: taken on the caller's thread, completed on the sender's."""

from __future__ import annotations

import platform
import socket
from typing import Any, NamedTuple

from mamimon.client import frames
from mamimon.client.mask import mask_sensitive_data, mask_text
from mamimon.client.settings import Settings


class Report(NamedTuple):
    """What is known at the moment of the error; `created` in seconds since the epoch."""

    event_id: str
    created: float
    level: str
    logger: str
    message: str
    links: list[frames.Link]
    handled: bool
    context: dict[str, Any]
    extra: dict[str, Any]


def sentry_event(report: Report, settings: Settings, timestamp: str) -> dict[str, Any]:
    """The event payload (develop.sentry.dev, Event Payloads); reads source files for context lines."""
    hide = mask_text if settings.mask else str
    context = report.context
    event: dict[str, Any] = {
        "event_id": report.event_id,
        "timestamp": timestamp,
        "platform": "python",
        "level": report.level,
        "logger": report.logger,
        "environment": settings.environment,
        "server_name": socket.gethostname(),
        "sdk": {"name": "mamimon.python", "version": "0.1.0"},
        "contexts": {
            "runtime": {"name": platform.python_implementation(), "version": platform.python_version()}
        },
        "tags": {"service": settings.service},
    }
    if settings.release:
        event["release"] = settings.release
    if report.message:
        event["logentry"] = {"formatted": hide(report.message)}
    if report.links:
        event["exception"] = {"values": [_value(link, report.handled, hide) for link in report.links]}
    if context.get("request_id"):
        event["tags"]["request_id"] = str(context["request_id"])
    if context.get("trace_id"):
        event["contexts"]["trace"] = {"trace_id": context["trace_id"], "span_id": context.get("span_id", "")}
    if context.get("user"):
        event["user"] = {"id": hide(str(context["user"]))}
    if context.get("_path"):
        event["request"] = {"method": context.get("_method", ""), "url": hide(str(context["_path"]))}
    bound = {name: value for name, value in context.items() if name[:1] != "_" and name not in _ELSEWHERE}
    extra = {**bound, **report.extra}
    if extra:
        event["extra"] = mask_sensitive_data(extra) if settings.mask else extra
    return event


_ELSEWHERE = ("request_id", "trace_id", "span_id", "user")


def _value(link: frames.Link, handled: bool, hide: Any) -> dict[str, Any]:
    return {
        "type": link.kind,
        "module": link.module,
        "value": hide(link.message),
        "mechanism": {"type": "generic", "handled": handled},
        "stacktrace": {"frames": [_frame(frame, hide) for frame in link.frames]},
    }


def _frame(frame: frames.Frame, hide: Any) -> dict[str, Any]:
    before, line, after = frames.context_of(frame)
    shown: dict[str, Any] = {
        "filename": _short(frame.file, frame.module),
        "abs_path": frame.file,
        "function": frame.function,
        "module": frame.module,
        "lineno": frame.line,
        "in_app": frames.is_application(frame.file),
        "pre_context": [hide(text) for text in before],
        "context_line": hide(line),
        "post_context": [hide(text) for text in after],
    }
    if frame.variables:
        shown["vars"] = frame.variables
    return shown


def _short(file: str, module: str) -> str:
    """The path from the top package on, so that one release groups alike on every machine."""
    parts = file.replace("\\", "/").split("/")
    depth = module.count(".") + (2 if parts[-1] == "__init__.py" else 1)
    return "/".join(parts[-depth:]) if module and module != "__main__" else parts[-1]
