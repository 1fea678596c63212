"""Warm-up: closed history for all, whatever the venue's mood."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from random import Random

import pytest

from daemon.core.model import Bar
from daemon.io.exchange import Reason, Refused, Unknown
from daemon.io.warmup import WORKERS, warm_up
from tests.io.tape_venue import START, TapeVenue, run

SECOND = timedelta(seconds=1)
SYMBOLS = [f"S{n}/USDT" for n in range(30)]


async def together(*jobs: Coroutine[None, None, None]) -> None:
    """Run side by side, as app.py does."""
    await asyncio.gather(*jobs)


def history(venue: TapeVenue, bars_needed: int, *, away_s: float = 0.0) -> tuple[dict[str, list[Bar]], list[int]]:
    """What a warm-up brings, and the progress it told; the venue is away at first for so long."""
    found: dict[str, list[Bar]] = {}
    told: list[int] = []

    async def main() -> None:
        if away_s:
            venue.rest_error = Unknown("no route")
            asyncio.get_running_loop().call_later(away_s, setattr, venue, "rest_error", None)
        found.update(
            await warm_up(
                venue, SYMBOLS, SECOND, bars_needed, venue.clock, lambda done, _: told.append(done), together=together, rng=Random(1)
            )
        )

    run(main())
    return found, told


def test_history_is_closed_complete_and_in_order() -> None:
    """Every symbol gets its newest closed bars, as many as needed and no forming one, with a bounded number of calls at once."""
    venue = TapeVenue(SECOND, rest_takes_s=0.01)
    found, told = history(venue, 50)
    for symbol in SYMBOLS:
        until = max(bar.closes_at for bar in found[symbol])
        assert found[symbol] == venue.closed(symbol, until - 50 * SECOND, until)
        assert until <= START + SECOND
    assert told == list(range(1, 31))
    assert sum(1 for at, _ in venue.calls if at == 0.0) == WORKERS


@pytest.mark.parametrize("rest_takes_s", [0.7, 4.2])
def test_slow_answers_shorten_no_history(rest_takes_s: float) -> None:
    """Bars close while symbol after symbol is asked for: each still gets all it needs, up to the moment at which the first was."""
    venue = TapeVenue(SECOND, rest_takes_s=rest_takes_s)
    found, _ = history(venue, 50)
    assert venue.calls[-1][0] > 3
    for symbol in SYMBOLS:
        assert found[symbol] == venue.closed(symbol, START - 50 * SECOND, START)


def test_a_venue_that_is_away_is_waited_for_calmly() -> None:
    """Through ten minutes without an answer the questions stay few, and then everything is there."""
    venue = TapeVenue(SECOND)
    found, told = history(venue, 5, away_s=600)
    assert told[-1] == 30
    assert all(len(found[symbol]) == 5 for symbol in SYMBOLS)
    assert len([call for call in venue.calls if call[0] < 600]) <= 30 * WORKERS


def test_a_refusal_that_waiting_does_not_end_is_told() -> None:
    """A venue that will not give a symbol's bars is an answer, and not asked again."""
    venue = TapeVenue(SECOND, rest_error=Refused("no such market", Reason.BAD_REQUEST))
    with pytest.raises(Refused):
        history(venue, 5)


def test_nothing_needed_is_nothing_asked() -> None:
    """Strategies without memory start at once."""
    venue = TapeVenue(SECOND)
    found, _ = history(venue, 0)
    assert found == {symbol: [] for symbol in SYMBOLS}
    assert venue.calls == []
