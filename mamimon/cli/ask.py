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
_PROJECT = "mamimon.project"


def server_options(command: F) -> F:
    """Add --url, --token, --data-dir and --project to a command that asks a running server."""
    for option in reversed(
        (
            click.option(
                "--url", help="Address of the server (default MAMIMON_URL, else the running one's)."
            ),
            click.option("--token", envvar="MAMIMON_TOKEN", help="API token."),
            click.option(
                "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory."
            ),
            click.option(
                "--project",
                envvar="MAMIMON_PROJECT",
                expose_value=False,
                callback=_note_project,
                help="Short name of the project; the token's own, or the first, if not given.",
            ),
        )
    ):
        command = option(command)
    return command


def _note_project(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta[_PROJECT] = value or ""


def chosen_project() -> str:
    """What --project says, or an empty string."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(_PROJECT, "")) if context is not None else ""


def server_url(url: str | None, data_dir: Path | None) -> str:
    """The address of the server to ask; of the project that --project names."""
    project = chosen_project()
    return _server(url, data_dir) + (f"/p/{project}" if project else "")


def _server(url: str | None, data_dir: Path | None) -> str:
    if url or os.environ.get("MAMIMON_URL"):
        return (url or os.environ["MAMIMON_URL"]).rstrip("/")
    return str(_record(data_dir).get("url", "http://127.0.0.1:7007"))


def server_token(url: str | None, token: str | None, data_dir: Path | None) -> str | None:
    """The token to ask with: the one given, else the local secret of the data directory's own server."""
    record = _record(data_dir)
    same = _server(url, data_dir) == record.get("url")
    return token or (str(record["secret"]) if same and "secret" in record else None)


def reached(url: str | None, token: str | None, data_dir: Path | None) -> tuple[str, dict[str, str]]:
    """The server's address, and the headers that it is asked with."""
    known = server_token(url, token, data_dir)
    return server_url(url, data_dir), {"Authorization": f"Bearer {known}"} if known else {}


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

    address, headers = reached(url, token, data_dir)
    try:
        answer = httpx.request(method, address + path, headers=headers, timeout=timeout_s, **parts)
    except httpx.TransportError as error:
        click.echo(f"mamimon: no server answers on {address}: {error}", err=True)
        click.echo("start one with `mamimon serve`, or pass --url", err=True)
        sys.exit(1)
    if answer.status_code >= 400:
        click.echo(f"mamimon: {reason(answer)}", err=True)
        sys.exit(mistake if answer.status_code == 400 else 1)
    return answer.json() if answer.content else None


def reason(answer: Any) -> str:
    """What a refusal says, as one line."""
    try:
        body = answer.json()
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
    said = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(said, dict):
        said = said.get("reason", said)
    hint = body.get("hint") if isinstance(body, dict) else ""
    return f"{answer.status_code} {said}" + (f" ({hint})" if hint else "")
