"""A gentle load on the service until it is stopped: `python -m chat_service.load URL [REQUESTS_PER_S]`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time

import httpx

_CRASH_EVERY_S = 90.0


async def one(client: httpx.AsyncClient) -> None:
    """One request of one of twenty people."""
    user, chat = f"user{random.randint(1, 20)}", f"c{random.randint(1, 40)}"
    method, path = random.choices(
        [
            ("POST", f"/api/chat/{chat}?user={user}"),
            ("GET", f"/api/history/{chat}"),
            ("POST", f"/api/image?user={user}"),
            ("POST", f"/api/login?user={user}"),
            ("POST", f"/api/upload?user={user}"),
            ("GET", "/api/models"),
        ],
        weights=[10, 5, 2, 1, 1, 2],
    )[0]
    # The service crashes on purpose; who asks then is refused, like everybody.
    with contextlib.suppress(httpx.TransportError):
        await client.request(method, path)


async def run(url: str, rate: float) -> None:
    """Send `rate` requests a second, and let the service crash now and then."""
    async with httpx.AsyncClient(base_url=url, timeout=10, limits=httpx.Limits(max_connections=30)) as client:
        crash_at = time.monotonic() + 40
        running: set[asyncio.Task[None]] = set()
        while True:
            if len(running) < 60:
                task = asyncio.create_task(one(client))
                running.add(task)
                task.add_done_callback(running.discard)
            if time.monotonic() > crash_at and not os.environ.get("CHAT_FAULT"):
                crash_at = time.monotonic() + _CRASH_EVERY_S
                with contextlib.suppress(httpx.TransportError):
                    await client.post("/api/crash")
            await asyncio.sleep(random.expovariate(rate))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 12.0))
