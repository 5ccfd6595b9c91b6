"""Sentry's own clients, current and one major back, against the real server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent, wait_until
from tests.errors.packages import (
    ESBUILD,
    SENTRY_BROWSER,
    SENTRY_BROWSER_BEFORE,
    SENTRY_NODE,
    SENTRY_NODE_BEFORE,
    npm,
    python,
)
from tests.errors.sites import serve
from tests.errors.test_doors import dsn_of, issues
from tests.errors.test_items import outcome, releases

SDK_1 = ("sentry-sdk==1.45.1", "urllib3<3")
SDK_2 = ("sentry-sdk==2.75.0", "fastapi", "httpx", "django", "rq", "urllib3<3")
CELERY = ("sentry-sdk==2.75.0", "celery==5.7.0", "urllib3<3")


def run(interpreter: Path, folder: Path, code: str, **env: str) -> str:
    """Run a program with the client and return what it printed."""
    script = folder / "app.py"
    script.write_text(code)
    done = subprocess.run(
        [str(interpreter), str(script)],
        cwd=folder, env={**os.environ, "PYTHONPATH": "", **env}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def by_title(server: Any) -> dict[str, dict[str, Any]]:
    """Issues by title."""
    return {one["title"]: one for one in issues(server)}


def newest(server: Any, issue: dict[str, Any]) -> dict[str, Any]:
    """The newest event of an issue, whose page opens."""
    assert server.client.get(issue["url"]).status_code == 200
    found = server.client.get(f"/api/mamimon/errors/issues/{issue['id']}").json()["event"]
    assert isinstance(found, dict)
    return found


PLAIN = """
import sentry_sdk, sys
sentry_sdk.init({dsn!r}, release="shop@1.0", environment="test", traces_sample_rate=1.0)
def pay(order):
    password = "hunter2-canary"
    total = order["total"]
    return total / 0
with sentry_sdk.start_transaction(op="task", name="charge"):
    with sentry_sdk.start_span(op="db.query"):
        pass
    sentry_sdk.add_breadcrumb(category="cart", message="added tea")
    try:
        try:
            pay({{"total": 5}})
        except ZeroDivisionError as error:
            raise ValueError("order 17 cannot be paid") from error
    except ValueError:
        with sentry_sdk.push_scope() as scope:
            scope.set_user({{"id": "ada-1", "email": "ada@shop.example"}})
            scope.set_tag("cart", "big")
            scope.add_attachment(bytes=b"notes", filename="notes.txt")
            sentry_sdk.capture_exception()
sentry_sdk.capture_message("a plain message", level="warning")
sentry_sdk.flush(10)
print(sentry_sdk.VERSION)
"""


@pytest.mark.feature("E1")
@pytest.mark.parametrize("packages", [SDK_1, SDK_2], ids=["1.x", "2.x"])
def test_plain_python(server: Any, tmp_path: Path, packages: tuple[str, ...]) -> None:
    """Chained exceptions with variables, breadcrumbs, user, attachment, a message and a transaction."""
    version = run(python(*packages), tmp_path, PLAIN.format(dsn=dsn_of(server)[0])).strip()
    assert packages[0].endswith(version)

    found = by_title(server)
    assert set(found) == {"ValueError: order 17 cannot be paid", "a plain message"}
    event = newest(server, found["ValueError: order 17 cannot be paid"])
    assert [one["type"] for one in event["exceptions"]] == ["ZeroDivisionError", "ValueError"]
    frame = event["exceptions"][0]["frames"][-1]
    assert (frame["function"], frame["code"].strip()) == ("pay", "return total / 0")
    assert frame["variables"]["total"] in {5, "5"}
    assert "hunter2-canary" not in json.dumps(event)
    assert event["tags"]["cart"] == "big"
    assert event["breadcrumbs"][-1]["message"] == "added tea"
    assert event["attachments"][0]["name"] == "notes.txt"
    assert "ada" not in json.dumps(event["user"])
    labels = 'operation="task",project="1",transaction="charge"'
    text = server.client.get("/metrics").text
    assert f"mamimon_transaction_duration_seconds_count{{{labels}}} 1.0" in text
    assert 'mamimon_span_duration_seconds_count{operation="db.query",project="1"} 1.0' in text


FASTAPI = """
import sentry_sdk
from fastapi import FastAPI
from fastapi.testclient import TestClient
sentry_sdk.init({dsn!r}, release="api@2", send_default_pii=True)
app = FastAPI()
@app.post("/pay/{{order}}")
async def pay(order: int):
    raise RuntimeError("the till is closed")
