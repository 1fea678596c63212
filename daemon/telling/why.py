"""Why: the story of one decision for one symbol, from its signals to its trades, put together from the journal.

Rule: it tells what was written at the time and infers nothing; what is not known (yet) is null. The stable codes are told as they are,
beside words for a person.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, assert_never

from daemon.core.bonds import merged
from daemon.core.events import (
    OrderClosed,
    OrderGivenUp,
    OrderLimited,
    OrderNotFound,
    OrderNotSent,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    RiskLimited,
    RiskRefused,
)
from daemon.core.model import ZERO, Decision, TargetWeights, currencies
from daemon.io.journal import DecisionStory, OrderFact, OrderStory, ask

Row = Mapping[str, object]
Keeping = Callable[[str], Sequence[Mapping[str, Any]]]

# What the codes of limits and plans mean, in the words of the runbook; a code that is not here speaks for itself.
WORDS: Final[Mapping[str, str]] = {
    "not_finite": "the strategy's answer was no number, or one beyond sense",
    "unknown_symbol": "the account does not trade this symbol",
    "short_on_spot": "nothing can be sold on spot that is not held",
    "weight_max": "no symbol may hold more (risk.weight_max)",
    "risk_unknown": "there are too few bars to measure the risk, so nothing may grow (risk.volatility_max, risk.correlated_group_max)",
    "funding_max": "a position of it would pay too much funding, so it does not grow (risk.funding_max)",
    "sector_max": "its sector may hold no more (risk.sector_max)",
    "group_max": "its group may hold no more (risk.groups)",
    "correlated_group_max": "it moves together with others, and they count as one position (risk.correlated_group_max)",
    "positions_max": "so many symbols may be held, and others were wanted more (risk.positions_max)",
    "concentration_max": "the largest weights were lowered to one level (risk.concentration_max)",
    "gross": "all weights together were above the limit, so each was scaled down (risk.gross)",
    "net_max": "longs and shorts were too far apart, so the larger side was scaled down (risk.net_max)",
    "cash_min": "a part of the capital stays in cash (risk.cash_min)",
    "volatility_max": "the portfolio would have been too volatile, so each weight was scaled down (risk.volatility_max)",
    "correlation_high": "everything moves together just now, so each weight is scaled down (risk.correlation_scale)",
    "price_deviation_max": "its price was too far from the last bar's close to be believed (risk.price_deviation_max)",
    "self_trade": "an order of ours on the other side has not ended",
    "orders_per_minute": "there were too many orders in the last minute (risk.orders_per_minute)",
    "liquidation_min": "more would bring a position too near its liquidation (risk.liquidation_min)",
    "liquidation_room": "the order would have brought a position too near its liquidation (risk.liquidation_min)",
    "order_notional_max": "no order may be larger; another round does the rest (risk.order_notional_max)",
    "volume_share_max": "it would have been too much of the market's volume; the next bar brings more (risk.volume_share_max)",
    "day_notional_max": "the orders of a day may be worth no more (risk.day_notional_max)",
    "turnover_day_max": "a day may trade no more of the account (risk.turnover_day_max)",
    "in_band": "it is close enough to its target (execution.band)",
    "kept": "it had no bar or too little history in the deciding slice, so its present weight stays",
    "below_minimum": "the order would be smaller than the exchange takes",
    "small_account": "its target is worth less than the exchange takes: the account is too small for so many targets",
    "raised": "it holds part of what was meant for targets that are too small for the exchange (execution.raise_max)",
    "step": "the exchange trades it in steps larger than what is missing",
    "fee_reserve": "so much of it is kept to pay fees with (execution.fee_reserve)",
    "no_rate": "what its quote currency is worth is not known",
    "dust": "what is left of it is less than the exchange lets be sold",
    "no_price": "it has never had a price",
    "stale_price": "its last price is too old to trade on",
    "not_tradable": "the exchange has closed this market",
    "unfunded": "there was not enough money for it",
    "locked": "what would be sold stands in somebody else's order",
    "amount_max": "the exchange takes no larger order; another round does the rest",
    "order_unknown": "nobody knew what became of its order; once that is known, what is missing follows, unless a newer decision is due",
    "order_open": "its order has not ended",
    "unfilled": "its order ended, or its time was over, before it was filled",
    "would_cross": "it was to rest in the book, and the market had come too near for that",
    "price_cap": "the market had too little of it near enough to its price (execution.price_cap)",
    "drift": "the account differs from the books, in its currency or in too much, so it may only shrink",
    "not_sent": "the exchange could not be reached",
    "superseded": "a newer decision came first",
    "cooldown": "it was traded too short a time ago (execution.cooldown)",
    "turnover_max": "one rebalance may trade only so much (execution.turnover_max)",
    "shadow": "mode shadow sends nothing",
    "pause": "somebody has paused it",
    "flatten": "somebody has flattened it",
    "exclude": "somebody has excluded it",
    "credentials": "trading was halted, because the exchange refuses the credentials",
    "unexplained_drift": "trading was halted, because the account held something that nothing explains (reconcile.foreign: halt)",
    "foreign_orders": "trading was halted, because orders of other hands stood in the account (reconcile.foreign: halt)",
    "venue_forgot": "trading was halted, because the exchange knew nothing of our orders any more",
    "other_instance": "trading was halted, because another instance of this program traded on the account",
    "redenominated": "its price stood where that of another coin, or of another unit of it, would; somebody must look",
    "account_emptied": "trading was halted, because the account holds nothing of what the journal knows",
    "excluded": "it is left out by name (universe.select.exclude)",
    "market_closed": "the exchange has closed its market",
    "silent": "it has had no bar for too long (bars.synthetic_max)",
    "young": "it has not been traded for long enough (universe.select.min_age)",
    "cold": "no strategy has history enough of it",
    "rank": "others are traded more (universe.select.top)",
    "group": "it moves in step with the legs that belong to it, and one of them is not there (execution.groups)",
    "group_pause": "its group was taken back a short time ago, and waits (execution.groups.pause)",
    "moved": "prices have moved, or money has come or gone, since it was planned",
    "drawdown": "the account had fallen too far from its highest value (risk.breakers.drawdown)",
    "daily_loss": "the account had lost too much since the day began (risk.breakers.daily_loss)",
    "rejects": "too many orders in a row had been refused (risk.breakers.rejects)",
    "unknown_order": "nobody knew for too long what became of an order (risk.breakers.unknown_order)",
    "stale_data": "too many symbols had no data (risk.breakers.stale_data)",
    "price_spike": "its price had jumped so far that it waits for the next bar to confirm it (risk.breakers.price_spike)",
    "peg": "the quote currency was off its peg (risk.breakers.peg)",
    "clock_skew": "the clock of this machine differed too much from the exchange's (risk.breakers.clock_skew)",
    "loop_lag": "the program had stood still for too long (risk.breakers.loop_lag)",
}


class NoSuchDecision(Exception):
    """Nothing like that is in the journal. Its text is one sentence."""


def from_journal(path: Path, asked: str, decision_id: str | None, symbols: Sequence[str], apart: Keeping = lambda _: ()) -> Row:
    """The story out of the file alone, while no daemon runs (or one does: reading holds up nobody). `apart`: what is kept of a symbol.

    Raises:
        NoSuchDecision: the symbol is not in the universe, or no such decision in the journal.
        JournalError: the file cannot be read, or not be trusted.
    """
    symbol = match(asked, symbols)
    if symbol is None:
        raise NoSuchDecision(f"{asked} is not in the universe, which has {', '.join(symbols)}")
    told = ask(path, lambda reader: reader.story(symbol, decision_id))
    if told.decision is None and decision_id is not None:
        raise NoSuchDecision(f"{path}: there is no decision {decision_id} in this journal")
    return story(symbol, told, told.decision, None, apart(symbol))


def match(asked: str, symbols: Sequence[str]) -> str | None:
    """The symbol that somebody means: as it is written, in any case, or by its base alone where that names one. None: there is none."""
    wanted = asked.upper().replace("-", "/").replace("_", "/")
    for candidates in ([s for s in symbols if s.upper() == wanted], [s for s in symbols if s.upper().split("/")[0] == wanted]):
        if len(candidates) == 1:
            return candidates[0]
    return None


def story(symbol: str, told: DecisionStory, decision: Decision | None, now: Row | None, apart: Sequence[Mapping[str, Any]] = ()) -> Row:
    """Everything in one mapping.

    `decision`: the one asked for, which may not be in the journal yet; None: there has been none. `now`: the holding at this moment, where
    a daemon knows it. `apart`: what of it is counted and not traded, as `apart.rows` tells.
    """
    kept = "".join(f"; {row['amount'].normalize():f} of it is kept apart: {row['says']}" for row in apart)
    present = {"kept_apart": apart, "now": _present(now)}
    if decision is None:
        return {"symbol": symbol, "decision_id": None, "summary": f"there has been no decision yet{kept}", **present}
    wanted = decision.weights.get(symbol, 0.0)
    limits = _limits(told.limits)
    allowed = limits[-1].allowed if limits else wanted
    target = told.wave.targets.get(symbol, 0.0) if told.wave else allowed
    left = _left(symbol, told)
    crossed = _crossed(symbol, told)
    return {
        "symbol": symbol,
        "decision_id": decision.id,
        "as_of": decision.as_of,
        "decided_at": decision.at,
        "cause": decision.cause.value,
        "exits_until": decision.exits_until,
        "summary": _summary(symbol, decision, told, wanted, target, left) + kept,
        "in_universe": _inside(symbol, decision),
        "strategies": _strategies(symbol, decision, crossed),
        "wanted": wanted,
        "kept": symbol in decision.keep,
        "limits": [_limit(cut) for cut in limits],
        "order_limits": [_order_limit(cut) for cut in told.order_cuts],
        "target": target,
        "plans": _plans(symbol, told),
        "crossed": crossed,
        "group": _group(symbol, decision, told),
        "left": left,
        "left_says": says(left) if left else None,
        "orders": [_order(order) for order in told.orders],
        "settled": _settled(symbol, told),
        **present,
    }


def _present(now: Row | None) -> Row | None:
    """The holding at this moment, and in words what restricts its symbol, or keeps it out of the universe, if anything does."""
    if now is None:
        return None
    worded = {f"{key}_says": says(str(now[key])) for key in ("hold", "outside") if now.get(key)}
    return {**now, **worded}


def _inside(symbol: str, decision: Decision) -> bool:
    """Whether a decision chose among symbols of which this was one."""
    return decision.universe is None or symbol in decision.universe


def says(code: str) -> str:
    """A stable code in words."""
    return WORDS.get(code, code.replace("_", " "))


# --- what was wanted -------------------------------------------------------------------------------------------------


def _strategies(symbol: str, decision: Decision, crossed: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row a strategy: its share, the weight it asked for (of its own capital), what it crossed inside, and the signals behind it."""
    return [
        {
            "name": name,
            "share": decision.shares.get(name),
            "weight": targets.weights.get(symbol, 0.0),
            "crossed": sum((row["amounts"].get(name, ZERO) for row in crossed), ZERO),
            "kept": symbol in targets.keep,
            "note": targets.note,
            "signals": _signals(symbol, targets),
        }
        for name, targets in sorted(decision.by_strategy.items())
    ]


