"""A web site on loopback for tests with a real browser: pages in memory, files of a folder."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".map": "application/json",
}


class Site:
    """`pages` by path, else files below `folder`; what is in neither answers 404."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, str] = {}
        self.folder: Path | None = None
        self.headers: dict[str, str] = {}

    def find(self, path: str) -> tuple[bytes, str] | None:
        """The body and type of a path."""
        path = path.split("?", 1)[0]
        if path in self.pages:
            return self.pages[path].encode(), _TYPES.get(Path(path).suffix, "text/html; charset=utf-8")
        if self.folder is None:
            return None
        file = (self.folder / path.lstrip("/")).resolve()
        if file.is_dir():
            file /= "index.html"
        if not file.is_file() or not file.is_relative_to(self.folder.resolve()):
            return None
        return file.read_bytes(), _TYPES.get(file.suffix, "text/html; charset=utf-8")


@contextmanager
def serve() -> Iterator[Site]:
    """A site while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = site.find(self.path)
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", found[1] if found else "text/plain")
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found[0] if found else b"not here")

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Keep the test's output quiet."""

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{web.server_port}")
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        web.shutdown()
        web.server_close()
        thread.join(5)
