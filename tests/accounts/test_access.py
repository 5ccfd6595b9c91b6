"""Who may do what: open on loopback, closed by the first account, refused in each door's dialect."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.accounts.access import requirement

ADA = {"name": "Ada", "role": "admin", "password": "correct horse"}


def _basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _mamimon(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
    return subprocess.run(
        [sys.executable, "-m", "mamimon", *arguments],
        cwd=folder,
        env=clean,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def closed(server: Any) -> Any:
    """A server with Ada (admin), Efe (editor), Vera (viewer); `server.client` is nobody."""
    assert server.client.post("/api/mamimon/users", json=ADA).status_code == 201
    for name, role in (("Efe", "editor"), ("Vera", "viewer")):
        body = {"name": name, "role": role, "password": "correct horse"}
        made = server.client.post("/api/mamimon/users", json=body, headers=_basic("Ada", "correct horse"))
        assert made.status_code == 201
    return server


@pytest.mark.feature("S1")
def test_the_first_account_closes_an_open_server(server: Any) -> None:
    """On loopback without an account all is open; after the first account nobody reads unnamed."""
    assert server.client.get("/metrics").status_code == 200

    server.client.post("/api/mamimon/users", json=ADA)

    assert server.client.get("/metrics").status_code == 401
    assert server.client.get("/healthz").status_code == 200
    assert server.client.get("/metrics", headers=_basic("ada", "correct horse")).status_code == 200
    assert server.client.get("/metrics", headers=_basic("Ada", "wrong horse")).status_code == 401


@pytest.mark.feature("S1")
@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("Vera", "GET", "/metrics", 200),
        ("Vera", "GET", "/settings", 403),
        ("Vera", "POST", "/api/mamimon/tokens", 403),
        ("Efe", "GET", "/metrics", 200),
        ("Efe", "GET", "/api/mamimon/users", 403),
        ("Efe", "POST", "/settings/add-token", 403),
        ("Ada", "GET", "/settings", 200),
        ("Ada", "GET", "/api/mamimon/users", 200),
    ],
)
def test_roles(closed: Any, name: str, method: str, path: str, status: int) -> None:
    """A viewer reads, an editor changes, an administrator does all."""
    answer = closed.client.request(method, path, headers=_basic(name, "correct horse"))

    assert answer.status_code == status


@pytest.mark.feature("S1")
def test_tokens_have_scopes_and_are_revoked_at_once(closed: Any) -> None:
    """A token works as Bearer, ApiKey (both forms) and Basic password, within its scope, until revoked."""
    ada = _basic("Ada", "correct horse")
    body = {"name": "ci", "scope": "read"}
    token = closed.client.post("/api/mamimon/tokens", json=body, headers=ada).json()["token"]
    encoded = base64.b64encode(f"ci:{token}".encode()).decode()
    ways = [
        _bearer(token),
        {"Authorization": f"ApiKey {token}"},
        {"Authorization": f"ApiKey {encoded}"},
        _basic("ci", token),
    ]

    assert [closed.client.get("/metrics", headers=way).status_code for way in ways] == [200] * 4
    assert closed.client.get("/settings", headers=ways[0]).status_code == 403
    (listed,) = closed.client.get("/api/mamimon/tokens", headers=ada).json()
    assert "token" not in listed
    closed.client.delete(f"/api/mamimon/tokens/{listed['id']}", headers=ada)
    assert closed.client.get("/metrics", headers=ways[0]).status_code == 401


@pytest.mark.feature("S1")
def test_refusals_speak_the_doors_dialect(closed: Any) -> None:
    """401 is an Elasticsearch error object, a Prometheus error, or a redirect to the sign-in page."""
    es = closed.client.get("/es/_search")
    prometheus = closed.client.get("/api/v1/query?query=up")
    page = closed.client.get("/logs?q=a", headers={"Accept": "text/html"})

    assert es.json()["error"]["type"] == "security_exception"
    assert es.headers["x-elastic-product"] == "Elasticsearch"
    assert es.headers["www-authenticate"].startswith("Basic")
    assert prometheus.json()["status"] == "error"
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/logs%3Fq%3Da")


@pytest.mark.feature("S1")
def test_signing_in_and_out_by_the_form(closed: Any) -> None:
    """The form opens a session by an HttpOnly cookie and goes to the local page asked for, only."""
    client = httpx.Client(base_url=closed.url)
    wrong = client.post("/login", data={"name": "Vera", "password": "nope"})
    right = client.post("/login", data={"name": "vera", "password": "correct horse", "next": "/metrics"})

    assert wrong.status_code == 401
    assert "name or the password is wrong" in wrong.text
    assert (right.status_code, right.headers["location"]) == (303, "/metrics")
    assert "httponly" in right.headers["set-cookie"].lower()
    assert client.get("/metrics").status_code == 200
    away = client.post("/login", data={"name": "vera", "password": "correct horse", "next": "//evil.example"})
    assert away.headers["location"] == "/"
    client.post("/logout")
    assert client.get("/metrics").status_code == 401


def test_sign_in_is_throttled(closed: Any) -> None:
    """After the allowed number of failures even the right password waits."""
    client = httpx.Client(base_url=closed.url)
    for _ in range(closed.settings.accounts.login_attempts):
        client.post("/login", data={"name": "Efe", "password": "guess"})

    answer = client.post("/login", data={"name": "Efe", "password": "correct horse"})

    assert answer.status_code == 429


def test_sessions_end(closed: Any, clock: Any) -> None:
    """A session is over after its days."""
    client = httpx.Client(base_url=closed.url)
    client.post("/login", data={"name": "Vera", "password": "correct horse"})
    assert client.get("/metrics").status_code == 200

    clock.advance(closed.settings.accounts.session_days * 86_400 + 1)

    assert client.get("/metrics").status_code == 401


def test_bad_accounts_are_refused(closed: Any) -> None:
    """A taken name, a short password, an unknown role: a clear reason each."""
    ada = _basic("Ada", "correct horse")
    tries = [
        ({"name": "ADA", "role": "viewer", "password": "long enough"}, 409, "already"),
        ({"name": "New", "role": "viewer", "password": "short"}, 400, "at least 8"),
        ({"name": "New", "role": "king", "password": "long enough"}, 400, "viewer, editor, admin"),
    ]
    for body, status, words in tries:
        answer = closed.client.post("/api/mamimon/users", json=body, headers=ada)
        assert answer.status_code == status
        assert words in answer.json()["error"]
    last = closed.client.delete("/api/mamimon/users/Ada", headers=ada)
    assert last.status_code == 409


@pytest.mark.feature("S3")
def test_secrets_are_not_kept(closed: Any) -> None:
    """No password or token is in the data directory; the local secret's file is private."""
    ada = _basic("Ada", "correct horse")
    body = {"name": "ci", "scope": "read"}
    token = closed.client.post("/api/mamimon/tokens", json=body, headers=ada).json()["token"]
    kept = b"".join(path.read_bytes() for path in closed.data_dir.rglob("*") if path.is_file())

    assert b"correct horse" not in kept
    assert token.encode() not in kept
    assert (closed.data_dir / "server.json").stat().st_mode & 0o077 == 0


