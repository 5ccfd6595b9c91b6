"""Log lines for the benchmarks: of a small web shop, seeded, so every run and every peer gets the same.

Six services with four loggers each, thirty message templates, request ids that four lines share, users,
addresses, durations, and for errors a traceback. About 290 bytes a line, as compact JSON.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator

SERVICES = ("checkout", "catalog", "chat", "image", "gateway", "billing")
MODULES = ("http", "db", "worker", "auth")
LEVELS = ("INFO",) * 880 + ("DEBUG",) * 50 + ("WARNING",) * 50 + ("ERROR",) * 18 + ("CRITICAL",) * 2
PATHS = tuple(f"/api/v{v}/{name}" for v in (1, 2) for name in (
    "orders", "cart", "items", "users", "search", "images/resize", "chat/messages", "login", "payments",
))  # fmt: skip
TEMPLATES = (
    "request completed in {ms} ms with status {status}",
    "{verb} {path} answered {status} to {ip} after {ms} ms",
    "user {user} added item {item} to cart {cart}",
    "query took {ms} ms: SELECT * FROM orders WHERE user_id = {user} LIMIT {n}",
    "cache miss for key item:{item}, loading it from the database",
    "cache hit for key user:{user}",
    "session of user {user} was renewed for {n} minutes",
    "sent mail to user {user} about order {order}",
    "resized image {item} to {n}x{n} in {ms} ms",
    "payment of {n}.{cents} EUR for order {order} was authorised",
    "worker {n} took job {order} from the queue after {ms} ms",
    "connection pool has {n} of 50 connections in use",
    "retrying call to inventory service, attempt {small} of 5",
    "message {order} delivered to room {cart} in {ms} ms",
    "token of user {user} is valid for {n} more seconds",
    "rate limit of {ip} is at {n} percent",
    "search for '{word} {word2}' found {n} items in {ms} ms",
    "feature flag {word} is on for user {user}",
    "uploaded {bytes} bytes to bucket {word} as {item}",
    "health check of {service} passed in {small} ms",
    "reading configuration of {service} from the environment",
    "order {order} moved from state packed to state shipped",
    "invoice {order} written to archive in {ms} ms",
    "webhook for order {order} answered {status}",
    "background task {word} finished after {ms} ms and {n} steps",
    "user {user} logged in from {ip}",
    "user {user} logged out",
    "stock of item {item} is {n}",
    "price of item {item} changed to {n}.{cents} EUR",
    "garbage collection freed {bytes} bytes in {small} ms",
)
TROUBLE = (
    "timeout of {ms} ms reached while calling inventory service for order {order}",
    "connection to database lost: server closed the connection unexpectedly",
    "payment of order {order} was declined with code {n}",
    "cannot resize image {item}: unsupported colour profile",
    "unhandled exception in {verb} {path}",
)
TRACE = (
    'Traceback (most recent call last):\\n  File \\"/srv/app/{service}/{module}.py\\", line {n}, in handle\\n'
    "    return await self.call(request)\\n"
    '  File \\"/srv/app/shared/client.py\\", line {small}, in call\\n'
    "    raise {error}(message)\\n{error}: no answer within {ms} ms"
)
WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "falcon", "granite", "harbor", "indigo", "juniper",
    "kestrel", "lagoon", "maple", "nectar", "onyx", "pebble", "quartz", "raven", "saffron", "timber", "umber",
    "violet", "willow", "yarrow",
)  # fmt: skip
ERRORS = ("TimeoutError", "ConnectionResetError", "ValueError", "KeyError")
RARE_EVERY = 200_000


def request_id(n: int) -> str:
    """The request that line `n` belongs to."""
    return f"{(n // 4) * 0x9E3779B97F4A7C15 % (1 << 64):016x}"


def line(n: int, at: float, pick: random.Random) -> bytes:
    """Line `n`, logged at `at` (epoch seconds)."""
    rnd = pick.random
    service, module = SERVICES[int(rnd() * 6)], MODULES[int(rnd() * 4)]
    level = LEVELS[int(rnd() * 1000)]
    status = 200 if rnd() < 0.9 else (301, 400, 404, 500, 503)[int(rnd() * 5)]
    values = {
        "ms": int(rnd() ** 3 * 3000), "status": status, "verb": ("GET", "POST", "PUT")[int(rnd() * 3)],
        "path": PATHS[int(rnd() * len(PATHS))],
        "ip": f"10.{int(rnd() * 4)}.{int(rnd() * 256)}.{int(rnd() * 256)}",
        "user": f"u{int(rnd() * 50_000)}", "item": f"i{int(rnd() * 20_000)}",
        "cart": f"c{int(rnd() * 100_000):05x}",
        "order": 10_000_000 + n // 7, "n": int(rnd() * 100), "cents": f"{int(rnd() * 100):02}",
        "small": 1 + int(rnd() * 9),
        "word": WORDS[int(rnd() * 24)], "word2": WORDS[int(rnd() * 24)], "bytes": int(rnd() * 1e7),
        "service": service, "module": module, "error": ERRORS[int(rnd() * 4)],
    }  # fmt: skip
    extra = ""
    if level in {"ERROR", "CRITICAL"}:
        message = TROUBLE[int(rnd() * 5)].format_map(values)
        if rnd() < 0.5:
            extra = f',"exception":"{TRACE.format_map(values)}"'
    else:
        message = TEMPLATES[int(rnd() ** 1.5 * 30)].format_map(values)
    if n % RARE_EVERY == RARE_EVERY // 2:
        message += " zanzibar"
    stamp = dt.datetime.fromtimestamp(at, dt.UTC)
    return (
        f'{{"@timestamp":"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03}Z","level":"{level}",'
        f'"logger":"{service}.{module}","service":"{service}","host":"web-{int(rnd() * 6)}",'
        f'"request_id":"{request_id(n)}","message":"{message}","status":{status},'
        f'"duration_ms":{values["ms"]}.{int(rnd() * 10)},"user_id":"{values["user"]}",'
        f'"path":"{values["path"]}"'
        f"{extra}}}"
    ).encode()


def lines(count: int, start: float, end: float, seed: int = 5) -> Iterator[bytes]:
    """`count` lines in even steps over `[start, end)`, a little out of order as several hosts are."""
    pick = random.Random(seed)
    step = (end - start) / count
    for n in range(count):
        yield line(n, start + n * step + pick.random() * step * 0.5, pick)
