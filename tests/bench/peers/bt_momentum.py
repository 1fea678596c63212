"""The momentum strategy on bt: signals by pandas, weights by date, `Rebalance`. It has no rule for small distances and trades them all."""

from time import perf_counter

import bt
import numpy as np
import pandas as pd
from work import CASH, EXPOSURE, FEE, LOOKBACK, RSI, given, score, told, version

WORK = given()
index = pd.to_datetime(WORK.times, unit="ms")
closes = pd.DataFrame(WORK.column("close"), index=index, columns=WORK.symbols)


def wilder(changes):
    """Wilder's mean, begun with the plain one: pandas' own recursion, seeded."""
    seeded = changes.copy()
    seeded.iloc[RSI] = changes.iloc[1 : RSI + 1].mean()
    return seeded.iloc[RSI:].ewm(alpha=1 / RSI, adjust=False).mean().reindex(changes.index)


began = perf_counter()
moves = closes.diff()
gains, losses = wilder(moves.clip(lower=0)), wilder(-moves.clip(upper=0))
rsi = 100 - 100 / (1 + gains / losses)
momentum = closes / closes.shift(LOOKBACK) - 1
trend = pd.DataFrame(np.where(closes > closes.rolling(LOOKBACK).mean(), 1.0, -1.0), index=index, columns=WORK.symbols)
scores = score(momentum, rsi, trend)
due = WORK.decisions
ranks = scores.iloc[due].rank(axis=1, ascending=False, method="first")
weights = (ranks <= WORK.top) * (EXPOSURE / WORK.top)
strategy = bt.Strategy("momentum", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
test = bt.Backtest(
    strategy,
    closes,
    initial_capital=CASH,
    integer_positions=False,
    commissions=lambda amount, price: abs(amount) * price * FEE,
    progress_bar=False,
)
test.run()
seconds = perf_counter() - began
orders = int((test.positions.diff().fillna(0.0).abs() > 0).to_numpy().sum())
signals = np.stack([each.to_numpy()[due] for each in (momentum, rsi, trend, scores)], axis=2)
told(seconds, signals, orders, **version("bt", "pandas", "numpy"))
