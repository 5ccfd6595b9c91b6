"""Threads, tasks, children and greenlets: whatever runs beside the main thread is seen too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.receiver import Receiver
from tests.conftest import ROOT, wait_until


def run(program: str, receiver: Receiver, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a file of its own, as `multiprocessing` wants it."""
    path = folder / "program.py"
    path.write_text(program)
    env = {**os.environ, "MAMIMON_URL": receiver.url, "MAMIMON_SPOOL_DIR": str(folder / "spool")}
    env["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, env=env, timeout=90
    )


CHILDREN = """
import multiprocessing, os, sys
import mamimon
mamimon.init(service="parent", console="off")

def work(number):
    mamimon.get_logger("child").info("working", extra={"number": number})
    if number == 2:
        raise ValueError("no such shelf")

if __name__ == "__main__":
    kind = multiprocessing.get_context(sys.argv[1])
    children = [kind.Process(target=work, args=(number,), name=f"child-{number}") for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
    print([child.exitcode for child in children])
"""


@pytest.mark.feature("C4")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_leave_nothing_unsaid(method: str, receiver: Receiver, tmp_path: Path) -> None:
    """The last line of each child arrives though it ends by `os._exit`, and what ended one is reported."""
    done = run(CHILDREN, receiver, tmp_path, method)
    assert done.stdout == "[0, 0, 1]\n", done.stderr
    assert "ValueError: no such shelf" in done.stderr
    working = [document for document in receiver.documents if document["message"] == "working"]
    assert sorted(document["number"] for document in working) == [0, 1, 2]
    assert len({document["pid"] for document in working}) == 3
    (fatal,) = [document for document in receiver.documents if document["level"] == "CRITICAL"]
    assert (fatal["message"], fatal["in_process"]) == ("uncaught ValueError: no such shelf", "child-2")
    assert [one["exception"]["values"][-1]["type"] for one in receiver.envelopes] == ["ValueError"]


SUBPROCESSES = """
import asyncio, os, subprocess, sys
import mamimon
mamimon.init(service="parent", console="off")
python = sys.executable
subprocess.run([python, "-c", "pass"])
subprocess.run([python, "-c", "import sys; sys.exit(3)", "--token=canary"])
with mamimon.context(request_id="r-5"):
    subprocess.run([python, "-c", "import os; os.kill(os.getpid(), 11)"])
one = subprocess.Popen([python, "-c", "import time; time.sleep(60)"]); one.terminate(); one.wait()

async def main():
    child = await asyncio.create_subprocess_exec(python, "-c", "import sys; sys.exit(4)")
    await child.wait()

asyncio.run(main())
"""


@pytest.mark.feature("C4")
def test_how_a_subprocess_failed_is_a_record(receiver: Receiver, tmp_path: Path) -> None:
    """A code is a warning, a crash an error, an end that was asked for neither; arguments are not written."""
    done = run(SUBPROCESSES, receiver, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    program = Path(sys.executable).name
    found = [document for document in receiver.documents if document["logger"] == "mamimon.processes"]
    assert sorted((one["exit_code"], one["level"], one["message"]) for one in found) == [
        (3, "WARNING", f"{program} exited with code 3"),
        (4, "WARNING", f"{program} exited with code 4"),
        (139, "ERROR", f"{program} was ended by SIGSEGV"),
        (143, "INFO", f"{program} was ended by SIGTERM"),
    ]
    assert [one["request_id"] for one in found if one["level"] == "ERROR"] == ["r-5"]
    assert "canary" not in str(receiver.documents)


TASKS = """
import asyncio, gc
import mamimon
mamimon.init(service="tasks", console="off")

async def fails(): raise KeyError("shelf")

async def main():
    with mamimon.context(request_id="r-6"):
        asyncio.create_task(fails(), name="fetch")
    await asyncio.sleep(0.01)
    gc.collect()

asyncio.run(main())
"""


@pytest.mark.feature("C4")
def test_an_exception_that_nobody_awaits_is_reported(receiver: Receiver, tmp_path: Path) -> None:
    """A task that dies unseen leaves a record with its stack and one reported error."""
    done = run(TASKS, receiver, tmp_path)
    assert done.returncode == 0, done.stderr
    (document,) = [one for one in receiver.documents if one["logger"] == "asyncio"]
    assert "Task exception was never retrieved" in document["message"]
    assert document["exception"]["frames"][-1]["function"] == "fails"
    assert [one["exception"]["values"][-1]["type"] for one in receiver.envelopes] == ["KeyError"]


GEVENT = """
from gevent import monkey; monkey.patch_all()
import os, sys
import gevent
from gevent.pywsgi import WSGIServer
import mamimon
mamimon.init(service="greenlets", console="off")
log = mamimon.get_logger("app")

def app(environ, start_response):
    log.info("before", extra={"asked": environ["PATH_INFO"]})
    gevent.sleep(0.02)
    log.info("after", extra={"asked": environ["PATH_INFO"]})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [mamimon.request_id().encode()]

server = WSGIServer(("127.0.0.1", 0), mamimon.WSGIMiddleware(app), log=None)
server.start()
if os.fork() == 0:
    log.info("from the child")
    mamimon.shutdown()
    os._exit(0)
print(server.server_port, flush=True)
gevent.signal_handler(15, server.stop)
server._stop_event.wait()
"""


@pytest.mark.feature("C4")
def test_greenlets_keep_their_ids_apart(receiver: Receiver, tmp_path: Path) -> None:
    """Under gevent requests that overlap have their own ids, the sender sends, and a forked child too."""
    (tmp_path / "site.py").write_text(GEVENT)
    env = {**os.environ, "MAMIMON_URL": receiver.url, "MAMIMON_SPOOL_DIR": str(tmp_path / "spool")}
    one = subprocess.Popen(
        [sys.executable, str(tmp_path / "site.py")],
        env={**env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert one.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(one.stdout.readline())}"

        async def ask() -> list[str]:
            import asyncio

            async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as web:
                answers = await asyncio.gather(
                    *(web.get(f"/{n}", headers={"X-Request-ID": f"r-{n}"}) for n in range(10))
                )
            return [answer.text for answer in answers]

        import asyncio

        assert asyncio.run(ask()) == [f"r-{n}" for n in range(10)]
        lines = wait_until(lambda: _asked(receiver, 20), 60, "the lines")
        assert all(f"r-{line['asked'][1:]}" == line["request_id"] for line in lines)
        wait_until(lambda: "from the child" in [d["message"] for d in receiver.documents], 60, "the child")
    finally:
        one.terminate()
        assert one.wait(20) == 0
        one.stdout.close()


def _asked(receiver: Receiver, number: int) -> list[dict[str, Any]]:
    found = [document for document in receiver.documents if "asked" in document]
    return found if len(found) >= number else []
