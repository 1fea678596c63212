"""Fees: what a venue charges for a trade, by whether the order rested and by how much was traded before.

Rule: a tier counts what was traded on the 30 UTC days before that of the trade, as venues do which look once a day (Binance at midnight).
Nothing of a day changes the fees of the same day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from daemon.core.model import ZERO

WINDOW: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Tier:
    """The fees from so much traded on (`volume`, quote units in 30 days): shares of a trade's worth, below 0 where it is paid for."""

    volume: Decimal
    maker: Decimal
    taker: Decimal


class Fees:
    """The tiers of a venue, and what was traded by day; `tiers` in order of volume, the first of which begins at 0."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tuple(tiers)
        self._days: dict[date, Decimal] = {}
        self._current = self._tiers[0]
        self._seen: date | None = None  # the day that `_current` is of

    @property
    def tiered(self) -> bool:
        """Whether there is more than one tier."""
        return len(self._tiers) > 1

    def rate(self, at: datetime, *, rests: bool) -> Decimal:
        """What is charged for a trade at a moment, as a share of its worth."""
        if len(self._tiers) > 1 and at.date() != self._seen:
            self._turn(at.date())
        return self._current.maker if rests else self._current.taker

    def traded(self, worth: Decimal, at: datetime) -> None:
        """Count a trade (quote units) for the days to come."""
        if len(self._tiers) > 1:
            self._days[at.date()] = self._days.get(at.date(), ZERO) + worth

    def _turn(self, today: date) -> None:
        self._days = {day: worth for day, worth in self._days.items() if day >= today - WINDOW}
        volume = sum((worth for day, worth in self._days.items() if day < today), ZERO)
        self._current = [tier for tier in self._tiers if tier.volume <= volume][-1]
        self._seen = today

    def dump(self) -> Mapping[str, str]:
        """What was traded by day, for the account's text."""
        return {day.isoformat(): str(worth) for day, worth in self._days.items()}

    def restore(self, days: Mapping[str, str]) -> None:
        """Go on with what was dumped. ValueError, InvalidOperation: it is none."""
        self._days = {date.fromisoformat(day): Decimal(worth) for day, worth in days.items()}
