"""What is told of decisions, of what limits take from them, and of the waves that work them off."""

from collections.abc import Iterable, Mapping
from typing import Final, assert_never

from daemon.core import events as e
from daemon.core.model import Decision, Order, TargetWeights
from daemon.telling.lines import Line, digits

# Five signals of fifty symbols are some 6 kB; journald cuts a line at 48 kB. Beyond, the chosen and kept symbols are told.
SIGNALS_MAX: Final = 50

RollEvent = e.UniverseChosen | e.SymbolWoundDown | e.GroupJudged
DecisionEvent = e.StrategyStarted | e.StrategyDisabled | e.TargetsChosen | e.PlanMade | e.ParentBegun | e.ParentEnded | e.WaveSettled
WaveEvent = DecisionEvent | RollEvent
RiskEvent = e.RiskLimited | e.OrderLimited | e.RiskRefused | e.CorrelationHigh | e.CorrelationCalmed


def note_lines(event: WaveEvent) -> tuple[Line, ...]:
    """What made a strategy decide otherwise than it should."""
    if not isinstance(event, e.TargetsChosen):
        return ()
    noted = [(name, targets.note) for name, targets in sorted(event.decision.by_strategy.items()) if targets.note]
    return tuple(
        Line("warning", "strategy.hindered", {"decision_id": event.decision.id, "strategy": name, "note": note}) for name, note in noted
    )


def wave_line(event: WaveEvent) -> Line:
    """The line of a decision, a plan or the end of a wave."""
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
            fields = {"decision_id": event.decision_id, "attempt": event.attempt, "orders": planned(event.orders), "left": event.left}
            more = {"changed": _weights(event.changed), "needs": event.needs, "worked": event.worked}
            return Line("info", "plan.made", fields | more | ({"funding": event.funding} if event.funding else {}))
        case e.ParentBegun() | e.ParentEnded():
            return _parent(event)
        case e.WaveSettled():
            return Line("info", "wave.settled", _settled(event))
        case e.UniverseChosen() | e.SymbolWoundDown() | e.GroupJudged():
            return _roll(event)
        case _:
            assert_never(event)


def planned(orders: Iterable[Order]) -> list[dict[str, object]]:
    """Orders to be, as a plan names them."""
    return [{"order_id": o.id, "symbol": o.symbol, "side": o.side, "amount": o.amount, "price": o.price} for o in orders]


def _parent(event: e.ParentBegun | e.ParentEnded) -> Line:
    parent = event.parent
    told: dict[str, object] = {"symbol": parent.symbol, "decision_id": parent.decision_id, "side": parent.side, "amount": parent.amount}
    match event:
        case e.ParentBegun():
            terms = {"style": parent.style, "price": parent.price, "until": parent.until, "slices": parent.slices, "attempt": parent.first}
            return Line("info", "parent.begun", told | terms)
        case e.ParentEnded():
            ended = {"filled": event.filled, "made": event.made, "reason": event.reason}
            return Line("info", "parent.ended", told | ended)
        case _:
            assert_never(event)


def _roll(event: RollEvent) -> Line:
    match event:
        case e.UniverseChosen():
            left = {symbol: event.places[symbol].outside for symbol in event.left}
            told = {"as_of": event.as_of, "symbols": event.members, "entered": event.entered, "left": left}
            return Line("info", "universe.chosen", told)
        case e.SymbolWoundDown(symbol=symbol, rest=rest):
            return Line("info", "universe.wound_down", {"symbol": symbol, "rest": rest})
        case e.GroupJudged():
            return _group(event)
        case _:
            assert_never(event)


def _group(event: e.GroupJudged) -> Line:
    told: dict[str, object] = {"decision_id": event.decision_id, "symbols": event.symbols, "apart": event.apart, "behind": event.behind}
    match event.phase:
        case "unbalanced":
            return Line("warning", "group.unbalanced", told)
        case "unwinding":
            return Line("warning", "group.unwinding", told)
        case "stuck":
            return Line("error", "group.stuck", told)
        case _:
            return Line("info", "group.balanced", told)


def risk_line(event: RiskEvent) -> Line:
    """The line of a limit at work."""
    match event:
        case e.RiskLimited():
            told = _cut(event) | {"wanted": digits(event.wanted), "allowed": digits(event.allowed)}
            cluster = {"together": event.together, "correlation": event.correlation} if event.together else {}
            return Line("info", "risk.limited", told | ({"group": event.group} if event.group else {}) | cluster)
        case e.OrderLimited(side=side, wanted=wanted, allowed=allowed):
            return Line("info", "risk.limited", _cut(event) | {"side": side, "amount_wanted": wanted, "amount_allowed": allowed})
        case e.RiskRefused(side=side, amount=amount):
            return Line("warning", "risk.refused", _cut(event) | {"side": side, "amount": amount})
        case e.CorrelationHigh(short=short, long=long):
            return Line("warning", "risk.correlation_high", {"mean_short": digits(short), "mean_long": digits(long)})
        case e.CorrelationCalmed(short=short, long=long):
            return Line("info", "risk.correlation_calmed", {"mean_short": digits(short), "mean_long": digits(long)})
        case _:
            assert_never(event)


def _cut(event: e.RiskLimited | e.OrderLimited | e.RiskRefused) -> dict[str, object]:
    """What every cut says: whose, by which limit, and what that saw."""
    found = None if event.found is None else digits(event.found)
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
        "cost_bps": digits(wave.cost_bps),
        "took_ms": wave.took_ms,
        "cost_parts": {part: digits(bps) for part, bps in wave.cost_parts.items()},
        "maker_ratio": digits(wave.maker_ratio),
        "stages": wave.stages,
    }


def _weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that are not 0, to a hundredth of a basis point: a symbol that is not named is at 0."""
    return {symbol: rounded for symbol, weight in sorted(weights.items()) if (rounded := round(weight, 6))}


def _signals(targets: TargetWeights) -> dict[str, dict[str, float]]:
    told = targets.signals
    if len(told) > SIGNALS_MAX:
        told = {symbol: values for symbol, values in told.items() if targets.weights.get(symbol) or symbol in targets.keep}
    return {symbol: {name: digits(value) for name, value in values.items()} for symbol, values in told.items()}
