"""The client's promise to applications on Python 3.9."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mamimon
from tests.client.receiver import Receiver
from tests.client.test_run import run
from tests.conftest import ROOT

PROGRAM = """
import sys, mamimon
mamimon.init("http://127.0.0.1:9", service="old", console="json", spool=False, flush_s=0.2)
log = mamimon.get_logger("app")
try:
    with mamimon.context(user="ada"):
        {}["missing"]
except KeyError:
    log.exception("failed")
    mamimon.capture_exception()
mamimon.track_event("u", "login")
mamimon.counter("a_total", "A.", ["k"]).inc(k="v")
answer = []
app = mamimon.WSGIMiddleware(lambda environ, start: (start("200 OK", []), [b"hi"])[1])
body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda status, headers: answer.append(status))
list(body), body.close()
body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}, lambda status, headers: answer.append(status))
assert b'http_requests_total{method="GET",path="/x",status="200"} 1' in body[0], body[0]
assert mamimon.mask_sensitive_data({"password": "x"}) == {"password": "[masked]"}
from mamimon.client import agent, outgoing, push
assert push.everything(1.0)
with mamimon.context(request_id="r-1"):
    assert outgoing.ids() == {"X-Request-ID": "r-1"}
mamimon.flush(0.2)
assert agent.shipper().losses.total() == 0
print("fine on", sys.version_info[:2])
"""


@pytest.mark.feature("C4")
def test_the_client_needs_no_newer_python_than_39() -> None:
    """vermin finds nothing in the client that Python 3.9 does not have."""
    vermin = "import sys; from vermin import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", vermin, "-t=3.9-", "--no-tips", "mamimon/client", "mamimon/__init__.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def _interpreters() -> list[str]:
    """Other Pythons on this machine, on the path or in pyenv's folder."""
    found = [shutil.which(f"python3.{minor}") or "" for minor in (9, 10, 12, 13)]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in (9, 10, 12, 13):
        found += [str(path) for path in versions.glob(f"3.{minor}.*/bin/python3")]
    return [path for path in found if path and "shims" not in path]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install ./packages/mamimon-client` puts into an environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    done = subprocess.run(
        [*command, str(ROOT / "packages" / "mamimon-client")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


@pytest.mark.feature("C4")
def test_the_client_is_a_distribution_of_its_own(wheel: Path) -> None:
    """It is for Python 3.9, needs nothing, has every module of the client and nothing of the server."""
    (metadata,) = wheel.glob("*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    assert "Requires-Python: >=3.9" in lines
    assert f"Version: {mamimon.__version__}" in lines
    assert not [line for line in lines if line.startswith("Requires-Dist")]
    there = {str(path.relative_to(wheel)) for path in wheel.rglob("*.py")}
    client = {str(path.relative_to(ROOT)) for path in (ROOT / "mamimon" / "client").rglob("*.py")}
    assert there == client | {"mamimon/__init__.py"}


@pytest.mark.feature("C4")
def test_the_client_runs_on_other_pythons(wheel: Path) -> None:
    """Every part of the client works on whichever of Python 3.9 to 3.13 is installed besides our own."""
    for python in [sys.executable, *_interpreters()]:
        env = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [python, "-S", "-c", PROGRAM], capture_output=True, text=True, env=env, timeout=60, cwd=wheel
        )
        assert "fine on" in done.stdout, f"{python}:\n{done.stderr}"


@pytest.mark.feature("C5")
def test_programs_of_other_pythons_are_watched_whole(receiver: Receiver, tmp_path: Path) -> None:
    """`mamimon run` reports frames with variables of a program on any of these Pythons."""
    code = "def work(shelf): raise ValueError('no shelf')\nwork('b')"
    pythons = [sys.executable, *_interpreters()]
    for python in pythons:
        done = run(receiver.url, python, "-c", code, spool=tmp_path)
        assert (done.returncode, "no shelf" in done.stderr) == (1, True)
    assert len(receiver.envelopes) == len(pythons)
    for envelope in receiver.envelopes:
        frame = envelope["exception"]["values"][-1]["stacktrace"]["frames"][-1]
        assert frame["vars"] == {"shelf": "'b'"}
