"""A loopback receiver that speaks what the client speaks, and can misbehave in every way servers do."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Speaks as much of the four doors as the client does; `mode` makes it misbehave."""

    def __init__(self, port: int = 0) -> None:
        self.documents: list[dict[str, Any]] = []
        self.indices: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.envelopes: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.mode = "good"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_GET(self) -> None:
                self._answer(200, {"dsn": f"http://key1@ignored.example/{1}"})

            def do_POST(self) -> None:
                if outer.mode == "crawl":
                    self._crawl()
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                getattr(outer, "_" + outer.mode)(self, body)

            def _crawl(self) -> None:
                """Takes and gives a byte a second."""
                for _ in range(3):
                    self.rfile.read(1)
                    time.sleep(1)
                for byte in b"HTTP/1.1 200 OK":
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(1)
                self.close_connection = True

            def _answer(self, status: int, content: Any, **headers: str) -> None:
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                return

        connections: set[Any] = set()
        self._connections = connections

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def process_request(self, request: Any, address: Any) -> None:
                connections.add(request)
                super().process_request(request, address)

            def handle_error(self, *_: Any) -> None:  # a client that gave up on us is what some tests want
                return

        self._server = Quiet(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _good(self, handler: Any, body: bytes) -> None:
        if handler.path.endswith("/_bulk"):
            lines = body.split(b"\n")[:-1]
            actions = [json.loads(line) for line in lines[::2]]
            self.indices += [action["create"]["_index"] for action in actions]
            self.documents += [json.loads(line) for line in lines[1::2]]
            items = [{"create": {"status": 201}} for _ in actions]
            handler._answer(200, {"took": 1, "errors": False, "items": items})
        elif handler.path == "/batch/":
            self.events += json.loads(body)["batch"]
            handler._answer(200, {"status": 1})
        elif handler.path == "/v1/metrics":
            self.metrics.append(json.loads(body))
            handler._answer(200, {})
        else:
            self.envelopes.append(json.loads(body.split(b"\n")[2]))
            handler._answer(200, {"id": "0" * 32})

    def _busy(self, handler: Any, body: bytes) -> None:
        handler._answer(429, {"error": "full"}, Retry_After="1")

    def _full(self, handler: Any, body: bytes) -> None:
        handler._answer(503, {"error": "the disk is full"})

    def _picky(self, handler: Any, body: bytes) -> None:
        """Refuses documents that say refuse, is too busy once for those that say later."""
        lines = body.split(b"\n")[:-1][1::2]
        items = []
        for line in lines:
            document = json.loads(line)
            if document["message"] == "refuse":
                items.append({"create": {"status": 400, "error": {"type": "mapper_parsing_exception"}}})
            elif document["message"] == "later" and document not in self.events:
                self.events.append(document)
                items.append(
                    {"create": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}}
                )
            else:
                self.documents.append(document)
                items.append({"create": {"status": 201}})
        handler._answer(200, {"errors": True, "items": items})

    def _small(self, handler: Any, body: bytes) -> None:
        if body.count(b"\n") > 8:
            handler._answer(413, {"error": "too large"})
        else:
            self._good(handler, body)

    def _garbage(self, handler: Any, body: bytes) -> None:
        handler.wfile.write(b"\x00\xffSSH-2.0-not-http\r\n\r\n")
        handler.close_connection = True

    def _html(self, handler: Any, body: bytes) -> None:
        handler._answer(200, b"<html>welcome to the hotel's wi-fi</html>")

    def _drip(self, handler: Any, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(60):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)

    def _silent(self, handler: Any, body: bytes) -> None:
        time.sleep(15)
