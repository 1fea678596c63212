"""Roll: who is in the universe and who has left it, as events.

Rule: as for all events. `events.py` has them by name, and in its union.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outside(StrEnum):
    """Why a symbol is not in the universe."""

    EXCLUDED = "excluded"  # by name
    CLOSED = "market_closed"  # the venue has delisted it, or halted its market
    SILENT = "silent"  # it has had no bar for too long
    YOUNG = "young"  # it has not been traded for long enough
    COLD = "cold"  # no strategy has history enough to decide on it
    RANK = "rank"  # others are traded more


@dataclass(frozen=True, slots=True)
class Place:
    """Where a symbol stands: its `rank` by `volume`, from 1 on, 0 where it has none.

    `volume` is what was traded of it over the window, in quote. `outside`: why it is not in the universe; None: it is.
    """

    rank: int
    volume: float
    outside: Outside | None


@dataclass(frozen=True, slots=True)
class UniverseChosen:
    """The universe was gone over at the close time `as_of`. `places` has every symbol that may be in it, and so says who is.

    `entered` and `left` are what is different from before.
    """

    as_of: datetime
    places: Mapping[str, Place]
    entered: tuple[str, ...]
    left: tuple[str, ...]
    at: datetime

    @property
    def members(self) -> frozenset[str]:
        """The symbols that are in it from here on."""
        return frozenset(symbol for symbol, place in self.places.items() if place.outside is None)


@dataclass(frozen=True, slots=True)
class SymbolWoundDown:
    """What was held of a symbol that has left the universe is sold; `rest`: why something of it is not (a stable code, "": all is)."""

    symbol: str
    rest: str
    at: datetime
