"""Programs that people already have, writing to and reading from the Elasticsearch door."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.logs.dates import iso
from tests.conftest import absent, peer, wait_until

HERE = Path(__file__).parent


def older_client() -> str:
    """The folder of elasticsearch-py 8, installed once beside the environment, which has 9."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    folder = Path(os.environ.get("MAMIMON_PEERS", f"{cache}/mamimon-peers")) / "elasticsearch-py-8"
    if not (folder / "elasticsearch").is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--target",
            str(folder),
            "elasticsearch>=8.19,<9",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            absent("elasticsearch-py 8")
    return str(folder)


@pytest.mark.feature("L2")
@pytest.mark.parametrize("name", ["elasticsearch-py 8", "elasticsearch-py 9", "opensearch-py 3"])
def test_a_python_client_does_all_that_applications_do(server: Any, name: str) -> None:
    """The client writes in bulk, searches, pages, counts, gets, deletes, and raises its own errors."""
    path = older_client() if name.endswith("8") else ""
    library = "opensearchpy" if name.startswith("opensearch") else "elasticsearch"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "elasticsearch_client.py"), f"{server.url}/es", library],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen.pop("version")[0] == int(name[-1])
    assert seen == {
        "tagline": "You Know, for Search", "ping": True, "bulk": 250, "again": [409, 409], "total": 15,
        "first": [240, 230, 220], "levels": [["ERROR", 15]], "highlight": {"level": ["<em>ERROR</em>"]},
        "scan": 250, "count": 25, "get": 7, "mget": [True, False], "exists": [True, False], "health": "green",
        "fields": ["level", "level.keyword"], "deleted": 25, "refused": 400, "missing": 404,
    }  # fmt: skip


def started(command: list[str], running: list[subprocess.Popen[bytes]], log: Path) -> None:
    """Start a program that is ended with the test; what it says is in `log`."""
    with log.open("wb") as file:
        running.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT))


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that end with the test."""
    programs: list[subprocess.Popen[bytes]] = []
    yield programs
    for one in programs:
        one.terminate()
        one.wait(10)


def messages(server: Any, index: str) -> list[str]:
    """The messages of an index in the order of their arrival."""
    body = {"size": 1000, "sort": ["_doc"], "_source": ["message"]}
    answer = server.client.post(f"/es/{index}/_search?ignore_unavailable=true", json=body).json()
    return [hit["_source"].get("message") for hit in answer["hits"]["hits"]]


@pytest.mark.feature("L2")
@pytest.mark.parametrize("bulk", ["on", "off"])
def test_rsyslog_writes_by_omelasticsearch(
    start: Callable[..., Any], running: list[subprocess.Popen[bytes]], tmp_path: Path, bulk: str
) -> None:
    """rsyslog's Elasticsearch output asks how we are, writes each line once, in bulk and one by one."""
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    if not Path(program).exists():
        absent("rsyslog")
    if not list(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")):
        absent("rsyslog-elasticsearch")
    server = start(server={"drop_in": True, "drop_in_ports": "es=0,prometheus=0,alertmanager=0,ui=0"})
    port = server.server.ports()["es"]
    source, config = tmp_path / "in.log", tmp_path / "rsyslog.conf"
    source.touch()
    config.write_text(
        f"""global(workDirectory="{tmp_path}")
module(load="imfile" mode="polling" pollingInterval="1")
module(load="omelasticsearch")
template(name="line" type="list" option.jsonf="on") {{
  property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="level" name="syslogseverity-text" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}}
input(type="imfile" file="{source}" tag="shop:" severity="err")
action(type="omelasticsearch" server="127.0.0.1" serverport="{port}" template="line" searchIndex="syslog-shop"
       searchType="" bulkmode="{bulk}" errorfile="{tmp_path}/errors.json")
"""
    )
    started([program, "-n", "-f", str(config), "-i", str(tmp_path / "pid")], running, tmp_path / "log")
    wanted = [f'ödeme {n} "başarısız"' for n in range(30)]
    with source.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in wanted)
    wait_until(lambda: len(messages(server, "syslog-shop")) >= 30, 40, (tmp_path / "log").read_text()[-500:])
    assert messages(server, "syslog-shop") == wanted
    assert not (tmp_path / "errors.json").exists()
    found = server.client.get("/es/syslog-shop/_count?q=level:ERROR").json()
    assert found["count"] == 30


