"""Other people's packages that tests drive, installed once into a cache of their own.

Python packages get a virtual environment and npm packages a folder a set, so several versions of one
client stand side by side and none of them reaches our own environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import absent

SENTRY_BROWSER = "@sentry/browser@11.12.0"
SENTRY_BROWSER_BEFORE = "@sentry/browser@10.78.0"
SENTRY_NODE = "@sentry/node@11.12.0"
SENTRY_NODE_BEFORE = "@sentry/node@10.78.0"
SENTRY_CLI = "@sentry/cli@3.8.0"
SENTRY_CLI_BEFORE = "@sentry/cli@2.58.3"
ESBUILD = "esbuild@0.28.2"


def npm(*packages: str) -> Path:
    """A folder whose `node_modules` holds exactly these packages (`name@version`)."""
    if shutil.which("npm") is None:
        absent("npm")

    def install(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}')
        # Nothing of theirs runs while it is installed; the programs come as optional packages.
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages], folder)

    return _kept("npm", packages, install)


def python(*requirements: str) -> Path:
    """The interpreter of a virtual environment with these requirements."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*pip, *requirements], folder)

    return _kept("venv", requirements, install) / "bin" / "python"


def _kept(kind: str, names: Sequence[str], install: Callable[[Path], None]) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    base = Path(os.environ.get("MAMIMON_PEERS", f"{cache}/mamimon-peers")) / kind
    key = hashlib.sha256("\n".join([sys.version[:4], *sorted(names)]).encode()).hexdigest()[:12]
    folder = base / key
    done = folder / "complete"
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                install(folder)
            except (OSError, subprocess.SubprocessError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                absent(f"{', '.join(names)} ({str(error)[:300]})")
            done.write_text("\n".join(names))
    return folder


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr[-300:])
