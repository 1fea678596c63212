"""The momentum strategy on backtrader: its own feeds, indicators (SMA, RSI after Wilder) and broker."""

from time import perf_counter

import backtrader as bt
import pandas as pd
from work import CASH, COLUMNS, FEE, LOOKBACK, RSI, given, moves, score, told, version

WORK = given()


class Momentum(bt.Strategy):
    """Decides in `next`, for all feeds at once."""

    def __init__(self):
        self.averages = [bt.ind.SMA(data.close, period=LOOKBACK) for data in self.datas]
        self.strengths = [bt.ind.RSI_SMMA(data.close, period=RSI, safediv=True) for data in self.datas]
        self.told, self.sent = [], 0

    def next(self):
        if not WORK.due(len(self) - 1):
            return
        rows = []
        for data, average, strength in zip(self.datas, self.averages, self.strengths, strict=True):
            momentum, trend = data.close[0] / data.close[-LOOKBACK] - 1, 1.0 if data.close[0] > average[0] else -1.0
            rows.append((momentum, strength[0], trend, score(momentum, strength[0], trend)))
        self.told.append(rows)
        equity = self.broker.getvalue()
        wanted = list(zip(self.datas, WORK.targets([row[3] for row in rows]), strict=True))
        for data, target in sorted(wanted, key=lambda each: each[1]):
            weight = self.getposition(data).size * data.close[0] / equity
            if moves(weight, target):
                self.order_target_percent(data, target=target)
                self.sent += 1


cerebro = bt.Cerebro(stdstats=False)
cerebro.addstrategy(Momentum)
cerebro.broker.setcash(CASH)
cerebro.broker.setcommission(FEE)
index = pd.to_datetime(WORK.times, unit="ms")
for place, symbol in enumerate(WORK.symbols):
    frame = pd.DataFrame(WORK.bars[:, :, place], index=index, columns=COLUMNS)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame, openinterest=None), name=symbol)
began = perf_counter()
(strategy,) = cerebro.run()
told(perf_counter() - began, strategy.told, strategy.sent, **version("backtrader", "pandas", "numpy"))
