"""The middlewares around real applications of the four frameworks, driven over HTTP."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from flask import Flask
from litestar import Litestar, get
from prometheus_client.parser import text_string_to_metric_families

import mamimon
from tests.client.receiver import Receiver
from tests.conftest import wait_until

Client = Callable[..., None]


class Boom(Exception):
    """What the planted faults raise."""


def litestar_app() -> Any:
    @get("/chat/{chat_id:int}", sync_to_thread=False)
    def chat(chat_id: int) -> dict[str, Any]:
        mamimon.get_logger("chat").info("inside")
        return {"chat": chat_id, "request_id": mamimon.request_id()}

    @get("/boom", sync_to_thread=False)
    def boom() -> None:
        raise Boom("planted")

    return mamimon.ASGIMiddleware(Litestar([chat, boom], logging_config=None))


def litestar_layered_app() -> Any:
    @get("/chat/{chat_id:int}", sync_to_thread=False)
    def chat(chat_id: int) -> dict[str, Any]:
        mamimon.get_logger("chat").info("inside")
        return {"chat": chat_id, "request_id": mamimon.request_id()}

    @get("/boom", sync_to_thread=False)
    def boom() -> None:
        raise Boom("planted")

    return Litestar([chat, boom], middleware=[mamimon.ASGIMiddleware], logging_config=None)


def fastapi_app() -> Any:
    from fastapi import APIRouter, FastAPI

    app = FastAPI()
    router = APIRouter()

    @router.get("/{chat_id}")
    def chat(chat_id: int) -> dict[str, Any]:
        mamimon.get_logger("chat").info("inside")
        return {"chat": chat_id, "request_id": mamimon.request_id()}

    @app.get("/boom")
    async def boom() -> None:
        raise Boom("planted")

    app.include_router(router, prefix="/chat")
    app.add_middleware(mamimon.ASGIMiddleware)
    return app


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    async def chat(request: Any) -> Any:
        mamimon.get_logger("chat").info("inside")
        return JSONResponse({"chat": request.path_params["chat_id"], "request_id": mamimon.request_id()})

    async def boom(request: Any) -> Any:
        raise Boom("planted")

    routes = [Mount("/chat", routes=[Route("/{chat_id:int}", chat)]), Route("/boom", boom)]
    app = Starlette(routes=routes)
    app.add_middleware(mamimon.ASGIMiddleware)
    return app


def flask_app() -> Any:
    app = Flask("chat")

    @app.get("/chat/<int:chat_id>")
    def chat(chat_id: int) -> dict[str, Any]:
        mamimon.get_logger("chat").info("inside")
        return {"chat": chat_id, "request_id": mamimon.request_id()}

    @app.get("/boom")
    def boom() -> str:
        raise Boom("planted")

    return mamimon.WSGIMiddleware(app)


def _django(asgi: bool) -> Any:
    import sys
    import types

    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    def chat(request: HttpRequest, chat_id: int) -> JsonResponse:
        mamimon.get_logger("chat").info("inside")
        return JsonResponse({"chat": chat_id, "request_id": mamimon.request_id()})

    def boom(request: HttpRequest) -> JsonResponse:
        raise Boom("planted")

    urls = types.ModuleType("django_urls_of_the_test")
    urls.urlpatterns = [path("chat/<int:chat_id>", chat), path("boom", boom)]  # type: ignore[attr-defined]
    sys.modules[urls.__name__] = urls
    if not settings.configured:
        settings.configure(ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", DEBUG=False)
        django.setup()
    if asgi:
        from django.core.asgi import get_asgi_application

        return mamimon.ASGIMiddleware(get_asgi_application())
    from django.core.wsgi import get_wsgi_application

    return mamimon.WSGIMiddleware(get_wsgi_application())


def django_wsgi_app() -> Any:
    return _django(False)


def django_asgi_app() -> Any:
    return _django(True)


class Site:
    """A real server around an application: uvicorn for ASGI, wsgiref for WSGI."""

    def __init__(self, app: Any) -> None:
        self._stop: Callable[[], None]
        if isinstance(app, mamimon.WSGIMiddleware):
            from wsgiref.simple_server import WSGIRequestHandler, make_server

            class Quiet(WSGIRequestHandler):
                def log_message(self, *_: Any) -> None:
                    return

            server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
            server.base_environ["wsgi.errors"] = None
            port = server.server_port
            self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            self._thread.start()
            self._stop = server.shutdown
        else:
            import uvicorn

            site = uvicorn.Server(
                uvicorn.Config(app, port=0, log_config=None, lifespan="off", loop="asyncio")
            )
            self._thread = threading.Thread(target=lambda: asyncio.run(site.serve()), daemon=True)
            self._thread.start()
            while not site.started:
                assert self._thread.is_alive()
            port = site.servers[0].sockets[0].getsockname()[1]
            self._stop = lambda: setattr(site, "should_exit", True)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def close(self) -> None:
        self.http.close()
        self._stop()
        self._thread.join(10)


APPS = {
    "litestar": (litestar_app, "/chat/{chat_id}"),
    "litestar-layer": (litestar_layered_app, "/chat/{chat_id}"),
    "fastapi": (fastapi_app, "/chat/{chat_id}"),
    "starlette": (starlette_app, "/chat/{chat_id}"),
    "flask": (flask_app, "/chat/<int:chat_id>"),
    "django": (django_wsgi_app, "/chat/<int:chat_id>"),
    "django-asgi": (django_asgi_app, "/chat/<int:chat_id>"),
}


@pytest.fixture(params=list(APPS))
def site(
    request: pytest.FixtureRequest, client: Client, receiver: Receiver
) -> Iterator[tuple[Site, str, str]]:
    """Each framework's application behind a real server, instrumented by one line, shipping."""
    make, template = APPS[request.param]
    client(receiver.url)
    one = Site(make())
    yield one, template, request.param
    one.close()


