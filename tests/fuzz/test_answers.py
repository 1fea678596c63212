"""What an exchange answers, changed at random: the door makes a sound value of it or says what it does not know, and never breaks."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from math import isfinite
from random import Random
from typing import Any, Final

import pytest

from daemon.core.model import Fill, OrderReport
from daemon.core.styles import Touch
from daemon.io import ccxt_binance, ccxt_usdm
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_streams import stream_error
from daemon.io.clock import SystemClock
from daemon.io.exchange import BarUpdate, Urgency, VenueError
from daemon.io.rategate import RateGate
from daemon.venue import Venue, VenueSettings
from tests.fuzz.mutations import SEED, cases, mutated
from tests.io.ccxt_server import an_order, door

MINUTE: Final = timedelta(minutes=1)
SYMBOL: Final = "BTC/USDT"
IDS: Final = {"BTCUSDT": SYMBOL}

Ask = Callable[[CcxtExchange], Awaitable[object]]
ASKED: Final[Mapping[str, Ask]] = {
    "markets": lambda exchange: exchange.markets(),
    "balances": lambda exchange: exchange.balances(),
    "open_orders": lambda exchange: exchange.open_orders(),
    "order": lambda exchange: exchange.order("r0000known", SYMBOL),
    "trades": lambda exchange: exchange.trades(SYMBOL, SystemClock().now() - timedelta(hours=1)),
    "bars": lambda exchange: exchange.bars(SYMBOL, MINUTE, limit=20),
    "touches": lambda exchange: exchange.touches([SYMBOL, "ETH/USDT"]),
    "server_time": lambda exchange: exchange.server_time(),
    "cancel": lambda exchange: exchange.cancel("r0000known", SYMBOL),
}


def sound(value: object) -> bool:
    """Whether every number in it is finite, and every size and price of an order or a trade has the sign that it must have."""
    match value:
        case Decimal():
            return value.is_finite()
        case float():
            return isfinite(value)
        case Enum() | str() | int() | None:
            return True
        case Mapping():
            return all(map(sound, value.values()))
        case list() | tuple() | set() | frozenset():
            return all(map(sound, value))
        case OrderReport() if min(value.amount, value.filled, value.cost) < 0 or not (value.order_id or value.venue_id):
            return False
        case Fill() if min(value.amount, value.price, value.cost) <= 0 or not value.trade_id:
            return False
        case Touch() if not 0 < value.bid <= value.ask:
            return False
    return not is_dataclass(value) or all(sound(getattr(value, each.name)) for each in fields(value))


class Open(RateGate):
    """A gate that nobody waits at: what an answer says of limits is not what is tried here."""

    async def acquire(self, urgency: Urgency, costs: Mapping[str, float]) -> None:
        return


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Venue, CcxtExchange]]:
    """A door to an exchange that works, with an order and a trade behind it."""
    settings = VenueSettings(interval="1m", markets=3, history=100, key="canary-key-1234567890", secret="canary-secret-0987654321")
    async with Venue(settings) as venue, door(venue.ccxt_urls()["test"], below="test", gate=Open(SystemClock())) as exchange:
        await exchange.connect()
        await exchange.submit(an_order("r0000known", amount="0.01"), Urgency.GROW)
        yield venue, exchange


class Tongue:
    """Between the exchange and ccxt: what it has said is changed once in a while, as `chance` has it."""

    def __init__(self, exchange: CcxtExchange, chance: Random) -> None:
        client: Any = exchange._client
        self._read = client.parse_json
        self._chance = chance
        self.lies = False
        self.last: Any = None
        client.parse_json = self.parse

    def parse(self, text: str) -> Any:
        told = self._read(text)
        if self.lies:
            told = self.last = mutated(told, self._chance)
        return told


async def told(ask: Ask, exchange: CcxtExchange, tongue: Tongue) -> object:
    """A value, or None where the door says that it knows none; AssertionError names the answer that broke it."""
    tongue.lies = True
    try:
        return await ask(exchange)
    except VenueError:
        return None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} of {json.dumps(tongue.last)[:600]}") from error
    finally:
        tongue.lies = False


@pytest.mark.parametrize("name", ASKED)
async def test_no_answer_gets_past_the_door_unjudged(name: str) -> None:
    """Whatever an answer has in the place of a number, a name or a list, the door returns sound values or a VenueError."""
    chance = Random(f"{SEED} {name}")
    async with opened() as (_, exchange):
        tongue = Tongue(exchange, chance)
        for _ in range(cases(900) // len(ASKED)):
            found = await told(ASKED[name], exchange, tongue)
            assert sound(found), f"{found} of {json.dumps(tongue.last)[:600]}"


async def test_no_answer_to_an_order_is_taken_for_its_end() -> None:
    """Whatever comes back from an order that was taken, it is sound or not known, so that it is looked up and not sent again."""
    chance = Random(f"{SEED} submit")
    async with opened() as (venue, exchange):
        tongue = Tongue(exchange, chance)
        for number in range(cases(100) // 10):
            sent = an_order(f"r0000f{number}", amount="0.001")
            found = await told(partial(CcxtExchange.submit, order=sent, urgency=Urgency.GROW), exchange, tongue)
            assert sound(found), f"{found} of {json.dumps(tongue.last)[:600]}"
        ids = [order["clientOrderId"] for order in venue.state()["orders"]]
        assert len(ids) == len(set(ids))


TRADE: Final = {"e": "executionReport", "E": 1, "s": "BTCUSDT", "c": "r0000a", "C": "", "S": "BUY", "X": "PARTIALLY_FILLED", "x": "TRADE",
                "q": "1.0", "z": "0.5", "Z": "25000", "l": "0.5", "L": "50000", "n": "0.1", "N": "USDT", "i": 7, "t": 9,
                "T": 1_700_000_000_000,
                "O": 1_700_000_000_000}  # fmt: skip
SWAP_TRADE: Final = {"e": "ORDER_TRADE_UPDATE", "E": 1, "o": {**TRADE, "ap": "50000", "rp": "1.5"}}
CANDLE: Final = {"stream": "x", "data": {"e": "kline", "s": "BTCUSDT", "k": {"s": "BTCUSDT", "t": 1_700_000_000_000, "o": "1.0", "h": "2.0",
                 "l": "0.5", "c": "1.5", "v": "10", "x": True}}}  # fmt: skip
MOVED: Final = {"event": {"e": "balanceUpdate", "a": "USDT", "d": "12.5", "T": 1_700_000_000_000}}
MARK: Final = {"data": {"e": "markPriceUpdate", "s": "BTCUSDT", "p": "50000.1", "r": "0.0001", "T": 1767225600000}}
FRAMES: Final[Mapping[str, tuple[object, Callable[[Any], Callable[[Any], bool]]]]] = {
    "candle": (CANDLE, lambda sink: ccxt_binance.Candles(IDS, MINUTE, sink)),
    "order": ({"event": TRADE}, lambda sink: ccxt_binance.Account(IDS, sink)),
    "transfer": (MOVED, lambda sink: ccxt_binance.Account(IDS, sink)),
    "order of a swap": (SWAP_TRADE, lambda sink: ccxt_usdm.Account(IDS, sink)),
    "mark price": (MARK, lambda sink: ccxt_usdm.Marks(IDS, lambda symbol, mark: sink((symbol, mark)), {})),
}


@pytest.mark.parametrize("name", FRAMES)
def test_no_frame_gets_past_the_door_unjudged(name: str) -> None:
    """Whatever a frame of a stream has in the place of a number or a name, what is heard of it is sound, or the stream ends in order."""
    chance, heard = Random(f"{SEED} {name}"), list[object]()
    frame, reader = FRAMES[name]
    read = reader(heard.append)
    read(frame)
    assert len(heard) == 1, "the frame is one that is read"
    for _ in range(cases(2500) // len(FRAMES)):
        heard.clear()
        changed = mutated(frame, chance)
        try:
            read(changed)
        except Exception as error:  # as daemon/io/ccxt_client.py: the connection ends with it
            known = error if isinstance(error, ccxt.BaseError | VenueError) else ccxt.NetworkError(f"unreadable frame: {error}")
            assert isinstance(stream_error(known, "binance", ()), VenueError)
        assert sound(heard), f"{heard} of {json.dumps(changed)[:600]}"
        assert all(isinstance(each, BarUpdate | OrderReport | tuple) for each in heard)
