"""What live dashboards cost: `python -m benchmarks.dashboards.viewers [VIEWERS] [SECONDS]`.

A server with a few hundred series; viewers (30) keep API Performance and a board of 20 charts open and ask as
the page does, every refresh. Prints the share of one core that the server took, beside that without viewers.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.conftest import Process

PROMETHEUS = "global: {scrape_interval: 1s}\n"
REFRESH_S = 5
CHARTS = [
    {
        "title": f"Chart {i}",
        "kind": "timeseries",
        "queries": [{"expr": f"rate(http_requests_total[{i + 1}m])"}],
    }
    for i in range(20)
]


def main() -> None:
    """Measure and print."""
    viewers = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prometheus.yml").write_text(PROMETHEUS, encoding="utf-8")
        server = Process(Path(folder) / "data", "--prometheus-config", f"{folder}/prometheus.yml")
        try:
            with httpx.Client(base_url=server.url) as client:
                body = {"title": "Charts", "refresh_s": REFRESH_S, "panels": CHARTS}
                client.put("/api/mamimon/dashboards/charts", json=body).raise_for_status()
            time.sleep(5)
            idle = cost(server.popen.pid, seconds, None)
            watched = cost(server.popen.pid, seconds, (server.url, viewers))
        finally:
            server.terminate()
    print(f"idle {idle:.1%} of a core, with {viewers} viewers {watched:.1%}: {watched - idle:.1%} for them")


def cost(pid: int, seconds: float, load: tuple[str, int] | None) -> float:
    """The share of one core that a process takes for some seconds."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    began = time.monotonic()
    if load is None:
        time.sleep(seconds)
    else:
        asyncio.run(watch(*load, seconds))
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / (time.monotonic() - began)


async def watch(url: str, viewers: int, seconds: float) -> None:
    """Half of the viewers on each dashboard, spread over the refresh as people are."""
    pages = [("api-performance", 15, 10), ("charts", REFRESH_S, 20)]

    async def one(number: int, client: httpx.AsyncClient) -> None:
        slug, every, panels = pages[number % len(pages)]
        keys = ",".join(map(str, range(panels)))
        await asyncio.sleep(every * number / viewers)
        while True:
            answer = await client.get(f"/dashboards/{slug}/live", params={"since": "1h", "keys": keys})
            answer.raise_for_status()
            await asyncio.sleep(every)

    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=viewers)) as client:
        tasks = [asyncio.create_task(one(number, client)) for number in range(viewers)]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


if __name__ == "__main__":
    main()
