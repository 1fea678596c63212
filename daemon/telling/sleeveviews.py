"""Sleeve views: the strategies behind the account as the API shows them: what each has, has made, and may do.

Rule: it only reads. What cannot be known yet is null, never a made-up zero.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from daemon.core.curves import Curves
from daemon.core.model import EXACT, ZERO, Decision
from daemon.core.portfolio import UNASSIGNED, Portfolio
from daemon.core.states import Level, Scope, States

Row = Mapping[str, object]
Amounts = Mapping[str, Decimal]

# What a strategy may be called that nothing restricts, and one that is configured no more.
RUNNING, DISABLED, REMOVED = "running", "disabled", "removed"

# As many digits of money as anybody compares; the exact sums are the journal's.
CENTS: Final = Decimal("1E-8")


def strategy_rows(
    portfolio: Portfolio, curves: Curves, states: States, decision: Decision | None, disabled: Mapping[str, str], worths: Amounts | None
) -> list[Row]:
    """One row for everybody who has a sleeve. `worths`: what each sleeve is worth; None: nobody knows yet."""
    return [
        {
            "name": name,
            "share": decision.shares.get(name) if decision else None,
            **_made(curves, name, worths),
            **_state(portfolio, states, name, disabled),
        }
        for name in portfolio.sleeves
        if name in portfolio.names or (worths and worths.get(name))
    ]


def _made(curves: Curves, name: str, worths: Amounts | None) -> Row:
    """In money now, and by the worth of a unit at the last close: `unassigned` invests nothing, so it has no return."""
    if worths is None:
        return dict.fromkeys(("equity", "pnl", "return", "drawdown"))
    curve, equity = curves.of(name), worths.get(name, ZERO)
    money = {
        "equity": equity.quantize(CENTS, context=EXACT),
        "pnl": EXACT.subtract(equity, curve.contributed).quantize(CENTS, context=EXACT),
    }
    if name == UNASSIGNED:
        return {**money, "return": None, "drawdown": None}
    return {**money, "return": curve.total_return, "drawdown": curve.drawdown}


def _state(portfolio: Portfolio, states: States, name: str, disabled: Mapping[str, str]) -> Row:
    """One word, and the sentence where there is something to say."""
    worst = states.worst(Scope(strategy=name))
    if worst is not None and worst.level is not Level.ACTIVE:
        return {"state": worst.level.told, "reason": worst.text}
    if name in disabled:
        return {"state": DISABLED, "reason": disabled[name]}
    if name in portfolio.names:
        return {"state": RUNNING, "reason": ""}
    return {"state": None if name == UNASSIGNED else REMOVED, "reason": ""}


def restricted(portfolio: Portfolio, states: States) -> dict[str, str]:
    """By strategy that a hold restricts, how far and why."""
    found = {name: states.worst(Scope(strategy=name)) for name in portfolio.names}
    return {name: f"{hold.level.told}: {hold.text}" for name, hold in found.items() if hold is not None}


def holders(portfolio: Portfolio) -> dict[str, dict[str, Decimal]]:
    """By currency, how much of it each sleeve holds."""
    found: dict[str, dict[str, Decimal]] = {}
    for (sleeve, currency), amount in sorted(portfolio.holdings().items()):
        found.setdefault(currency, {})[sleeve] = amount
    return found
