"""The settings of one health check: a `[[health.checks]]` table."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class CheckSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[health.checks]]` table; what is None or 0 takes the section's or the kind's default."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    kind: Literal["http", "tcp", "dns", "postgres", "sqlite", "redis", "disk", "memory"]
    target: str = ""
    """URL, host:port, host name, or path, by kind; `memory` has none."""
    interval_s: Annotated[float, Meta(ge=1)] | None = None
    timeout_s: Annotated[float, Meta(ge=0.1, le=300)] | None = None
    retries: Annotated[int, Meta(ge=0, le=20)] = 1
    """Failures in a row that are forgiven before the check is down."""
    degraded_s: Annotated[float, Meta(ge=0)] = 0.0
    """Slower than this is degraded; 0 is never."""
    status: list[Annotated[int, Meta(ge=100, le=599)]] = []
    """http: accepted status codes; empty accepts 200–399."""
    body: str = ""
    """http: text that the first MiB of the answer must hold."""
    method: Literal["GET", "HEAD", "POST"] = "GET"
    headers: dict[str, str] = {}
    certificate_days: Annotated[int, Meta(ge=0)] = 14
    """https: a certificate that expires sooner makes the check degraded; 0 is never."""
    ca_file: str = ""
    """https: PEM file of an own certificate authority; empty trusts the well-known ones."""
    max_redirects: Annotated[int, Meta(ge=0, le=20)] = 5
    degraded_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """disk, memory: use from which the check is degraded; 0 is 80 for disk, 90 for memory."""
    down_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """disk, memory: use from which the check is down; 0 is 95 for disk, 98 for memory."""

    def __post_init__(self) -> None:
        if not self.target and self.kind != "memory":
            raise ValueError(f"check {self.name!r} of kind {self.kind} needs a target")
        schemes = {
            "http": ("http", "https"),
            "postgres": ("postgres", "postgresql"),
            "redis": ("redis", "rediss"),
        }
        if self.kind in schemes and not self.target.startswith(tuple(f"{s}://" for s in schemes[self.kind])):
            raise ValueError(f"check {self.name!r}: target must start with {schemes[self.kind][0]}://")
        if self.kind == "tcp" and not self.target.rpartition(":")[2].isdigit():
            raise ValueError(f"check {self.name!r}: target must be host:port")
