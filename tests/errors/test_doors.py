"""Sentry's doors as its clients knock on them."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
import sys
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from mamimon.clock import ManualClock

ENCODINGS = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: brotli.compress(body, quality=1),
    "zstd": zstandard.compress,
}


def dsn_of(server: Any) -> tuple[str, str]:
    """The default project's DSN and key."""
    dsn = server.client.get("/api/mamimon/errors/dsn").json()["dsn"]
    return dsn, dsn.split("//")[1].split("@")[0]


def event(**fields: Any) -> dict[str, Any]:
    """A plain event."""
    frames = [
        {"function": "pay", "module": "shop.pay", "lineno": 7, "in_app": True, "context_line": "boom()"}
    ]
    exception = {"values": [{"type": "ValueError", "value": "bad 17", "stacktrace": {"frames": frames}}]}
    return {"event_id": uuid.uuid4().hex, "platform": "python", "exception": exception, **fields}


def envelope(*items: tuple[dict[str, Any], bytes], **header: Any) -> bytes:
    """An envelope's bytes."""
    parts = [json.dumps(header).encode()]
    for head, payload in items:
        parts += [json.dumps({"length": len(payload), **head}).encode(), payload]
    return b"\n".join(parts)


def item(payload: dict[str, Any], kind: str = "event") -> tuple[dict[str, Any], bytes]:
    """One item of an envelope."""
    return {"type": kind}, json.dumps(payload).encode()


def post(server: Any, body: bytes, key: str = "", path: str = "/api/1/envelope/", **headers: str) -> Any:
    """Post a body with the default key."""
    auth = {"X-Sentry-Auth": f"Sentry sentry_key={key or dsn_of(server)[1]}, sentry_version=7"}
    return server.client.post(path, content=body, headers={**auth, **headers})


def issues(server: Any, query: str = "", **params: Any) -> list[dict[str, Any]]:
    """Issues by the API."""
    answer = server.client.get("/api/mamimon/errors/issues", params={"query": query, **params})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["issues"])


@pytest.mark.feature("E1")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_understood_and_the_event_is_there_at_once(server: Any, encoding: str) -> None:
    """An envelope in each content encoding is stored when its answer comes."""
    one = event()
    body = ENCODINGS[encoding](envelope(item(one), event_id=one["event_id"]))

    answer = post(server, body, **({"Content-Encoding": encoding} if encoding else {}))

    assert answer.status_code == 200
    assert answer.json() == {"id": one["event_id"]}
    (found,) = issues(server)
    assert found["title"] == "ValueError: bad 17"
    assert server.client.get(f"/errors/{found['id']}/events/{one['event_id']}").status_code == 200


@pytest.mark.feature("E1")
def test_the_key_may_come_by_header_query_or_envelope(server: Any) -> None:
    """Each way of Sentry's clients to name the key is taken."""
    dsn, key = dsn_of(server)
    plain = server.client.post(
        f"/api/1/envelope/?sentry_key={key}&sentry_version=7", content=envelope(item(event()))
    )
    tunnel = server.client.post("/api/1/envelope/", content=envelope(item(event()), dsn=dsn))
    store = post(server, json.dumps(event()).encode(), path="/api/1/store/")
    old = post(server, base64.b64encode(zlib.compress(json.dumps(event()).encode())), path="/api/1/store/")

    assert [one.status_code for one in (plain, tunnel, store, old)] == [200] * 4
    assert issues(server)[0]["count"] == 4


@pytest.mark.feature("E1")
def test_a_wrong_key_is_refused_in_sentrys_words(server: Any) -> None:
    """A wrong key or project is 403, none 401, each with X-Sentry-Error and a detail."""
    body = envelope(item(event()))
    wrong = post(server, body, key="0" * 32)
    project = post(server, body, path="/api/2/envelope/")
    none = server.client.post("/api/1/envelope/", content=body)
    tunnel = server.client.post(
        "/api/1/envelope/", content=envelope(item(event()), dsn=f"http://{'0' * 32}@127.0.0.1/1")
    )

    assert [one.status_code for one in (wrong, project, none, tunnel)] == [403, 403, 401, 403]
    assert wrong.headers["x-sentry-error"] == wrong.json()["detail"] == "bad sentry DSN public key"
    assert wrong.headers["access-control-allow-origin"] == "*"
    assert issues(server) == []


