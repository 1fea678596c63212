"""What an exchange of swaps answers, changed at random: positions, brackets, income and marks are sound values, or not known."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from random import Random
from typing import Final

import pytest

from daemon.io.ccxt_setup import Wanted
from daemon.io.ccxt_swaps import SwapExchange
from daemon.io.clock import SystemClock
from daemon.io.exchange import Urgency
from daemon.venue import Venue, VenueSettings
from tests.fuzz.mutations import SEED, cases
from tests.fuzz.test_answers import MINUTE, Ask, Open, Tongue, sound, told
from tests.io.ccxt_server import KEY, SECRET, an_order

SYMBOLS: Final = ("BTC/USDT:USDT", "ETH/USDT:USDT")
BTC: Final = SYMBOLS[0]


def ago(hours: float) -> timedelta:
    return timedelta(hours=hours)


def asked(name: str, *given: object, **named: object) -> Ask:
    """A question of the door by its name; a moment among what is given is so long ago."""

    def ask(exchange: object) -> object:
        now = SystemClock().now()
        return getattr(exchange, name)(*(now - each if isinstance(each, timedelta) and each > MINUTE else each for each in given), **named)

    return ask  # type: ignore[return-value]


ASKED: Final[Mapping[str, Ask]] = {
    "connect: markets, settings, brackets, fee": asked("connect"),
    "markets": asked("markets"),
    "balances: account v3, with positions": asked("balances"),
    "incomes": asked("incomes", ago(1)),
    "marks": asked("marks", SYMBOLS),
    "settlements": asked("settlements", BTC, ago(100)),
    "open_orders": asked("open_orders"),
    "order": asked("order", "r0000known", BTC),
    "trades": asked("trades", BTC, ago(1)),
    "bars": asked("bars", BTC, MINUTE, limit=20),
    "touches": asked("touches", SYMBOLS),
    "cancel": asked("cancel", "r0000known", BTC),
}


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Venue, SwapExchange]]:
    """A door to swaps that works, with an order, a trade and a position behind it."""
    settings = VenueSettings(market="swap", interval="1m", markets=3, history=100, key=KEY, secret=SECRET)
    async with Venue(settings) as venue:
        clock = SystemClock()
        overrides = {"urls": {"test": venue.ccxt_urls()["test"]}, "timeout_on_exit": 0, "timeout": 1_000}
        exchange = SwapExchange(
            *("binanceusdm", SYMBOLS),
            wanted=Wanted(5, "cross", may_set=True),
            sandbox=True,
            gate=Open(clock),
            clock=clock,
            api_key=KEY,
            secret=SECRET,
            overrides=overrides,
        )
        try:
            await exchange.connect()
            await exchange.submit(an_order("r0000known", BTC, amount="0.01"), Urgency.GROW)
            yield venue, exchange
        finally:
            await exchange.close()


@pytest.mark.parametrize("name", ASKED)
async def test_no_answer_of_swaps_gets_past_the_door_unjudged(name: str) -> None:
    """Whatever an answer has in the place of a number, a name or a list, the door to swaps returns sound values or a VenueError."""
    async with opened() as (_, exchange):
        tongue = Tongue(exchange, Random(f"{SEED} swap {name}"))
        for _ in range(cases(240) // len(ASKED)):
            found = await told(ASKED[name], exchange, tongue)
            assert sound(found), f"{found} of {json.dumps(tongue.last)[:600]}"


async def test_no_answer_to_an_order_of_swaps_is_taken_for_its_end() -> None:
    """Whatever comes back from an order that was taken, it is sound or not known, so that it is looked up and not sent again."""
    async with opened() as (venue, exchange):
        tongue = Tongue(exchange, Random(f"{SEED} submit of swaps"))
        for number in range(cases(50) // 10):
            sent = an_order(f"r0000f{number}", BTC, amount="0.001")
            found = await told(partial(SwapExchange.submit, order=sent, urgency=Urgency.GROW), exchange, tongue)
            assert sound(found), f"{found} of {json.dumps(tongue.last)[:600]}"
        ids = [order["clientOrderId"] for order in venue.state()["orders"]]
        assert len(ids) == len(set(ids))
