"""Public end points of futures, as far as they are not those of spot.

Rule: as there. The index price is the mark price: there is no basis here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from daemon.venue import market_data
from daemon.venue.errors import bad_interval
from daemon.venue.intervals import divides
from daemon.venue.market_data import Text
from daemon.venue.markets import Market
from daemon.venue.money import text
from daemon.venue.params import SYMBOL, Params
from daemon.venue.swap.exchange import SwapExchange

FUNDINGS_MAX: Final = 1000
RATE_CAP: Final = "0.02"  # of a funding rate, either way


def exchange_info(exchange: SwapExchange, _params: Params) -> Any:
    """Rules of all markets."""
    assets = [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in {m.quote: None for m in exchange.markets}]
    head = json.dumps({"futuresType": "U_MARGINED", "assets": assets}, separators=(",", ":"))
    return Text(f"{head[:-1]},{market_data.exchange_info(exchange, Params({}))[1:]}")


def mark_klines(exchange: SwapExchange, params: Params) -> Any:
    """Candles of a market's mark price."""
    market = exchange.market(params.text("symbol", SYMBOL))
    interval = params.text("interval")
    if not divides(exchange.settings.interval, interval):
        raise bad_interval()
    return market_data.candles(exchange, exchange.marks.tape, market, interval, params)


def premium_index(exchange: SwapExchange, params: Params) -> Any:
    """Mark price, and the rate that longs will pay next."""
    return market_data.each(exchange, params, lambda market: premium(exchange, market))


def premium(exchange: SwapExchange, market: Market) -> dict[str, Any]:
    """A market's mark price and next funding."""
    now = exchange.now()
    mark, coming = text(exchange.marks.price(market, now)), exchange.funding.next(market.index, now)
    return {
        "symbol": market.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": text(coming.rate),
        "interestRate": "0.00010000",
        "nextFundingTime": coming.at,
        "time": now,
    }


def funding_rates(exchange: SwapExchange, params: Params) -> Any:
    """Settled rates, oldest first: the latest ones, or from a time on."""
    symbol, now = params.maybe("symbol", SYMBOL), exchange.now()
    markets = market_data.listed(exchange) if symbol is None else [exchange.market(symbol)]
    start, stop = params.integer("startTime"), params.integer("endTime")
    limit = params.limit(100, FUNDINGS_MAX)
    until = now if stop is None else min(stop, now)
    settled = [(each, m) for m in markets for each in exchange.funding.between(m.index, (start or 1) - 1, until)]
    settled.sort(key=lambda found: (found[0].at, found[1].index))
    return [
        {
            "symbol": market.symbol,
            "fundingTime": each.at,
            "fundingRate": text(each.rate),
            "markPrice": text(exchange.marks.price(market, each.at)),
        }
        for each, market in (settled[-limit:] if start is None else settled[:limit])
    ]


def funding_info(exchange: SwapExchange, _params: Params) -> Any:
    """How often the markets settle."""
    caps = {"adjustedFundingRateCap": RATE_CAP, "adjustedFundingRateFloor": f"-{RATE_CAP}", "disclaimer": False}
    return [{"symbol": m.symbol, **caps, "fundingIntervalHours": exchange.funding.hours(m.index)} for m in market_data.listed(exchange)]


def ticker_price(exchange: SwapExchange, params: Params) -> Any:
    """Last prices."""
    return market_data.each(exchange, params, lambda m: {"symbol": m.symbol, "price": text(exchange.last(m)), "time": exchange.now()})


def book_ticker(exchange: SwapExchange, params: Params) -> Any:
    """Best prices and amounts."""
    return market_data.each(exchange, params, lambda market: market_data.best(exchange, market) | {"time": exchange.now()})


def ticker_day(exchange: SwapExchange, params: Params) -> Any:
    """Statistics of the last 24 h; see spot's."""
    return market_data.each(exchange, params, lambda market: _statistics(exchange, market))


def _statistics(exchange: SwapExchange, market: Market) -> dict[str, Any]:
    unknown = ("prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty")
    return {name: value for name, value in market_data.statistics(exchange, market).items() if name not in unknown}


def mark_text(exchange: SwapExchange, market: Market) -> str:
    """A markPriceUpdate message."""
    found = premium(exchange, market)
    body = {"e": "markPriceUpdate", "E": found["time"], "s": market.symbol, "p": found["markPrice"], "i": found["indexPrice"]}
    body |= {"P": found["estimatedSettlePrice"], "r": found["lastFundingRate"], "T": found["nextFundingTime"]}
    return json.dumps(body, separators=(",", ":"))


def book_text(exchange: SwapExchange, market: Market) -> str:
    """A bookTicker message."""
    found, now = market_data.best(exchange, market), exchange.now()
    body = {"e": "bookTicker", "u": exchange.tape.index(now), "E": now, "T": now, "s": market.symbol}
    body |= {"b": found["bidPrice"], "B": found["bidQty"], "a": found["askPrice"], "A": found["askQty"]}
    return json.dumps(body, separators=(",", ":"))
