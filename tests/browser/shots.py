"""Screenshots of every page in four variants: `python -m tests.browser.shots URL FOLDER [PATH…]`.

Light and dark, desktop (1360×900) and phone (360×740); for people to look at before a release.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.browser.pages import DESKTOP, PHONE, paths
from tests.conftest import CHROMIUM, CHROMIUM_ARGUMENTS


def shoot(url: str, folder: Path, wanted: list[str]) -> int:
    """Write one PNG a page and variant; returns how many."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    executable = next(path for path in CHROMIUM if Path(path).exists())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_ARGUMENTS))
        for theme in ("light", "dark"):
            for size_name, size in (("desktop", DESKTOP), ("phone", PHONE)):
                context = browser.new_context(viewport=size, color_scheme=theme, locale="en-GB")
                page = context.new_page()
                for path in wanted:
                    page.goto(url + path, wait_until="load")
                    page.evaluate("scrollTo(0, document.body.scrollHeight)")  # charts load when seen
                    page.wait_for_timeout(900)  # and draw after their data has come
                    page.evaluate("scrollTo(0, 0)")
                    name = path.strip("/").replace("/", "-").replace("?", "_") or "overview"
                    page.screenshot(path=str(folder / f"{name[:60]}.{theme}.{size_name}.png"), full_page=True)
                    count += 1
                context.close()
        browser.close()
    return count


def main() -> int:
    """The command."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    print(shoot(sys.argv[1].rstrip("/"), Path(sys.argv[2]), sys.argv[3:] or paths()), "screenshots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
