"""The browser SDK in a real Chromium, on a page of another origin."""

from __future__ import annotations

import gzip
import http.server
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conftest import ROOT, wait_until
from tests.errors.packages import ESBUILD, npm

SDK = ROOT / "web" / "sdk" / "mamimon.js"


class _Site(http.server.BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, str]] = {}
    over: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/hangs":
            self.over.wait(60)
            return
        page = self.pages.get(self.path)
        self.send_response(200 if page is not None else 500)
        kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write((page or "broken").encode())

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, str]]]:
    """A web site on a loopback port of its own; what is not in its pages answers 500."""
    _Site.pages = {}
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    _Site.over.clear()
    yield f"http://127.0.0.1:{web.server_port}", _Site.pages
    _Site.over.set()
    web.shutdown()
    thread.join(5)


APP = """
function priceOf(order) { return order.lines[3].price; }
function pay(order) { return priceOf(order); }
window.boom = () => setTimeout(() => pay({ lines: [] }), 0);
window.reject = () => { Promise.reject(new Error("payment was declined")); };
window.failing = () => fetch("/api/chat", { method: "POST" });
window.failingXhr = () => { const xhr = new XMLHttpRequest(); xhr.open("GET", "/api/image"); xhr.send(); };
window.unreachable = (port) => fetch(`http://127.0.0.1:${port}/api/offline`).catch(() => {});
"""


def issues(server: Any) -> dict[str, dict[str, Any]]:
    """Issues by their titles."""
    answer = server.client.get("/api/mamimon/errors/issues", params={"sort": "first_seen"})
    return {one["title"]: one for one in answer.json()["issues"]}


def closed_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.browser
@pytest.mark.feature("E3")
@pytest.mark.parametrize("kind", ["classic", "module"])
def test_a_page_reports_all_it_should(
    server: Any, browser: Any, site: tuple[str, dict[str, str]], kind: str
) -> None:
    """Without arguments: a thrown error, a rejection, failing calls and a network failure become issues."""
    origin, pages = site
    pages["/app.js"] = APP
    pages["/"] = "<!doctype html><title>Shop</title><script src='/app.js'></script>" + (
        f"<script src='{server.url}/sdk/mamimon.js'></script>"
        "<script>mamimon.initializeErrorTracking()</script>"
        if kind == "classic"
        else f"<script type=module>import {{ initializeErrorTracking }} from '{server.url}/sdk/mamimon.js';"
        "window.ready = initializeErrorTracking()</script>"
    )
    page = browser.new_page()
    page.goto(origin)
    if kind == "module":
        page.wait_for_function("window.ready")
    page.evaluate("boom()")
    page.evaluate("reject()")
    page.evaluate("failing()")
    page.evaluate("failingXhr()")
    page.evaluate("port => unreachable(port)", closed_port())

    wait_until(lambda: len(issues(server)) == 5, what="five issues")
    found = issues(server)
    titles = "\n".join(found)
    assert "TypeError: Cannot read properties of undefined (reading 'price')" in titles
    assert "Error: payment was declined" in titles
    assert "ApiError: POST /api/chat answered 500" in titles
    assert "ApiError: GET /api/image answered 500" in titles
    assert re.search(r"NetworkError: GET 127\.0\.0\.1:\d+/api/offline Failed to fetch", titles)
    thrown = found["TypeError: Cannot read properties of undefined (reading 'price')"]
    detail = server.client.get(f"/api/mamimon/errors/issues/{thrown['id']}").json()["event"]
    assert [one["function"] for one in detail["exceptions"][0]["frames"][-2:]] == ["pay", "priceOf"]
    assert detail["contexts"]["page"]["viewport"]
    assert detail["contexts"]["page"]["language"]
    assert detail["request"]["url"] == f"{origin}/"
    call = server.client.get(
        f"/api/mamimon/errors/issues/{found['ApiError: POST /api/chat answered 500']['id']}"
    ).json()["event"]
    assert call["exceptions"][0]["frames"][-1]["function"] in {"failing", "window.failing"}
    assert call["tags"]["request_id"]
    for one in found.values():
        shown = server.client.get(one["url"])
        assert shown.status_code == 200
        assert not re.search(r">\s*(None|undefined)\s*<", shown.text)
    page.close()


