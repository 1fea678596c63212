"""The kinds of market a venue may have: what of it is not the same for all.

Rule: tape, book, matching, limits, faults and websockets are one; a face says who keeps the money and how it is talked about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from daemon.venue import streams, trading
from daemon.venue.audit import audit
from daemon.venue.endpoints import SPOT, Handler, Interface
from daemon.venue.exchange import Exchange
from daemon.venue.money import text
from daemon.venue.settings import VenueSettings
from daemon.venue.swap import audit as swap_audit
from daemon.venue.swap import market_data as swap_data
from daemon.venue.swap import reports as swap_reports
from daemon.venue.swap import trading as swap_trading
from daemon.venue.swap.endpoints import SWAP
from daemon.venue.swap.exchange import SwapExchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One kind of market. `exchange` makes its exchange, which is what the others take."""

    exchange: Callable[[VenueSettings, Callable[[], float]], Exchange]
    interface: Interface
    tickers: Mapping[str, streams.Ticker]  # market streams by name, candles aside
    place: Handler
    audit: Callable[[Any], list[str]]
    holdings: Callable[[Any], dict[str, Any]]  # for the dump


def _balances(exchange: Exchange) -> dict[str, Any]:
    balances = exchange.account.balances
    return {"balances": {asset: {"free": text(b.free), "locked": text(b.locked)} for asset, b in balances.items()}}


def _wallets(exchange: SwapExchange) -> dict[str, Any]:
    margin = exchange.margin
    return {
        "wallets": {asset: text(balance.free) for asset, balance in exchange.account.balances.items()},
        "positions": [swap_reports.risk_v2(margin, market) for market in margin.busy()],
        "incomes": [swap_reports.income(income) for income in margin.incomes],
    }


FACES: Final[Mapping[str, Face]] = {
    "spot": Face(
        exchange=Exchange,
        interface=SPOT,
        tickers={"bookTicker": streams.book_text, "miniTicker": streams.mini_text},
        place=trading.place,
        audit=audit,
        holdings=_balances,
    ),
    "swap": Face(
        exchange=SwapExchange,
        interface=SWAP,
        tickers={"bookTicker": swap_data.book_text, "miniTicker": streams.mini_text, "markPrice": swap_data.mark_text},
        place=swap_trading.place,
        audit=swap_audit.audit,
        holdings=_wallets,
    ),
}
NAMES: Final = frozenset(name for face in FACES.values() for name in face.interface.name_of.values())
PRIVATE: Final = frozenset(name for face in FACES.values() for name in face.interface.private)
