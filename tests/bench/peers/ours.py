"""The momentum strategy on this program's own engine, all of it: limits, sleeves, order states, Decimal ledger."""

import gc
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from daemon.config import load
from daemon.research.runs import Assembled, assembled
from daemon.routes import routes
from tests.bench.peers import work as w
from tests.research.files import configured, store


def prepared(folder: Path, work: w.Work) -> Assembled:
    """A run of it, ready to go."""
    times = work.times.tolist()
    for place, symbol in enumerate(work.symbols):
        store(folder / "data", f"{symbol}/USDT", times, work.bars[:, :, place])
    params = {"lookback": w.LOOKBACK, "rsi_period": w.RSI, "top": work.top, "exposure": w.EXPOSURE}
    strategy = {"name": "momentum", "use": "portfolio_momentum", "schedule": {"every": work.every}, "params": params}
    symbols = [f"{symbol}/USDT" for symbol in work.symbols]
    paper = {"balances": {"USDT": w.CASH}, "fee": w.FEE, "slippage_bps": 0}
    path = configured(folder, symbols, strategies=[strategy], execution={"band": 0.0, "band_relative": w.BAND}, paper=paper)
    return assembled(load(path, {}), folder / "data", None, routes)


def signals(made: Assembled, work: w.Work) -> Any:
    """What the decisions rested on: (decision, symbol, number)."""
    first, places = int(work.times[0]), {f"{symbol}/USDT": place for place, symbol in enumerate(work.symbols)}
    kept = made.record.signals
    at = {key: (places[symbol], w.NUMBERS.index(name)) for (_, symbol, name), key in kept._keys.items()}
    where = np.array([at[key] for key in sorted(at)])
    told = np.full((len(work.times), len(places), len(w.NUMBERS)), np.nan)
    for part in kept._kept:
        for opened, keys, values in part.rows():
            told[(opened - first) // w.HOUR_MS, where[keys, 0], where[keys, 1]] = values
    decided = sorted({at for at, strategy, _, _ in made.record.targets if strategy == "momentum"})
    rows = told[[(at - first) // w.HOUR_MS - 1 for at in decided]]
    return rows[~np.isnan(rows).all(axis=(1, 2))]  # a decision before anything is known rests on nothing


if __name__ == "__main__":
    given = w.given()
    with TemporaryDirectory() as folder:
        made = prepared(Path(folder), given)
    gc.collect()
    began = perf_counter()
    made.run.run(made.bars)
    w.told(perf_counter() - began, signals(made, given), len(made.record.orders), **w.version("numpy"))
