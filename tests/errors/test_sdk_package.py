"""`@mamimon/browser` as an npm package: packed, typed, small, and working in a Vite project in Chromium."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, absent, settled, wait_until
from tests.errors.packages import npm
from tests.errors.sites import serve
from tests.errors.test_doors import dsn_of, issues

SDK = ROOT / "web" / "sdk"
PROJECT = (
    "vite@8.3.8",
    "react@19.3.1",
    "react-dom@19.3.1",
    "vue@3.5.45",
    "typescript@5.9.3",
    "@types/react@19.3.3",
    "@types/react-dom@19",
)
LIMIT = 4096
MAIN = """import { Component, createElement } from "react";
import { createRoot } from "react-dom/client";
import { createApp, h } from "vue";
import { addBreadcrumb, captureException, identify, initializeErrorTracking } from "@mamimon/browser";
import { setTag, trackEvent } from "@mamimon/browser";
import { ErrorBoundary } from "@mamimon/browser/react";
import { mamimon } from "@mamimon/browser/vue";

const started: boolean = initializeErrorTracking({
  release: "vite@1.0",
  environment: "test",
  sampleRate: 1,
  beforeSend: (event) =>
    JSON.stringify(event).includes("unsaid") ? null : { ...event, extra: { seen: true } },
});
setTag("shop", "tea");
identify("ada-1", { plan: "pro" });
addBreadcrumb({ category: "cart", message: "opened", level: "info" });

class Cart extends Component<{ lines?: string[] }> {
  render() {
    return createElement("p", null, (this.props.lines as string[]).join());
  }
}
createRoot(document.getElementById("react")!).render(
  <ErrorBoundary fallback={(error: unknown) => <b id="sorry">{String(error)}</b>}><Cart /></ErrorBoundary>,
);
const pay = () => {
  throw new Error("vue cannot pay");
};
const app = createApp({ name: "VueCart", render: () => h("button", { id: "vue-pay", onClick: pay }, "pay") });
app.use(mamimon);
app.mount("#vue");
trackEvent("page_opened", { started });
export const report = (error: unknown): string => captureException(error, { tags: { caught: "yes" } });
Object.assign(window, { report, started });
"""
MISUSE = """import { captureMessage, initializeErrorTracking, trackEvent } from "@mamimon/browser";
import { ErrorBoundary } from "@mamimon/browser/react";
initializeErrorTracking({ sampleRate: "all" });
captureMessage("x", "loud");
trackEvent(7);
export const wrong = <ErrorBoundary fallback={7n} other />;
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Vite project with the packed tarball installed beside React, Vue and TypeScript."""
    if shutil.which("npm") is None:
        absent("npm")
    modules = npm(*PROJECT) / "node_modules"
    folder = tmp_path_factory.mktemp("vite")
    run(["npm", "pack", "--silent", "--pack-destination", str(folder), str(SDK)], folder)
    (tarball,) = folder.glob("*.tgz")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--offline", f"./{tarball.name}"],
        folder,
    )
    for entry in modules.iterdir():
        target = folder / "node_modules" / entry.name
        if not target.exists():
            target.symlink_to(entry)
    (folder / "index.html").write_text(
        "<!doctype html><title>Shop</title><div id=react></div><div id=vue></div>"
        "<script type=module src=/src/main.tsx></script>"
    )
    (folder / "src").mkdir()
    (folder / "src" / "main.tsx").write_text(MAIN)
    (folder / "tsconfig.json").write_text(
        (SDK / "tsconfig.json").read_text().replace('"mamimon.js", "react.js", "vue.js"', '"src"')
    )
    return folder


def run(command: list[str], folder: Path, **env: str) -> str:
    """Run a program; what it said is the assertion's message where it fails."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.feature("E4")
def test_the_package_holds_what_it_needs(project: Path) -> None:
    """Sources with types for each of the three entries, the README, and nothing else."""
    (tarball,) = project.glob("*.tgz")
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        package = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]

    assert names == {
        "package.json", "README.md", "mamimon.js", "mamimon.d.ts",
        "react.js", "react.d.ts", "vue.js", "vue.d.ts",
    }  # fmt: skip
    assert package["name"] == "@mamimon/browser"
    assert "dependencies" not in package
    for entry in package["exports"].values():
        assert {entry["types"][2:], entry["default"][2:]} <= names


