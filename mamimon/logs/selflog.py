"""mamimon's own log lines, stored through the same door as everyone's, without loops.

Storing a line logs nothing when it works; when it fails, the lines are dropped and counted, and the
failure is on stderr, where the process's own handler writes it.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from mamimon.clock import Clock
from mamimon.home import current_project
from mamimon.logs.ingest import LogIngest
from mamimon.logs.model import LogRecord
from mamimon.problems import Problem

_EVERY_S = 0.5
_MOST = 2_000
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class SelfLog(logging.Handler):
    """A handler on the `mamimon` logger; `run` moves what it holds to the store.

    It keeps what is said of one `project` (see `mamimon.home`).
    """

    def __init__(
        self, ingest: LogIngest, clock: Clock, registry: CollectorRegistry, project: str = ""
    ) -> None:
        super().__init__(logging.INFO)
        self._project = project
        self._ingest = ingest
        self._clock = clock
        self._held: deque[LogRecord] = deque(maxlen=_MOST)
        self._dropped = Counter(
            "mamimon_self_log_dropped", "Own log lines that could not be stored.", registry=registry
        )

    def attach(self) -> None:
        """Begin to listen."""
        logger = logging.getLogger("mamimon")
        logger.addHandler(self)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line; called in any thread."""
        if current_project.get() != self._project:
            return
        try:
            extra: dict[str, Any] = {
                key: value if isinstance(value, (str, int, float, bool)) else str(value)
                for key, value in record.__dict__.items()
                if key not in _OWN
            }
            if record.exc_info and record.exc_info[1] is not None:
                kind, error, _ = record.exc_info
                extra["exception"] = {
                    "type": kind.__name__ if kind else "",
                    "message": str(error),
                    "stack": "".join(traceback.format_exception(error)),
                }
            for name in ("level", "logger", "message", "dataset"):
                extra.pop(name, None)
            self._held.append(
                self._ingest.record(record.levelname, record.name, record.getMessage(), **extra)
            )
        except Exception:
            self.handleError(record)

    async def run(self) -> None:
        """Store what was held, twice a second."""
        while True:
            await self.flush_held()
            await self._clock.sleep(_EVERY_S)

    async def flush_held(self) -> None:
        """Store what is held now."""
        if not self._held:
            return
        records = [self._held.popleft() for _ in range(len(self._held))]
        try:
            await self._ingest.append(records)
        except Problem:
            self._dropped.inc(len(records))

    async def finish(self) -> None:
        """Stop listening and store the last lines."""
        logging.getLogger("mamimon").removeHandler(self)
        await self.flush_held()
