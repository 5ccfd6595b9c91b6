"""Ten faults that can be planted in the service: what breaks, and what it says then.

`CHAT_FAULT=name` plants one in the running service; the tests replay the same ones over an hour of traffic.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

RELEASE = "4.2.1"
NEXT_RELEASE = "4.3.0"
LOGIN, CHAT, IMAGE, HISTORY, UPLOAD, MODELS = (
    "/api/login",
    "/api/chat/{chat_id}",
    "/api/image",
    "/api/history/{chat_id}",
    "/api/upload",
    "/api/models",
)


@dataclass(frozen=True)
class Harm:
    """What a fault does to one endpoint: the share of requests that fail, and seconds more for the others."""

    fails: float = 0.0
    slow_s: float = 0.0
    status: int = 500
    fail_s: float = 0.0
    """How long a failing request takes."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    about: str
    harm: dict[str, Harm]
    level: str
    message: str
    """Logged by each request that the fault meets, with `values` in it."""
    values: Callable[[random.Random], tuple[object, ...]]
    logger: str = "chat.api"
    error: str = ""
    """The exception that is raised, `Type: text`; none where the service notices by itself."""
    deployed: bool = False
    """Whether it came with `NEXT_RELEASE`."""
    gauges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Gauges by name: what they are before, and how much they grow a minute."""
    says: str = ""
    """A piece of the log pattern that names the cause."""
    only: str = ""
    """The one user whom it hits."""


def _nothing(_: random.Random) -> tuple[object, ...]:
    return ()


FAULTS = {
    one.name: one
    for one in (
        Fault(
            name="slow-endpoint",
            about="A release forgets an index: reading the history becomes slow.",
            harm={HISTORY: Harm(slow_s=1.7)},
            level="WARNING",
            message="slow query on messages: %d ms",
            values=lambda rng: (rng.randint(1500, 2100),),
            deployed=True,
            says="slow query on messages",
        ),
        Fault(
            name="bad-release",
            about="A release has a bug: a third of the messages meet a KeyError.",
            harm={CHAT: Harm(fails=0.34)},
            level="ERROR",
            message="cannot build the prompt of %s: no model is given",
            values=lambda rng: (f"c{rng.randint(1, 40)}",),
            error="KeyError: 'model'",
            deployed=True,
            says="cannot build the prompt",
        ),
        Fault(
            name="worker-crash",
            about="The image workers die one after another.",
            harm={IMAGE: Harm(fails=0.8, status=503)},
            level="CRITICAL",
            message="image worker %d exited with signal 9",
            values=lambda rng: (rng.randint(100, 9000),),
            logger="chat.image",
            says="exited with signal",
        ),
        Fault(
            name="database-down",
            about="The database refuses connections: all that needs it fails.",
            harm={
                LOGIN: Harm(fails=1.0),
                CHAT: Harm(fails=1.0),
                HISTORY: Harm(fails=1.0),
            },
            level="ERROR",
            message="connection to database at 10.0.0.5:5432 refused (attempt %d)",
            values=lambda rng: (rng.randint(1, 5),),
            error="OperationalError: connection to server at 10.0.0.5 port 5432 failed: Connection refused",
            says="connection to database",
        ),
        Fault(
            name="queue-backlog",
            about="Messages come faster than the models answer; they wait longer and longer.",
            harm={CHAT: Harm(slow_s=3.5)},
            level="WARNING",
            message="queue is %d messages deep, the oldest waits %.1f s",
            values=lambda rng: (rng.randint(200, 900), rng.uniform(3, 30)),
            gauges={"chat_queue_depth": (5.0, 90.0)},
            says="messages deep",
        ),
        Fault(
            name="memory-leak",
            about="A release keeps every image: memory fills until the images fail.",
            harm={IMAGE: Harm(fails=0.5, slow_s=0.9, status=503)},
            level="ERROR",
            message="image cache is over %d MiB, refusing new images",
            values=lambda rng: (rng.randint(900, 1100),),
            logger="chat.image",
            deployed=True,
            gauges={"process_resident_memory_bytes": (3.0e8, 9.0e7)},
            says="image cache is over",
        ),
        Fault(
            name="upstream-timeouts",
            about="The company that runs the models is slow: requests wait and time out.",
            harm={CHAT: Harm(fails=0.4, slow_s=2.0, status=504, fail_s=8.0), MODELS: Harm(slow_s=0.2)},
            level="WARNING",
            message="retry %d of upstream %s failed with timeout after 8.0 s",
            values=lambda rng: (rng.randint(1, 3), rng.choice(("gpt-4", "llama-3", "mixtral"))),
            says="failed with timeout",
        ),
        Fault(
            name="one-tenant",
            about="One user's script runs wild and meets the rate limit.",
            harm={IMAGE: Harm(fails=0.6, status=429)},
            level="WARNING",
            message="rate limit of %d images a minute reached by %s",
            values=lambda rng: (60, "user7"),
            says="rate limit of",
            only="user7",
        ),
        Fault(
            name="disk-full",
            about="The disk is full: uploads cannot be stored.",
            harm={UPLOAD: Harm(fails=1.0, status=507)},
            level="ERROR",
            message="cannot store upload of %d bytes: No space left on device",
            values=lambda rng: (rng.randint(10_000, 9_000_000),),
            error="OSError: [Errno 28] No space left on device",
            gauges={"system_disk_usage_percent": (88.0, 2.0)},
            says="No space left on device",
        ),
        Fault(
            name="expired-certificate",
            about="The certificate of the sign-in service is over: nobody can sign in.",
            harm={LOGIN: Harm(fails=1.0, status=502)},
            level="ERROR",
            message="TLS handshake with id.example.com failed: certificate has expired (request %d)",
            values=lambda rng: (rng.randint(1000, 99_999),),
            error="SSLCertVerificationError: certificate verify failed: certificate has expired",
            says="certificate has expired",
        ),
    )
}
