"""`/healthz` and `/readyz` as `application/health+json` (draft-inadarei-api-health-check-06)."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Literal

from litestar import Response, get

from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.storage import Core

MEDIA_TYPE = "application/health+json"
_SLOW_MS = 1000.0
State = Literal["pass", "warn", "fail"]


def readiness_handlers(core: Core) -> list[ControllerRouterHandler]:
    """Alive, and ready for data."""
    began = core.clock.monotonic()

    def measured(kind: str, state: State, value: float, unit: str, output: str = "") -> list[dict[str, Any]]:
        at = dt.datetime.fromtimestamp(core.clock.now(), dt.UTC).isoformat(timespec="seconds")
        found = {"componentType": kind, "observedValue": value, "observedUnit": unit, "status": state}
        return [{**found, "time": at.replace("+00:00", "Z"), **({"output": output} if output else {})}]

    def answer(checks: dict[str, list[dict[str, Any]]]) -> Response[dict[str, Any]]:
        states = [one["status"] for found in checks.values() for one in found]
        state = next(name for name in ("fail", "warn", "pass") if name in states)
        said = "; ".join(one["output"] for found in checks.values() for one in found if "output" in one)
        body = {
            "status": state,
            "version": "1",
            "description": "mamimon",
            **({"output": said} if said else {}),
            "checks": checks,
        }
        return Response(
            body,
            status_code=503 if state == "fail" else 200,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store"},
        )

    def uptime() -> dict[str, list[dict[str, Any]]]:
        return {"uptime": measured("system", "pass", round(core.clock.monotonic() - began, 1), "s")}

    async def database() -> list[dict[str, Any]]:
        asked = time.perf_counter()
        output = ""
        try:
            await core.state.read(lambda raw: raw.execute("SELECT 1").fetchone(), timeout_s=2.0)
        except (Problem, sqlite3.Error) as error:
            output = f"the state database does not answer: {error}"
        spent_ms = round((time.perf_counter() - asked) * 1000, 1)
        state: State = "fail" if output else "warn" if spent_ms > _SLOW_MS else "pass"
        return measured("datastore", state, spent_ms, "ms", output)

    async def disk() -> list[dict[str, Any]]:
        free = (await asyncio.to_thread(shutil.disk_usage, core.data_dir)).free
        full = not core.writable()
        output = "the disk is full: read-only" if full else ""
        return measured("system", "fail" if full else "pass", free, "bytes", output)

    @get("/healthz", media_type=MEDIA_TYPE, sync_to_thread=False)
    def healthz() -> Response[dict[str, Any]]:
        """Alive: the process answers."""
        return answer(uptime())

    @get("/readyz", media_type=MEDIA_TYPE)
    async def readyz() -> Response[dict[str, Any]]:
        """Ready: the state database answers and the disk takes writes; 503 with the reason where not."""
        return answer({"state:responseTime": await database(), "disk:free": await disk(), **uptime()})

    return [healthz, readyz]
