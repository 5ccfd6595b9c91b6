"""How commands find and ask a running server: --url, else MAMIMON_URL, else the data directory's record."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    """Add --url, --token and --data-dir to a command that asks a running server."""
    for option in reversed(
        (
            click.option(
                "--url", help="Address of the server (default MAMIMON_URL, else the running one's)."
            ),
            click.option("--token", envvar="MAMIMON_TOKEN", help="API token."),
            click.option(
                "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory."
            ),
        )
    ):
        command = option(command)
    return command


def server_url(url: str | None, data_dir: Path | None) -> str:
    """The address of the server to ask."""
    if url or os.environ.get("MAMIMON_URL"):
        return (url or os.environ["MAMIMON_URL"]).rstrip("/")
    return str(_record(data_dir).get("url", "http://127.0.0.1:7007"))


def server_token(url: str | None, token: str | None, data_dir: Path | None) -> str | None:
    """The token to ask with: the one given, else the local secret of the data directory's own server."""
    record = _record(data_dir)
    same = server_url(url, data_dir) == record.get("url")
    return token or (str(record["secret"]) if same and "secret" in record else None)


def _record(data_dir: Path | None) -> dict[str, Any]:
    from mamimon.storage.data_dir import default_data_dir

    try:
        found = json.loads(((data_dir or default_data_dir()) / "server.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ask(
    method: str,
    path: str,
    *,
    url: str | None,
    token: str | None,
    data_dir: Path | None,
    timeout_s: float = 60.0,
    mistake: int = 1,
    **parts: Any,
) -> Any:
    """Send one request and return its JSON; a refusal or a missing server ends the command with 1.

    A mistake in what was asked (400) ends it with `mistake`.

    `parts` go to `httpx.request` (`params`, `json`, `content`).
    """
    import httpx

    address = server_url(url, data_dir)
    known = server_token(url, token, data_dir)
    headers = {"Authorization": f"Bearer {known}"} if known else {}
    try:
        answer = httpx.request(method, address + path, headers=headers, timeout=timeout_s, **parts)
    except httpx.TransportError as error:
        click.echo(f"mamimon: no server answers on {address}: {error}", err=True)
        click.echo("start one with `mamimon serve`, or pass --url", err=True)
        sys.exit(1)
    if answer.status_code >= 400:
        click.echo(f"mamimon: {_reason(answer)}", err=True)
        sys.exit(mistake if answer.status_code == 400 else 1)
    return answer.json() if answer.content else None


def _reason(answer: Any) -> str:
    try:
        body = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
    reason = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(reason, dict):
        reason = reason.get("reason", reason)
    return f"{answer.status_code} {reason}" + (f" ({body['hint']})" if body.get("hint") else "")
