"""A board of breakers over a small account, for their tests: time, bars, ticks and refusals come as the test says."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from math import nan
from typing import Any, Final

import numpy as np

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.breakers import Action, Breakers, Rule, Rules, SpikeRule
from daemon.core.curves import Curves
from daemon.core.ledger import Ledger
from daemon.core.model import Flow, Slice
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.core.states import ACCOUNT, Level, Scope, States
from tests.core.builders import after, market, order

BTC, ETH, USDC = "BTC/USDT", "ETH/USDT", "USDC/USDT"
SYMBOLS: Final = (BTC, ETH, USDC)
MINUTE: Final = timedelta(minutes=1)
CALM: Final = timedelta(seconds=30)


class Desk:
    """A board over an account of 1000 USDT; what it places and lifts is in force at once, as the manager would have it."""

    def __init__(self, **rules: Any) -> None:
        self.states, self.ledger, self.table = States(), Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        self.account.markets = {s: market(s) for s in SYMBOLS}
        self.portfolio = Portfolio((), self.ledger, self.table)
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        self.breakers = Breakers(Rules(**rules), self.states, self.account, self.curves, self.table, SYMBOLS, MINUTE)
        self.account.believes = self.breakers.believes
        self.told: list[e.Event] = []
        self.at = 0.0
        self.slices: list[Slice] = []  # as they came
        self.flow("USDT", "1000", "opening")

    def take(self, events: Iterable[e.Event]) -> None:
        for event in list(events):
            self.told.append(event)
            if isinstance(event, e.HoldPlaced):
                self.states.place(event.hold)
            if isinstance(event, e.HoldLifted):
                self.lift(event.code, event.scope, event.by)

    def lift(self, code: str, scope: Scope = ACCOUNT, by: str = "me") -> None:
        event = e.HoldLifted(scope, code, by, after(self.at))
        self.take(self.breakers.on_lifted(event))
        self.states.lift(scope, code)

    def flow(self, currency: str, amount: str, kind: str = "transfer") -> None:
        flow = Flow(f"{kind}-{currency}-{len(self.told)}-{self.at}", currency, Decimal(amount), kind, after(self.at))
        self.take(self.portfolio.on_flow(e.FlowBooked(flow, after(self.at))))
        self.take(self.curves.on_flow(e.FlowBooked(flow, after(self.at))))

    def wait(self, seconds: float) -> None:
        end = self.at + seconds
        while self.at < end:
            self.at = min(end, self.at + 1.0)
            self.take(self.breakers.on_time(e.TimePassed(after(self.at))))

    def bar(self, seconds: float = 60.0, **closes: float) -> None:
        """The next slice; a symbol that is not named has no bar."""
        self.at += seconds
        row = np.array([closes.get(s.partition("/")[0], nan) for s in SYMBOLS])
        age = np.where(np.isnan(row), 1, 0)
        self.slices.append(Slice(after(self.at), SYMBOLS, np.tile(row, (5, 1)), age > 0, age))
        closed = self.breakers.judged(self.slices[-1])
        event = e.SliceClosed(closed, after(self.at))
        for handle in (self.account.on_slice, self.curves.on_slice, self.breakers.on_slice):
            self.take(handle(event))

    def tick(self, symbol: str, price: float) -> None:
        event = e.PriceTicked(symbol, price, after(self.at))
        self.take(self.account.on_tick(event))
        self.take(self.breakers.on_tick(event))

    def refused(self, symbol: str = BTC, code: str = "venue_filter") -> None:
        made = order(f"r{len(self.told)}-{self.at}-{symbol}-{self.table.moved_at}", symbol, at=after(self.at))
        if self.table.get(made.id) is None:
            self.table.add(made)
        self.take(self.breakers.on_order(e.OrderRefused(made.id, code, "no", after(self.at))))
        self.at += 0.001

    def level(self, scope: Scope = ACCOUNT) -> Level:
        return self.states.level(scope)


def rule(limit: float, action: Action = Action.REDUCE, cool_down: timedelta = CALM) -> Rule:
    return Rule(limit=limit, action=action, cool_down=cool_down)


def drifts(desk: Desk, quiet: bool = True, **amounts: str) -> None:
    """The account was compared with the ledger; what is not named agrees."""
    differences = {currency: Decimal(amount) for currency, amount in amounts.items()}
    desk.take(desk.breakers.on_reconciled(e.AccountReconciled(differences, after(desk.at), after(desk.at), quiet=quiet)))


SPIKE: Final = SpikeRule(factor=20.0, floor=0.25)


def steady(desk: Desk) -> None:
    for k in range(30):
        desk.bar(BTC=100.0 + k % 2, ETH=10.0, USDC=1.0)
