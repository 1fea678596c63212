"""Tables: what the journal has, kind by kind and row by row, for whoever takes it elsewhere.

Rule: every row is checked as it is read, oldest first, and no more than one is in memory: there may be years of them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from daemon.core.events import EquityMarked, RiskLimited, WaveSettled
from daemon.core.ledger import FUNDING
from daemon.core.model import Decision, Order
from daemon.io.journal.codec import moment, wave_from_json
from daemon.io.journal.errors import READ_ERRORS, known
from daemon.io.journal.facts import OrderCut, PlanRecord
from daemon.io.journal.reader import Reader
from daemon.io.journal.rows import (
    decision_from,
    equity_from,
    fill_from,
    flow_from,
    limited_from,
    order_cut_from,
    order_from,
    planned_from,
    unsealed,
)
from daemon.io.journal.tape import Taped, taped

Line = Mapping[str, object]
T = TypeVar("T")

_ORDERS: Final = "SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders ORDER BY seq"
_FILLS: Final = (
    """SELECT order_id, venue_id, trade_id, symbol, side, amount, price, cost, fees, at, known_at, seal FROM fills ORDER BY seq"""
)
_FLOWS: Final = "SELECT id, currency, amount, kind, at, known_at, seal FROM flows ORDER BY seq"
_PLANS: Final = "SELECT decision_id, kind, payload, at, seal FROM decision_events WHERE kind = 'PlanMade' ORDER BY seq"

_WAVES: Final = "SELECT decision_id, payload, at, seal FROM waves ORDER BY seq"
_CUTS: Final = "SELECT decision_id, kind, payload, at, seal FROM decision_events WHERE kind {} ORDER BY seq"


class Tables(Reader):
    """A journal that is read from its beginning to its end, kind by kind."""

    def orders_told(self) -> Iterator[Line]:
        """Every order with what became of it."""
        for order in self._stream(_ORDERS, order_from):
            record = self._record(self._with_terms(order))
            yield {
                "at": order.at,
                "id": order.id,
                "symbol": order.symbol,
                "side": order.side.value,
                "amount": order.amount,
                "price": order.price,
                "limit": record.order.limit,
                "filled": record.filled,
                "cost": record.cost,
                "state": record.state,
                "reason": record.reason,
                "closed_at": record.closed_at,
                "decision_id": order.decision_id,
            }

    def fills_told(self) -> Iterator[Line]:
        """Every trade."""
        for fill in self._stream(_FILLS, fill_from):
            yield {
                "at": fill.at,
                "trade_id": fill.trade_id,
                "order_id": fill.order_id,
                "symbol": fill.symbol,
                "side": fill.side.value,
                "amount": fill.amount,
                "price": fill.price,
                "cost": fill.cost,
                "fees": " ".join(f"{fee.amount:f} {fee.currency}" for fee in fill.fees),
            }

    def decisions_told(self) -> Iterator[Line]:
        """Every decision, a row for each symbol that it gives a weight."""
        for decision in self.every_decision():
            for symbol, weight in decision.weights.items():
                head = {"at": decision.at, "as_of": decision.as_of, "id": decision.id, "cause": decision.cause.value}
                yield {**head, "symbol": symbol, "weight": weight}

    def equity_told(self) -> Iterator[Line]:
        """What the account was worth."""
        for marked in self.every_mark():
            money = {"equity": marked.equity, "cash": marked.cash, "contributed": marked.contributed}
            yield {"at": marked.at, **money, "gross": marked.gross, "net": marked.net, "drawdown": marked.drawdown}

    def flows_told(self) -> Iterator[Line]:
        """What came and went without a trade, but for funding."""
        return self._flow_lines(funding=False)

    def funding_told(self) -> Iterator[Line]:
        """What longs and shorts of swaps have paid each other."""
        return self._flow_lines(funding=True)

    def every_decision(self) -> Iterator[Decision]:
        """Every decision as it was made."""
        return self._stream("SELECT id, as_of, payload, at, seal FROM decisions ORDER BY seq", decision_from)

    def every_order(self) -> Iterator[Order]:
        """Every order as it was meant."""
        return self._stream(_ORDERS, order_from)

    def every_mark(self) -> Iterator[EquityMarked]:
        """What the account was worth at every close."""
        return self._stream("SELECT at, payload, seal FROM equity ORDER BY at", equity_from) if self._has("equity") else iter(())

    def every_wave(self) -> Iterator[WaveSettled]:
        """What became of every decision that was worked off; of a decision that was twice, both."""
        for decision_id, payload, at in self._stream(_WAVES, lambda row, path: unsealed("waves", row, path)):
            yield wave_from_json(self._decision(decision_id), payload, moment(at))

    def every_cut(self) -> Iterator[RiskLimited | OrderCut]:
        """What limits have made of wishes: of weights, then of orders."""
        if self._has("decision_events"):
            yield from self._stream(_CUTS.format("= 'RiskLimited'"), limited_from)
            yield from self._stream(_CUTS.format("IN ('OrderLimited', 'RiskRefused')"), order_cut_from)

    def plans(self) -> Iterator[tuple[str, PlanRecord]]:
        """Every plan with its decision's id."""
        if self._has("decision_events"):
            for row in self._connection.execute(_PLANS):
                yield row[0], planned_from(row, self._path)

    def tapes(self) -> Iterator[tuple[int, datetime, Taped | None]]:
        """Every run: its number, when it began, and what it was shown; None where that is not kept."""
        if self._has("tapes"):
            yield from ((run_id, moment(started), shown) for run_id, started, shown in taped(self._connection, self._path))

    def reloads(self) -> list[datetime]:
        """When a person has had the configuration read again."""
        rows = self._connection.execute("SELECT at FROM commands WHERE verb = 'reload' ORDER BY at") if self._has("commands") else ()
        return [moment(at) for (at,) in rows]

    def orders_by_id(self, order_ids: tuple[str, ...]) -> Iterator[Order]:
        """Orders as they were planned, with their terms, in this order; those that are there."""
        question = "SELECT id, symbol, side, amount, price, reserve, decision_id, attempt, at, seal FROM orders WHERE id = ?"
        for order_id in order_ids:
            yield from map(self._with_terms, self._all(question, order_from, order_id))

    def _flow_lines(self, *, funding: bool) -> Iterator[Line]:
        symbols = {flow.id: flow.symbol for flow in self._flows() if flow.symbol}
        for flow in self._stream(_FLOWS, flow_from):
            if (flow.kind == FUNDING) is funding:
                yield {
                    "at": flow.at,
                    "id": flow.id,
                    "kind": flow.kind,
                    "currency": flow.currency,
                    "amount": flow.amount,
                    "symbol": symbols.get(flow.id),
                }

    def _stream(self, question: str, parse: Callable[..., T]) -> Iterator[T]:
        with closing(self._connection.execute(question)) as rows:
            for row in rows:
                yield parse(row, self._path)


TABLES: Final[Mapping[str, Callable[[Tables], Iterator[Line]]]] = {
    "orders": Tables.orders_told,
    "fills": Tables.fills_told,
    "decisions": Tables.decisions_told,
    "equity": Tables.equity_told,
    "flows": Tables.flows_told,
    "funding": Tables.funding_told,
}


def each_table(path: Path, names: tuple[str, ...], take: Callable[[str, Iterator[Line]], None]) -> None:
    """Hand the rows of these tables to `take`, one table after the other, all of one moment.

    Raises:
        JournalDamaged: a row is not as it was written.
        JournalFailed: the file is missing or cannot be read.
    """
    try:
        with Tables(path) as tables:
            for name in names:
                take(name, TABLES[name](tables))
    except READ_ERRORS as error:
        raise known(path, error) from error
