"""The report in a real browser: it draws, nothing overlaps or sticks out, in both themes, on a desk and on a phone."""

from pathlib import Path

import pytest

from daemon.app import routes
from daemon.config import load
from daemon.research import runs
from daemon.research.report import making
from tests.process.browser import needs_chromium, opened
from tests.research.files import configured, stored

pytestmark = needs_chromium

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
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a month of momentum."""
    folder = tmp_path_factory.mktemp("shown")
    data = stored(folder / "data", 700, SYMBOLS, {"A/USDT": [60, 61]})
    runs.backtest(load(configured(folder, SYMBOLS), {}), data, folder / "out", None, None, routes)
    return making.write(folder / "out")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_everything_is_drawn_and_nothing_overlaps(report: Path, width: int, scheme: str) -> None:
    """Nothing is complained of, each figure is there, texts lie beside one another, and the page is as wide as the window."""
    with opened(report.as_uri(), width=width, scheme=scheme) as shown:
        figures = shown.page.locator("[data-figure]")
        assert figures.count() == 10
        for place in range(figures.count()):
            figures.nth(place).scroll_into_view_if_needed()
            figures.nth(place).locator(".main-svg .xtitle").first.wait_for()
        assert shown.page.evaluate("document.documentElement.dataset.theme") == scheme
        assert shown.page.evaluate("document.documentElement.scrollWidth") == width
        assert shown.page.evaluate(OVERLAPS) == []
        assert shown.page.evaluate(OUTSIDE) == []
        assert shown.complaints == []


def test_theme_trades_and_whys_answer_to_a_person(report: Path) -> None:
    """The button changes the theme, the filter the rows, and a trade opens the story of its decision, which a key closes."""
    with opened(report.as_uri(), width=390) as shown:
        page = shown.page
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.fill("#filter", "b/")
        assert set(page.locator("#trades-table tbody td:nth-child(2)").all_text_contents()) == {"B/USDT"}
        why = page.locator("#trades-table tbody button").first
        box = why.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
        why.click()
        story = shown.text("#why")
        assert "decision 2024" in story
        assert "momo: score" in story
        page.keyboard.press("Escape")
        assert not page.locator("#why").is_visible()
