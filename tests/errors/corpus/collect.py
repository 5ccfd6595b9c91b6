"""Makes the labelled corpus by running the programs beside it.

`python -m tests.errors.corpus.collect FOLDER [python|node|browser|go|java|rust|ruby|php …]`

FOLDER gets the programs' dependencies and builds (npm, Maven, Go, Cargo, Chromium and git are needed, and
Debian's ruby-sentry-ruby-core, ruby-sinatra, php-cli, php-curl, php-mbstring, php-guzzlehttp-psr7 and
php-symfony-options-resolver). Each
program runs once a release: what lies above its functions grows from release to release, so line
numbers move, and the folder it stands in is another one. What a client sends is caught by a small
server, stripped of what grouping never reads (variables, lines around, packages, breadcrumbs), and
written with its label, the tag `corpus`, taken out of the event.

Half of the labels, chosen by their hash, are a hold-out: `grouping` was not tuned on them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mamimon.errors.wire.envelope import parse_envelope
from mamimon.http import decompress

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
RELEASES = 3
KEPT = {
    *("platform", "level", "logger", "logentry", "message", "transaction", "release", "dist", "environment"),
    *("fingerprint", "sdk", "exception", "threads", "stacktrace", "timestamp", "culprit", "request"),
}
FRAME = {
    *("function", "raw_function", "module", "filename", "abs_path", "package", "lineno", "colno"),
    *("context_line", "in_app", "platform"),
}
PACKAGES = [
    *("@sentry/node@11", "@sentry/browser@11", "express@5", "zod@4", "esbuild", "rollup", "terser"),
    *("@rollup/plugin-node-resolve", "@rollup/plugin-terser"),
]
PAGE = """<!doctype html><title>shop</title><main id=cart></main>
<script>window.CORPUS={told}</script><script type=module src=/assets/{script}></script>"""


def is_held_out(label: str) -> bool:
    """Whether a label belongs to the half that is only looked at in the end."""
    return hashlib.sha256(label.encode()).digest()[0] % 2 == 1


def stripped(event: dict[str, Any]) -> dict[str, Any]:
    """What grouping may read of an event, as it was sent."""
    one = {key: event[key] for key in KEPT if event.get(key) not in (None, "", [], {})}
    one.get("request", {}).pop("headers", None)

    def frames(owner: Any) -> None:
        stack = owner.get("stacktrace") if isinstance(owner, dict) else None
        if stack:
            owner["stacktrace"] = {
                "frames": [{k: f[k] for k in FRAME if f.get(k) is not None} for f in stack["frames"]]
            }

    frames(one)
    for part in ("exception", "threads"):
        held = one.get(part, {})
        for owner in held.get("values", []) if isinstance(held, dict) else held:
            frames(owner)
            owner.pop("raw_stacktrace", None)
    return one


class Collector:
    """A server that takes what clients send and answers the shop's pages; `events` is what came."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.folder = Path()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def do_POST(self) -> None:
                try:
                    body = decompress(_body(self), self.headers.get("content-encoding", ""), 1 << 24)
                    for item in parse_envelope([body], lambda _: 1 << 24).items:
                        if item.type == "event":
                            collector.take(json.loads(bytes(item.payload)))
                except Exception as error:
                    collector.refused.append(str(error))
                self._answer(200, b"{}", "application/json")

            def do_GET(self) -> None:
                path = collector.folder / self.path.split("?")[0].lstrip("/")
                if self.path.startswith("/products/") or not path.is_file():
                    self._answer(404, b"{}", "application/json")
                else:
                    kind = "text/html" if path.suffix == ".html" else "text/javascript"
                    self._answer(200, path.read_bytes(), kind)

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self.dsn = f"http://{'0' * 32}@127.0.0.1:{self._server.server_port}/1"

    def take(self, event: dict[str, Any]) -> None:
        """Keep an event by its label."""
        tags = event.get("tags") or {}
        label = (tags if isinstance(tags, dict) else dict(tags)).get("corpus")
        assert label, f"an event without a label: {json.dumps(event)[:500]}"
        self.events.append({"label": label, "event": stripped(event)})


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("transfer-encoding", ""):
        return request.rfile.read(int(request.headers.get("content-length", 0)))
    parts = []
    while size := int(request.rfile.readline().strip() or b"0", 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def release_of(source: Path, target: Path, number: int, comment: str, pattern: str) -> Path:
    """A copy of a program in which what stands above each function has grown."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    begins = re.compile(pattern)
    for path in target.rglob("*"):
        if path.suffix not in {".py", ".js", ".go", ".java", ".rs", ".rb", ".php"}:
            continue
        lines: list[str] = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            if begins.match(line) and (not lines or not lines[-1].strip()):
                lines += [f"{comment} Since release {part}." for part in range(number * 2)]
            lines.append(line)
        path.write_text("\n".join(lines), encoding="utf-8")
    return target


def run(command: list[str], folder: Path, **env: str) -> str:
    """Run a program to its end; a program that fails ends the collection."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=1200
    )
    if done.returncode:
        raise SystemExit(f"{command} failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def environment(collector: Collector, number: int) -> dict[str, str]:
    """What every program is told."""
    return {"DSN": collector.dsn, "RELEASE": f"shop@1.{number}.0", "ROUND": str(number)}


def python(collector: Collector, folder: Path) -> None:
    """sentry-sdk of the running interpreter."""
    for number in range(1, RELEASES + 1):
        target = folder / f"python/releases/202609{number:02}1200/app"
        release_of(PROGRAMS / "python", target, number, "#", r"(async )?def |class |@")
        run(
            [sys.executable, "main.py"],
            target,
            PYTHONPATH=str(target),
            PYTHONDONTWRITEBYTECODE="1",
            **environment(collector, number),
        )


def node(collector: Collector, folder: Path) -> None:
    """@sentry/node with express and zod."""
    home = folder / "node"
    home.mkdir(exist_ok=True)
    if not (home / "node_modules").exists():
        (home / "package.json").write_text("{}")
        run(["npm", "install", *PACKAGES], home)
    for number in range(1, RELEASES + 1):
        target = release_of(
            PROGRAMS / "node", home / f"shop-1.{number}.0", number, "//", r"(async )?function|class |const "
        )
        run(["node", "main.js"], target, **environment(collector, number))


def browser(collector: Collector, folder: Path) -> None:
    """@sentry/browser in Chromium: bundles of esbuild and of rollup with terser, no source maps."""
    from playwright.sync_api import sync_playwright

    from tests.conftest import CHROMIUM, CHROMIUM_ARGUMENTS

    home = folder / "node"
    executable = next(path for path in CHROMIUM if Path(path).exists())
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_ARGUMENTS))
        for tool in ("esbuild", "rollup"):
            for number in range(1, RELEASES + 1):
                out = _bundle(home, tool, number)
                (script,) = out.glob("assets/*.js")
                told = {
                    "dsn": collector.dsn,
                    "release": f"web@1.{number}.0",
                    "round": number,
                    "base": collector.base,
                }
                html = PAGE.replace("{told}", json.dumps(told)).replace("{script}", script.name)
                (out / "index.html").write_text(html)
                collector.folder = out
                page = chromium.new_page()
                page.on("console", lambda one: print("  browser:", one.text[:160]))
                page.goto(collector.base + "/index.html")
                for _ in range(200):
                    if page.title() == "done":
                        break
                    page.wait_for_timeout(200)
                else:
                    raise SystemExit("the page did not come to its end")
                page.close()
        chromium.close()