def _crossed(symbol: str, told: DecisionStory) -> list[dict[str, Any]]:
    """One row a cross: its price, and the base units that each sleeve got (above 0) or gave."""
    base, quote = currencies(symbol)
    rows: list[dict[str, Any]] = []
    for booking in told.crossed:
        coins = {entry.sleeve: entry.amount for entry in booking.entries if entry.currency == base}
        paid = sum((entry.amount for entry in booking.entries if entry.currency == quote and entry.amount > 0), ZERO)
        got = sum((amount for amount in coins.values() if amount > 0), ZERO)
        if got:
            rows.append({"at": booking.at, "amount": got, "price": paid / got, "amounts": coins})
    return rows


def _signals(symbol: str, targets: TargetWeights) -> list[Row]:
    """The symbol's own signals with their rank among all symbols, and those of what it belongs to: its pairs, and every sector."""
    rows: list[Row] = []
    for of, values in targets.signals.items():
        if of == symbol:
            rows += [{"of": of, "name": name, "value": value, **_rank(name, value, targets)} for name, value in values.items()]
        elif concerns(of, symbol):
            rows += [{"of": of, "name": name, "value": value} for name, value in values.items()]
    return rows


def concerns(of: str, symbol: str) -> bool:
    """Whether numbers told of something (a pair, a sector, `*`) are about a symbol too."""
    return of == "*" or "/" not in of or symbol in of.split("|")


