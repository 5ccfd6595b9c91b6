"""What `users`, `tokens`, `projects` and `teams` share: through the running server, else into the files.

Before the first start there is no server to ask, and a server on a public address does not start
without an account; so with nobody holding the data directory's lock the command does the work itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click

from mamimon.cli.ask import ask, chosen_project, server_options

__all__ = ["change", "rows", "server_options"]


def change(method: str, path: str, body: dict[str, str] | None, where: dict[str, Any]) -> Any:
    """Make one change of accounts; a refusal prints the reason and exits 1."""
    return _call(method, path, body, where)


def rows(path: str, columns: tuple[str, ...], as_json: bool, where: dict[str, Any]) -> None:
    """Print a list of accounts or tokens."""
    found = _call("GET", path, None, where)
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        click.echo("\t".join(_cell(one[column]) for column in columns).rstrip())


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _call(method: str, path: str, body: dict[str, str] | None, where: dict[str, Any]) -> Any:
    from mamimon.storage.data_dir import data_dir_is_free, default_data_dir

    folder: Path = where["data_dir"] or default_data_dir()
    if where["url"] or os.environ.get("MAMIMON_URL") or not data_dir_is_free(folder):
        extra: dict[str, Any] = {} if body is None else {"json": body}
        return ask(method, path, **where, **extra)
    return asyncio.run(_directly(method, path, body, folder))


async def _directly(method: str, path: str, body: dict[str, str] | None, folder: Path) -> Any:
    import msgspec

    from mamimon.accounts.people import People
    from mamimon.clock import SystemClock
    from mamimon.config import Settings
    from mamimon.problems import Problem
    from mamimon.storage import Core, Database, migrate

    state = await Database.open(folder / "mamimon.db", synchronous="FULL", readers=1)
    try:
        await migrate(state, "state")
        people = People(Core(Settings(), SystemClock(), folder, state))
        await people.load()
        return msgspec.to_builtins(await _apply(people, method, path, body))
    except Problem as problem:
        click.echo(f"mamimon: {problem.detail}", err=True)
        sys.exit(1)
    finally:
        await state.close()


async def _apply(people: Any, method: str, path: str, body: dict[str, str] | None) -> Any:
    kind, _, rest = path.removeprefix("/api/mamimon/").partition("/")
    name, _, what = (unquote(part) for part in rest.partition("/"))
    who = "local administrator"
    if kind == "users":
        return await _of_user(people, method, name, what, body, who)
    if kind == "projects":
        return await _of_project(people.projects, method, name.partition("?")[0], what, body, who)
    if kind == "teams":
        return await _of_team(people.projects, method, name, what, body, who)
    project = people.projects.find(chosen_project() or "default")
    if kind == "members":
        return await _of_member(people, method, project, name, body, who)
    if method == "GET":
        return await people.tokens(project)
    if body is None:
        return await people.remove_token(int(name), who, project)
    return {"token": await people.add_token(body["name"], body["scope"], who, project)}


async def _of_project(
    projects: Any, method: str, slug: str, what: str, body: dict[str, str] | None, who: str
) -> Any:
    if method == "GET":
        return projects.all()
    if method == "DELETE":
        return await projects.delete(slug, slug, who)
    if what == "name" and body is not None:
        return await projects.rename(slug, body["name"], who)
    if what:
        return await projects.archive(slug, what == "archive", who)
    assert body is not None
    return await projects.create(body["slug"], body["name"], who)


async def _of_team(
    projects: Any, method: str, team: str, what: str, body: dict[str, str] | None, who: str
) -> Any:
    if method == "GET":
        return await projects.teams()
    if what:
        name = body["name"] if body is not None else what.rpartition("/")[2]
        return await projects.set_member(team, name, body is not None, who)
    return await (projects.remove_team(team, who) if body is None else projects.add_team(body["name"], who))


async def _of_member(
    people: Any, method: str, project: Any, what: str, body: dict[str, str] | None, who: str
) -> Any:
    if body is None:
        return await people.projects.members(project)
    if what == "invite":
        return {"path": f"/join/{await people.invite_to(project, body['name'], body['role'], who)}"}
    return await people.projects.grant(project, body["kind"], body["name"], body["role"], who)


async def _of_user(
    people: Any, method: str, name: str, what: str, body: dict[str, str] | None, who: str
) -> Any:
    if what == "second-factor":
        return await people.remove_factor(name, who)
    if what == "role" and body is not None:
        return await people.set_role(name, body["role"], who)
    if what == "link" and body is not None:
        made = people.invite(name, body["role"], who) if "role" in body else people.reset_link(name, who)
        return {"path": f"/join/{await made}"}
    if method == "GET":
        return await people.store.users()
    if body is None:
        return await people.remove_user(name, who)
    return await people.add_user(body["name"], body["role"], body["password"], who)
