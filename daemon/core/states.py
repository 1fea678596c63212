"""States: what may be traded, for the account, a strategy or a symbol, and on whose word.

Rule: whoever restricts trading places a hold under a code of its own, and only the one who may lift it does; the most severe hold counts.
What halts stays until a person lifts it. Holds are facts in the journal, so a restart changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from daemon.core.model import Side

DAEMON: Final = "rebalanced"  # who placed or lifted a hold, where no person did


class Level(IntEnum):
    """How far trading is restricted, by severity.

    REDUCING: only what makes a holding smaller. PAUSED: nothing new is begun, and nothing else is wrong. FLATTENING: everything is sold,
    and then HALTED follows. HALTED: no new orders until a person says so; cancels and look-ups pass.
    """

    ACTIVE = 0
    REDUCING = 1
    PAUSED = 2
    FLATTENING = 3
    HALTED = 4

    @property
    def told(self) -> str:
        """As logs and the API name it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold is about: the account (neither given), one strategy by name, or one symbol."""

    strategy: str = ""
    symbol: str = ""

    def __post_init__(self) -> None:
        """Refuse what is about both."""
        if self.strategy and self.symbol:
            raise ValueError(f"a hold is about a strategy ({self.strategy}) or a symbol ({self.symbol}), not both")

    def __str__(self) -> str:
        """For people: account, strategy momo, symbol BTC/USDT."""
        return f"strategy {self.strategy}" if self.strategy else f"symbol {self.symbol}" if self.symbol else "account"


ACCOUNT: Final = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One restriction. `code` is stable and names its cause; `text` is a sentence for people; `by` whoever placed it.

    `until`: it lifts itself then; None: whoever placed it lifts it, or a person does.
    """

    scope: Scope = ACCOUNT
    level: Level
    code: str
    text: str
    since: datetime
    by: str = DAEMON
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a halt that would end by itself."""
        if self.level is Level.HALTED and self.until is not None:
            raise ValueError(f"{self.code}: what halts is lifted by a person only, never by the time")


class States:
    """All holds in force; one for each scope and code."""

    def __init__(self) -> None:
        self.changes = 0  # how often a hold was placed or lifted
        self._holds: dict[tuple[Scope, str], Hold] = {}

    def place(self, hold: Hold) -> None:
        """A hold is in force; it replaces one of the same scope and code."""
        self._holds[(hold.scope, hold.code)] = hold
        self.changes += 1

    def lift(self, scope: Scope, code: str) -> None:
        """A hold is gone."""
        self._holds.pop((scope, code), None)
        self.changes += 1

    def holds(self, scope: Scope | None = None) -> tuple[Hold, ...]:
        """Those in force (None: of every scope), the most severe first, then the oldest."""
        found = (hold for hold in self._holds.values() if scope is None or hold.scope == scope)
        return tuple(sorted(found, key=lambda hold: (-hold.level, hold.since, hold.code)))

    @property
    def free(self) -> bool:
        """Whether nothing is restricted at all, as it is most of the time."""
        return not self._holds

    def find(self, scope: Scope, code: str) -> Hold | None:
        """The hold of this scope and code, if it is in force."""
        return self._holds.get((scope, code))

    def expired(self, at: datetime) -> Iterator[Hold]:
        """The holds whose time is over."""
        return (hold for hold in self.holds() if hold.until is not None and at >= hold.until)

    # --- what counts -------------------------------------------------------------------------------------------------

    def worst(self, scope: Scope = ACCOUNT) -> Hold | None:
        """The hold that counts for a scope by itself; None while nothing restricts it."""
        return next(iter(self.holds(scope)), None) if self._holds else None

    def level(self, scope: Scope = ACCOUNT) -> Level:
        """The severity of what restricts a scope by itself."""
        worst = self.worst(scope)
        return Level.ACTIVE if worst is None else worst.level

    def of_symbol(self, symbol: str) -> Hold | None:
        """The hold that counts for a symbol: its own or the account's, whichever is more severe."""
        if not self._holds:
            return None
        found = [hold for scope in (ACCOUNT, Scope(symbol=symbol)) if (hold := self.worst(scope)) is not None]
        return max(found, key=lambda hold: hold.level, default=None)

    def permits(self, symbol: str, side: Side, held_sign: int) -> bool:
        """Whether an order may leave. `held_sign`: +1 for a long holding, -1 for a short one, 0 for none."""
        hold = self.of_symbol(symbol)
        if hold is None:
            return True
        reduces = held_sign * side.sign < 0
        return reduces and hold.level in (Level.REDUCING, Level.FLATTENING)
