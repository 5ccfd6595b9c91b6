"""How targets are asked: credentials, tokens, headers, proxies, TLS; discovery by DNS and HTTP."""

from __future__ import annotations

import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import dns.message
import dns.rrset
import pytest

from mamimon.clock import SystemClock
from mamimon.metrics.scrape.client import Client, FetchError, bypasses
from mamimon.metrics.scrape.job import DnsDiscovery, Header, Http, OAuth2, Tls
from mamimon.metrics.scrape.names import resolve
from tests.conftest import wait_until
from tests.metrics.conftest import App, Body, Scraped


class Web:
    """An HTTP server that notes what it was asked and answers with `answers[path]`."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: dict[str, tuple[str, bytes]] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                outer.seen.append((self.path, dict(self.headers), self.rfile.read(size)))
                kind, body = outer.answers.get(self.path, ("text/plain", b"a 1\n"))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.stop()


async def get(settings: Http, url: str, times: int = 1) -> bytes:
    client = Client(settings, SystemClock())
    try:
        for _ in range(times):
            body, _ = await client.get(url, headers={}, timeout_s=5, limit_bytes=1000)
        return body
    finally:
        await client.close()


@pytest.mark.feature("M1")
async def test_credentials_and_headers_are_sent(web: Web, tmp_path: Path) -> None:
    """Basic credentials, tokens and headers come from the file or from files read at each scrape."""
    secret = tmp_path / "secret"
    secret.write_text("pass\n")
    url = f"http://{web.address}/metrics"
    await get(Http(username="ada", password_file=str(secret)), url)
    basic = web.seen[-1][1]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(basic) == b"ada:pass"
    await get(Http(authorization_type="Token", credentials_file=str(secret)), url)
    assert web.seen[-1][1]["Authorization"] == "Token pass"
    headers = {"X-Scope": Header(("a", "b"), (str(secret),))}
    await get(Http(headers=headers), url)
    assert web.seen[-1][1]["X-Scope"] == "a, b, pass"
    with pytest.raises(FetchError, match="gone cannot be read"):
        await get(Http(username="ada", password_file=str(tmp_path / "gone")), url)


@pytest.mark.feature("M1")
async def test_an_oauth2_token_is_fetched_once_and_used(web: Web) -> None:
    """Client credentials are changed for a token with the scopes asked for, which serves until it expires."""
    web.answers["/token"] = ("application/json", b'{"access_token": "t0ken", "expires_in": 3600}')
    oauth2 = OAuth2(
        client_id="me",
        client_secret="shh",
        token_url=f"http://{web.address}/token",
        scopes=("read", "more"),
        endpoint_params={"audience": "x"},
    )
    await get(Http(oauth2=oauth2), f"http://{web.address}/metrics", times=3)
    asked = [body for path, _, body in web.seen if path == "/token"]
    assert asked == [b"grant_type=client_credentials&audience=x&scope=read+more"]
    assert [h["Authorization"] for path, h, _ in web.seen if path == "/metrics"] == ["Bearer t0ken"] * 3
    web.answers["/token"] = ("application/json", b"{}")
    with pytest.raises(FetchError, match="did not answer with a token"):
        await get(Http(oauth2=oauth2), f"http://{web.address}/metrics")


@pytest.mark.feature("M1")
async def test_a_proxy_is_used_unless_the_host_is_excepted(web: Web) -> None:
    """A proxied scrape asks the proxy for the whole URL; no_proxy hosts are asked directly."""
    proxied = Http(proxy_url=f"http://{web.address}")
    await get(proxied, "http://target.test:9100/metrics")
    assert web.seen[-1][0] == "http://target.test:9100/metrics"
    await get(Http(proxy_url="http://127.0.0.1:1", no_proxy=("127.0.0.0/8",)), f"http://{web.address}/x")
    assert web.seen[-1][0] == "/x"
    assert bypasses("a.example.org", ("example.org",))
    assert bypasses("a.example.org", (".example.org",))
    assert bypasses("anything", ("*",))
    assert bypasses("10.1.2.3", ("10.0.0.0/8",))
    assert not bypasses("badexample.org", ("example.org",))


@pytest.mark.feature("M1")
async def test_tls_is_verified_by_name_and_authority(tmp_path: Path) -> None:
    """An unknown authority is refused; ca_file, inline ca or no verification pass; a renewed file counts."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    _certificate(cert, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    secure = Web(context)
    url = f"https://{secure.address}/metrics"
    try:
        with pytest.raises(FetchError, match="certificate verify failed"):
            await get(Http(), url)
        known = Tls(ca_file=str(cert), server_name="target.test")
        assert await get(Http(tls=known), url) == b"a 1\n"
        inline = Tls(
            ca=cert.read_text(), cert=cert.read_text(), key=key.read_text(), server_name="target.test"
        )
        assert await get(Http(tls=inline), url) == b"a 1\n"
        with pytest.raises(FetchError, match="certificate verify failed"):
            await get(Http(tls=Tls(ca_file=str(cert))), url)
        assert await get(Http(tls=Tls(insecure_skip_verify=True)), url) == b"a 1\n"
        client = Client(Http(tls=known), SystemClock())
        other, other_key = tmp_path / "other.pem", tmp_path / "other-key.pem"
        _certificate(other, other_key)
        good = cert.read_text()
        cert.write_text(other.read_text())
        with pytest.raises(FetchError, match="certificate verify failed"):
            await client.get(url, headers={}, timeout_s=5, limit_bytes=1000)
        cert.write_text(good)
        os.utime(cert, (1, 1))
        assert (await client.get(url, headers={}, timeout_s=5, limit_bytes=1000))[0] == b"a 1\n"
        await client.close()
    finally:
        secure.stop()


