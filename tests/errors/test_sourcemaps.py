"""Source maps: decoded, uploaded by real tools, and seen on the issue page of a real browser's error."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.errors import sourcemap
from mamimon.errors.bundle import joined, read_bundle
from mamimon.errors.symbolicate import places, source_path
from tests.conftest import ROOT, wait_until
from tests.errors.packages import ESBUILD, SENTRY_BROWSER, SENTRY_CLI, SENTRY_CLI_BEFORE, npm
from tests.errors.sites import Site, serve
from tests.errors.test_doors import dsn_of, envelope, event, issues, item, post

CART = """export interface Line { price: number; name: string }

export class Cart {
  private lines: Line[] = [];

  addLine(line: Line): void {
    this.lines.push(line);
  }

  priceOfLine(index: number): number {
    const wanted = this.lines[index];
    // the line that is not there
    return wanted.price * 2;
  }
}
"""
MAIN = """import * as Sentry from "@sentry/browser";
import { Cart } from "./cart";

const settings = (window as any).SETTINGS;
Sentry.init({ dsn: settings.dsn, release: settings.release });

function payForEverything(cart: Cart): number {
  return cart.priceOfLine(7) + 1;
}

const onPay = () => {
  const cart = new Cart();
  cart.addLine({ price: 2, name: "tea" });
  return payForEverything(cart);
};

(window as any).pay = () => setTimeout(() => onPay(), 0);
"""
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def vlq(value: int) -> str:
    """A number as base 64 VLQ."""
    value = (-value << 1) | 1 if value < 0 else value << 1
    text = ""
    while True:
        digit, value = value & 31, value >> 5
        text += DIGITS[digit | (32 if value else 0)]
        if not value:
            return text


def a_map(lines: int, seed: int = 1) -> tuple[str, list[tuple[int, int, tuple[int, int, int, str] | None]]]:
    """Mappings at random, and what they say."""
    rng = random.Random(seed)
    truth: list[tuple[int, int, tuple[int, int, int, str] | None]] = []
    written, last = [], [0, 0, 0, 0]
    for line in range(lines):
        column, segments = 0, []
        for _ in range(rng.randint(0, 20)):
            step = rng.randint(1, 50)
            column += step
            size = rng.choice([1, 4, 5])
            fields, name = [step], ""
            if size >= 4:
                new = [rng.randint(0, 9), rng.randint(0, 9999), rng.randint(0, 200)]
                fields += [new[i] - last[i] for i in range(3)]
                last[:3] = new
            if size == 5:
                number = rng.randint(0, 19)
                fields.append(number - last[3])
                last[3], name = number, f"n{number}"
            segments.append("".join(map(vlq, fields)))
            truth.append((line, column, None if size == 1 else (last[0], last[1], last[2], name)))
        written.append(",".join(segments))
    return ";".join(written), truth


def map_json(mappings: str, **fields: Any) -> bytes:
    """A source map around mappings."""
    plain = {"version": 3, "sources": [f"s{i}.ts" for i in range(10)], "names": [f"n{i}" for i in range(20)]}
    return json.dumps({**plain, "mappings": mappings, **fields}).encode()


@pytest.mark.feature("E3")
@pytest.mark.parametrize("piece", [1 << 20, 997, 64])
def test_every_mapping_is_found(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was encoded is decoded, in whatever pieces; a place between two mappings is the first's."""
    monkeypatch.setattr(sourcemap, "_PIECE", piece)
    mappings, truth = a_map(150)

    found = sourcemap.parse(map_json(mappings))

    for line, column, said in truth:
        token = found.find(line, column)
        assert (tuple(token) if token else None) == said, (line, column)
    line, column, said = next(one for one in truth if one[2] is not None)
    assert tuple(found.find(line, column + 0) or ()) == said
    assert found.find(10_000, 0) is None