def _rank(name: str, value: float, targets: TargetWeights) -> Row:
    """1 is the highest of all symbols that have this signal."""
    values = [each[name] for each in targets.signals.values() if name in each]
    return {"rank": 1 + sum(1 for other in values if other > value), "of_how_many": len(values)}


# --- what became of it -----------------------------------------------------------------------------------------------


def _limits(told: Sequence[RiskLimited]) -> list[RiskLimited]:
    """Each limit's last word: a restart cuts again."""
    return list({cut.reason: cut for cut in told}.values())


def _limit(cut: RiskLimited) -> Row:
    cluster = {"together": list(cut.together), "correlation": cut.correlation} if cut.together else {}
    group = {"group": cut.group} if cut.group else {}
    return {"reason": cut.reason, "says": says(cut.reason), "wanted": cut.wanted, "allowed": cut.allowed, **_saw(cut), **group, **cluster}


def _order_limit(cut: OrderLimited | RiskRefused) -> Row:
    """What a limit took away from an order; where it refused it, nothing is allowed."""
    wanted, allowed = (cut.wanted, cut.allowed) if isinstance(cut, OrderLimited) else (cut.amount, ZERO)
    return {"reason": cut.reason, "says": says(cut.reason), "side": cut.side.value, "wanted": wanted, "allowed": allowed, **_saw(cut)}


