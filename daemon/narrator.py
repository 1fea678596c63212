"""Narrator: every event of the bus as log lines, under the stable names of docs/log-events.md.

Rule: a line is a name and facts. Each carries the ids that exist at its point, so that any fill can be joined back to its decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal, assert_never

import numpy as np

from daemon.core import events as e
from daemon.core.model import Decision, Fill, Order, OrderReport, Slice, Status, TargetWeights
from daemon.core.states import Level

Severity = Literal["debug", "info", "warning", "error"]

# A dozen prices make a demo readable; five hundred in every line make a log unreadable.
PRICES_MAX: Final = 12
# Five signals of fifty symbols are some 6 kB; journald cuts a line at 48 kB. Beyond, the chosen and kept symbols are told.
SIGNALS_MAX: Final = 50
# Clocks that differ by more are worth a line: signatures and the ends of bars depend on them.
SKEW_TOLD: Final = timedelta(milliseconds=250)
# Orders remembered for their ids: twenty waves over 500 symbols; a fill later than that is told without its decision.
ORDERS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """One log line: level, stable name, facts."""

    level: Severity
    name: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Known:
    """What the narrator remembers of an order: itself, and whether the venue has told of it (`acked`) or nobody knows (`unknown`)."""

    order: Order
    phase: Literal["sent", "acked", "unknown"] = "sent"

    @property
    def ids(self) -> dict[str, object]:
        """The ids that every line of the order carries."""
        return {"symbol": self.order.symbol, "order_id": self.order.id, "decision_id": self.order.decision_id}


# What nobody is told of: requests, whose answers are, and facts that are told by what follows from them.
Request = e.SubmitOrders | e.QueryOrder | e.QueryTrades | e.PollAccount | e.MeasureClock | e.ReadMarkets | e.BookFlows | e.BookSleeves
Untold = (
    e.PriceTicked
    | e.TimePassed
    | e.AskStrategy
    | e.StrategyAnswered
    | e.PlanWave
    | e.TargetsUnchanged
    | e.KeepState
    | e.HoldPlaced
    | e.HoldLifted
    | e.TradesListed
    | e.AccountPolled
    | e.MarketsListed
    | e.BalanceMoved
)
MarketEvent = e.BarClosed | e.StreamLost | e.StreamCaughtUp | e.SliceClosed
WaveEvent = e.StrategyStarted | e.StrategyDisabled | e.TargetsChosen | e.PlanMade | e.WaveSettled
RiskEvent = e.RiskLimited | e.OrderLimited | e.RiskRefused | e.CorrelationHigh | e.CorrelationCalmed
OrderFact = (
    e.OrderSent
    | e.OrderReported
    | e.OrderRefused
    | e.OrderNotSent
    | e.OrderUnknown
    | e.OrderNotFound
    | e.OrderGivenUp
    | e.OrderClosed
    | e.CancelOrder
)
AccountEvent = e.ForeignOrdersSeen | e.PollFailed | e.FlowBooked | e.SleevesBooked | e.AccountReconciled | e.DriftFound | e.DriftCleared
TradingEvent = e.TradingStarted | e.LoopLagged | e.ClockMeasured | e.HoldWritten | e.StopRequested


class Narrator:
    """Tells events one after the other, with what earlier ones said of the same order or stream."""

    def __init__(self) -> None:
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
        known = self._orders.get(_order_id(event))
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


def _order_id(event: e.Event) -> str:
    match event:
        case e.OrderReported(report=report):
            return report.order_id
        case e.OrderFilled(fill=fill):
            return fill.order_id
        case _:
            return getattr(event, "order_id", "")


def narrate(event: e.Event, known: Known | None = None) -> tuple[Line, ...]:
    """The lines of one event. `known` is what is remembered of the order it is about, None for an order that is not ours."""
    if isinstance(event, Request | Untold):
        return ()
    if isinstance(event, OrderFact):
        return _order(event, known)
    match event:
        case e.BarClosed() | e.StreamLost() | e.StreamCaughtUp() | e.SliceClosed():
            return _market(event)
        case e.StrategyStarted() | e.StrategyDisabled() | e.TargetsChosen() | e.PlanMade() | e.WaveSettled():
            return (*_notes(event), _wave(event))
        case e.OrderFilled(fill=fill):
            return (_filled(fill, known),)
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
            return (_risk(event),)
        case e.TradingStarted() | e.LoopLagged() | e.ClockMeasured() | e.HoldWritten() | e.StopRequested():
            return (_trading(event),)
        case e.RebalanceRequested() | e.ApprovalAsked() | e.ApprovalGiven() | e.ApprovalLapsed():
            return (_person(event),)
        case _:
            assert_never(event)


def _trading(event: TradingEvent) -> Line:
    match event:
        case e.LoopLagged() | e.ClockMeasured():
            return _measured(event)
        case e.TradingStarted():
            return Line("info", "trading.started", {})
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
            fields = {"decision_id": event.decision_id, "orders": _planned(event.orders), "left": event.left, "until": event.until}
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


# --- decisions and waves ---------------------------------------------------------------------------------------------


def _notes(event: WaveEvent) -> tuple[Line, ...]:
    """What made a strategy decide otherwise than it should."""
    if not isinstance(event, e.TargetsChosen):
        return ()
    noted = [(name, targets.note) for name, targets in sorted(event.decision.by_strategy.items()) if targets.note]
    return tuple(
        Line("warning", "strategy.hindered", {"decision_id": event.decision.id, "strategy": name, "note": note}) for name, note in noted
    )


def _wave(event: WaveEvent) -> Line:
    match event:
        case e.StrategyStarted(name=name, need=need):
            return Line("info", "strategy.started", {"strategy": name, "need": need})
        case e.StrategyDisabled(name=name, problem=problem):
            return Line("error", "strategy.disabled", {"strategy": name, "problem": problem})
        case e.TargetsChosen(decision=decision):
            signals = {name: _signals(targets) for name, targets in decision.by_strategy.items()}
            told = _chosen(decision) | {"cause": decision.cause, "keep": decision.keep, "signals": signals}
            return Line("info", "targets.chosen", told)
        case e.PlanMade():
            fields = {"decision_id": event.decision_id, "attempt": event.attempt, "orders": _planned(event.orders), "left": event.left}
            return Line("info", "plan.made", fields | {"changed": _weights(event.changed), "needs": event.needs})
        case e.WaveSettled():
            return Line("info", "wave.settled", _settled(event))
        case _:
            assert_never(event)


def _planned(orders: Iterable[Order]) -> list[dict[str, object]]:
    return [{"order_id": o.id, "symbol": o.symbol, "side": o.side, "amount": o.amount, "price": o.price} for o in orders]


def _risk(event: RiskEvent) -> Line:
    match event:
        case e.RiskLimited():
            told = _cut(event) | {"wanted": _digits(event.wanted), "allowed": _digits(event.allowed)}
            cluster = {"together": event.together, "correlation": event.correlation} if event.together else {}
            return Line("info", "risk.limited", told | ({"group": event.group} if event.group else {}) | cluster)
        case e.OrderLimited(side=side, wanted=wanted, allowed=allowed):
            return Line("info", "risk.limited", _cut(event) | {"side": side, "amount_wanted": wanted, "amount_allowed": allowed})
        case e.RiskRefused(side=side, amount=amount):
            return Line("warning", "risk.refused", _cut(event) | {"side": side, "amount": amount})
        case e.CorrelationHigh(short=short, long=long):
            return Line("warning", "risk.correlation_high", {"mean_short": _digits(short), "mean_long": _digits(long)})
        case e.CorrelationCalmed(short=short, long=long):
            return Line("info", "risk.correlation_calmed", {"mean_short": _digits(short), "mean_long": _digits(long)})
        case _:
            assert_never(event)


def _cut(event: e.RiskLimited | e.OrderLimited | e.RiskRefused) -> dict[str, object]:
    """What every cut says: whose, by which limit, and what that saw."""
    found = None if event.found is None else _digits(event.found)
    return {"symbol": event.symbol, "decision_id": event.decision_id, "reason": event.reason, "found": found, "most": event.most}


def _chosen(decision: Decision) -> dict[str, object]:
    return {"decision_id": decision.id, "as_of": decision.as_of, "targets": _weights(decision.weights)}


def _settled(wave: e.WaveSettled) -> dict[str, object]:
    held = {symbol: wave.targets.get(symbol, 0.0) + off for symbol, off in wave.off_target.items()}
    return _chosen(wave.decision) | {
        "targets": _weights(wave.targets),
        "holdings": _weights(held),
        "equity": wave.equity,
        "sent": wave.sent,
        "filled": wave.filled,
        "refused": wave.refused,
        "left": wave.left,
        "off_target": _weights(wave.off_target),
        "cost_bps": _digits(wave.cost_bps),
        "took_ms": wave.took_ms,
        "cost_parts": {part: _digits(bps) for part, bps in wave.cost_parts.items()},
    }


def _weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that are not 0, to a hundredth of a basis point: a symbol that is not named is at 0."""
    return {symbol: rounded for symbol, weight in sorted(weights.items()) if (rounded := round(weight, 6))}


