"""Real check targets: Redis and PostgreSQL that a test may kill and restart, and an HTTP server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.alerts.conftest import mailbox
from tests.conftest import absent, wait_until

__all__ = ["mailbox"]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


class Redis:
    """A redis-server on its own port: `start`, `kill`."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--requirepass", self.password] if self.password else []
        self._popen = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *options],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: listening(self.port), what="redis-server")

    def kill(self) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(10)
            self._popen = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Redis]:
    """A running Redis without a password."""
    if shutil.which("redis-server") is None:
        absent("redis-server")
    one = Redis(tmp_path)
    one.start()
    yield one
    one.kill()


def _postgres_bin() -> Path | None:
    found = [Path(path).parent for path in [shutil.which("pg_isready")] if path]
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    whole = [folder for folder in packaged[::-1] + found if (folder / "postgres").exists()]
    return whole[0] if whole else None


class Postgres:
    """A PostgreSQL cluster in a temporary folder: `start`, `kill`."""

    def __init__(self, binaries: Path) -> None:
        self.port = free_port()
        self._bin = binaries
        # PostgreSQL refuses to run as root, so a test that is root becomes the packaged user.
        self._user = "postgres" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="mamimon-pg-"))
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._popen: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", "app", "-A", "trust", "-N", "--no-instructions"
        )

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / name), *arguments], user=self._user, capture_output=True, cwd="/", timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()

    @property
    def url(self) -> str:
        return f"postgres://app:hunter2@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = ["-c", "fsync=off", "-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port)]
        self._popen = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", str(self._folder / "data"), *options],
            user=self._user,
            cwd="/",
            stderr=subprocess.DEVNULL,
        )
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready).returncode == 0, 20, what="postgres")

    def kill(self) -> None:
        """An immediate shutdown (SIGQUIT), as PostgreSQL's own crash test does it."""
        if self._popen is not None:
            self._popen.send_signal(3)
            self._popen.wait(20)
            self._popen = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def postgres_server() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    binaries = _postgres_bin()
    if binaries is None:
        absent("postgresql")
        raise AssertionError
    one = Postgres(binaries)
    one.start()
    yield one
    one.remove()


class Web:
    """A loopback HTTP server: set `status`, `body`, `delay_s`; `/loop` redirects to itself for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._scheme = "https" if tls else "http"
        self.status, self.body, self.delay_s, self.hits = 200, b"all is well", 0.0, 0
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.hits += 1
                time.sleep(web.delay_s)
                if self.path == "/loop":
                    self.send_response(302)
                    self.send_header("Location", "/loop")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(web.status)
                self.send_header("Content-Length", str(len(web.body)))
                self.end_headers()
                self.wfile.write(web.body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    """A running HTTP server to be checked."""
    one = Web()
    yield one
    one.stop()


class MariaDb:
    """A MariaDB server in a temporary folder with the user `app`: `start`, `kill`."""

    def __init__(self) -> None:
        self.port = free_port()
        # It does not run as root either; the packaged user does.
        self._user = "mysql" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="mamimon-maria-"))
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._popen: subprocess.Popen[bytes] | None = None
        # Run at every start; the file must be readable by the packaged user.
        self._begin = self._folder / "begin.sql"
        self._begin.write_text("CREATE USER IF NOT EXISTS app@'127.0.0.1' IDENTIFIED BY 'hunter2';\n")
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self._folder}/data", "--skip-test-db"],
            user=self._user,
            capture_output=True,
            cwd="/",
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()

    @staticmethod
    def _program() -> str:
        return shutil.which("mariadbd") or "/usr/sbin/mariadbd"

    @property
    def url(self) -> str:
        return f"mysql://app:hunter2@127.0.0.1:{self.port}/"

    def start(self) -> None:
        more = [
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self._folder}/s",
            f"--init-file={self._begin}",
        ]
        self._popen = subprocess.Popen(
            [self._program(), "--no-defaults", f"--datadir={self._folder}/data", *more],
            user=self._user,
            cwd="/",
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: listening(self.port), 60, "mariadbd")

    def kill(self) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(20)
            self._popen = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def mariadb_server() -> Iterator[MariaDb]:
    """A running MariaDB."""
    if shutil.which("mariadbd") is None and not Path("/usr/sbin/mariadbd").exists():
        absent("mariadb-server")
    one = MariaDb()
    one.start()
    yield one
    one.remove()
