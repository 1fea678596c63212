"""Sector rotation: its signal equals an independent reference, and the sectors held are the ones promised."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from daemon.core.desk import Desk
from daemon.core.model import Floats
from daemon.core.strategy import Universe
from strategies.sector_rotation import SectorParams, SectorRotation
from tests.strategies.bench import HOUR, SYNTHETIC_MAX, assert_equal, column, decisions, filled, recorded, slices, told, walks

ABCD = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
TWO = {"first": ("A/USDT", "B/USDT"), "second": ("C/USDT", "D/USDT")}


def strategy(sectors: Mapping[str, tuple[str, ...]] = TWO, symbols: tuple[str, ...] = ABCD, **params: Any) -> SectorRotation:
    return SectorRotation(SectorParams(**params), Universe(symbols, HOUR, sectors))


def sector_return(prices: Floats, members: list[int], lookback: int) -> Floats:
    """The mean over the members that have the history, bar by bar, on forward-filled closes."""
    closes = filled(prices)
    means = np.full(len(closes), np.nan)
    for t in range(lookback, len(closes)):
        returns = [closes[t, m] / closes[t - lookback, m] - 1 for m in members if not np.isnan(closes[t - lookback, m])]
        means[t] = sum(returns) / len(returns) if returns else np.nan
    return means


@pytest.mark.parametrize("lookback", [2, 30])
def test_signal_on_random_walks(lookback: int) -> None:
    """On seeded walks with holes and late listings every bar agrees, and so it does when nothing is ever decided."""
    prices = walks(lookback)
    made = strategy(lookback=lookback)
    for signals in (told(made, prices), [decided.signals for decided in decisions(made, prices)]):
        for sector, members in (("first", [0, 1]), ("second", [2, 3])):
            assert_equal(column(signals, sector, "sector_return"), sector_return(prices, members, lookback), sector)


@pytest.mark.slow
def test_signal_on_real_bars() -> None:
    """On recorded bars, with more holes than they have, every bar agrees, from the end of warm-up to the last."""
    symbols, prices = recorded(holes=0.01)
    sectors = {"even": symbols[::2], "odd": symbols[1::2]}
    signals = told(strategy(sectors, symbols), prices)
    for start, sector in enumerate(sectors):
        assert_equal(column(signals, sector, "sector_return"), sector_return(prices, list(range(start, len(symbols), 2)), 30), sector)


def line(*returns: float) -> Floats:
    """Prices that are 100 and then have these returns."""
    return np.array([[100.0] * len(returns)] * 3 + [[100.0 * (1 + r) for r in returns]])


def test_the_best_sector_gets_the_exposure() -> None:
    """The sector with the highest mean return shares the exposure equally."""
    assert decisions(strategy(lookback=2), line(0.1, 0.0, 0.2, 0.2))[-1].weights == pytest.approx({"C/USDT": 0.4, "D/USDT": 0.4})


def test_more_sectors_than_there_are() -> None:
    """Where fewer can be chosen than `best`, each still gets exposure / best."""
    made = decisions(strategy(lookback=2, best=4), line(0.1, 0.0, 0.2, 0.2))[-1].weights
    assert made == pytest.approx(dict.fromkeys(ABCD, 0.1))


def test_inside_by_inverse_volatility() -> None:
    """Twice the deviation of returns is half the weight."""
    prices = np.cumprod(1 + np.array([[0.01, 0.02, 0, 0], [-0.01, -0.02, 0, 0]] * 6), axis=0) * 100
    made = decisions(strategy(lookback=4, inside="inverse_volatility", margin=1.0, sectors={"first": TWO["first"]}), prices)[-1].weights
    assert made == pytest.approx({"A/USDT": 0.8 * 2 / 3, "B/USDT": 0.8 / 3})


def test_margin_keeps_what_is_held() -> None:
    """A challenger must be better by more than the margin; without one, being better is enough."""
    prices = np.array([[100, 100, 100, 100]] * 3 + [[110, 110, 100, 100], [110, 110, 112, 112]], float)
    assert set(decisions(strategy(lookback=3), prices)[-1].weights) == {"C/USDT", "D/USDT"}
    assert set(decisions(strategy(lookback=3, margin=0.03), prices)[-1].weights) == {"A/USDT", "B/USDT"}
    assert set(decisions(strategy(lookback=3, margin=0.01), prices)[-1].weights) == {"C/USDT", "D/USDT"}


def test_a_challenger_better_by_the_margin_alone_waits() -> None:
    """What is better by the margin and no more does not displace what is held, whatever the two are called."""
    prices = np.array([[100, 100, 100, 100]] * 3 + [[100, 100, 150, 150], [200, 200, 150, 150]], float)
    held, challenged = (decided.weights for decided in decisions(strategy(lookback=3, margin=0.5), prices)[-2:])
    assert set(held) == set(challenged) == {"C/USDT", "D/USDT"}


def test_a_symbol_without_a_bar_keeps_its_weight() -> None:
    """A member that cannot be traded stays as it is, and the whole never comes to more than the exposure."""
    prices = np.array([[100, 100, 100, 100]] * 3 + [[110, 110, 100, 100], [110, np.nan, 150, 150]], float)
    before, after = (decided.weights for decided in decisions(strategy(lookback=2), prices)[-2:])
    assert before == pytest.approx({"A/USDT": 0.4, "B/USDT": 0.4})
    assert after == pytest.approx({"B/USDT": 0.4, "C/USDT": 0.2, "D/USDT": 0.2})


def test_a_sector_without_a_bar_is_passed_over() -> None:
    """Where nothing of the best sector can be traded or is held, the next one is chosen, and the money is not left idle."""
    prices = np.array([[100, 100, 100, 100]] * 4 + [[120, 120, 110, 110], [np.nan, np.nan, 110, 110]], float)
    desk, history = Desk(strategy(lookback=4), 4), list(slices(ABCD, prices))
    for cross_section in history:
        desk.step(cross_section.panel)
    assert desk.decide(history[-1], SYNTHETIC_MAX).weights == pytest.approx({"C/USDT": 0.4, "D/USDT": 0.4})


def test_weights_never_pass_the_exposure() -> None:
    """However bars are missing, what is wanted sums to the exposure at most."""
    for inside in ("equal", "inverse_volatility"):
        for decided in decisions(strategy(lookback=5, inside=inside), walks(3)):
            assert sum(decided.weights.values()) <= 0.8 + 1e-12
            assert all(weight >= 0 for weight in decided.weights.values())


def test_what_cannot_be_used_is_said() -> None:
    """A sector's symbol that is not traded is skipped and named, and so is a symbol that is in no sector."""
    made = SectorRotation(SectorParams(sectors={"x": ("A/USDT", "ZZ/USDT")}), Universe(ABCD, HOUR))
    assert made.remarks == (
        "sectors: not in universe.symbols and so skipped: ZZ/USDT (x)",
        "sectors: in no sector, and so never chosen by a rotation of sectors: B/USDT, C/USDT, D/USDT",
    )


