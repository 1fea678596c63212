"""Measures of returns and weights: they are what their sources define, and the streaming ones agree with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.analyzer_market import Comoments, CorrelationWatch, Market
from daemon.core.analyzer_measures import (
    correlations,
    covariances,
    drawdowns,
    effective_bets,
    effective_positions,
    mean_correlation,
    returns,
    risk_shares,
    volatility_of,
)
from daemon.core.model import Floats

NAN = float("nan")


def some_returns(seed: int, times: int, columns: int, *, late: int = 0) -> Floats:
    """Returns with one common factor; column k begins `late` x k rows late."""
    rng = np.random.default_rng(seed)
    moves: Floats = 0.01 * rng.standard_normal((times, 1)) + 0.01 * rng.standard_normal((times, columns))
    for column in range(columns):
        moves[: late * column, column] = np.nan
    return moves


def numpys(moves: Floats) -> Floats:
    """Numpy's correlation matrix of the columns."""
    return np.asarray(np.corrcoef(moves.T), dtype=np.float64)


def test_returns_are_of_one_bar() -> None:
    """The first bar has no return, nor has one whose close or the one before is missing."""
    closes = np.array([[100.0, NAN], [110.0, NAN], [99.0, 50.0], [99.0, 75.0]])
    np.testing.assert_allclose(returns(closes), [[NAN, NAN], [0.1, NAN], [-0.1, NAN], [0.0, 0.5]], atol=1e-15)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([1e-6, 1.0, 1e3]))
def test_correlation_is_that_of_numpy_over_the_common_rows(seed: int, late: int, scale: float) -> None:
    """Each pair has numpy's correlation of the rows that both have, however late one of them began and whatever the size of the moves."""
    moves = some_returns(seed, 120, 4, late=late) * scale
    matrix = correlations(moves)
    for i in range(4):
        for j in range(4):
            both = np.isfinite(moves[:, i]) & np.isfinite(moves[:, j])
            assert matrix[i, j] == pytest.approx(numpys(moves[both][:, [i, j]])[0, 1], abs=1e-12)


def test_correlation_with_what_does_not_move_is_unknown() -> None:
    """A constant column, and one with a single row, have no correlation, not one of 0."""
    moves = np.array([[0.1, 0.3, NAN], [0.2, 0.3, NAN], [0.4, 0.3, 0.1]])
    matrix = correlations(moves)
    assert matrix[0, 0] == pytest.approx(1.0)
    assert np.isnan(matrix[[0, 1, 1, 0, 2], [1, 0, 1, 2, 2]]).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_streaming_comoments_are_the_whole(seed: int, late: int) -> None:
    """Row by row gives the correlations of all rows at once."""
    moves = some_returns(seed, 100, 4, late=late)
    stream = Comoments(4)
    for row in moves:
        stream.step(row)
    np.testing.assert_allclose(stream.correlations(), correlations(moves), atol=1e-10)


