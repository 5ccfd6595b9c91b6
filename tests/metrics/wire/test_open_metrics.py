"""The OpenMetrics project's parser cases, read strictly and as leniently as Prometheus 3."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mamimon.metrics.wire.exposition import (
    OPEN_METRICS,
    TEXT,
    ExpositionError,
    bound_text,
    parse,
    series_labels,
)
from mamimon.metrics.wire.open_metrics import check
from tests.metrics.conftest import Body, Scraped


def cases(material: Path) -> list[tuple[str, bytes, bool]]:
    """Name, body, whether it must parse."""
    out = []
    for path in sorted((material / "openmetrics").rglob("test.json")):
        case = json.loads(path.read_text())
        out.append((path.parent.name, (path.parent / "metrics").read_bytes(), case["shouldParse"]))
    return out


def reads(body: bytes, *, strict: bool) -> bool:
    """Whether a body is read."""
    try:
        for key in parse(body, OPEN_METRICS).keys:
            series_labels(key, strict=True)
        if strict:
            check(body.decode())
    except ExpositionError:
        return False
    return True


@pytest.mark.feature("M1")
def test_the_projects_cases(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Strictly all 211 cases come out as the project says; leniently none that must parse is refused."""
    found = cases(material)
    wrong = [name for name, body, must in found if reads(body, strict=True) != must]
    refused = [name for name, body, must in found if must and not reads(body, strict=False)]
    allowed = [name for name, body, must in found if not must and reads(body, strict=False)]
    with capsys.disabled():
        print(
            f"\nOpenMetrics parser cases: {len(found) - len(wrong)} of {len(found)} strictly; "
            f"as Prometheus 3 reads: {len(allowed)} that must not parse are read"
        )
    assert len(found) == 211
    assert wrong == []
    assert refused == []
    # What Prometheus' own parser lets through: rules about order, values, buckets and units, not syntax.
    assert len(allowed) == 79


@pytest.mark.feature("M1")
@pytest.mark.parametrize(("file", "media"), [("prom", TEXT), ("om", OPEN_METRICS)])
def test_prometheus_good_inputs_are_read(
    material: Path, capsys: pytest.CaptureFixture[str], file: str, media: str
) -> None:
    """Every body that Prometheus' parser tests expect to read is read to its end."""
    cases: dict[str, Any] = json.loads((material / "textparse" / f"{file}-cases.json").read_text())
    bodies: dict[str, bytes] = {}
    for one in cases["inputs"]:
        data = one["data"]
        raw = base64.b64decode(data["b64"]) if "b64" in data else data["text"].encode()
        bodies[one["test"]] = raw if one["op"] == ":=" else bodies.get(one["test"], b"") + raw
    for name, body in bodies.items():
        whole = body if media == TEXT or body.endswith(b"# EOF\n") else body + b"# EOF\n"
        found = parse(whole, media)
        lines = [line for line in whole.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")]
        assert len(found.keys) == len(lines), name
    with capsys.disabled():
        print(f"\ntextparse {file}: {len(bodies)} good bodies, {len(cases['error_cases'])} error cases")


@pytest.mark.feature("M1")
def test_strictness_is_a_setting(scraped: Any, body: Body) -> None:
    """A body that breaks the rules is scraped by default, and DOWN with the rule where strict is on."""
    body.openmetrics("# TYPE a counter\na_total -1\n# EOF\n")
    one: Scraped = scraped(body.address)
    assert one.tick()["health"] == "up"
    one.server.stop()
    strict: Scraped = scraped(body.address, metrics={"strict_openmetrics": True})
    target = strict.tick()
    assert target["health"] == "down"
    assert target["lastError"] == "line 2: not OpenMetrics: a negative value of a counter"


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1.0"),
        (0, "0.0"),
        (-1, "-1.0"),
        (0.5, "0.5"),
        (100000, "100000.0"),
        (1000000, "1e+06"),
        (1234567, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (-2.5e7, "-2.5e+07"),
        (float("inf"), "+Inf"),
    ],
)
def test_bounds_are_written_as_go_writes_them(value: float, text: str) -> None:
    """The bounds of buckets look as Prometheus 3 makes them, whatever the target wrote."""
    assert bound_text(float(value)) == text
