"""Apart: what of a coin is counted and not traded, whose it was, and why it is kept, as the API tells it.

Rule: it only reads.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

from daemon.core.ledger import Ledger
from daemon.core.model import currencies
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Apart, Portfolio
from daemon.io.journal import read

Row = Mapping[str, object]

# Why it is kept; stable, as every code.
REMOVED, RINGFENCED = "removed_strategy", "ringfenced"

LEFT: Final = "{} left it, and what a removed strategy leaves is kept (removed_strategies: keep)"
NOBODYS: Final = "nobody knows where it came from, so it is counted and left alone (reconcile.foreign: ringfence)"


def rows(kept: Iterable[Apart]) -> tuple[Row, ...]:
    """One row a source: how much, of which strategy and since when (null: of none that is known), and why."""
    return tuple(
        {
            "amount": each.amount,
            "strategy": each.strategy or None,
            "since": each.at,
            "reason": REMOVED if each.strategy else RINGFENCED,
            "says": LEFT.format(each.strategy) if each.strategy else NOBODYS,
        }
        for each in kept
    )


def elsewhere(asked: str, ringfenced: Mapping[str, Decimal]) -> str:
    """What there is to say of a coin that is in no universe: that the account holds it all the same, if it does."""
    coin = asked.upper().replace("-", "/").replace("_", "/").partition("/")[0]
    held = ringfenced.get(coin)
    return f"; the account holds {held.normalize():f} {coin}, which is counted in nothing and left alone" if held else ""


def journalled(path: Path, symbol: str, *, removed: bool, fenced: bool) -> tuple[Row, ...]:
    """The same out of the journal's file: `removed` and `fenced` say whether what such sources left is kept.

    Raises:
        JournalError: the file cannot be read, or not be trusted.
    """
    record = read(path)
    portfolio = Portfolio((), Ledger(), OrderTable())
    portfolio.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    return rows(portfolio.apart(currencies(symbol)[0], removed=removed, fenced=fenced))
