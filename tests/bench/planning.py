"""How long a plan takes: many symbols, few or all of which have to trade. Aimed at: 500 in 5 ms, 2,000 in 25 ms, at p99."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random
from time import perf_counter

from daemon.core.model import ZERO
from daemon.core.planner import plan
from daemon.core.planner_funds import scale
from daemon.core.planner_inputs import Inputs, Rules
from tests.core.builders import market
from tests.core.plans import book

AIMS_MS = {500: 5.0, 2000: 25.0}
ROUNDS = {500: 400, 2000: 150}
EQUITY = Decimal(10_000_000)


def account(symbols: int, off: float) -> Inputs:
    """Ten million in so many symbols, of which a share is far off its target and the rest on it."""
    rng = Random(symbols)
    names = [f"C{n:04}/USDT" for n in range(symbols)]
    prices = {s: Decimal(repr(round(rng.uniform(0.01, 60_000), 4))) for s in names}
    weights = {s: rng.uniform(0.5, 1) / symbols for s in names}
    factors = {s: Decimal(rng.choice(["0.2", "1.8"])) if rng.random() < off else Decimal(1) for s in names}
    held = {s: (Decimal(repr(weights[s])) * EQUITY * factors[s] / prices[s]).quantize(Decimal("1e-8")) for s in names}
    return Inputs(
        weights=weights,
        book=book(held, prices, EQUITY / 3, equity=EQUITY),
        markets={s: market(s, step="0.00001") for s in names},
        rules=Rules(band=ZERO, band_relative=Decimal("0.1"), turnover_max=Decimal(2)),
        caps=dict.fromkeys(names, 0.35),
    )


def cases(symbols: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, with its name."""
    some, everything = account(symbols, 0.2), account(symbols, 1.0)
    yield "a fifth trades", lambda: plan(some)
    yield "all trade", lambda: plan(everything)
    costly = replace(some, rules=replace(some.rules, risk_aversion=Decimal(3)))
    yield "a fifth, zones by cost", lambda: plan(costly)
    bounded = replace(everything, rules=replace(everything.rules, turnover_max=Decimal("0.05")))
    yield "all, turnover bound", lambda: plan(bounded)
    grows = plan(everything).grows
    yield "buys without their money", lambda: scale(grows, {"USDT": EQUITY / 100}, everything.markets)
    yield "text and hash of inputs", lambda: everything.fingerprint


def percentile(times_ms: list[float], share: float) -> float:
    """The time within which this share of the runs was done."""
    return sorted(times_ms)[min(len(times_ms) - 1, int(len(times_ms) * share))]


def timed(run: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each run, after a few that do not count."""
    found: list[float] = []
    for n in range(rounds + 5):
        began = perf_counter()
        run()
        if n >= 5:
            found.append((perf_counter() - began) * 1000)
    return found


def report(what: str, cases: Callable[[int], Iterator[tuple[str, Callable[[], object]]]], aims_ms: dict[int, float]) -> None:
    """Print what was measured."""
    print(f"{'symbols':>7}  {what:26}  {'p50 ms':>8}  {'p99 ms':>8}  {'aim p99':>8}")  # noqa: T201 - it is a program
    for symbols, aim in aims_ms.items():
        for name, run in cases(symbols):
            times = timed(run, ROUNDS[symbols])
            print(f"{symbols:>7}  {name:26}  {percentile(times, 0.5):8.2f}  {percentile(times, 0.99):8.2f}  {aim:8.1f}")  # noqa: T201


def table() -> None:
    """Print how long each case takes."""
    report("planning", cases, AIMS_MS)