def test_no_sector_at_all() -> None:
    """Without a sector that has a traded symbol there is nothing to rotate."""
    with pytest.raises(ValueError, match="sectors has no symbol of the universe"):
        strategy(sectors={"x": ("ZZ/USDT",)})


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (
            {"sectors": {"a": ("X/Y",), "b": ("X/Y",)}},
            "sectors.b has X/Y, which is there in sectors.a too; a symbol is in one sector, once",
        ),
        ({"sectors": {"a": ("X/Y", "X/Y")}}, "sectors.a has X/Y, which is there twice; a symbol is in one sector, once"),
        ({"sectors": {"a": ()}}, "sectors.a is empty; name its symbols, or leave it out"),
        ({"lookback": 1}, "lookback must be at least 2, not 1"),
        ({"best": 0}, "best must be at least 1, not 0"),
        ({"inside": "cap"}, "inside must be equal or inverse_volatility, not 'cap'"),
        ({"exposure": 0}, "exposure must be above 0 and at most 1, not 0"),
        ({"margin": -0.1}, "margin must be at least 0, not -0.1"),
    ],
)
def test_mistakes_are_told_in_a_sentence(params: dict[str, Any], says: str) -> None:
    """Each wrong parameter is named with its bound."""
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        SectorParams(**params)
