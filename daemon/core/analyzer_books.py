"""Account measures, streaming: profit and its attribution to symbols, turnover, what trading cost, and the distance from the targets.

Rule: every bar, the profits of the symbols add up to the change of equity less what was paid in, whatever was traded, and the contributions
add up to the return. Floats: these are measures, the money itself is in the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from daemon.core.model import Decision, Floats


class Spread:
    """Population standard deviation of a stream of numbers (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Take one more."""
        self.count += 1
        before = value - self._mean
        self._mean += before / self.count
        self._squares += before * (value - self._mean)

    @property
    def deviation(self) -> float:
        """NaN for fewer than two numbers."""
        return sqrt(self._squares / self.count) if self.count > 1 else float("nan")


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill in floats: `sign` +1 for a buy, `cost` the quote that changed hands, `fee` in quote.

    `decided` is the close that the decision was made at, `arrival` the price when the order was made: from one to the other is the delay,
    from there to the price paid is spread and slippage (Perold 1988, The Implementation Shortfall).
    """

    column: int
    sign: int
    amount: float
    cost: float
    fee: float
    arrival: float
    decided: float


class Books:
    """What the account made and paid since `begin`, by symbol. Money is quote, shares are of equity."""

    def __init__(self, columns: int) -> None:
        self.begun = False
        self.values = np.zeros(columns)  # worth of each holding
        self.equity = 0.0
        self.wealth = 1.0  # what one unit of quote at the beginning would be now: time-weighted
        self.drawdown_max = 0.0
        self.profit = np.zeros(columns)
        self.contribution = np.zeros(columns)
        self.returns, self.active = Spread(), Spread()
        self.traded = np.zeros(columns)
        self.turnover = 0.0
        self.costs = np.zeros((3, columns))  # fee, spread, delay
        self._peak = 1.0
        self._paid = np.zeros(columns)  # quote that went into each symbol since the last bar
        self._targets: Floats | None = None  # NaN where the present weight is kept

    # --- what happens ------------------------------------------------------------------------------------------------

    def follow(self, decision: Decision, targets: Mapping[str, float], symbols: Sequence[str]) -> None:
        """These targets are in force now: weights of equity, after every limit."""
        self._targets = np.array([np.nan if s in decision.keep else targets.get(s, 0.0) for s in symbols])

    def trade(self, trade: Trade) -> None:
        """A fill of ours."""
        column, sign = trade.column, trade.sign
        self.traded[column] += trade.cost
        self.turnover += trade.cost / self.equity if self.equity > 0 else 0.0
        self.costs[:, column] += (
            trade.fee,
            sign * (trade.cost - trade.amount * trade.arrival),
            sign * trade.amount * (trade.arrival - trade.decided),
        )

    def pay(self, column: int, amount: float) -> None:
        """Quote (or its worth) went into a symbol: a purchase, a fee for it, a deposit of it. Negative: it came out."""
        self._paid[column] += amount

    def begin(self, values: Floats, cash: float) -> None:
        """Count from here: worth of each holding, and the quote beside them."""
        self.begun = True
        self.values, self.equity = values, cash + float(values.sum())
        self._paid[:] = 0.0

    def close(self, values: Floats, cash: float, moves: Floats) -> float:
        """One more bar has closed: worth of each holding now, the quote, and what each symbol returned over the bar (NaN: nothing).

        Returns what turns a profit of the bar into its contribution to the return since the beginning.
        """
        self._track(np.nan_to_num(moves))
        profit = values - self.values - self._paid
        self.values, self.equity = values, cash + float(values.sum())
        self._paid[:] = 0.0
        made = float(profit.sum())
        at_work = self.equity - made  # what was paid in or out during the bar counts from its beginning
        self.profit += profit
        if at_work <= 0:
            return 0.0
        # Scaled by the wealth before it, every bar's contribution is an exact part of the compounded return.
        scale = self.wealth / at_work
        self.contribution += profit * scale
        self.returns.add(made / at_work)
        self.wealth *= 1.0 + made / at_work
        self._peak = max(self._peak, self.wealth)
        self.drawdown_max = max(self.drawdown_max, self.drawdown)
        return scale

    def _track(self, moves: Floats) -> None:
        """What the distance from the targets made of the bar (tracking error: Grinold and Kahn 1999, the deviation of active returns).

        What was traded during the bar counts from its beginning, as do the targets that it was traded for: a wave takes seconds.
        """
        if self._targets is not None and self.equity > 0:
            self.active.add(float(self._distance(self.values + self._paid) @ moves))

    # --- what can be said --------------------------------------------------------------------------------------------

    @property
    def drawdown(self) -> float:
        """How far the wealth is below its highest so far, as a share of it."""
        return 1.0 - self.wealth / self._peak

    def weights(self) -> Floats:
        """Holdings as shares of equity (symbols,)."""
        shares: Floats = self.values / self.equity if self.equity > 0 else np.zeros_like(self.values)
        return shares

    def off_target(self) -> Floats:
        """Holding minus target (symbols,), in weights; 0 where there is no target or the present weight is kept."""
        return self._distance(self.values)

    def _distance(self, values: Floats) -> Floats:
        """The same of holdings of this worth."""
        if self._targets is None or self.equity <= 0:
            return np.zeros_like(values)
        return np.nan_to_num(values / self.equity - self._targets)