def _signals(targets: TargetWeights) -> dict[str, dict[str, float]]:
    told = targets.signals
    if len(told) > SIGNALS_MAX:
        told = {symbol: values for symbol, values in told.items() if targets.weights.get(symbol) or symbol in targets.keep}
    return {symbol: {name: _digits(value) for name, value in values.items()} for symbol, values in told.items()}


def _digits(value: float) -> float:
    """Six significant digits, as many as a reader compares."""
    return float(f"{value:.6g}")


# --- orders ----------------------------------------------------------------------------------------------------------


def _order(event: OrderFact, known: Known | None) -> tuple[Line, ...]:
    ids = known.ids if known else {"order_id": _order_id(event)}
    match event:
        case e.OrderSent():
            return (Line("info", "order.submitted", ids | _terms(known)),)
        case e.OrderReported():
            return _reported(event.report, event.how, known)
        case e.OrderRefused(code=code, text=text):
            return (Line("warning", "order.rejected", ids | {"reason": code, "text": text}),)
        case e.OrderNotSent(text=text):
            return (Line("warning", "order.not_sent", ids | {"text": text}),)
        case e.OrderUnknown(text=text):
            return (Line("warning", "order.unknown", ids | {"text": text}),)
        case e.OrderNotFound():
            return (Line("debug", "order.not_found", ids),)
        case e.OrderGivenUp(by=by):
            return (Line("warning", "order.given_up", ids | {"by": by}),)
        case e.OrderClosed():
            return _closed(event, known)
        case e.CancelOrder(symbol=symbol):
            return (Line("info", "order.cancel_requested", ids | {"symbol": symbol}),)
        case _:
            assert_never(event)


