"""The momentum strategy on basana: its dispatcher, bar events and exchange. It brings no indicators; those of work.py step along."""

import asyncio
import datetime as dt
from decimal import Decimal
from time import perf_counter

import basana as bs
from basana.backtesting import exchange as backtesting
from basana.backtesting import fees, liquidity
from work import CASH, FEE, HOUR_MS, Momentum, given, moves, told, version

WORK = given()
PAIRS = [bs.Pair(symbol, "USDT") for symbol in WORK.symbols]
PLACES = {pair: place for place, pair in enumerate(PAIRS)}
HOUR = dt.timedelta(hours=1)


class Trader:
    """Decides when the last pair of a close has come."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.each = [Momentum() for _ in PAIRS]
        self.row, self.closes = [None] * len(PAIRS), [0.0] * len(PAIRS)
        self.heard, self.told, self.sent = 0, [], 0
        self.buys = []  # what waits for the money of the sales before it

    async def on_bar(self, event):
        place = PLACES[event.bar.pair]
        self.closes[place] = close = float(event.bar.close)
        self.row[place] = self.each[place].update(close)
        self.heard += 1
        bar, missing = divmod(self.heard, len(PAIRS))
        if not missing:
            buys, self.buys = self.buys, []
            for pair, amount in buys:
                await self.exchange.create_market_order(bs.OrderOperation.BUY, pair, amount)
        if not missing and WORK.due(bar - 1):
            self.told.append(list(self.row))
            await self.rebalance(WORK.targets([row[3] for row in self.row]))

    async def rebalance(self, targets):
        balances = await self.exchange.get_balances()
        cash = float(balances["USDT"].available) if "USDT" in balances else 0.0
        held = [float(balances[pair.base_symbol].total) if pair.base_symbol in balances else 0.0 for pair in PAIRS]
        equity = cash + sum(amount * close for amount, close in zip(held, self.closes, strict=True))
        for place in sorted(range(len(PAIRS)), key=lambda place: targets[place]):
            close, target = self.closes[place], targets[place]
            if not moves(held[place] * close / equity, target):
                continue
            change = round(target * equity / close - held[place], 6)
            amount = Decimal(str(abs(change if target else held[place])))
            if amount and change > 0:
                self.buys.append((PAIRS[place], amount))
            elif amount:
                await self.exchange.create_market_order(bs.OrderOperation.SELL, PAIRS[place], amount)
            self.sent += bool(amount)


def source(place):
    """The bars of one pair as events."""
    values = WORK.bars[:, :, place].tolist()
    begins = [dt.datetime.fromtimestamp(int(time) / 1000, dt.UTC) for time in WORK.times]
    rows = zip(begins, values, strict=True)
    return bs.FifoQueueEventSource(
        events=[
            bs.BarEvent(begin + HOUR, bs.Bar(begin, PAIRS[place], *(Decimal(str(value)) for value in row), HOUR)) for begin, row in rows
        ]
    )


async def main():
    """Prepare, run, tell."""
    dispatcher = bs.backtesting_dispatcher()
    balances = {"USDT": Decimal(str(CASH))}
    terms = {"fee_strategy": fees.Percentage(Decimal(str(FEE * 100))), "liquidity_strategy_factory": liquidity.InfiniteLiquidity}
    exchange = backtesting.Exchange(dispatcher, balances, **terms)
    trader = Trader(exchange)
    for place, pair in enumerate(PAIRS):
        exchange.set_pair_info(pair, bs.PairInfo(6, 4))
        exchange.add_bar_source(source(place))
        exchange.subscribe_to_bar_events(pair, trader.on_bar)
    began = perf_counter()
    await dispatcher.run()
    told(perf_counter() - began, trader.told, trader.sent, **version("basana"))


assert HOUR.total_seconds() * 1000 == HOUR_MS
asyncio.run(main())
