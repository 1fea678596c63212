"""The dashboard in a real browser, on a real daemon: what it shows, what it commands, and what it says when the daemon is gone."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Route

from daemon.io.api import Api
from daemon.io.api_feed import Feed
from daemon.io.clock import SystemClock
from tests.io.test_api import Commands, Views
from tests.process.browser import Opened, needs_chromium, opened
from tests.process.support import Daemon, Venue, free_port, written

pytestmark = needs_chromium

TOKEN: Final = "token-of-the-house"
EVENTS: Final = int(os.environ.get("EVENTS", "5000"))
DRAWN: Final = "document.querySelectorAll('#positions button').length >= 2"
GROWTH_MAX: Final = 5_000_000  # bytes of heap that any number of events may leave


@contextmanager
def trading(folder: Path, venue: Venue, port: int = 0) -> Iterator[Daemon]:
    """A daemon that trades on `venue` and has settled a wave with orders."""
    api = {"port": port, "token": {"env": "REBALANCED_TOKEN"}}
    with Daemon(written(folder, venue, every=3, api=api), {"REBALANCED_TOKEN": TOKEN}) as daemon:
        daemon.settled(sent=1)
        yield daemon


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of this file run."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def venue(folder: Path) -> Iterator[Venue]:
    """An exchange on loopback."""
    with Venue("--markets", "4", folder=folder) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def daemon(folder: Path, venue: Venue) -> Iterator[Daemon]:
    """A daemon for every test that leaves it running."""
    with trading(folder, venue) as running:
        yield running


def test_the_page_shows_the_daemon_and_keeps_up_with_it(daemon: Daemon) -> None:
    """Figures, positions, decisions and log lines are there and move by themselves, and a symbol tells its story; nothing complains."""
    with opened(daemon.url()) as page:
        page.wait(DRAWN)
        assert (page.text("#name"), page.text("#state"), page.text("#contact")) == ("momo", "running", "live")
        newest = page.text("#decisions tbody tr >> nth=0")
        page.wait(f"document.querySelector('#decisions tbody tr').innerText !== {json.dumps(newest)}")
        page.wait("document.querySelectorAll('#weights-chart .bars path').length > 0 && document.querySelectorAll('.log li').length > 5")
        page.page.click("#positions button >> nth=0")
        page.wait("document.querySelector('#why .summary') !== null")
        assert daemon.get(f"/api/v1/why/{page.text('#why-title')}")[0] == 200
        page.page.click("#why-close")
        assert page.complaints == []


def test_a_story_tells_whose_a_kept_coin_was(daemon: Daemon) -> None:
    """How much is kept apart and why, under the rest of what the daemon says."""
    kept = {"amount": "0.5", "strategy": "gone", "since": None, "reason": "removed_strategy", "says": "gone left it"}

    def told(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"kept_apart": [kept]})

    with opened(daemon.url()) as page:
        page.page.route("**/api/v1/why/**", told)
        page.wait(DRAWN)
        page.page.click("#positions button >> nth=0")
        page.wait("document.querySelector('#why .summary') !== null")
        assert "0.5 kept apart, not traded: gone left it" in page.text("#why-body")
        assert page.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_everybody_can_use_the_page(width: int, scheme: str, daemon: Daemon) -> None:
    """Axe finds nothing serious, also in an open story, and nothing is wider than the screen."""
    with opened(daemon.url(), width=width, scheme=scheme) as page:
        page.wait(DRAWN)
        page.wait("document.querySelector('#correlations-chart .heatmaplayer') !== null")
        assert grave(page) == []
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.page.click("#positions button >> nth=0")
        page.wait("document.querySelector('#why .summary') !== null")
        assert grave(page) == []


def grave(page: Opened) -> list[tuple[str, str]]:
    """What axe finds that keeps somebody out."""
    found = Axe().run(page.page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


def test_a_person_commands_with_the_token_alone(daemon: Daemon) -> None:
    """Without it the buttons are dead, with a wrong one the daemon refuses; what sells everything, or lifts a halt, is typed out first."""
    with opened(daemon.url()) as page:
        page.wait(DRAWN)
        assert page.page.is_disabled("[data-verb=pause]")
        unlock(page, "wrong")
        page.page.click("[data-verb=pause]")
        page.wait("document.querySelector('#answer').textContent.includes('a bearer token is needed')")
        unlock(page, TOKEN)
        page.page.click("[data-verb=pause]")
        page.wait("document.querySelector('#state').textContent === 'paused' && !document.querySelector('#reasons').hidden")
        page.page.click("[data-verb=resume]")
        page.wait("document.querySelector('#state').textContent === 'running'")
        page.page.click("[data-verb=flatten]")
        page.page.fill("#confirm-name", "mom")
        assert page.page.is_disabled("#confirm-yes")
        page.page.press("#confirm-name", "Enter")
        page.wait("document.querySelector('#answer').textContent === 'Nothing was done.'")
        typed(page, "flatten")
        page.wait("document.querySelector('#state').textContent === 'halted'")
        typed(page, "resume")
        page.wait("document.querySelector('#state').textContent === 'running'")
        stored = page.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    by = daemon.wait("command.done", where=lambda line: line["verb"] == "flatten")["by"]
    assert (TOKEN in stored, by) == (False, "dashboard@127.0.0.1")


def unlock(page: Opened, token: str) -> None:
    """Enter a token."""
    page.page.fill("#token", token)
    page.page.press("#token", "Enter")
    page.wait("document.querySelector('#token').value === '' && !document.querySelector('[data-verb=pause]').disabled")


def typed(page: Opened, verb: str) -> None:
    """Press a button that asks, and type what it asks for."""
    page.page.click(f"[data-verb={verb}]")
    page.page.fill("#confirm-name", "momo")
    page.page.click("#confirm-yes")


def test_a_lost_daemon_is_said_so_and_found_again(tmp_path: Path) -> None:
    """While there is no contact a banner says since when, and the figures are there still; afterwards all goes on by itself."""
    port = free_port()
    # An account of its own: two daemons of one name in one account notice each other, and stop.
    with Venue("--markets", "4", folder=tmp_path) as venue, opened_on(tmp_path, venue, port) as page:
        page.page.wait_for_selector("#lost:not([hidden])")
        assert "No contact with the daemon since" in page.text("#lost")
        assert page.page.evaluate(DRAWN)
        with trading(tmp_path, venue, port):
            page.wait("document.querySelector('#lost').hidden && document.querySelector('#contact').textContent === 'live'")
            page.wait("document.querySelector('#state').textContent === 'running'")
            page.wait("document.querySelector('.log').textContent.includes('daemon.ready')")


@contextmanager
def opened_on(folder: Path, venue: Venue, port: int) -> Iterator[Opened]:
    """A page whose daemon has been killed under it."""
    with trading(folder, venue, port) as daemon, opened(daemon.url()) as page:
        page.wait(DRAWN)
        daemon.kill()
        yield page


def test_any_number_of_events_leaves_the_heap_where_it_was() -> None:
    """At full speed, so many that nobody could read them (EVENTS), of which the newest is shown in the end."""
    with feeding() as (url, feed), opened(url) as page:
        page.wait("document.querySelector('#contact').textContent === 'live'")
        said(feed, 1000)
        page.wait("document.querySelector('.log').textContent.includes('number=999')")
        before = page.heap()
        said(feed, EVENTS)
        page.wait(f"document.querySelector('.log').textContent.includes('number={EVENTS - 1} ')")
        assert page.heap() - before < GROWTH_MAX
        assert page.page.evaluate("document.querySelectorAll('.log li').length") <= 200


def test_h10_what_the_exchange_says_is_text_on_the_page() -> None:
    """Markup in a name or in a line of the log is shown as it is written, and runs nothing."""
    markup = "<img src=x onerror=window.ran=1>"
    with feeding() as (url, feed), opened(url) as page:
        page.wait("document.querySelector('#contact').textContent === 'live'")
        feed.hear({"ts": "2026-01-02T03:04:05Z", "level": "error", "event": markup, "text": f"</li><script>window.ran=1</script>{markup}"})
        page.wait(f"document.querySelector('.log').textContent.includes('{markup}')")
        page.wait("document.querySelector('#name').textContent.startsWith('<img')")
        assert page.page.evaluate("[window.ran, document.querySelectorAll('main img, header img, .log script').length]") == [None, 0]


def said(feed: Feed, count: int) -> None:
    """Lines as long as those of a wave."""
    for number in range(count):
        feed.hear({"ts": "2026-01-02T03:04:05.000006Z", "level": "info", "event": "test.said", "number": number, "text": "x" * 300})


@contextmanager
def feeding() -> Iterator[tuple[str, Feed]]:
    """The API alone, on a loop of its own: its address, and the feed behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def on_loop(job: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(job, loop).result(30)

    feed = Feed(SystemClock(), kept=2 * EVENTS)
    api = Api(Views(), Commands(), feed, "127.0.0.1", 0)
    on_loop(api.start())
    try:
        url = f"http://127.0.0.1:{api.port}"
        assert httpx.get(url, trust_env=False).status_code == 200
        yield url, feed
    finally:
        on_loop(api.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
