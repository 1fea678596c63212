"""The live screen of a terminal: what it shows, and what is left of it when the daemon is gone."""

import io
from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from daemon.screens.show import NoAnswer
from daemon.screens.topscreen import Top
from tests.test_show import NOW, POSITIONS, STATUS, TARGETS

ORDER = {"id": "o-1", "symbol": "ETH/USDT", "side": "buy", "amount": "1.5", "filled": "0", "price": "2000", "at": "2026-01-02T11:59:00Z"}
DECISION = {"id": "d", "as_of": "2026-01-02T11:55:00Z", "cause": "due", "targets": {"BTC/USDT": 0.26}, "wave": STATUS["last_wave"]}
ANSWERS: dict[str, object] = {
    "status": STATUS,
    "positions": POSITIONS,
    "targets": TARGETS,
    "orders": [{**ORDER, "state": "filled", "symbol": "XRP/USDT"}, *({**ORDER, "state": "unknown"} for _ in range(17))],
    "decisions": [DECISION, {**DECISION, "targets": {}, "wave": None}],
}


def shown(screen: RenderableType) -> str:
    """As text."""
    paper = io.StringIO()
    Console(file=paper, width=140).print(screen)
    return paper.getvalue()


def test_open_orders_and_decisions_stand_below_the_status() -> None:
    """Orders that may still trade are there, no more than fit, and each decision with what became of it."""
    top = Top(lambda path: ANSWERS[path.removeprefix("/api/v1/").partition("?")[0]], lambda: NOW)
    text = shown(top.frame())
    assert (text.count("ETH/USDT"), "XRP/USDT" in text, "and 2 more" in text) == (15 + 1, False, True)
    assert "BTC/USDT 26.00%" in text
    assert "12.3 bps" in text
    assert "nothing" in text


def test_what_was_seen_last_outlives_the_daemon() -> None:
    """Its age is said above it; if nobody has ever answered, that is the end."""
    answers, now = dict(ANSWERS), [NOW]

    def read(path: str) -> object:
        if not answers:
            raise NoAnswer("nothing answers at http://127.0.0.1:8787")
        return answers[path.removeprefix("/api/v1/").partition("?")[0]]

    top = Top(read, lambda: now[0])
    before = shown(top.frame())
    answers.clear()
    now[0] += timedelta(seconds=75)
    after = shown(top.frame())
    assert after.startswith("nothing answers at http://127.0.0.1:8787; below is what was seen 1 min 15 s ago")
    assert after.endswith(before)
    with pytest.raises(NoAnswer):
        Top(read, lambda: NOW).frame()


def test_a_live_screen_advises_no_option_that_it_lacks() -> None:
    """Where columns have no room, the verbs that print once name --json, and what is live does not."""
    top = Top(lambda path: ANSWERS[path.removeprefix("/api/v1/").partition("?")[0]], lambda: NOW)
    said = {}
    for live in (False, True):
        paper = io.StringIO()
        console = Console(file=paper, width=60, force_terminal=True)
        console.set_alt_screen(live)
        console.print(top.frame())
        said[live] = paper.getvalue()
    assert {live: ("a wider terminal" in text, "--json" in text) for live, text in said.items()} == {
        False: (True, True),
        True: (True, False),
    }
