"""Sleeve measures, streaming: what each sleeve of the account made, by what it really held.

Rule: every bar, the profits of the sleeves add up to the account's: what one of them gives another is a trade between them or money paid
in, never a profit of both. Floats: these are measures, the money itself is in portfolio and curves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from daemon.core.model import ZERO, Floats
from daemon.core.portfolio import Portfolio


@dataclass(frozen=True, slots=True, eq=False)
class Stake:
    """What a sleeve holds at a close: the worth of each symbol (symbols,), and of its money."""

    values: Floats
    cash: float

    @property
    def worth(self) -> float:
        """All of it."""
        return self.cash + float(self.values.sum())


@dataclass(frozen=True, slots=True)
class Dealings:
    """What was traded for a sleeve and what it crossed with others, in quote."""

    traded: Decimal = ZERO
    crossed: Decimal = ZERO


class SleeveBooks:
    """What every sleeve made and traded since `begin`."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self.stakes: Mapping[str, Stake] = {}
        self.profit: dict[str, float] = {}
        self.contribution: dict[str, float] = {}
        self._paid: dict[str, float] = {}
        self._before: Mapping[str, Dealings] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The strategies, and whoever else had a part in it."""
        return tuple(name for name in self._portfolio.sleeves if name in self._portfolio.names or self._took_part(name))

    def _took_part(self, name: str) -> bool:
        stake, dealt = self.stakes.get(name), self.dealings(name)
        return bool(self.profit.get(name) or dealt.traded or dealt.crossed or (stake is not None and stake.worth))

    def begin(self, stakes: Mapping[str, Stake]) -> None:
        """Count from here."""
        self.stakes = stakes
        self._before = {name: self._dealt(name) for name in {*self._portfolio.traded, *self._portfolio.crossed}}

    def pay(self, sleeve: str, amount: float) -> None:
        """Money, or the worth of coins, came in; negative: went out."""
        self._paid[sleeve] = self._paid.get(sleeve, 0.0) + amount

    def close(self, stakes: Mapping[str, Stake], scale: float) -> None:
        """One more bar has closed. `scale` turns a profit into its contribution to the account's return."""
        for name in {*stakes, *self.stakes, *self._paid}:
            before, now = (held[name].worth if name in held else 0.0 for held in (self.stakes, stakes))
            made = now - before - self._paid.get(name, 0.0)
            self.profit[name] = self.profit.get(name, 0.0) + made
            self.contribution[name] = self.contribution.get(name, 0.0) + made * scale
        self.stakes = stakes
        self._paid.clear()

    def dealings(self, name: str) -> Dealings:
        """Since `begin`."""
        now, before = self._dealt(name), self._before.get(name, Dealings())
        return Dealings(now.traded - before.traded, now.crossed - before.crossed)

    def _dealt(self, name: str) -> Dealings:
        return Dealings(self._portfolio.traded.get(name, ZERO), self._portfolio.crossed.get(name, ZERO))

    def values(self, names: tuple[str, ...], columns: int) -> Floats:
        """The worth of each symbol by sleeve (names, columns)."""
        rows = [self.stakes[name].values if name in self.stakes else np.zeros(columns) for name in names]
        return np.array(rows).reshape(len(names), columns)