@pytest.mark.browser
@pytest.mark.feature("E4")
def test_what_counts_as_an_error_is_configured(
    server: Any, browser: Any, site: tuple[str, dict[str, str]]
) -> None:
    """Time-outs of both kinds are issues; an answer that is no error for the page is a breadcrumb."""
    origin, pages = site
    pages["/"] = f"<!doctype html><script src='{server.url}/sdk/mamimon.js'></script>"
    page = browser.new_page()
    page.goto(origin)
    page.evaluate(
        "() => { mamimon.initializeErrorTracking({isApiError: (status) => status === 503, sampleRate: 1});"
        "console.warn('the cart is', 'odd'); history.pushState({}, '', '/cart'); }"
    )
    page.evaluate("() => fetch('/answers-500').then((one) => one.status)")
    page.evaluate("() => fetch('/hangs', {signal: AbortSignal.timeout(100)}).catch(() => {})")
    page.evaluate(
        "() => { const one = new XMLHttpRequest(); one.open('GET', '/hangs'); one.timeout = 100;one.send(); }"
    )
    page.evaluate("() => fetch('/hangs', {signal: AbortSignal.abort()}).catch(() => {})")

    wait_until(lambda: sum(one["count"] for one in issues(server).values()) == 2, 60, "the two time-outs")
    page.close()
    found = issues(server)
    assert all(re.search(r"NetworkError: GET /hangs .*timed out", one) for one in found), [*found]
    newest = server.client.get(f"/api/mamimon/errors/issues/{next(iter(found.values()))['id']}").json()[
        "event"
    ]
    trail = [(one["category"], one.get("message", ""), one.get("data", {})) for one in newest["breadcrumbs"]]
    assert any(kind == "console" and "the cart is odd" in said for kind, said, _ in trail), trail
    assert any(kind == "navigation" and data["to"].endswith("/cart") for kind, _, data in trail), trail
    assert any(data.get("url", "").endswith("/answers-500") for _, _, data in trail), trail


@pytest.mark.feature("E4")
def test_the_syntax_is_of_2018(server: Any, tmp_path: Path) -> None:
    """A compiler to ES2018 finds nothing to rewrite but the module's import.meta."""
    esbuild = npm(ESBUILD) / "node_modules/.bin/esbuild"
    texts = [server.client.get(f"/sdk/mamimon.{kind}").text for kind in ("classic.js", "mjs")]
    texts += [(SDK.parent / name).read_text() for name in ("mamimon.js", "react.js", "vue.js")]
    for number, text in enumerate(texts):
        assert "import.meta" in text or number not in {1, 2}
        source = tmp_path / f"{number}.js"
        source.write_text(text.replace("import.meta", "globalThis.meta"))
        made = [
            subprocess.run(
                [str(esbuild), str(source), f"--target={target}"], capture_output=True, text=True, check=True
            ).stdout
            for target in ("es2018", "esnext")
        ]
        assert made[0] == made[1]


@pytest.mark.browser
@pytest.mark.feature("E4")
def test_events_and_people(server: Any, browser: Any, site: tuple[str, dict[str, str]]) -> None:
    """trackEvent reaches the events room in a batch, also when the page is left; setUser counts people."""
    origin, pages = site
    pages["/"] = f"<!doctype html><script src='{server.url}/sdk/mamimon.js'></script>"
    pages["/next"] = "<!doctype html>"
    page = browser.new_page()
    page.goto(origin)
    page.evaluate(
        "() => { mamimon.initializeErrorTracking(); mamimon.setUser({id: 'u1'});"
        "mamimon.captureMessage('hello');"
        "mamimon.trackEvent('message_sent', {chat_id: 'c1', message_length: 100});"
        "mamimon.trackEvent('chat_start'); }"
    )
    page.goto(f"{origin}/next")

    wait_until(lambda: issues(server).get("hello", {}).get("users") == 1, what="the message")

    def counted() -> bool:
        counts = server.client.get("/events").text
        return "message_sent" in counts and "chat_start" in counts

    wait_until(counted, what="the events")
    page.close()


@pytest.mark.browser
@pytest.mark.feature("E4")
def test_reports_wait_while_the_server_is_away(
    server: Any, browser: Any, site: tuple[str, dict[str, str]]
) -> None:
    """What cannot be sent is kept by the browser and sent when the page is opened again."""
    origin, pages = site
    pages["/"] = f"<!doctype html><script src='{server.url}/sdk/mamimon.js'></script>"
    page = browser.new_page()
    page.goto(origin)
    page.route("**/api/1/envelope/**", lambda route: route.abort())
    page.evaluate("() => { mamimon.initializeErrorTracking(); mamimon.captureMessage('kept for later'); }")
    page.wait_for_function("(localStorage['mamimon.queue'] || '').includes('kept for later')")
    assert issues(server) == {}
    page.unroute("**/api/1/envelope/**")
    page.reload()
    page.evaluate("() => mamimon.initializeErrorTracking()")

    wait_until(lambda: "kept for later" in issues(server), what="the kept report")
    page.close()


@pytest.mark.feature("E4")
def test_the_sdk_is_small_and_served_to_every_site(server: Any) -> None:
    """The SDK is below 4 kB gzipped as it is served, cacheable, and open to every origin."""
    for path in ("/sdk/mamimon.js", "/sdk/mamimon.mjs", "/sdk/mamimon.classic.js"):
        answer = server.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "max-age" in answer.headers["cache-control"]
        assert "javascript" in answer.headers["content-type"]
        assert len(gzip.compress(answer.content, 9)) < 4096, len(gzip.compress(answer.content, 9))
        again = server.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    assert "export{" in server.client.get("/sdk/mamimon.js", headers={"Sec-Fetch-Mode": "cors"}).text
    assert "export{" not in server.client.get("/sdk/mamimon.classic.js").text
    assert "import.meta" not in server.client.get("/sdk/mamimon.classic.js").text
