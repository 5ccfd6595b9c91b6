"""The client's promise to applications on Python 3.9."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
mamimon.flush(0.2)
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


@pytest.mark.feature("C4")
def test_the_client_runs_on_other_pythons() -> None:
    """Every part of the client works on whichever of Python 3.9 to 3.13 is installed besides our own."""
    ran = 0
    for python in [sys.executable, *_interpreters()]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [python, "-S", "-c", PROGRAM], capture_output=True, text=True, env=env, timeout=60
        )
        assert "fine on" in done.stdout, f"{python}:\n{done.stderr}"
        ran += 1
    assert ran >= 1