@pytest.mark.feature("E4")
def test_types_hold_and_catch_mistakes(project: Path, tmp_path: Path) -> None:
    """tsc accepts the sources and a project that uses them, and names each misuse."""
    tsc = str(project / "node_modules/.bin/tsc")
    checked = tmp_path / "sdk"
    shutil.copytree(SDK, checked)
    (checked / "node_modules").symlink_to(project / "node_modules")
    run([tsc, "--noEmit", "-p", str(checked)], checked)
    run([tsc, "--noEmit", "-p", "."], project)

    (project / "src" / "misuse.tsx").write_text(MISUSE)
    done = subprocess.run(
        [tsc, "--noEmit", "-p", "."], cwd=project, capture_output=True, text=True, timeout=300
    )
    (project / "src" / "misuse.tsx").unlink()
    lines = {int(found) for found in re.findall(r"misuse\.tsx\((\d+),", done.stdout)}
    assert lines == {3, 4, 5, 6}, done.stdout


@pytest.mark.feature("E4")
def test_the_package_is_small(project: Path, tmp_path: Path) -> None:
    """Minified with all it exports, below 4 kB gzipped; React's and Vue's parts are tiny."""
    (tmp_path / "all.js").write_text('import * as all from "@mamimon/browser"; globalThis.all = all;')
    (tmp_path / "node_modules").symlink_to(project / "node_modules")
    config = {"build": {"rolldownOptions": {"input": "all.js"}, "modulePreload": False}, "logLevel": "error"}
    (tmp_path / "vite.config.mjs").write_text(f"export default {json.dumps(config)};")
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    run([str(project / "node_modules/.bin/vite"), "build"], tmp_path)
    (built,) = (tmp_path / "dist" / "assets").glob("*.js")

    assert 1500 < len(gzip.compress(built.read_bytes(), 9)) < LIMIT
    for name in ("react.js", "vue.js"):
        assert len(gzip.compress((SDK / name).read_bytes(), 9)) < 700


@pytest.mark.browser
@pytest.mark.feature("E4")
def test_a_vite_project_reports(server: Any, clock: Any, browser: Any, project: Path) -> None:
    """With VITE_SENTRY_DSN alone: the boundary, the plugin, caught errors, events, ids on requests."""
    run(
        [str(project / "node_modules/.bin/vite"), "build", "--minify", "false"],
        project,
        VITE_SENTRY_DSN=dsn_of(server)[0],
    )
    with serve() as site:
        site.folder = project / "dist"
        site.pages["/api/ok"] = "fine"
        page = browser.new_page()
        sent: list[dict[str, str]] = []
        page.on("request", lambda request: sent.append(request.headers) if "/api/" in request.url else None)
        page.goto(site.url)
        assert page.evaluate("started") is True
        page.wait_for_selector("#sorry")
        page.click("#vue-pay")
        assert len(page.evaluate("report(new TypeError('caught by hand'))")) == 32
        page.evaluate("report(new Error('unsaid'))")
        page.evaluate("fetch('/api/ok')")
        page.evaluate("fetch('/api/missing')")
        wait_until(lambda: len(issues(server)) == 4, timeout_s=60, what="four issues")
        # The page's clock goes on while the server's stands still: its event would lie in the future.
        settled(clock)
        clock.advance(600)
        wait_until(lambda: "page_opened" in server.client.get("/events").text, timeout_s=60, what="the event")
        page.close()

    found = {one["title"]: one for one in issues(server)}
    rendering = next(one for title, one in found.items() if "join" in title)
    assert {
        "Error: vue cannot pay",
        "TypeError: caught by hand",
        "ApiError: GET /api/missing answered 404",
    } <= set(found)
    boundary = server.client.get(f"/api/mamimon/errors/issues/{rendering['id']}").json()["event"]
    assert "ErrorBoundary" in boundary["contexts"]["react"]["component_stack"]
    assert (boundary["release"], boundary["tags"]["shop"], boundary["extra"]) == (
        "vite@1.0",
        "tea",
        {"seen": True},
    )
    vue = server.client.get(f"/api/mamimon/errors/issues/{found['Error: vue cannot pay']['id']}").json()[
        "event"
    ]
    assert vue["contexts"]["vue"]["hook"]
    carried = [
        one for one in sent if re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", one.get("traceparent", ""))
    ]
    assert len(carried) == 2
    missing = found["ApiError: GET /api/missing answered 404"]
    event = server.client.get(f"/api/mamimon/errors/issues/{missing['id']}").json()["event"]
    assert event["contexts"]["trace"]["trace_id"] in {one["traceparent"][3:35] for one in carried}
    assert event["tags"]["request_id"] in {one["x-request-id"] for one in carried}
