"""What an error event, an issue and a project are.

`Event` is what a Sentry client sent after `normalise` made it regular: every field has its type,
every text is bounded, and an absent value is empty, so pages never meet a surprise.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

import msgspec

Status = Literal["unresolved", "resolved", "ignored"]
STATUSES: tuple[Status, ...] = ("unresolved", "resolved", "ignored")
# An issue is new for a week.
NEW_S = 7 * 86400
LEVELS = ("fatal", "error", "warning", "info", "debug")


class Frame(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One call of a stack; `line` and `column` count from 1, 0 is unknown."""

    function: str = ""
    module: str = ""
    file: str = ""
    path: str = ""
    package: str = ""
    line: int = 0
    column: int = 0
    in_app: bool = False
    before: list[str] = []
    code: str = ""
    after: list[str] = []
    variables: dict[str, Any] = {}
    category: str = ""
    rule: str = ""
    """What a stack-trace rule said about it: `+` it decides, `-` it does not."""
    minified: str = ""
    """Where the frame was before a source map resolved it, as `file:line:column`."""


class ExceptionValue(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One exception of a chain; frames run from the outermost call to the one that raised."""

    type: str = ""
    value: str = ""
    module: str = ""
    mechanism: str = ""
    handled: bool | None = None
    id: int | None = None
    parent: int | None = None
    group: bool = False
    synthetic: bool = False
    """The client made it up for something thrown that is no exception; its stack is where it was caught."""
    frames: list[Frame] = []

    @property
    def title(self) -> str:
        """`Type: first line of the value`, or whichever of them there is."""
        line = self.value.strip().split("\n", 1)[0]
        return f"{self.type}: {line}" if self.type and line else self.type or line


class Breadcrumb(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Something that happened before the error; `time` in epoch seconds, 0 is unknown."""

    time: float = 0.0
    category: str = ""
    type: str = ""
    level: str = "info"
    message: str = ""
    data: dict[str, Any] = {}


class User(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Who met the error; once stored, pseudonyms stand for what names the person (see `people`)."""

    id: str = ""
    name: str = ""
    email: str = ""
    ip: str = ""
    data: dict[str, Any] = {}

    @property
    def identity(self) -> str:
        """What counts as one user, or an empty string where nobody is known."""
        for kind, value in (("id", self.id), ("email", self.email), ("name", self.name), ("ip", self.ip)):
            if value:
                return f"{kind}:{value}"
        return ""


class Request(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The HTTP request that was served, or the page that was shown."""

    method: str = ""
    url: str = ""
    query: str = ""
    body: Any = None
    headers: list[tuple[str, str]] = []
    cookies: dict[str, Any] = {}
    environment: dict[str, Any] = {}


class Grouping(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Why an event belongs to its issue: `parts` in words, `hash` of them, by which `version`."""

    version: str = ""
    hash: str = ""
    reason: str = ""
    parts: list[str] = []
    rule: str = ""
    """The fingerprint rule that decided, as it is written."""


class Attachment(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A file that came with an event; only its name, type and size in bytes are kept."""

    name: str = ""
    type: str = ""
    size: int = 0


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A regular error event; `time` is when it happened, `received` when it came (epoch seconds)."""

    id: str
    project: int
    time: float
    received: float
    heading: str = ""
    """The title that a fingerprint rule gave."""
    level: str = "error"
    platform: str = "other"
    logger: str = ""
    message: str = ""
    template: str = ""
    transaction: str = ""
    release: str = ""
    dist: str = ""
    environment: str = ""
    server: str = ""
    exceptions: list[ExceptionValue] = []
    frames: list[Frame] = []
    breadcrumbs: list[Breadcrumb] = []
    tags: dict[str, str] = {}
    user: User | None = None
    request: Request | None = None
    contexts: dict[str, dict[str, Any]] = {}
    extra: dict[str, Any] = {}
    modules: dict[str, str] = {}
    sdk: str = ""
    fingerprint: list[str] = []
    debug_images: list[dict[str, str]] = []
    attachments: list[Attachment] = []
    problems: list[str] = []
    """What was cut or could not be read, in words."""
    grouping: Grouping = msgspec.field(default_factory=Grouping)

    @property
    def main(self) -> ExceptionValue | None:
        """The exception that names the event: the outermost one, Sentry's last in the list."""
        return self.exceptions[-1] if self.exceptions else None

    @property
    def title(self) -> str:
        """One line that names what happened."""
        if self.heading:
            return self.heading
        if self.main is not None and self.main.title:
            return self.main.title[:300]
        line = (self.message or self.template).strip().split("\n", 1)[0]
        return line[:300] or "(no message)"

    @property
    def culprit(self) -> str:
        """Where it happened: the innermost own frame, else the transaction."""
        for frames in [*(one.frames for one in reversed(self.exceptions)), self.frames]:
            own = [frame for frame in frames if frame.in_app] or frames
            if own:
                last = own[-1]
                place = last.module or re.sub(r"^[a-z+\-]+://[^/]*", "", last.file)
                if last.function and place:
                    return f"{last.function} in {place}"[:200]
                if last.function or place:
                    return (last.function or place)[:200]
        return self.transaction[:200]

    @property
    def handled(self) -> bool | None:
        """Whether the program caught it; None where the client did not say."""
        known = [one.handled for one in self.exceptions if one.handled is not None]
        return None if not known else all(known)

    @property
    def request_id(self) -> str:
        """The id that logs of the same request carry, or an empty string."""
        return self.tags.get("request_id", "")

    @property
    def trace_id(self) -> str:
        """The trace that the event belongs to, or an empty string."""
        value = self.contexts.get("trace", {}).get("trace_id", "")
        return value if isinstance(value, str) else ""


class IssueSummary(msgspec.Struct, kw_only=True):
    """An issue in a list; times in epoch seconds, counts exact over all events ever taken."""

    id: int
    project: int
    title: str
    culprit: str
    level: str
    platform: str
    status: Status
    count: int
    users: int
    first_seen: float
    last_seen: float
    first_release: str
    last_release: str
    regressed: bool
    unhandled: bool
    reason: str
    url: str
    assignee: str = ""
    trend: list[int] = []

    def state(self, now: float) -> str:
        """`new`, `ongoing` or `regressed` where it waits for somebody, else its status."""
        if self.status != "unresolved":
            return self.status
        if self.regressed:
            return "regressed"
        return "new" if self.first_seen > now - NEW_S else "ongoing"


class Issue(IssueSummary, kw_only=True):
    """An issue with everything its page shows besides the events."""

    resolved_at: float = 0.0
    resolved_in: str = ""
    resolved_next: bool = False
    """It counts as resolved until an event of a release that came after `resolved_at`."""
    ignored_until_count: int = 0
    ignored_until: float = 0.0
    ignored_until_users: int = 0
    merged_into: int = 0
    grouping: Grouping = msgspec.field(default_factory=Grouping)


class Part(msgspec.Struct, kw_only=True):
    """One of the issues that a merged one is made of, with its own counts."""

    id: int
    title: str
    culprit: str
    count: int
    last_seen: float
    grouping: Grouping


class StatusChange(msgspec.Struct, kw_only=True):
    """A new status: resolved now or in the next release; ignored until so many more events or users,
    or a time in epoch seconds.
    """

    status: Status
    next_release: bool = False
    more: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    users: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    until: Annotated[float, msgspec.Meta(ge=0, le=10**11)] = 0.0

    @property
    def words(self) -> str:
        """The condition, for the issue's activity."""
        if self.status == "resolved" and self.next_release:
            return "in the next release"
        if self.status != "ignored":
            return ""
        until = dt.datetime.fromtimestamp(self.until, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        parts = [
            f"until {self.more} more events" if self.more else "",
            f"until {self.users} more users" if self.users else "",
            f"until {until}" if self.until else "",
        ]
        return ", ".join(part for part in parts if part)


class IssueList(msgspec.Struct, kw_only=True):
    """A page of issues and how many there are by status under the same search."""

    issues: list[IssueSummary]
    total: int
    by_status: dict[str, int]


class EventRow(msgspec.Struct, kw_only=True):
    """Where a stored event is: its month's file and row."""

    month: str
    row: int
    id: str
    time: float


class EventSummary(EventRow, kw_only=True):
    """An event in a list."""

    title: str
    level: str
    release: str
    environment: str
    user: str


class Activity(msgspec.Struct, kw_only=True):
    """Something that happened to an issue; `at` in epoch seconds."""

    at: float
    kind: str
    who: str
    detail: str


class Feedback(msgspec.Struct, kw_only=True):
    """What a person wrote about an error; `at` in epoch seconds."""

    at: float
    name: str
    email: str
    text: str


class Project(msgspec.Struct, kw_only=True):
    """A project and the key that its clients use."""

    id: int
    name: str
    key: str
    dsn: str
