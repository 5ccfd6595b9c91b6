"""The `remote_write` part of prometheus.yml: where samples are sent on to."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import msgspec

from mamimon.metrics.scrape.job import Header, Http
from mamimon.metrics.scrape.read_http import HTTP_KEYS, read_http
from mamimon.metrics.scrape.read_job import read_rules
from mamimon.metrics.scrape.relabel import Relabel
from mamimon.metrics.scrape.yaml_file import Node

_KEYS = {
    "url",
    "name",
    "remote_timeout",
    "headers",
    "write_relabel_configs",
    "queue_config",
    "send_native_histograms",
    "protobuf_message",
    "metadata_config",
    "send_exemplars",
}
_QUEUE = {"max_samples_per_send", "min_backoff", "max_backoff"}
# Tune Prometheus' own queue in memory; ours is on the disk, is filled each second, has one sender, and
# waits where it is told to (429).
_NO_DIFFERENCE = {"capacity", "max_shards", "min_shards", "batch_send_deadline", "retry_on_http_429"}
_FIRST = "prometheus.WriteRequest"


class RemoteWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver of samples; times in seconds."""

    url: str
    name: str = ""
    """What it is called in logs, metrics and the queue: the `name`, else the URL without secrets."""
    http: Http = Http()
    timeout_s: float = 30.0
    relabel: tuple[Relabel, ...] = ()
    native_histograms: bool = False
    batch_samples: int = 2000
    first_delay_s: float = 1.0
    longest_delay_s: float = 60.0


def plain_url(url: str) -> str:
    """An URL without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def read_remote_writes(node: Node, warn: Callable[[Node, set[str]], None]) -> list[RemoteWrite]:
    """Read the list; `warn` names the keys that have no effect. Raises `ConfigError`."""
    found: list[RemoteWrite] = []
    for one in node.items():
        read = _read(one, warn)
        if any(read.name == other.name for other in found):
            one.fail(f"two remote_writes are named {read.name!r}; give each a name")
        found.append(read)
    return found


def _read(node: Node, warn: Callable[[Node, set[str]], None]) -> RemoteWrite:
    unsupported = {"sigv4", "azuread", "google_iam", "round_robin_dns"}
    node.only(_KEYS | HTTP_KEYS | unsupported)
    warn(node, unsupported)
    if node.get("send_exemplars").flag(False):
        warn(node, {"send_exemplars"})
    message = node.get("protobuf_message").text(_FIRST)
    if message not in {_FIRST, "io.prometheus.write.v2.Request"}:
        node.get("protobuf_message").fail(f"unknown message {message!r}")
    if message != _FIRST:
        # Each receiver of 2.0 takes 1.0 as well.
        warn(node, {"protobuf_message"})
    url = node.get("url").text("")
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        node.fail("a remote_write needs a url that begins with http:// or https://")
    queue = node.get("queue_config")
    queue.only(_QUEUE | _NO_DIFFERENCE | {"sample_age_limit"})
    warn(queue, {"sample_age_limit"})
    http = read_http(node)
    headers = {name: Header((value,), ()) for name, value in node.get("headers").texts().items()}
    return RemoteWrite(
        url=url,
        name=node.get("name").text("") or plain_url(url),
        http=msgspec.structs.replace(http, headers={**http.headers, **headers}),
        timeout_s=node.get("remote_timeout").duration(30.0),
        relabel=tuple(read_rules(node.get("write_relabel_configs"))),
        native_histograms=node.get("send_native_histograms").flag(False),
        batch_samples=max(1, queue.get("max_samples_per_send").number(2000)),
        first_delay_s=queue.get("min_backoff").duration(1.0),
        longest_delay_s=max(queue.get("max_backoff").duration(60.0), queue.get("min_backoff").duration(1.0)),
    )
