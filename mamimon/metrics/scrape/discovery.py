"""From a job to its targets: static groups, files, DNS, then relabelling (Prometheus `scrape/target.go`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
import yaml

from mamimon.clock import Clock
from mamimon.metrics.scrape.client import Client, FetchError
from mamimon.metrics.scrape.job import Formats, Group, HttpDiscovery, Job
from mamimon.metrics.scrape.names import resolve
from mamimon.metrics.scrape.relabel import relabel
from mamimon.metrics.scrape.yaml_file import duration, duration_text

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels

_MAX_FILE_BYTES = 16 * 1024 * 1024
_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_HISTOGRAM_LABELS = {
    "__convert_classic_histograms_to_nhcb__": "to_custom_buckets",
    "__always_scrape_classic_histograms__": "keep_classic",
    "__scrape_native_histograms__": "native",
}
"""Labels that relabelling may change for a target, and the job's setting that each begins as."""
_LOOK_S = 5.0
"""How soon a changed file is noticed."""


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
    formats: Formats = Formats()
    """The job's, with what relabelling says of this target's histograms."""

    @property
    def key(self) -> str:
        """What tells one target from another within its job."""
        return self.url + "\0" + "\0".join(f"{k}\0{v}" for k, v in sorted(self.labels.items()))


def targets_of(job: Job, groups: Iterable[Group]) -> tuple[list[Target], list[Labels], list[str]]:
    """A job's targets, each once, the discovered labels of those that were dropped, and why some are none."""
    kept: dict[str, Target] = {}
    dropped: list[Labels] = []
    wrong: list[str] = []
    for group in groups:
        for address in group.targets:
            discovered = _discovered(job, address, group)
            try:
                target = _target(job, discovered)
            except ValueError as error:
                wrong.append(f"target {address[:200]!r}: {error}")
                continue
            if target is None:
                dropped.append(discovered)
            else:
                kept.setdefault(target.key, target)
    return list(kept.values()), dropped, wrong


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


def file_state(patterns: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    """Which files the patterns match, their time of change and size: another answer means a change."""
    found = []
    for pattern in patterns:
        base = Path(pattern)
        for path in sorted(base.parent.glob(base.name)) if "*" in base.name else [base]:
            try:
                state = path.stat()
            except OSError:
                continue
            found.append((str(path), state.st_mtime_ns, state.st_size))
    return tuple(found)


def _file_groups(path: Path) -> list[Group]:
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"is larger than {_MAX_FILE_BYTES} bytes")
    text = path.read_text(encoding="utf-8")
    raw: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return groups_of(raw, f"file/{path}")


def groups_of(raw: Any, source: str) -> list[Group]:
    """Target groups as files and `http_sd` write them; raises `msgspec.ValidationError` or `ValueError`."""
    found = msgspec.convert(raw or [], list[dict[str, Any]])
    out = []
    for one in found:
        unknown = set(one) - {"targets", "labels"}
        if unknown:
            raise ValueError(f"unknown field {min(unknown)!r} in a target group")
        out.append(
            Group(
                msgspec.convert(one.get("targets") or [], list[str]),
                {str(name): str(value) for name, value in (one.get("labels") or {}).items()},
                source,
            )
        )
    return out


def _discovered(job: Job, address: str, group: Group) -> Labels:
    labels = {
        "job": job.name,
        "__address__": address,
        "__scheme__": job.scheme,
        "__metrics_path__": job.metrics_path,
        "__scrape_interval__": duration_text(job.interval_s),
        "__scrape_timeout__": duration_text(job.timeout_s),
        **{label: _said(getattr(job.formats, field)) for label, field in _HISTOGRAM_LABELS.items()},
    }
    labels |= {f"__param_{name}": values[0] for name, values in job.params.items() if values}
    if group.source.startswith("file/"):
        labels["__meta_filepath"] = group.source.removeprefix("file/")
    elif group.source.startswith("http"):
        labels["__meta_url"] = group.source
    # An empty label is no label, and gives way to what the job says.
    own = group.labels | group.own.get(address, {})
    return labels | {name: value for name, value in own.items() if value or name not in labels}


def _target(job: Job, discovered: Labels) -> Target | None:
    labels = relabel(discovered, job.relabel)
    if labels is None:
        return None
    address = labels.get("__address__", "")
    if not address:
        raise ValueError("no address")
    if "/" in address:
        raise ValueError(f"{address[:200]!r} is not a valid hostname")
    params = {name: list(values) for name, values in job.params.items()}
    for name, value in labels.items():
        if name.startswith("__param_"):
            params[name.removeprefix("__param_")] = [
                value,
                *params.get(name.removeprefix("__param_"), [])[1:],
            ]
    interval_s, timeout_s = _times(labels)
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
        interval_s=interval_s,
        timeout_s=timeout_s,
        formats=_formats(job, labels),
    )