@pytest.mark.feature("E1")
def test_a_preflight_from_another_site_is_answered(server: Any) -> None:
    """A browser's preflight from a page elsewhere is allowed the headers of Sentry's clients."""
    answer = server.client.options(
        "/api/1/envelope/",
        headers={"Origin": "http://shop.example", "Access-Control-Request-Method": "POST"},
    )

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-sentry-auth" in answer.headers["access-control-allow-headers"].lower()


@pytest.mark.feature("E1")
def test_only_allowed_sites_may_send_where_some_are_named(start: Any) -> None:
    """Pages of other sites are refused in Relay's words; programs, which name no site, are not."""
    server = start(errors={"allowed_origins": ["https://shop.example", "*.shop.example"]})
    url = f"/api/1/envelope/?sentry_key={dsn_of(server)[1]}"

    def sent(origin: str | None) -> int:
        headers = {"Origin": origin} if origin is not None else {}
        answer = server.client.post(url, content=envelope(item(event())), headers=headers)
        if answer.status_code != 200:
            assert answer.headers["x-sentry-error"] == "event submission rejected with_reason: Cors"
        return answer.status_code

    assert [sent(one) for one in (None, "https://shop.example", "http://eu.shop.example:8080")] == [200] * 3
    wrong = ("https://shop.example.evil.example", "https://evilshop.example", "null", "http://[", "x" * 200)
    assert [sent(one) for one in wrong] == [403] * 5
    assert issues(server)[0]["count"] == 3


@pytest.mark.feature("E1")
def test_a_bad_item_is_dropped_alone(server: Any) -> None:
    """Of an envelope with items that cannot be read the others are kept."""
    good = event()
    body = envelope(
        ({"type": "event"}, b"{not json"), item(good), ({"type": "session"}, b"[]"), event_id=good["event_id"]
    )

    assert post(server, body).json() == {"id": good["event_id"]}
    assert len(issues(server)) == 1
    metrics = server.client.get("/metrics").text
    assert 'mamimon_errors_items_total{item="event",outcome="invalid"} 1.0' in metrics
    assert 'mamimon_errors_items_total{item="event",outcome="stored"} 1.0' in metrics


@pytest.mark.feature("E1")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff\xfe",
        b"[]",
        b"not json\n{}",
        b'{}\n{"type":"event"}\n{',
        b'{}\n{"type":"event","length":99999}\n{}',
        b'{}\n{"type":"event"}\n' + b"[" * 100_000,
        b'{}\n{"type":"event"}\n"text"',
        b'{}\n{"type":"event"}\n' + b'{"a":"' + b"x" * 1_100_000 + b'"}',
    ],
)
def test_malformed_envelopes_are_the_clients_fault(server: Any, body: bytes) -> None:
    """What is no envelope, or has no readable item, is answered with 4xx and stores nothing."""
    answer = post(server, body)

    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]
    assert issues(server) == []


@pytest.mark.feature("E1")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_bombs_are_refused(start: Callable[..., Any], encoding: str) -> None:
    """A body that grows beyond the limit is refused with 413; `test_items` measures what it costs."""
    server = start(errors={"max_envelope_bytes": 4_000_000})
    body = ENCODINGS[encoding](b"{}\n" + b" " * 40_000_000)

    answer = post(server, body, **{"Content-Encoding": encoding})

    assert answer.status_code == 413


