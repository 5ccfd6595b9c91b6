"""An application under load, with and without us side by side, and what that does to its answers.

    python -m tests.client.load app [URL SPOOL_DIR OPTIONS]     the application; prints its port
    python -m tests.client.load receiver JOURNAL [PORT]         a receiver; takes its modes from stdin

Both applications are real servers. Each pair of requests goes to the one and the other at the same moment of
the machine's mood, the first place taken in turns, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = 8
PAUSE_S = 0.02
WORK_S = 0.005

MODES = ("good", "busy", "full", "crawl", "garbage", "frozen", "killed")


class Program:
    """A process of this module; `say` writes a line to it and returns the line it answers."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.client.load", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())
        self.url = f"http://127.0.0.1:{self.port}"

    def _line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline()

    def say(self, text: str) -> str:
        assert self.popen.stdin is not None
        self.popen.stdin.write(text + "\n")
        self.popen.stdin.flush()
        return self._line()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.popen.send_signal(signal.SIGCONT)
        self.popen.send_signal(how)
        code = self.popen.wait(30)
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                stream.close()
        return code


def spoil(receiver: Program, mode: str) -> None:
    """Make the receiver misbehave."""
    if mode == "killed":
        receiver.end(signal.SIGKILL)
    elif mode == "frozen":
        receiver.say("good")
        receiver.popen.send_signal(signal.SIGSTOP)
    else:
        receiver.popen.send_signal(signal.SIGCONT)
        receiver.say(mode)


def measure(bare: Program, ours: Program, first: int, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of each request to both, sorted; requests are numbered from `first`."""
    return asyncio.run(_measure(bare.port, ours.port, first, seconds))


async def _measure(bare: int, ours: int, first: int, seconds: float) -> tuple[list[float], list[float]]:
    end = time.perf_counter() + seconds
    took: dict[int, list[float]] = {bare: [], ours: []}
    number = first

    async def work(place: int) -> None:
        nonlocal number
        roads = {port: await asyncio.open_connection("127.0.0.1", port) for port in (bare, ours)}
        await asyncio.sleep(PAUSE_S * place / WORKERS)
        turn = place
        while time.perf_counter() < end:
            mine, number = number, number + 1
            turn += 1
            for port in (bare, ours) if turn % 2 else (ours, bare):
                began = time.perf_counter()
                await _get(*roads[port], f"/{mine}")
                took[port].append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(PAUSE_S)
        for _, writer in roads.values():
            writer.close()

    await asyncio.gather(*(work(place) for place in range(WORKERS)))
    return sorted(took[bare]), sorted(took[ours])


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    assert await reader.readexactly(2) == b"ok"


def p99(took: list[float]) -> float:
    """The 99th percentile of sorted times."""
    return took[len(took) * 99 // 100]


def application(url: str, spool_dir: str, options: dict[str, Any]) -> Any:
    """Answers after a while, as if it had asked a database; with us it also logs and is counted."""
    log: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(WORK_S)
        if log is not None:
            log.info("stored", extra={"number": int(scope["path"][1:]), "shelf": "b"})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    if not url:
        return app
    import mamimon

    mamimon.init(url, service="load", console="off", spool_dir=spool_dir, **options)
    log = mamimon.get_logger("load")
    return mamimon.ASGIMiddleware(app)


def _serve(url: str = "", spool_dir: str = "", options: str = "{}") -> None:
    import uvicorn

    app = application(url, spool_dir, json.loads(options))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, log_level="error", lifespan="off"))

    async def main() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(main())


class _Journal(list[dict[str, Any]]):
    """What arrived, written down before it is acknowledged, so that a kill does not hide it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = Path(path)
        self._path.touch()

    def __iadd__(self, documents: Any) -> Any:
        names = [str(document.get("number", document.get("path"))) for document in documents]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n".join([*names, ""]))
        return self


def arrived(journal: Path) -> set[str]:
    """The number of each line of the application and the path of each line of a request."""
    return set(journal.read_text(encoding="utf-8").splitlines())


def _receive(journal: str, port: str = "0") -> None:
    from tests.client.receiver import Receiver

    one = Receiver(int(port))
    one.documents = _Journal(journal)
    print(one.port, flush=True)
    for line in sys.stdin:
        one.mode = line.strip()
        print("yes", flush=True)


if __name__ == "__main__":
    {"app": _serve, "receiver": _receive}[sys.argv[1]](*sys.argv[2:])
