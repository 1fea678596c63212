"""The report in a real browser: it draws, nothing overlaps or sticks out, in both themes, on a desk and on a phone.

Chromium and playwright are no part of the project: without them these tests skip. With `pip install playwright` and Debian's `chromium`
they run.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.app import routes
from daemon.config import load
from daemon.research import runs
from daemon.research.report import making
from tests.research.files import configured, stored

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SYMBOLS = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")

# Pairs of texts of one figure that lie over one another by more than the edge of a letter.
OVERLAPS = """() => [...document.querySelectorAll("[data-figure]")].flatMap((figure) => {
  const texts = [...figure.querySelectorAll("text")].filter((text) => text.textContent.trim() && !text.closest(".hoverlayer"));
  const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
  return boxes.flatMap(([a, one], at) => boxes.slice(at + 1).filter(([, other]) =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > 2 &&
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 2
  ).map(([b]) => `${figure.dataset.figure}: ${a} / ${b}`));
})"""
OUTSIDE = """() => [...document.querySelectorAll("[data-figure] text")].filter((text) => {
  const box = text.getBoundingClientRect(), room = text.closest("[data-figure]").getBoundingClientRect();
  return box.width > 0 && (box.left < room.left - 2 || box.right > room.right + 2);
}).map((text) => text.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a screen."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine to look at the report with (Debian: apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed, which drives a browser (pip install playwright)"
    )
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a month of momentum."""
    folder = tmp_path_factory.mktemp("shown")
    data = stored(folder / "data", 700, SYMBOLS, {"A/USDT": [60, 61]})
    runs.backtest(load(configured(folder, SYMBOLS), {}), data, folder / "out", None, None, routes)
    return making.write(folder / "out")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_everything_is_drawn_and_nothing_overlaps(browser: Any, report: Path, width: int, scheme: str) -> None:
    """No error and no forbidden load, each figure is there, texts lie beside one another, and the page is as wide as the window."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    shown, said = context.new_page(), []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    shown.goto(report.as_uri())
    count = shown.locator("[data-figure]").count()
    assert count == 10
    for place in range(count):
        figure = shown.locator("[data-figure]").nth(place)
        figure.scroll_into_view_if_needed()
        figure.locator(".main-svg .xtitle, .main-svg .ytitle").first.wait_for()
    assert shown.evaluate("document.documentElement.dataset.theme") == scheme
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate(OVERLAPS) == []
    assert shown.evaluate(OUTSIDE) == []
    assert said == []
    context.close()


def test_theme_trades_and_whys_answer_to_a_person(browser: Any, report: Path) -> None:
    """The button changes the theme, the filter the rows, and a trade opens the story of its decision, which a key closes."""
    shown = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="light")
    shown.goto(report.as_uri())
    before = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    shown.click("#theme")
    assert shown.evaluate("document.documentElement.dataset.theme") == "dark"
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != before
    shown.fill("#filter", "b/")
    assert set(shown.locator("#trades-table tbody td:nth-child(2)").all_text_contents()) == {"B/USDT"}
    why = shown.locator("#trades-table tbody button").first
    assert why.bounding_box()["x"] + why.bounding_box()["width"] <= 390
    why.click()
    story = shown.locator("#why").inner_text()
    assert "decision 2024" in story
    assert "momo: score" in story
    shown.keyboard.press("Escape")
    assert not shown.locator("#why").is_visible()
    shown.close()
