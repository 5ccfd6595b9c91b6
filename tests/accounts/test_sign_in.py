"""Signing in with a second factor, links that set a password, sessions, roles and the audit log."""

from __future__ import annotations

import csv
import html
import io
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

PASSWORD = "correct horse"
ADA = ("Ada", PASSWORD)


@pytest.fixture
def closed(server: Any) -> Any:
    """A server with Ada (admin) and Vera (viewer)."""
    for name, role, auth in (("Ada", "admin", None), ("Vera", "viewer", ADA)):
        body = {"name": name, "role": role, "password": PASSWORD}
        assert server.client.post("/api/mamimon/users", json=body, auth=auth).status_code == 201
    return server


def signed_in(server: Any, name: str, password: str = PASSWORD) -> httpx.Client:
    """A browser of somebody who signed in by the form."""
    client = httpx.Client(base_url=server.url, timeout=30, headers={"User-Agent": f"Browser of {name}"})
    answer = client.post("/login", data={"name": name, "password": password})
    assert answer.status_code == 303, answer.text
    return client


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


def with_factor(server: Any, client: httpx.Client, clock: Any) -> tuple[pyotp.TOTP, list[str]]:
    """Turn the second factor on by the page; the authenticator and the recovery codes."""
    page = client.post("/account/begin-factor").text
    secret = re.search(r'<p class="mono break">([A-Z2-7]{32})</p>', page)
    assert secret and "<svg" in page
    totp, seed = pyotp.TOTP(secret[1]), hidden(page, "seed")
    wrong = client.post("/account/add-factor", data={"seed": seed, "code": "000000"})
    assert wrong.status_code == 400 and "not right" in wrong.text
    right = client.post("/account/add-factor", data={"seed": seed, "code": totp.at(clock.now())})
    assert right.status_code == 200, right.text
    codes = re.findall(r"\b[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}\b", right.text)
    assert len(codes) == 10
    return totp, codes


def half(server: Any, client: httpx.Client) -> str:
    """What the page of the second step carries after the right password."""
    answer = client.post("/login", data={"name": "Vera", "password": PASSWORD, "next": "/metrics"})
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    return hidden(answer.text, "half")