def test_comoments_do_not_drift() -> None:
    """After 100,000 rows with a large constant beneath them, the stream is still right to 1e-9."""
    moves = some_returns(3, 100_000, 2) + 10.0
    stream = Comoments(2)
    for row in moves:
        stream.step(row)
    np.testing.assert_allclose(stream.correlations(), numpys(moves), rtol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_mean_correlation_is_the_mean_of_all_pairs(seed: int, columns: int) -> None:
    """The shortcut over the sum of standardised columns gives what the matrix gives."""
    moves = some_returns(seed, 60, columns)
    matrix = numpys(moves)
    assert mean_correlation(moves) == pytest.approx(matrix[np.triu_indices(columns, 1)].mean(), abs=1e-12)


def test_mean_correlation_needs_two_that_move() -> None:
    """Columns with holes or without a move do not count; of fewer than two nothing is said."""
    moves = some_returns(1, 50, 3)
    moves[:, 1], moves[0, 2] = 0.001, NAN
    assert np.isnan(mean_correlation(moves))
    assert np.isnan(mean_correlation(moves[:0]))


def test_drawdown_is_from_the_peak() -> None:
    """0 at every new high, the share below it after."""
    np.testing.assert_allclose(drawdowns(np.array([100.0, 120.0, 90.0, 130.0])), [0.0, 0.0, 0.25, 0.0])


@given(st.integers(0, 2**32 - 1))
def test_shares_of_risk_add_up(seed: int) -> None:
    """Whatever the weights, long and short, the parts carry the whole variance; each alone is its weight times its marginal risk."""
    rng = np.random.default_rng(seed)
    covariance = covariances(some_returns(seed, 100, 5))
    weights = rng.standard_normal(5)
    shares = risk_shares(np.diag(weights), weights, covariance)
    assert shares.sum() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(shares, weights * (covariance @ weights) / volatility_of(weights, covariance) ** 2, rtol=1e-9)


def test_a_hedge_carries_less_than_nothing() -> None:
    """What moves against the rest takes risk away."""
    covariance = np.array([[0.04, 0.038], [0.038, 0.04]])
    shares = risk_shares(np.diag([1.0, -0.2]), np.array([1.0, -0.2]), covariance)
    assert shares[1] < 0 < 1 < shares[0]


def test_effective_bets_count_independent_risks() -> None:
    """Equal independent risks count in full, perfectly correlated ones as one, and a hopelessly larger one as nearly one."""
    assert effective_bets(np.full(4, 0.25), np.diag([1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1.0 + 2e-9])) == pytest.approx(4.0)
    assert effective_bets(np.full(4, 0.25), np.full((4, 4), 0.04)) == pytest.approx(1.0)
    assert effective_bets(np.array([0.5, 0.5]), np.diag([1.0, 1e-6])) == pytest.approx(1.0, abs=1e-4)


def test_effective_bets_by_hand() -> None:
    """Two independent assets with 90 % and 10 % of the variance: exp of the entropy, 0.9^-0.9 x 0.1^-0.1."""
    assert effective_bets(np.array([3.0, 1.0]), np.eye(2) * [1.0, 1.0 + 1e-12]) == pytest.approx(0.9**-0.9 * 0.1**-0.1, rel=1e-6)


def test_without_holdings_there_are_no_bets() -> None:
    """Nothing held: no positions, no volatility, and nothing that could be called a bet."""
    nothing = np.zeros(0)
    covariance = covariances(some_returns(1, 10, 3)[:, :0])
    assert np.isnan(effective_bets(nothing, covariance))
    assert (effective_positions(nothing), volatility_of(nothing, covariance)) == (0.0, 0.0)
    assert effective_positions(np.array([0.25, -0.25, 0.5])) == pytest.approx(1 / 0.375)


def market_of(moves: Floats, jump: float = 0.2, window: int = 240) -> tuple[Market, list[int]]:
    """A market that lived through these returns, and the bars at which the watch spoke."""
    market = Market(moves.shape[1], CorrelationWatch(jump), window)
    spoke = []
    closes = 100.0 * np.cumprod(1.0 + np.vstack((np.zeros(moves.shape[1]), moves)), axis=0)
    for bar, row in enumerate(closes):
        market.step(row)
        if market.full and market.watch.judge(market.window()):
            spoke.append(bar)
    return market, spoke


def test_the_market_measures_what_it_has_seen() -> None:
    """Window, total return, drawdown and correlations agree with the closed formulas over the same closes."""
    moves = some_returns(7, 500, 3)
    market, _ = market_of(moves)
    closes = 100.0 * np.cumprod(1.0 + moves, axis=0)
    both = np.arange(3)
    window, whole = market.correlations(both)
    np.testing.assert_allclose(market.window(), moves[-240:], atol=1e-12)
    np.testing.assert_allclose(window, correlations(moves[-240:]), atol=1e-10)
    np.testing.assert_allclose(whole, correlations(moves), atol=1e-10)
    np.testing.assert_allclose(market.total_return(), closes[-1] / 100.0 - 1.0)
    np.testing.assert_allclose(market.deviation(), moves[-240:].std(axis=0))
    with_first = np.vstack((np.full(3, 100.0), closes))
    np.testing.assert_allclose(market.drawdown(), [drawdowns(with_first[:, k])[-1] for k in range(3)], atol=1e-12)
    np.testing.assert_allclose(market.drawdown_max, [drawdowns(with_first[:, k]).max() for k in range(3)], atol=1e-12)


def test_a_symbol_begins_with_its_first_close() -> None:
    """One that is listed later is unknown before, and measured from there on."""
    market = Market(2, CorrelationWatch(0.2), window=4)
    for closes in ([100.0, NAN], [101.0, NAN], [102.0, 50.0], [103.0, 40.0]):
        market.step(np.array(closes))
    assert market.total_return().tolist() == pytest.approx([0.03, -0.2])
    assert market.drawdown().tolist() == pytest.approx([0.0, 0.2])


def regimes(*common: float) -> Floats:
    """200 bars each, whose symbols share this part of their variance."""
    rng = np.random.default_rng(5)
    parts = [
        0.01 * (np.sqrt(share) * rng.standard_normal((200, 1)) + np.sqrt(1 - share) * rng.standard_normal((200, 8))) for share in common
    ]
    moves: Floats = np.concatenate(parts)
    return moves


def test_the_watch_speaks_once_when_correlation_jumps() -> None:
    """Symbols that begin to move together are told of once, within the short window; calm times are not told of at all."""
    assert market_of(regimes(0.3, 0.3, 0.3))[1] == []
    market, spoke = market_of(regimes(0.2, 0.2, 0.9))
    assert len(spoke) == 1
    assert 400 < spoke[0] <= 424
    assert market.watch.state.short > 0.8


def test_the_watch_is_armed_again_after_calm() -> None:
    """A second rise is told of when the difference has been down to half the jump between the two."""
    assert len(market_of(regimes(0.1, 0.1, 0.9, 0.1, 0.1, 0.9))[1]) == 2


def test_history_raises_no_alarm() -> None:
    """A jump that the warm-up has in it is no news, and is not told of later either."""
    moves = regimes(0.2, 0.2, 0.9)[:450]
    market = Market(8, CorrelationWatch(0.2))
    market.extend(100.0 * np.cumprod(1.0 + moves, axis=0))
    assert market.watch.state.high
    assert not market.watch.judge(market.window())
