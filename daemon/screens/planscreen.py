"""The plan of one decision, as a table for people and as a mapping for scripts."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from daemon.core.funding import FundingRate
from daemon.core.model import ZERO, Side
from daemon.screens import cells
from daemon.telling.views import hold_row
from daemon.telling.why import WORDS
from daemon.tools.planning import Planned, Row

HOUR: Final = timedelta(hours=1)


def screen(plan: Planned, quote: str) -> RenderableType:
    """Head, a row a symbol, what it comes to, and in words why what is not traded is not."""
    columns = ("symbol", "weight", "wanted", "target", "side", "amount", "value", "costs", "left")
    table = cells.Listing(columns, spare=("costs", "value", "wanted"))
    for row in plan.rows:
        order = row.order
        what = (order.side.value, cells.short(order.amount), cells.money(row.value)) if order else ("", "", "")
        weights = [f"{100 * weight:.2f}%" for weight in (row.weight, row.wanted, row.target)]
        table.add(row.symbol, *weights, *what, cells.money(row.cost) if order else "", row.left.replace("_", " "))
    head = f"decision {plan.decision.id} on the bars up to {plan.decision.as_of:%Y-%m-%d %H:%M:%S}, nothing is sent"
    money = f"equity {plan.equity:,.2f} {quote}, at work {plan.capital:,.2f}, cash {plan.cash:,.2f}"
    holds = [f"{hold.scope} {hold.level.told}, {hold.code}: {hold.text}" for hold in plan.holds]
    notes = [f"{name}: {targets.note}" for name, targets in sorted(plan.decision.by_strategy.items()) if targets.note]
    reasons = sorted({row.left for row in plan.rows if row.left in WORDS})
    lines = [f"would trade {_traded(plan):,.2f} {quote} in {_orders(plan)} orders, at a cost of about {_cost(plan):,.2f}", *notes]
    lines += [f"{row.symbol}: {100 * row.wanted:.2f}% wanted, {_limits(row)}" for row in plan.rows if row.stages]
    lines += [_funding(row.symbol, row.funding, row.rate, quote) for row in plan.rows if row.funding is not None and row.rate is not None]
    lines += [f"{reason.replace('_', ' ')}: {WORDS[reason]}" for reason in reasons]
    lines += [f"{row.symbol} needs an equity of {row.needs:,.2f} {quote}" for row in plan.rows if row.needs is not None]
    return Group(Text(head), Text(money), *(Text(cells.tame(line)) for line in holds), table, *(Text(cells.tame(line)) for line in lines))


def mapping(plan: Planned) -> Mapping[str, object]:
    """The same for scripts; money and amounts are Decimals."""
    return {
        "decision_id": plan.decision.id,
        "as_of": plan.decision.as_of,
        "holds": [hold_row(hold) for hold in plan.holds],
        "equity": plan.equity,
        "capital": plan.capital,
        "cash": plan.cash,
        "traded": _traded(plan),
        "cost": _cost(plan),
        "funding": sum((row.funding for row in plan.rows if row.funding is not None), ZERO),
        "strategies": {name: dict(targets.weights) for name, targets in sorted(plan.decision.by_strategy.items())},
        "symbols": [_symbol(row) for row in plan.rows],
    }


def _symbol(row: Row) -> Mapping[str, object]:
    order = row.order
    sent = None if order is None else {"side": order.side, "amount": order.amount, "price": order.price, "value": row.value}
    return {
        "symbol": row.symbol,
        "price": row.price,
        "amount": row.amount,
        "weight": row.weight,
        "wanted": row.wanted,
        "limits": [{"reason": reason, "weight": weight} for reason, weight in row.stages],
        "target": row.target,
        "order": sent,
        "cost": row.cost,
        "funding": row.funding,
        "funding_rate": None if row.rate is None else row.rate.rate,
        "funding_at": None if row.rate is None else row.rate.next_at,
        "funding_every_h": None if row.rate is None else row.rate.interval / HOUR,
        "left": row.left,
        "left_says": WORDS.get(row.left, row.left),
        "needs_equity": row.needs,
    }


def _funding(symbol: str, due: Decimal, rate: FundingRate, quote: str) -> str:
    what = f"{'pays' if due > 0 else 'is paid'} {abs(due):,.2f} {quote} of funding at {rate.next_at:%Y-%m-%d %H:%M}"
    return f"{symbol}: the target {what}, {100 * rate.rate:.4f}% every {rate.interval / HOUR:g} h, {100 * rate.yearly:.1f}% a year"


def _limits(row: Row) -> str:
    return ", then ".join(f"{reason} leaves {100 * weight:.2f}%" for reason, weight in row.stages)


def _orders(plan: Planned) -> str:
    sides = [row.order.side for row in plan.rows if row.order]
    return f"{len(sides)} ({sides.count(Side.SELL)} sells, {sides.count(Side.BUY)} buys)"


def _traded(plan: Planned) -> Decimal:
    return sum((row.value for row in plan.rows), ZERO)


def _cost(plan: Planned) -> Decimal:
    return sum((row.cost for row in plan.rows), ZERO)
