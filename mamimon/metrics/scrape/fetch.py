"""Asking a target for its exposition: one client a job, bounded in time and bytes."""

from __future__ import annotations

from mamimon.clock import Clock
from mamimon.metrics.scrape.client import Client, FetchError
from mamimon.metrics.scrape.discovery import Target
from mamimon.metrics.scrape.job import Job

__all__ = ["FetchError", "Fetcher"]


class Fetcher:
    """One job's way to its targets."""

    def __init__(self, job: Job, limit_bytes: int, clock: Clock) -> None:
        self._limit = min(job.limits.body_size_limit or limit_bytes, limit_bytes)
        self._client = Client(job.http, clock)
        self._headers = {
            "Accept": job.formats.accept(),
            "Accept-Encoding": "gzip" if job.formats.compression else "identity",
        }

    async def fetch(self, target: Target) -> tuple[bytes, str]:
        """The decoded body and its content type. Raises `FetchError`."""
        timeout = target.timeout_s
        headers = {**self._headers, "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout:g}"}
        return await self._client.get(target.url, headers=headers, timeout_s=timeout, limit_bytes=self._limit)

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.close()
