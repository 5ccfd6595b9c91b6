"""SQLite files: one writer each, query-only readers, migrations, and the disk they live on."""

from mamimon.storage.core import Core
from mamimon.storage.database import Database, Work
from mamimon.storage.disk import DiskGuard
from mamimon.storage.migrate import MigrationError, migrate

__all__ = ["Core", "Database", "DiskGuard", "MigrationError", "Work", "migrate"]
