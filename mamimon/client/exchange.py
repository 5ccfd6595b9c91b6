"""What both middlewares do around a request: ids, context, one log line, the three HTTP metrics."""

from __future__ import annotations

import logging
import time
from contextvars import Token
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from mamimon.client import agent, frames, logs, shared
from mamimon.client.buffer import rank_of
from mamimon.client.context import (
    Trace,
    current,
    enter,
    format_traceparent,
    leave,
    new_request_id,
    new_trace,
    parse_request_id,
    parse_traceparent,
)
from mamimon.client.metrics import counter, histogram
from mamimon.client.records import Line

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))
_log = logging.getLogger("mamimon.request")

TOTAL = counter("http_requests_total", "HTTP requests answered.", ("method", "path", "status"))
ERRORS = counter("http_requests_errors_total", "HTTP requests answered with 5xx.", ("method", "path"))
DURATION = histogram("http_request_duration_seconds", "Time to answer.", ("method", "path"))


class Options(NamedTuple):
    """How a middleware behaves; see `ASGIMiddleware`."""

    metrics_path: Optional[str] = "/metrics"
    trust_headers: bool = True
    log_requests: bool = True
    slow_s: float = 1.0
    quiet: frozenset[str] = frozenset()


class Exchange:
    """One request on its way; `begin` made it, `end` finishes it."""

    __slots__ = (
        "_before",
        "_token",
        "began",
        "client",
        "error",
        "method",
        "path",
        "request_id",
        "route",
        "sent",
        "status",
        "trace",
    )

    def __init__(self, method: str, path: str, client: str, request_id: str, trace: Trace) -> None:
        self.method = method
        self.path = path
        self.client = client
        self.request_id = request_id
        self.trace = trace
        self.status = 0
        self.route = ""
        self.sent = 0
        self.error: Optional[BaseException] = None
        self._before = current()
        self._token: Optional[Token[dict[str, Any]]] = enter(
            {
                "request_id": request_id,
                "trace_id": trace.trace_id,
                "span_id": trace.span_id,
                "_sampled": trace.sampled,
                "_method": method,
                "_path": path,
            }
        )
        self.began = time.perf_counter()

    def headers(self) -> list[tuple[str, str]]:
        """What the response carries."""
        return [("x-request-id", self.request_id), ("traceparent", format_traceparent(self.trace))]

    def saw(self, status: int) -> None:
        """The response starts. An exception being handled at this moment is why, if it is a 5xx.

        Frameworks that answer for the application (Litestar) do so inside their `except` block.
        """
        self.status = status
        if status >= 500 and self.error is None:
            self.error = frames.current_error()

    def end(self, route: str, options: Options) -> None:
        """Count, log and leave; called once, still inside the request's context."""
        duration = time.perf_counter() - self.began
        try:
            self._count(route, duration)
            if options.log_requests and self.path not in options.quiet:
                self._write(route, duration, duration >= options.slow_s)
        finally:
            leave(self._token, self._before)

    def _count(self, route: str, duration: float) -> None:
        shared.watch()
        method = self.method if self.method in _METHODS else "other"
        TOTAL.add((method, route, str(self.status)))
        DURATION.add((method, route), duration, (self.trace.trace_id, self.request_id))
        if self.status >= 500:
            ERRORS.add((method, route))

    def _write(self, route: str, duration: float, slow: bool) -> None:
        status = self.status
        level = logging.ERROR if status >= 500 else logging.WARNING if status >= 400 or slow else logging.INFO
        if not _log.isEnabledFor(level):
            return
        milliseconds = round(duration * 1000, 3)
        error = self.error
        told = error is not None and bool(getattr(error, "__mamimon__", 0) & 1)
        exc_info = (type(error), error, error.__traceback__) if error is not None and not told else None
        message = f"{self.method} {self.path} {status} in {milliseconds:.1f} ms"
        extra = {
            "method": self.method,
            "path": self.path,
            "route": route,
            "status": status,
            "duration_ms": milliseconds,
            "response_bytes": self.sent,
        }
        if self.client:
            extra["client"] = self.client
        if slow:
            extra["slow"] = True
        if exc_info is None and logs.only_ships(_log):
            name = logging.getLevelName(level)
            line = Line(time.time(), level, name, _log.name, message, current(), extra, None, None)
            agent.put("log", line, rank_of(level))
            return
        record = _log.makeRecord(_log.name, level, "(request)", 0, message, (), exc_info, "request", extra)
        _log.handle(record)


def begin(
    method: str, path: str, client: str, request_id: str, traceparent: str, options: Options
) -> Exchange:
    """Start an exchange; a stranger's ids are taken over only where they are trusted and harmless."""
    known = parse_request_id(request_id) if request_id and options.trust_headers else None
    parent = parse_traceparent(traceparent) if traceparent and options.trust_headers else None
    return Exchange(method, path, truncate_ip(client), known or new_request_id(), new_trace(parent))


@lru_cache(maxsize=1024)
def truncate_ip(address: str) -> str:
    """The network of an address (/24 of IPv4, /48 of IPv6): enough for operations, not a person."""
    if "." in address and ":" not in address:
        return address.rpartition(".")[0] + ".0"
    if ":" not in address:
        return address
    head = address.partition("::")[0] if "::" in address else address
    groups = [group for group in head.split(":") if group][:3]
    return ":".join(groups) + "::"