@pytest.mark.feature("L2")
def test_syslog_ng_writes_by_its_http_destination(
    server: Any, running: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """syslog-ng's HTTP destination, set up for `_bulk` as its Elasticsearch one, delivers each line once."""
    program = peer("syslog-ng")
    source, config = tmp_path / "in.log", tmp_path / "syslog-ng.conf"
    wanted = [f"line {n} söyledi" for n in range(30)]
    source.touch()
    config.write_text(
        f"""@version: 3.38
source lines {{ file("{source}" flags(no-parse) follow-freq(1)); }};
destination store {{ http(
  url("{server.url}/es/_bulk") method("POST") batch-lines(10) batch-timeout(500) workers(1)
  headers("Content-Type: application/x-ndjson") body-suffix("\\n") delimiter("\\n")
  body("{{\\"index\\":{{\\"_index\\":\\"syslog-ng\\"}}}}\\n$(format-json --scope none message=$MSG)")
); }};
log {{ source(lines); destination(store); }};
"""
    )
    names = ("persist-file", "pidfile", "control")
    command = [
        program,
        "-F",
        "--no-caps",
        "-f",
        str(config),
        *(f"--{name}={tmp_path / name}" for name in names),
    ]
    started(command, running, tmp_path / "log")
    wait_until((tmp_path / "pidfile").exists, 60, "syslog-ng's start")
    with source.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in wanted)
    wait_until(lambda: len(messages(server, "syslog-ng")) >= 30, 40, (tmp_path / "log").read_text()[-500:])
    assert messages(server, "syslog-ng") == wanted


@pytest.mark.feature("L2")
def test_what_fluent_bit_and_filebeat_send(server: Any) -> None:
    """Their start-up and bulk requests, written from their sources, get the answers that they look for."""
    # Neither program is to be had from Debian or a registry.
    es = server.client
    now = iso(server.server.clock.now())
    line = f'{{"log":"a","@timestamp":"{now}"}}'
    body = gzip.compress(f'{{"create":{{"_index":"fluent-bit","_type":"_doc"}}}}\n{line}\n'.encode())
    sent = {"Content-Type": "application/x-ndjson", "User-Agent": "Fluent-Bit", "Content-Encoding": "gzip"}
    answer = es.post("/es/_bulk", content=body, headers=sent)
    assert answer.status_code == 200 and b'"errors":false' in answer.content
    assert answer.json()["items"][0]["create"]["status"] == 201
    assert b" " not in answer.content.partition(b'"items"')[0]
    told = es.get("/es/", headers={"Accept": "application/json"}).json()
    assert int(told["version"]["number"].partition(".")[0]) >= 8
    assert es.get("/es/_ilm/policy/filebeat").status_code == 404
    assert (
        es.put("/es/_ilm/policy/filebeat", json={"policy": {"phases": {"hot": {"actions": {}}}}}).status_code
        == 200
    )
    template = {
        "index_patterns": ["filebeat-9.2.0"],
        "data_stream": {},
        "priority": 150,
        "template": {"mappings": {}},
    }
    assert es.head("/es/_index_template/filebeat-9.2.0").status_code == 404
    assert es.put("/es/_index_template/filebeat-9.2.0", json=template).status_code == 200
    assert es.get("/es/_data_stream/filebeat-9.2.0").status_code == 404
    assert es.put("/es/_data_stream/filebeat-9.2.0").json() == {"acknowledged": True}
    paths = ",".join(
        f"items.{kind}.{part}" for kind in ("index", "create", "update") for part in ("status", "error")
    )
    lines = b'{"create":{"_index":"filebeat-9.2.0"}}\n{"message":"from filebeat"}\n'
    answer = es.post(
        f"/es/_bulk?filter_path=errors,{paths}",
        content=lines,
        headers=sent | {"Content-Encoding": "identity"},
    )
    assert answer.json() == {"errors": False, "items": [{"create": {"status": 201}}]}
    streams = es.get("/es/_data_stream/filebeat-*").json()["data_streams"]
    assert [one["name"] for one in streams] == ["filebeat-9.2.0"] and streams[0]["status"] == "GREEN"
    assert es.get("/es/filebeat-9.2.0/_count").json()["count"] == 1