def _saw(cut: RiskLimited | OrderLimited | RiskRefused) -> Row:
    """What the limit saw, where how much is allowed; null in a journal of before."""
    return {"found": cut.found, "most": cut.most, "at": cut.at}


def _plans(symbol: str, told: DecisionStory) -> list[Row]:
    """One row a round: its orders, and those of them that first waited for the money which sells would bring."""
    rows: list[Row] = []
    for plan, next_one in zip_longest(told.plans, told.plans[1:]):
        end = next_one.at if next_one else None
        orders = [o.record.order for o in told.orders if plan.at <= o.record.order.at and (end is None or o.record.order.at < end)]
        rows.append({
            "attempt": plan.attempt,
            "at": plan.at,
            "orders": [order.id for order in orders],
            "waited": [order.id for order in orders if order.id not in plan.orders],
            "left": plan.left.get(symbol),
            "target": plan.changed.get(symbol),
            "needs_equity": plan.needs.get(symbol),
            "funding": plan.funding.get(symbol),
            "inputs": plan.fingerprint,
        })  # fmt: skip
    return rows


def _group(symbol: str, decision: Decision, told: DecisionStory) -> Row | None:
    """The legs that it belongs to, and what was said of them together; null where it stands for itself."""
    symbols = next((group for group in merged(decision.groups) if symbol in group), None)
    if symbols is None:
        return None
    facts = [{"at": fact.at, "phase": fact.phase, "apart": fact.apart, "behind": fact.behind} for fact in told.groups]
    return {"symbols": symbols, "facts": facts}


def _left(symbol: str, told: DecisionStory) -> str | None:
    """Why it is not at its target, by the last word on it: of the settled wave, or of the newest plan while there is none."""
    if told.wave is not None:
        return told.wave.refused.get(symbol) or told.wave.left.get(symbol)
    return told.plans[-1].left.get(symbol) if told.plans else None


def _order(told: OrderStory) -> Row:
    record, order = told.record, told.record.order
    return {
        "id": order.id,
        "side": order.side.value,
        "amount": order.amount,
        "for": dict(order.split),
        "price": order.price,
        "limit": order.limit,
        "attempt": order.attempt,
        "at": order.at,
        "state": record.state,
        "reason": record.reason or "",
        "filled": record.filled,
        "average": record.cost / record.filled if record.filled else None,
        "cost": record.cost,
        "facts": _facts(told.facts),
        "fills": [
            {
                "id": fill.trade_id,
                "at": fill.at,
                "amount": fill.amount,
                "price": fill.price,
                "fees": [{"amount": fee.amount, "currency": fee.currency} for fee in fill.fees],
            }
            for fill in told.fills
        ],
    }