def _terms(known: Known | None) -> dict[str, object]:
    if known is None:
        return {}
    order = known.order
    return {"side": order.side, "amount": order.amount, "price": order.price, "attempt": order.attempt, "limit": order.limit}


def _reported(report: OrderReport, how: str, known: Known | None) -> tuple[Line, ...]:
    """News only: polls and the user stream describe the same order again and again, and orders that are not ours too."""
    if known is None or known.phase == "acked":
        return ()
    fields = known.ids | {"venue_id": report.venue_id, "status": report.status, "filled": report.filled, "how": how}
    if known.phase == "unknown":
        return (Line("info", "order.resolved", fields),)
    if report.status is Status.REJECTED:
        return (Line("warning", "order.rejected", fields),)
    return (Line("info", "order.accepted", fields),)


def _closed(event: e.OrderClosed, known: Known | None) -> tuple[Line, ...]:
    ids = {"symbol": event.symbol, "order_id": event.order_id} | (known.ids if known else {})
    price = {"average": round(event.cost / event.filled, 8)} if event.filled else {}
    why = {"reason": event.reason} if event.reason else {}
    closed = Line("info", "order.closed", ids | {"state": event.state, "filled": event.filled, "cost": event.cost} | price | why)
    if known is None or known.phase != "unknown":
        return (closed,)
    return (Line("info", "order.resolved", ids | {"status": event.state, "filled": event.filled, "how": event.reason or "trades"}), closed)


def _filled(fill: Fill, known: Known | None) -> Line:
    ids = {"symbol": fill.symbol, "order_id": fill.order_id} | (known.ids if known else {})
    fees = [{"amount": fee.amount, "currency": fee.currency} for fee in fill.fees]
    trade = {"side": fill.side, "amount": fill.amount, "price": fill.price, "cost": fill.cost, "fees": fees}
    return Line("info", "order.filled", ids | trade | {"trade_id": fill.trade_id, "venue_id": fill.venue_id, "traded_at": fill.at})


# --- the account -----------------------------------------------------------------------------------------------------


def _account(event: AccountEvent) -> Line:
    match event:
        case e.ForeignOrdersSeen(orders=orders):
            return Line("warning", "account.foreign_orders", {"orders": orders})
        case e.PollFailed(text=text):
            return Line("warning", "account.poll_failed", {"text": text})
        case e.FlowBooked(flow=flow):
            fields = {"currency": flow.currency, "amount": flow.amount, "kind": flow.kind, "flow_id": flow.id, "seen_at": flow.at}
            return Line("info", "flow.booked", fields)
        case e.SleevesBooked(booking=booking):
            entries = [{"sleeve": each.sleeve, "currency": each.currency, "amount": each.amount} for each in booking.entries]
            return Line("info", "sleeves.booked", {"booking_id": booking.id, "kind": booking.kind, "entries": entries})
        case e.AccountReconciled(differences=differences, asked_at=asked_at):
            return Line("info", "account.reconciled", {"asked_at": asked_at, "differences": differences})
        case e.DriftFound(currency=currency, amount=amount):
            return Line("warning", "drift.found", {"currency": currency, "amount": amount})
        case e.DriftCleared(currency=currency):
            return Line("info", "drift.cleared", {"currency": currency})
        case _:
            assert_never(event)
