"""The planner of swaps by property: random positions, margins, rules and targets, long and short."""

import os
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, localcontext
from math import isfinite
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.model import EXACT, ZERO, Instrument
from daemon.core.planner import plan
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_inputs import ONE, Book, Inputs, Rules, exact
from daemon.core.planner_legs import Leg, Plan, Reason
from daemon.core.planner_zones import Zones
from daemon.core.risk import Limits, Scene
from daemon.core.risk_weights import apply
from tests.core.plans import SMALL, magnitude, same_bytes, some_market

# `make plans` tries 200,000; a slice of them runs with the suite.
CASES = int(os.environ.get("REBALANCED_CASES", "600"))
FIRST = int(os.environ.get("REBALANCED_SEED", "1")) * 10_000_000


def some_swap(rng: Random, symbol: str) -> Instrument:
    """The rules of a swap, of any size."""
    rules = replace(some_market(rng, symbol.partition(":")[0]), symbol=symbol, buy_fee_in_base=False, shortable=True)
    return replace(rules, leverage=Decimal(rng.choice([1, 1, 2, 5, 20, 125])))


def some_swaps(seed: int) -> Inputs:
    """A random account of swaps: positions on the grid, long and short, orders under way, doubts, much margin and little."""
    rng = Random(f"swaps {seed}")
    symbols = [f"C{n}/USDT:USDT" for n in range(rng.choice([1, 2, 2, 3, 5, 8]))]
    markets = {symbol: some_swap(rng, symbol) for symbol in symbols}
    prices = {symbol: magnitude(rng, -7, 6) for symbol in symbols}
    equity = rng.choice([Decimal(60), Decimal(10_000), Decimal(10**7)])
    most = Decimal(rng.choice(["0.3", "0.8", "1"]))
    held: dict[str, Decimal] = {}
    for symbol, market in markets.items():
        worth = equity * Decimal(rng.choice(["0", "0", "0.001", "0.2", "1", "2"]))
        held[symbol] = market.floor(worth / prices[symbol]) * rng.choice([1, -1])
    used = sum((abs(held[s]) * prices[s] / markets[s].leverage for s in symbols), ZERO)
    raw = {s: rng.choice([0.0, 0.0, rng.uniform(-1, 1), rng.uniform(-3, 3), rng.random() * 1e-3, float("nan")]) for s in symbols}
    moving = {s: "order_open" for s in symbols if rng.random() < 0.1}
    pending = {s: held[s] + market.lot * rng.randint(-5, 5) for s, market in markets.items() if s in moving}
    projected = held | pending
    return Inputs(
        weights={s: weight for s, weight in raw.items() if weight or rng.random() < 0.5},
        keep=frozenset(s for s in symbols if rng.random() < 0.05),
        markets=markets,
        rules=Rules(
            band=Decimal(rng.choice(["0", "0.001", "0.02"])),
            band_relative=Decimal(rng.choice(["0", "0.1"])),
            to_edge=rng.random() < 0.3,
            turnover_max=rng.choice([None, None, None, Decimal("0.1")]),
            raise_max=Decimal(rng.choice(["1", "3"])),
        ),
        exits_only=rng.random() < 0.05,
        book=Book(
            projected=projected,
            free={s: abs(amount) if amount * projected[s] > 0 else ZERO for s, amount in held.items()},
            prices={s: price for s, price in prices.items() if rng.random() < 0.97},
            cash={"USDT": most * equity - used},
            rates={"USDT": ONE},
            equity=equity,
            moving=moving,
            frozen={s: "drift" for s in symbols if rng.random() < 0.05},
            untouchable={s: why for s, why in moving.items() if raw[s]},
        ),
    )


def judge(inputs: Inputs) -> None:
    """Every property of a plan of swaps."""
    with localcontext(EXACT):
        made = plan(inputs)
        if all(abs(weight) < float("inf") for weight in inputs.weights.values()):
            same_bytes(inputs, made)
        ends = dict(inputs.book.projected)
        for leg in made.legs:
            by_the_rules(inputs, leg)
            ends[leg.symbol] += leg.side.sign * leg.amount
        for symbol in {leg.symbol for leg in made.legs}:
            towards_the_target(inputs, made, symbol, ends[symbol])
        within_margin(inputs, made)
        explained(inputs, made, ends)


def goal(inputs: Inputs, made: Plan, symbol: str) -> Decimal:
    """What a symbol is to be worth."""
    return exact(made.changed.get(symbol, inputs.weights.get(symbol, 0.0))) * inputs.book.equity


def by_the_rules(inputs: Inputs, leg: Leg) -> None:
    """On the grid and within the bounds, nothing that may not trade; what reduces closes no more than may be closed, on the other side."""
    market, book = inputs.markets[leg.symbol], inputs.book
    assert leg.amount >= max(market.least, market.lot)
    assert leg.amount % market.lot == 0
    assert market.most is None or leg.amount <= market.most
    assert market.active
    assert leg.symbol not in inputs.keep
    assert leg.symbol not in book.untouchable
    if leg.reduce_only:
        assert leg.side.sign * book.projected[leg.symbol] < 0
        assert leg.amount <= min(book.free[leg.symbol], abs(book.projected[leg.symbol]))
        return
    assert leg.symbol not in book.frozen
    assert leg.notional >= market.worth_least
    assert leg.reserve >= leg.notional * (ONE / market.leverage + market.taker_fee) * (1 - SMALL)
    assert not inputs.exits_only