def _facts(facts: Sequence[OrderFact]) -> list[Row]:
    """What became known, in order. A report is news if it says more than those before it: they overtake one another on their ways."""
    rows: list[Row] = []
    most = (False, Decimal(-1))
    for fact in facts:
        if isinstance(fact, OrderReported):
            known = (fact.report.status.ended, fact.report.filled)
            if known[0] <= most[0] and known[1] <= most[1]:
                continue
            most = (known[0] or most[0], max(known[1], most[1]))
        elif isinstance(fact, OrderUnknown):
            most = (False, Decimal(-1))  # whatever is heard next ends the doubt
        rows.append({"at": fact.at, **_fact(fact)})
    return rows


def _fact(fact: OrderFact) -> Row:
    match fact:
        case OrderSent():
            return {"what": "sent", "text": ""}
        case OrderReported(report):
            return {"what": report.status.value, "text": f"filled {report.filled.normalize():f} of {report.amount.normalize():f}"}
        case OrderRefused(_, code, text):
            return {"what": "refused", "text": f"{code}: {text}"}
        case OrderNotSent(_, text):
            return {"what": "not sent", "text": text}
        case OrderUnknown(_, text):
            return {"what": "unknown", "text": text}
        case OrderNotFound():
            return {"what": "looked for", "text": "not found"}
        case OrderGivenUp(_, by):
            return {"what": "given up", "text": f"{by} has found it nowhere at the exchange"}
        case OrderClosed(_, _, state):
            return {"what": "closed", "text": f"{state}{f', {fact.reason}' if fact.reason else ''}"}
    assert_never(fact)


def _settled(symbol: str, told: DecisionStory) -> Row | None:
    wave = told.wave
    if wave is None:
        return None
    off = wave.off_target.get(symbol)
    holding = None if off is None else wave.targets.get(symbol, 0.0) + off
    return {"at": wave.at, "equity": wave.equity, "holding": holding, "off_target": off, "refused": wave.refused.get(symbol)}


# --- in one sentence -------------------------------------------------------------------------------------------------


def _summary(symbol: str, decision: Decision, told: DecisionStory, wanted: float, target: float, left: str | None) -> str:
    """From the wish to the end."""
    if symbol in decision.keep:
        parts = [f"kept as it was: {WORDS['kept']}"]
    else:
        asked = [name for name, targets in sorted(decision.by_strategy.items()) if targets.weights.get(symbol)]
        others = "no strategy wanted it" if _inside(symbol, decision) else "it was not in the universe"
        parts = [f"{' and '.join(asked)} wanted {wanted:.2%}" if asked else others]
        cuts = [cut.reason for cut in _limits(told.limits)]
        if cuts:
            parts.append(f"{' and '.join(cuts)} left {target:.2%}")
    parts += [f"{row['amount'].normalize():f} changed hands inside at {float(row['price']):.8g}" for row in _crossed(symbol, told)]
    parts += [_traded(order) for order in told.orders]
    if told.groups:
        parts.append(f"its group was {', then '.join(fact.phase for fact in told.groups)}")
    if left and symbol not in decision.keep:
        need = told.plans[-1].needs.get(symbol) if told.plans else None
        more = f"; it needs an equity of {need:f}" if need is not None and left == "small_account" else ""
        parts.append(f"{'no order' if not told.orders else 'not all the way'}: {says(left)}{more}")
    elif not told.orders and not told.plans and told.wave is None:
        parts.append("nothing has been planned for it yet")
    return "; ".join(parts)


def _traded(told: OrderStory) -> str:
    record, order = told.record, told.record.order
    verb = {"buy": "bought", "sell": "sold"}[order.side.value]
    if record.filled > ZERO:
        return f"{verb} {record.filled.normalize():f} of {order.amount.normalize():f} at {float(record.cost / record.filled):.8g}"
    how = record.state or "has not ended"
    return f"the order to {order.side.value} {order.amount.normalize():f} {how}{f' ({record.reason})' if record.reason else ''}"
