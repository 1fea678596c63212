"""The whole daemon on a venue that says what is not so: it lives, it breaks off nothing with a traceback, and no wrong order leaves."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from daemon.core.model import Order, Side
from tests.fuzz.garbling import Garbler
from tests.fuzz.mutations import CASES, SEED
from tests.sim.trouble import Life, TroubledExchange, at_bar, configured, live, nothing, wave

TOLD: Final = ("server_time", "markets", "bars", "balances", "open_orders", "watch_bars")
OF_ORDERS: Final = ("submit", "cancel", "order", "trades", "watch_account")
WEIGHTS: Final = {"A/USDT": 0.3, "B/USDT": 0.25, "C/USDT": 0.2}
SYMBOLS: Final = (*WEIGHTS, "D/USDT")
ROWS: Final = 120
CALM_AT: Final = 80  # the bar from which on every answer is true
SHARE: Final = 0.3
# How far from the truth what is believed may be: a price that moves by less than a quarter is no spike, and the worth of all rests on all.
BELIEVED: Final = 1.8
BAND: Final = 0.02
# What only a mistake of ours says; what the venue's lies bring about has names of its own.
OURS: Final = {"daemon.failed", "strategy.failed", "strategy.disabled", "api.failed"}


class Judge:
    """Looks at each order as it leaves, by what the account really holds and what prices really are."""

    def __init__(self, exchange: TroubledExchange) -> None:
        self._exchange = exchange
        self.wrong: list[str] = []
        exchange.before_submit = self.look

    def weights(self, order: Order) -> tuple[float, float]:
        """The true weight of the order's symbol, before it and after it."""
        now, held = self._exchange._now(), self._exchange.account.balances
        price = {symbol: float(self._price(symbol, now)) for symbol in SYMBOLS}
        amount = {symbol: float(held[symbol.split("/")[0]].total) if symbol.split("/")[0] in held else 0.0 for symbol in SYMBOLS}
        worth = float(held["USDT"].total) + sum(price[symbol] * amount[symbol] for symbol in SYMBOLS)
        sign = 1 if order.side is Side.BUY else -1
        after = amount[order.symbol] + sign * float(order.amount)
        return price[order.symbol] * amount[order.symbol] / worth, price[order.symbol] * after / worth

    def _price(self, symbol: str, now: datetime) -> Decimal:
        bars = [bar for (name, closes_at), bar in self._exchange._bars.items() if name == symbol and closes_at <= now]
        return Decimal(repr(max(bars, key=lambda bar: bar.closes_at).close))

    async def look(self, order: Order) -> None:
        """An order that leads away from the target, further than what was said can explain, is wrong; so is one of what is not wanted."""
        target = WEIGHTS.get(order.symbol, 0.0)
        before, after = self.weights(order)
        low, high = target / BELIEVED - BAND, target * BELIEVED + (BAND if target else 0.0)
        away = after > max(high, before) if order.side is Side.BUY else after < min(low, before) or before < low
        if away or order.amount <= 0 or (order.side is Side.BUY and not target):
            self.wrong.append(f"{self._exchange._now()} {order}: {before:.3f} to {after:.3f}, where {target} is wanted")


def lived(folder: Path, calls: tuple[str, ...], seed: str) -> tuple[Life, Judge, int]:
    """A life among lies, then a while of truth; what came of it, what was wrong, and how many lies there were."""
    closes = {symbol: wave(10.0 * (n + 1), ROWS + n)[n:] for n, symbol in enumerate(SYMBOLS)}
    found: list[Any] = []

    def prepare(exchange: TroubledExchange) -> None:
        found.extend((Judge(exchange), Garbler(exchange, Random(seed), calls, SHARE, at_bar(CALM_AT))))

    config = configured(folder, closes, WEIGHTS, {}, every=2)
    life = live(config, closes, prepare, nothing, SYMBOLS[0])
    return life, found[0], found[1].count


def traces(lines: Sequence[Any]) -> list[Any]:
    """Lines of a mistake of ours, or that carry an exception."""
    return [line for line in lines if line["event"] in OURS or line.get("exc_info") or "exception" in line or "Traceback" in str(line)]


def each_life(calls: tuple[str, ...]) -> list[str]:
    """One life; of those asked for with CASES, as many as that takes lies."""
    return [f"{SEED} {'+'.join(calls[:1])} {number}" for number in range(max(1, CASES // 300))]


@pytest.mark.parametrize("seed", each_life(TOLD))
def test_no_wrong_order_leaves_whatever_is_said_of_the_market_and_the_account(seed: str, tmp_path: Path) -> None:
    """While prices, balances, rules and clocks are said that are not so, no order leads away from its target, and all ends well."""
    life, judge, lies = lived(tmp_path, TOLD, seed)
    assert lies > 50
    assert judge.wrong == []
    assert traces(life.lines) == []
    assert life.status["state"] == "running", life.status["reason"]


@pytest.mark.parametrize("seed", each_life(OF_ORDERS))
def test_the_daemon_survives_whatever_is_said_of_its_orders(seed: str, tmp_path: Path) -> None:
    """While trades and orders are told that are not so as well, it lives, and begins nothing in what is not wanted."""
    life, judge, lies = lived(tmp_path, (*TOLD, *OF_ORDERS), seed)
    assert lies > 50
    assert traces(life.lines) == []
    assert [text for text in judge.wrong if "D/USDT" in text and "buy" in text] == []