def samples(text: str) -> dict[tuple[str, str, str, str], float]:
    """(name, method, path, status) → value of the HTTP metrics."""
    return {
        (sample.name, *(sample.labels.get(label, "") for label in ("method", "path", "status"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


@pytest.mark.feature("C3")
def test_a_request_is_logged_counted_and_correlated(site: tuple[Site, str, str], receiver: Receiver) -> None:
    """Ids go in and out; one line a request with its route; the application's line has the id."""
    web, template, name = site
    before = samples(_metrics(web, name))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = web.http.get("/chat/7", headers={"X-Request-ID": "req-42", "traceparent": parent})
    assert answer.json() == {"chat": 7, "request_id": "req-42"}
    assert answer.headers["x-request-id"] == "req-42"
    ours = r"00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b71)[0-9a-f]{16}-01"
    assert re.fullmatch(ours, answer.headers["traceparent"])
    web.http.get("/chat/8")
    assert _flush(receiver, 4)
    line = next(
        document
        for document in receiver.documents
        if document.get("request_id") == "req-42" and "route" in document
    )
    assert (line["method"], line["path"], line["route"], line["status"]) == ("GET", "/chat/7", template, 200)
    assert line["level"] == "INFO"
    assert line["duration_ms"] > 0
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["client"] == "127.0.0.0"
    inside = [document for document in receiver.documents if document["message"] == "inside"]
    assert inside[0]["request_id"] == "req-42"
    assert inside[1]["request_id"] != "req-42"
    after = samples(_metrics(web, name))
    key = ("http_requests_total", "GET", template, "200")
    assert after[key] - before.get(key, 0) == 2
    key = ("http_request_duration_seconds_count", "GET", template, "")
    assert after[key] - before.get(key, 0) == 2


@pytest.mark.feature("C3")
def test_an_exception_is_a_500_logged_once_and_reported_once(
    site: tuple[Site, str, str], receiver: Receiver
) -> None:
    """The traceback is in exactly one record, with the request's id; one report; the error is counted."""
    web, _, name = site
    before = samples(_metrics(web, name))
    assert web.http.get("/boom", headers={"X-Request-ID": "req-boom"}).status_code == 500
    assert _flush(receiver, 1, envelopes=1)
    with_stack = [
        document for document in receiver.documents if "stacktrace" in document.get("exception", {})
    ]
    assert [document["exception"]["type"] for document in with_stack] == ["Boom"]
    assert with_stack[0]["request_id"] == "req-boom"
    line = next(document for document in receiver.documents if document.get("route") == "/boom")
    assert (line["level"], line["status"]) == ("ERROR", 500)
    assert [envelope["exception"]["values"][-1]["type"] for envelope in receiver.envelopes] == ["Boom"]
    assert receiver.envelopes[0]["tags"]["request_id"] == "req-boom"
    after = samples(_metrics(web, name))
    key = ("http_requests_errors_total", "GET", "/boom", "")
    assert after[key] - before.get(key, 0) == 1


@pytest.mark.feature("C3")
def test_unknown_paths_share_one_label(site: tuple[Site, str, str], receiver: Receiver) -> None:
    """A scanner that asks for many paths makes one series, `unmatched`."""
    web, _, name = site
    if name == "litestar-layer":
        # Litestar refuses an unknown path before its middleware runs; nothing is counted at all.
        assert web.http.get("/nothing/1").status_code == 404
        return
    before = samples(_metrics(web, name))
    for number in range(3):
        assert web.http.get(f"/nothing/{number}").status_code == 404
    key = ("http_requests_total", "GET", "unmatched", "404")
    wait_until(lambda: samples(_metrics(web, name)).get(key, 0) - before.get(key, 0) == 3)


def _metrics(web: Site, name: str) -> str:
    if name == "litestar-layer":  # there the middleware sees routed requests only
        from mamimon.client.exposition import render

        return render().decode()
    answer = web.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def _flush(receiver: Receiver, documents: int, envelopes: int = 0) -> bool:
    """The last line of a request is written after its answer, so the answer alone says nothing."""

    def arrived() -> bool:
        ours = [one for one in receiver.documents if "route" in one or one["message"] == "inside"]
        return len(ours) >= documents and len(receiver.envelopes) >= envelopes

    return bool(wait_until(lambda: mamimon.flush(5) and arrived(), what="the records"))


@pytest.mark.feature("C3")
def test_the_missions_six_metrics_are_on_the_application(client: Client) -> None:
    """`/metrics` of an instrumented application has all six names and parses with Prometheus' own parser."""
    client()
    web = Site(litestar_app())
    try:
        web.http.get("/chat/1")
        families = {family.name for family in text_string_to_metric_families(web.http.get("/metrics").text)}
    finally:
        web.close()
    assert {
        "http_requests",
        "http_request_duration_seconds",
        "http_requests_errors",
        "system_cpu_usage_percent",
        "system_memory_usage_percent",
        "system_disk_usage_percent",
    } <= families


@pytest.mark.feature("C3")
def test_a_strangers_ids_are_not_trusted_where_configured(client: Client) -> None:
    """With `trust_headers=False`, and for ids with harmful characters, a new request id is made."""
    client()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    strict = Site(mamimon.ASGIMiddleware(app, trust_headers=False))
    open_ = Site(mamimon.ASGIMiddleware(app))
    try:
        assert strict.http.get("/", headers={"X-Request-ID": "mine"}).headers["x-request-id"] != "mine"
        assert open_.http.get("/", headers={"X-Request-ID": "mine"}).headers["x-request-id"] == "mine"
        bad = "<script>"
        assert open_.http.get("/", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad
    finally:
        strict.close()
        open_.close()


@pytest.mark.feature("C3")
def test_streams_and_websockets_are_one_line_each(client: Client, receiver: Receiver) -> None:
    """A streamed answer is measured to its end, a WebSocket to its close."""
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.testclient import TestClient

    async def stream(request: Any) -> Any:
        async def pieces() -> Any:
            for _ in range(3):
                await asyncio.sleep(0.02)
                yield b"12345"

        return StreamingResponse(pieces())

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text("hello " + str(mamimon.request_id()))
        await websocket.close()

    client(receiver.url)
    app = mamimon.ASGIMiddleware(Starlette(routes=[Route("/stream", stream), WebSocketRoute("/ws", socket)]))
    with TestClient(app) as browser:
        assert browser.get("/stream").content == b"12345" * 3
        with browser.websocket_connect("/ws", headers={"X-Request-ID": "ws-1"}) as ws:
            assert ws.receive_text() == "hello ws-1"
    assert mamimon.flush(5)
    lines = {document["path"]: document for document in receiver.documents if "route" in document}
    assert lines["/stream"]["duration_ms"] >= 60
    assert lines["/stream"]["response_bytes"] == 15
    assert (lines["/ws"]["method"], lines["/ws"]["status"], lines["/ws"]["request_id"]) == (
        "WEBSOCKET",
        101,
        "ws-1",
    )


@pytest.mark.feature("C3")
def test_prometheus_clients_registry_is_shown_too(client: Client) -> None:
    """An application that uses prometheus_client sees its own metrics on the same page, none twice."""
    import prometheus_client

    from mamimon.client.exposition import render

    registry = prometheus_client.REGISTRY
    theirs = prometheus_client.Counter("shop_orders", "Orders.", registry=registry)
    try:
        theirs.inc(3)
        mamimon.counter("shop_carts_total", "Carts.", ["kind"]).inc(kind='a"b\\c\n')
        found = samples(render().decode())
        families = [family.name for family in text_string_to_metric_families(render().decode())]
    finally:
        registry.unregister(theirs)
    assert found["shop_orders_total", "", "", ""] == 3
    assert len(families) == len(set(families))
    assert 'kind="a\\"b\\\\c\\n"' in render().decode()


def test_the_log_line_of_a_request_can_be_switched_off(client: Client, receiver: Receiver) -> None:
    """Paths in `quiet` are counted but not logged."""
    client(receiver.url)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    web = Site(mamimon.ASGIMiddleware(app, quiet=["/healthz"]))
    try:
        web.http.get("/healthz")
        web.http.get("/other")
        metrics = samples(web.http.get("/metrics").text)
    finally:
        web.close()
    assert _flush(receiver, 1)
    assert [document["path"] for document in receiver.documents if "path" in document] == ["/other"]
    assert metrics["http_requests_total", "GET", "/healthz", "200"] >= 1
