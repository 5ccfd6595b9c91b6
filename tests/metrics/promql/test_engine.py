"""The engine against a plain reimplementation of the definitions, sample by sample."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import STALE_NAN, QueryResult
from mamimon.metrics.promql import (
    FUNCTIONS,
    ParseError,
    PromQLError,
    evaluate,
    format_query,
    matchers_of,
    metric_names,
    parse,
    pretty,
)
from mamimon.metrics.promql.kernels import sliding
from tests.conformance.promql.memory import Memory

Samples = list[tuple[int, float]]


def world(seed: int, *, shared: bool) -> tuple[Memory, dict[str, Samples]]:
    """Twelve counters with resets, holes, staleness markers, NaN and an infinity."""
    random = np.random.default_rng(seed)
    memory = Memory(shared=shared)
    series: dict[str, Samples] = {}
    for number in range(12):
        values = np.cumsum(random.integers(0, 9, 120)).astype(np.float64) + 0.1
        values[random.integers(1, 119) :] -= values[60]
        if number % 4 == 1:
            values[random.integers(0, 119)] = math.nan
        if number == 3:
            values[50] = math.inf
        samples = {
            index * 15_000: float(value)
            for index, value in enumerate(values)
            if number < 2 or random.random() > 0.1
        }
        if number > 6:
            samples[random.integers(20, 100) * 15_000] = STALE_NAN
        memory.add({"__name__": "x_total", "n": str(number), "job": f"j{number % 3}"}, samples)
        series[str(number)] = sorted(samples.items())
    return memory, series


def stale(value: float) -> bool:
    return np.array(value).view(np.uint64) == np.array(STALE_NAN).view(np.uint64)


def inside(samples: Samples, end: int, length: int) -> Samples:
    return [(at, value) for at, value in samples if end - length < at <= end and not stale(value)]


def increase(window: Samples, end: int, length: int) -> float | None:
    if len(window) < 2:
        return None
    values = [value for _, value in window]
    total = values[-1] - values[0]
    for before, after in itertools.pairwise(values):
        total += before if after < before else 0.0
    sampled = (window[-1][0] - window[0][0]) / 1000
    average = sampled / (len(window) - 1)
    start, stop = (window[0][0] - (end - length)) / 1000, (end - window[-1][0]) / 1000
    start = average / 2 if start >= average * 1.1 else start
    stop = average / 2 if stop >= average * 1.1 else stop
    if total > 0 and values[0] >= 0:
        start = min(start, sampled * (values[0] / total))
    return total * (sampled + start + stop) / sampled


def check_increases(result: QueryResult, series: dict[str, Samples]) -> None:
    """Of each series, by its label `n`, over a minute at each step."""
    for row, labels in enumerate(result.labels):
        for column, at in enumerate(result.times.tolist()):
            wanted = increase(inside(series[labels["n"]], at, 60_000), at, 60_000)
            assert result.present[row, column] == (wanted is not None)
            if wanted is not None:
                assert result.values[row, column] == pytest.approx(wanted, rel=1e-12), (labels, at)


def plain(function: Callable[[list[float]], float]) -> Callable[[Samples, int, int], float | None]:
    return lambda window, end, length: function([value for _, value in window]) if window else None


def extreme(pick: Callable[[list[float]], float]) -> Callable[[list[float]], float]:
    return lambda values: pick([value for value in values if not math.isnan(value)] or [math.nan])


REFERENCE: dict[str, Callable[[Samples, int, int], float | None]] = {
    "increase": increase,
    "sum_over_time": plain(lambda values: math.nan if any(map(math.isnan, values)) else math.fsum(values)),
    "max_over_time": plain(extreme(max)),
    "min_over_time": plain(extreme(min)),
    "count_over_time": plain(len),
    "last_over_time": plain(lambda values: values[-1]),
    "first_over_time": plain(lambda values: values[0]),
    "resets": plain(lambda values: sum(b < a for a, b in itertools.pairwise(values))),
    "changes": plain(
        lambda values: sum(
            a != b and not (math.isnan(a) and math.isnan(b)) for a, b in itertools.pairwise(values)
        )
    ),
}


@pytest.mark.feature("M3")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", REFERENCE)
def test_windows_are_what_the_definition_says(name: str, shared: bool) -> None:
    """Every window function equals a loop over the samples, with holes, NaN, infinities and staleness."""
    for seed, (length, step) in enumerate([(60_000, 15_000), (300_000, 60_000), (37_000, 240_000)]):
        memory, series = world(seed, shared=shared)
        result = evaluate(memory, f"{name}(x_total[{length}ms])", 0, 2_000_000, step)
        got = {
            (labels["n"], int(at)): float(result.values[row, column])
            for row, labels in enumerate(result.labels)
            for column, at in enumerate(result.times)
            if result.present[row, column]
        }
        wanted = {
            (number, end): value
            for number, samples in series.items()
            for end in range(0, 2_000_001, step)
            if (value := REFERENCE[name](inside(samples, end, length), end, length)) is not None
        }
        assert set(got) == set(wanted)
        for key, value in wanted.items():
            assert got[key] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), key


@pytest.mark.feature("M3")
@pytest.mark.parametrize("shared", [True, False])
def test_a_selector_sees_the_newest_fresh_sample(shared: bool) -> None:
    """An instant vector holds each series' newest sample of five minutes; a staleness marker ends it."""
    memory, series = world(1, shared=shared)
    result = evaluate(memory, "x_total", 0, 2_300_000, 7_000)
    for number, samples in series.items():
        row = next((r for r, labels in enumerate(result.labels) if labels["n"] == number), None)
        for column, at in enumerate(result.times.tolist()):
            newest = [value for when, value in samples if at - 300_000 < when <= at]
            there = bool(newest) and not stale(newest[-1])
            assert (row is not None and bool(result.present[row, column])) == there
            if there:
                assert float(result.values[row, column]) == pytest.approx(newest[-1], nan_ok=True)


