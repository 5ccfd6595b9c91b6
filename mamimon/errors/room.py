"""The errors room: its life, tasks and doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge

from mamimon.errors.apply_store import Change
from mamimon.errors.artifact_store import ArtifactStore
from mamimon.errors.event_store import EventStore
from mamimon.errors.ingest import Ingest
from mamimon.errors.issue_routes import issue_change_handlers
from mamimon.errors.issue_store import IssueStore
from mamimon.errors.model import IssueSummary, Project
from mamimon.errors.pages import page_handlers
from mamimon.errors.query import IssueQuery, histogram
from mamimon.errors.release_pages import release_handlers
from mamimon.errors.routes import route_handlers
from mamimon.errors.rule_pages import rule_handlers
from mamimon.errors.rule_store import RuleStore, RuleTexts
from mamimon.errors.session_store import SessionStore
from mamimon.errors.symbolicate import Resolver
from mamimon.errors.uploads import Uploads
from mamimon.errors.wire.api0 import api0_handlers
from mamimon.errors.wire.sdk import sdk_handlers
from mamimon.errors.wire.sentry import SentryDoor
from mamimon.room import Task
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import AsgiApp


class ErrorRoom:
    """See `mamimon.room.Room`."""

    name = "errors"

    def __init__(self, core: Core) -> None:
        self.core = core
        self.events = EventStore(core.data_dir / "errors")
        self.issues = IssueStore(core.state)
        self.rules = RuleStore(core.state)
        self.query = IssueQuery(self.issues, self.events)
        self.sessions = SessionStore(self.events, core.state)
        self.ingest = Ingest(core, self.events, self.issues)
        self.door = SentryDoor(core, self.ingest, self.issues, self.sessions)
        self.artifacts = ArtifactStore(
            core.data_dir / "errors" / "artifacts.db", core.clock, core.settings.errors.sourcemap_bytes
        )
        self.uploads = Uploads(core, self.artifacts)
        resolver = Resolver(self.artifacts, core.settings.errors.sourcemap_folder)
        self.ingest.improve = self.query.improve = resolver.resolve
        self.on_deploy: Callable[[str, float, str], Awaitable[None]] = _forget_deploy
        """Told of a release that went live: version, epoch seconds, environment."""
        self._unresolved = 0
        self._changes = core.tally(
            "mamimon_errors_issues",
            "Issues that are new, regressed or returned, by project number.",
            ["kind", "project"],
        )
        self._gauge = Gauge(
            "mamimon_errors_unresolved", "Issues that wait for somebody.", registry=core.registry
        )

    async def open(self) -> None:
        """See `Room.open`."""
        secret = await self.issues.prepare(self.core.clock.now())
        self.query.secret = secret
        self.door.keys = await self.issues.keys()
        await self.artifacts.open()
        self.ingest.rules = {project: texts.read() for project, texts in (await self.rules.all()).items()}
        await self.ingest.open(secret)
        await self.recount()
        self.ingest.on_change = self._changed

    async def close(self) -> None:
        """See `Room.close`."""
        await self.events.close()
        await self.artifacts.close()

    def tasks(self) -> Sequence[Task]:
        """See `Room.tasks`."""
        return []

    def handlers(self) -> Sequence[ControllerRouterHandler]:
        """See `Room.handlers`."""
        return [
            *route_handlers(self),
            *page_handlers(self),
            *release_handlers(self),
            *issue_change_handlers(self),
            *rule_handlers(self),
            *api0_handlers(self),
            *sdk_handlers(self),
        ]

    def direct(self, path: str) -> AsgiApp | None:
        """Sentry's doors (`mamimon.room.Direct`)."""
        return self.door.at(path)

    def badge(self) -> dict[str, int]:
        """How many issues are unresolved (`mamimon.room.Badged`)."""
        return {"errors": self._unresolved}

    def _changed(self, changes: list[Change]) -> None:
        # Each kind of change (new, regressed, returned) makes one more unresolved issue.
        self._count(self._unresolved + len(changes))
        for one in changes:
            self._changes.add(one.kind, str(one.project))

    def _count(self, unresolved: int) -> None:
        self._unresolved = unresolved
        self._gauge.set(unresolved)

    async def set_rules(self, project: int, texts: RuleTexts) -> None:
        """Write a project's rules; they hold for events from now on. Raises `RuleError`."""
        rules = texts.read()
        await self.rules.put(project, texts)
        self.ingest.rules[project] = rules

    async def recount(self) -> None:
        """Read the number of unresolved issues again, after somebody changed some."""
        self._count(await self.issues.unresolved())

    async def top(self, since: float, limit: int = 10) -> list[IssueSummary]:
        """The issues that happened most since `since` (epoch seconds), to the hour."""
        return await self.query.top(since, self.core.clock.now(), limit)

    async def projects(self) -> list[Project]:
        """Every project with its DSN on the main listener."""
        scheme, _, host = self.core.base_url.partition("://")
        return [
            Project(id=number, name=name, key=key or "", dsn=f"{scheme}://{key}@{host}/{number}")
            for number, name, key in await self.issues.projects()
        ]

    async def add_project(self, name: str) -> Project:
        """A new project with its key; the name must be new."""
        number = await self.issues.add_project(name, self.core.clock.now())
        self.door.keys = await self.issues.keys()
        return next(one for one in await self.projects() if one.id == number)

    async def histogram(
        self, start: float, end: float, step_s: float, project: int = 0
    ) -> dict[str, list[Any]]:
        """Chart data: events by level in steps of whole minutes over [start, end)."""
        return histogram(await self.events.minutes(start, end, project), start, end, step_s)

    def months(self) -> list[str]:
        """The months (YYYY-MM) that there are files of, oldest first."""
        return self.events.months()

    def month_path(self, month: str) -> Path:
        """The file of a month."""
        return self.events.path(month)

    async def drop_month(self, month: str) -> None:
        """Delete a month's events; issues and their exact counts stay."""
        await self.events.drop(month)
        await self.issues.forget_month(month)

    async def snapshot_month(self, month: str, target: Path) -> None:
        """A consistent copy of a month's file."""
        await self.events.snapshot(month, target)


async def _forget_deploy(version: str, at: float, environment: str) -> None:
    """Where no room keeps deploys."""
