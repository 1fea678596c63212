"""Rules between keys that are about swaps, and what borrows.

Rule: as in rules.py.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

from daemon.config.tree import at, finite
from daemon.config.values import Mistake

OF_SWAPS: Final = ("margin_max", "liquidation_min", "liquidation_reduce", "funding_max")


def countdowns_are_of_swaps(tree: Any) -> Iterator[Mistake]:
    """Only swaps have a timer that cancels what is open."""
    several = at(tree, "accounts")
    places = [("exchange",), *(("accounts", number) for number in range(len(several) if isinstance(several, list | tuple) else 0))]
    for place in places:
        if at(tree, *place, "dead_mans_switch") is not None and at(tree, *place, "market") != "swap":
            what = "needs an exchange that cancels orders by itself, which Binance does for swaps alone"
            yield Mistake((*place, "dead_mans_switch"), what, "leave it out")


def leverage_is_of_swaps(tree: Any) -> Iterator[Mistake]:
    """Nothing is borrowed on spot, and with swaps no more than the margin allows."""
    risk, several = at(tree, "risk"), at(tree, "accounts")
    accounts = [at(tree, "exchange"), *(several if isinstance(several, list | tuple) else ())]
    traded = [account for account in accounts if at(account, "market") == "swap"]
    swap = bool(traded)
    if at(tree, "exchange", "id") == "binanceusdm" and not swap:
        yield Mistake(("exchange", "market"), "is spot, and binanceusdm has swaps only", "write market: swap, or id: binance")
    of_swaps = ("exchange", "leverage"), ("exchange", "margin_mode"), *(("risk", key) for key in OF_SWAPS)
    for place in of_swaps if not swap else ():
        if at(tree, *place) is not None:
            yield Mistake(place, "is for swaps, and exchange.market is spot", "leave it out")
    for key in ("gross", "weight_max"):
        most = finite(at(risk, key))
        if not swap and most is not None and most > 1:
            yield Mistake(("risk", key), "is above 1, and spot cannot owe", "write 1 or less")
    gross, most = finite(at(risk, "gross")), finite(at(risk, "margin_max"))
    leverage = min((finite(at(account, "leverage")) or 1 for account in traded), default=1)
    if swap and gross is not None and gross > leverage * (1 if most is None else most):
        what = "is more than exchange.leverage and risk.margin_max have margin for"
        yield Mistake(("risk", "gross"), what, "raise exchange.leverage, or lower it")
    least, reduce = (finite(at(risk, key)) for key in ("liquidation_min", "liquidation_reduce"))
    if least is not None and reduce is not None and reduce >= least:
        yield Mistake(("risk", "liquidation_reduce"), "is not below risk.liquidation_min", "lower it, or raise the other")
    nearest = Fraction("0.15") if least is None else least
    if any(at(account, "margin_mode") == "isolated" for account in traded) and 1 / Fraction(leverage) <= nearest:
        what = "puts every isolated position nearer to its liquidation than risk.liquidation_min allows"
        yield Mistake(("exchange", "leverage"), what, "lower it, or write margin_mode: cross")
