"""A real Celery worker: its records arrive, under the ids of the request that sent the task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.receiver import Receiver
from tests.conftest import ROOT, wait_until

APP = """
import os
import mamimon
from celery import Celery

mamimon.init(service="shop", console="off")
queue = os.environ["QUEUE"]
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": queue, "data_folder_out": queue, "control_folder": queue + "-control",
}
app.conf.task_ignore_result = True

@app.task
def bill(order):
    mamimon.get_logger("bill").info("billing", extra={"order": order, "worker": os.getpid()})
    if order == 2:
        raise LookupError("no such order")

if __name__ == "__main__":
    with mamimon.context(request_id="r-8", trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b" * 16):
        bill.delay(1)
        bill.delay(2)
    bill.delay(3)
"""


@pytest.mark.feature("C4")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_tasks_continue_the_request_that_sent_them(pool: str, receiver: Receiver, tmp_path: Path) -> None:
    """Lines of a task have the sender's ids and its own; a failure is one report; the end loses nothing."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "queue").mkdir()
    env = {
        **os.environ,
        "MAMIMON_URL": receiver.url,
        "MAMIMON_SPOOL_DIR": str(tmp_path / "spool"),
        "QUEUE": str(tmp_path / "queue"),
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-c", "2", "-P", pool, "-l", "INFO"]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=out, stderr=out)
    try:
        sent = subprocess.run([sys.executable, "shop.py"], cwd=tmp_path, env=env, capture_output=True)
        assert sent.returncode == 0, sent.stderr.decode()
        wait_until(lambda: len(_billing(receiver)) == 3, 60, "three tasks")
    finally:
        worker.terminate()
        assert worker.wait(30) == 0, log.read_text()
    lines = {document["order"]: document for document in _billing(receiver)}
    assert [lines[number]["request_id"] for number in (1, 2)] == ["r-8", "r-8"]
    assert [lines[number]["trace_id"][:8] for number in (1, 2)] == ["0af76519", "0af76519"]
    assert lines[1]["span_id"] != lines[2]["span_id"] != "b" * 16
    assert lines[3]["request_id"] not in ("", "r-8")
    assert lines[1]["task"] == "shop.bill"
    assert len({line["task_id"] for line in lines.values()}) == 3
    (envelope,) = receiver.envelopes
    assert envelope["exception"]["values"][-1]["type"] == "LookupError"
    assert envelope["tags"]["request_id"] == "r-8"
    messages = [document["message"] for document in receiver.documents]
    assert any("succeeded in" in message for message in messages)


def _billing(receiver: Receiver) -> list[dict[str, Any]]:
    return [document for document in receiver.documents if document["message"] == "billing"]
