"""WSGI middleware for any framework (PEP 3333); see `WSGIMiddleware`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Optional

from mamimon.client import templates
from mamimon.client.exchange import Exchange, Options, begin
from mamimon.client.exposition import metrics_app
from mamimon.client.logs import ensure_local

Environ = dict[str, Any]


class WSGIMiddleware:
    """Request id, one log line, timing and metrics around a WSGI application.

    The arguments are those of `ASGIMiddleware`. The request ends when the server closes the response,
    so a streamed answer is measured whole.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        metrics_path: Optional[str] = "/metrics",
        trust_headers: bool = True,
        log_requests: bool = True,
        slow_s: float = 1.0,
        quiet: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._options = Options(metrics_path, trust_headers, log_requests, slow_s, frozenset(quiet))
        self._metrics = metrics_app()
        self._django = templates.is_django(app)
        ensure_local()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") or "/"
        method = environ.get("REQUEST_METHOD", "GET")
        if path == self._options.metrics_path and method in ("GET", "HEAD"):
            answer: list[bytes] = self._metrics(environ, start_response)
            return answer
        exchange = begin(
            method,
            path,
            environ.get("REMOTE_ADDR", ""),
            environ.get("HTTP_X_REQUEST_ID", ""),
            environ.get("HTTP_TRACEPARENT", ""),
            self._options,
        )

        def watched(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            code = int(status[:3])
            exchange.saw(code)
            exchange.route = templates.of_environ(environ, code, self._django)
            if exc_info is not None and exchange.error is None:
                exchange.error = exc_info[1]
            present = {name.lower() for name, _ in headers}
            added = [pair for pair in exchange.headers() if pair[0] not in present]
            return start_response(status, [*headers, *added], *(() if exc_info is None else (exc_info,)))

        try:
            body = self.app(environ, watched)
        except BaseException as error:
            exchange.error = error if isinstance(error, Exception) else None
            exchange.status = 500
            exchange.end(exchange.route or templates.of_environ(environ, 500, self._django), self._options)
            raise
        return _Body(body, exchange, self._options)


class _Body:
    """The response's iterable; its end is the end of the request."""

    def __init__(self, body: Iterable[bytes], exchange: Exchange, options: Options) -> None:
        self._body = body
        self._pieces: Iterator[bytes] = iter(body)
        self._exchange = exchange
        self._options = options
        self._open = True

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise
        except Exception as error:
            self._exchange.error, self._exchange.status = error, 500
            raise
        self._exchange.sent += len(piece)
        return piece

    def close(self) -> None:
        """Called by the server at the end, whatever happened."""
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            if self._open:
                self._open = False
                exchange = self._exchange
                exchange.status = exchange.status or 500
                exchange.end(exchange.route or templates.guess(exchange.path), self._options)
