"""One `/metrics` for several worker processes: each writes its values to a folder, each answers for all.

Counters and histograms are summed over every process there ever was (a worker that ended must not make
a counter fall); gauges over those that live. Values of ended workers are folded into one file.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from mamimon.client import agent
from mamimon.client.metrics import Family, families
from mamimon.client.settings import warn

try:
    import fcntl
except ImportError:  # Windows has no workers that fork
    fcntl = None  # type: ignore[assignment]

SAVE_EVERY_S = 0.5
_ENDED = "ended.json"

# {name: {label values as JSON: values}}
Values = dict[str, dict[str, list[float]]]

_writer: Optional[threading.Thread] = None
_written: Values = {}


def folder() -> Optional[Path]:
    """The shared folder, if one is configured (`MAMIMON_METRICS_DIR`, or `init(metrics_dir=…)`)."""
    text = agent.settings().metrics_dir
    return Path(text) if text and fcntl is not None else None


def watch() -> None:
    """Make sure that this process saves its values twice a second while they change."""
    global _writer  # noqa: PLW0603 - one a process
    if _writer is not None or not agent.settings().metrics_dir:
        return
    where = folder()
    if where is None:
        return
    thread = threading.Thread(target=_save_for_ever, args=(where,), name="mamimon-metrics", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is going down
        return
    _writer = thread


def _save_for_ever(where: Path) -> None:
    pause = threading.Event()
    while not pause.wait(SAVE_EVERY_S):
        save(where)


def save(where: Path) -> None:
    """Write this process's values where they have changed."""
    global _written  # noqa: PLW0603 - what the file holds
    values = _own()
    if values == _written:
        return
    path = where / f"{os.getpid()}.json"
    try:
        where.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{threading.get_ident()}.part")
        temporary.write_text(json.dumps(values), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        warn(f"metrics cannot be shared in {where}: {error}")
        return
    _written = values


def merged(where: Path) -> dict[str, dict[tuple[str, ...], list[float]]]:
    """The values of all processes, by family and label values."""
    save(where)
    kinds = {family.name: family.kind for family in families()}
    total: Values = {}
    with _locked(where):
        for path in _fold(where, kinds):
            _add(total, _read(path))
    return {
        name: {tuple(json.loads(key)): values for key, values in series.items()}
        for name, series in total.items()
    }


def _fold(where: Path, kinds: dict[str, str]) -> list[Path]:
    """Move what ended processes counted into one file; returns the files to sum."""
    ended = where / _ENDED
    gone = [path for path in where.glob("[0-9]*.json") if not _alive(int(path.stem))]
    if gone:
        kept = _read(ended)
        for path in gone:
            counted = {name: one for name, one in _read(path).items() if kinds.get(name) != "gauge"}
            _add(kept, counted)
        temporary = ended.with_suffix(".part")
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(ended)
        for path in gone:
            path.unlink()
    return sorted(where.glob("*.json"))


@contextmanager
def _locked(where: Path) -> Iterator[None]:
    with (where / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _own() -> Values:
    return {family.name: _plain(family) for family in families()}


def _plain(family: Family) -> dict[str, list[float]]:
    return {json.dumps(key): values for key, values in family.snapshot().items()}


def _read(path: Path) -> Values:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _add(total: Values, more: Values) -> None:
    for name, series in more.items():
        into = total.setdefault(name, {})
        for key, values in series.items():
            known = into.get(key)
            same = known is not None and len(known) == len(values)
            into[key] = _sum(known, values) if known is not None and same else values


def _sum(left: Iterable[float], right: Iterable[float]) -> list[float]:
    return [one + other for one, other in zip(left, right)]


def _after_fork() -> None:
    global _writer, _written
    _writer, _written = None, {}


agent.in_children(_after_fork)
