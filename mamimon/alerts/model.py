"""What the alerts room talks about: rules, alerts, silences, incidents and messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from mamimon.i18n import N_
from mamimon.metrics.scrape.yaml_file import duration as prometheus_duration
from mamimon.problems import bad_input

Labels = dict[str, str]
State = Literal["inactive", "pending", "firing"]


def duration(text: str | float) -> float:
    """Seconds of a Prometheus duration such as `1h30m` or `15s`; a bare `0` is allowed."""
    raw = str(text).strip()
    seconds = prometheus_duration(raw) if len(raw) <= 40 else None
    if seconds is None:
        raise bad_input(f"not a duration: {raw[:40]!r}", "write it like 30s, 5m or 1h30m")
    return seconds


def show_duration(seconds: float) -> str:
    """A duration as Prometheus writes it: `1h30m`, `500ms`, `0s`."""
    rest = round(seconds * 1000)
    if rest == 0:
        return "0s"
    out = ""
    for name, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        if rest >= size:
            out += f"{rest // size}{name}"
            rest %= size
    return out


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hex digits that are the same for the same label set."""
    text = "\xff".join(f"{name}\xff{labels[name]}" for name in sorted(labels))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class LineCount(msgspec.Struct, frozen=True):
    """How many log lines a query finds in the last `window_s`, kept as `series`, which the rule compares.

    With `by`, a field's name, each of its values is counted for itself, and `series` get it as a label.
    """

    query: str
    window_s: float
    series: Labels
    by: str = ""

    @property
    def label(self) -> str:
        """The label that holds the field's value; empty without one."""
        return label_name(self.by)


def label_name(field: str) -> str:
    """A field's name as a plain label: `http.route` is `http_route`."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", field)
    return f"_{plain}" if plain[:1].isdigit() else plain


class Rule(msgspec.Struct, kw_only=True):
    """An alerting or recording rule as its file has it; durations in seconds."""

    name: str
    expr: str
    alerting: bool
    line: int
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    labels: Labels = {}
    annotations: Labels = {}
    lines: LineCount | None = None
    """Counted before the expression is evaluated."""
    own: int = 0
    """The number of a rule that was made on a page; 0 for those of files."""
    # What the last evaluation found:
    health: Literal["unknown", "ok", "err"] = "unknown"
    error: str = ""
    evaluated_at: float = 0.0
    took_s: float = 0.0

    @property
    def severity(self) -> str:
        """The `severity` label, or `warning`."""
        return self.labels.get("severity", "warning")


class RuleGroup(msgspec.Struct, kw_only=True):
    """Rules that are evaluated one after another at the same instant."""

    name: str
    file: str
    rules: list[Rule]
    interval_s: float
    limit: int = 0
    query_offset_s: float = 0.0
    labels: Labels = {}
    evaluated_at: float = 0.0
    took_s: float = 0.0

    @property
    def key(self) -> str:
        """Names the group across restarts."""
        return f"{self.file};{self.name}"

    def all_labels(self, rule: Rule) -> Labels:
        """The labels of a rule with those of its group."""
        return {**self.labels, **rule.labels}

    def rule_key(self, rule: Rule) -> str:
        """Names a rule across restarts; a changed expression or label set is another rule."""
        fixed = f"{self.key}\n{rule.name}\n{rule.expr}\n{sorted(rule.labels.items())}"
        return hashlib.blake2b(fixed.encode(), digest_size=12).hexdigest()


class FileError(msgspec.Struct, frozen=True):
    """Why a rule or configuration file (or a part of one) is not used."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ActiveAlert(msgspec.Struct, kw_only=True):
    """One label set of an alerting rule that is pending or firing, or has just been resolved."""

    fingerprint: str
    labels: Labels
    annotations: Labels
    state: State
    value: float
    active_at: float
    fired_at: float = 0.0
    resolved_at: float = 0.0
    keep_since: float = 0.0


