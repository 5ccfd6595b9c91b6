"""HTTP as an `http_config` says: TLS, credentials that may rotate in files, proxies, headers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import mamimon
from mamimon.clock import Clock
from mamimon.http import decompress
from mamimon.metrics.scrape.job import Http, OAuth2, Tls
from mamimon.problems import Problem

if TYPE_CHECKING:
    import httpx

_MAX_TOKEN_BYTES = 65_536
_MAX_SECRET_BYTES = 65_536
_LARGE = 65_536
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


class FetchError(Exception):
    """No usable answer; `str()` is what the targets page shows."""


class Client:
    """One `http_config` at work; opened on first use, because importing httpx costs memory."""

    def __init__(self, http: Http, clock: Clock) -> None:
        self._http = http
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._files = [one for one in (http.tls.ca_file, http.tls.cert_file, http.tls.key_file) if one]
        self._state: list[int] = []
        self._retired: list[httpx.AsyncClient] = []
        self._token = _Token(http.oauth2, clock) if http.oauth2 else None

    async def get(
        self, url: str, *, headers: dict[str, str], timeout_s: float, limit_bytes: int
    ) -> tuple[bytes, str]:
        """The decoded body and its content type. Raises `FetchError` for anything but a 200."""
        try:
            async with self._asked("GET", url, headers, timeout_s) as answer:
                if answer.status_code != 200:
                    raise FetchError(
                        f"server returned HTTP status {answer.status_code} {answer.reason_phrase}"
                    )
                body = await _read(answer, limit_bytes)
                encoding = answer.headers.get("content-encoding", "")
                if len(body) > _LARGE and encoding:
                    body = await asyncio.to_thread(decompress, body, encoding, limit_bytes)
                else:
                    body = decompress(body, encoding, limit_bytes)
                return body, answer.headers.get("content-type", "")
        except Problem as problem:
            if problem.status == 413:
                raise FetchError(f"body size limit exceeded ({limit_bytes} bytes)") from None
            raise FetchError(f"{url}: {problem.detail}") from None

    async def post(
        self, url: str, body: bytes, *, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, str, str]:
        """Status, the beginning of the answer and its Retry-After. Raises `FetchError` without an answer."""
        async with self._asked("POST", url, headers, timeout_s, body) as answer:
            said = b""
            async for part in answer.aiter_bytes():
                said += part
                if len(said) >= _MAX_TOKEN_BYTES:
                    break
            after = answer.headers.get("retry-after", "")
            return answer.status_code, said[:500].decode("utf-8", "replace").strip(), after

    @asynccontextmanager
    async def _asked(
        self, method: str, url: str, headers: dict[str, str], timeout_s: float, content: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to come; what goes wrong with it in here is a `FetchError`."""
        import httpx

        tls = self._http.tls
        extensions = {"sni_hostname": tls.server_name} if tls.server_name else {}
        try:
            await self._follow_files()
            client = self._client(httpx.URL(url).host)
            own = await self._headers()
            async with client.stream(
                method, url, content=content, headers=own | headers, timeout=timeout_s, extensions=extensions
            ) as answer:
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(f"{url}: {_reason(error)}") from None
        except (OSError, ssl.SSLError, ValueError) as error:
            raise FetchError(f"{url}: {error}") from None

    async def _headers(self) -> dict[str, str]:
        http = self._http
        out = {}
        for name, one in http.headers.items():
            values = [*one.values, *(await asyncio.gather(*(_secret("", file) for file in one.files)))]
            out[name] = ", ".join(values)
        if http.username or http.username_file:
            from base64 import b64encode

            username = await _secret(http.username, http.username_file)
            password = await _secret(http.password, http.password_file)
            out["Authorization"] = "Basic " + b64encode(f"{username}:{password}".encode()).decode()
        elif http.authorization_type:
            secret = await _secret(http.credentials, http.credentials_file)
            out["Authorization"] = f"{http.authorization_type} {secret}"
        elif self._token is not None:
            out["Authorization"] = f"Bearer {await self._token.get()}"
        return out

    async def _follow_files(self) -> None:
        """Start anew where a certificate was renewed on the disk."""
        if not self._files:
            return
        state = await asyncio.to_thread(lambda: [Path(one).stat().st_mtime_ns for one in self._files])
        if state == self._state:
            return
        self._state = state
        # Requests under way end on the old connections.
        gone, self._retired, self._clients = self._retired, list(self._clients.values()), {}
        for client in gone:
            await client.aclose()

    def _client(self, host: str) -> httpx.AsyncClient:
        direct = bypasses(host, self._http.no_proxy)
        found = self._clients.get(direct)
        if found is None:
            found = self._clients[direct] = _open(self._http, proxied=not direct)
        return found

    async def close(self) -> None:
        """Drop the connections."""
        for client in (*self._clients.values(), *self._retired):
            await client.aclose()
        self._clients, self._retired = {}, []


