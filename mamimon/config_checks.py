"""The settings of one health check: a `[[health.checks]]` table."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal[
    "http", "tcp", "tls", "dns", "ping",
    "postgres", "mysql", "sqlite", "redis",
    "disk", "inodes", "memory", "swap", "load", "clock", "process", "systemd",
]  # fmt: skip
JSON_CONDITION = re.compile(r"\s*\$?(?P<path>[\w.\[\]-]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?)\s*)?")
_NO_TARGET = {"memory", "swap", "load", "clock", "systemd"}
# Use that goes up and down by itself; the others are degraded for a reason that stays.
_RESTLESS = {"memory", "swap", "load"}
_SCHEMES = {
    "http": ("http", "https"),
    "postgres": ("postgres", "postgresql"),
    "mysql": ("mysql", "mariadb"),
    "redis": ("redis", "rediss"),
}


class CheckSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[health.checks]]` table; what is None or 0 takes the section's or the kind's default."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: Kind
    target: str = ""
    """URL, host:port, host name, path, part of a command line, or unit, by kind.

    memory, swap and load have none; systemd without one looks for any failed unit, clock without one
    asks the kernel, with one that time server.
    """
    interval_s: Annotated[float, Meta(ge=1)] | None = None
    timeout_s: Annotated[float, Meta(ge=0.1, le=300)] | None = None
    retries: Annotated[int, Meta(ge=0, le=20)] = 1
    """Failures in a row that are forgiven before the check is down."""
    degraded_s: Annotated[float, Meta(ge=0)] = 0.0
    """Slower than this is degraded; 0 is never."""
    on_status_page: bool = True
    """Whether /status shows it."""
    alert_on: Literal["", "degraded", "down", "nothing"] = ""
    """The mildest state that becomes an alert; empty is degraded, and down for memory, swap and load."""
    status: list[Annotated[int, Meta(ge=100, le=599)]] = []
    """http: accepted status codes; empty accepts 200–399."""
    body: str = ""
    """http: text that the first MiB of the answer must hold."""
    body_not: str = ""
    """http: text that it must not hold."""
    json: list[str] = []
    """http: conditions on a JSON answer, as `status == "ok"`, `queue.length < 100`, `nodes[0].id`."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    payload: str = ""
    """http: the body that is sent with POST."""
    headers: dict[str, str] = {}
    certificate_days: Annotated[int, Meta(ge=0)] = 14
    """https, tls: a certificate that expires sooner makes the check degraded; 0 is never."""
    ca_file: str = ""
    """https, tls: PEM file of an own certificate authority; empty trusts the well-known ones."""
    max_redirects: Annotated[int, Meta(ge=0, le=20)] = 5
    record: Literal["", "A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = ""
    """dns: the record asked for; empty asks the system for addresses."""
    server: str = ""
    """dns: the server asked, as host or host:port; empty asks the system's."""
    expect: list[str] = []
    """dns: answers that must be among those that come."""
    degraded_percent: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """Use from which the check is degraded; 0 is 80 for disk, inodes and swap, 90 for memory, 200 for load
    (an average of twice as many running tasks as cores over five minutes)."""
    down_percent: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """Use from which the check is down; 0 is 95 for disk and inodes, 98 for memory, never for the others."""
    full_within_h: Annotated[float, Meta(ge=0)] = 24.0
    """disk: degraded where it will be full within these hours at the rate of the last ones; 0 is never."""
    drift_s: Annotated[float, Meta(gt=0)] = 0.5
    """clock: degraded where it may be off by more, down where by sixty times as much."""
    at_least: Annotated[int, Meta(ge=1)] = 1
    """process: how many must run."""

    @property
    def alerts_on(self) -> Literal["degraded", "down", "nothing"]:
        """The same with the kind's default."""
        return self.alert_on or ("down" if self.kind in _RESTLESS else "degraded")

    def __post_init__(self) -> None:
        if not self.target and self.kind not in _NO_TARGET:
            raise ValueError(f"check {self.name!r} of kind {self.kind} needs a target")
        schemes = _SCHEMES.get(self.kind)
        if schemes and not self.target.startswith(tuple(f"{s}://" for s in schemes)):
            raise ValueError(f"check {self.name!r}: target must start with {schemes[0]}://")
        if self.kind in {"tcp", "tls"} and not self.target.rpartition(":")[2].isdigit():
            raise ValueError(f"check {self.name!r}: target must be host:port")
        for condition in self.json:
            found = JSON_CONDITION.fullmatch(condition)
            if found is None or not (found["path"] or found["op"]):
                raise ValueError(
                    f'check {self.name!r}: json: {condition[:60]!r} is not like status == "ok" or a.b[0] < 5'
                )
            if found["value"] is not None:
                try:
                    msgspec.json.decode(found["value"])
                except msgspec.DecodeError:
                    raise ValueError(
                        f"check {self.name!r}: json: {found['value'][:60]!r} is not JSON; text needs quotes"
                    ) from None
