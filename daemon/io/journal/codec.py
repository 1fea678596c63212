"""Codec: values of core to JSON and back, exactly.

Rule: Decimals are text and keep their digits, moments are integer microseconds since 1970 UTC, floats come back bit for bit.
Every type is written out: what is on disk does not change because a class did.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Final, assert_never

from daemon.core.events import (
    EquityMarked,
    GroupJudged,
    HoldLifted,
    HoldPlaced,
    OrderClosed,
    OrderGivenUp,
    OrderLimited,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    PlanMade,
    RiskLimited,
    RiskRefused,
    WaveSettled,
)
from daemon.core.model import EPOCH, Booking, Cause, Decision, Entry, Fill, Money, OrderReport, Side, Status, TargetWeights
from daemon.core.states import Hold, Level, Scope
from daemon.core.styles import Parent, Style
from daemon.io.journal.facts import DecisionFact, HoldFact, OrderCut, OrderFact, PlanRecord

Json = Mapping[str, Any]


_MICROSECOND: Final = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC. TypeError: the moment has no time zone."""
    return (moment - EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The moment `value` microseconds after 1970-01-01 UTC."""
    return EPOCH + value * _MICROSECOND


def dump(value: object) -> str:
    """Compact JSON. TypeError: something in it is not JSON, such as a numpy integer."""
    return json.dumps(value, separators=(",", ":"))


# --- fills and reports -----------------------------------------------------------------------------------------------


def fees_to_json(fees: tuple[Money, ...]) -> str:
    """Fees as [[amount, currency], ...]."""
    return dump([[str(fee.amount), fee.currency] for fee in fees])


def fees_from_json(text: str) -> tuple[Money, ...]:
    """The inverse of `fees_to_json`."""
    return tuple(Money(Decimal(amount), currency) for amount, currency in json.loads(text))


def _fill_to(fill: Fill) -> Json:
    return {
        "order_id": fill.order_id,
        "venue_id": fill.venue_id,
        "trade_id": fill.trade_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "amount": str(fill.amount),
        "price": str(fill.price),
        "cost": str(fill.cost),
        "fees": [[str(fee.amount), fee.currency] for fee in fill.fees],
        "at": micros(fill.at),
    } | ({} if fill.realised is None else {"realised": str(fill.realised)})


def _fill_from(value: Json) -> Fill:
    return Fill(
        order_id=value["order_id"],
        venue_id=value["venue_id"],
        trade_id=value["trade_id"],
        symbol=value["symbol"],
        side=Side(value["side"]),
        amount=Decimal(value["amount"]),
        price=Decimal(value["price"]),
        cost=Decimal(value["cost"]),
        fees=tuple(Money(Decimal(amount), currency) for amount, currency in value["fees"]),
        at=moment(value["at"]),
        realised=Decimal(value["realised"]) if "realised" in value else None,
    )


def _report_to(report: OrderReport) -> Json:
    return {
        "venue_id": report.venue_id,
        "symbol": report.symbol,
        "side": report.side.value,
        "status": report.status.value,
        "amount": str(report.amount),
        "filled": str(report.filled),
        "cost": str(report.cost),
        "at": micros(report.at),
        "fills": [_fill_to(fill) for fill in report.fills],
    }


def _report_from(order_id: str, value: Json) -> OrderReport:
    return OrderReport(
        order_id=order_id,
        venue_id=value["venue_id"],
        symbol=value["symbol"],
        side=Side(value["side"]),
        status=Status(value["status"]),
        amount=Decimal(value["amount"]),
        filled=Decimal(value["filled"]),
        cost=Decimal(value["cost"]),
        at=moment(value["at"]),
        fills=tuple(_fill_from(fill) for fill in value["fills"]),
    )


# --- what is known of an order ---------------------------------------------------------------------------------------


def order_id_of(fact: OrderFact) -> str:
    """Whose life the fact belongs to."""
    return fact.report.order_id if isinstance(fact, OrderReported) else fact.order_id


def order_fact_to_json(fact: OrderFact) -> str:
    """What a fact says beyond its type, order and moment, which have columns of their own."""
    match fact:
        case OrderSent():
            return dump({})
        case OrderReported(report, how):
            return dump({"how": how, "report": _report_to(report)})
        case OrderRefused(_, code, text):
            return dump({"code": code, "text": text})
        case OrderNotSent(_, text) | OrderUnknown(_, text):
            return dump({"text": text})
        case OrderNotFound(_, asked_at):
            return dump({"asked_at": micros(asked_at)})
        case OrderGivenUp(_, by):
            return dump({"by": by})
        case OrderClosed(_, symbol, state, filled, cost):
            return dump({"symbol": symbol, "state": state, "filled": str(filled), "cost": str(cost), "reason": fact.reason})
    assert_never(fact)


_ORDER_FACTS: Final[Mapping[str, Callable[[str, Json, datetime], OrderFact]]] = {
    "OrderSent": lambda order_id, _, at: OrderSent(order_id, at),
    "OrderReported": lambda order_id, value, at: OrderReported(_report_from(order_id, value["report"]), value["how"], at),
    "OrderRefused": lambda order_id, value, at: OrderRefused(order_id, value["code"], value["text"], at),
    "OrderNotSent": lambda order_id, value, at: OrderNotSent(order_id, value["text"], at),
    "OrderUnknown": lambda order_id, value, at: OrderUnknown(order_id, value["text"], at),
    "OrderNotFound": lambda order_id, value, at: OrderNotFound(order_id, moment(value["asked_at"]), at),
    "OrderGivenUp": lambda order_id, value, at: OrderGivenUp(order_id, value["by"], at),
    "OrderClosed": lambda order_id, value, at: OrderClosed(
        order_id, value["symbol"], value["state"], Decimal(value["filled"]), Decimal(value["cost"]), at, value["reason"]
    ),
}


def order_fact_from_json(kind: str, order_id: str, text: str, at: datetime) -> OrderFact:
    """The inverse of `order_fact_to_json`; `kind` is the name of the fact's type."""
    return _ORDER_FACTS[kind](order_id, json.loads(text), at)


# --- decisions -------------------------------------------------------------------------------------------------------


def _targets_to(targets: TargetWeights) -> Json:
    return {
        "weights": dict(targets.weights),
        "keep": sorted(targets.keep),
        "signals": {symbol: dict(by_name) for symbol, by_name in targets.signals.items()},
        "note": targets.note,
        **({"groups": targets.groups} if targets.groups else {}),
        **({} if targets.whole is None else {"whole": dict(targets.whole)}),
    }


def _targets_from(value: Json) -> TargetWeights:
    groups = tuple(map(tuple, value.get("groups", ())))  # a journal may be older than these and the note
    kept, note, whole = frozenset(value["keep"]), value.get("note", ""), value.get("whole")
    return TargetWeights(value["weights"], kept, value["signals"], note, groups, whole)


def decision_to_json(decision: Decision) -> str:
    """What a decision says beyond its id and moments, which have columns of their own."""
    return dump({
        "weights": dict(decision.weights),
        "keep": sorted(decision.keep),
        "by_strategy": {name: _targets_to(targets) for name, targets in decision.by_strategy.items()},
        "cause": decision.cause.value,
        "exits_until": None if decision.exits_until is None else micros(decision.exits_until),
        "shares": dict(decision.shares),
        **({} if decision.universe is None else {"universe": sorted(decision.universe)}),
    })  # fmt: skip


def decision_from_json(decision_id: str, as_of: datetime, text: str, at: datetime) -> Decision:
    """The inverse of `decision_to_json`."""
    value = json.loads(text)
    by_strategy = {name: _targets_from(targets) for name, targets in value["by_strategy"].items()}
    until = value.get("exits_until")  # a journal may be older than this and the cause
    universe = value.get("universe")
    return Decision(
        decision_id,
        as_of,
        value["weights"],
        frozenset(value["keep"]),
        by_strategy,
        at,
        Cause(value.get("cause", Cause.DUE)),
        None if until is None else moment(until),
        value.get("shares", {}),
        None if universe is None else frozenset(universe),
    )


def decision_fact_to_json(fact: DecisionFact) -> str:
    """What a limit or a plan says beyond its type, decision and moment; a plan names its orders, which have rows of their own."""
    match fact:
        case RiskLimited(_, symbol, wanted, allowed, reason):
            saw = {"found": _finite(fact.found), "most": _finite(fact.most), "group": fact.group, "together": fact.together}
            told = {"symbol": symbol, "wanted": wanted, "allowed": allowed, "reason": reason, "correlation": fact.correlation}
            return dump(told | saw)
        case OrderLimited(_, symbol, side, wanted, allowed, reason, found, most):
            amounts = {"wanted": str(wanted), "allowed": str(allowed)}
            return dump({"symbol": symbol, "side": side.value, "reason": reason, "found": _finite(found), "most": _finite(most)} | amounts)
        case RiskRefused(_, symbol, side, amount, reason, found, most):
            saw = {"found": _finite(found), "most": _finite(most)}
            return dump({"symbol": symbol, "side": side.value, "reason": reason, "amount": str(amount)} | saw)
        case GroupJudged(_, symbols, phase, apart, behind):
            return dump({"symbols": symbols, "phase": phase, "apart": str(apart), "behind": behind})
        case PlanMade(_, attempt, orders, left):
            return dump({
                "attempt": attempt,
                "orders": [order.id for order in orders],
                "left": dict(left),
                "changed": dict(fact.changed),
                **{name: {s: str(money) for s, money in each.items()} for name, each in (("needs", fact.needs), ("funding", fact.funding))},
                "inputs": fact.inputs.text() if fact.inputs else "",
            })  # fmt: skip
    assert_never(fact)


def _finite(number: float | None) -> float | None:
    """JSON knows no infinity: what a limit could not measure is null."""
    return number if number is not None and isfinite(number) else None


def limited_from_json(decision_id: str, text: str, at: datetime) -> RiskLimited:
    """The limit on a weight of a `decision_fact_to_json`."""
    value = json.loads(text)
    return RiskLimited(
        decision_id,
        value["symbol"],
        value["wanted"],
        value["allowed"],
        value["reason"],
        at,
        # A journal may be older than what follows.
        found=value.get("found"),
        most=value.get("most"),
        group=value.get("group", ""),
        together=tuple(value.get("together", ())),
        correlation=value.get("correlation"),
    )


def order_cut_from_json(decision_id: str, text: str, at: datetime) -> OrderCut:
    """The limit on an order of a `decision_fact_to_json`."""
    value = json.loads(text)
    symbol, side, reason, found, most = value["symbol"], Side(value["side"]), value["reason"], value["found"], value["most"]
    if "allowed" in value:
        return OrderLimited(decision_id, symbol, side, Decimal(value["wanted"]), Decimal(value["allowed"]), reason, found, most, at)
    return RiskRefused(decision_id, symbol, side, Decimal(value["amount"]), reason, found, most, at)


def group_from_json(decision_id: str, text: str, at: datetime) -> GroupJudged:
    """The word on a group of a `decision_fact_to_json`."""
    value = json.loads(text)
    return GroupJudged(decision_id, tuple(value["symbols"]), value["phase"], Decimal(value["apart"]), tuple(value["behind"]), at)


def planned_from_json(text: str, at: datetime) -> PlanRecord:
    """The plan of a `decision_fact_to_json`."""
    value = json.loads(text)
    needs, funding = ({s: Decimal(money) for s, money in value.get(name, {}).items()} for name in ("needs", "funding"))  # it may be older
    more = value.get("changed", {}), needs, value.get("inputs", ""), funding
    return PlanRecord(value["attempt"], tuple(value["orders"]), value["left"], at, *more)


# --- holds and sleeves -----------------------------------------------------------------------------------------------


def _scope_to(scope: Scope) -> Json:
    return {"strategy": scope.strategy, "symbol": scope.symbol}


def hold_fact_to_json(fact: HoldFact) -> str:
    """What a hold that was placed or lifted says beyond its type and moment."""
    match fact:
        case HoldPlaced(hold):
            until = None if hold.until is None else micros(hold.until)
            terms = {"level": hold.level.told, "code": hold.code, "text": hold.text, "since": micros(hold.since), "by": hold.by}
            return dump({"scope": _scope_to(hold.scope), **terms, "until": until})
        case HoldLifted(scope, code, by):
            return dump({"scope": _scope_to(scope), "code": code, "by": by})
    assert_never(fact)


def hold_fact_from_json(kind: str, text: str, at: datetime) -> HoldFact:
    """The inverse of `hold_fact_to_json`; `kind` is the name of the fact's type."""
    value = json.loads(text)
    scope = Scope(**value["scope"])
    if kind == HoldLifted.__name__:
        return HoldLifted(scope, value["code"], value["by"], at)
    hold = Hold(
        scope=scope,
        level=Level[value["level"].upper()],
        code=value["code"],
        text=value["text"],
        since=moment(value["since"]),
        by=value["by"],
        until=None if value["until"] is None else moment(value["until"]),
    )
    return HoldPlaced(hold, at)


def booking_to_json(booking: Booking) -> str:
    """The lines of a booking as [[sleeve, currency, amount], ...]."""
    return dump([[entry.sleeve, entry.currency, str(entry.amount)] for entry in booking.entries])


def booking_from_json(booking_id: str, kind: str, text: str, at: datetime) -> Booking:
    """The inverse of `booking_to_json`."""
    entries = tuple(Entry(sleeve, currency, Decimal(amount)) for sleeve, currency, amount in json.loads(text))
    return Booking(booking_id, kind, entries, at)


def split_to_json(split: Mapping[str, Decimal]) -> str:
    """For whom an order trades, by sleeve."""
    return dump({sleeve: str(amount) for sleeve, amount in split.items()})


def split_from_json(text: str) -> dict[str, Decimal]:
    """The inverse of `split_to_json`."""
    return {sleeve: Decimal(amount) for sleeve, amount in json.loads(text).items()}


def parent_to_json(parent: Parent) -> str:
    """What a parent says beyond its decision and the moment it began."""
    return dump({
        "symbol": parent.symbol,
        "side": parent.side.value,
        "first": parent.first,
        "amount": str(parent.amount),
        "price": str(parent.price),
        "style": parent.style.value,
        "until": micros(parent.until),
        "slices": parent.slices,
        "interval": parent.interval // _MICROSECOND,
    })  # fmt: skip


def parent_from_json(decision_id: str, text: str, at: datetime) -> Parent:
    """The inverse of `parent_to_json`."""
    value = json.loads(text)
    return Parent(
        decision_id=decision_id,
        symbol=value["symbol"],
        side=Side(value["side"]),
        first=value["first"],
        amount=Decimal(value["amount"]),
        price=Decimal(value["price"]),
        style=Style(value["style"]),
        at=at,
        until=moment(value["until"]),
        slices=value["slices"],
        interval=value["interval"] * _MICROSECOND,
    )


# --- waves -----------------------------------------------------------------------------------------------------------


def wave_to_json(wave: WaveSettled) -> str:
    """What a settled wave says beyond its decision and moment."""
    return dump({
        "targets": dict(wave.targets),
        "equity": str(wave.equity),
        "sent": wave.sent, "filled": wave.filled,
        "refused": dict(wave.refused),
        "left": dict(wave.left),
        "off_target": dict(wave.off_target),
        "cost_bps": wave.cost_bps,
        "took_ms": wave.took_ms,
        "cost_parts": dict(wave.cost_parts),
        "maker_ratio": wave.maker_ratio,
        "stages": dict(wave.stages),
    })  # fmt: skip


def wave_from_json(decision: Decision, text: str, at: datetime) -> WaveSettled:
    """The inverse of `wave_to_json`."""
    value = json.loads(text)
    return WaveSettled(
        decision=decision,
        targets=value["targets"],
        equity=Decimal(value["equity"]),
        sent=value["sent"],
        filled=value["filled"],
        **{name: value[name] for name in ("refused", "left")},
        off_target=value["off_target"],
        cost_bps=value["cost_bps"],
        took_ms=value["took_ms"],
        at=at,
        cost_parts=value.get("cost_parts", {}),  # a journal may be older than these three
        maker_ratio=value.get("maker_ratio", 0.0),
        stages=value.get("stages", {}),
    )


def equity_to_json(marked: EquityMarked) -> str:
    """What the account was worth, but for the moment."""
    money = {name: str(getattr(marked, name)) for name in _EQUITY_MONEY}
    return dump(money | {name: getattr(marked, name) for name in _EQUITY_NUMBERS})


def equity_from_json(text: str, at: datetime) -> EquityMarked:
    """The inverse of `equity_to_json`."""
    value = json.loads(text)
    return EquityMarked(**value | {name: Decimal(value[name]) for name in _EQUITY_MONEY}, at=at)


_EQUITY_MONEY: Final = ("equity", "cash", "contributed")
_EQUITY_NUMBERS: Final = ("gross", "net", "value", "drawdown")
