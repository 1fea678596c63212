"""Browser: the dashboard in a real Chromium."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.sync_api import Page, sync_playwright

CHROMIUM: Final = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
PATIENCE_MS: Final = 90_000

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine, so the page is not opened")


@dataclass
class Opened:
    """A page, and what its console has complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        """What stands there."""
        return self.page.inner_text(selector)

    def wait(self, expression: str) -> None:
        """Return once a JavaScript expression is true. Asked from outside: the page's own policy forbids to evaluate texts in it."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}; the console said {self.complaints}"
            self.page.wait_for_timeout(50)

    def heap(self) -> int:
        """Bytes of the page's own objects, after a collection."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        used: int = session.send("Runtime.getHeapUsage")["usedSize"]
        return used


@contextmanager
def opened(url: str, *, width: int = 1440, height: int = 900, scheme: Any = "light") -> Iterator[Opened]:
    """The page at `url`, once it has been drawn for the first time."""
    with sync_playwright() as playwright:
        # A test may run as root, in a container too, where Chromium has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE_MS)
        found = Opened(page)
        page.on("console", lambda said: found.complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.goto(url)
        yield found
        browser.close()