class Alert(msgspec.Struct, kw_only=True):
    """An alert as routing sees it, from our rules (`source` names the rule) or from outside."""

    fingerprint: str
    labels: Labels
    annotations: Labels
    starts_at: float
    ends_at: float | None
    """None until its source says that it is over."""
    updated_at: float
    generator_url: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "")

    def resolved(self, now: float) -> bool:
        """Whether it is over at `now`."""
        return self.ends_at is not None and self.ends_at <= now


class AlertSummary(msgspec.Struct):
    """What other rooms show of an alert."""

    name: str
    labels: Labels
    annotations: Labels
    state: str
    since: float
    value: float
    url: str


class IncidentSummary(msgspec.Struct):
    """What other rooms show of an incident."""

    id: int
    title: str
    state: Literal["open", "acknowledged", "resolved"]
    since: float
    acknowledged_by: str
    url: str
    severity: str = "warning"
    resolved_at: float | None = None


class Step(msgspec.Struct, frozen=True):
    """One step of an escalation policy: who is told (target references) and how long we then wait."""

    targets: list[str]
    wait_s: float


class Policy(msgspec.Struct, frozen=True):
    """Who is told in which order while nobody acknowledges; copied into each incident."""

    steps: list[Step]
    repeats: int


ROLES: dict[str, str] = {
    "lead": N_("leads"),
    "messages": N_("keeps others informed"),
    "notes": N_("writes down"),
}
"""What people do in an incident; who leads is whom it is assigned to."""


class Incident(msgspec.Struct, kw_only=True):
    """Something is wrong, from the first alert until the last is resolved."""

    id: int
    key: str
    title: str
    state: Literal["open", "acknowledged", "resolved"]
    severity: str
    labels: Labels
    summary: str
    expr: str
    started_at: float
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    assigned_to: str = ""
    resolved_at: float | None = None
    policy: Policy = Policy([], 0)
    step: int = 0
    """The next step of `policy`, counted over its repeats."""
    due_at: float | None = None
    """When that step is due; None while nobody is to be told."""
    roles: dict[str, str] = {}
    """Who does what beside whom it is assigned to, by the names of `ROLES`."""

    def short(self) -> IncidentSummary:
        """What lists show."""
        return IncidentSummary(
            self.id,
            self.title,
            self.state,
            self.started_at,
            self.acknowledged_by,
            f"/incidents/{self.id}",
            self.severity,
            self.resolved_at,
        )


_RANK = {"critical": 0, "page": 0, "error": 1, "warning": 2, "info": 3}


def severity_rank(severity: str) -> int:
    """The order of severities, the worst first."""
    return _RANK.get(severity, 2)


class Event(msgspec.Struct):
    """One entry of an incident's timeline; `sentences` says it in the reader's language."""

    at: float
    kind: str
    text: str
    actor: str = ""
    facts: dict[str, str] = {}


class Message(msgspec.Struct, kw_only=True):
    """What is told, kept in the notification's row and rendered for each channel when it is sent."""

    kind: Literal["firing", "resolved", "escalation", "test"]
    title: str
    summary: str
    incident: int | None
    receiver: str = ""
    group_key: str = ""
    group_labels: Labels = {}
    alerts: list[Alert] = []
    more: int = 0
    """Alerts of the group that the message leaves out."""
    severity: str = ""
    gathered: int = 0
    """How many messages this one stands for; 0 for a message of its own."""
    late_s: float = 0.0
    at: float = 0.0
    reason: dict[str, str] = {}
    """Why it is told beside the alerts, as facts: `silent_min`, `asked_by` or `closed_by`."""

    @property
    def status(self) -> str:
        """`resolved` or `firing`."""
        return "resolved" if self.kind == "resolved" else "firing"


class Notification(msgspec.Struct, kw_only=True):
    """A message to one target: written before it is sent, worked off by the delivery worker."""

    id: int
    incident: int | None
    target: str
    to: str
    message: Message
    status: Literal["pending", "sent", "failed", "withdrawn", "gathered"]
    attempts: int
    next_at: float
    created_at: float
    answer: str = ""
    sent_at: float | None = None


class Outcome(msgspec.Struct):
    """What a receiver answered; `retry` says whether trying again can help."""

    ok: bool
    answer: str
    retry: bool = True
    retry_after_s: float | None = None
