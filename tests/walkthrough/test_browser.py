"""The document's TypeScript snippets, in a real browser on another origin than mamimon's."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import wait_until
from tests.walkthrough.conftest import Mission, Place

# Blocks of the document that this file runs; see test_mission.py.
COVERED = {4, 12, 14, 18}

_PAGE = """<!doctype html><meta charset="utf-8"><title>ui-new</title>
<script type="importmap">{"imports": {
  "@/lib/errorTracking": "http://localhost:7007/sdk/mamimon.mjs",
  "@/lib/analytics": "http://localhost:7007/sdk/mamimon.mjs"}}</script>
<script type="module">SNIPPET</script>
<script type="module">window.started = true;</script>
<button id="throw" onclick="undefinedFunction()">throw</button>
<button id="reject" onclick="Promise.reject(new Error('a rejected promise'))">reject</button>
<button id="api" onclick="fetch('/api/fails')">api</button>
<button id="net" onclick="fetch('http://127.0.0.1:9/gone').catch(() => 0)">net</button>
"""


class _Site(http.server.BaseHTTPRequestHandler):
    snippet = ""

    def do_GET(self) -> None:
        failing = self.path.startswith("/api/")
        body = b'{"error": "planted"}' if failing else _PAGE.replace("SNIPPET", self.snippet).encode()
        self.send_response(500 if failing else 200)
        self.send_header("Content-Type", "application/json" if failing else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(mission: Mission) -> Iterator[str]:
    """The user's front end: one page with all three snippets, as its bundler would serve them."""
    imports, bodies = [], []
    for number in (12, 14, 18):
        for line in mission.blocks[number].splitlines():
            (imports if line.startswith("import ") else bodies).append(line)
    _Site.snippet = "\n".join([*dict.fromkeys(imports), *bodies])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def _issues() -> str:
    return httpx.get("http://localhost:7007/errors", headers={"Accept": "text/html"}).text


@pytest.mark.browser
@pytest.mark.feature("E3")
def test_the_front_end_snippets_catch_errors_and_count_events(place: Place, site: str, browser: Any) -> None:
    """initializeErrorTracking() with no argument catches all four kinds; trackEvent is counted."""
    page = browser.new_page()
    page.goto(site)
    page.wait_for_function("window.started === true")
    for button in ("throw", "reject", "api", "net"):
        page.click(f"#{button}")
    page.wait_for_timeout(300)
    page.close()

    text = wait_until(
        lambda: (t := _issues()) and all(w in t for w in ("undefinedFunction", "a rejected promise")) and t,
        20,
        "the thrown error and the rejection",
    )
    wait_until(lambda: re.search(r"/api/fails", _issues()), 60, "the failing API call")
    wait_until(lambda: re.search(r"127\.0\.0\.1:9", _issues()), 60, "the network failure")
    first = re.search(r'href="(/errors/\d+)[^"]*"[^<]*>[^<]*undefinedFunction', text)
    detail = httpx.get(
        "http://localhost:7007" + (first.group(1) if first else "/errors/0"), headers={"Accept": "text/html"}
    ).text
    assert "undefinedFunction" in detail
    assert "HeadlessChrome" in detail or "Chrome" in detail
    events = httpx.get("http://localhost:7007/events", headers={"Accept": "text/html"}).text
    assert "image_generated" in events


def test_the_sdk_is_an_npm_package(tmp_path: Path) -> None:
    """What `npm install` of the document needs: the SDK folder is a package with types."""
    from tests.conftest import ROOT

    package = (ROOT / "web" / "sdk" / "package.json").read_text(encoding="utf-8")

    assert '"@mamimon/browser"' in package
    assert '"types"' in package