class _Token:
    """An access token of the client credentials grant (RFC 6749, 4.4), asked for again before it expires."""

    def __init__(self, settings: OAuth2, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._value = ""
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> str:
        async with self._turn:
            if not self._value or self._clock.monotonic() >= self._until:
                await self._ask()
            return self._value

    async def _ask(self) -> None:
        import httpx

        own = self._settings
        secret = await _secret(own.client_secret, own.client_secret_file)
        form = {"grant_type": "client_credentials", **own.endpoint_params}
        if own.scopes:
            form["scope"] = " ".join(own.scopes)
        http = Http(tls=own.tls, proxy_url=own.proxy_url)
        async with _open(http, proxied=True) as client:
            try:
                answer = await client.post(
                    own.token_url, data=form, auth=httpx.BasicAuth(own.client_id, secret), timeout=10.0
                )
            except httpx.HTTPError as error:
                raise FetchError(f"oauth2: {own.token_url}: {_reason(error)}") from None
        if answer.status_code != 200 or len(answer.content) > _MAX_TOKEN_BYTES:
            raise FetchError(f"oauth2: {own.token_url} answered {answer.status_code}")
        try:
            found = msgspec.json.decode(answer.content, type=_Answer)
        except msgspec.MsgspecError:
            raise FetchError(f"oauth2: {own.token_url} did not answer with a token") from None
        self._value = found.access_token
        # Ten seconds early: it must still hold when the target reads it.
        self._until = self._clock.monotonic() + max(0.0, found.expires_in - 10.0)


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float = 300.0


def bypasses(host: str, no_proxy: tuple[str, ...]) -> bool:
    """Whether a host is asked directly: by name, by a domain and its names, by address or network, or `*`."""
    host = host.strip("[]").lower()
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        for one in no_proxy:
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(one, strict=False):
                    return True
    for one in no_proxy:
        name = one.lower().partition(":")[0]
        if name in ("*", host) or (name and host.endswith("." + name.lstrip("."))):
            return True
    return False


def _open(http: Http, *, proxied: bool) -> httpx.AsyncClient:
    import httpx

    proxy = None
    if http.proxy_url and proxied:
        proxy = httpx.Proxy(http.proxy_url, headers=http.proxy_headers or None)
    return httpx.AsyncClient(
        verify=_tls(http.tls),
        proxy=proxy,
        follow_redirects=http.follow_redirects,
        max_redirects=10,
        headers={"User-Agent": f"mamimon/{mamimon.__version__}"},
        trust_env=http.proxy_from_environment,
        limits=httpx.Limits(max_connections=1000, max_keepalive_connections=200),
    )


async def _read(answer: httpx.Response, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > limit:
            raise FetchError(f"body size limit exceeded ({limit} bytes)")
        parts.append(part)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "context deadline exceeded"
    if isinstance(error, httpx.ConnectError):
        return f"connection refused or unreachable ({error})"
    return str(error) or type(error).__name__


@lru_cache(maxsize=1)
def _usual() -> ssl.SSLContext:
    """The system's authorities; reading them takes 20 ms."""
    return ssl.create_default_context()


def _tls(tls: Tls) -> ssl.SSLContext:
    if tls == Tls(server_name=tls.server_name):
        return _usual()
    context = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.ca or None)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.min_version:
        context.minimum_version = _VERSIONS[tls.min_version]
    if tls.max_version:
        context.maximum_version = _VERSIONS[tls.max_version]
    if tls.cert or tls.cert_file:
        _load_certificate(context, tls)
    return context


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """OpenSSL takes a certificate from files only, so inline ones pass through a private folder."""
    with tempfile.TemporaryDirectory(prefix="mamimon-tls-") as folder:
        cert, key = tls.cert_file, tls.key_file
        if tls.cert:
            cert = str(Path(folder) / "cert.pem")
            Path(cert).write_text(tls.cert, encoding="utf-8")
        if tls.key:
            key = str(Path(folder) / "key.pem")
            Path(key).touch(0o600)
            Path(key).write_text(tls.key, encoding="utf-8")
        context.load_cert_chain(cert, key or None)


async def _secret(inline: str, file: str) -> str:
    if not file:
        return inline
    return await asyncio.to_thread(_from_file, file)


def _from_file(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(_MAX_SECRET_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FetchError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
