"""What every room is handed when it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from mamimon.clock import Clock
from mamimon.config import Settings
from mamimon.storage.database import Database
from mamimon.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Core:
    """Settings, time, the data directory, the relational state and the self-metrics registry.

    `state` is `mamimon.db`, open and migrated before any room's `open`. `base_url` is the main
    listener's address as people reach it; it is known once the server is bound.
    """

    settings: Settings
    clock: Clock
    data_dir: Path
    state: Database
    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=True))
    project: str = ""
    """Slug of a further project; empty for the first one."""
    base_url: str = ""
    ports: frozenset[int] = frozenset()
    """Ports of our own listeners, known with `base_url`; the forwarder must not send to itself."""
    writable: Callable[[], bool] = lambda: True
    """False while the disk is (nearly) full: doors answer 503, queries and pages go on."""
    on_stop: list[Callable[[], None]] = field(default_factory=list)
    """Called when the server begins to stop, before it waits for requests: who streams ends here."""
    on_hangup: list[Callable[[], None]] = field(default_factory=list)
    """Called on SIGHUP: who has a configuration file reads it again."""

    def tally(self, name: str, about: str, labels: Sequence[str]) -> Tally:
        """A counter by labels among the self-metrics, whose new series show a 0 to our own scrapes first."""
        return Tally(
            name,
            about,
            labels,
            registry=self.registry,
            clock=self.clock,
            scrape_interval_s=self.settings.metrics.scrape_interval_s,
        )
