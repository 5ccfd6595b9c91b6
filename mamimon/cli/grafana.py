"""`mamimon grafana`: put Grafana in front of mamimon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mamimon.cli.ask import server_url


@click.group()
def grafana() -> None:
    """Set up Grafana's data sources and dashboards."""


@grafana.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("grafana/provisioning"),
    show_default=True,
    help="Folder to write; Grafana reads it as its provisioning folder.",
)
@click.option("--server", help="mamimon's address as Grafana reaches it (default: the running server's).")
@click.option("--token", envvar="MAMIMON_TOKEN", help="Token with scope read, where the server is closed.")
@click.option("--dashboards-path", default="", help="Where Grafana sees the dashboards folder, if elsewhere.")
@click.option("--push", "pushed", is_flag=True, help="Set them up through Grafana's API instead.")
@click.option("--url", help="Grafana's address for --push (default dashboards.grafana_url, GRAFANA_URL).")
@click.option("--user", help="Grafana's user (default GRAFANA_ADMIN_USER).")
@click.option("--password", help="Grafana's password (default GRAFANA_ADMIN_PASSWORD).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory.")
def provision(
    output: Path,
    server: str | None,
    token: str | None,
    dashboards_path: str,
    pushed: bool,
    url: str | None,
    user: str | None,
    password: str | None,
    data_dir: Path | None,
) -> None:
    """Write data sources and the four dashboards as provisioning files, or push them."""
    from mamimon.config import ConfigError, load
    from mamimon.forward.grafana import Addresses, GrafanaError, push, write_files

    path = Path("mamimon.toml")
    try:
        settings = load(path if path.is_file() else None, env_file=Path(".env")).dashboards
    except ConfigError as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(2)
    addresses = Addresses.of(server_url(server, data_dir), settings.prometheus_url, token or "")
    if not pushed:
        for file in write_files(output, addresses, dashboards_path):
            click.echo(file)
        click.echo("start Grafana with GF_PATHS_PROVISIONING set to that folder, or copy it there", err=True)
        return
    address = url or settings.grafana_url
    if not address:
        click.echo("mamimon: --push needs --url or GRAFANA_URL", err=True)
        sys.exit(2)
    secret = password or settings.grafana_password
    try:
        for line in push(address, user or settings.grafana_user, secret, addresses):
            click.echo(line)
    except GrafanaError as error:
        click.echo(f"mamimon: {error}", err=True)
        sys.exit(1)
