"""Rules: what each breaker watches, from where on it acts, and what it does then.

Rule: values only. A breaker that is not configured is None here; limits are in the unit that the field says.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from daemon.core.spikes import SpikeGuard
from daemon.core.states import Level


class Code(StrEnum):
    """The stable names of the breakers, in holds, logs, the API and `why`."""

    DRAWDOWN = "drawdown"
    DAILY_LOSS = "daily_loss"
    REJECTS = "rejects"
    UNKNOWN_ORDER = "unknown_order"
    DRIFT = "drift"
    STALE_DATA = "stale_data"
    PRICE_SPIKE = "price_spike"
    PEG = "peg"
    CLOCK_SKEW = "clock_skew"
    LOOP_LAG = "loop_lag"


class Action(StrEnum):
    """What a breaker does. Only a person ends what halts or flattens; the others end by themselves, a cool-down after their cause."""

    REDUCE = "reduce"
    PAUSE = "pause"
    HALT = "halt"
    FLATTEN = "flatten"

    @property
    def level(self) -> Level:
        """How far trading is restricted."""
        return _LEVELS[self]


_LEVELS: Final = {
    Action.REDUCE: Level.REDUCING,
    Action.PAUSE: Level.PAUSED,
    Action.HALT: Level.HALTED,
    Action.FLATTEN: Level.FLATTENING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A reading of at least `limit` trips; `cool_down` is how long it must stay below before a hold that may end by itself does."""

    limit: float
    action: Action
    cool_down: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRule(Rule):
    """`limit`: definite refusals in a row, over all symbols. One symbol pauses after `symbol` of its own for `pause`, then doubled."""

    symbol: int
    pause: timedelta
    pause_max: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRule(Rule):
    """`limit`: seconds that a difference may stand unexplained. `currencies` and `share` (of equity) bound how much may drift at once."""

    currencies: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleRule(Rule):
    """`limit`: share of the symbols without data. A symbol has none once it was lost, or without a bar, for longer than `age`."""

    age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PegRule(Rule):
    """`limit`: distance from 1 of the price of `symbol`, which compares the quote currency with another of the same worth."""

    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeRule:
    """A close further than `factor` times the symbol's usual move, and than `floor`, from the last trusted one waits for confirmation."""

    factor: float
    floor: float
    confirmations: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All breakers of an account; None: not configured. Limits are shares of equity or of symbols, seconds, or a count."""

    drawdown: Rule | None = None
    daily_loss: Rule | None = None
    rejects: RejectRule | None = None
    unknown_order: Rule | None = None
    drift: DriftRule | None = None
    stale_data: StaleRule | None = None
    price_spike: SpikeRule | None = None
    peg: PegRule | None = None
    clock_skew: Rule | None = None
    loop_lag: Rule | None = None

    @property
    def need(self) -> int:
        """Bars of history that the breakers want before they judge."""
        spike = self.price_spike
        return SpikeGuard(1, factor=spike.factor, floor=spike.floor, confirmations=spike.confirmations).need if spike else 0

    @property
    def codes(self) -> frozenset[Code]:
        """The breakers that are configured."""
        return frozenset(code for code in Code if getattr(self, code.value) is not None)
