"""No secret reaches the disk."""

from __future__ import annotations

import re
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mamimon.errors.scrub import scrub_text
from tests.errors.test_doors import dsn_of, envelope, event, issues, item, post

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


def everything(data_dir: Path) -> bytes:
    """All that a thief of the data directory could read: the files as they are, and what is packed in them.

    WAL files and the free pages of databases are in the files as they are; every BLOB is unpacked.
    """
    haystack = [path.read_bytes() for path in data_dir.rglob("*") if path.is_file()]
    databases = [path for path in data_dir.rglob("*.db") if path.is_file()]
    assert databases
    for path in databases:
        raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        tables = raw.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        ).fetchall()
        for (table,) in tables:
            if table.startswith("sqlite_"):
                continue
            for row in raw.execute(f'SELECT * FROM "{table}"'):
                haystack += [_unpacked(value) for value in row if isinstance(value, bytes | str)]
        raw.close()
    return b"\n".join(haystack)


def _unpacked(value: bytes | str) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    try:
        with zstandard.ZstdDecompressor().stream_reader(value, read_across_frames=True) as reader:
            return value + reader.read(64 << 20)
    except zstandard.ZstdError:
        return value


def everywhere() -> list[tuple[dict[str, Any], bytes]]:
    """Items of every type with the secrets in them."""
    c = CANARIES
    secret = f"password={c['message']} Authorization: Bearer {c['bearer']}"
    now = time.time()
    transaction = {
        "type": "transaction",
        "transaction": f"GET /pay?token={c['query']}",
        "start_timestamp": now - 1,
        "timestamp": now,
        "contexts": {"trace": {"op": f"op {secret}", "trace_id": "a" * 32}},
        "spans": [{"op": f"db {secret}", "start_timestamp": now - 1, "timestamp": now}],
    }
    session = {"sid": c["cookie"], "did": "canary-person-id", "init": True, "attrs": {"release": "web@1"}}
    feedback = {"event_id": uuid.uuid4().hex, "name": secret, "email": "a@b.example", "comments": secret}
    notes = ({"type": "attachment", "filename": f"token={c['query']}"}, secret.encode())
    return [
        item(secretive()),
        notes,
        item(transaction, "transaction"),
        item(session, "session"),
        item(feedback, "user_report"),
        item({"monitor_slug": "job", "status": "ok", "environment": secret, "monitor_config": {
            "schedule": {"type": "interval", "value": 1, "unit": "hour"}}}, "check_in"),
        item({"discarded_events": [{"reason": secret, "category": secret, "quantity": 1}]}, "client_report"),
        ({"type": secret}, secret.encode()),
        ({"type": "event"}, b"{" + secret.encode()),
    ]  # fmt: skip


@pytest.mark.feature("E1")
def test_no_planted_secret_is_found_in_the_data_directory(server: Any) -> None:
    """Secrets in headers, cookies, bodies, variables, queries, code and texts are gone, the rest stays."""
    assert post(server, envelope(*everywhere())).status_code == 200
    key = dsn_of(server)[1]
    report = {"csp-report": {
        "document-uri": f"https://shop.example/?token={CANARIES['query']}",
        "effective-directive": "img-src",
        "blocked-uri": f"https://ada:{CANARIES['url']}@evil.example/{CANARIES['stripe']}",
        "script-sample": f"password='{CANARIES['variable']}'"}}  # fmt: skip
    assert server.client.post(f"/api/1/security/?sentry_key={key}", json=report).status_code == 200
    found = issues(server, limit=100)
    assert len(found) == 2
    pages = "".join(server.client.get(one["url"]).text for one in found)
    pages += "".join(
        server.client.get(path).text for path in ("/errors", "/errors/releases", "/metrics", "/checks")
    )
    haystack = everything(server.data_dir)
    server.stop()
    haystack += everything(server.data_dir)

    for name, canary in CANARIES.items():
        assert canary.encode() not in haystack, name
        assert canary not in pages, name
    assert b"4111-1111" not in haystack
    assert b"canary-person-id" not in haystack
    assert b"ada" in haystack
    assert b"page=2" in haystack
    assert b"[Filtered]" in haystack
    assert "[Filtered]" in pages


@pytest.mark.feature("E1")
def test_the_search_for_secrets_sees_what_is_there(server: Any) -> None:
    """The haystack of the test above holds plain texts of events, so that it would hold secrets too."""
    post(server, envelope(item(event(extra={"note": "plainly visible words"}))))

    assert b"plainly visible words" in everything(server.data_dir)


PERSON = {
    "id": "ada-4711",
    "email": "ada@shop.example",
    "username": "ada.lovelace",
    "plan": "pro",
    "phone": "canary-phone-17",
}


@pytest.mark.feature("E1")
def test_people_are_pseudonyms_that_can_be_searched_for(server: Any) -> None:
    """Ids, names and addresses are nowhere on the disk or the page, yet who knows one finds their issues."""
    one = event(
        user=PERSON,
        message="ada@shop.example has no cart",
        extra={"for": "user ada-4711, cc bob@elsewhere.example", "file": "node_modules/x@1.2.3/index.js"},
        request={"url": "https://shop.example/u/ada.lovelace", "data": {"mail": "ada@shop.example"}},
    )
    other = event(user={"id": "bob-1"})
    other["exception"]["values"][0]["type"] = "OtherError"
    post(server, envelope(item(one)))
    post(server, envelope(item(event(user=PERSON))))
    post(server, envelope(item(other)))

    first = next(row for row in issues(server) if row["title"].startswith("ValueError"))
    page = server.client.get(f"{first['url']}/events/{one['event_id']}").text
    haystack = everything(server.data_dir)
    for word in ("ada-4711", "ada@shop.example", "ada.lovelace", "bob@elsewhere.example", "canary-phone-17"):
        assert word.encode() not in haystack, word
        assert word not in page, word
    assert (first["count"], first["users"]) == (2, 1)
    assert "[email]" in page
    assert "x@1.2.3/index.js" in page
    assert "pro" in page
    detail = server.client.get(f"/api/mamimon/errors/issues/{first['id']}").json()["event"]
    pseudonym = detail["user"]["id"]
    assert re.fullmatch("[0-9a-f]{12}", pseudonym)
    for query in (
        "user.id:ada-4711",
        "user.email:ADA@shop.example",
        "user.username:ada.lovelace",
        f"user.id:{pseudonym}",
    ):
        assert [row["id"] for row in issues(server, query)] == [first["id"]], query
    assert issues(server, "user.email:nobody@shop.example") == []


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
    began = time.monotonic()
    for text in ("password=" * 900, "a." * 4000, "1-" * 4000, "eyJ" * 2700, '"' * 8000, "token " * 1300):
        scrub_text(text[:8192])
    assert time.monotonic() - began < 20
    assert re.search("Filtered", scrub_text("password=hunter2!"))
