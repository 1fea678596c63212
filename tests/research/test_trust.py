"""Trust: each warning is given where its reason was planted, and not where it was not."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.app import routes
from daemon.config import load
from daemon.core.model import Fill, Money, Side, epoch_ms
from daemon.research import runs, trust
from daemon.research.bars import Bars, Series
from tests.research.files import HOUR, START, configured, stored
from tests.research.test_lookahead import BY_RANK, CENTRED, file_of

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")
ROWS = 200
MOMENTUM = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": 2}, "params": {"lookback": 5, "rsi_period": 3, "top": 2}}
EVEN = {"name": "even", "use": "equal_weight", "schedule": {"every": 4}}


def run(folder: Path, data: Path, *strategies: object) -> dict[str, Any]:
    """The summary of a run, as it is on disk."""
    folder.mkdir(exist_ok=True)
    config = configured(folder, SYMBOLS, strategies=list(strategies) or [EVEN], execution={"band": 0})
    runs.backtest(load(config, {}), data, folder / "out", None, None, routes)
    told: dict[str, Any] = json.loads((folder / "out" / "summary.json").read_text())
    return told


def codes(summary: dict[str, Any]) -> set[str]:
    """What it warns of."""
    return {warned["code"] for warned in summary["warnings"]}


def fill(hour: int, side: Side, amount: str, price: str, symbol: str = "A/USDT", fee: Money | None = None) -> Fill:
    """A trade so many hours after the start."""
    return Fill(
        order_id="o",
        venue_id="v",
        trade_id=str(hour),
        symbol=symbol,
        side=side,
        amount=Decimal(amount),
        price=Decimal(price),
        cost=Decimal(amount) * Decimal(price),
        fees=(fee,) if fee else (),
        at=START + hour * HOUR,
    )


def bars(volumes: Sequence[float], holes: Sequence[int] = ()) -> Bars:
    """Bars of one symbol at a price of 1."""
    kept = [row for row in range(len(volumes)) if row not in holes]
    values = np.column_stack([np.ones((len(volumes), 4)), np.array(volumes)])[kept]
    closes = np.array([epoch_ms(START + (row + 1) * HOUR) for row in kept])
    return Bars(("A/USDT",), HOUR, {"A/USDT": Series(closes, values)})


def test_the_share_of_volume_is_that_of_the_bar_which_was_traded_in() -> None:
    """A fill is compared with the bar that opens at it, and one where nothing was traded is told as endless."""
    known = bars([100.0, 200.0, 0.0, 400.0], holes=[1])
    trades = [fill(hour, Side.BUY, "2", "1") for hour in (0, 1, 2, 3)]
    assert trust.volume_shares(known, trades) == [0.02, float("inf"), float("inf"), 0.005]
    (warned,) = trust.large_trades([0.02, 0.005])
    assert (warned.code, warned.text[:10]) == (trust.Doubt.VOLUME_SHARE, "1 of 2 tra")
    assert not list(trust.large_trades([0.01, 0.0]))


def test_a_holding_ends_when_hardly_anything_is_left() -> None:
    """A buy, a part sold, the rest sold but for what the fee has left: one holding; what is held still counts at the last price."""
    in_base = Money(Decimal("0.002"), "A")
    trades = [
        fill(0, Side.BUY, "2", "10", fee=in_base),
        fill(1, Side.SELL, "1", "12"),
        fill(2, Side.SELL, "0.998", "15"),
        fill(3, Side.BUY, "1", "20", fee=Money(Decimal("0.5"), "USDT")),
        fill(0, Side.SELL, "1", "5", symbol="B/USDT"),
        fill(1, Side.BUY, "1", "4", symbol="B/USDT"),
    ]
    first, second, short = trust.holdings(trades, {"A/USDT": 18.0})
    assert (first.since, first.until) == (epoch_ms(START), epoch_ms(START + 2 * HOUR))
    assert first.profit == pytest.approx(-20 + 12 + 0.998 * 15)
    assert second.until is None
    assert second.profit == pytest.approx(-20.5 + 18)
    assert short.symbol == "B/USDT"
    assert short.profit == pytest.approx(1.0)


def test_one_trade_is_named_when_it_makes_half_of_the_profit() -> None:
    """Above half it is told, at a loss or below half nothing is."""
    trades = [fill(0, Side.BUY, "1", "10"), fill(1, Side.SELL, "1", "16")]
    (warned,) = trust.one_trade(trades, {}, 10.0)
    assert warned.code is trust.Doubt.ONE_TRADE
    assert "made 6.00 of the whole profit of 10.00: without that one trade there would be 4.00" in warned.text
    assert not list(trust.one_trade(trades, {}, 12.0))
    assert not list(trust.one_trade(trades, {}, -3.0))
    assert not list(trust.one_trade([], {}, 1.0))


def test_a_sharpe_ratio_is_judged_by_its_standard_error() -> None:
    """A ratio of 1 is doubted over a year and believed over five; one below 0 needs no doubt."""
    year = 365
    (warned,) = trust.uncertain_sharpe([1.0] * (year + 1), 1.0, year)
    assert warned.code is trust.Doubt.SHARPE_UNCERTAIN
    assert "over 1 years has a standard error of 1.00" in warned.text
    assert not list(trust.uncertain_sharpe([1.0] * (5 * year + 1), 1.0, year))
    assert not list(trust.uncertain_sharpe([1.0] * (year + 1), -1.0, year))
    assert not list(trust.uncertain_sharpe([1.0], float("nan"), year))


def test_missing_bars_are_counted_inside_and_told_at_the_ends() -> None:
    """A hole is a gap; a file that begins late or ends early is partial; a whole one is neither."""
    begins, ends = epoch_ms(START + HOUR), epoch_ms(START + 5 * HOUR)
    whole = [1.0] * 5
    assert not list(trust.incomplete(bars(whole), begins, ends))
    (gap,) = trust.incomplete(bars(whole, holes=[2, 3]), begins, ends)
    assert (gap.code, gap.text[:32]) == (trust.Doubt.GAPS, "2 bars are missing, 2 of them of")
    for hole in (0, 4):
        (partial,) = trust.incomplete(bars(whole, holes=[hole]), begins, ends)
        assert partial.code is trust.Doubt.PARTIAL


def test_a_run_says_what_it_assumes_and_what_is_doubtful(tmp_path: Path) -> None:
    """Summary and terminal have the same assumptions and warnings, each with its code."""
    data = stored(tmp_path / "data", ROWS, SYMBOLS, {"A/USDT": [50, 51]})
    summary = run(tmp_path, data)
    assert codes(summary) >= {"volume_share", "gaps"}
    assert {assumed["code"] for assumed in summary["assumptions"]} >= {"fills", "fees", "slippage", "volume", "rules", "funding", "data"}
    words = runs.in_words(summary, tmp_path)
    for told in (*summary["assumptions"], *summary["warnings"]):
        assert told["text"] in words
    assert "(gaps)" in words


def test_little_that_was_decided_is_told(tmp_path: Path) -> None:
    """A week of a daily strategy is too little; a run of many decisions is not told so."""
    data = stored(tmp_path / "data", ROWS, SYMBOLS)
    assert "few_decisions" in codes(run(tmp_path / "few", data, EVEN | {"schedule": {"every": 24}}))
    assert "few_decisions" not in codes(run(tmp_path / "many", data, MOMENTUM))


def test_a_strategy_that_looks_ahead_is_found_by_its_backtest(tmp_path: Path) -> None:
    """The future in an own strategy is named with the run; an honest one is let be."""
    data = stored(tmp_path / "data", ROWS, SYMBOLS)
    own = {"name": "own", "use": "./my.py:Mine", "schedule": {"every": 4}}
    for indicator, cheats in (("Centred", True), ("SMA", False)):
        (tmp_path / "my.py").write_text(file_of(indicator, BY_RANK, CENTRED))
        told = [warned["text"] for warned in run(tmp_path, data, own)["warnings"] if warned["code"] == "look_ahead"]
        assert len(told) == cheats
        assert all(text.startswith("own: indicator average of A/USDT at the bar that closes ") for text in told)