@pytest.mark.feature("S1")
def test_a_code_is_asked_for_and_works_once(closed: Any, clock: Any) -> None:
    """The password alone opens nothing; the code does, once; a recovery code does, once."""
    totp, codes = with_factor(closed, signed_in(closed, "Vera"), clock)
    clock.advance(60)
    phone = httpx.Client(base_url=closed.url, timeout=30)
    first = half(closed, phone)
    assert phone.get("/metrics").status_code == 401
    code = totp.at(clock.now())
    answer = phone.post("/login/code", data={"half": first, "code": code, "next": "/metrics"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/metrics")
    assert phone.get("/metrics").status_code == 200

    thief = httpx.Client(base_url=closed.url, timeout=30)
    again = thief.post("/login/code", data={"half": half(closed, thief), "code": code})
    assert again.status_code == 400
    lost = httpx.Client(base_url=closed.url, timeout=30)
    assert lost.post("/login/code", data={"half": half(closed, lost), "code": codes[3]}).status_code == 303
    assert thief.post("/login/code", data={"half": half(closed, thief), "code": codes[3]}).status_code == 400
    assert "9 recovery codes are left" in lost.get("/account").text


@pytest.mark.feature("S1")
def test_codes_cannot_be_guessed(closed: Any, clock: Any) -> None:
    """Five tries a sign-in, and the name is throttled however often the password was right."""
    with_factor(closed, signed_in(closed, "Vera"), clock)
    client = httpx.Client(base_url=closed.url, timeout=60)
    statuses = []
    for _ in range(closed.settings.accounts.login_attempts // 5):
        begun = half(closed, client)
        statuses += [
            client.post("/login/code", data={"half": begun, "code": f"00000{n}"}).status_code
            for n in range(5)
        ]
        assert client.post("/login/code", data={"half": begun, "code": "000009"}).status_code in {401, 429}
    assert set(statuses) == {400}
    last = client.post("/login", data={"name": "Vera", "password": PASSWORD})
    if last.status_code == 200:
        last = client.post("/login/code", data={"half": hidden(last.text, "half"), "code": "000000"})
    assert last.status_code == 429


@pytest.mark.feature("S1")
def test_basic_cannot_pass_by_the_second_factor(closed: Any, clock: Any) -> None:
    """A program of somebody with a second factor is told to use a token."""
    assert closed.client.get("/metrics", auth=("Vera", PASSWORD)).status_code == 200
    with_factor(closed, signed_in(closed, "Vera"), clock)
    refused = closed.client.get("/api/v1/query?query=up", auth=("Vera", PASSWORD))
    assert refused.status_code == 401
    assert "API token" in refused.json()["error"]


@pytest.mark.feature("S3")
def test_the_database_alone_makes_no_codes(closed: Any, clock: Any) -> None:
    """Neither the secret nor a recovery code is kept; the key is a private file beside the database."""
    totp, codes = with_factor(closed, signed_in(closed, "Vera"), clock)
    kept = b"".join(path.read_bytes() for path in closed.data_dir.rglob("*") if path.is_file())
    for secret in (totp.secret, codes[0], codes[0].replace("-", "")):
        assert secret.encode() not in kept
    assert totp.byte_secret() not in kept
    assert (closed.data_dir / "accounts.key").stat().st_mode & 0o077 == 0


@pytest.mark.feature("S1")
def test_an_administrator_resets_a_lost_factor(closed: Any, clock: Any) -> None:
    """Vera lost phone and codes; Ada takes the factor away; the password is enough again."""
    with_factor(closed, signed_in(closed, "Vera"), clock)
    ada = signed_in(closed, "Ada")
    assert ada.post("/settings/remove-factor", data={"name": "Vera"}).status_code == 303
    assert signed_in(closed, "Vera").get("/metrics").status_code == 200
    assert ada.post("/settings/remove-factor", data={"name": "Vera"}).status_code == 404


@pytest.mark.feature("S1")
def test_an_invitation_makes_an_account_once(closed: Any, clock: Any) -> None:
    """The link is shown once, asks for a password, gives the role, and is over after use or a week."""
    ada = signed_in(closed, "Ada")
    page = ada.post("/settings/invite", data={"name": "Noor", "role": "editor"}).text
    path = re.search(r"/join/[\w-]+", page)
    assert path
    anybody = httpx.Client(base_url=closed.url, timeout=30)
    shown = anybody.get(path[0])
    assert shown.status_code == 200 and "Noor" in shown.text
    differing = {"password": "a new password", "again": "another one"}
    assert anybody.post(path[0], data=differing).status_code == 400
    short = {"password": "short", "again": "short"}
    assert anybody.post(path[0], data=short).status_code == 400
    both = {"password": "a new password", "again": "a new password"}
    assert anybody.post(path[0], data=both).headers["location"] == "/login"
    assert signed_in(closed, "Noor", "a new password").get("/metrics").status_code == 200
    assert anybody.get(path[0]).status_code == 404
    assert anybody.post(path[0], data=both).status_code == 404
    late = closed.client.post("/api/mamimon/users/Late/link", json={"role": "viewer"}, auth=ADA).json()[
        "path"
    ]
    clock.advance(8 * 86_400)
    assert anybody.get(late).status_code == 404


@pytest.mark.feature("S1")
def test_a_reset_link_ends_every_session(closed: Any) -> None:
    """After a reset neither the old password nor an open session works; a second link voids the first."""
    vera = signed_in(closed, "Vera")
    first, second = (
        closed.client.post("/api/mamimon/users/Vera/link", json={}, auth=ADA).json()["path"] for _ in "ab"
    )
    both = {"password": "a new password", "again": "a new password"}
    assert closed.client.post(first, data=both).status_code == 404
    assert closed.client.post(second, data=both).status_code == 303
    assert vera.get("/metrics").status_code == 401
    assert closed.client.get("/metrics", auth=("Vera", PASSWORD)).status_code == 401
    assert signed_in(closed, "Vera", "a new password").get("/metrics").status_code == 200
    assert closed.client.post("/api/mamimon/users/Nobody/link", json={}, auth=ADA).status_code == 404


@pytest.mark.feature("S1")
def test_a_person_changes_the_password_and_ends_other_sessions(closed: Any) -> None:
    """The old password is asked for; this session stays, the others end."""
    here, there = signed_in(closed, "Vera"), signed_in(closed, "Vera")
    assert here.get("/account").text.count("Browser of Vera") == 2
    form = {"old": "wrong", "new": "a new password", "again": "a new password"}
    assert here.post("/account/password", data=form).status_code == 400
    assert here.post("/account/password", data={**form, "old": PASSWORD}).status_code == 303
    assert here.get("/metrics").status_code == 200
    assert there.get("/metrics").status_code == 401
    there = signed_in(closed, "Vera", "a new password")
    assert here.post("/account/end-others").status_code == 303
    assert there.get("/metrics").status_code == 401


@pytest.mark.feature("S1")
def test_roles_change_at_once_and_one_administrator_stays(closed: Any) -> None:
    """A new role holds for the open session; the last administrator cannot step down."""
    ada, vera = signed_in(closed, "Ada"), signed_in(closed, "Vera")
    assert vera.get("/settings").status_code == 403
    assert ada.post("/settings/set-role", data={"name": "Vera", "role": "admin"}).status_code == 303
    assert vera.get("/settings").status_code == 200
    assert vera.post("/settings/set-role", data={"name": "Ada", "role": "viewer"}).status_code == 303
    refused = vera.post("/settings/set-role", data={"name": "Vera", "role": "viewer"})
    assert refused.status_code == 409 and "last administrator" in refused.text


@pytest.mark.feature("S1")
def test_tokens_say_when_they_were_used(closed: Any, clock: Any) -> None:
    """Never, then the time of the last request, which outlives the process's memory."""
    body = {"name": "ci", "scope": "read"}
    token = closed.client.post("/api/mamimon/tokens", json=body, auth=ADA).json()["token"]
    (before,) = closed.client.get("/api/mamimon/tokens", auth=ADA).json()
    assert before["used_at"] is None
    used = clock.now()
    assert closed.client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    clock.advance(61)

    from tests.conftest import wait_until

    def known() -> bool:
        (after,) = closed.client.get("/api/mamimon/tokens", auth=ADA).json()
        return after["used_at"] == used

    wait_until(known, what="the time of use")


@pytest.mark.feature("S2")
def test_the_audit_log_is_append_only_and_exported(closed: Any) -> None:
    """Every change of accounts is in the CSV; the database itself refuses to rewrite an entry."""
    ada = signed_in(closed, "Ada")
    ada.post("/settings/add-token", data={"name": "=HYPERLINK()", "scope": "read"})
    answer = ada.get("/settings/audit.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert {"user.add admin", "user.add viewer", "token.add read"} <= {row["action"] for row in rows}
    assert "'=HYPERLINK()" in {row["target"] for row in rows}
    with sqlite3.connect(closed.data_dir / "mamimon.db") as raw:
        for change in ("DELETE FROM audit", "UPDATE audit SET actor = 'somebody else'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(change)


@pytest.mark.feature("S1")
def test_who_holds_the_data_directory_gets_back_in(tmp_path: Path) -> None:
    """Roles, links and lost factors from the terminal, with no server running."""

    def users(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mamimon", "users", *arguments, "--data-dir", str(tmp_path / "data")],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert users("add", "Ada", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n").returncode == 0
    invited = users("link", "Noor", "--role", "viewer")
    assert re.fullmatch(r"/join/[\w-]{40,}\n", invited.stdout), invited.stderr
    assert re.fullmatch(r"/join/[\w-]{40,}\n", users("link", "Ada").stdout)
    last = users("role", "Ada", "viewer")
    assert last.returncode == 1 and "last administrator" in last.stderr
    none = users("drop-factor", "Ada")
    assert none.returncode == 1 and "no second factor" in none.stderr
    assert users("list").stdout.split() == ["Ada", "admin"]