@pytest.mark.feature("M3")
def test_sums_do_not_lose_small_numbers() -> None:
    """A window of small numbers keeps all digits beside enormous ones before it."""
    memory = Memory(shared=True)
    memory.add({"__name__": "x"}, {0: 1e17, 15_000: -1.0, 30_000: 0.1, 45_000: 0.2, 60_000: 1e-9})
    result = evaluate(memory, "sum_over_time(x[35s])", 60_000, 60_000, 0)
    assert float(result.values[0, 0]) == math.fsum([0.1, 0.2, 1e-9])


@pytest.mark.feature("M3")
def test_a_query_may_not_hold_too_many_samples() -> None:
    """Over the limit the query fails with Prometheus' words."""
    memory, _ = world(1, shared=True)
    with pytest.raises(PromQLError, match="too many samples") as caught:
        evaluate(memory, "x_total", 0, 2_000_000, 1_000, max_samples=10_000)
    assert caught.value.kind == "execution"


@pytest.mark.feature("M3")
def test_a_query_ends_at_its_deadline_and_when_stopped() -> None:
    """A deadline that has passed and an asker that has gone end the query."""
    memory, _ = world(1, shared=True)
    with pytest.raises(PromQLError, match="timed out") as late:
        evaluate(memory, "sum(x_total)", 0, 100_000, 1_000, deadline=time.monotonic() - 1)
    with pytest.raises(PromQLError, match="canceled") as gone:
        evaluate(memory, "sum(x_total)", 0, 100_000, 1_000, stopped=lambda: True)
    assert (late.value.kind, gone.value.kind) == ("timeout", "canceled")


