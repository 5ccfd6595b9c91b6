"""The exposition parsers against Prometheus' own cases and what client libraries write."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mamimon.metrics.wire.exposition import OPEN_METRICS, TEXT, ExpositionError, parse, series_labels


def _read(body: bytes, content_type: str = TEXT) -> list[tuple[dict[str, str], float]]:
    found = parse(body, content_type)
    strict = content_type == OPEN_METRICS
    return [
        (series_labels(key, strict=strict), value)
        for key, value in zip(found.keys, found.values, strict=True)
    ]


def _bytes(case: dict[str, Any]) -> bytes:
    return base64.b64decode(case["b64"]) if "b64" in case else str(case["text"]).encode()


@pytest.mark.feature("M1")
@pytest.mark.parametrize(("file", "content_type"), [("prom", TEXT), ("om", OPEN_METRICS)])
def test_prometheus_error_cases_are_refused(material: Path, file: str, content_type: str) -> None:
    """What Prometheus refuses is refused, and what its tables mark as good is read."""
    cases = json.loads((material / "textparse" / f"{file}-cases.json").read_text())["error_cases"]
    wrong = []
    for case in cases:
        # TestSTParseFailures has no error: it asks what a start timestamp is, of bodies that are good.
        good = case["err"] in {"", "EOF", None}
        try:
            _read(_bytes(case["input"]), content_type)
        except ExpositionError as error:
            if good:
                wrong.append((case["input"], str(error)))
        else:
            if not good:
                wrong.append((case["input"], "was read"))

    assert len(cases) > 20
    assert not wrong


@pytest.mark.feature("M1")
def test_a_real_exposition_is_read_whole(material: Path) -> None:
    """node_exporter's own end-to-end output: every sample line is a sample, every family has its help."""
    body = (material / "exposition-samples" / "node_exporter" / "e2e-output.txt").read_bytes()
    lines = [line for line in body.decode().split("\n") if line and line[0] != "#"]

    found = parse(body)

    assert len(found.keys) == len(lines)
    assert found.metadata["node_cpu_seconds_total"].kind == "counter"
    assert found.metadata["node_cpu_seconds_total"].help.startswith("Seconds the CPUs spent")
    assert {"__name__": "node_cpu_seconds_total", "cpu": "0", "mode": "idle"} in [
        series_labels(key) for key in found.keys if key.startswith("node_cpu_seconds_total")
    ]


@pytest.mark.feature("M1")
def test_the_large_expositions_of_prometheus_are_read(material: Path) -> None:
    """The four benchmark bodies of the textparse package, in both formats."""
    for path in sorted((material / "textparse" / "testdata").glob("*.txt")):
        body = path.read_bytes()
        kind = OPEN_METRICS if b"# EOF" in body else TEXT
        assert len(_read(body, kind)) > 40, path.name


def test_escapes_numbers_times_and_utf8_names() -> None:
    """Escapes in labels and help, special numbers, timestamps, quoted names, blank around everything."""
    body = (
        b'# HELP a line\\nbreak \\\\ and "quotes"\n# TYPE a counter\n'
        b'a{x="q\\"uote",y="b\\\\s\\nl",} NaN\n  a { z = "1" } +Inf 1700000000123\n'
        b'{"utf8 \xc3\xbc","l.1"="v",empty=""} -3e-2\na\t5\n'
    )

    found = parse(body)

    assert found.metadata["a"].help == 'line\nbreak \\ and "quotes"'
    assert [series_labels(key) for key in found.keys] == [
        {"__name__": "a", "x": 'q"uote', "y": "b\\s\nl"},
        {"__name__": "a", "z": "1"},
        {"__name__": "utf8 ü", "l.1": "v"},
        {"__name__": "a"},
    ]
    assert np.isnan(found.values[0])
    assert found.values[1:].tolist() == [float("inf"), -0.03, 5.0]
    assert found.times_ms == [None, 1700000000123, None, None]


def test_exemplars_of_open_metrics() -> None:
    """An exemplar keeps its labels, value and time; timestamps are seconds there."""
    body = (
        b'# TYPE h histogram\nh_bucket{le="1"} 3 1.5 # {trace_id="abc"} 0.7 1700000000.25\nh_count 3\n# EOF\n'
    )

    found = parse(body, OPEN_METRICS)

    (exemplar,) = found.exemplars
    assert (exemplar.sample, exemplar.labels, exemplar.value) == (0, {"trace_id": "abc"}, 0.7)
    assert exemplar.time_ms == 1700000000250
    assert found.times_ms == [1500, None]


def test_a_broken_line_is_named() -> None:
    """The error says which line and why."""
    with pytest.raises(ExpositionError, match="line 3: expected value after metric"):
        parse(b"a 1\nb 2\nc\nd 4\n")


def test_parsing_is_fast_enough() -> None:
    """A million samples a scrape interval fit: well over 200,000 lines a second on one core."""
    body = "".join(f'm_total{{path="/api/{i % 997}",status="{i % 7}"}} {i}\n' for i in range(50_000)).encode()
    began = time.process_time()

    found = parse(body)

    assert len(found.keys) == 50_000
    assert 50_000 / (time.process_time() - began) > 200_000


@pytest.mark.feature("M1")
@pytest.mark.parametrize("content_type", ["", OPEN_METRICS])
@pytest.mark.parametrize("tail", ["1_0", "1\r", "\t1", "١", "0x10", "--1", "", "one"])
def test_known_lines_are_read_as_strictly_as_new_ones(tail: str, content_type: str) -> None:
    """A series that was seen before is refused for the same values, with the number of its line."""
    body = f"a 1\na {tail}\n# EOF\n".encode()
    for known in ((), {"a": 1}):
        if tail == "\t1" and not known and not content_type:
            continue  # Prometheus' text format allows blanks around a value.
        with pytest.raises(ExpositionError, match=r"^line 2: "):
            parse(body, content_type, known)