@pytest.mark.feature("S1")
def test_a_public_address_needs_an_account(tmp_path: Path, process: Callable[..., Any]) -> None:
    """Listening beyond loopback is refused with the command to run; after it the server is closed."""
    refused = _mamimon(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", "data")
    assert refused.returncode == 2
    command = re.search(r"mamimon (users add) NAME --role admin", refused.stderr)
    assert command

    added = _mamimon(
        tmp_path,
        *("users", "add", "Ada", "--role", "admin", "--password-stdin", "--data-dir", "data"),
        stdin="correct horse\n",
    )
    assert added.returncode == 0, added.stderr
    one = process("--host", "0.0.0.0")
    url = one.url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/metrics").status_code == 401
    assert httpx.get(f"{url}/metrics", auth=("Ada", "correct horse")).status_code == 200


@pytest.mark.feature("S1")
def test_commands_on_the_same_machine_need_no_token(closed: Any, tmp_path: Path) -> None:
    """`mamimon tokens add` finds the running server and its local secret in the data directory."""
    where = ("--data-dir", str(closed.data_dir))
    made = _mamimon(tmp_path, "tokens", "add", "shipper", "--scope", "ingest", *where)

    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("mmt_")
    listed = _mamimon(tmp_path, "users", "list", *where)
    assert listed.stdout.split() == ["Ada", "admin", "Efe", "editor", "Vera", "viewer"]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/healthz", None),
        ("GET", "/static/base.css", None),
        ("POST", "/api/1/envelope/", None),
        ("POST", "/batch/", None),
        ("GET", "/api/mamimon/errors/dsn", None),
        ("DELETE", "/api/mamimon/events/keys", "admin"),
        ("GET", "/", "read"),
        ("GET", "/es/_cat/indices", "read"),
        ("POST", "/es/logs-*/_search", "read"),
        ("POST", "/es/_bulk", "ingest"),
        ("POST", "/es/logs-a-2026.01.01/_doc", "ingest"),
        ("PUT", "/es/logs-a/_create/1", "ingest"),
        ("DELETE", "/es/logs-a-*", "write"),
        ("POST", "/es/logs-a/_delete_by_query", "write"),
        ("POST", "/api/v1/query", "read"),
        ("POST", "/api/v1/write", "ingest"),
        ("POST", "/v1/logs", "ingest"),
        ("POST", "/api/v1/admin/tsdb/delete_series", "admin"),
        ("POST", "/alertmanager/api/v2/silences", "write"),
        ("GET", "/settings", "admin"),
        ("DELETE", "/api/mamimon/users/a", "admin"),
        ("POST", "/something/new", "write"),
    ],
)
def test_what_a_request_needs(method: str, path: str, needed: str | None) -> None:
    """The scope of a door; what is not named needs write, so a new door is never open by accident."""
    assert requirement(method, path) == needed
