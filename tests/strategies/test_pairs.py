"""Pairs: its signals equal an independent reference, its legs follow the rules, and what it remembers survives in its own signals."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from daemon.core.desk import Desk
from daemon.core.model import Floats, TargetWeights
from daemon.core.strategy import Universe
from strategies.pairs import Pairs, PairsParams, Stand, left
from tests.strategies.bench import HOUR, SYNTHETIC_MAX, assert_equal, column, decisions, filled, recorded, slices, told, walks

ABC = ("A/USDT", "B/USDT", "C/USDT")
AB = ("A/USDT", "B/USDT")


def strategy(symbols: tuple[str, ...] = ABC, market: str = "swap", **params: Any) -> Pairs:
    given = params if "pairs" in params else {"pair": AB} | params
    return Pairs(PairsParams(**given), Universe(symbols, HOUR, market=market))


def zscore(prices: Floats, a: int, b: int, lookback: int) -> tuple[Floats, Floats]:
    """Ratio and z-score, two passes over every window of forward-filled closes; no value where the deviation is 0."""
    closes = filled(prices)
    ratio = closes[:, a] / closes[:, b]
    scores = np.full_like(ratio, np.nan)
    for t in range(lookback - 1, len(ratio)):
        window = ratio[t - lookback + 1 : t + 1]
        if not np.isnan(window).any() and np.ptp(window) > 0:
            mean = window.mean()
            scores[t] = (ratio[t] - mean) / np.sqrt(((window - mean) ** 2).mean())
    return ratio, scores


def states(scores: Floats, tradable: Sequence[bool], entry: float = 2.0, leave: float = 0.5) -> Floats:
    """The rules for one pair without stops, bar by bar; NaN before the first z-score."""
    state, out = 0, np.full(len(scores), np.nan)
    for t, z in enumerate(scores):
        if np.isnan(z) and np.isnan(out[:t]).all():
            continue
        if not np.isnan(z) and tradable[t]:
            if state and z * state > -leave:
                state = 0
            if not state and abs(z) > entry:
                state = -1 if z > 0 else 1
        out[t] = state
    return out


@pytest.mark.parametrize("lookback", [8, 30])
def test_signals_on_random_walks(lookback: int) -> None:
    """On seeded walks with holes and late listings every bar of ratio, z-score and state agrees."""
    prices = walks(lookback, symbols=3)
    decided = [made.signals for made in decisions(strategy(lookback=lookback), prices)]
    ratio, scores = zscore(prices, 0, 1, lookback)
    tradable = [not np.isnan(row[:2]).any() for row in prices]
    assert_equal(column(decided, "*", "ratio"), ratio, "ratio")
    assert_equal(column(decided, "*", "zscore"), scores, "zscore")
    assert_equal(column(decided, "*", "state"), states(scores, tradable), "state")
    assert {-1.0, 0.0, 1.0} <= set(column(decided, "*", "state")[lookback + 10 :].tolist())


@pytest.mark.slow
def test_signals_on_real_bars() -> None:
    """On recorded bars, with more holes than they have, every bar of several pairs agrees, from the end of warm-up to the last."""
    symbols, prices = recorded(holes=0.01)
    pairs = ((symbols[0], symbols[1]), (symbols[2], symbols[0]), (symbols[5], symbols[9]))
    signals = told(strategy(symbols, pairs=pairs), prices)
    for a, b in pairs:
        ratio, scores = zscore(prices, symbols.index(a), symbols.index(b), 30)
        assert_equal(column(signals, f"{a}|{b}", "ratio"), ratio, "ratio")
        assert_equal(column(signals, f"{a}|{b}", "zscore"), scores, "zscore")


def test_a_ratio_that_stands_still_has_no_zscore() -> None:
    """Where the deviation is 0 there is no z-score, and what was held stays."""
    prices = np.ones((60, 3)) * 100
    prices[20, 0] = 130.0
    decided = decisions(strategy(lookback=10), prices)
    assert np.isnan(column([d.signals for d in decided], "*", "zscore")[[5, 19, 45]]).all()
    assert decided[20].weights == pytest.approx({"A/USDT": -0.1, "B/USDT": 0.1})
    assert decided[45].signals["*"]["state"] == 0


def test_symbols_of_a_cold_pair_are_cold() -> None:
    """Until a pair has a z-score its symbols count as without history, so that no holding in them is sold for the want of it."""
    desk = Desk(strategy(lookback=10), 3)
    for t, cross_section in enumerate(slices(ABC, filled(walks(3, symbols=3))[20:60]), 1):
        desk.step(cross_section.panel)
        assert desk.warm_columns.tolist() == [t >= 10, t >= 10, True]


# --- the rules -------------------------------------------------------------------------------------------------------


def moved(made: Pairs, scores: Sequence[float]) -> list[float]:
    """The states after each z-score, an hour apart, each decided with nothing but the last signals."""
    last: Mapping[str, Mapping[str, float]] = {}
    out = []
    for t, z in enumerate(scores):
        desk = Desk(made, 3)
        (cross_section,) = list(slices(ABC, np.full((t + 1, 3), 100.0)))[-1:]
        desk.targets = TargetWeights({}, signals=last)
        desk.step(cross_section.panel)
        view = desk._view(cross_section, SYNTHETIC_MAX)
        view.rows["zscore"][:] = z
        view.tradable[:] = True
        last = made.decide(view).signals
        out.append(last["*"]["state"])
    return out


@pytest.mark.parametrize(
    ("params", "scores", "expected"),
    [
        ({}, [1.9, 2.1, 0.6, 0.4, 0.0], [0, -1, -1, 0, 0]),
        ({}, [-2.1, -3.9, -0.6, 0.2], [1, 1, 1, 0]),
        ({}, [2.1, -0.7, -1.0], [-1, 0, 0]),  # past the mean is back, even if no bar lay within `exit`
        ({}, [2.1, -2.2], [-1, 1]),
        ({"stop": 3.0}, [2.1, 3.1, 2.5, 2.9, 1.9, 2.1], [-1, 0, 0, 0, 0, -1]),
        ({"stop": 3.0}, [3.5, 2.5], [0, -1]),
        ({"stop": 3.0}, [-2.1, -3.1, -2.5, 0.1, -2.1], [1, 0, 0, 0, 1]),
        ({"max_bars": 2}, [2.1, 2.2, 2.3, 2.4, 1.0, 2.1], [-1, -1, 0, 0, 0, -1]),
        ({"max_bars": 2}, [2.1, 1.2, 1.3, 2.4], [-1, -1, 0, -1]),
    ],
)
def test_states(params: dict[str, Any], scores: list[float], expected: list[int]) -> None:
    """Beyond `entry` it enters, within `exit` or past it it leaves; after a stop it waits until the z-score has been within `entry`."""
    assert moved(strategy(**params), scores) == expected


def test_time_stop_counts_bars_not_decisions() -> None:
    """Bars that went by without a decision count too: the moment of entry is remembered, not a count."""
    params, entered = PairsParams(pair=AB, max_bars=10), Stand(state=1, entered=0)
    assert left(entered, -2.5, 9 * 3_600_000, params, HOUR).state == 1
    assert left(entered, -2.5, 10 * 3_600_000, params, HOUR) == Stand(stopped=True)


def test_legs_by_notional() -> None:
    """Both legs have the size, one bought and one sold."""
    made = strategy(size=0.2)
    assert made._legs(Stand(1)) == (0.2, -0.2)
    assert made._legs(Stand(-1)) == (-0.2, 0.2)
    assert made._legs(Stand()) == (0.0, 0.0)


def test_legs_by_beta() -> None:
    """For one of A, beta of B; the larger leg has the size."""
    made = strategy(size=0.2, hedge="beta")
    assert made._legs(Stand(1, beta=0.5)) == pytest.approx((0.2, -0.1))
    assert made._legs(Stand(-1, beta=2.0)) == pytest.approx((-0.1, 0.2))


def test_beta_is_that_of_the_entry() -> None:
    """The hedge is the slope of the logarithms at the entry, and stays until the exit."""
    prices = walks(8, times=600, symbols=3)
    decided = decisions(strategy(hedge="beta"), prices)
    closes, betas = np.log(filled(prices)), []
    for t, made in enumerate(decided[1:], 1):
        now, before = made.signals.get("*", {}), decided[t - 1].signals.get("*", {})
        if not now.get("state"):
            continue
        if now["entered"] == before.get("entered"):
            assert now["beta"] == before["beta"]
            continue
        a, b = (closes[t - 29 : t + 1, :2] - closes[t - 29 : t + 1, :2].mean(axis=0)).T
        assert now["beta"] == pytest.approx((a @ b) / (b @ b), rel=1e-9)
        betas.append(now["beta"])
    assert len(betas) > 3
    assert min(betas) > 0


def test_a_slope_that_hedges_nothing_enters_nothing() -> None:
    """Where B falls as A rises, the other leg would be one more of the same: with hedge beta such a pair is not entered."""
    steps = np.cumsum(np.random.default_rng(8).normal(0, 0.01, 600))
    prices = np.exp(np.stack((steps, -0.5 * steps, steps), axis=1))
    by_beta, by_notional = (decisions(strategy(hedge=hedge), prices) for hedge in ("beta", "notional"))
    assert any(made.signals.get("*", {}).get("state") for made in by_notional)
    assert not any(made.signals.get("*", {}).get("state") or any(made.weights.values()) for made in by_beta)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_hedged_pairs(count: int) -> None:
    """Each pair has a slope of its own, however many there are."""
    pairs = (AB, ("B/USDT", "C/USDT"), ("C/USDT", "A/USDT"))[:count]
    names = [f"{a}|{b}" for a, b in pairs] if count > 1 else ["*"]
    decided = decisions(strategy(pairs=pairs, hedge="beta"), walks(8, times=300, symbols=3))
    for name in names:
        betas = column([made.signals for made in decided], name, "beta")
        assert len(np.unique(betas[np.isfinite(betas)])) > 3


def test_long_only_rotates() -> None:
    """On spot it holds the cheap one, or cash, and never sells what it does not own."""
    decided = decisions(strategy(market="spot", mode="long_only", size=0.5), walks(30, symbols=3))
    held = {tuple(sorted(symbol for symbol, weight in made.weights.items() if weight)) for made in decided}
    assert held == {(), ("A/USDT",), ("B/USDT",)}
    assert {weight for made in decided for weight in made.weights.values()} == {0.0, 0.5}


def test_pairs_that_share_a_symbol_add_up() -> None:
    """Each pair keeps its own state under its own name, and a symbol gets the sum of its legs."""
    pairs = (AB, ("C/USDT", "A/USDT"))
    decided = decisions(strategy(pairs=pairs), walks(4, symbols=3))[60:]
    for made in (made for made in decided if not made.keep):
        first, second = made.signals["A/USDT|B/USDT"]["state"], made.signals["C/USDT|A/USDT"]["state"]
        assert made.weights.get("C/USDT", 0.0) == pytest.approx(0.1 * second)
        assert made.weights.get("B/USDT", 0.0) == pytest.approx(-0.1 * first)
        assert made.weights.get("A/USDT", 0.0) == pytest.approx(0.1 * (first - second))


def test_a_restart_changes_nothing() -> None:
    """A desk made anew, warmed up by the history and given the last answer from the journal, decides as the old one."""
    prices = walks(12, symbols=3)
    steady = decisions(strategy(stop=2.5, max_bars=8, hedge="beta"), prices)
    history = list(slices(ABC, prices))
    for t in range(100, 200, 7):
        desk = Desk(strategy(stop=2.5, max_bars=8, hedge="beta"), 3)
        desk.warm(np.stack([cross_section.panel for cross_section in history[:t]]))
        desk.targets = steady[t - 1]
        desk.step(history[t].panel)
        assert desk.decide(history[t], SYNTHETIC_MAX).weights == pytest.approx(steady[t].weights)


def test_a_leg_without_a_bar_holds_both() -> None:
    """While a leg cannot be traded, the other is not traded alone."""
    prices = filled(walks(30, symbols=3))[20:]
    decided = decisions(strategy(), prices)
    entry = next(t for t in range(60, len(prices)) if decided[t].signals["*"]["state"] and not decided[t - 1].signals["*"]["state"])
    torn = prices.copy()
    torn[entry, 1] = np.nan
    after = decisions(strategy(), torn)[entry]
    assert after.signals["*"]["state"] == 0
    assert not any(after.weights.values())


# --- the parameters --------------------------------------------------------------------------------------------------


def test_spot_cannot_sell_short() -> None:
    """Long and short on spot is refused at the start, with the way out."""
    with pytest.raises(
        ValueError, match=re.escape("mode long_short sells what it does not own, which exchange.market spot cannot; use mode: long_only")
    ):
        strategy(market="spot")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"pair": ("A/USDT", "Z/USDT")}, "pair has Z/USDT, which is not in universe.symbols"),
        (
            {"pairs": (AB, ("B/USDT", "C/USDT")), "size": 0.6, "mode": "long_only"},
            "size of 0.6 for 2 pairs may come to more than the capital",
        ),
    ],
)
def test_what_does_not_fit_the_universe(params: dict[str, Any], says: str) -> None:
    """A pair that is not traded, or more than the capital, is refused at the start."""
    with pytest.raises(ValueError, match=re.escape(says)):
        strategy(**params)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "pair or pairs must be given, and not both; write pair: [A, B], or pairs: [[A, B], [C, D]]"),
        ({"pair": AB, "pairs": (AB,)}, "pair or pairs must be given, and not both; write pair: [A, B], or pairs: [[A, B], [C, D]]"),
        ({"pairs": ()}, "pairs must have at least one pair; write [[A, B], [C, D]]"),
        ({"pair": ("A/USDT", "A/USDT")}, "pair must have two different symbols in each pair, not ['A/USDT', 'A/USDT']"),
        ({"pairs": (AB, AB[::-1])}, "pairs has the same two symbols more than once; name each pair once"),
        ({"pair": AB, "lookback": 2}, "lookback must be at least 3, not 2"),
        ({"pair": AB, "lookback": 5}, "entry must be below 2, the largest z-score that lookback 5 allows, not 2.0"),
        ({"pair": AB, "exit": 2.0}, "exit must be at least 0 and below entry (2.0), not 2.0"),
        ({"pair": AB, "stop": 1.5}, "stop must be above entry (2.0), not 1.5"),
        ({"pair": AB, "max_bars": 0}, "max_bars must be at least 1, not 0"),
        ({"pair": AB, "size": 1.5}, "size must be above 0 and at most 1, not 1.5"),
        ({"pair": AB, "hedge": "delta"}, "hedge must be notional or beta, not 'delta'"),
        (
            {"pair": AB, "mode": "long_only", "hedge": "beta"},
            "hedge beta needs two legs, and mode long_only has one at a time; use hedge notional",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(params: dict[str, Any], says: str) -> None:
    """Each wrong parameter is named with its bound."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        PairsParams(**params)
