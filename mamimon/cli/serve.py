"""`mamimon serve`: start the server."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mamimon.config import ConfigError, Settings, load

if TYPE_CHECKING:
    from mamimon.server.run import Server


def server_options(command: Any) -> Any:
    """The options that `serve` and `demo` share."""
    for option in reversed(
        (
            click.option(
                "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory."
            ),
            click.option("--host", help="Address to listen on (default 127.0.0.1)."),
            click.option("--port", type=int, help="Main port (default 7007; 0 picks a free one)."),
            click.option(
                "--config",
                "config_path",
                type=click.Path(dir_okay=False, path_type=Path),
                help="mamimon.toml (default: ./mamimon.toml where it exists).",
            ),
            click.option("--prometheus-config", help="prometheus.yml with targets and rule files."),
            click.option("--alertmanager-config", help="alertmanager.yml with routes and receivers."),
            click.option(
                "--drop-in/--no-drop-in",
                default=None,
                help="Also listen on 9200, 9090, 9093 and 3000.",
            ),
            click.option(
                "--drop-in-ports", help="Move those: es=19200,prometheus=19090,alertmanager=19093,ui=13000, …"
            ),
        )
    ):
        command = option(command)
    return command


def read_settings(options: dict[str, Any]) -> tuple[Settings, Path]:
    """Settings and data directory from the shared options; a mistake exits 2 with its place."""
    from mamimon.storage.data_dir import default_data_dir

    path = options["config_path"] or (Path("mamimon.toml") if Path("mamimon.toml").is_file() else None)
    flags = {
        "server.host": options["host"],
        "server.port": options["port"],
        "server.data_dir": str(options["data_dir"]) if options["data_dir"] else None,
        "server.drop_in": options["drop_in"],
        "server.drop_in_ports": options["drop_in_ports"],
        "metrics.prometheus_config": options["prometheus_config"],
        "alerts.alertmanager_config": options["alertmanager_config"],
    }
    settings = load(path, env_file=Path(".env"), flags=flags)
    return settings, Path(settings.server.data_dir) if settings.server.data_dir else default_data_dir()


def run_server(server: Server) -> None:
    """Serve until a signal; a refused start exits 2 with the reason."""
    import uvloop

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore", "apprise", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        uvloop.run(server.serve())
    except ConfigError as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(2)


@click.command()
@server_options
def serve(**options: Any) -> None:
    """Start the server; it is ready when it says so on stderr."""
    gc.disable()  # nearly all that is made until the server is ready stays
    from mamimon.server.run import Server

    try:
        settings, data_dir = read_settings(options)
    except ConfigError as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(2)
    run_server(Server(settings, data_dir, on_ready=_say_ready))


def _say_ready(server: Server) -> None:
    from mamimon.metrics.warm import warm_up

    # Nobody has been told of the server yet, and who asks the first question should not wait for this.
    warm_up()
    for name, port in server.ports().items():
        if name != "main":
            click.echo(f"{name} on port {port}", err=True)
    click.echo(f"mamimon is ready on {server.url}", err=True)
    # What is there by now stays, so the collector need not look at it again and again; and what a request
    # makes is mostly freed by its counts. Together a sixth of an error event's processor time.
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)