@pytest.mark.feature("M3")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sum(foo bar)", '1:9: parse error: unexpected identifier "bar" in aggregation'),
        (
            "rate(foo)",
            '1:6: parse error: expected type range vector in call to function "rate", got instant vector',
        ),
        ("a\n  + b{", "2:7: parse error: unexpected end of input inside braces"),
        ('ü{a="b"}', "1:1: parse error: unexpected character: 'ü'"),
        ('a{x="ü"} +', "1:12: parse error: unexpected end of input"),
        ("(" * 300 + "1" + ")" * 300, "1:201: parse error: expression nests deeper than 200 levels"),
    ],
)
def test_errors_name_their_place(text: str, said: str) -> None:
    """A parse error has Prometheus' words and the line and byte column of what is wrong."""
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert str(caught.value) == said
    assert caught.value.kind == "bad_data"


@pytest.mark.feature("M3")
def test_matchers_of_a_selector() -> None:
    """A `match[]` parameter gives its matchers; anything else is refused."""
    found = [(m.name, m.op, m.value) for m in matchers_of('up{job=~"a|b"}')]
    assert found == [("job", "=~", "a|b"), ("__name__", "=", "up")]
    for text in ("rate(up[5m])", "up[5m]", "up offset 1m", "1"):
        with pytest.raises(ParseError):
            matchers_of(text)


@pytest.mark.feature("M3")
def test_a_formatted_query_means_the_same() -> None:
    """What `pretty` spreads over lines parses to the same normal form."""
    text = (
        'sum by (job) (rate(http_requests_total{code=~"5.."}[5m])) / ignoring(code) group_left sum(b) > 0.01'
    )
    spread = pretty(parse(text), width=20)
    assert spread.count("\n") > 5
    assert pretty(parse(spread), width=20) == spread


@pytest.mark.feature("M3")
def test_what_other_rooms_ask_about_a_query() -> None:
    """Names of metrics, the normal form and the functions with their signatures are there for the asking."""
    text = 'sum(rate(a_total{x="1"}[5m]))/scalar(count({__name__="b"}))>a_total offset 1h'
    assert metric_names(text) == ["a_total", "b"]
    assert format_query(text) == (
        'sum(rate(a_total{x="1"}[5m])) / scalar(count({__name__="b"})) > a_total offset 1h'
    )
    assert FUNCTIONS["round"].signature == "round(instant-vector, [scalar]) instant-vector"
    assert all(function.help.endswith(".") for function in FUNCTIONS.values())


@pytest.mark.feature("M3")
@pytest.mark.parametrize("shared", [True, False])
def test_topk_chooses_anew_at_every_step(shared: bool) -> None:
    """At each step topk and bottomk keep the k best of those present, NaN after every number."""
    memory, _ = world(4, shared=shared)
    whole = evaluate(memory, "x_total", 0, 1_800_000, 30_000)
    for op, sign in (("topk", -1.0), ("bottomk", 1.0)):
        chosen = evaluate(memory, f"{op}(3, x_total)", 0, 1_800_000, 30_000)
        for step in range(len(whole.times)):
            values = whole.values[whole.present[:, step], step]
            order = np.lexsort((sign * values, np.isnan(values)))[:3]
            wanted = sorted(values[order].tolist(), key=str)
            got = sorted(chosen.values[chosen.present[:, step], step].tolist(), key=str)
            assert got == pytest.approx(wanted, nan_ok=True)


