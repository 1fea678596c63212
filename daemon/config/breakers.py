"""The section risk.breakers: what each breaker watches, from where on it acts, and what it does then.

Rule: a breaker with `action: none`, or without the limit or symbol that it cannot do without, is off.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from daemon.config.section import Section
from daemon.config.values import above, approximate, as_float, between, choice, duration, whole, words

ActionName = Literal["none", "reduce", "pause", "halt", "flatten"]
Action = Annotated[ActionName, choice("none", "reduce", "pause", "halt", "flatten")]
ACTIONS = "reduce: only make holdings smaller; pause: trade nothing; halt: nothing until a person resumes; flatten: sell all, then halt"
CALM = "How long it must have been calm before what it has reduced or paused goes on."

CoolDown = Annotated[timedelta, *duration("0s", "30d")]
Patience = Annotated[timedelta, *duration("1s", "7d")]


def share_or_none(value: object) -> float | None:
    """A share above 0 and at most 1, or none."""
    return None if value is None else as_float(value, above("0", "1"))


class DrawdownConfig(Section):
    """A fall from the highest value ever reached, deposits and withdrawals set aside."""

    limit: Annotated[float | None, BeforeValidator(share_or_none)] = Field(
        default=None, description="Fall that trips it, as a share of the high-water mark; without one it is off."
    )
    action: Action = Field(default="halt", description=f"What it does. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(hours=1), description=CALM)


class DailyLossConfig(Section):
    """A fall since the beginning of the day, UTC, deposits and withdrawals set aside."""

    limit: Annotated[float | None, BeforeValidator(share_or_none)] = Field(
        default=None, description="Fall that trips it, as a share of what the day began with; without one it is off."
    )
    action: Action = Field(default="reduce", description=f"What it does. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(hours=1), description=CALM)


class RejectsConfig(Section):
    """Orders that the exchange has definitely refused, in a row."""

    limit: Annotated[int, *whole(between("1", "1000"))] = Field(
        default=10, description="Refusals in a row, over all symbols, that trip it; an order that is taken ends the row."
    )
    symbol: Annotated[int, *whole(between("1", "100"))] = Field(
        default=3, description="Refusals in a row of one symbol after which that symbol pauses."
    )
    pause: Patience = Field(
        default=timedelta(minutes=1), description="How long it pauses then; each refusal after a pause doubles the next."
    )
    pause_max: Patience = Field(default=timedelta(hours=1), description="The longest such pause.")
    action: Action = Field(default="pause", description=f"What it does with the account. {ACTIONS}; none: off, for symbols too.")
    cool_down: CoolDown = Field(default=timedelta(minutes=15), description=CALM)


class UnknownOrderConfig(Section):
    """An order of which nobody knows what became of it."""

    limit: Patience = Field(default=timedelta(minutes=5), description="How long that may last.")
    action: Action = Field(default="reduce", description=f"What it does with the account. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(0), description=CALM)


class DriftConfig(Section):
    """Differences between account and books that no trade and no transfer explains."""

    limit: Patience = Field(default=timedelta(minutes=10), description="How long one may stand.")
    symbols: Annotated[int, *whole(between("0", "1000"))] = Field(
        default=3, description="How many currencies may drift at once; judged after five minutes, within which deposits explain themselves."
    )
    share: Annotated[float, *approximate(above("0", "1"))] = Field(
        default=0.1, description="How much may drift at once, as a share of equity; judged after five minutes too."
    )
    action: Action = Field(default="reduce", description=f"What it does with the account. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(minutes=1), description=CALM)


class StaleDataConfig(Section):
    """Symbols whose bars do not come."""

    limit: Annotated[float, *approximate(above("0", "1"))] = Field(
        default=0.5, description="Share of the symbols without data that trips it."
    )
    age: Annotated[timedelta, *duration("1s", "1d")] = Field(
        default=timedelta(minutes=1),
        description="How long a symbol's stream may be lost, or its next bar overdue; never less than two bars.",
    )
    action: Action = Field(default="reduce", description=f"What it does with the account. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(minutes=1), description=CALM)


class PriceSpikeConfig(Section):
    """A price far outside its symbol's own range waits for confirmation: it marks nothing, and the symbol is not traded."""

    limit: Annotated[float, *approximate(between("5", "1000"))] = Field(
        default=20.0, description="Multiple of the symbol's usual move from bar to bar that is suspicious."
    )
    floor: Annotated[float, *approximate(above("0", "1"))] = Field(
        default=0.25, description="A move of less than this is never suspicious, as a share of the price; one of five times always is."
    )
    confirmations: Annotated[int, *whole(between("1", "10"))] = Field(
        default=1, description="Bars that must close near the suspicious one before it is believed."
    )
    action: Annotated[Literal["none", "pause"], choice("none", "pause")] = Field(
        default="pause", description="pause: the symbol waits; none: every price is believed."
    )


class PegConfig(Section):
    """The quote currency against another of the same worth."""

    symbol: Annotated[str | None, *words(r"[^\s/:,]{1,30}/[^\s/:,]{1,30}", "a symbol", "USDC/USDT")] = Field(
        default=None, description="The market whose price should be 1, one of universe.watch or universe.symbols; without one it is off."
    )
    limit: Annotated[float, *approximate(above("0", "0.5"))] = Field(
        default=0.02, description="Distance from 1, kept up for ten seconds, that trips it."
    )
    action: Action = Field(default="pause", description=f"What it does. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(minutes=10), description=CALM)


class ClockSkewConfig(Section):
    """The clock of this machine against the exchange's."""

    limit: Annotated[timedelta, *duration("100ms", "5s")] = Field(
        default=timedelta(seconds=1), description="Difference, beyond what the measurement leaves open, that trips it."
    )
    action: Annotated[Literal["none", "pause", "halt"], choice("none", "pause", "halt")] = Field(
        default="pause", description="pause: no orders until the clocks agree again; halt: until a person resumes; none: off."
    )


class LoopLagConfig(Section):
    """The program itself, standing still: suspended, out of memory, or busy."""

    limit: Annotated[timedelta, *duration("500ms", "1h")] = Field(default=timedelta(seconds=5), description="Standstill that trips it.")
    action: Action = Field(default="reduce", description=f"What it does. {ACTIONS}; none: off.")
    cool_down: CoolDown = Field(default=timedelta(minutes=1), description=CALM)


class BreakersConfig(Section):
    """What stops trading by itself."""

    drawdown: DrawdownConfig = Field(default_factory=DrawdownConfig, description="Fall from the high-water mark.")
    daily_loss: DailyLossConfig = Field(default_factory=DailyLossConfig, description="Fall since the day began, UTC.")
    rejects: RejectsConfig = Field(default_factory=RejectsConfig, description="Refused orders in a row.")
    unknown_order: UnknownOrderConfig = Field(default_factory=UnknownOrderConfig, description="Orders whose fate is not known.")
    drift: DriftConfig = Field(default_factory=DriftConfig, description="Differences that nothing explains.")
    stale_data: StaleDataConfig = Field(default_factory=StaleDataConfig, description="Symbols without data.")
    price_spike: PriceSpikeConfig = Field(default_factory=PriceSpikeConfig, description="Prices that are hard to believe.")
    peg: PegConfig = Field(default_factory=PegConfig, description="The worth of the quote currency.")
    clock_skew: ClockSkewConfig = Field(default_factory=ClockSkewConfig, description="The time of day.")
    loop_lag: LoopLagConfig = Field(default_factory=LoopLagConfig, description="A program that stands still.")