def _bundle(home: Path, tool: str, number: int) -> Path:
    source = home / f"web-{number}"
    shutil.copytree(PROGRAMS / "browser", source, dirs_exist_ok=True)
    # More code in each release: other names after minifying, other columns, another hash.
    functions = "\n".join(
        f"export function feature{part}(first, second) {{ return [first, second, {part}].join('-'); }}"
        for part in range(7 * number)
    )
    used = ", ".join(f"feature{part}" for part in range(7 * number))
    (source / "padding.js").write_text(
        f"{functions}\nexport const padding = {{ list: {{ all: [{used}] }} }};\nwindow.padding = padding;\n"
    )
    out = home / f"out-{tool}-{number}"
    shutil.rmtree(out, ignore_errors=True)
    main, assets = f"{source.name}/main.js", f"{out}/assets"
    if tool == "esbuild":
        how = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--entry-names=index-[hash]"]
        run(["npx", "esbuild", main, *how, f"--outdir={assets}"], home)
    else:
        how = ["-p", "node-resolve", "-p", "terser", "--entryFileNames", "app.[hash].js"]
        run(["npx", "rollup", main, *how, "-d", assets], home)
    return out


def go(collector: Collector, folder: Path) -> None:
    """sentry-go."""
    for number in range(1, RELEASES + 1):
        target = release_of(PROGRAMS / "go", folder / f"go-{number}/shop", number, "//", r"func |// \w+ ")
        if not (target / "go.mod").exists():
            run(["go", "mod", "init", "shop"], target)
            run(["go", "get", "github.com/getsentry/sentry-go@v0.50.0"], target)
        run(["go", "run", "."], target, **environment(collector, number))


