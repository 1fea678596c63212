"""How long the limits take over a wish for many symbols, a few of which or all are wanted, and over their orders."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np

from daemon.core.account import Account
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Side
from daemon.core.ordergate import OrderGate
from daemon.core.ordertable import OrderTable
from daemon.core.planner_legs import Leg
from daemon.core.risk import Group, Limits, Moments, Scene
from daemon.core.risk_orders import OrderLimits
from daemon.core.risk_weights import apply
from tests.bench.planning import EQUITY, report
from tests.core.builders import START, market, order

AIMS_MS = {500: 1.0, 2000: 10.0}  # beside the products with the covariance and the correlations, which grow with the square


def scene(names: tuple[str, ...], *, moments: bool) -> Scene:
    """Symbols of one common factor, nothing held."""
    count = len(names)
    rng = np.random.default_rng(count)
    moves = rng.normal(0, 0.02, (240, count)) + rng.normal(0, 0.01, (240, 1))
    known = Moments(np.cov(moves.T) * 8760, np.corrcoef(moves.T)) if moments else Moments()  # type: ignore[arg-type]
    return Scene(names, np.zeros(count), np.zeros(count, np.bool_), known)


def cases(symbols: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, with its name."""
    names = tuple(f"C{n:04}/USDT" for n in range(symbols))
    sectors = {str(n): names[n::10] for n in range(10)}
    bounds = Limits(
        weight_max=0.02,
        sector_max=0.09,
        sectors=sectors,
        groups={"g": Group(names[: symbols // 5], 0.1)},
        positions_max=symbols // 2,
        concentration_max=0.001,
        gross=0.4,
        net_max=0.3,
        cash_min=0.8,
    )
    measured = replace(bounds, volatility_max=0.05, correlated_group_max=0.3)
    few, all_of_them = dict.fromkeys(names[:20], 0.05), dict.fromkeys(names, 1 / symbols)
    plain, full = scene(names, moments=False), scene(names, moments=True)
    only_few = scene(names[:20], moments=True)
    yield "20 wanted, every bound", lambda: apply(few, bounds, only_few)
    yield "all wanted, every bound", lambda: apply(all_of_them, bounds, plain)
    yield "20 wanted, also measured", lambda: apply(few, measured, only_few)
    yield "all wanted, also measured", lambda: apply(all_of_them, measured, full)
    yield "all wanted, told", lambda: list(apply(all_of_them, bounds, plain).cuts())
    yield "all as orders", admitted(names)


def admitted(names: tuple[str, ...]) -> Callable[[], object]:
    """Every symbol's order judged by every limit, on a day on which as many were made already."""
    account = Account("USDT", Ledger(), OrderTable(), timedelta(seconds=15))
    account.markets = {name: market(name) for name in names}
    far = Decimal(10**12)
    gate = OrderGate(
        OrderLimits(order_notional_max=far, day_notional_max=far, turnover_day_max=far, orders_per_minute=10**6, price_deviation_max=None)
    )
    for n, name in enumerate(names):
        gate.traffic.made(order(f"r{n}", name, at=START))
    legs = [Leg(name, Side.BUY, Decimal(1), Decimal(100), Decimal(101)) for name in names]
    return lambda: [gate.judge(leg, account, ZERO, EQUITY, START, opposing=False) for leg in legs]


def table() -> None:
    """Print how long each case takes."""
    report("limits", cases, AIMS_MS)
