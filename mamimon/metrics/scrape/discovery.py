"""From a job to its targets: static groups, files, DNS, then relabelling (Prometheus `scrape/target.go`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
import yaml

from mamimon.metrics.scrape.config import Group, Job
from mamimon.metrics.scrape.relabel import relabel
from mamimon.metrics.scrape.yaml_file import duration

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels

_MAX_FILE_BYTES = 16 * 1024 * 1024


class Target(msgspec.Struct, frozen=True):
    """One thing to scrape: where, how often, and the labels that its series get."""

    job: str
    url: str
    labels: Labels
    """`job`, `instance` and what discovery and relabelling gave; no `__` labels."""
    discovered: Labels
    """Everything before relabelling, for the targets page."""
    interval_s: float
    timeout_s: float

    @property
    def key(self) -> str:
        """What tells one target from another within its job."""
        return self.url + "\0" + "\0".join(f"{k}\0{v}" for k, v in sorted(self.labels.items()))


def targets_of(job: Job, groups: Iterable[Group]) -> tuple[list[Target], list[Labels]]:
    """The targets of a job's groups, each once, and the discovered labels of those that were dropped."""
    kept: dict[str, Target] = {}
    dropped: list[Labels] = []
    for group in groups:
        for address in group.targets:
            discovered = _discovered(job, address, group)
            target = _target(job, discovered)
            if target is None:
                dropped.append(discovered)
            else:
                kept.setdefault(target.key, target)
    return list(kept.values()), dropped


def read_file_groups(patterns: Iterable[str]) -> tuple[list[Group], list[str]]:
    """Read `file_sd` files (JSON or YAML); a file that cannot be read is an error text, the others count."""
    groups: list[Group] = []
    errors: list[str] = []
    for pattern in patterns:
        base = Path(pattern)
        for path in sorted(base.parent.glob(base.name)):
            try:
                groups += _file_groups(path)
            except (OSError, ValueError, yaml.YAMLError, msgspec.ValidationError) as error:
                errors.append(f"{path}: {error}")
    return groups, errors


def _file_groups(path: Path) -> list[Group]:
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"is larger than {_MAX_FILE_BYTES} bytes")
    text = path.read_text(encoding="utf-8")
    raw: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    found = msgspec.convert(raw or [], list[dict[str, Any]])
    return [
        Group(
            msgspec.convert(one.get("targets") or [], list[str]),
            {str(name): str(value) for name, value in (one.get("labels") or {}).items()},
            str(path),
        )
        for one in found
    ]


def _discovered(job: Job, address: str, group: Group) -> Labels:
    labels = {
        "job": job.name,
        "__address__": address,
        "__scheme__": job.scheme,
        "__metrics_path__": job.metrics_path,
        "__scrape_interval__": _shown(job.interval_s),
        "__scrape_timeout__": _shown(job.timeout_s),
    }
    labels |= {f"__param_{name}": values[0] for name, values in job.params.items() if values}
    if job.files and not group.source.endswith("/static"):
        labels["__meta_filepath"] = group.source
    return labels | group.labels


def _target(job: Job, discovered: Labels) -> Target | None:
    labels = relabel(discovered, job.relabel)
    if labels is None or not labels.get("__address__"):
        return None
    address = labels["__address__"]
    params = {name: list(values) for name, values in job.params.items()}
    for name, value in labels.items():
        if name.startswith("__param_"):
            params[name.removeprefix("__param_")] = [
                value,
                *params.get(name.removeprefix("__param_"), [])[1:],
            ]
    query = urlencode(params, doseq=True)
    path = labels.get("__metrics_path__", "/metrics")
    url = f"{labels.get('__scheme__', 'http')}://{address}{'' if path.startswith('/') else '/'}{path}"
    if query:
        url += ("&" if "?" in path else "?") + query
    shown = {name: value for name, value in labels.items() if not name.startswith("__")}
    shown.setdefault("instance", address)
    return Target(
        job=job.name,
        url=url,
        labels=shown,
        discovered=discovered,
        interval_s=duration(labels.get("__scrape_interval__", "")) or job.interval_s,
        timeout_s=duration(labels.get("__scrape_timeout__", "")) or job.timeout_s,
    )


def _shown(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
