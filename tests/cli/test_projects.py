"""`mamimon projects`, `mamimon teams` and --project: with a server and straight into the data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.feature("S2")


def _mamimon(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
    return subprocess.run(
        [sys.executable, "-m", "mamimon", *arguments],
        cwd=folder, env=clean, input=stdin, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def _said(folder: Path, *arguments: str, stdin: str = "") -> str:
    done = _mamimon(folder, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_projects_and_teams_by_command(server: Any, tmp_path: Path) -> None:
    """Made, filled, read, archived, brought back and deleted; --project names one for any command."""
    where = ("--data-dir", str(server.data_dir))
    _said(tmp_path, "projects", "create", "shop", "--name", "The shop", *where)
    _said(tmp_path, "teams", "add", "Sellers", *where)
    _said(tmp_path, "projects", "grant", "Sellers", "editor", "--team", "--project", "shop", *where)
    assert _said(tmp_path, "projects", "members", "--project", "shop", *where) == "team\tSellers\teditor\n"
    assert _said(tmp_path, "projects", "list", *where) == "default\tdefault\nshop\tThe shop\n"
    token = _said(tmp_path, "tokens", "add", "--scope", "write", "--project", "shop", *where).strip()
    line = tmp_path / "a.log"
    line.write_text('{"message": "birnstern"}\n')
    _said(tmp_path, "logs", "ingest", str(line), "--url", server.url, "--token", token)
    # The command's lines are of the real time, and the server's clock stands still.
    server.server.clock.advance(600.0)
    inside = ("--data-dir", str(server.data_dir / "projects" / "shop"))
    assert "birnstern" in _said(tmp_path, "logs", "search", "birnstern", "--project", "shop", *where)
    assert "birnstern" in _said(tmp_path, "logs", "search", "birnstern", *inside)
    assert _mamimon(tmp_path, "logs", "search", "birnstern", *where).returncode == 1

    _said(tmp_path, "projects", "archive", "shop", *where)
    assert _mamimon(tmp_path, "logs", "search", "a", "--project", "shop", *where).returncode == 1
    _said(tmp_path, "projects", "return", "shop", *where)
    refused = _mamimon(tmp_path, "projects", "delete", "shop", *where, stdin="shops\n")
    assert (refused.returncode, server.client.get("/p/shop/es/_count").status_code) == (1, 200)
    _said(tmp_path, "projects", "delete", "shop", *where, stdin="shop\n")
    assert server.client.get("/p/shop/es/_count").status_code == 404


def test_without_a_server(tmp_path: Path) -> None:
    """Before the first start the same commands write into the data directory; deleting needs the server."""
    where = ("--data-dir", str(tmp_path / "data"))
    _said(
        tmp_path,
        "users",
        "add",
        "Ada",
        "--role",
        "admin",
        "--password-stdin",
        *where,
        stdin="correct horse\n",
    )
    _said(
        tmp_path, "users", "add", "Efe", "--role", "none", "--password-stdin", *where, stdin="correct horse\n"
    )
    _said(tmp_path, "projects", "create", "shop", *where)
    _said(tmp_path, "teams", "add", "Sellers", *where)
    _said(tmp_path, "teams", "join", "Sellers", "Efe", *where)
    _said(tmp_path, "projects", "grant", "Efe", "viewer", "--project", "shop", *where)
    path = _said(tmp_path, "projects", "invite", "Vera", "--project", "shop", *where)

    assert path.startswith("/join/")
    assert _said(tmp_path, "teams", "list", *where) == "Sellers\tEfe\n"
    assert _said(tmp_path, "projects", "members", "--project", "shop", *where) == "user\tEfe\tviewer\n"
    assert _said(tmp_path, "tokens", "add", "--scope", "read", "--project", "shop", *where).startswith("mmt_")
    refused = _mamimon(tmp_path, "projects", "delete", "shop", "--confirm", "shop", *where)
    assert refused.returncode == 1
    assert "while the server runs" in refused.stderr
