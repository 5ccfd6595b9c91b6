"""A loopback stand-in of Elasticsearch that can be away, refuse, throttle and break off."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Elastic:
    """Keeps documents by (index, id) as `_bulk` with op type create does.

    `script` holds the next answers: a status to give instead, "cut" to take the batch and break the
    connection before answering. `judge(document)` may give an item its own (status, error).
    """

    def __init__(self, port: int = 0) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        self.templates: dict[str, Any] = {}
        self.script: list[Any] = []
        self.judge: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda document: None
        self.requests: list[tuple[str, str, str]] = []
        self.limit_bytes = 1 << 30
        one = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
                user = base64.b64decode(rest).decode() if scheme == "Basic" else ""
                one.requests.append((self.command, self.path, user))
                status, answer, headers = one.answer(self.command, self.path, body)
                if status == 0:
                    self.close_connection = True
                    return
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_PUT = do_POST = do_any

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        if path.startswith("/_index_template/"):
            name = path.rsplit("/", 1)[1]
            if method == "PUT":
                self.templates[name] = json.loads(body)
                return 200, {"acknowledged": True}, {}
            return (200 if name in self.templates else 404), {}, {}
        assert (method, path) == ("POST", "/_bulk")
        step = self.script.pop(0) if self.script else 200
        if isinstance(step, int) and step != 200:
            return step, {"error": "scripted"}, {"Retry-After": "2"} if step == 429 else {}
        if len(body) > self.limit_bytes:
            return 413, {"error": "too large"}, {}
        items = self._take(body)
        if step == "cut":
            return 0, None, {}
        return 200, {"took": 1, "errors": any("error" in i["create"] for i in items), "items": items}, {}

    def _take(self, body: bytes) -> list[Any]:
        lines = body.split(b"\n")
        assert lines[-1] == b""
        items = []
        for action, document in zip(lines[0:-1:2], lines[1:-1:2], strict=True):
            target = json.loads(action)["create"]
            key = (target["_index"], target["_id"])
            judged = self.judge(json.loads(document))
            if judged:
                error = {"type": judged[1], "reason": "no"}
                items.append({"create": {"_id": key[1], "status": judged[0], "error": error}})
            elif key in self.documents:
                error = {"type": "version_conflict_engine_exception", "reason": "exists"}
                items.append({"create": {"_id": key[1], "status": 409, "error": error}})
            else:
                self.documents[key] = json.loads(document)
                items.append({"create": {"_id": key[1], "status": 201, "result": "created"}})
        return items

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    """A running stand-in of Elasticsearch."""
    one = Elastic()
    yield one
    one.stop()
