"""The service: login, chat, images, uploads, a page; slow, failing, growing and crashing on purpose.

`MAMIMON_URL` says where mamimon is; `CHAT_FAULT` plants one fault of `faults.py` instead of the usual
ones (`none` is none). Run by hand: `uvicorn --app-dir examples chat_service.app:app --port 8000`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, Response, asgi, get, post
from litestar.params import Parameter

import mamimon
from chat_service import faults

MAMIMON = os.environ.get("MAMIMON_URL", "http://127.0.0.1:7007")
MODELS = ("gpt-4", "llama-3", "mixtral")
PLANTED = os.environ.get("CHAT_FAULT", "")
FAULT = faults.FAULTS.get(PLANTED)
RELEASE = faults.NEXT_RELEASE if FAULT and FAULT.deployed else faults.RELEASE
mamimon.init(url=MAMIMON, service="chat-service", environment="demo", release=RELEASE)
log = mamimon.get_logger("chat.api")
images = mamimon.get_logger("chat.image")
queue_depth = mamimon.gauge("chat_queue_depth", "Messages that wait for a model.")
tokens = mamimon.counter("chat_tokens_total", "Tokens that models produced.", ["model"])

# The planted faults. A burst of errors lasts 20 of every 60 seconds; the leak is emptied at 64 MiB.
_started = time.monotonic()
_leak: list[bytearray] = []


def _in_burst() -> bool:
    return not PLANTED and (time.monotonic() - _started) % 60 < 20


class PlantedError(Exception):
    """What a planted fault raises, under the name that the fault gives it."""


async def _meet(place: str, user: str = "") -> Response[dict[str, str]] | None:
    """What the planted fault does to a request of this endpoint: a wait, a failure, or nothing."""
    harm = FAULT.harm.get(place) if FAULT else None
    if FAULT is None or harm is None or (FAULT.only and user != FAULT.only):
        return None
    fails = random.random() < harm.fails
    if fails or harm.slow_s:
        level = logging.getLevelName(FAULT.level)
        mamimon.get_logger(FAULT.logger).log(level, FAULT.message, *FAULT.values(random.Random()))
    await asyncio.sleep(harm.fail_s if fails and harm.fail_s else harm.slow_s * random.uniform(0.7, 1.3))
    if not fails:
        return None
    if FAULT.error:
        kind, _, text = FAULT.error.partition(": ")
        raise type(kind, (PlantedError,), {})(text)
    return Response({"error": FAULT.about}, status_code=harm.status)


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def page() -> str:
    """The front end: one page with the browser SDK and buttons that break things."""
    text = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    return text.replace("{{ mamimon }}", MAMIMON)


@post("/api/login")
async def login(user: Annotated[str, Parameter(query="user")] = "user1") -> Any:
    """Somebody signs in."""
    if met := await _meet(faults.LOGIN, user):
        return met
    log.info("user signed in", extra={"user": user})
    mamimon.track_event(user_id=user, event_type="login", metadata={"method": "password"})
    return {"token": "demo"}


@post("/api/chat/{chat_id:str}")
async def chat(
    chat_id: Annotated[str, Parameter()], user: Annotated[str, Parameter(query="user")] = "user1"
) -> Any:
    """A message; during a burst every third one meets a bug."""
    if met := await _meet(faults.CHAT, user):
        return met
    model = random.choice(MODELS)
    if random.random() < 0.15:
        mamimon.track_event(user_id=user, event_type="chat_start", metadata={"model": model})
    queue_depth.set(random.randint(0, 9))
    await asyncio.sleep(random.uniform(0.005, 0.06))
    if _in_burst() and random.random() < 0.34:
        prompt = _build_prompt({"chat": chat_id})
        return {"prompt": prompt}
    if random.random() < 0.08:
        log.warning("retry 2 of upstream %s failed with timeout after 8.0 s", model, extra={"user": user})
    tokens.inc(random.randint(20, 400), model=model)
    log.info("message stored", extra={"chat_id": chat_id, "user": user, "length": random.randint(5, 400)})
    mamimon.track_event(
        user_id=user, event_type="message_sent", metadata={"chat_id": chat_id, "model": model}
    )
    return {"answer": "Merhaba!", "model": model}


def _build_prompt(options: dict[str, str]) -> str:
    # The planted bug: an old client sends no model.
    return f"model={options['model']}"


@post("/api/image")
async def image(user: Annotated[str, Parameter(query="user")] = "user1") -> Any:
    """An image: slow, and it keeps what it should not."""
    if met := await _meet(faults.IMAGE, user):
        return met
    took = random.uniform(0.2, 1.4)
    await asyncio.sleep(took)
    _leak.append(bytearray(256 * 1024))
    if len(_leak) > 256:
        images.error("image cache is over 64 MiB, emptying it", extra={"entries": len(_leak)})
        _leak.clear()
    images.info("image generated size=1024x1024 model=flux in %.1f s", took, extra={"user": user})
    mamimon.track_event(
        user_id=user, event_type="image_generated", metadata={"model": "flux", "size": "1024x1024"}
    )
    return {"image": "cat.png", "seconds": round(took, 2)}


@get("/api/history/{chat_id:str}")
async def history(chat_id: Annotated[str, Parameter()]) -> Any:
    """Quick most of the time; the planted slow query now and then."""
    if met := await _meet(faults.HISTORY):
        return met
    if random.random() < 0.1:
        log.warning("slow query on messages: %d ms", 1800, extra={"chat_id": chat_id})
        await asyncio.sleep(1.8)
    return {"chat": chat_id, "messages": []}


@post("/api/upload")
async def upload(user: Annotated[str, Parameter(query="user")] = "user1") -> Any:
    """A file is stored."""
    if met := await _meet(faults.UPLOAD, user):
        return met
    await asyncio.sleep(random.uniform(0.02, 0.2))
    log.info("file stored", extra={"user": user, "size": random.randint(10_000, 9_000_000)})
    return {"stored": True}


@get("/api/models")
async def models() -> Any:
    """Which models there are."""
    if met := await _meet(faults.MODELS):
        return met
    return {"models": MODELS}


@get("/api/fail")
async def fail() -> Response[dict[str, str]]:
    """Always 503, for the page's button."""
    return Response({"error": "upstream is away"}, status_code=503)


@post("/api/crash")
async def crash() -> None:
    """The process dies, as an out-of-memory kill would have it; `mamimon demo` starts it again."""
    log.critical("worker exited with signal 9")
    await asyncio.sleep(0.6)
    os._exit(137)


@get("/health")
async def health(request: Request[Any, Any, Any]) -> dict[str, str]:
    """For the check of `mamimon demo`."""
    return {"status": "pass"}


exposition = mamimon.metrics_app()


@asgi("/metrics", copy_scope=True)
async def metrics(scope: Any, receive: Any, send: Any) -> None:
    """What mamimon scrapes."""
    await exposition(scope, receive, send)


_routes = [page, login, chat, image, history, upload, models, fail, crash, health, metrics]
app = mamimon.ASGIMiddleware(Litestar(route_handlers=_routes, logging_config=None))