client = TestClient(app, raise_server_exceptions=False)
answer = client.post("/pay/7?token=canary-q", json={{"password": "canary-b", "n": 1}},
    headers={{"X-Request-ID": "r-77", "Authorization": "Bearer canary-h"}})
assert answer.status_code == 500
sentry_sdk.flush(10)
"""
DJANGO = """
import sentry_sdk, sys
sentry_sdk.init({dsn!r}, release="web@3")
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
def broken(request, slug):
    return HttpResponse(missing_name)
urlpatterns = [path("shop/<slug:slug>/", broken)]
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()
from wsgiref.util import setup_testing_defaults
from django.core.wsgi import get_wsgi_application
environ = {{"PATH_INFO": "/shop/tea/", "QUERY_STRING": "page=2"}}
setup_testing_defaults(environ)
answers = []
list(get_wsgi_application()(environ, lambda status, headers, _=None: answers.append(status)))
assert answers[0].startswith("500"), answers
sentry_sdk.flush(10)
"""


@pytest.mark.feature("E1")
def test_fastapi(server: Any, tmp_path: Path) -> None:
    """An error in a FastAPI route comes with its request, its route as transaction, and no secret of it."""
    run(python(*SDK_2), tmp_path, FASTAPI.format(dsn=dsn_of(server)[0]))

    (found,) = issues(server)
    event = newest(server, found)
    assert found["title"] == "RuntimeError: the till is closed"
    assert found["unhandled"]
    assert event["transaction"] in {"/pay/{order}", "POST /pay/{order}"} or event["transaction"].endswith(
        ".pay"
    )
    assert event["request"]["method"] == "POST"
    assert event["request"]["url"].endswith("/pay/7")
    assert event["tags"]["request_id"] == "r-77"
    assert "canary" not in json.dumps(event)


@pytest.mark.feature("E1")
def test_django(server: Any, tmp_path: Path) -> None:
    """An error in a Django view comes with its route and request; the request's session is counted."""
    run(python(*SDK_2), tmp_path, DJANGO.format(dsn=dsn_of(server)[0]))

    (found,) = issues(server)
    event = newest(server, found)
    assert found["title"] == "NameError: name 'missing_name' is not defined"
    assert event["transaction"] == "/shop/{slug}/"
    assert event["request"]["query"] == "page=2"
    assert releases(server)["web@3"]["sessions"] >= 1


