"""Swaps in a backtest: long and short, without funding and margin; nothing of it reaches a daemon."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from daemon.app import routes
from daemon.cli import app
from daemon.config import load
from daemon.core.model import ZERO, Instrument, Order, Side
from daemon.core.paper import PaperAccount
from daemon.core.planner import plan
from daemon.core.planner_inputs import Inputs, Rules
from daemon.core.planner_legs import Reason
from daemon.research import runs
from tests.core.builders import START, after
from tests.core.plans import SMALL, book
from tests.research.files import configured, read, stored

SWAP = Instrument(
    symbol="A/USDT:USDT",
    base="A",
    quote="USDT",
    amount_step=Decimal("0.001"),
    price_tick=Decimal("0.01"),
    notional_min=Decimal(5),
    buy_fee_in_base=False,
    shortable=True,
)
PRICE, EQUITY = Decimal(100), Decimal(10_000)
weights = st.floats(-1, 1)


@given(weights, weights)
def test_a_plan_ends_at_the_target_whichever_side_it_is_on(now: float, wanted: float) -> None:
    """From any holding one order, or one that reduces and one that grows, leads to any other, or a reason says why there is none."""
    held = SWAP.floor(Decimal(repr(now)) * EQUITY / PRICE)
    account = book({SWAP.symbol: held}, {SWAP.symbol: PRICE}, EQUITY * 2, equity=EQUITY, free={SWAP.symbol: abs(held)})
    rules = Rules(band=Decimal("0.01"), band_relative=Decimal(0))
    made = plan(Inputs(weights={SWAP.symbol: wanted}, book=account, markets={SWAP.symbol: SWAP}, rules=rules))
    legs = made.reduces + made.grows
    end = held + sum(leg.side.sign * leg.amount for leg in legs)
    goal = Decimal(repr(wanted)) * EQUITY / PRICE
    assert [leg.reduce_only for leg in legs] in ([], [True], [False], [True, False])
    if legs:
        assert abs(end - goal) <= SWAP.amount_step or made.left[SWAP.symbol]
        assert abs(end) <= max(abs(goal), ZERO) + SMALL
        assert all(leg.amount <= abs(held) and leg.side.sign * held < 0 for leg in made.reduces)
        assert all((held * leg.side.sign >= 0) or made.reduces for leg in made.grows)
    elif abs(held - goal) * PRICE > EQUITY * Decimal("0.01"):
        assert made.left[SWAP.symbol] in {Reason.BELOW_MINIMUM, Reason.DUST}
    elif held and wanted == 0:
        assert made.left[SWAP.symbol] == Reason.DUST


def _order(name: str, side: Side, amount: str) -> Order:
    units = Decimal(amount)
    reserve = units * PRICE * Decimal("1.01") if side is Side.BUY else units
    return Order(id=name, symbol=SWAP.symbol, side=side, amount=units, price=PRICE, reserve=reserve, decision_id="d", attempt=1, at=START)


def test_a_short_earns_what_the_price_falls() -> None:
    """Sold without a holding, sold again, bought back lower: the difference is in quote, less the fees, and no base is left."""
    account = PaperAccount({"USDT": Decimal(1000)}, fee=Decimal("0.001"), slippage_bps=Decimal(0))
    for name, side, amount, price in (("a", Side.SELL, "2", 100), ("b", Side.SELL, "1", 100), ("c", Side.BUY, "3", 90)):
        account.submit(_order(name, side, amount), SWAP, after(0))
        (report,) = account.match(SWAP, Decimal(price), after(1))
        assert report.filled == Decimal(amount)
        assert report.fills[0].fees[0].currency == "USDT"
    held = {currency: balance.total for currency, balance in account.balances.items()}
    assert held == {"A": 0, "USDT": Decimal(1000) + 30 - Decimal("0.2") - Decimal("0.1") - Decimal("0.27")}


def swaps(folder: Path) -> Path:
    """Two swaps that drift about one another."""
    symbols = ("A/USDT:USDT", "B/USDT:USDT")
    stored(folder / "data" / "swap", 300, symbols)
    strategy = {
        "name": "pair",
        "use": "pairs",
        "schedule": {"every": 1},
        "params": {"pair": list(symbols), "lookback": 20, "entry": 1.5, "size": 0.4},
    }
    return configured(
        folder, symbols, exchange={"id": "binance", "market": "swap"}, strategies=[strategy], execution={"band": 0.005}, timeframe="1h"
    )


def test_pairs_go_long_and_short_over_swap_files(tmp_path: Path) -> None:
    """Both signs are held, near the weights that were asked for; equity is cash and positions at the closes; the fees are in quote."""
    summary = runs.backtest(load(swaps(tmp_path), {}), tmp_path / "data", tmp_path / "out", None, None, routes)
    out = tmp_path / "out"
    targets = [row["weight"] for row in read(out, "targets") if row["strategy"] == "*"]
    assert (min(targets), max(targets)) == (-0.4, 0.4)
    equity = read(out, "equity")
    assert max(row["gross"] for row in equity) > 0.75
    assert all(abs(row["net"]) < 0.1 for row in equity)
    assert {row["fee_asset"] for row in read(out, "fills")} == {"USDT"}
    assert {"funding", "margin"} <= {assumed["code"] for assumed in summary["assumptions"]}
    assert not any("refused" in note for note in summary["notes"]), summary["notes"]


def test_a_daemon_refuses_the_swaps_of_exchanges_that_are_not_known(tmp_path: Path) -> None:
    """`run` says in one sentence whose swaps are traded."""
    config = swaps(tmp_path)
    changes = {"exchange": {"id": "kraken", "market": "swap"}, "journal": {"path": str(tmp_path / "j.sqlite")}, "api": {"port": 0}}
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    refused = CliRunner().invoke(app, ["run", str(config)])
    assert refused.exit_code == 78
    assert "exchange.id kraken: swaps are traded on binance and binanceusdm; write one of these, or market: spot" in refused.output


@pytest.mark.parametrize(
    ("market", "symbol", "sentence"),
    [
        ("swap", "A/USDT", "universe.symbols[0] is not a linear swap, as exchange.market says; write A/USDT:USDT"),
        ("swap", "A/USDT:A", "universe.symbols[0] is not a linear swap, as exchange.market says; write A/USDT:USDT"),
        ("spot", "A/USDT:USDT", "universe.symbols[0] is a swap, and exchange.market is spot; write A/USDT"),
    ],
)
def test_symbols_are_of_the_market(tmp_path: Path, market: str, symbol: str, sentence: str) -> None:
    """A symbol of another kind of market is named with the way it should be written."""
    config = configured(tmp_path, [symbol], exchange={"id": "binance", "market": market})
    refused = CliRunner().invoke(app, ["check", str(config), "--offline"])
    assert (refused.exit_code, sentence in refused.output) == (78, True), refused.output
