"""The whole HTTP API asked of mamimon and of a real Prometheus 3 over the same targets, rules and samples.

Every mistake once and 250 seeded mixtures; 5,000 with MAMIMON_FULL=1. MAMIMON_SEED chooses others.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from tests.conformance.api.asking import ADMIN, Ask, Asker
from tests.conformance.api.comparing import declared, difference, send
from tests.conformance.api.pushing import pushes, sent
from tests.conformance.api.sides import Sides

SEED = int(os.environ.get("MAMIMON_SEED", "20261128"))
COUNT = 5000 if os.environ.get("MAMIMON_FULL") else 250

pytestmark = [pytest.mark.peer("prometheus"), pytest.mark.feature("M4")]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Both, scraped and evaluated."""
    both = Sides(tmp_path_factory.mktemp("sides"))
    try:
        both.settle()
        yield both
    finally:
        both.stop()


@pytest.fixture(scope="module")
def asker(sides: Sides) -> Asker:
    """Makes the requests."""
    return Asker(sides.until, f"{sides.folder}/rules.yml")


def compare(sides: Sides, asks: Iterable[Ask]) -> tuple[int, Counter[str], list[str]]:
    """How many were asked, how often each declared difference came, and the others."""
    reasons: Counter[str] = Counter()
    todo = list(asks)
    count = len(todo)
    different: dict[Ask, str] = {}
    for _ in range(3):
        different = {}
        for ask in todo:
            theirs, ours = send(sides.theirs, ask), send(sides.ours, ask)
            text = difference(ask, theirs, ours)
            if text and (why := declared(ask, theirs, ours, text)):
                reasons[why] += 1
            elif text:
                different[ask] = text
        if not different:
            break
        # On a busy machine a scrape may fail on one side: what differs for a moment only is no difference.
        time.sleep(5)
        todo = list(different)
    return count, reasons, [f"{ask}\n    {text}" for ask, text in different.items()]


def report(capsys: pytest.CaptureFixture[str], what: str, found: tuple[int, Counter[str], list[str]]) -> None:
    """Say how much was compared, and fail on what is not declared."""
    count, reasons, different = found
    with capsys.disabled():
        print(f"\n{count} {what}: {count - len(different)} as Prometheus answers")
        for reason, times in reasons.most_common():
            print(f"  {times} declared: {reason}")
    assert not different, "theirs | ours\n" + "\n".join(different[:60])


def test_each_parameter_and_mistake(sides: Sides, asker: Asker, capsys: pytest.CaptureFixture[str]) -> None:
    """Every good and bad value of every parameter of every endpoint: status, shape, errors, notes, values."""
    report(capsys, "requests of one parameter", compare(sides, asker.each()))


def test_methods_headers_and_paths(sides: Sides, asker: Asker, capsys: pytest.CaptureFixture[str]) -> None:
    """Other methods, what is accepted, other origins, forms of another type, paths that are not there."""
    report(capsys, "requests with odd manners", compare(sides, asker.manners()))


def test_mixtures(sides: Sides, asker: Asker, capsys: pytest.CaptureFixture[str]) -> None:
    """Several parameters at once, good and bad, some twice, in the query or in a form."""
    report(capsys, f"mixtures (seed {SEED})", compare(sides, asker.mixed(SEED, COUNT)))


def test_the_admin_api_is_off(sides: Sides, asker: Asker, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its flag each admin endpoint is refused in the same words."""
    report(capsys, "admin requests without the flag", compare(sides, asker.each(ADMIN, "POST")))


@pytest.mark.feature("M2")
def test_remote_writes(sides: Sides, capsys: pytest.CaptureFixture[str]) -> None:
    """Forty pushes, good and bad, of both versions: the same status and numbers of written samples."""
    different, count = [], 0
    for push in pushes(int(time.time() * 1000) - 1000):
        count += 1
        (status, written), (ours, own) = sent(sides.theirs, push), sent(sides.ours, push)
        if push.ours:
            assert status != push.ours, f"{push.name}: no difference to be declared any more"
            status, written = push.ours, own
        if (status, written) != (ours, own):
            different.append(f"{push.name}: {status} {written} | {ours} {own}")
    with capsys.disabled():
        print(f"\n{count} remote writes: {count - len(different)} as Prometheus answers or as declared")
    assert not different, "theirs | ours\n" + "\n".join(different)


def test_the_admin_api(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> None:
    """With its flag: what it answers, and the series that are left after a deletion."""
    both = Sides(tmp_path_factory.mktemp("admin"), admin=True)
    try:
        asker = Asker(both.until, "")
        report(capsys, "admin requests", compare(both, asker.each(ADMIN, "POST")))
        left = Ask(
            "/api/v1/query", (("query", "count by (__name__) ({job='world'})"), ("time", str(both.until)))
        )
        report(capsys, "question afterwards", compare(both, [left]))
    finally:
        both.stop()
