"""Whatever the server does, the application is not disturbed and nothing it could keep is lost."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import mamimon
from mamimon.client import agent
from mamimon.client.buffer import Losses
from mamimon.client.spool import Batch, Spool
from tests.client.receiver import Receiver
from tests.conftest import Process, wait_until

Client = Callable[..., None]


def messages(receiver: Receiver) -> list[str]:
    return [document["message"] for document in receiver.documents]


def losses() -> int:
    shipper = agent.shipper()
    assert shipper is not None
    return shipper.losses.total()


@pytest.mark.feature("C4")
def test_a_server_that_is_away_and_comes_back_gets_everything(client: Client) -> None:
    """Records of an outage wait on disk and arrive, once each, when the server is back on its port."""
    first = Receiver()
    client(first.url)
    log = mamimon.get_logger("app")
    for number in range(100):
        log.info("line %d", number)
    assert mamimon.flush(5)
    first.close()
    for number in range(100, 1300):
        log.info("line %d", number)
    mamimon.track_event("u1", "login")
    mamimon.capture_message("during the outage")
    assert not mamimon.flush(0.5)
    second = Receiver(first.port)
    try:
        for number in range(1300, 1400):
            log.info("line %d", number)
        wait_until(lambda: mamimon.flush(2), 60, "delivery")
    finally:
        second.close()
    assert sorted(messages(first) + messages(second)) == sorted(f"line {number}" for number in range(1400))
    assert [event["event"] for event in second.events] == ["login"]
    assert len(second.envelopes) == 1
    assert losses() == 0


@pytest.mark.feature("C4")
def test_the_next_process_sends_what_one_could_not(receiver: Receiver, tmp_path: Path) -> None:
    """A program killed by -9 during an outage leaves its records to the next program of the service."""
    code = (
        "import os, sys, time, mamimon\n"
        f"url, folder = {receiver.url!r}, {str(tmp_path)!r}\n"
        "mamimon.init(url, service='s', console='off', spool_dir=folder, linger_s=0.02)\n"
        "log = mamimon.get_logger('app')\n"
        "for n in range(int(sys.argv[1]), int(sys.argv[2])): log.info('line %d', n)\n"
        "mamimon.flush(2)\n"
        "if sys.argv[3] == 'die': os.kill(os.getpid(), 9)\n"
    )
    receiver.mode = "busy"
    died = subprocess.run([sys.executable, "-c", code, "0", "50", "die"], capture_output=True, timeout=30)
    assert died.returncode == -signal.SIGKILL
    assert receiver.documents == []
    receiver.mode = "good"
    subprocess.run(
        [sys.executable, "-c", code, "50", "60", "live"], check=True, capture_output=True, timeout=30
    )
    assert sorted(messages(receiver)) == sorted(f"line {number}" for number in range(60))
    assert list(tmp_path.rglob("*.gz")) == []


@pytest.mark.parametrize("mode", ["busy", "garbage", "html", "drip", "silent"])
@pytest.mark.feature("C4")
def test_a_bad_server_neither_blocks_nor_breaks_the_application(mode: str, client: Client) -> None:
    """Whatever the answers, logging stays quick, the end takes ≤ 2 s and the next start delivers all."""
    bad = Receiver()
    bad.mode = mode
    client(bad.url, timeout_s=5.0, flush_s=2.0)
    log = mamimon.get_logger("app")
    took: list[float] = []
    for number in range(2000):
        began = time.perf_counter()
        log.info("line %d", number)
        took.append(time.perf_counter() - began)
    # A call that waited for the request would take its 5 s; the machine's own hiccups stay far below.
    assert max(took) < 2.0
    assert sorted(took)[1980] < 0.5
    assert not mamimon.flush(1.0)
    began = time.monotonic()
    shipper = agent.shipper()
    mamimon.shutdown()
    assert time.monotonic() - began < 4.5
    bad.close()
    assert shipper is not None
    assert shipper.losses.total() == 0
    with_disk = shipper.settings.spool_dir
    good = Receiver(bad.port)
    try:
        client(good.url, spool_dir=with_disk)
        wait_until(lambda: mamimon.flush(2) and len(good.documents) >= 2000, 60, "delivery by the next start")
    finally:
        good.close()
    assert sorted(messages(good)) == sorted(f"line {number}" for number in range(2000))


@pytest.mark.feature("C4")
def test_documents_are_judged_one_by_one(client: Client, receiver: Receiver) -> None:
    """Of a partly refused batch the good arrive, the busy ones are sent again, the refused are counted."""
    receiver.mode = "picky"
    client(receiver.url, linger_s=0.2)
    log = mamimon.get_logger("app")
    for message in ("good", "refuse", "later", "good"):
        log.info(message)
    wait_until(lambda: len(receiver.documents) >= 3, what="the good ones")
    assert sorted(messages(receiver)) == ["good", "good", "later"]
    wait_until(lambda: losses() == 1, what="the count")


@pytest.mark.feature("C4")
def test_a_batch_that_is_too_large_is_halved(client: Client, receiver: Receiver) -> None:
    """413 makes batches smaller until they fit."""
    receiver.mode = "small"
    client(receiver.url, linger_s=0.2)
    for number in range(40):
        mamimon.get_logger("app").info("line %d", number)
    assert mamimon.flush(10)
    assert sorted(messages(receiver)) == sorted(f"line {number}" for number in range(40))


@pytest.mark.feature("C4")
def test_memory_is_bounded_and_errors_outlive_chatter(client: Client, receiver: Receiver) -> None:
    """Beyond the bound the least important is dropped first, and what was dropped is counted."""
    receiver.mode = "silent"
    client(receiver.url, queue_records=100, spool=False, level="DEBUG", linger_s=5.0, batch_records=1000)
    log = logging.getLogger("app")
    for number in range(50):
        log.error("error %d", number)
    for number in range(500):
        log.debug("chatter %d", number)
    shipper = agent.shipper()
    assert shipper is not None
    assert len(shipper.buffer) <= 100
    assert shipper.losses.counts == {("log", "DEBUG"): 450}
    text = __import__("mamimon.client.exposition", fromlist=["render"]).render().decode()
    assert 'mamimon_client_dropped_total{kind="log",level="DEBUG"} 450' in text


@pytest.mark.feature("C4")
def test_the_disk_queue_is_bounded_in_bytes_and_age(tmp_path: Path) -> None:
    """Over the byte limit the least important goes first; a batch older than the limit is counted as lost."""
    now = [1_000_000.0]
    lost = Losses(time.monotonic)
    spool = Spool(tmp_path / "q", 1000, 3600.0, lost, lambda: now[0])
    spool.add(Batch("log", 3, 1, now[0], b"e" * 400))
    spool.add(Batch("log", 0, 7, now[0] + 1, b"d" * 400))
    spool.add(Batch("log", 1, 5, now[0] + 2, b"i" * 400))
    assert [entry.rank for entry in spool.entries] == [3, 1]
    assert lost.counts == {("log", "DEBUG"): 7}
    now[0] += 4000
    assert spool.next({"log"}) is None
    assert lost.total() == 13
    assert list(tmp_path.rglob("*.gz")) == []


@pytest.mark.feature("C4")
def test_queues_of_abandoned_destinations_do_not_stay_for_ever(tmp_path: Path) -> None:
    """What is over its age in another destination's folder is deleted, and nothing else."""
    lost = Losses(time.monotonic)
    other = Spool(tmp_path / "a-old", 10_000, 36_000.0, lost, lambda: 1_009_000.0)
    other.add(Batch("log", 1, 1, 1_000_000.0, b"old"))
    other.add(Batch("log", 1, 1, 1_009_000.0, b"young"))
    (tmp_path / "a-old" / "1-x").mkdir()
    (tmp_path / "a-old" / "1-x" / "mine.gz").write_bytes(b"not ours")
    Spool(tmp_path / "a-new", 10_000, 3600.0, lost, lambda: 1_010_000.0).sweep()
    left = sorted(path.read_bytes() for path in tmp_path.rglob("*.gz"))
    assert left == [b"not ours", b"young"]


