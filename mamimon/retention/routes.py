"""The API of clean-up and backup, which the commands use."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from litestar import get, post

from mamimon.problems import Problem, unavailable
from mamimon.retention.backup import BackupError
from mamimon.retention.model import DayResult, Manifest

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.retention.cleanup import Cleanup
    from mamimon.retention.store import RetentionStore


def retention_routes(cleanup: Cleanup, store: RetentionStore) -> list[ControllerRouterHandler]:
    """`/api/mamimon/cleanup` and `/api/mamimon/backup`."""

    @get("/api/mamimon/cleanup")
    async def cleanup_plan() -> dict[str, Any]:
        """What a clean-up would delete now, the last run, and the newest deletions."""
        return {"due": cleanup.due(), "last": cleanup.last, "deletions": await store.deletions(100)}

    @post("/api/mamimon/cleanup", status_code=200)
    async def cleanup_run() -> list[DayResult]:
        """Clean up now; each due day with what became of it."""
        cleanup.started()
        return await cleanup.run()

    @post("/api/mamimon/backup", status_code=200)
    async def backup_run() -> list[Manifest]:
        """Back up the state and every day that changed; the manifests of what was made."""
        cleanup.started()
        try:
            return await cleanup.back_up_all()
        except (BackupError, OSError, sqlite3.Error) as error:
            raise _failed(error) from None

    return [cleanup_plan, cleanup_run, backup_run]


def _failed(error: Exception) -> Problem:
    return unavailable(f"the backup failed: {error}", "check retention.backup_dir and the free space there")
