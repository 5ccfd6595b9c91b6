"""Asking a target for its exposition: one client a job, bounded in time and bytes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import mamimon
from mamimon.http import decompress
from mamimon.metrics.scrape.config import Http, Job, Tls
from mamimon.metrics.scrape.discovery import Target

if TYPE_CHECKING:
    import httpx

_ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


class FetchError(Exception):
    """The target did not answer with an exposition; `str()` is what the targets page shows."""


class Fetcher:
    """One job's HTTP client; made on first use, because importing httpx costs memory."""

    def __init__(self, job: Job, limit_bytes: int) -> None:
        self._job = job
        self._limit = min(job.limits.body_size_limit or limit_bytes, limit_bytes)
        self._client: httpx.AsyncClient | None = None

    async def fetch(self, target: Target) -> tuple[bytes, str]:
        """The decoded body and its content type. Raises `FetchError`."""
        import httpx

        client = self._client or self._open()
        headers = _authorization(self._job.http) | {
            "Accept": _ACCEPT,
            "Accept-Encoding": "gzip",
            "User-Agent": f"mamimon/{mamimon.__version__}",
            "X-Prometheus-Scrape-Timeout-Seconds": f"{target.timeout_s:g}",
        }
        try:
            async with client.stream("GET", target.url, headers=headers, timeout=target.timeout_s) as answer:
                if answer.status_code != 200:
                    raise FetchError(
                        f"server returned HTTP status {answer.status_code} {answer.reason_phrase}"
                    )
                body = await self._read(answer)
                encoding = answer.headers.get("content-encoding", "")
                return decompress(body, encoding, self._limit), answer.headers.get("content-type", "")
        except httpx.HTTPError as error:
            raise FetchError(f"{target.url}: {_reason(error)}") from None
        except (OSError, ssl.SSLError) as error:
            raise FetchError(f"{target.url}: {error}") from None

    async def _read(self, answer: httpx.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in answer.aiter_raw():
            size += len(part)
            if size > self._limit:
                raise FetchError(f"body size limit exceeded ({self._limit} bytes)")
            parts.append(part)
        return b"".join(parts)

    def _open(self) -> httpx.AsyncClient:
        import httpx

        http = self._job.http
        self._client = httpx.AsyncClient(
            verify=_tls(http.tls),
            proxy=http.proxy_url or None,
            follow_redirects=http.follow_redirects,
            max_redirects=10,
            headers=http.headers,
            trust_env=False,
            limits=httpx.Limits(max_connections=1000, max_keepalive_connections=200),
        )
        return self._client

    async def close(self) -> None:
        """Drop the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "context deadline exceeded"
    if isinstance(error, httpx.ConnectError):
        return f"connection refused or unreachable ({error})"
    return str(error) or type(error).__name__


def _tls(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context


def _authorization(http: Http) -> dict[str, str]:
    """The Authorization header; files are read each time, so a rotated secret is picked up."""
    if http.username:
        from base64 import b64encode

        password = _secret(http.password, http.password_file)
        return {"Authorization": "Basic " + b64encode(f"{http.username}:{password}".encode()).decode()}
    if http.authorization_type:
        return {
            "Authorization": f"{http.authorization_type} {_secret(http.credentials, http.credentials_file)}"
        }
    return {}


def _secret(inline: str, file: str) -> str:
    if not file:
        return inline
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FetchError(f"{file} cannot be read: {error.strerror}") from None