@pytest.mark.feature("E1")
def test_a_key_over_its_limit_is_told_to_wait(start: Callable[..., Any], clock: Any) -> None:
    """Over the limit a key gets 429 with Retry-After and X-Sentry-Rate-Limits, until the window ends."""
    server = start(errors={"events_per_minute": 2})
    body = envelope(item(event()))
    post(server, body)
    post(server, envelope(item(event())))

    refused = post(server, body)

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert re.fullmatch(r"\d+:error:key", refused.headers["x-sentry-rate-limits"])
    clock.advance(61)
    assert post(server, envelope(item(event()))).status_code == 200
    assert issues(server)[0]["count"] == 3


@pytest.mark.feature("E1")
def test_a_repeated_event_counts_once(server: Any, clock: ManualClock) -> None:
    """A client that sends an event again after a lost answer counts it once, also beside a new one."""
    first = item(event())
    post(server, envelope(first))
    post(server, envelope(first))
    post(server, envelope(first, item(event())))

    assert issues(server)[0]["count"] == 2
    clock.advance(60)
    assert 'mamimon_errors_events_total{level="error",project="1"} 2.0' in server.client.get("/metrics").text


@pytest.mark.feature("E1")
def test_every_sample_of_real_clients_is_taken_and_its_page_opens(server: Any, material: Path) -> None:
    """Every captured request is answered 200, and every issue's page opens without a missing value."""
    key = dsn_of(server)[1]
    samples = sorted((material / "sentry").rglob("*.body"))
    assert len(samples) > 90
    for sample in samples:
        told = json.loads(sample.with_suffix(".json").read_text())
        headers = {name.lower(): value for name, value in told["headers"]}
        kind = "store" if "/store/" in told["path"] else "envelope"
        answer = post(
            server,
            sample.read_bytes(),
            path=f"/api/1/{kind}/?sentry_key={key}",
            **{k: v for k, v in headers.items() if k in {"content-encoding", "content-type"}},
        )
        assert answer.status_code == 200, (sample, answer.text)
    found = issues(server, limit=500)
    assert len(found) > 20
    listed = server.client.get("/errors?status=all")
    assert listed.status_code == 200
    for one in found:
        page = server.client.get(one["url"])
        assert page.status_code == 200, one
        # `x = None` of a Python frame is a value, and stands in a cell of its own.
        text = re.sub(r'<td class="break[^"]*">None</td>', "", page.text)
        assert not re.search(r">\s*(None|undefined|NaN)\s*<|=\"(None|undefined)\"", text), one


@pytest.mark.feature("E1")
def test_the_real_python_client_delivers(server: Any) -> None:
    """sentry-sdk with our DSN delivers an exception with its stack, variables and context."""
    code = (
        "import sentry_sdk,sys\n"
        f"sentry_sdk.init({dsn_of(server)[0]!r}, release='shop@1', environment='test')\n"
        "def pay(order):\n    total = order['total']\n    return total / 0\n"
        "try:\n    pay({'total': 5})\nexcept ZeroDivisionError:\n    sentry_sdk.capture_exception()\n"
        "sentry_sdk.flush(5)\n"
    )
    script = server.data_dir.parent / "app.py"
    script.write_text(code)
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)

    (found,) = issues(server)
    page = server.client.get(found["url"]).text
    assert found["title"] == "ZeroDivisionError: division by zero"
    assert found["culprit"] == "pay in __main__"
    assert "return total / 0" in page
    assert "shop@1" in page
    assert "<th>total</th>" in page


@pytest.mark.feature("E1")
def test_acknowledged_events_survive_a_kill(process: Callable[..., Any]) -> None:
    """After kill -9 every acknowledged event is there and the count is exact."""
    import httpx

    one = process()
    client = httpx.Client(base_url=one.url)
    dsn = client.get("/api/mamimon/errors/dsn").json()["dsn"]
    for _ in range(30):
        assert client.post("/api/1/envelope/", content=envelope(item(event()), dsn=dsn)).status_code == 200
    one.kill()
    again = httpx.Client(base_url=process().url)

    assert again.get("/api/mamimon/errors/dsn").json()["dsn"].split("@")[0] == dsn.split("@")[0]
    (found,) = again.get("/api/mamimon/errors/issues").json()["issues"]
    assert found["count"] == 30
