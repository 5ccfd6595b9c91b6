"""Dashboards from a folder of JSON and YAML files, read again when a file changes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec

from mamimon.dashboards.builtin import builtin
from mamimon.dashboards.grafana_read import is_grafana, read_grafana
from mamimon.dashboards.model import Dashboard, read_dashboard, slug_of
from mamimon.problems import Problem
from mamimon.storage import Core

_log = logging.getLogger("mamimon.dashboards")
LOOK_S = 5.0
_MOST_FILES = 500
_MOST_BYTES = 8_000_000
_ENDINGS = {".json", ".yaml", ".yml"}


class Provisioned:
    """The dashboards of the folder `dashboards.folder`, by slug, and what is wrong with its files.

    A file that cannot be read keeps the dashboard that it held before.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.found: dict[str, Dashboard] = {}
        self.problems: dict[str, str] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._of: dict[str, Dashboard] = {}

    @property
    def folder(self) -> Path | None:
        """The folder, None where none is set."""
        given = self._core.settings.dashboards.folder
        return Path(given).expanduser() if given else None

    async def load(self) -> None:
        """Read what is new or has changed since the last time."""
        if self.folder is None:
            return
        before = dict(self.problems)
        await asyncio.to_thread(self._look, self.folder)
        for name, problem in self.problems.items():
            if before.get(name) != problem:
                _log.warning("dashboard file %s: %s", name, problem)

    async def run(self) -> None:
        """Look every few seconds."""
        while True:
            await self._core.clock.sleep(LOOK_S)
            await self.load()

    def _look(self, folder: Path) -> None:
        if not folder.is_dir():
            self.problems = {str(folder): "this folder is not there"}
            return
        files = [one for one in sorted(folder.rglob("*")) if one.suffix in _ENDINGS and one.is_file()]
        of: dict[str, Dashboard] = {}
        seen: dict[str, tuple[int, int]] = {}
        problems: dict[str, str] = {}
        for path in files[:_MOST_FILES]:
            name = path.relative_to(folder).as_posix()
            try:
                state = path.stat()
                seen[name] = (state.st_mtime_ns, state.st_size)
                if self._seen.get(name) == seen[name] and name not in self.problems:
                    of[name] = self._of[name]
                    continue
                if state.st_size > _MOST_BYTES:
                    raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
                of[name] = read_file(path.read_bytes(), path)
            except (OSError, ValueError, Problem) as error:
                problems[name] = error.detail if isinstance(error, Problem) else str(error)
                if name in self._of:
                    of[name] = self._of[name]
        found: dict[str, Dashboard] = {}
        for name, one in of.items():
            if one.slug in builtin() or one.slug in found:
                problems[name] = f"there is a dashboard {one.slug!r} already"
            else:
                found[one.slug] = one
        self._seen, self._of, self.found, self.problems = seen, of, found, problems


def read_file(body: bytes, path: Path) -> Dashboard:
    """A dashboard of ours or of Grafana, as JSON or YAML; one without a slug takes its file's name."""
    if path.suffix == ".json":
        try:
            document: Any = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from None
    else:
        import yaml

        try:
            document = yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from None
    if not isinstance(document, dict):
        raise ValueError("it does not hold a dashboard")
    slug = slug_of(path.stem)
    if is_grafana(document):
        return msgspec.structs.replace(read_grafana(document).dashboard, slug=slug)
    return read_dashboard(msgspec.json.encode({"slug": slug, **document}))
