"""What the client's tests share: a receiver, and a client that is always ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.client import agent, errors, logs
from mamimon.client import start as life
from tests.client.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port."""
    one = Receiver()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`client(url=…)` is `mamimon.init` with a disk queue of the test's own; ended afterwards."""
    for name in ("ELASTICSEARCH_URL", "SENTRY_DSN", "VITE_SENTRY_DSN", "MAMIMON_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(errors, "_bucket", errors._Bucket())
    monkeypatch.setattr(agent, "_settings", None)

    def run(url: str = "", **others: Any) -> None:
        values = {
            "console": "off",
            "service": "Chat Service",
            "linger_s": 0.02,
            "spool_dir": str(tmp_path / "spool"),
        }
        life.init(url, **{**values, **others})

    yield run
    life.shutdown(0.2)
    logs.detach(life._handlers)
