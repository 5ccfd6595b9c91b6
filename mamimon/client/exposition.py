"""The application's `/metrics`: Prometheus text exposition 0.0.4, as an ASGI and a WSGI application."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from mamimon.client import agent
from mamimon.client.metrics import Family, Histogram, families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render() -> bytes:
    """Our families, the machine, the client's own losses and prometheus_client's registry, as text."""
    from mamimon.client import shared, system

    lines: list[str] = []
    names: set[str] = set()
    where = shared.folder()
    everybody = shared.merged(where) if where is not None else {}
    for family in families():
        names.add(family.name)
        lines += _head(family.name, family.kind, family.about)
        lines += _family(family, everybody.get(family.name) or family.snapshot())
    for reading in system.readings():
        if reading.name not in names:
            names.add(reading.name)
            lines += _head(reading.name, reading.kind, reading.about)
            lines.append(f"{reading.name} {_number(reading.value)}")
    lines += _own()
    text = "\n".join(lines) + "\n"
    return (text + _foreign(names)).encode()


def _family(family: Family, series: dict[tuple[str, ...], list[float]]) -> Iterator[str]:
    for key, values in sorted(series.items()):
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in zip(family.labels, key))
        if not isinstance(family, Histogram):
            yield (
                f"{family.name}{{{labels}}} {_number(values[0])}"
                if labels
                else f"{family.name} {_number(values[0])}"
            )
            continue
        comma = "," if labels else ""
        total = 0.0
        for bound, count in zip((*family.buckets, float("inf")), values):
            total += count
            yield f'{family.name}_bucket{{{labels}{comma}le="{_number(bound)}"}} {_number(total)}'
        tail = f"{{{labels}}}" if labels else ""
        yield f"{family.name}_sum{tail} {_number(values[-1])}"
        yield f"{family.name}_count{tail} {_number(total)}"


def _own() -> list[str]:
    shipper = agent.shipper()
    if shipper is None:
        return []
    name = "mamimon_client_dropped_total"
    lines = _head(name, "counter", "Records that this application gave up.")
    counts = dict(shipper.losses.counts) or {("log", "INFO"): 0}
    lines += [
        f'{name}{{kind="{kind}",level="{level}"}} {count}' for (kind, level), count in sorted(counts.items())
    ]
    lines += _head("mamimon_client_waiting", "gauge", "Records that wait to be sent, in memory and on disk.")
    return [*lines, f"mamimon_client_waiting {shipper.left()}"]


def _foreign(names: set[str]) -> str:
    """What `prometheus_client` has, if the application uses it; a family that we have is left out."""
    library = sys.modules.get("prometheus_client")
    if library is None:
        return ""
    try:
        text = str(library.generate_latest(library.REGISTRY).decode())
    except Exception as error:
        return f"# prometheus_client failed: {type(error).__name__}\n"
    kept: list[str] = []
    for block in re.split(r"(?m)^(?=# HELP )", text):
        name = block[7:].split(" ", 1)[0]
        if name not in names:
            kept.append(block)
    return "".join(kept)


def _head(name: str, kind: str, about: str) -> list[str]:
    text = about.replace("\\", "\\\\").replace("\n", "\\n")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


class MetricsApp:
    """Answers every request with the exposition; called as ASGI 3, ASGI 2 or WSGI."""

    def __call__(self, *arguments: Any) -> Any:
        """Tell the interfaces apart by the number of arguments."""
        if len(arguments) == 3:
            return self._asgi(*arguments)
        if len(arguments) == 1:
            return lambda receive, send: self._asgi(arguments[0], receive, send)
        return self._wsgi(*arguments)

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await answer(scope, send)

    def _wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = render()
        start_response("200 OK", [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]


async def answer(scope: Any, send: Any) -> None:
    """Send the exposition as an ASGI response."""
    body = render()
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})


def metrics_app() -> MetricsApp:
    """An application to mount under `/metrics`, for ASGI and WSGI alike."""
    return MetricsApp()
