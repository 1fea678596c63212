"""What a bar costs in the DataFrame idiom: a frame a symbol, indicators over the whole of it, an order request of ccxt for the best.

It tells the seconds of each round, from the last bar known to the first order request built and signed, and the signals of every round.
"""

import asyncio
import gc
import json
import sys
from time import perf_counter

import ccxt.async_support as ccxt
import numpy as np
import pandas as pd
from work import COLUMNS, LOOKBACK, RSI, given, score, version

try:
    import talib
except ImportError:
    talib = None

WORK = given()
ROUNDS = int(sys.argv[3])
KEPT = len(WORK.times) - ROUNDS  # bars before the first round


def strength(closes):
    """RSI after Wilder: TA-Lib's, else pandas' recursion begun as Wilder does."""
    if talib is not None:
        return talib.RSI(closes, timeperiod=RSI)
    change = closes.diff()
    means = []
    for side in (change.clip(lower=0), -change.clip(upper=0)):
        side.iloc[RSI] = side.iloc[1 : RSI + 1].mean()
        means.append(side.iloc[RSI:].ewm(alpha=1 / RSI, adjust=False).mean())
    return 100 - 100 / (1 + means[0] / means[1])


def numbers(frame):
    """The four numbers at the last bar, by columns of the frame as the idiom has them."""
    frame["sma"] = talib.SMA(frame["close"], timeperiod=LOOKBACK) if talib is not None else frame["close"].rolling(LOOKBACK).mean()
    frame["rsi"] = strength(frame["close"])
    frame["momentum"] = frame["close"] / frame["close"].shift(LOOKBACK) - 1
    frame["trend"] = np.where(frame["close"] > frame["sma"], 1.0, -1.0)
    frame["score"] = score(frame["momentum"], frame["rsi"], frame["trend"])
    last = frame.iloc[-1]
    return last["momentum"], last["rsi"], last["trend"], last["score"]


async def main():
    """One round a bar."""
    exchange = ccxt.binance({"apiKey": "k", "secret": "s", "enableRateLimit": False})
    index = pd.to_datetime(WORK.times, unit="ms", utc=True)
    frames = [pd.DataFrame(WORK.bars[:KEPT, :, place], index=index[:KEPT], columns=COLUMNS) for place in range(len(WORK.symbols))]
    took, signals = [], []
    for bar in range(KEPT, len(WORK.times)):
        gc.collect()
        began = perf_counter()
        rows = []
        for place, frame in enumerate(frames):
            new = pd.DataFrame([WORK.bars[bar, :, place]], index=index[bar : bar + 1], columns=COLUMNS)
            frames[place] = pd.concat([frame, new])
            rows.append(numbers(frames[place].copy()))
        best = WORK.best([row[3] for row in rows])[0]
        request = {"symbol": f"{WORK.symbols[best]}USDT", "side": "BUY", "type": "MARKET", "quantity": "1.5", "newClientOrderId": f"r{bar}"}
        exchange.sign("order", ["private"], "POST", request)
        took.append(perf_counter() - began)
        signals.append(rows)
    await exchange.close()
    np.save(sys.argv[2], np.array(signals, np.float64))
    names = ["pandas", "numpy", "ccxt", *(["TA-Lib"] if talib is not None else [])]
    print(json.dumps({"seconds": took, "versions": version(*names)}))  # noqa: T201 - it is a program


asyncio.run(main())