@pytest.mark.feature("C4")
def test_without_a_writable_disk_records_wait_in_memory(
    client: Client, receiver: Receiver, tmp_path: Path
) -> None:
    """A spool folder that cannot be made costs nothing but the survival of a crash."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    receiver.mode = "busy"
    client(receiver.url, spool_dir=str(blocked))
    mamimon.get_logger("app").info("kept")
    assert not mamimon.flush(1)
    receiver.mode = "good"
    wait_until(lambda: mamimon.flush(2), 60, "delivery")
    assert messages(receiver) == ["kept"]


def _child(results: Any) -> None:
    mamimon.get_logger("app").info("from the child %d", os.getpid())
    results.put(mamimon.flush(5))


@pytest.mark.feature("C4")
def test_a_forked_child_ships_its_own_records_only(client: Client, receiver: Receiver) -> None:
    """After a fork the child has its own queue and thread; what waited in the parent is not sent twice."""
    client(receiver.url, linger_s=0.3)
    log = mamimon.get_logger("app")
    log.info("before the fork")
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_child, args=(results,))
    child.start()
    assert results.get(timeout=10) is True
    child.join(10)
    log.info("after the fork")
    assert mamimon.flush(5)
    assert sorted(message.rstrip("0123456789 ") for message in messages(receiver)) == [
        "after the fork",
        "before the fork",
        "from the child",
    ]


@pytest.mark.feature("C4")
def test_the_last_records_are_delivered_at_exit(receiver: Receiver) -> None:
    """A program that logs and ends at once loses nothing, and ends quickly though the server is away."""
    code = (
        "import sys, mamimon\nmamimon.init(sys.argv[1], service='s', console='off')\n"
        "mamimon.get_logger('a').info('last words')\n"
    )
    subprocess.run([sys.executable, "-c", code, receiver.url], check=True, capture_output=True, timeout=30)
    assert messages(receiver) == ["last words"]


@pytest.mark.feature("C4")
def test_objects_that_misbehave_do_not_reach_the_application(client: Client, receiver: Receiver) -> None:
    """An extra whose `str` raises, a cycle, NaN and lone surrogates all become JSON."""

    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    client(receiver.url)
    log = mamimon.get_logger("app")
    log.info("odd", extra={"bad": Bad(), "cycle": cycle, "nan": float("nan"), "half": "\ud800"})
    assert mamimon.flush(5)
    assert len(receiver.documents) == 1
    json.dumps(receiver.documents, allow_nan=False)


@pytest.mark.feature("C4")
def test_the_real_server_killed_and_restarted_misses_nothing(
    client: Client, process: Callable[..., Process]
) -> None:
    """Lines, events and errors around a kill -9 of the real server are all there after its restart."""
    port = _free_port()
    one = process("--port", str(port))
    client(one.url, timeout_s=2.0)
    log = mamimon.get_logger("app")
    for number in range(300):
        log.info("line %d", number, extra={"number": number})
    mamimon.track_event("u1", "message_sent", {"n": 1})
    mamimon.capture_exception(ValueError("before"))
    assert mamimon.flush(10)
    for number in range(300, 600):
        log.info("line %d", number, extra={"number": number})
    one.kill()
    for number in range(600, 900):
        log.info("line %d", number, extra={"number": number})
    mamimon.track_event("u1", "message_sent", {"n": 2})
    mamimon.capture_exception(KeyError("between"))
    assert not mamimon.flush(0.5)
    two = process("--port", str(port))
    wait_until(lambda: mamimon.flush(2), 60, "delivery")
    assert losses() == 0
    web = httpx.Client(base_url=two.url, timeout=20)
    found = web.get("/es/logs-chat-service-*/_search", params={"size": 2000}).json()["hits"]["hits"]
    # A batch whose acknowledgement the kill swallowed is sent again: at least once, never none.
    lines = [hit["_source"] for hit in found if hit["_source"]["logger"] == "app"]
    assert {line["number"] for line in lines} == set(range(900))
    titles = json.dumps(web.get("/api/mamimon/errors/issues").json())
    assert "ValueError" in titles and "KeyError" in titles
    web.close()


@pytest.mark.feature("C4")
def test_a_frozen_server_disturbs_nobody(client: Client, process: Callable[..., Process]) -> None:
    """While the real server is stopped (SIGSTOP) logging stays quick; it gets all when it goes on."""
    one = process()
    client(one.url, timeout_s=0.5)
    log = mamimon.get_logger("app")
    log.info("first")
    assert mamimon.flush(10)
    one.popen.send_signal(signal.SIGSTOP)
    try:
        began = time.perf_counter()
        for number in range(1000):
            log.info("frozen", extra={"number": number})
        assert time.perf_counter() - began < 20
        assert not mamimon.flush(1.0)
    finally:
        one.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: mamimon.flush(2), 60, "delivery")
    assert losses() == 0
    answer = httpx.get(
        one.url + "/es/logs-chat-service-*/_search", params={"q": "frozen", "size": 5000}
    ).json()
    assert {hit["_source"]["number"] for hit in answer["hits"]["hits"]} == set(range(1000))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