@pytest.mark.feature("M3")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("clamp(vector(NaN), Inf, NaN)", math.inf),
        ("clamp(vector(NaN), 1, 2)", math.nan),
        ("clamp_max(vector(NaN), -Inf)", -math.inf),
        ("clamp_max(vector(-Inf), NaN)", -math.inf),
        ("clamp_min(vector(-Inf), NaN)", math.nan),
        ("clamp(vector(3), 1, 2)", 2.0),
        ("max_of(NaN, Inf)", math.inf),
        ("max_of(NaN, 1)", math.nan),
        ("min_of(-Inf, NaN)", -math.inf),
        ("sinh(vector(710))", math.inf),
        ("sinh(vector(-710))", -math.inf),
        ("sinh(vector(709))", math.sinh(709)),
        ("cosh(vector(-710))", math.inf),
        ("cosh(vector(NaN))", math.nan),
    ],
)
def test_infinities_come_as_in_go(text: str, value: float) -> None:
    """In its Min and Max one that limits everything wins over NaN; its sinh overflows where exp does."""
    found = evaluate(Memory(shared=True), text, 0, 0, 0)
    assert float(found.values[0, 0]) == pytest.approx(value, nan_ok=True)


@pytest.mark.feature("M3")
def test_labels_sort_as_people_count() -> None:
    """Numbers by their size; beside text, digits stand where their signs do."""
    memory = Memory(shared=True)
    names = ["~a", "a10", "a9", "10", "9", "-1", "a"]
    for name in names:
        memory.add({"__name__": "m", "name": name}, {0: 1.0})
    found = evaluate(memory, 'sort_by_label(m, "name")', 0, 0, 0)
    assert [one["name"] for one in found.labels] == ["-1", "9", "10", "a", "a9", "a10", "~a"]