def towards_the_target(inputs: Inputs, made: Plan, symbol: str, end: Decimal) -> None:
    """Nearer to the target and never beyond it, but for a step of what reduces; a turn closes everything first."""
    held, price, lot = inputs.book.projected[symbol], inputs.book.prices[symbol], inputs.markets[symbol].lot
    aimed = goal(inputs, made, symbol) / price
    assert abs(end - aimed) < abs(held - aimed) + lot
    if end * aimed > 0 and abs(end) > abs(held):
        assert abs(end) <= abs(aimed) * (1 + SMALL)
    if [leg for leg in made.grows if leg.symbol == symbol] and held * end < 0:
        closing = [leg for leg in made.reduces if leg.symbol == symbol]
        assert closing
        assert inputs.rules.turnover_max is not None or closing[0].amount == abs(held)


def within_margin(inputs: Inputs, made: Plan) -> None:
    """What is released at once, and what shares the rest, keeps the positions' margin within the collateral, fees paid."""
    free = inputs.book.cash["USDT"]
    now, later = fund(made.grows, inputs.book.cash)
    rest = {"USDT": free - sum((leg.reserve for leg in now), ZERO)}
    shared, _ = scale(later, rest, inputs.markets)
    used = sum((leg.notional / inputs.markets[leg.symbol].leverage for leg in (*now, *shared)), ZERO)
    paid = sum((leg.notional * inputs.markets[leg.symbol].taker_fee for leg in (*now, *shared)), ZERO)
    assert used + paid <= max(free, ZERO) * (1 + SMALL)


def explained(inputs: Inputs, made: Plan, ends: Mapping[str, Decimal]) -> None:
    """Whatever would end outside the zone of its target has a reason."""
    weights = [exact(weight) for weight in inputs.weights.values() if abs(weight) <= 1e6]
    zones = Zones.of(inputs.rules, inputs.book.equity, weights)
    for symbol in inputs.markets.keys() - made.left.keys():
        weight, market, price = inputs.weights.get(symbol, 0.0), inputs.markets[symbol], inputs.book.prices[symbol]
        aimed, given = (exact(each) * inputs.book.equity for each in (weight, made.changed.get(symbol, weight)))
        # A target that was raised within its zone needs no word; the zone is then that of the target that it was given.
        width = max(zones.width(aimed, market), zones.width(given, market))
        assert abs(ends[symbol] * price - aimed) <= width * 2 * (1 + SMALL) + market.lot * price, symbol
    assert all(reason in set(Reason) | {"drift"} for reason in made.left.values())


def test_every_plan_of_swaps_keeps_every_rule() -> None:
    """Reduces by reduce-only orders alone, never overspends margin, never goes beyond a target, turns in two steps, explains everything."""
    for seed in range(FIRST, FIRST + CASES):
        try:
            judge(some_swaps(seed))
        except Exception as error:
            error.add_note(f"case {seed}")
            raise


@given(st.integers(min_value=0, max_value=2**40))
@settings(max_examples=40, deadline=None)
def test_any_plan_of_swaps_keeps_every_rule(seed: int) -> None:
    """The same where hypothesis looks."""
    judge(some_swaps(seed))


def test_at_the_target_there_is_nothing_to_do() -> None:
    """Whatever the rules, positions that are exactly what is wanted, long or short, have no legs."""
    tried = 0
    for seed in range(FIRST, FIRST + CASES):
        case = some_swaps(seed)
        weights = {s: weight for s, weight in case.weights.items() if isfinite(weight)}
        if case.book.prices.keys() != case.markets.keys():
            continue
        held = {s: exact(weights.get(s, 0.0)) * case.book.equity / case.book.prices[s] for s in case.markets}
        free = {s: abs(amount) for s, amount in held.items()}
        book = replace(case.book, projected=held, free=free, moving={}, untouchable={}, frozen={})
        made = plan(replace(case, weights=weights, book=book, keep=frozenset(), exits_only=False))
        if not made.needs:  # else what is held is too small to be held
            tried += 1
            assert not made.legs, f"case {seed}"
    assert tried > CASES // 4


def test_weights_leave_every_position_far_enough_from_its_liquidation() -> None:
    """After the limits, the price of each may move so far against it, unless what is kept alone is nearer: then nothing is added to it."""
    cut = 0
    for seed in range(FIRST, FIRST + CASES):
        rng = Random(f"distance {seed}")
        symbols = tuple(f"S{n}" for n in range(rng.randint(1, 8)))
        size, least = rng.choice([1.0, 4.0, 30.0]), rng.uniform(0.01, 0.9)
        wishes, kept = np.array([rng.uniform(-size, size) for _ in symbols]), np.array([rng.random() < 0.2 for _ in symbols])
        rates = np.array([rng.uniform(0.001, 0.2) for _ in symbols])
        limits = Limits(short=True, gross=1000.0, weight_max=1000.0, liquidation_min=least)
        scene = Scene(symbols, np.where(kept, wishes / 4, 0.0), kept, rates=rates)
        allowed = apply(dict(zip(symbols, wishes.tolist(), strict=True)), limits, scene)
        ends = np.where(kept, scene.held, [allowed.weights[symbol] for symbol in symbols])
        spare = 1.0 - float((np.abs(ends) * rates).sum())
        near = np.abs(ends) * (1.0 + rates) * least
        assert (spare - near >= -1e-9).all() or not ends[~kept].any(), f"case {seed}"
        cut += bool(allowed.steps)
    assert CASES // 4 < cut < CASES
