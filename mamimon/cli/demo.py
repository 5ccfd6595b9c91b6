"""`mamimon demo`: the server, a sample service with planted faults, and a load on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click

from mamimon.cli.serve import server_options

CALM_S = 120.0
"""How long the service is well before a fault is planted, so that there is a before."""
_TOML = """[metrics]
scrape_interval_s = 5
evaluation_interval_s = 5

[[health.checks]]
name = "chat-service"
kind = "http"
target = "{service}/health"
interval_s = 5
"""
_PROMETHEUS = """global:
  scrape_interval: 2s
  evaluation_interval: 5s
rule_files: ["{rules}"]
scrape_configs:
  - job_name: chat-service
    static_configs:
      - targets: ["{address}"]
"""


def examples_dir() -> Path:
    """Where the sample service is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_examples"
    return shipped if shipped.is_dir() else package.parent / "examples"


@click.command()
@server_options
@click.option("--service-port", type=int, default=8000, show_default=True, help="Port of the sample service.")
@click.option("--rate", type=float, default=12.0, show_default=True, help="Requests a second.")
@click.option(
    "--fault", default="", help="Plant one fault after two minutes instead of the usual ones; `?` lists."
)
def demo(service_port: int, rate: float, fault: str, **options: Any) -> None:
    """Start the server with a sample service under load; Ctrl-C ends all of it."""
    planted = _fault(fault) if fault else None
    with tempfile.TemporaryDirectory(prefix="mamimon-demo-") as scratch:
        show = _Show(Path(scratch), service_port, rate, options, planted)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: show.ended.set())
        try:
            show.start()
            show.keep()
        finally:
            show.stop()
    sys.exit(show.code)


def _fault(name: str) -> Any:
    """The fault of that name in the sample service's module, which is no package of ours."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("chat_service_faults", examples_dir() / "chat_service" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    if name not in module.FAULTS:
        known = "\n".join(f"  {one.name:<20} {one.about}" for one in module.FAULTS.values())
        raise click.UsageError(f"the faults are:\n{known}")
    return module.FAULTS[name]


class _Show:
    """The children, from start to stop; the service is started again when it crashes."""

    def __init__(
        self, scratch: Path, port: int, rate: float, options: dict[str, Any], fault: Any = None
    ) -> None:
        self._fault = fault
        self._plant_at = time.monotonic() + CALM_S
        self._planted = False
        self.ended = threading.Event()
        self.code = 0
        self._scratch = scratch
        self._options = options
        self._rate = rate
        self._address = f"127.0.0.1:{_free(port)}"
        self._server: subprocess.Popen[str] | None = None
        self._service: subprocess.Popen[bytes] | None = None
        self._load: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._ready = threading.Event()

    def start(self) -> None:
        """Start the server, wait until it is ready, then the service and its load."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "mamimon", "serve", *self._arguments()], stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._relay, args=(self._server,), daemon=True).start()
        while not self._ready.wait(0.1):
            if self._server.poll() is not None or self.ended.is_set():
                self.code = self._server.poll() or 0
                self.ended.set()
                return
        self._service = self._start_service()
        self._load = subprocess.Popen(
            [sys.executable, "-m", "chat_service.load", f"http://{self._address}", str(self._rate)],
            env=self._env() | self._chat_fault(),
        )
        click.echo(f"\n  Pages             {self._url}", err=True)
        click.echo(f"  Sample service    http://{self._address}", err=True)
        click.echo("  Ctrl-C ends both; its data is deleted then unless you passed --data-dir.\n", err=True)

    def _arguments(self) -> list[str]:
        given = {name: value for name, value in self._options.items() if value is not None}
        if "data_dir" not in given:
            given["data_dir"] = self._scratch / "data"
        if "config_path" not in given:
            path = self._scratch / "mamimon.toml"
            path.write_text(_TOML.format(service=f"http://{self._address}"), encoding="utf-8")
            given["config_path"] = path
        if "prometheus_config" not in given:
            path = self._scratch / "prometheus.yml"
            rules = examples_dir() / "chat_service" / "rules.yml"
            path.write_text(_PROMETHEUS.format(rules=rules, address=self._address), encoding="utf-8")
            given["prometheus_config"] = path
        arguments: list[str] = []
        for name, value in given.items():
            flag = "--config" if name == "config_path" else f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                arguments.append(flag if value else flag.replace("--", "--no-", 1))
            else:
                arguments += [flag, str(value)]
        return arguments

    def _relay(self, server: subprocess.Popen[str]) -> None:
        assert server.stderr is not None
        for line in server.stderr:
            if line.startswith("mamimon is ready on "):
                self._url = line.split()[-1]
                self._ready.set()
            # The planted faults make the server talk; people came to look at the pages.
            if not line.startswith("INFO "):
                click.echo(line.rstrip(), err=True)

    def _start_service(self) -> subprocess.Popen[bytes]:
        host, _, port = self._address.partition(":")
        command = ["-m", "uvicorn", "--app-dir", str(examples_dir()), "chat_service.app:app"]
        return subprocess.Popen(
            [
                sys.executable,
                *command,
                "--host",
                host,
                "--port",
                port,
                "--log-level",
                "error",
                "--lifespan",
                "off",
            ],
            env=self._env() | {"MAMIMON_CONSOLE": "off"} | self._chat_fault(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _env(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(examples_dir()), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path, "MAMIMON_URL": self._url}

    def _chat_fault(self) -> dict[str, str]:
        if self._fault is None:
            return {}
        return {"CHAT_FAULT": self._fault.name if self._planted else "none"}

    def _plant(self) -> None:
        """Start the service anew with the fault, as a deploy of it where the fault came with one."""
        self._planted = True
        if self._fault.deployed:
            import httpx

            deploy = {"version": "4.3.0", "service": "chat-service", "by": "demo"}
            httpx.post(f"{self._url}/api/mamimon/deploys", json=deploy, timeout=10).raise_for_status()
        assert self._service is not None
        self._service.terminate()
        self._service.wait(10)
        self._service = self._start_service()
        click.echo(f"  Planted           {self._fault.about}", err=True)

    def keep(self) -> None:
        """Wait for the end; a crashed service is started again after a moment."""
        while not self.ended.wait(0.5):
            if self._server is not None and self._server.poll() is not None:
                self.code = self._server.returncode or 1
                return
            if self._fault is not None and not self._planted and time.monotonic() > self._plant_at:
                self._plant()
            if self._service is not None and self._service.poll() is not None:
                time.sleep(1.0)
                self._service = self._start_service()

    def stop(self) -> None:
        """End the children, the load first."""
        for child in (self._load, self._service, self._server):
            if child is not None and child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def _free(port: int) -> int:
    """The port, or a free one where it is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return port
