"""No secret reaches the disk."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from mamimon.errors.event_store import unpack
from mamimon.errors.scrub import scrub_text
from tests.errors.test_doors import envelope, event, item, post

CANARIES = {
    "header": "canary-hdr-11aa22",
    "cookie": "canary-cookie-33bb44",
    "body": "canary-body-55cc66",
    "variable": "canary-var-77dd88",
    "query": "canary-query-99ee00",
    "card": "4111111111111111",
    "breadcrumb": "canary-crumb-12ab34",
    "message": "canary-msg-56cd78",
    "bearer": "canarybearer12345678",
    "stripe": "sk_live_canary123456",
    "url": "canary-url-pass1",
    "code": "canary-code-98zy76",
}


def secretive() -> dict[str, Any]:
    """An event with a secret in every place there is."""
    c = CANARIES
    one = event(
        message=f"login failed password={c['message']} for ada",
        request={
            "url": f"http://shop.example/pay?token={c['query']}&page=2",
            "method": "POST",
            "query_string": f"token={c['query']}&page=2",
            "headers": {"Authorization": f"Bearer {c['header']}", "X-Api-Key": c["header"], "Accept": "*/*"},
            "cookies": {"session": c["cookie"]},
            "data": {
                "user": "ada",
                "password": c["body"],
                "deep": [{"api_key": c["body"]}],
                "card": c["card"],
            },
        },
        extra={
            "note": f"pays with 4111-1111-1111-1111 and {c['stripe']}",
            "again": f"seen {c['variable']} here",
        },
        breadcrumbs={
            "values": [
                {
                    "message": f"POST with Authorization: Bearer {c['bearer']}",
                    "data": {"csrf_token": c["breadcrumb"]},
                }
            ]
        },
        tags={"dsn": f"postgres://shop:{c['url']}@db/shop"},
    )
    frame = one["exception"]["values"][0]["stacktrace"]["frames"][0]
    frame["vars"] = {
        "password": f"'{c['variable']}'",
        "config": f"{{'db_password': '{c['variable']}', 'host': 'db'}}",
        "innocent": f"'{c['variable']}'",
        "url": f"postgres://shop:{c['url']}@db/shop",
    }
    frame["context_line"] = f'API_KEY = "{c["code"]}"'
    one["exception"]["values"][0]["value"] = f"cannot log in with password '{c['variable']}'"
    return one


@pytest.mark.feature("E1")
def test_no_planted_secret_is_found_in_the_data_directory(server: Any) -> None:
    """Secrets in headers, cookies, bodies, variables, queries, code and texts are gone, the rest stays."""
    one = secretive()
    assert post(server, envelope(item(one))).status_code == 200
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    haystack = b"".join(path.read_bytes() for path in files)
    import sqlite3

    for path in (server.data_dir / "errors").glob("*.db"):
        for (body,) in sqlite3.connect(path).execute("SELECT body FROM event"):
            haystack += msgspec.json.encode(unpack(body))
    page = server.client.get("/errors/1").text

    for name, canary in CANARIES.items():
        assert canary.encode() not in haystack, name
        assert canary not in page, name
    assert b"4111-1111" not in haystack
    assert b"ada" in haystack
    assert b"page=2" in haystack
    assert "[Filtered]" in page


@pytest.mark.parametrize(
    "text",
    [
        "division by zero",
        "order 4111 failed after 12.5 s",
        "token_count=12 is too many",
        "GET /api/orders/1234567890123 answered 500",
        "the password field is required",
        "auth.py line 17: author unknown",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    """Words that only resemble secrets are left alone."""
    assert scrub_text(text) == text


def test_scrubbing_is_linear() -> None:
    """A long hostile text is scrubbed in bounded time."""
    import time

    began = time.monotonic()
    for text in ("password=" * 900, "a." * 4000, "1-" * 4000, "eyJ" * 2700, '"' * 8000, "token " * 1300):
        scrub_text(text[:8192])
    assert time.monotonic() - began < 1.5
    assert re.search("Filtered", scrub_text("password=hunter2!"))
