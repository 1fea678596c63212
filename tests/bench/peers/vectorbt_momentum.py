"""The momentum strategy on vectorbt: whole columns, compiled. It has no event path, and used so no rule for small distances."""

from time import perf_counter

import numpy as np
import pandas as pd
import vectorbt as vbt
from numba import njit
from work import CASH, EXPOSURE, FEE, LOOKBACK, RSI, given, score, told, version

WORK = given()
index = pd.to_datetime(WORK.times, unit="ms")
closes = pd.DataFrame(WORK.column("close"), index=index, columns=WORK.symbols)


@njit(cache=False)
def wilder(closes, period):
    """RSI after Wilder, begun with the plain mean; vectorbt's own is begun otherwise."""
    out = np.full(closes.shape, np.nan)
    for column in range(closes.shape[1]):
        gain = loss = 0.0
        for row in range(1, closes.shape[0]):
            change = closes[row, column] - closes[row - 1, column]
            up, down = max(change, 0.0), max(-change, 0.0)
            if row <= period:
                gain += up / period
                loss += down / period
            else:
                gain += (up - gain) / period
                loss += (down - loss) / period
            if row >= period:
                out[row, column] = 100.0 - 100.0 / (1.0 + gain / loss)
    return out


def run(closes):
    """Signals and the portfolio of them."""
    values = closes.to_numpy()
    rsi = wilder(values, RSI)
    momentum = values / closes.shift(LOOKBACK).to_numpy() - 1
    average = vbt.MA.run(closes, LOOKBACK).ma.to_numpy()
    trend = np.where(values > average, 1.0, -1.0)
    scores = score(momentum, rsi, trend)
    due = [bar for bar in WORK.decisions if bar < len(closes)]
    best = np.argsort(-scores[due], axis=1, kind="stable")[:, : WORK.top]
    size = np.full(values.shape, np.nan)
    size[due] = 0.0
    size[np.array(due)[:, None], best] = EXPOSURE / WORK.top
    portfolio = vbt.Portfolio.from_orders(
        closes,
        size,
        size_type="targetpercent",
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        fees=FEE,
        init_cash=CASH,
        freq="1h",
    )
    portfolio.value()
    return np.stack([momentum[due], rsi[due], trend[due], scores[due]], axis=2), portfolio


run(closes.iloc[: LOOKBACK + 60])  # compiled
began = perf_counter()
signals, portfolio = run(closes)
seconds = perf_counter() - began
told(seconds, signals, len(portfolio.order_records), **version("vectorbt", "numba", "pandas", "numpy"))
