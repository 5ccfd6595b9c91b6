"""Mail by real SMTP servers: STARTTLS, implicit TLS, authentication, and what goes wrong with them."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.alerts.conftest import Mailbox
from tests.conftest import absent, wait_until

PASSWORD = "the mail server's own password"


def certificate(folder: Path) -> ssl.SSLContext:
    """A self-signed certificate for 127.0.0.1 and localhost in `folder/cert.pem`."""
    if shutil.which("openssl") is None:
        absent("openssl")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-days", "10"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    done = subprocess.run([*command, *names, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def check_login(_: Any, __: Any, ___: Any, mechanism: str, data: Any) -> AuthResult:
    """One account: `mamimon` with `PASSWORD`."""
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"mamimon", PASSWORD.encode()), handled=False)


@pytest.fixture
def smtp(mailbox: Mailbox, tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Start a server, `smtp("starttls")`, `"ssl"` or `"none"`; returns mamimon's settings for it."""
    running: list[Controller] = []

    def run(security: str) -> dict[str, Any]:
        more: dict[str, Any] = {"authenticator": check_login, "auth_required": True}
        if security == "starttls":
            more |= {"tls_context": certificate(tmp_path), "require_starttls": True}
        else:
            more |= {"auth_require_tls": False}
        if security == "ssl":
            more |= {"ssl_context": certificate(tmp_path)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        one = Controller(mailbox, hostname="127.0.0.1", port=port, **more)
        one.start()
        running.append(one)
        return {
            "smtp_server": "127.0.0.1",
            "smtp_port": port,
            "smtp_security": "none" if security == "none" else security,
            "smtp_username": "mamimon",
            "smtp_password": PASSWORD,
            "smtp_from": "mamimon@example.com",
            "email_to": "efe@example.com",
        }

    yield run
    for one in running:
        one.stop()


def press_test(
    process: Callable[..., Any], settings: dict[str, Any], **env: str
) -> tuple[Any, dict[str, Any]]:
    """Start mamimon with mail settings and press "send test": the server, and what it says of the mail."""
    named = {f"MAMIMON_ALERTS__{key.upper()}": str(value) for key, value in settings.items()}
    server = process(env={**named, **env})
    (found,) = httpx.post(f"{server.url}/api/mamimon/alerts/test", json={}, timeout=60).json()
    return server, found


@pytest.mark.feature("A3")
@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
def test_mail_by_an_account_over_each_kind_of_connection(
    process: Callable[..., Any],
    smtp: Callable[..., dict[str, Any]],
    mailbox: Mailbox,
    tmp_path: Path,
    security: str,
) -> None:
    """With the right password and a certificate that is vouched for, the mail arrives."""
    settings = smtp(security)
    _, found = press_test(process, settings, SSL_CERT_FILE=str(tmp_path / "cert.pem"))
    assert found["ok"], found
    wait_until(lambda: mailbox.to("efe@example.com"), what="the mail")


@pytest.mark.feature("A3")
def test_a_certificate_nobody_vouches_for_is_not_trusted_with_the_password(
    process: Callable[..., Any], smtp: Callable[..., dict[str, Any]], mailbox: Mailbox
) -> None:
    """The test says that the certificate is the reason, and nothing was sent."""
    _, found = press_test(process, smtp("starttls"))
    assert not found["ok"]
    assert "certificate" in found["answer"].lower(), found
    assert mailbox.mails == []


@pytest.mark.feature("A3")
def test_a_server_without_starttls_gets_nothing_in_the_clear(
    process: Callable[..., Any], smtp: Callable[..., dict[str, Any]], mailbox: Mailbox
) -> None:
    """Asked to use STARTTLS with a server that has none, mamimon says so and sends nothing."""
    _, found = press_test(process, {**smtp("none"), "smtp_security": "starttls"})
    assert not found["ok"]
    assert "STARTTLS" in found["answer"], found
    assert mailbox.mails == []


@pytest.mark.feature("A3")
def test_a_wrong_password_is_named_and_never_shown(
    process: Callable[..., Any], smtp: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """The server's 535 is what people read; the password is in no answer, page, log or file."""
    server, found = press_test(process, {**smtp("none"), "smtp_password": "not-the-password"})
    assert not found["ok"]
    assert "535" in found["answer"], found
    pages = [httpx.get(f"{server.url}{path}").text for path in ("/settings/alerts", "/alerts", "/logs")]
    server.terminate()
    everything = "".join([found["answer"], *pages, *server.lines])
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert "not-the-password" not in everything
    assert b"not-the-password" not in files