@pytest.mark.feature("E3")
def test_sections_are_one_map() -> None:
    """An index map's sections lie at their offsets, columns counting only on the first line."""
    inner = json.loads(map_json("AAAA,EACC;AAAA"))
    whole = {
        "version": 3,
        "sections": [
            {"offset": {"line": 0, "column": 0}, "map": inner},
            {"offset": {"line": 5, "column": 100}, "map": {**inner, "sources": ["other.ts"] * 10}},
        ],
    }
    found = sourcemap.parse(json.dumps(whole).encode())

    token = found.find(5, 103)
    assert token is not None and found.sources[token.source] == "other.ts" and token.line == 1
    assert found.find(5, 99) is None
    token = found.find(6, 0)
    assert token is not None and found.sources[token.source] == "other.ts"


@pytest.mark.feature("E3")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"version":2,"mappings":""}',
        map_json("A*"),
        map_json("AA"),
        map_json("g"),
        map_json("g,A"),
        map_json("ggggggggggggggA"),
        map_json("AAAAAA"),
        map_json("D"),
        map_json("é"),
        b'{"version":3,"sections":[{"map":{"sections":[]}},{"map":7}]}',
        b'{"version":3,"sections":[{"map":{},"offset":{"line":-1,"column":0}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_source_map_is_refused(body: bytes) -> None:
    """Broken maps are named as such and break nothing."""
    with pytest.raises(ValueError, match=r"source map|mapping|section"):
        sourcemap.parse(body)


@pytest.mark.feature("E3")
def test_names_of_files() -> None:
    """Addresses of frames and names of sources become what people know."""
    assert places("https://shop.example/assets/app.js?v=2")[-1] == "~/assets/app.js"
    assert places("/srv/app/../app/x.js") == ["/srv/app/../app/x.js", "~/srv/app/x.js"]
    assert source_path("webpack://shop/./src/cart.ts?a1b2", "x") == "src/cart.ts"
    assert source_path("../../src/cart.ts", "http://h/assets/app.js") == "src/cart.ts"
    assert joined("~/assets/app.js", "app.js.map") == "~/assets/app.js.map"
    assert joined("app:///a/b.js", "../m/b.js.map") == "app:///m/b.js.map"
    assert joined("https://h/a/b.js", "b.js.map") == "https://h/a/b.js.map"


def built(folder: Path) -> Path:
    """The shop's page, bundled and minified by esbuild; returns the folder that is served."""
    modules = npm(ESBUILD, SENTRY_BROWSER)
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "cart.ts").write_text(CART)
    (folder / "src" / "main.ts").write_text(MAIN)
    (folder / "node_modules").symlink_to(modules / "node_modules")
    command = ["--bundle", "--minify", "--sourcemap", "--target=es2020", "--outfile=dist/assets/app.js"]
    subprocess.run(
        [str(folder / "node_modules/.bin/esbuild"), "src/main.ts", *command],
        cwd=folder, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder / "dist"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build that tests copy."""
    return built(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site on a port of its own."""
    with serve() as one:
        yield one


@pytest.fixture(params=[SENTRY_CLI_BEFORE, SENTRY_CLI])
def cli(request: pytest.FixtureRequest) -> Path:
    """The program of sentry-cli, one major back and current."""
    program = npm(request.param) / "node_modules/.bin/sentry-cli"
    told = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60).stdout
    assert request.param.endswith("@" + told.split()[-1])
    return program