@pytest.mark.feature("M3")
@pytest.mark.parametrize("huge", [1e14, 1e20, 1e32, 1e300])
@pytest.mark.parametrize("name", ["sum", "avg"])
def test_a_huge_number_takes_no_digits_from_windows_without_it(name: str, huge: float) -> None:
    """Windows before and behind it are exact, whatever the rest of the row holds."""
    random = np.random.default_rng(5)
    values = random.normal(0, 30, 200)
    values[100], values[120] = huge, -huge / 3
    memory = Memory(shared=True)
    memory.add({"__name__": "m"}, {at * 15_000: float(value) for at, value in enumerate(values)})
    found = evaluate(memory, f"{name}_over_time(m[5m])", 300_000, 199 * 15_000, 15_000)
    for step, at in enumerate(range(20, 200)):
        window = values[at - 19 : at + 1]
        exact = math.fsum(window) / (20 if name == "avg" else 1)
        if np.abs(window).max() < huge / 10:
            assert float(found.values[0, step]) == pytest.approx(exact, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("kind", [np.float64, np.int32])
@pytest.mark.parametrize("pick", [np.maximum, np.fmin])
def test_extrema_of_even_and_uneven_windows(kind: type, pick: np.ufunc) -> None:
    """Of windows that begin and end at few samples, at many, and of growing ones at an edge."""
    random = np.random.default_rng(3)
    rows = random.integers(-1000, 1000, (5, 400)).astype(kind)
    even = np.arange(0, 341, 4)
    ragged = np.sort(random.integers(0, 330, 60))
    single = np.array([17])
    for low, high in (
        (even, even + 60),
        (np.maximum(even - 56, 0), even + 4),
        (even, np.minimum(even + 200, 400)),
        (ragged, ragged + random.integers(1, 70, 60)),
        (np.repeat(even, 2), np.repeat(even, 2) + 59),
        (single, single + 1),
        (single, single + 383),
    ):
        found = sliding(rows, low, high, pick)
        assert found.dtype == kind
        for step, (first, last) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            assert (found[:, step] == pick.reduce(rows[:, first:last], axis=1)).all()


@pytest.mark.parametrize("begin", [0.0, 3.0, 1e6, -50.0])
@pytest.mark.parametrize("quick_at", [None, 5, 40, 110])
def test_counters_that_begin_at_zero_are_not_extrapolated_below_it(
    begin: float, quick_at: int | None
) -> None:
    """Rising counters over many steps, slow at first and fast later on: near their start, and far from it."""
    memory = Memory(shared=True)
    series: dict[str, Samples] = {}
    random = np.random.default_rng(4)
    for number in range(4):
        steps = random.integers(0, 3, 128).astype(np.float64)
        if quick_at is not None and number == 2:
            steps[quick_at:] *= 1e5
        samples = {at * 15_000: begin + float(value) for at, value in enumerate(np.cumsum(steps))}
        memory.add({"__name__": "x_total", "n": str(number)}, samples)
        series[str(number)] = sorted(samples.items())
    check_increases(evaluate(memory, "increase(x_total[1m])", 0, 127 * 15_000, 10_000), series)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("falling", [(), (4, 5)])
def test_counters_that_fall_beside_those_that_never_do(shared: bool, falling: tuple[int, ...]) -> None:
    """High ones, one from zero, two with resets, and one whose fall a NaN hides, far from and near zero."""
    memory = Memory(shared=shared)
    series: dict[str, Samples] = {}
    random = np.random.default_rng(6)
    for number in range(12):
        values = np.cumsum(random.integers(0, 4, 128)).astype(np.float64)
        values += 0.0 if number == 6 else 1e6
        if number in falling:
            values[20 * number :] -= values[20 * number]
        if number == 7:
            values[62] = math.nan  # inside a window, never at its edges
            values[63:] -= values[63]
        samples = {at * 15_000: float(value) for at, value in enumerate(values, start=1)}
        memory.add({"__name__": "x_total", "n": str(number)}, samples)
        series[str(number)] = sorted(samples.items())
    result = evaluate(memory, "increase(x_total[1m])", 0, 128 * 15_000, 60_000)
    assert len(result.labels) == 12
    check_increases(result, series)


def test_a_subquery_loses_names_that_are_due_and_joins_what_has_become_equal() -> None:
    """The samples of a subquery are labelled as an instant's would be; two at one time are an error."""
    memory = Memory(shared=True)
    for name, first in (("a_total", 0), ("b_total", 600)):
        samples = {at * 1000: float(at) for at in range(first, first + 300, 15)}
        memory.add({"__name__": name, "job": "j"}, samples)
    ask = 'rate({__name__=~"[ab]_total"}[1m])'
    found = evaluate(memory, f"({ask})[20m:30s]", 1_000_000, 1_000_000, 0)
    assert found.labels == [{"job": "j"}]
    stamps, values = found.series[0]
    assert stamps.tolist() == [*range(30_000, 301_000, 30_000), *range(630_000, 901_000, 30_000)]
    assert values.tolist() == pytest.approx([1.0] * len(stamps), rel=0.6)
    memory.add({"__name__": "b_total", "job": "j"}, {at * 1000: float(at) for at in range(0, 100, 15)})
    with pytest.raises(PromQLError, match="same labelset"):
        evaluate(memory, f"({ask})[20m:30s]", 1_000_000, 1_000_000, 0)
    kept = evaluate(memory, '({__name__=~"[ab]_total"})[20m:30s]', 1_000_000, 1_000_000, 0)
    assert [labels["__name__"] for labels in kept.labels] == ["a_total", "b_total"]


@pytest.mark.parametrize("operator", ["==", "!="])
def test_a_subquery_has_only_the_histograms_that_a_comparison_left(operator: str) -> None:
    """Those of other steps are not seen by what is asked over it."""
    memory = Memory(shared=True)
    for at in range(10):
        memory.add(
            {"__name__": "h"},
            {at * 60_000: Histogram(count=float(at), sum=2.0 * at, positive={1: float(at)})},
        )
    expr = f"h {operator} (h @ 240)"
    left = [4] if operator == "==" else [0, 1, 2, 3, 5, 6, 7, 8, 9]
    found = evaluate(memory, f"({expr})[10m:1m]", 540_000, 540_000, 0)
    assert found.series_histograms[0][0].tolist() == [at * 60_000 for at in left]
    counted = evaluate(memory, f"count_over_time(({expr})[10m:1m])", 540_000, 540_000, 0)
    assert counted.values.tolist() == [[float(len(left))]]
