"""Worlds: the same waves settle whatever the mode, and whichever way the bars come."""

from pathlib import Path
from typing import Any

import pytest

from daemon.io.journal import read
from tests.process.books import Waves, disagreements, of_journal, of_venue, opening
from tests.process.support import SYMBOLS, Daemon, Venue, written

# Two rebalances after the first one: buys, then sells before buys.
WAVES = 3

WAYS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "sandbox by urls.test alone": ("sandbox", [], {}),
    "live by urls.api": ("live", [], {}),
    "websockets refused": ("sandbox", ["--no-streams"], {}),
    "closed candles only": ("sandbox", ["--closed-only"], {}),
    "polling by choice": ("sandbox", [], {"bars": {"source": "poll"}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_waves_settle_at_their_targets(way: str, tmp_path: Path) -> None:
    """Every wave settles with its holdings within a step and the band of its targets, and journal and venue agree to the unit."""
    mode, options, sections = WAYS[way]
    with Venue(*options, folder=tmp_path) as venue, Daemon(written(tmp_path, venue, mode=mode, **sections)) as daemon:
        daemon.settled(WAVES)
        daemon.stop()
        state = venue.state()
        assert disagreements(state, tmp_path / "momo.sqlite", SYMBOLS) == []
        waves = Waves(daemon.lines, of_venue(state, SYMBOLS), opening(state), venue.rules())
        assert {name: excess for name, excess in waves.excess().items() if excess > 0} == {}
        assert max(wave["filled"] for wave in waves.settled) == 2, "the first wave buys two symbols"
        assert [line for line in daemon.complaints() if line["level"] == "error"] == []


def test_paper_trades_without_a_key_and_remembers(venue: Venue, tmp_path: Path) -> None:
    """Paper mode fills from the venue's prices, sends it nothing, and goes on with the same account after a restart."""
    config, journal = written(tmp_path, venue, mode="paper", every=2, paper={"balances": {"USDT": 50_000}}), tmp_path / "momo.sqlite"
    nothing = {"KEY": "", "SECRET": ""}
    with Daemon(config, nothing) as daemon:
        daemon.settled(WAVES)
        daemon.stop()
        first = daemon.lines
    before = read(journal).ledger().holdings()
    assert len(before) > 1, "it holds more than cash"
    with Daemon(config, nothing) as daemon:
        again = daemon.settled()
        daemon.stop()
        lines = [*first, *daemon.lines]
    record = read(journal)
    assert [flow.kind for flow in record.flows] == ["opening"]
    waves = Waves(lines, of_journal(record.fills), {"USDT": record.flows[-1].amount * 0 + 50_000}, venue.rules())
    assert {name: excess for name, excess in waves.excess().items() if excess > 0} == {}
    assert again["decision_id"] not in {line["decision_id"] for line in first if line["event"] == "wave.settled"}
    assert venue.state()["orders"] == []