def java(collector: Collector, folder: Path) -> None:
    """io.sentry on the machine's Java."""
    run(
        [
            "mvn",
            "-q",
            "-B",
            "dependency:copy",
            "-Dartifact=io.sentry:sentry:8.63.0",
            f"-DoutputDirectory={folder}/jars",
        ],
        folder,
    )
    for number in range(1, RELEASES + 1):
        target = release_of(
            PROGRAMS / "java", folder / f"java-{number}", number, "//", r"  (static|record|public)"
        )
        jars = f"{folder}/jars/sentry-8.63.0.jar"
        run(["javac", "-cp", jars, "-d", "classes", "Shop.java"], target)
        run(
            ["java", "-cp", f"{jars}:classes", "com.example.shop.Shop"],
            target,
            **environment(collector, number),
        )


def rust(collector: Collector, folder: Path) -> None:
    """The crate sentry, with a transport that prints."""
    for number in range(1, RELEASES + 1):
        target = release_of(
            PROGRAMS / "rust", folder / f"rust-{number}", number, "//", r"(pub )?fn |#\[inline"
        )
        out = run(
            ["cargo", "run", "-q"],
            target,
            CARGO_TARGET_DIR=str(folder / "cargo"),
            **environment(collector, number),
        )
        for line in out.splitlines():
            collector.take(json.loads(line))


def ruby(collector: Collector, folder: Path) -> None:
    """sentry-ruby of Debian with Sinatra."""
    for number in range(1, RELEASES + 1):
        target = folder / f"ruby/releases/202609{number:02}1200"
        release_of(PROGRAMS / "ruby", target, number, "#", r" *(def|class|module) ")
        # Ruby's own limit gives stacks that its client does not send.
        stack = {"RUBY_THREAD_VM_STACK_SIZE": str(16384 * number)}
        run(["ruby", "main.rb"], target, **stack, **environment(collector, number))


PHP_CLIENT = """<?php
require '/usr/share/php/GuzzleHttp/Psr7/autoload.php';
require '/usr/share/php/Psr/Log/autoload.php';
require '/usr/share/php/Symfony/Component/OptionsResolver/autoload.php';
spl_autoload_register(function (string $name): void {
    $file = __DIR__ . '/src/' . strtr(substr($name, 7), '\\\\', '/') . '.php';
    if (str_starts_with($name, 'Sentry\\\\') && is_file($file)) {
        require $file;
    }
});
require __DIR__ . '/src/functions.php';
"""


def php(collector: Collector, folder: Path) -> None:
    """sentry-php from its repository (`SENTRY_PHP`, else GitHub)."""
    client = folder / "vendor/sentry/sentry"
    if not client.exists():
        origin = os.environ.get("SENTRY_PHP", "https://github.com/getsentry/sentry-php")
        run(["git", "clone", "-q", "--depth", "1", origin, str(client)], folder)
    (client / "autoload.php").write_text(PHP_CLIENT)
    for number in range(1, RELEASES + 1):
        target = folder / f"php-{number}/var/www/shop"
        release_of(PROGRAMS / "php", target, number, "//", r" *(public|private|class|function) ")
        env = environment(collector, number)
        run(["php", "main.php"], target, CLIENT=str(client / "autoload.php"), **env)


def main() -> None:
    """The command."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = sys.argv[2:] or ["python", "node", "browser", "go", "java", "rust", "ruby", "php"]
    for name in chosen:
        collector = Collector()
        globals()[name](collector, folder)
        assert not collector.refused, collector.refused[:3]
        labels = {one["label"] for one in collector.events}
        print(f"{name}: {len(collector.events)} events of {len(labels)} labels")
        path = HERE / f"{name}.json.gz"
        body = "\n".join(json.dumps(one, sort_keys=True) for one in collector.events)
        path.write_bytes(gzip.compress(body.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
