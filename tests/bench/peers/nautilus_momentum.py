"""The momentum strategy on nautilus_trader: its engine, bars, venue and orders. Its RSI begins otherwise; that of work.py steps along."""

from decimal import Decimal
from time import perf_counter

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT, Currency
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, CurrencyType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy
from work import CASH, COLUMNS, FEE, Momentum, given, moves, told, version

WORK = given()
SIM = Venue("SIM")


def instrument(symbol):
    """A market of the simulated venue."""
    name = Symbol(f"{symbol}/USDT")
    base = Currency(symbol, 6, 0, symbol, CurrencyType.CRYPTO)
    terms = {
        "price_precision": 4,
        "size_precision": 6,
        "price_increment": Price.from_str("0.0001"),
        "size_increment": Quantity.from_str("0.000001"),
    }
    fees = {"maker_fee": Decimal(str(FEE)), "taker_fee": Decimal(str(FEE)), "margin_init": Decimal(0), "margin_maint": Decimal(0)}
    return CurrencyPair(
        InstrumentId(name, SIM), name, base_currency=base, quote_currency=USDT, ts_event=0, ts_init=0, **terms, **fees
    )  # fmt: skip


MARKETS = [instrument(symbol) for symbol in WORK.symbols]
TYPES = [BarType.from_str(f"{market.id}-1-HOUR-LAST-EXTERNAL") for market in MARKETS]
PLACES = {str(kind): place for place, kind in enumerate(TYPES)}


class Rebalancing(Strategy):
    """Decides when the last market of a close has come."""

    def __init__(self):
        super().__init__(StrategyConfig())
        self.each = [Momentum() for _ in MARKETS]
        self.row, self.closes = [None] * len(MARKETS), [0.0] * len(MARKETS)
        self.heard, self.told, self.sent = 0, [], 0

    def on_start(self):
        for kind in TYPES:
            self.subscribe_bars(kind)

    def on_bar(self, bar):
        place = PLACES[str(bar.bar_type)]
        self.closes[place] = close = bar.close.as_double()
        self.row[place] = self.each[place].update(close)
        self.heard += 1
        index, missing = divmod(self.heard, len(MARKETS))
        if not missing and WORK.due(index - 1):
            self.told.append(list(self.row))
            self.rebalance(WORK.targets([row[3] for row in self.row]))

    def rebalance(self, targets):
        held = [float(self.portfolio.net_position(market.id)) for market in MARKETS]
        cash = self.portfolio.account(SIM).balance_total(USDT).as_double()
        equity = cash + sum(amount * close for amount, close in zip(held, self.closes, strict=True))
        for place in sorted(range(len(MARKETS)), key=lambda place: targets[place]):
            market, close, target = MARKETS[place], self.closes[place], targets[place]
            if not moves(held[place] * close / equity, target):
                continue
            change = round(target * equity / close, 6) - held[place]
            if round(abs(change), 6) > 0:
                side = OrderSide.BUY if change > 0 else OrderSide.SELL
                self.submit_order(self.order_factory.market(market.id, side, Quantity(abs(change), 6)))
                self.sent += 1


engine = BacktestEngine(
    BacktestEngineConfig(trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True), run_analysis=False)
)
engine.add_venue(SIM, OmsType.NETTING, AccountType.CASH, starting_balances=[Money(CASH, USDT)], bar_execution=True)
index = pd.to_datetime(WORK.times, unit="ms", utc=True) + pd.Timedelta(hours=1)
bars = []
for place, (market, kind) in enumerate(zip(MARKETS, TYPES, strict=True)):
    engine.add_instrument(market)
    frame = pd.DataFrame(WORK.bars[:, :, place], index=index, columns=COLUMNS)
    bars += BarDataWrangler(kind, market).process(frame)
engine.add_data(sorted(bars, key=lambda bar: bar.ts_init))
strategy = Rebalancing()
engine.add_strategy(strategy)
began = perf_counter()
engine.run()
told(perf_counter() - began, strategy.told, strategy.sent, **version("nautilus_trader", "pandas", "numpy"))
