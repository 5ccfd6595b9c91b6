"""Requests of httpx, requests and aiohttp to a real server, with the ids of the request that made them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import mamimon
from mamimon.client.outgoing import Rule
from tests.conftest import ROOT

Client = Callable[..., None]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
IDS = {"x-request-id": "r-7", "traceparent": f"00-{TRACE}-{SPAN}-01"}


class Other:
    """Another service: keeps the headers of each request; `/to/HOST` redirects to itself under that name."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.seen.append({name.lower(): value for name, value in self.headers.items()})
                host = self.path.partition("/to/")[2]
                self.send_response(302 if host else 200)
                if host:
                    self.send_header("Location", f"http://{host}:{outer.port}/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ids(self) -> list[dict[str, str]]:
        """The ids of each request."""
        return [{name: one[name] for name in IDS if name in one} for one in self.seen]


@pytest.fixture
def other() -> Iterator[Other]:
    one = Other()
    yield one
    one.close()


async def _httpx(url: str, **headers: str) -> None:
    import httpx

    with httpx.Client(follow_redirects=True, trust_env=False) as web:
        web.get(url, headers=headers)


async def _httpx_async(url: str, **headers: str) -> None:
    import httpx

    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as web:
        await web.get(url, headers=headers)


async def _requests(url: str, **headers: str) -> None:
    import requests

    with requests.Session() as web:
        web.trust_env = False
        web.get(url, headers=headers)


async def _aiohttp(url: str, **headers: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as web, web.get(url, headers=headers) as answer:
        await answer.read()


LIBRARIES = pytest.mark.parametrize("get", [_httpx, _httpx_async, _requests, _aiohttp])


@pytest.mark.feature("L9")
@LIBRARIES
async def test_requests_carry_the_ids_to_private_hosts(get: Any, client: Client, other: Other) -> None:
    """Inside a request both ids go along, outside one and with `propagate=False` none does."""
    client()
    url = f"http://127.0.0.1:{other.port}/"
    await get(url)
    with mamimon.context(request_id="r-7", trace_id=TRACE, span_id=SPAN):
        await get(url)
        await get(url, **{"X-Request-ID": "own"})
        client(propagate=False)
        await get(url)
    assert other.ids() == [{}, IDS, {**IDS, "x-request-id": "own"}, {}]


@pytest.mark.feature("L9")
@LIBRARIES
async def test_a_redirect_to_a_strangers_host_loses_them(
    get: Any, client: Client, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hop to a public host goes without the ids unless that host is named."""
    import socket

    real = socket.getaddrinfo

    def lookup(host: Any, *rest: Any, **named: Any) -> Any:
        public = host in ("public.example", b"public.example")
        return real("127.0.0.1" if public else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    url = f"http://127.0.0.1:{other.port}/to/public.example"
    with mamimon.context(request_id="r-7", trace_id=TRACE, span_id=SPAN):
        client()
        await get(url)
        client(propagate_hosts="api.partner.com, *.example")
        await get(url)
    assert other.ids() == [IDS, {}, IDS, IDS]


@pytest.mark.feature("L9")
def test_libraries_imported_after_init_are_met_too(other: Other) -> None:
    """A program that imports its HTTP library after `init` sends the ids as well, over the middleware too."""
    code = (
        "import sys, mamimon\n"
        "mamimon.init(console='off')\n"
        "import requests, httpx\n"
        "url = sys.argv[1]\n"
        "def app(environ, start):\n"
        "    requests.get(url); httpx.get(url)\n"
        "    start('200 OK', []); return [b'']\n"
        "site = mamimon.WSGIMiddleware(app)\n"
        "environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/', 'HTTP_X_REQUEST_ID': 'r-7',\n"
        f"    'HTTP_TRACEPARENT': '00-{TRACE}-{'1' * 16}-00'}}\n"
        "body = site(environ, lambda status, headers: None)\n"
        "list(body); body.close()\n"
    )
    url = f"http://127.0.0.1:{other.port}/"
    done = subprocess.run(
        [sys.executable, "-c", code, url], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "mamimon: " not in done.stderr
    for found in other.ids():
        assert found["x-request-id"] == "r-7"
        assert found["traceparent"].startswith(f"00-{TRACE}-")
        assert found["traceparent"].endswith("-00")
        assert "1" * 16 not in found["traceparent"]
    assert len(other.seen) == 2


@pytest.mark.feature("L9")
def test_an_id_that_is_no_header_stays_here(client: Client, other: Other) -> None:
    """A request id with a line break in it is not sent."""
    import httpx

    client()
    with mamimon.context(request_id="a\r\nX-Evil: 1", trace_id="short", span_id=5):
        httpx.get(f"http://127.0.0.1:{other.port}/")
    assert other.ids() == [{}]
    assert "x-evil" not in other.seen[0]


@pytest.mark.feature("L9")
@pytest.mark.parametrize(
    ("host", "named", "allowed"),
    [
        ("localhost", (), True),
        ("chat-service", (), True),
        ("db.internal", (), True),
        ("10.1.2.3", (), True),
        ("fd00::1", (), True),
        ("8.8.8.8", (), False),
        ("2606:4700::1111", (), False),
        ("api.stripe.com", (), False),
        ("api.stripe.com", ("*",), True),
        ("Partner.com.", ("partner.com",), True),
        ("a.partner.com", ("partner.com",), False),
        ("a.partner.com", ("*.partner.com",), True),
        ("evilpartner.com", ("*.partner.com",), False),
        ("", (), False),
    ],
)
def test_which_hosts_get_the_ids(host: str, named: tuple[str, ...], allowed: bool) -> None:
    """Private hosts do, and those that are named."""
    assert Rule(named).allows(host) is allowed
