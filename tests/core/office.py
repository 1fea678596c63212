"""An office around a reconciler: an account whose balances, trades and orders a test decides."""

from collections.abc import Iterable
from decimal import Decimal

from daemon.core.events import (
    AccountPolled,
    BookFlows,
    Event,
    FlowBooked,
    OrderFilled,
    OrderRecalled,
    QueryTrades,
    RecallOrder,
    TradesListed,
)
from daemon.core.ledger import Ledger
from daemon.core.model import AccountSnapshot, Balance, Fill, Flow, OrderReport, Side, currencies
from daemon.core.ordertable import OrderTable
from daemon.core.reconciler import Foreign, PositionReconciler
from tests.core.builders import after, fill, order


class Office:
    """A reconciler whose questions are answered: trades are listed, flows are booked, polls come every three seconds."""

    symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")
    open_orders: tuple[OrderReport, ...] = ()

    def __init__(self, *, open_account: bool = True, foreign: Foreign = Foreign.RINGFENCE) -> None:
        self.ledger, self.table = Ledger(), OrderTable()
        self.reconciler = PositionReconciler(self.symbols, self.ledger, self.table, foreign=foreign)
        self.at = 0.0
        self.balances = {"USDT": Decimal(1000), "BTC": Decimal(1), "ETH": Decimal(0), "DOGE": Decimal(7)}
        self.trades: list[Fill] = []
        self.answers = True
        self.remembers: bool | None = True  # whether the venue still knows our orders; None: it does not answer
        self.out: list[Event] = []
        if open_account:
            self.poll()
            self.poll()

    def take(self, events: Iterable[Event]) -> None:
        for event in list(events):
            self.out.append(event)
            match event:
                case BookFlows():
                    for flow in event.flows:
                        self.ledger.flow(flow)
                        self.take(self.reconciler.on_flow(FlowBooked(flow, after(self.at))))
                case QueryTrades() if self.answers:
                    for trade in self.trades:
                        if trade.symbol in event.symbols and not self.ledger.has_trade(trade.symbol, trade.trade_id):
                            self.filled(trade)
                    self.take(self.reconciler.on_listed(TradesListed(event.symbols, event.since, after(self.at))))
                case RecallOrder() if self.remembers is not None:
                    asked = after(self.at)
                    self.take(self.reconciler.on_recalled(OrderRecalled(event.fill.order_id, self.remembers, asked, asked)))
                case _:
                    pass

    def filled(self, trade: Fill) -> None:
        self.ledger.book(trade, ours=bool(trade.order_id))
        self.take(self.reconciler.on_fill(OrderFilled(trade, after(self.at))))

    def poll(self, took: float = 0.0, /, **shown: str) -> None:
        """A poll that took so many seconds, with some balances shown otherwise than they are."""
        self.at += 3
        asked_at, self.at = self.at, self.at + took
        balances = {c: Balance(amount, Decimal(0)) for c, amount in self.balances.items()}
        balances.update({c: Balance(Decimal(amount), Decimal(0)) for c, amount in shown.items()})
        snapshot = AccountSnapshot(balances, self.open_orders, after(asked_at), after(self.at))
        self.take(self.reconciler.on_polled(AccountPolled(snapshot, after(self.at))))

    def polls(self, count: int, **shown: str) -> None:
        for _ in range(count):
            self.poll(**shown)

    def trade(self, symbol: str = "BTC/USDT", side: Side = Side.BUY, amount: str = "0.5", *, told: bool = True) -> Fill:
        """A trade happens at the venue; `told`: we hear of it."""
        made = fill(order(f"r{self.at}", symbol, side, amount), trade_id=f"t{self.at}", at=after(self.at))
        base, quote = currencies(symbol)
        self.balances[base] += side.sign * made.amount
        self.balances[quote] -= side.sign * made.cost
        self.trades.append(made)
        if told:
            self.filled(made)
        return made

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.out if isinstance(event, kind)]

    def flows(self) -> list[Flow]:
        return [flow for event in self.out if isinstance(event, BookFlows) for flow in event.flows if flow.kind != "opening"]

    @property
    def agreed(self) -> bool:
        return all(self.ledger.held(c) == self.balances.get(c, 0) for c in ("USDT", "BTC", "ETH"))
