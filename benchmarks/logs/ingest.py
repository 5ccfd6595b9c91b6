"""The Elasticsearch door under load: python benchmarks/logs/ingest.py [lines a second] [seconds].

Starts `mamimon serve` over an empty folder and posts `_bulk` bodies of 500 documents, encoded before,
over eight connections of this process, so client and server share the machine. First as fast as it is
answered, then at the wanted rate; an acknowledgement's time counts from when its body was due.
At the end every acknowledged line is counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from lines import lines
from ten_million import disk, serving, share, verdict

RATE, SECONDS = 50_000, 20.0
DOCUMENTS, CONNECTIONS, BODIES = 500, 8, 400


class Load:
    """What was sent and answered."""

    def __init__(self, host: str, port: int, bodies: list[bytes]) -> None:
        self.host, self.port, self.bodies = host, port, bodies
        self.acknowledged = self.refused = self.sent = 0
        self.took: list[float] = []

    async def run(self, seconds: float, rate: float) -> float:
        """Post for some seconds; a rate of 0 is as fast as it goes. Returns acknowledged lines a second."""
        before, self.took = self.acknowledged, []
        began = time.perf_counter()
        await asyncio.gather(*(self._connection(i, began, seconds, rate) for i in range(CONNECTIONS)))
        return (self.acknowledged - before) / (time.perf_counter() - began)

    async def _connection(self, number: int, began: float, seconds: float, rate: float) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 20)
        gap = DOCUMENTS / rate if rate else 0.0
        turn = number
        while True:
            due = began + turn * gap if rate else time.perf_counter()
            if due >= began + seconds:
                break
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            turn += CONNECTIONS
            writer.write(self.bodies[self.sent % len(self.bodies)])
            self.sent += 1
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            answer = await reader.readexactly(length)
            self.took.append(time.perf_counter() - due)
            if head.startswith(b"HTTP/1.1 200") and b'"errors":false' in answer[:100]:
                self.acknowledged += DOCUMENTS
            else:
                self.refused += 1
        writer.close()


def bodies(host: str) -> tuple[list[bytes], float]:
    """Whole requests, and the mean size of a document."""
    now = time.time()
    made = list(lines(DOCUMENTS * BODIES, now - 600, now))
    action = b'{"create":{"_index":"logs-shop"}}\n'
    requests: list[bytes] = []
    for start in range(0, len(made), DOCUMENTS):
        body = b"".join(action + line + b"\n" for line in made[start : start + DOCUMENTS])
        head = f"POST /es/_bulk HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-ndjson\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return requests, sum(map(len, made)) / len(made)


def main() -> int:
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else RATE
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    with tempfile.TemporaryDirectory(prefix="mamimon-ingest-") as name:
        folder = Path(name)
        with serving(folder) as (client, process):
            host, port = client.base_url.host, client.base_url.port
            assert port is not None
            made, size = bodies(f"{host}:{port}")
            load = Load(host, port, made)
            asyncio.run(load.run(2.0, 0))
            flood = asyncio.run(load.run(seconds / 2, 0))
            flooded = share(load.took, 0.99) * 1000
            reached = asyncio.run(load.run(seconds, rate))
            p50, p99, worst = (share(load.took, part) * 1000 for part in (0.5, 0.99, 1.0))
            memory = process.memory_info().rss / 1e6
            times = process.cpu_times()
            counted = client.get("/es/logs-shop/_count").json()["count"]
        stored = disk(folder) / (counted * size)
    lost = load.acknowledged - counted
    rows = [
        ("lines/s as fast as answered", flood, 0, f"p99 {flooded:.0f} ms"),
        (f"lines/s at a rate of {rate:,.0f}", reached, 0.98 * rate, verdict(reached, 0.98 * rate)),
        ("acknowledged after ms, p50", p50, 0, ""),
        ("acknowledged after ms, p99", p99, 250, verdict(250, p99)),
        ("acknowledged after ms, worst", worst, 0, ""),
        ("resident MB", memory, 400, verdict(400, memory)),
        ("lost lines", lost, 0, "pass" if lost == 0 else "FAIL"),
        ("refused bodies", load.refused, 0, "pass" if load.refused == 0 else "FAIL"),
        ("disk / raw JSON", stored, 0, "before sealing"),
    ]  # fmt: skip
    for text, value, bar, note in rows:
        print(f"{text:34} {value:12,.3f} {bar or '':>10} {note}")
    print(f"{'server CPU µs a line':34} {(times.user + times.system) / counted * 1e6:12.3f}")
    print("load average:", *(f"{one:.1f}" for one in os.getloadavg()))
    return 1 if any(note == "FAIL" for *_, note in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
