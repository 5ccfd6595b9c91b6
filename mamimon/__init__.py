"""mamimon: what an application imports. Names are loaded on first use, so the import costs nothing.

Only `mamimon.client` is reached from here; the server's dependencies never are.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # what type checkers read as True; importing typing would cost more than the rest

if TYPE_CHECKING:
    from mamimon.client.asgi import ASGIMiddleware as ASGIMiddleware
    from mamimon.client.context import context as context
    from mamimon.client.context import request_id as request_id
    from mamimon.client.errors import capture_exception as capture_exception
    from mamimon.client.errors import capture_message as capture_message
    from mamimon.client.events import track_event as track_event
    from mamimon.client.exposition import metrics_app as metrics_app
    from mamimon.client.logs import get_logger as get_logger
    from mamimon.client.mask import mask_sensitive_data as mask_sensitive_data
    from mamimon.client.metrics import counter as counter
    from mamimon.client.metrics import gauge as gauge
    from mamimon.client.metrics import histogram as histogram
    from mamimon.client.start import flush as flush
    from mamimon.client.start import init as init
    from mamimon.client.start import shutdown as shutdown
    from mamimon.client.wsgi import WSGIMiddleware as WSGIMiddleware

_HOMES = {
    "ASGIMiddleware": "asgi",
    "WSGIMiddleware": "wsgi",
    "capture_exception": "errors",
    "capture_message": "errors",
    "context": "context",
    "counter": "metrics",
    "flush": "start",
    "gauge": "metrics",
    "get_logger": "logs",
    "histogram": "metrics",
    "init": "start",
    "mask_sensitive_data": "mask",
    "metrics_app": "exposition",
    "request_id": "context",
    "shutdown": "start",
    "track_event": "events",
}

__all__ = [
    "ASGIMiddleware",
    "WSGIMiddleware",
    "__version__",
    "capture_exception",
    "capture_message",
    "context",
    "counter",
    "flush",
    "gauge",
    "get_logger",
    "histogram",
    "init",
    "mask_sensitive_data",
    "metrics_app",
    "request_id",
    "shutdown",
    "track_event",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"mamimon.client.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
