"""Abilities: what an exchange can do and wants, as far as ccxt knows, without asking it.

Rule: nothing here opens a connection.
"""

import inspect
from collections.abc import Mapping

from daemon.io.ccxt_client import class_of


def has_passphrase(venue: str) -> bool:
    """Whether the keys of an exchange have a passphrase, too. Fatal: ccxt has no such exchange."""
    return bool(class_of(venue)().requiredCredentials.get("password"))


def abilities(venue: str, market: str, timeframe: str) -> Mapping[str, bool]:
    """Whether an exchange can do what a daemon makes use of, by what that is. `market`: spot or swap. Fatal: ccxt has no such exchange.

    `own_ids`: an order may be sent under an id of ours, by which an answer that was lost is found again.
    """
    made = class_of(venue)()
    kind = ("spot",) if market == "spot" else ("swap", "linear")
    lives = made.feature_value_by_type(*kind, "createOrder", "timeInForce") or {}
    rates = bool(made.has.get("fetchFundingRates") or made.has.get("fetchFundingRate"))
    of_swaps = {
        "funding_rates": rates,
        "mark_prices": rates or bool(made.has.get("fetchMarkPrices") or made.has.get("fetchMarkPrice")),
        "past_funding_rates": bool(made.has.get("fetchFundingRateHistory")),
        "mark_candles": bool(made.has.get("fetchMarkOHLCV")),
    }
    return {
        **({} if market == "spot" else of_swaps),
        "timeframe": timeframe in (made.timeframes or {}),
        "market_orders": bool(made.has.get("createOrder")),
        "limit_orders": bool(lives.get("IOC")),
        "resting_orders": bool(lives.get("PO")),
        "own_ids": "clientOrderId" in inspect.getsource(type(made)),
        "bar_streams": bool(made.has.get("watchOHLCVForSymbols") or made.has.get("watchOHLCV")),
        "account_streams": bool(made.has.get("watchOrders") or made.has.get("watchMyTrades")),
    }