def _times(labels: Labels) -> tuple[float, float]:
    """Interval and timeout, which relabelling may have changed."""
    found = []
    for what in ("interval", "timeout"):
        text = labels.get(f"__scrape_{what}__", "")
        seconds = duration(text)
        if seconds is None:
            raise ValueError(f"error parsing scrape {what}: not a valid duration string: {text[:50]!r}")
        if not seconds:
            raise ValueError(f"scrape {what} cannot be 0")
        found.append(seconds)
    if found[1] > found[0]:
        shown = [labels[f"__scrape_{what}__"] for what in ("timeout", "interval")]
        raise ValueError(
            f'scrape timeout cannot be greater than scrape interval ("{shown[0]}" > "{shown[1]}")'
        )
    return found[0], found[1]


def _formats(job: Job, labels: Labels) -> Formats:
    changed = {}
    for label, field in _HISTOGRAM_LABELS.items():
        text = labels.get(label) or _said(getattr(job.formats, field))
        if text.lower() not in _TRUTHS:
            what = label.strip("_").replace("_", " ")
            raise ValueError(f"error parsing {what}: not a truth value: {text[:50]!r}")
        changed[field] = _TRUTHS[text.lower()]
    return msgspec.structs.replace(job.formats, **changed)


def _said(flag: bool) -> str:
    return "true" if flag else "false"


class Discovery:
    """The target groups of a job, each kind asked in its own rhythm; one that fails keeps its last answer."""

    def __init__(self, job: Job, clock: Clock, dns_servers: Sequence[str]) -> None:
        self._job = job
        self._clock = clock
        self._dns_servers = dns_servers
        self._sources: list[_Source] = [
            *(_Source(partial(self._files, one.files), one.refresh_s, tuple(one.files)) for one in job.files),
            *(_Source(partial(resolve, one, dns_servers), one.refresh_s) for one in job.dns),
            *(_Source(partial(self._web, one), one.refresh_s) for one in job.web),
        ]
        self._clients: dict[str, Client] = {}

    @property
    def errors(self) -> list[str]:
        """Why the last asking failed in part."""
        return [error for source in self._sources for error in source.errors]

    async def groups(self) -> list[Group]:
        """Every group, asked again where it is time or a file has changed."""
        out = list(self._job.static)
        for source in self._sources:
            state = await asyncio.to_thread(file_state, source.patterns)
            now = self._clock.monotonic()
            if source.asked_at is None or now - source.asked_at >= source.every_s or state != source.state:
                found, source.errors = await source.ask()
                source.asked_at, source.state = now, state
                if found or not source.errors:
                    source.found = found
            out += source.found
        return out

    def pause_s(self) -> float | None:
        """How long to wait before asking again; None: nothing will change."""
        if not self._sources:
            return None
        return min([source.every_s for source in self._sources] + ([_LOOK_S] if self._job.files else []))

    async def _files(self, patterns: list[str]) -> tuple[list[Group], list[str]]:
        return await asyncio.to_thread(read_file_groups, patterns)

    async def _web(self, config: HttpDiscovery) -> tuple[list[Group], list[str]]:
        client = self._clients.get(config.url)
        if client is None:
            client = self._clients[config.url] = Client(config.http, self._clock)
        headers = {
            "Accept": "application/json",
            "X-Prometheus-Refresh-Interval-Seconds": f"{config.refresh_s:g}",
        }
        try:
            body, kind = await client.get(
                config.url, headers=headers, timeout_s=config.refresh_s, limit_bytes=_MAX_FILE_BYTES
            )
            if kind.partition(";")[0].strip() != "application/json":
                return [], [f"{config.url}: unsupported content type {kind[:80]!r}"]
            return groups_of(json.loads(body), config.url), []
        except (FetchError, ValueError, msgspec.ValidationError) as error:
            return [], [f"{config.url}: {error}"]

    async def close(self) -> None:
        """Drop connections."""
        for client in self._clients.values():
            await client.close()


class _Source:
    """One discovery config and its last answer."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[tuple[list[Group], list[str]]]],
        every_s: float,
        patterns: tuple[str, ...] = (),
    ) -> None:
        self.ask = ask
        self.every_s = every_s
        self.patterns = patterns
        self.found: list[Group] = []
        self.errors: list[str] = []
        self.asked_at: float | None = None
        self.state: tuple[tuple[str, int, int], ...] = ()
