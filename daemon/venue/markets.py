"""The markets a venue lists, and their rules.

Rule: price and amount decimals of a market sum to at most eight, so that price x amount is always an exact amount of the quote asset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any, Final

import numpy as np

from daemon.venue.money import text

# base: (price, price decimals, amount decimals), as Binance's rules of the USDT markets are about.
KNOWN: Final[dict[str, tuple[float, int, int]]] = {
    "BTC": (62_000.0, 2, 5),
    "ETH": (2_600.0, 2, 4),
    "SOL": (150.0, 2, 3),
    "XRP": (0.55, 4, 1),
    "ADA": (0.45, 4, 1),
    "DOT": (5.5, 3, 2),
    "LINK": (13.0, 3, 2),
    "LTC": (70.0, 2, 3),
    "BCH": (350.0, 2, 3),
    "UNI": (8.0, 3, 2),
    "AAVE": (150.0, 2, 3),
    "COMP": (50.0, 2, 3),
    "BNB": (580.0, 2, 3),
    "DOGE": (0.12, 5, 0),
    "AVAX": (28.0, 3, 2),
    "TRX": (0.15, 4, 1),
    "ATOM": (4.5, 3, 2),
    "NEAR": (4.2, 3, 1),
    "FIL": (3.8, 3, 2),
    "ETC": (19.0, 2, 2),
    "XLM": (0.1, 4, 0),
    "ALGO": (0.13, 4, 0),
    "ICP": (8.2, 3, 2),
    "APT": (8.5, 3, 2),
    "ARB": (0.56, 4, 1),
    "OP": (1.6, 3, 2),
    "INJ": (20.0, 2, 2),
    "SUI": (1.8, 4, 1),
    "SEI": (0.42, 4, 1),
    "TIA": (5.1, 3, 2),
    "MKR": (1_500.0, 1, 4),
    "SNX": (1.5, 3, 1),
    "CRV": (0.3, 4, 1),
    "GRT": (0.16, 4, 0),
    "SAND": (0.27, 4, 0),
    "MANA": (0.3, 4, 0),
    "AXS": (5.0, 3, 2),
    "FTM": (0.68, 4, 0),
    "EGLD": (27.0, 2, 2),
    "XTZ": (0.7, 3, 1),
    "THETA": (1.3, 3, 1),
    "VET": (0.023, 5, 1),
    "HBAR": (0.055, 5, 0),
    "QNT": (68.0, 2, 3),
    "RUNE": (5.0, 3, 1),
    "KSM": (19.0, 2, 3),
    "DASH": (25.0, 2, 3),
    "ZEC": (37.0, 2, 3),
    "NEO": (10.0, 2, 2),
    "IOTA": (0.13, 4, 0),
    "CHZ": (0.07, 5, 0),
    "ENJ": (0.16, 4, 1),
    "BAT": (0.18, 4, 1),
    "ZRX": (0.33, 4, 0),
    "1INCH": (0.27, 4, 1),
    "LDO": (1.1, 3, 2),
    "GALA": (0.021, 5, 0),
    "PEPE": (0.0000104, 8, 0),
    "SHIB": (0.0000178, 8, 0),
    "WIF": (2.3, 3, 2),
}
QUOTE: Final = "USDT"
DECIMALS: Final = 8  # of every asset


@dataclass(frozen=True, slots=True)
class Market:
    """One listed market."""

    index: int  # place in the list; seeds its prices
    symbol: str  # the protocol's name, base and quote joined
    base: str
    quote: str
    price: float  # where generated prices start, quote per base
    price_decimals: int
    amount_decimals: int
    tick: Decimal  # quote per base
    step: Decimal  # base units

    def exact(self, price: float) -> Decimal:
        """A float price on this market's grid as Decimal."""
        return Decimal(round(price * 10**self.price_decimals)).scaleb(-self.price_decimals)

    @property
    def amount_max(self) -> Decimal:
        """Largest amount of one order, base units: about ninety million quote units."""
        digits = max(0, 8 - math.floor(math.log10(max(self.price, 1e-8))) - 1)
        return Decimal(9).scaleb(digits)


def market(index: int, base: str, quote: str, price: float, price_decimals: int | None = None) -> Market:
    """A market with the well-known rules of its base, or with rules by the magnitude of its price."""
    magnitude = math.floor(math.log10(price))
    known = KNOWN.get(base) if quote == QUOTE else None
    decimals = known[1] if known else min(8, max(2, 3 - magnitude))
    decimals = decimals if price_decimals is None else price_decimals
    amount = known[2] if known else min(5, max(0, magnitude + 1))
    amount = min(amount, DECIMALS - decimals)
    tick, step = Decimal(1).scaleb(-decimals), Decimal(1).scaleb(-amount)
    return Market(index, base + quote, base, quote, price, decimals, amount, tick, step)


def _names(taken: set[str]) -> Iterator[tuple[str, float | None]]:
    """Bases to list behind the recorded ones: the well-known first, then pronounceable inventions without end."""
    for base, (price, _, _) in KNOWN.items():
        if base not in taken:
            yield base, price
    taken = taken | set(KNOWN) | {"YOYO"}  # ccxt renames YOYO
    for length in (4, 6, 8):
        for letters in product(*("BDFGKLMNPRSTVXZ", "AEIOU") * (length // 2)):
            if (base := "".join(letters)) not in taken:
                yield base, None


def listed(recorded: Sequence[Market], count: int, seed: int) -> list[Market]:
    """The recorded markets and, up to `count`, generated ones behind them."""
    markets = list(recorded)
    chance = np.random.default_rng((seed, 0x11))
    names = _names({m.base for m in recorded if m.quote == QUOTE})
    for index, (base, price) in zip(range(len(markets), count), names, strict=False):
        start = float(np.exp(chance.uniform(np.log(0.002), np.log(400.0))))
        markets.append(market(index, base, QUOTE, price or start))
    return markets


def rules(market: Market, notional_min: Decimal) -> dict[str, Any]:
    """The market's entry in exchangeInfo."""
    return {
        "symbol": market.symbol,
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": DECIMALS,
        "quoteAsset": market.quote,
        "quotePrecision": DECIMALS,
        "quoteAssetPrecision": DECIMALS,
        "baseCommissionPrecision": DECIMALS,
        "quoteCommissionPrecision": DECIMALS,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(market, notional_min),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


MAX_OPEN_ORDERS: Final = 200  # a market, as Binance's MAX_NUM_ORDERS
PRICE_MAX: Final = Decimal(1_000_000)  # quote per base
NOTIONAL_MAX: Final = Decimal(90_000_000)  # of a limit order, quote units
PRICE_BAND: Final = Decimal(5)  # a limit may be this many times away from the last price, as Binance's PERCENT_PRICE_BY_SIDE


def filters(market: Market, notional_min: Decimal) -> list[dict[str, Any]]:
    """The market's rules as the protocol's filters."""
    amount_max = text(market.amount_max)
    up, down = str(PRICE_BAND), f"{1 / PRICE_BAND}"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": text(market.tick), "maxPrice": text(PRICE_MAX), "tickSize": text(market.tick)},
        {"filterType": "LOT_SIZE", "minQty": text(market.step), "maxQty": amount_max, "stepSize": text(market.step)},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": amount_max, "stepSize": "0.00000000"},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(notional_min),
            "applyMinToMarket": True,
            "maxNotional": text(NOTIONAL_MAX),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_OPEN_ORDERS},
    ]
