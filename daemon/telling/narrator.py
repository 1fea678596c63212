"""Narrator: every event of the bus as log lines, under the stable names of docs/log-events.md.

Rule: a line is a name and facts. Each carries the ids that exist at its point, so that any fill can be joined back to its decision.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final, assert_never

import numpy as np

from daemon.core import events as e
from daemon.core.ledger import FUNDING
from daemon.core.model import Order, Slice
from daemon.core.resolver import BY_HAND
from daemon.core.states import Level
from daemon.telling.lines import Line
from daemon.telling.orders import Known, OrderFact, fill_line, order_id, order_lines
from daemon.telling.waves import note_lines, planned, risk_line, wave_line

# A dozen prices make a demo readable; five hundred in every line make a log unreadable.
PRICES_MAX: Final = 12
# Clocks that differ by more are worth a line: signatures and the ends of bars depend on them.
SKEW_TOLD: Final = timedelta(milliseconds=250)
# Orders remembered for their ids: twenty waves over 500 symbols; a fill later than that is told without its decision.
ORDERS_MAX: Final = 10_000


# What nobody is told of: requests, whose answers are, and facts that are told by what follows from them.
Request = (
    e.SubmitOrders
    | e.QueryOrder
    | e.QueryTrades
    | e.PollAccount
    | e.MeasureClock
    | e.ReadMarkets
    | e.ReadSettings
    | e.ReadTouch
    | e.BookFlows
    | e.BookSleeves
    | e.RecallOrder
)
Untold = (
    e.PriceTicked
    | e.MarkTicked
    | e.FundingTold
    | e.TimePassed
    | e.AskStrategy
    | e.StrategyAnswered
    | e.PlanWave
    | e.TargetsUnchanged
    | e.KeepState
    | e.EquityMarked
    | e.HoldPlaced
    | e.HoldLifted
    | e.TradesListed
    | e.AccountPolled
    | e.MarketsListed
    | e.BalanceMoved
    | e.TouchRead
    | e.OrderRecalled
)
MarketEvent = e.BarClosed | e.StreamLost | e.StreamCaughtUp | e.SliceClosed

AccountEvent = e.ForeignOrdersSeen | e.PollFailed | e.FlowBooked | e.SleevesBooked | e.AccountReconciled | e.DriftFound | e.DriftCleared
TradingEvent = e.TradingStarted | e.Awoken | e.LoopLagged | e.ClockMeasured | e.HoldWritten | e.StopRequested


class Narrator:
    """Tells events one after the other, with what earlier ones said of the same order or stream."""

    def __init__(self, traced: Callable[[e.WaveSettled], e.WaveSettled] = lambda wave: wave) -> None:
        """`traced` completes a settled wave by what was measured of it."""
        self._traced = traced
        self._orders: dict[str, Known] = {}
        self._streams: set[str] = set()

    def remember(self, orders: Iterable[Order]) -> None:
        """Learn orders that were sent before this start, so that their lines carry their decision."""
        for order in orders:
            self._keep(Known(order))

    def __call__(self, event: e.Event) -> tuple[Line, ...]:
        """The lines of one event; most have one, some none."""
        if isinstance(event, e.StreamLost) and event.symbol not in self._streams:
            self._streams.add(event.symbol)
            return ()  # not lost: just being opened
        if isinstance(event, e.SubmitOrders):
            self.remember(event.orders)
        if isinstance(event, e.WaveSettled):
            event = self._traced(event)
        known = self._orders.get(order_id(event))
        lines = narrate(event, known)
        if known is not None:
            self._learn(event, known)
        return lines

    def _learn(self, event: e.Event, known: Known) -> None:
        match event:
            case e.OrderUnknown():
                self._keep(replace(known, phase="unknown"))
            case e.OrderReported() | e.OrderRefused() | e.OrderClosed():
                self._keep(replace(known, phase="acked"))
            case e.OrderNotSent():
                self._keep(replace(known, phase="sent"))
            case _:
                return

    def _keep(self, known: Known) -> None:
        self._orders.pop(known.order.id, None)
        self._orders[known.order.id] = known
        if len(self._orders) > ORDERS_MAX:
            del self._orders[next(iter(self._orders))]


def narrate(event: e.Event, known: Known | None = None) -> tuple[Line, ...]:
    """The lines of one event. `known` is what is remembered of the order it is about, None for an order that is not ours."""
    if isinstance(event, Request | Untold):
        return ()
    if isinstance(event, OrderFact | e.OrderFilled):
        return (fill_line(event.fill, known),) if isinstance(event, e.OrderFilled) else order_lines(event, known)
    match event:
        case e.BarClosed() | e.StreamLost() | e.StreamCaughtUp() | e.SliceClosed():
            return _market(event)
        case (
            e.StrategyStarted()
            | e.StrategyDisabled()
            | e.TargetsChosen()
            | e.PlanMade()
            | e.ParentBegun()
            | e.ParentEnded()
            | e.WaveSettled()
            | e.UniverseChosen()
            | e.SymbolWoundDown()
            | e.GroupJudged()
        ):
            return (*note_lines(event), wave_line(event))
        case (
            e.ForeignOrdersSeen()
            | e.PollFailed()
            | e.FlowBooked()
            | e.SleevesBooked()
            | e.AccountReconciled()
            | e.DriftFound()
            | e.DriftCleared()
        ):
            return (_account(event),)
        case e.RiskLimited() | e.OrderLimited() | e.RiskRefused() | e.CorrelationHigh() | e.CorrelationCalmed():
            return (risk_line(event),)
        case e.TradingStarted() | e.Awoken() | e.LoopLagged() | e.ClockMeasured() | e.HoldWritten() | e.StopRequested():
            return (_trading(event),)
        case e.MarginLow() | e.MarginRestored() | e.MarksLost() | e.MarksBack():
            return (_margin(event),)
        case e.RebalanceRequested() | e.ApprovalAsked() | e.ApprovalGiven() | e.ApprovalLapsed():
            return (_person(event),)
        case _:
            assert_never(event)


def _margin(event: e.MarginLow | e.MarginRestored | e.MarksLost | e.MarksBack) -> Line:
    if isinstance(event, e.MarksLost):
        return Line("warning", "marks.lost", {"symbols": list(event.symbols)})
    if isinstance(event, e.MarksBack):
        return Line("info", "marks.back", {})
    if isinstance(event, e.MarginRestored):
        return Line("info", "margin.restored", {})
    told = {"symbol": event.symbol, "distance": float(event.distance), "least": float(event.least)}
    return Line("error", "margin.reducing", told) if event.reduces else Line("warning", "margin.low", told)


def _trading(event: TradingEvent) -> Line:
    match event:
        case e.LoopLagged() | e.ClockMeasured():
            return _measured(event)
        case e.TradingStarted():
            return Line("info", "trading.started", {})
        case e.Awoken(missed=missed):
            return Line("warning", "daemon.awoke", {"missed_s": round(missed.total_seconds(), 1)})
        case e.HoldWritten(change=change):
            return _held(change)
        case e.StopRequested():
            return Line("info", "daemon.stopping", {})
        case _:
            assert_never(event)


def _person(event: e.RebalanceRequested | e.ApprovalAsked | e.ApprovalGiven | e.ApprovalLapsed) -> Line:
    match event:
        case e.RebalanceRequested(by=by):
            return Line("info", "rebalance.requested", {"by": by})
        case e.ApprovalAsked():
            fields = {"decision_id": event.decision_id, "orders": planned(event.orders), "left": event.left, "until": event.until}
            return Line("warning", "approval.asked", fields)
        case e.ApprovalGiven(decision_id=decision_id, by=by):
            return Line("info", "approval.given", {"decision_id": decision_id, "by": by})
        case e.ApprovalLapsed(decision_id=decision_id):
            return Line("warning", "approval.lapsed", {"decision_id": decision_id})
        case _:
            assert_never(event)


def _measured(event: e.LoopLagged | e.ClockMeasured) -> Line:
    """What was measured of loop and clocks; of clocks that agree only at debug."""
    match event:
        case e.LoopLagged(lag=lag):
            return Line("warning", "loop.lag", {"lag_ms": round(lag.total_seconds() * 1000)})
        case e.ClockMeasured(offset=offset, uncertainty=uncertainty):
            told = {"offset_ms": round(offset.total_seconds() * 1000), "uncertainty_ms": round(uncertainty.total_seconds() * 1000)}
            if abs(offset) - uncertainty > SKEW_TOLD:
                return Line("warning", "clock.skewed", told)
            return Line("debug", "clock.measured", told)
        case _:
            assert_never(event)


def _held(change: e.HoldPlaced | e.HoldLifted) -> Line:
    if isinstance(change, e.HoldLifted):
        return Line("info", "trading.resumed", {"scope": str(change.scope), "code": change.code, "by": change.by})
    hold = change.hold
    until: dict[str, object] = {} if hold.until is None else {"until": hold.until}
    told = {"scope": str(hold.scope), "code": hold.code, "reason": hold.text, "by": hold.by} | until
    match hold.level:
        case Level.HALTED:
            return Line("error", "trading.halted", told)
        case Level.FLATTENING:
            return Line("warning", "trading.flattening", told)
        case Level.PAUSED:
            return Line("warning", "trading.paused", told)
        case _:
            return Line("warning", "trading.reducing", told)


# --- market data -----------------------------------------------------------------------------------------------------


def _market(event: MarketEvent) -> tuple[Line, ...]:
    match event:
        case e.BarClosed(bar=bar):
            return (
                Line("debug", "bar.closed", {"symbol": bar.symbol, "closes_at": bar.closes_at, "close": bar.close, "volume": bar.volume}),
            )
        case e.StreamLost(symbol=symbol, reason=reason):
            return (Line("warning", "stream.stale", {"symbol": symbol, "reason": reason}),)
        case e.StreamCaughtUp(symbol=symbol, filled=0):
            return (Line("info", "stream.connected", {"symbol": symbol}),)
        case e.StreamCaughtUp(symbol=symbol, filled=filled):
            return (Line("info", "stream.gap_filled", {"symbol": symbol, "bars": filled}),)
        case e.SliceClosed(slice=slice_):
            return _slice(slice_)
        case _:
            assert_never(event)


def _slice(slice_: Slice) -> tuple[Line, ...]:
    few = len(slice_.symbols) <= PRICES_MAX
    closed = {"closes_at": slice_.closes_at, "coverage": slice_.coverage, "symbols": len(slice_.symbols)}
    lines = (Line("info", "slice.closed", closed | ({"prices": slice_.prices()} if few else {})),)
    missing = [slice_.symbols[i] for i in np.flatnonzero(slice_.age != 0)]
    if not missing:
        return lines
    return (*lines, Line("warning", "slice.incomplete", {"closes_at": slice_.closes_at, "missing": missing}))


# --- the account -----------------------------------------------------------------------------------------------------


def _account(event: AccountEvent) -> Line:
    match event:
        case e.ForeignOrdersSeen(orders=orders):
            return Line("warning", "account.foreign_orders", {"orders": orders})
        case e.PollFailed(text=text):
            return Line("warning", "account.poll_failed", {"text": text})
        case e.FlowBooked(flow=flow):
            fields = {"currency": flow.currency, "amount": flow.amount, "kind": flow.kind, "flow_id": flow.id, "seen_at": flow.at}
            fields |= {"symbol": flow.symbol} if flow.symbol else {}
            return Line("info", "funding.booked", fields) if flow.kind == FUNDING else Line("info", "flow.booked", fields)
        case e.SleevesBooked(booking=booking):
            entries = [{"sleeve": each.sleeve, "currency": each.currency, "amount": each.amount} for each in booking.entries]
            return Line("info", "sleeves.booked", {"booking_id": booking.id, "kind": booking.kind, "entries": entries})
        case e.AccountReconciled(differences=differences, asked_at=asked_at):
            return Line("info", "account.reconciled", {"asked_at": asked_at, "differences": differences})
        case e.DriftFound(currency=currency, amount=amount, order_id=order_id):
            text = f"order {order_id}, of which nobody knows what became of it, may have made it; {BY_HAND.format(order_id)}"
            more = {"order_id": order_id, "text": text} if order_id else {}
            return Line("warning", "drift.found", {"currency": currency, "amount": amount, **more})
        case e.DriftCleared(currency=currency):
            return Line("info", "drift.cleared", {"currency": currency})
        case _:
            assert_never(event)
