"""How stored bars fill orders: at the open or the mean of the next bar, moved by size, and no more than a bar has volume for."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.app import routes
from daemon.config import ConfigError, load
from daemon.core.model import VOLUME, epoch_ms
from daemon.research import bars as stored_bars
from daemon.research import runs
from tests.research.files import HOUR, START, configured, opens, read, store, walk

SYMBOLS = ("A/USDT", "B/USDT", "C/USDT")
ROWS = 160
SLIPPAGE = 0.0005
SHARE = 0.02  # of a bar's volume: some orders are larger and some are not


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three symbols whose bars trade a few hundred times what the account is worth; in some bars nothing was traded."""
    folder = tmp_path_factory.mktemp("data")
    for seed, symbol in enumerate(SYMBOLS):
        values = walk(ROWS, seed)
        values[:, VOLUME] = np.random.default_rng(seed).uniform(100.0, 4000.0, ROWS)
        values[::13, VOLUME] = 0.0
        store(folder, symbol, opens(ROWS), values)
    return folder


def run(folder: Path, data: Path, backtest: dict[str, Any], **more: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The fills of a run, each with the `bar` it was made in (open, high, low, close, volume), and the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    config = load(configured(folder, SYMBOLS, backtest=backtest, execution={"band": 0.005}, **more), {})
    summary = runs.backtest(config, data, folder / "out", None, None, routes)
    assert not [note for note in summary["notes"] if "drift" in note]
    known = stored_bars.load(data, SYMBOLS, HOUR).series
    fills = read(folder / "out", "fills")
    for fill in fills:
        fill["bar"] = known[fill["symbol"]].values[(fill["timestamp"] - epoch_ms(START)) // 3_600_000]
        fill["sign"] = 1 if fill["side"] == "buy" else -1
    return fills, summary


def test_twap_fills_at_the_mean_of_the_next_bar(tmp_path: Path, data: Path) -> None:
    """The price is the mean of open, high, low and close of the bar after the decision, five basis points worse; the summary says so."""
    fills, summary = run(tmp_path, data, {"fills": "twap"})
    orders = {row["order_id"]: row for row in read(tmp_path / "out", "orders")}
    assert len(fills) > 20
    for fill in fills:
        assert fill["timestamp"] == orders[fill["order_id"]]["timestamp"]
        assert fill["price"] == pytest.approx(fill["bar"][:VOLUME].mean() * (1 + fill["sign"] * SLIPPAGE), rel=1e-9)
    assert any("mean of open, high, low and close" in assumed["text"] for assumed in summary["assumptions"])


def test_impact_grows_with_the_part_of_the_volume(tmp_path: Path, data: Path) -> None:
    """A fill is worse by its share of the bar's volume times `impact`, and where nothing was traded as if it were all of it."""
    fills, summary = run(tmp_path, data, {"impact": 0.2})
    shares = [min(1.0, fill["amount"] / fill["bar"][VOLUME]) if fill["bar"][VOLUME] else 1.0 for fill in fills]
    assert {share == 1.0 for share in shares} == {True, False}
    for fill, share in zip(fills, shares, strict=True):
        # The amount that moves the price is that of the order; what the money then allows may be less.
        assert fill["sign"] * (fill["price"] / fill["bar"][0] - 1) >= SLIPPAGE + 0.2 * share - 2e-6
        if fill["side"] == "sell":
            assert fill["price"] == pytest.approx(fill["bar"][0] * (1 - SLIPPAGE - 0.2 * share), rel=2e-6)
    assert any("20 bps more for each hundredth" in assumed["text"] for assumed in summary["assumptions"])


def test_a_bar_gives_no_more_than_its_share_of_volume(tmp_path: Path, data: Path) -> None:
    """All fills of a symbol in a bar stay within the share, large orders go on in the bars after it, and no more is asked than without."""
    fills, summary = run(tmp_path / "capped", data, {"volume_max": SHARE})
    taken: dict[tuple[str, int], float] = defaultdict(float)
    parts: dict[tuple[str, str], set[int]] = defaultdict(set)
    for fill in fills:
        taken[fill["symbol"], fill["timestamp"]] += fill["amount"]
        parts[fill["symbol"], fill["decision_id"]].add(fill["timestamp"])
        assert taken[fill["symbol"], fill["timestamp"]] <= SHARE * fill["bar"][VOLUME] * (1 + 1e-12)
    assert max(map(len, parts.values())) > 1, "some order took more than one bar"
    assert min(map(len, parts.values())) == 1
    free, _ = run(tmp_path / "free", data, {})
    assert any(fill["amount"] > SHARE * fill["bar"][VOLUME] for fill in free)
    assert "volume_share" not in {warned["code"] for warned in summary["warnings"]} or SHARE > 0.01
    assert any("at most 0.02 of a bar's volume" in assumed["text"] for assumed in summary["assumptions"])


def test_what_a_bar_cannot_give_is_had_in_the_end(tmp_path: Path, data: Path) -> None:
    """A wish that takes many bars is worked on for some bars by each decision, and reached."""
    fixed = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 4}, "params": {"weights": {"A/USDT": 0.9}}}
    fills, _ = run(tmp_path, data, {"volume_max": 0.005}, strategies=[fixed])
    bars = [fill["timestamp"] for fill in fills if fill["decision_id"] == fills[0]["decision_id"]]
    assert bars == sorted(set(bars))
    assert len(bars) > 1
    assert len({fill["decision_id"] for fill in fills}) > 1
    assert read(tmp_path / "out", "equity")[-1]["gross"] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    ("backtest", "sentence"),
    [
        ({"fills": "close"}, "backtest.fills is not open or twap"),
        ({"impact": 1}, "backtest.impact"),
        ({"volume_max": 0}, "backtest.volume_max"),
        ({"slippage": 1}, "backtest.slippage is not a known key"),
    ],
)
def test_a_wrong_term_is_a_sentence(backtest: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """What cannot be meant is refused with its place; a fill at the deciding close cannot be asked for at all."""
    with pytest.raises(ConfigError) as refused:
        load(configured(tmp_path, SYMBOLS, backtest=backtest), {})
    assert any(sentence in problem for problem in refused.value.problems), refused.value.problems