@pytest.fixture
def redis() -> Iterator[int]:
    """A Redis of its own; the port."""
    program = shutil.which("redis-server")
    if program is None:
        absent("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    one = subprocess.Popen(
        [str(program), "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    wait_until(answers, what="redis")
    yield port
    one.terminate()
    one.wait(20)


JOBS = """
def charge(order):
    raise LookupError(f"order {order} went away")
"""
WORKER = """
import sentry_sdk
from sentry_sdk.integrations.rq import RqIntegration
sentry_sdk.init({dsn!r}, release="jobs@4", integrations=[RqIntegration()])
from redis import Redis
from rq import Queue, SimpleWorker
import jobs
queue = Queue(connection=Redis(port={port}))
queue.enqueue(jobs.charge, 12)
SimpleWorker([queue], connection=queue.connection).work(burst=True)
sentry_sdk.flush(10)
"""


@pytest.mark.feature("E1")
@pytest.mark.peer("redis-server")
def test_rq(server: Any, tmp_path: Path, redis: int) -> None:
    """A job that fails in an RQ worker names its function and its arguments."""
    (tmp_path / "jobs.py").write_text(JOBS)
    code = WORKER.format(dsn=dsn_of(server)[0], port=redis)
    run(python(*SDK_2), tmp_path, code, PYTHONPATH=str(tmp_path))

    (found,) = issues(server)
    event = newest(server, found)
    assert found["title"] == "LookupError: order 12 went away"
    assert event["transaction"] == "jobs.charge"
    assert "jobs.charge" in json.dumps(event["extra"])


TASKS = """
import os, sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
sentry_sdk.init({dsn!r}, release="tasks@7", integrations=[CeleryIntegration()])
from celery import Celery
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = dict.fromkeys(
    ("data_folder_in", "data_folder_out", "control_folder"), os.environ["QUEUE"])
@app.task(name="tasks.ship")
def ship(order):
    parcel = {{"order": order}}
    return parcel["weight"]
if __name__ == "__main__":
    ship.delay(31)
"""


@pytest.mark.feature("E1")
def test_celery(server: Any, tmp_path: Path) -> None:
    """A task that fails in a Celery worker names the task; the broker is a folder."""
    (tmp_path / "tasks.py").write_text(TASKS.format(dsn=dsn_of(server)[0]))
    queue = tmp_path / "queue"
    queue.mkdir()
    interpreter = python(*CELERY)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "QUEUE": str(queue)}
    send = [str(interpreter), "tasks.py"]
    subprocess.run(send, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=120)
    command = [str(interpreter), "-m", "celery", "-A", "tasks", "worker", "--pool", "solo", "-l", "WARNING"]
    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
        try:
            wait_until(lambda: issues(server), timeout_s=120, what="the task's issue")
        finally:
            worker.terminate()
            worker.wait(60)

    (found,) = issues(server)
    event = newest(server, found)
    assert found["title"] == "KeyError: 'weight'"
    assert (event["transaction"], event["release"]) == ("tasks.ship", "tasks@7")
    assert event["extra"]["celery-job"]["task_name"] == "tasks.ship"
    assert event["exceptions"][-1]["frames"][-1]["function"] == "ship"


NODE = """
const Sentry = require("@sentry/node");
Sentry.init({ dsn: process.env.DSN, release: "node@5", tracesSampleRate: 1 });
class CartError extends Error {
  get name() { return "CartError"; }
}
function priceOf(cart) { return cart.lines[3].price; }
async function pay(cart) {
  try {
    return priceOf(cart);
  } catch (error) {
    throw new CartError("cart 5 cannot be priced", { cause: error });
  }
}
(async () => {
  Sentry.setUser({ id: "bob-2" });
  Sentry.addBreadcrumb({ category: "cart", message: "opened" });
  await Sentry.startSpan({ op: "task", name: "checkout" }, async () => {
    await pay({ lines: [] }).catch((error) => Sentry.captureException(error));
  });
  const id = Sentry.captureMessage("hello from node");
  Sentry.captureFeedback({ message: "it broke", name: "Ann", associatedEventId: id });
  const schedule = { type: "interval", value: 1, unit: "hour" };
  Sentry.captureCheckIn({ monitorSlug: "nightly-node", status: "ok" }, { schedule });
  await Sentry.flush(10000);
  console.log(Sentry.SDK_VERSION);
  process.exit(0);
})();
"""


@pytest.mark.feature("E1")
@pytest.mark.peer("node")
@pytest.mark.parametrize("package", [SENTRY_NODE_BEFORE, SENTRY_NODE])
def test_node(server: Any, tmp_path: Path, package: str) -> None:
    """Causes, source lines, feedback, a check-in, a session and a span of a Node program."""
    node = shutil.which("node")
    if node is None:
        absent("node")
    (tmp_path / "node_modules").symlink_to(npm(package) / "node_modules")
    (tmp_path / "app.js").write_text(NODE)
    done = subprocess.run(
        [str(node), "app.js"],
        cwd=tmp_path,
        env={**os.environ, "DSN": dsn_of(server)[0]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert package.endswith("@" + done.stdout.strip())

    found = by_title(server)
    event = newest(server, found["CartError: cart 5 cannot be priced"])
    assert [one["type"] for one in event["exceptions"]] == ["TypeError", "CartError"]
    frame = event["exceptions"][0]["frames"][-1]
    assert (frame["function"], frame["line"]) == ("priceOf", 7)
    assert "cart.lines[3].price" in frame["code"]
    assert "it broke" in server.client.get(found["hello from node"]["url"]).text
    assert "nightly-node" in server.client.get("/checks").text
    assert releases(server)["node@5"]["sessions"] == 1
    assert outcome(server, "transaction", "measured") + outcome(server, "span", "measured") >= 1


BROWSER = """
import * as Sentry from "@sentry/browser";
Sentry.init({ dsn: window.DSN, release: "page@6", tunnel: window.TUNNEL, integrations: [
  Sentry.replayIntegration({ maskAllText: true }), Sentry.browserTracingIntegration() ],
  tracesSampleRate: 1, replaysOnErrorSampleRate: 1 });
function renderCart(cart) { return cart.total.toFixed(2); }
window.throwing = () => setTimeout(function clicked() { renderCart({}); }, 0);
window.rejecting = () => { Promise.reject(new RangeError("too many lines")); };
window.version = Sentry.SDK_VERSION;
window.settled = () => Sentry.flush(5000);
"""


@pytest.mark.browser
@pytest.mark.feature("E1")
@pytest.mark.parametrize("package", [SENTRY_BROWSER_BEFORE, SENTRY_BROWSER])
@pytest.mark.parametrize("tunnel", [False, True], ids=["direct", "tunnel"])
def test_browser(server: Any, browser: Any, tmp_path: Path, package: str, tunnel: bool) -> None:
    """Errors, rejections, a session, a page load and a refused replay of a page in Chromium."""
    (tmp_path / "node_modules").symlink_to(npm(ESBUILD, package) / "node_modules")
    (tmp_path / "app.js").write_text(BROWSER)
    build = [str(tmp_path / "node_modules/.bin/esbuild"), "app.js", "--bundle", "--outfile=site/app.js"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    dsn, _ = dsn_of(server)
    address = f"{server.url}/api/1/envelope/" if tunnel else ""
    with serve() as site:
        site.folder = tmp_path / "site"
        settings = f"DSN = {json.dumps(dsn)}; TUNNEL = {json.dumps(address)} || undefined"
        site.pages["/"] = (
            f"<!doctype html><title>Cart</title><script>{settings}</script><script src=/app.js></script>"
        )
        page = browser.new_page()
        page.goto(site.url)
        assert package.endswith("@" + page.evaluate("version"))
        page.evaluate("throwing()")
        page.evaluate("rejecting()")
        wait_until(lambda: len(issues(server)) == 2, timeout_s=60, what="two issues")
        page.evaluate("settled()")
        wait_until(lambda: outcome(server, "replay_event", "unsupported"), timeout_s=60, what="a replay")
        page.close()

    found = by_title(server)
    thrown = next(
        one for title, one in found.items() if title.startswith("TypeError: Cannot read properties")
    )
    assert "RangeError: too many lines" in found
    event = newest(server, thrown)
    assert event["exceptions"][-1]["frames"][-1]["function"] == "renderCart"
    assert event["request"]["url"].startswith("http://127.0.0.1")
    assert releases(server)["page@6"]["sessions"] >= 1
