"""The application's `/metrics` as an ASGI and a WSGI application.

Prometheus text 0.0.4, or OpenMetrics 1.0 for who asks for it: that has the exemplars, which lead from a
slow bucket to the request.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from mamimon.client import agent
from mamimon.client.metrics import Example, Family, Histogram, families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header names OpenMetrics."""
    return "application/openmetrics-text" in accept


def render(openmetrics: bool = False) -> bytes:
    """Our families, the machine, the client's own losses and prometheus_client's registry, as text."""
    from mamimon.client import shared, system

    lines: list[str] = []
    names: set[str] = set()
    where = shared.folder()
    everybody = shared.merged(where) if where is not None else {}
    for family in families():
        names.add(family.name)
        lines += _head(family.name, family.kind, family.about, openmetrics)
        lines += _family(family, everybody.get(family.name) or family.snapshot(), openmetrics)
    for reading in system.readings():
        if reading.name not in names:
            names.add(reading.name)
            lines += _head(reading.name, reading.kind, reading.about, openmetrics)
            lines.append(f"{reading.name} {_number(reading.value)}")
    lines += _own(openmetrics)
    text = "\n".join(lines) + "\n" + _foreign(names, openmetrics)
    return (text + "# EOF\n" if openmetrics else text).encode()


def _family(family: Family, series: dict[tuple[str, ...], list[float]], openmetrics: bool) -> Iterator[str]:
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
        examples = family.examples(key) if openmetrics else {}
        for place, (bound, count) in enumerate(zip((*family.buckets, float("inf")), values)):
            total += count
            tail = _example(examples[place]) if place in examples else ""
            yield f'{family.name}_bucket{{{labels}{comma}le="{_number(bound)}"}} {_number(total)}{tail}'
        tail = f"{{{labels}}}" if labels else ""
        yield f"{family.name}_sum{tail} {_number(values[-1])}"
        yield f"{family.name}_count{tail} {_number(total)}"


def _example(example: Example) -> str:
    """The request's ids as an exemplar's labels, which OpenMetrics allows 128 characters in all."""
    (trace_id, request_id), value, at = example
    ids = {"trace_id": trace_id, "request_id": request_id}
    if sum(len(name) + len(text) for name, text in ids.items()) > 128:
        del ids["trace_id"]
    if len(request_id) > 100:
        return ""
    inner = ",".join(f'{name}="{_escape(text)}"' for name, text in ids.items())
    return f" # {{{inner}}} {_number(value)} {at:.3f}"


def _own(openmetrics: bool) -> list[str]:
    shipper = agent.shipper()
    if shipper is None:
        return []
    name = "mamimon_client_dropped_total"
    lines = _head(name, "counter", "Records that this application gave up.", openmetrics)
    counts = dict(shipper.losses.counts) or {("log", "INFO"): 0}
    lines += [
        f'{name}{{kind="{kind}",level="{level}"}} {count}' for (kind, level), count in sorted(counts.items())
    ]
    waiting = "Records that wait to be sent, in memory and on disk."
    lines += _head("mamimon_client_waiting", "gauge", waiting, openmetrics)
    return [*lines, f"mamimon_client_waiting {shipper.left()}"]


def _foreign(names: set[str], openmetrics: bool) -> str:
    """What `prometheus_client` has, if the application uses it; a family that we have is left out."""
    library = sys.modules.get("prometheus_client")
    if library is None:
        return ""
    try:
        if openmetrics:
            from prometheus_client.openmetrics import exposition

            generate: Any = exposition.generate_latest
            text = str(generate(library.REGISTRY).decode()).replace("# EOF\n", "")
        else:
            text = str(library.generate_latest(library.REGISTRY).decode())
    except Exception as error:
        return f"# prometheus_client failed: {type(error).__name__}\n"
    kept: list[str] = []
    for block in re.split(r"(?m)^(?=# HELP )", text):
        name = block[7:].split(" ", 1)[0]
        if name not in names and not (openmetrics and f"{name}_total" in names):
            kept.append(block)
    return "".join(kept)


def _head(name: str, kind: str, about: str, openmetrics: bool) -> list[str]:
    if openmetrics and kind == "counter":
        # There a counter's samples end in _total and its family does not; ours may be called otherwise.
        kind = "counter" if name.endswith("_total") else "unknown"
        name = name[:-6] if name.endswith("_total") else name
    text = about.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        text = text.replace('"', '\\"')
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
        openmetrics = wants_openmetrics(environ.get("HTTP_ACCEPT", ""))
        body = render(openmetrics)
        kind = OPEN_METRICS if openmetrics else CONTENT_TYPE
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]


async def answer(scope: Any, send: Any) -> None:
    """Send the exposition as an ASGI response."""
    accept = b",".join(value for name, value in scope.get("headers", ()) if name == b"accept")
    openmetrics = wants_openmetrics(accept.decode("latin-1"))
    body = render(openmetrics)
    kind = OPEN_METRICS if openmetrics else CONTENT_TYPE
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})


def metrics_app() -> MetricsApp:
    """An application to mount under `/metrics`, for ASGI and WSGI alike."""
    return MetricsApp()