def _certificate(cert: Path, key: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=target.test"
    command += f" -addext subjectAltName=DNS:target.test -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)


class Names:
    """A DNS server on loopback with fixed answers."""

    RECORDS: ClassVar = {
        ("_metrics._tcp.example.test.", "SRV"): ["0 0 9100 one.example.test.", "0 0 9200 two.example.test."],
        ("example.test.", "MX"): ["10 mail.example.test."],
        ("example.test.", "NS"): ["ns.example.test."],
    }

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                raw, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            asked = dns.message.from_wire(raw)
            question = asked.question[0]
            answer = dns.message.make_response(asked)
            kind = dns.rdatatype.to_text(question.rdtype)
            found = self.RECORDS.get((question.name.to_text(), kind))
            if found:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), sender)

    def stop(self) -> None:
        self._socket.close()


@pytest.fixture
def names() -> Iterator[Names]:
    one = Names()
    yield one
    one.stop()


@pytest.mark.feature("M1")
async def test_dns_records_become_targets(names: Names) -> None:
    """SRV records bring host and port, MX and NS the port of the config; a name that is not is an error."""
    servers = [names.address]
    srv = DnsDiscovery(["_metrics._tcp.example.test", "gone.test"], "SRV", 0)
    (found,), (error,) = await resolve(srv, servers)
    assert found.targets == ["one.example.test:9100", "two.example.test:9200"]
    assert found.labels == {"__meta_dns_name": "_metrics._tcp.example.test"}
    assert found.own["one.example.test:9100"] == {
        "__meta_dns_srv_record_target": "one.example.test.",
        "__meta_dns_srv_record_port": "9100",
    }
    assert "gone.test" in error
    for kind, target in (("MX", "mail.example.test:9100"), ("NS", "ns.example.test:9100")):
        (found,), errors = await resolve(DnsDiscovery(["example.test"], kind, 9100), servers)
        assert (found.targets, errors) == ([target], [])
    (found,), errors = await resolve(DnsDiscovery(["localhost"], "A", 9100), [])
    assert (found.targets, errors) == (["127.0.0.1:9100"], [])


@pytest.mark.feature("M1")
def test_groups_are_asked_of_a_web_server(
    start: Callable[..., Any], clock: Any, app: App, web: Web, tmp_path: Path
) -> None:
    """http_sd gives targets with labels; when it fails the last answer stays in force."""
    groups = [{"targets": [app.address], "labels": {"team": "a"}}]
    web.answers["/sd"] = ("application/json", json.dumps(groups).encode())
    yml = tmp_path / "prometheus.yml"
    yml.write_text(
        "global: {scrape_interval: 15s}\n"
        "scrape_configs:\n  - job_name: app\n"
        f"    http_sd_configs: [{{url: 'http://{web.address}/sd', refresh_interval: 30s}}]\n"
    )
    one = Scraped(start(metrics={"prometheus_config": str(yml)}), clock)
    app.requests.labels("GET", "200").inc()
    one.tick()
    assert one.query('http_requests_total{job="app"}')[0]["metric"]["team"] == "a"
    web.answers["/sd"] = ("text/html", b"<h1>no</h1>")
    asked = len(web.seen)
    one.tick(31)
    wait_until(lambda: len(web.seen) > asked, what="another look")
    one.tick()
    assert one.value("up{job='app'}") == 1


@pytest.mark.feature("M1")
def test_a_changed_file_is_read_again(
    scraped: Callable[..., Scraped], body: Body, tmp_path: Path, clock: Any
) -> None:
    """Saving prometheus.yml is enough: the new job is scraped; a broken file changes nothing and is shown."""
    one = scraped(body.address)
    one.tick()
    yml = tmp_path / "prometheus.yml"
    before = yml.read_text()
    yml.write_text(before.replace("job_name: app", "job_name: renamed"))
    clock.advance(5)
    wait_until(lambda: one.target("renamed"), what="the renamed job")
    yml.write_text("scrape_configs: [{}]\n")
    clock.advance(5)
    info = lambda: one.server.client.get("/api/v1/status/runtimeinfo").json()["data"]  # noqa: E731
    wait_until(lambda: info()["reloadConfigSuccess"] is False, what="the failed reload")
    assert one.target("renamed")


@pytest.mark.feature("M1")
def test_too_many_targets_are_refused_by_name(scraped: Callable[..., Scraped], body: Body, app: App) -> None:
    """Over target_limit every target of the job is DOWN and says so, and none is asked."""
    one = scraped(body.address, app.address, extra="    target_limit: 1\n")
    target = one.tick()
    assert target["health"] == "down"
    assert "target_limit exceeded (number of targets: 2, limit: 1)" in target["lastError"]
    assert body.headers == []
