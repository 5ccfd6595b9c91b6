"""The tables of projects, teams and roles in `mamimon.db`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal

import msgspec

from mamimon.accounts.audit_store import note
from mamimon.accounts.model import Grant, Project, Team, higher
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Database

_PROJECT = "id, slug, name, created_at, archived_at"


class Standing(msgspec.Struct, frozen=True):
    """All projects, and the role that each person has in each by grants: {(user, project): role}."""

    projects: dict[int, Project]
    roles: dict[tuple[int, int], str]


class ProjectStore:
    """Reads and writes projects, teams and grants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self) -> Standing:
        """What a request's rights are told by."""

        def read(raw: sqlite3.Connection) -> Standing:
            rows = raw.execute(f"SELECT {_PROJECT} FROM project ORDER BY id")  # noqa: S608
            projects = {row[0]: Project(*row) for row in rows}
            roles: dict[tuple[int, int], str] = {}
            for user, project, role in raw.execute(
                "SELECT coalesce(project_role.user_id, team_member.user_id), project_id, role"
                " FROM project_role LEFT JOIN team_member USING (team_id)"
                " WHERE coalesce(project_role.user_id, team_member.user_id) IS NOT NULL"
            ):
                roles[user, project] = higher(role, roles.get((user, project), "none"))
            return Standing(projects, roles)

        return await self._database.read(read)

    async def add(self, slug: str, name: str, now: float, actor: str) -> None:
        """A new project; a slug that is taken raises CONFLICT."""

        def write(raw: sqlite3.Connection) -> None:
            try:
                raw.execute(
                    "INSERT INTO project (slug, name, created_at) VALUES (?, ?, ?)", (slug, name, now)
                )
            except sqlite3.IntegrityError:
                raise Problem(Kind.CONFLICT, f"there is a project {slug} already") from None
            note(raw, now, actor, "project.add", name, slug)

        await self._database.write(write)

    async def rename(self, project: Project, name: str, now: float, actor: str) -> None:
        """Another name; the slug stays."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute("UPDATE project SET name = ? WHERE id = ?", (name, project.id))
            note(raw, now, actor, "project.rename", f"{project.name} → {name}", project.slug)

        await self._database.write(write)

    async def archive(self, project: Project, archived: bool, now: float, actor: str) -> None:
        """Take a project out of service, or back into it; its data stay."""

        def write(raw: sqlite3.Connection) -> None:
            at = now if archived else None
            raw.execute("UPDATE project SET archived_at = ? WHERE id = ?", (at, project.id))
            note(
                raw,
                now,
                actor,
                "project.archive" if archived else "project.return",
                project.name,
                project.slug,
            )

        await self._database.write(write)

    async def remove(self, project: Project, now: float, actor: str) -> None:
        """Forget a project with its grants and tokens; its folder is not this store's."""

        def write(raw: sqlite3.Connection) -> None:
            raw.execute("DELETE FROM project WHERE id = ?", (project.id,))
            note(raw, now, actor, "project.delete", project.name, project.slug)

        await self._database.write(write)

    async def grants(self, project_id: int | None = None) -> list[Grant]:
        """The roles in a project, or in all: teams first, by name."""
        return await self._database.read(
            lambda raw: [
                Grant(*row)
                for row in raw.execute(
                    "SELECT project_id, iif(user_id IS NULL, 'team', 'user'), coalesce(user.name, team.name),"
                    " project_role.role FROM project_role LEFT JOIN user ON user.id = user_id"
                    " LEFT JOIN team ON team.id = team_id WHERE project_id = coalesce(?, project_id)"
                    " ORDER BY 1, 2, 3 COLLATE NOCASE",
                    (project_id,),
                )
            ]
        )

    async def grant(
        self, project: Project, kind: Literal["user", "team"], name: str, role: str, now: float, actor: str
    ) -> None:
        """Give a person or a team a role in a project; "none" takes it away."""

        def write(raw: sqlite3.Connection) -> None:
            table = "user" if kind == "user" else "team"
            found = raw.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()  # noqa: S608
            if found is None:
                raise not_found(f"there is no {kind} {name}")
            gone = raw.execute(
                f"DELETE FROM project_role WHERE project_id = ? AND {table}_id = ?",  # noqa: S608
                (project.id, found[0]),
            ).rowcount
            if role == "none" and not gone:
                raise not_found(f"{name} has no role in {project.slug}")
            if role != "none":
                raw.execute(
                    f"INSERT INTO project_role (project_id, {table}_id, role) VALUES (?, ?, ?)",  # noqa: S608
                    (project.id, found[0], role),
                )
            note(raw, now, actor, f"member.{kind} {role}", name, project.slug)

        await self._database.write(write)

    async def teams(self) -> list[Team]:
        """Every team with its people, by name."""

        def read(raw: sqlite3.Connection) -> list[Team]:
            members: dict[int, list[str]] = {}
            for team, name in raw.execute(
                "SELECT team_id, user.name FROM team_member JOIN user ON user.id = user_id ORDER BY user.name"
            ):
                members.setdefault(team, []).append(name)
            rows: Sequence[tuple[int, str]] = raw.execute(
                "SELECT id, name FROM team ORDER BY name"
            ).fetchall()
            return [Team(number, name, members.get(number, [])) for number, name in rows]

        return await self._database.read(read)

    async def add_team(self, name: str, now: float, actor: str) -> None:
        """A new team without people; a taken name raises CONFLICT."""

        def write(raw: sqlite3.Connection) -> None:
            try:
                raw.execute("INSERT INTO team (name, created_at) VALUES (?, ?)", (name, now))
            except sqlite3.IntegrityError:
                raise Problem(Kind.CONFLICT, f"there is a team {name} already") from None
            note(raw, now, actor, "team.add", name)

        await self._database.write(write)

    async def remove_team(self, name: str, now: float, actor: str) -> None:
        """Forget a team and its roles."""

        def write(raw: sqlite3.Connection) -> None:
            if not raw.execute("DELETE FROM team WHERE name = ?", (name,)).rowcount:
                raise not_found(f"there is no team {name}")
            note(raw, now, actor, "team.remove", name)

        await self._database.write(write)

    async def set_member(self, team: str, user: str, member: bool, now: float, actor: str) -> None:
        """Put a person into a team or take them out."""

        def write(raw: sqlite3.Connection) -> None:
            found = raw.execute(
                "SELECT team.id, user.id FROM team, user WHERE team.name = ? AND user.name = ?", (team, user)
            ).fetchone()
            if found is None:
                raise not_found(f"there is no team {team} or no user {user}")
            if member:
                raw.execute("INSERT OR IGNORE INTO team_member (team_id, user_id) VALUES (?, ?)", found)
            else:
                raw.execute("DELETE FROM team_member WHERE team_id = ? AND user_id = ?", found)
            note(raw, now, actor, "team.join" if member else "team.leave", f"{user}, {team}")

        await self._database.write(write)