def sentry_cli(program: Path, server: Any, *arguments: str) -> str:
    """Run sentry-cli against the server as its manual says."""
    env = {
        **os.environ,
        "SENTRY_URL": server.url,
        "SENTRY_AUTH_TOKEN": "anything-while-open",
        "SENTRY_ORG": "mamimon",
        "SENTRY_PROJECT": "1",
        "SENTRY_DISABLE_UPDATE_CHECK": "1",
    }
    done = subprocess.run([str(program), *arguments], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def crash(server: Any, browser: Any, site: Site, dist: Path, release: str) -> dict[str, Any]:
    """Open the built page in Chromium, let it fail, and return the one issue."""
    site.folder = dist
    settings = json.dumps({"dsn": dsn_of(server)[0], "release": release})
    site.pages["/"] = (
        f"<!doctype html><script>SETTINGS = {settings}</script><script src=/assets/app.js></script>"
    )
    page = browser.new_page()
    page.goto(site.url)
    page.evaluate("pay()")
    wait_until(lambda: issues(server), timeout_s=60, what="the issue")
    page.close()
    (found,) = issues(server)
    return found


def check_resolved(server: Any, found: dict[str, Any]) -> None:
    """The issue page shows the files, lines, functions and code that people wrote."""
    page = server.client.get(found["url"]).text
    assert found["culprit"] == "Cart.priceOfLine in src/cart.ts"
    detail = server.client.get(f"/api/mamimon/errors/issues/{found['id']}").json()["event"]
    frames = detail["exceptions"][-1]["frames"]
    own = [(one["function"], one["file"], one["line"]) for one in frames if one.get("in_app")]
    assert own[-3:] == [
        ("onPay", "src/main.ts", 14),
        ("payForEverything", "src/main.ts", 8),
        ("Cart.priceOfLine", "src/cart.ts", 13),
    ]
    assert frames[-1]["code"] == "    return wanted.price * 2;"
    assert "    // the line that is not there" in frames[-1]["before"]
    assert "wanted.price * 2" in page
    assert "Cart.priceOfLine" in page
    assert "before the source map" in page


@pytest.mark.browser
@pytest.mark.peer("sentry-cli")
@pytest.mark.feature("E3")
def test_sentry_cli_uploads_and_the_issue_page_shows_the_source(
    server: Any, browser: Any, site: Site, build: Path, cli: Path, tmp_path: Path
) -> None:
    """Debug ids injected and bundles uploaded by sentry-cli resolve an error of a real browser."""
    dist = copied(build, tmp_path)
    sentry_cli(cli, server, "sourcemaps", "inject", str(dist))

    told = sentry_cli(cli, server, "sourcemaps", "upload", str(dist))
    again = sentry_cli(cli, server, "sourcemaps", "upload", str(dist))

    assert "File processing complete" in told
    assert "Nothing to upload" in again
    check_resolved(server, crash(server, browser, site, dist, ""))


@pytest.mark.browser
@pytest.mark.peer("sentry-cli")
@pytest.mark.feature("E3")
def test_a_release_and_a_path_find_the_map(
    server: Any, browser: Any, site: Site, build: Path, cli: Path, tmp_path: Path
) -> None:
    """Without debug ids the release and the address of the file do; `releases new` and `finalize` work."""
    dist = copied(build, tmp_path)
    sentry_cli(cli, server, "releases", "new", "web@1.0")
    sentry_cli(cli, server, "sourcemaps", "upload", "--release", "web@1.0", str(dist))
    sentry_cli(cli, server, "releases", "finalize", "web@1.0")
    sentry_cli(cli, server, "deploys", "new", "--release", "web@1.0", "-e", "production")
    deploys = server.client.get("/api/mamimon/deploys", params={"end": 4e9}).json()
    assert [one["version"] for one in deploys] == ["web@1.0"], "finalized and deployed is one deploy"

    assert "Scopes" in sentry_cli(cli, server, "info")
    check_resolved(server, crash(server, browser, site, dist, "web@1.0"))


@pytest.mark.browser
@pytest.mark.feature("E3")
def test_our_own_command_uploads(server: Any, browser: Any, site: Site, build: Path, tmp_path: Path) -> None:
    """`mamimon errors sourcemaps DIR --release R` does the same."""
    dist = copied(build, tmp_path)
    command = [sys.executable, "-m", "mamimon", "errors", "sourcemaps", str(dist), "--release", "web@2"]
    done = subprocess.run(
        [*command, "--url", server.url], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "source_map       ~/assets/app.js.map" in done.stdout
    check_resolved(server, crash(server, browser, site, dist, "web@2"))


@pytest.mark.browser
@pytest.mark.feature("E3")
def test_maps_are_taken_from_a_folder(
    start: Callable[..., Any], browser: Any, site: Site, build: Path, tmp_path: Path
) -> None:
    """With a configured folder nothing is uploaded: `<folder>/<release>/<path>.map` is read when needed."""
    dist = copied(build, tmp_path)
    maps = tmp_path / "maps" / "web@3" / "assets"
    maps.mkdir(parents=True)
    (maps / "app.js.map").write_bytes((dist / "assets" / "app.js.map").read_bytes())
    server = start(errors={"sourcemap_folder": str(tmp_path / "maps")})

    check_resolved(server, crash(server, browser, site, dist, "web@3"))


@pytest.mark.feature("E3")
def test_a_map_that_comes_later_resolves_what_is_stored(server: Any) -> None:
    """An event from before the upload shows its source, its Markdown too, and no secret of the source."""
    one = event(platform="javascript", release="web@9")
    one["exception"]["values"][0]["stacktrace"]["frames"] = [
        {"function": "f", "abs_path": "https://h.example/a.js", "filename": "/a.js", "lineno": 1, "colno": 1}
    ]
    assert post(server, envelope(item(one))).status_code == 200
    (found,) = issues(server)
    url = f"{found['url']}/events/{one['event_id']}"
    assert "shop.ts" not in server.client.get(url).text
    source = "throw pay(1);\nconst password = 'canary-source-1';"
    body = map_json("AAAA", sources=["src/shop.ts"], sourcesContent=[source])
    sent = server.client.post(
        "/api/mamimon/errors/sourcemaps", params={"url": "~/a.js.map", "release": "web@9"}, content=body
    )
    assert sent.status_code == 201, sent.text

    pages = [server.client.get(path).text for path in (url, found["url"], f"{url}.md")]
    for page in pages:
        assert "src/shop.ts" in page
        assert "throw pay(1);" in page
        assert "canary-source-1" not in page
    stored = f"/api/mamimon/errors/issues/{found['id']}/events/{one['event_id']}"
    detail = server.client.get(stored).json()
    assert detail["exceptions"][0]["frames"][0]["minified"] == "/a.js:1:1"
    assert len(issues(server)) == 1


def copied(build: Path, target: Path) -> Path:
    """A copy of the build, so that injecting changes nobody else's."""
    import shutil

    return Path(shutil.copytree(build, target / "dist"))


@pytest.mark.feature("E3")
def test_a_folder_is_not_left_upwards(start: Callable[..., Any], tmp_path: Path) -> None:
    """An address with dots finds no map outside of the folder."""
    (tmp_path / "secret.js.map").write_bytes(map_json("AAAA", sourcesContent=["outside"]))
    (tmp_path / "maps").mkdir()
    server = start(errors={"sourcemap_folder": str(tmp_path / "maps")})
    one = event(platform="javascript", release="..")
    one["exception"]["values"][0]["stacktrace"]["frames"] = [
        {"function": "f", "filename": f"http://h/{dots}secret.js", "lineno": 1, "colno": 1}
        for dots in ("../", "%2e%2e/", "..%2f")
    ]
    assert post(server, envelope(item(one))).status_code == 200

    (found,) = issues(server)
    assert "outside" not in server.client.get(found["url"]).text


def bundle(files: dict[str, bytes], **attributes: Any) -> bytes:
    """An artifact bundle as sentry-cli makes them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in files.items():
            archive.writestr(path, body)
        manifest = {"files": {path: {"url": f"~/{path}"} for path in files}, **attributes}
        archive.writestr("manifest.json", json.dumps(manifest))
    return b"SYSB" + struct.pack("<I", 2) + out.getvalue()


def send_bundle(server: Any, body: bytes, **fields: Any) -> Any:
    """Upload a bundle the way sentry-cli does; returns the last answer."""
    size = server.client.get("/api/0/organizations/o/chunk-upload/").json()["chunkSize"]
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    sums = [hashlib.sha1(one, usedforsecurity=False).hexdigest() for one in chunks]
    for one, name in zip(chunks, sums, strict=True):
        sent = server.client.post("/api/0/organizations/o/chunk-upload/", files={"file": (name, one)})
        assert sent.status_code == 200, sent.text
    whole = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    return server.client.post(
        "/api/0/organizations/o/artifactbundle/assemble/",
        json={"checksum": whole, "chunks": sums, "projects": ["1"], **fields},
    )


@pytest.mark.feature("E3")
def test_hostile_bundles_are_refused(server: Any) -> None:
    """A file that grows beyond every bound, one too many, or no zip at all: named, and nothing is kept."""
    bomb = bundle({"a.js": b"\0" * (sourcemap.MAX_BYTES + 1)})
    assert len(bomb) < 1_000_000
    nothing = b"SYSB" + b"x" * 1000
    no_manifest = io.BytesIO()
    with zipfile.ZipFile(no_manifest, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("manifest.json", b"{}")
    broken_map = bundle({"a.js.map": map_json("A*")})
    cut = bundle({"a.js": b"x" * 100_000})
    torn = cut[:60] + bytes([cut[60] ^ 0xFF]) + cut[61:]

    for body, word in (
        (bomb, "larger than"),
        (nothing, "no zip"),
        (no_manifest.getvalue(), "deflate"),
        (broken_map, "VLQ"),
        (torn, "cannot be read"),
    ):
        answer = send_bundle(server, body, version="web@1")
        assert answer.status_code == 200
        assert answer.json()["state"] == "error"
        assert word in answer.json()["detail"]
    assert server.client.get("/api/mamimon/errors/sourcemaps").json() == []


@pytest.mark.feature("E3")
def test_a_directory_of_a_million_files_is_not_read() -> None:
    """The zip's own word on its size is believed only where it is small."""
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0, 0)
    with pytest.raises(ValueError, match="more than"):
        read_bundle(io.BytesIO(b"x" * 100 + end))


@pytest.mark.feature("E3")
def test_uploads_are_told_what_is_wrong(server: Any) -> None:
    """Wrong sums, sizes, projects and files without a place are refused in words."""
    door = "/api/0/organizations/o/chunk-upload/"
    wrong = server.client.post(door, files={"file": ("0" * 40, b"abc")})
    gzipped = server.client.post(door, files={"file_gzip": ("0" * 40, b"no gzip")})
    large = server.client.post(door, files={"file": ("0" * 40, b"x" * ((4 << 20) + 1))})
    nobody = send_bundle(server, bundle({"a.js": b"1"}), projects=["nobody"])
    missing = server.client.post(
        "/api/0/organizations/o/artifactbundle/assemble/", json={"checksum": "0" * 40, "chunks": ["1" * 40]}
    )
    placeless = server.client.post("/api/mamimon/errors/sourcemaps?url=~/a.js", content=b"x")
    no_map = server.client.post("/api/mamimon/errors/sourcemaps?url=~/a.js.map&release=r", content=b"x")
    legacy = server.client.post(
        "/api/0/projects/o/1/releases/web@9/files/",
        data={"name": "~/a.js.map"},
        files={"file": ("a.js.map", map_json("AAAA"))},
    )

    assert [one.status_code for one in (wrong, gzipped, large, nobody)] == [400, 400, 413, 404]
    assert "checksum" in wrong.json()["detail"]
    assert missing.json() == {"state": "not_found", "missingChunks": ["1" * 40], "detail": None}
    assert placeless.status_code == 400
    assert "debug id" in placeless.json()["error"]
    assert no_map.status_code == 400
    assert legacy.status_code == 201
    (kept,) = server.client.get("/api/mamimon/errors/sourcemaps?release=web@9").json()
    assert kept["kind"] == "source_map"
    assert server.client.get("/api/0/organizations/o/teams/").status_code == 404


@pytest.mark.feature("E3")
def test_the_oldest_uploads_make_room(start: Callable[..., Any]) -> None:
    """Over the room that the settings give the oldest files go."""
    server = start(errors={"sourcemap_bytes": 1 << 20})
    rng = random.Random(3)
    for number in range(60):
        body = b'{"version":3,"mappings":"","x":"' + rng.randbytes(20_000).hex().encode() + b'"}'
        answer = server.client.post(
            f"/api/mamimon/errors/sourcemaps?url=~/a{number}.js.map&release=r", content=body
        )
        assert answer.status_code == 201
    kept = server.client.get("/api/mamimon/errors/sourcemaps").json()

    assert 5 < len(kept) < 55
    assert kept[0]["url"] == "~/a59.js.map"
