"""StatsD lines, read one by one."""

from __future__ import annotations

import random

import pytest

from mamimon.metrics.wire.statsd import Line, MalformedError, read_line


@pytest.mark.feature("M2")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.b-c:1|c", Line("a_b_c", "counter", {}, [1])),
        ("a:2|c|@0.1", Line("a", "counter", {}, [2], rate=0.1)),
        ("a:+2|g", Line("a", "gauge", {}, [2], relative=True)),
        ("a:-2.5|g", Line("a", "gauge", {}, [-2.5], relative=True)),
        ("a:7|g|#env:prod,flag", Line("a", "gauge", {"env": "prod", "flag": "true"}, [7])),
        ("a:320|ms", Line("a", "timer", {}, [0.32])),
        ("a:1:2:3|h", Line("a", "timer", {}, [1, 2, 3])),
        ("a:0.5|d|#x:y:z|c:abc|T1656581400", Line("a", "timer", {"x": "y:z"}, [0.5])),
        ("a:user:7|s", Line("a", "set", {}, [], ["user", "7"])),
        ("a,env=prod,k=v:1|c", Line("a", "counter", {"env": "prod", "k": "v"}, [1])),
        ("a#env=prod:1|c", Line("a", "counter", {"env": "prod"}, [1])),
        ("9a:1|c|#1x:y,__z:w", Line("_9a", "counter", {"tag_1x": "y", "tag_z": "w"}, [1])),
        ("ölçü:1|c|#şehir:İzmir", Line("_l__", "counter", {"_ehir": "İzmir"}, [1])),
    ],
)
def test_lines(text: str, line: Line) -> None:
    """Every type, rate and place of tags."""
    assert read_line(text) == line


@pytest.mark.feature("M2")
@pytest.mark.parametrize(
    "text",
    ["", "a", "a:1", "a:|c", "a:x|c", "a:nan|g", "a:inf|g", "a:1_0|c", ":1|c", "a:1|q", "a:1|c|@0",
     "a:1|c|@2", "a:1|c|@x", "...:1|c", "a:1e999|c", "a:" + "1:" * 1001 + "1|c", "a:1|c|#" + "t:1," * 60],
)  # fmt: skip
def test_malformed_lines(text: str) -> None:
    """What cannot be read is refused."""
    with pytest.raises(MalformedError):
        read_line(text)


@pytest.mark.feature("M2")
def test_events_and_service_checks_are_passed_over() -> None:
    """DogStatsD's other messages are no metrics."""
    assert read_line("_e{5,4}:title|text") is None
    assert read_line("_sc|Redis|0") is None


@pytest.mark.feature("M2")
def test_no_line_crashes_the_reader() -> None:
    """20,000 random lines of the characters that mean something either read or are malformed."""
    draw = random.Random(7)
    for _ in range(20_000):
        text = "".join(draw.choices("ab:|@#,=.+-0129cgmshd_ é\\{", k=draw.randrange(30)))
        try:
            read_line(text)
        except MalformedError:
            continue
