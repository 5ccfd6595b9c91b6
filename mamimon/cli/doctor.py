"""`mamimon doctor`: what is wrong and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mamimon.cli.ask import server_options, server_token, server_url

_SIGN = {"ok": "✓", "warning": "!", "failing": "✗"}
_COLOUR = {"ok": "green", "warning": "yellow", "failing": "red"}


@click.command()
@server_options
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="mamimon.toml to read."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    url: str | None, token: str | None, data_dir: Path | None, path: Path | None, as_json: bool
) -> None:
    """Look at everything that tends to be wrong; exit 1 where something is."""
    import httpx
    import msgspec

    from mamimon.config import ConfigError, load
    from mamimon.server.doctor import Patient, examine
    from mamimon.storage.data_dir import default_data_dir

    path = path or (Path("mamimon.toml") if Path("mamimon.toml").is_file() else None)
    try:
        settings = load(path, env_file=Path(".env"))
    except ConfigError as error:
        click.echo(f"✗ configuration: {error}", err=True)
        sys.exit(2)
    folder = data_dir or (Path(settings.server.data_dir) if settings.server.data_dir else default_data_dir())
    address = server_url(url, folder)
    known = server_token(url, token, folder)
    headers = {"Authorization": f"Bearer {known}"} if known else {}
    with httpx.Client(base_url=address, timeout=10, headers=headers) as client:
        findings = list(examine(Patient(settings, folder, address, client)))
    if as_json:
        click.echo(msgspec.json.encode(findings).decode())
    else:
        for one in findings:
            click.secho(f"{_SIGN[one.state]} {one.name}: {one.detail}", fg=_COLOUR[one.state])
            if one.hint:
                click.echo(f"    → {one.hint}")
    sys.exit(any(one.state == "failing" for one in findings))
