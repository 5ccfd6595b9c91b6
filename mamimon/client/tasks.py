"""Celery: a task works under the ids of the request that sent it, and its worker's records arrive.

A worker empties the root logger's handlers when it starts (`worker_hijack_root_logger`), and its children end
by `os._exit`; both would silence us. Everything goes by Celery's signals.
"""

from __future__ import annotations

import logging
from contextvars import Token
from importlib import import_module
from typing import Any, Optional

from mamimon.client import agent, start
from mamimon.client.context import current, enter, leave, new_request_id, new_trace, parse_traceparent
from mamimon.client.imports import when_imported
from mamimon.client.outgoing import ids

_HEADERS = "mamimon"
_open: dict[str, tuple[Optional[Token[dict[str, Any]]], dict[str, Any]]] = {}


def watch() -> None:
    """Meet Celery when it is imported."""
    when_imported("celery", _celery)


def _celery(_: Any) -> None:
    signals: Any = import_module("celery.signals")
    for signal, receiver in (
        (signals.before_task_publish, _sent),
        (signals.task_prerun, _begins),
        (signals.task_postrun, _ends),
        (signals.after_setup_logger, _logging_set_up),
        (signals.worker_process_shutdown, _worker_ends),
        (signals.worker_shutdown, _worker_ends),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"mamimon.{receiver.__name__}")


def _sent(headers: Any = None, **_: Any) -> None:
    if isinstance(headers, dict):
        headers.setdefault(_HEADERS, ids())


def _begins(task_id: Any = None, task: Any = None, **_: Any) -> None:
    carried = getattr(task.request, _HEADERS, None) or {}
    trace = new_trace(parse_traceparent(str(carried.get("traceparent", ""))))
    fields = {
        "request_id": str(carried.get("X-Request-ID") or new_request_id()),
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "_sampled": trace.sampled,
        "task": str(task.name),
        "task_id": str(task_id),
    }
    before = current()
    _open[str(task_id)] = (enter(fields), before)


def _ends(task_id: Any = None, **_: Any) -> None:
    known = _open.pop(str(task_id), None)
    if known is not None:
        leave(*known)


def _logging_set_up(logger: Any = None, **_: Any) -> None:
    """Put our handlers back where the worker took them away."""
    root = logging.getLogger()
    for handler in start.handlers():
        if handler not in root.handlers:
            root.addHandler(handler)


def _worker_ends(**_: Any) -> None:
    if agent.shipper() is not None:
        start.flush()
