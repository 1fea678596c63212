"""The limits that only swaps have, in the whole daemon against an exchange: each fires, with its code in log, API and `why`, and not below.

`funding_max` is tried in `test_funding`.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from daemon.core.margin import Margins, rate_of
from daemon.core.model import ZERO
from daemon.core.planner_inputs import Rules, exact
from daemon.core.risk import Reason
from daemon.venue import Venue, VenueSettings
from tests.test_funding import BTC, ETH, desk
from tests.test_limits import Desk

WISH: Final = 3.2
WIDE: Final = {"gross": 5.0, "weight_max": 5.0}
# One bound is so far from the other of which the limit fires, as a share of the price; prices move by less while it is judged.
STEP: Final = 0.004
LOST: Final = Rules().slippage  # what an order is reckoned to lose at once, beside its fee


@pytest.fixture
async def futures() -> AsyncIterator[Venue]:
    """Swaps whose prices hardly move, and whose books agree in the end."""
    async with Venue(VenueSettings(market="swap", interval="1s", markets=4, history=200, volatility=0.0001)) as running:
        yield running
    assert running.audit() == []


def distance(at: Desk, takes: Decimal = ZERO) -> float:
    """How far its price may move against the wish until it is liquidated, once trading has taken so much of its worth."""
    account = at.run.parts.account
    rate = rate_of(account.markets[BTC], account.equity() * exact(WISH))
    return float((1 / exact(WISH) - rate - takes) / (1 + rate))


def nearest(at: Desk) -> float:
    """The same of the position that is there."""
    found = Margins.of(at.run.parts.account, pending=False).nearest()
    assert found is not None
    return float(found[1])


async def test_no_weight_comes_too_near_its_liquidation_and_none_is_cut_below(futures: Venue, tmp_path: Path) -> None:
    """A bound just above the distance that the wish leaves cuts it, and the position is made smaller; one just below it does nothing."""
    async with desk(futures, tmp_path, {BTC: WISH, ETH: 0.0}, **WIDE, liquidation_min=0.2) as at:
        assert await at.codes(await at.decide(), BTC) == set()
        await at.limit(**WIDE, liquidation_min=distance(at) - STEP)
        assert await at.codes(await at.decide(), BTC) == set()
        before, least = nearest(at), distance(at) + 2 * STEP
        await at.limit(**WIDE, liquidation_min=least)
        assert await at.codes(await at.decide(), BTC) == {"liquidation_min"}
        wave = at.run.parts.manager.last_wave
        assert wave is not None
        assert (wave.sent, wave.targets[BTC] < WISH) == (1, True)
        assert before < least - STEP < nearest(at)
        (told,) = [line for line in at.said if line["event"] == "risk.limited" and line["symbol"] == BTC]
        assert told["found"] < told["most"] == pytest.approx(least)


async def test_no_order_takes_the_room_to_a_liquidation_and_none_is_cut_below(futures: Venue, tmp_path: Path) -> None:
    """What the weights allow, and fee and slippage do not, is cut from the order; under a bound just below, all of it is bought."""
    async with desk(futures, tmp_path, {BTC: WISH, ETH: 0.0}, **WIDE, liquidation_min=0.2) as at:
        takes = at.run.parts.account.markets[BTC].taker_fee + LOST
        assert takes > STEP, "else the limit on weights would fire first"
        await at.limit(**WIDE, liquidation_min=distance(at) - STEP / 2)
        decided = await at.decide()
        assert await at.codes(decided, BTC) == {"liquidation_room"}
        wave = at.run.parts.manager.last_wave
        assert wave is not None
        assert (wave.targets[BTC], wave.left[BTC]) == (WISH, "liquidation_room")
        _, why = await at.run.get(f"/api/v1/why/{BTC}?decision={decided}")
        assert "risk.liquidation_min" in why["left_says"]
        await at.limit(**WIDE, liquidation_min=distance(at, takes) - STEP)
        assert await at.codes(await at.decide(), BTC) == set()
        wave = at.run.parts.manager.last_wave
        assert wave is not None
        assert (wave.sent, wave.left) == (1, {})


# Of these no daemon can be asked: a strategy that answers no number, or a symbol of nowhere, is not heard (tests/core/test_runner.py).
UNASKED: Final = {Reason.NOT_FINITE, Reason.UNKNOWN_SYMBOL}


def test_every_limit_is_tried() -> None:
    """No limit is missing in what fires them in the daemon."""
    files = ("test_limits.py", "test_limits_swaps.py", "test_funding.py")
    text = "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in files)
    assert {code for code in Reason if f'"{code.value}"' not in text} == UNASKED
