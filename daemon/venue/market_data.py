"""Public end points: what anybody may ask.

Rule: each handler is a synchronous function of the exchange and the parameters; it answers JSON values, or JSON text where that is ready.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from daemon.venue.candles import earliest, kline, latest, quote_volume
from daemon.venue.errors import VenueError, bad_interval
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Patch
from daemon.venue.intervals import DAY, divides
from daemon.venue.markets import Market
from daemon.venue.money import text
from daemon.venue.params import SYMBOL, Params
from daemon.venue.tape import Bar, Tape, extended

STATISTICS_ROWS: Final = 300  # the 24 h statistics look back this many rows at most, so that asking for 3,500 markets stays cheap


class Text(str):
    """JSON text, ready to be sent."""

    __slots__ = ()


def ping(_exchange: Exchange, _params: Params) -> Any:
    """Nothing, quickly."""
    return {}


def time(exchange: Exchange, _params: Params) -> Any:
    """The venue's clock, ms."""
    return {"serverTime": exchange.time()}


def exchange_info(exchange: Exchange, params: Params) -> Any:
    """Rules of all markets, of one, or of some."""
    symbols = params.symbols()
    markets = listed(exchange) if symbols is None else [exchange.market(symbol) for symbol in symbols]
    if "permissions" in params and symbols is not None:
        raise VenueError(-1128, "Combination of optional parameters invalid.")
    if "permissions" in params and "SPOT" not in params.text("permissions"):
        markets = []
    head = {
        "timezone": "UTC",
        "serverTime": exchange.time(),
        "rateLimits": rate_limits(exchange),
        "exchangeFilters": [],
    }
    entries = ",".join(_entry(exchange, market) for market in markets)
    return Text(json.dumps(head, separators=(",", ":"))[:-1] + f',"symbols":[{entries}]}}')


def listed(exchange: Exchange) -> list[Market]:
    """All markets, with the rules of now."""
    if not exchange.faults.any(Patch):
        return exchange.markets
    patches = {market.symbol: exchange.patch(market.symbol) for market in exchange.markets}
    return [exchange.market(symbol) for symbol, patch in patches.items() if patch is None or not patch.delisted]


def _entry(exchange: Exchange, market: Market) -> str:
    """A market's rules as JSON text; those that nothing has changed are made once."""
    patched = exchange.patch(market.symbol) is not None
    entry = exchange.rule_texts.get(market.index)
    if entry is None or patched:
        entry = json.dumps(exchange.rules(market), separators=(",", ":"))
    if not patched:
        exchange.rule_texts[market.index] = entry
    return entry.replace('"TRADING"', f'"{exchange.closed_word}"') if exchange.is_closed(market.symbol) else entry


def rate_limits(exchange: Exchange) -> list[dict[str, Any]]:
    """The limits as exchangeInfo states them."""
    settings = exchange.settings
    return [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": settings.weight_limit},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": settings.order_limit},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": settings.order_limit_day},
    ]


def klines(exchange: Exchange, params: Params) -> Any:
    """Candles of a market, the forming one last."""
    market = exchange.market(params.text("symbol", SYMBOL))
    interval = params.text("interval")
    if not divides(exchange.settings.interval, interval):
        raise bad_interval()
    exchange.shown.add(market.index)
    return candles(exchange, exchange.tape, market, interval, params)


def candles(exchange: Exchange, tape: Tape, market: Market, interval: str, params: Params) -> Text:
    """The candles of a tape that are asked for."""
    limit = params.limit(500, exchange.klines_max)
    start, stop, now = params.integer("startTime"), params.integer("endTime"), exchange.now()
    if start is None:
        bars = latest(tape, market.index, interval, limit, min(now if stop is None else stop, now), now)
    else:
        bars = earliest(tape, market.index, interval, limit, start, now if stop is None else stop, now)
    return Text(f"[{','.join(map(kline, bars))}]")


def ticker_price(exchange: Exchange, params: Params) -> Any:
    """Last prices."""
    return each(exchange, params, lambda market: {"symbol": market.symbol, "price": text(exchange.last(market))})


def book_ticker(exchange: Exchange, params: Params) -> Any:
    """Best prices and amounts."""
    return each(exchange, params, lambda market: best(exchange, market))


def best(exchange: Exchange, market: Market) -> dict[str, Any]:
    """A market's best prices and the amounts there."""
    last = exchange.last(market)
    bid = next(exchange.book.levels(market, last, "SELL", 1))
    ask = next(exchange.book.levels(market, last, "BUY", 1))
    return {
        "symbol": market.symbol,
        "bidPrice": text(bid.price),
        "bidQty": text(bid.amount),
        "askPrice": text(ask.price),
        "askQty": text(ask.amount),
    }


def ticker_day(exchange: Exchange, params: Params) -> Any:
    """Statistics of the last 24 h, or of the last rows where 24 h are more than `STATISTICS_ROWS`."""
    return each(exchange, params, lambda market: statistics(exchange, market))


def day(exchange: Exchange, market: Market) -> Bar:
    """One candle over the period of the statistics."""
    now, tape = exchange.now(), exchange.tape
    live = tape.index(now)
    first = max(live - min(DAY // tape.step, STATISTICS_ROWS), 0)
    start, end = tape.opens(first), tape.opens(live + 1)
    table = tape.table(market.index, first, live)
    table = table[~np.isnan(table[:, 0])]
    forming = tape.forming(market.index, now)
    if not len(table):
        price = tape.last(market.index, now)
        return (forming or Bar(start, end, price, price, price, price, 0.0))._replace(start=start, end=end)
    whole = Bar(start, end, table[0, 0], table[:, 1].max(), table[:, 2].min(), table[-1, 3], table[:, 4].sum())
    return extended(whole, forming) if forming else whole


def statistics(exchange: Exchange, market: Market) -> dict[str, Any]:
    """A market's 24 h statistics."""
    bar = day(exchange, market)
    change = bar.close - bar.open
    quote = quote_volume(bar)
    found = best(exchange, market)
    return {
        "symbol": market.symbol,
        "priceChange": f"{change:.8f}",
        "priceChangePercent": f"{change / bar.open * 100:.3f}",
        "weightedAvgPrice": f"{quote / bar.volume if bar.volume else bar.close:.8f}",
        "prevClosePrice": f"{bar.open:.8f}",
        "lastPrice": f"{bar.close:.8f}",
        "lastQty": text(market.step),
        **{name: found[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty")},
        "openPrice": f"{bar.open:.8f}",
        "highPrice": f"{bar.high:.8f}",
        "lowPrice": f"{bar.low:.8f}",
        "volume": f"{bar.volume:.8f}",
        "quoteVolume": f"{quote:.8f}",
        "openTime": bar.start,
        "closeTime": exchange.now(),
        "firstId": 0,
        "lastId": 0,
        "count": 0,
    }


def depth(exchange: Exchange, params: Params) -> Any:
    """The book of a market."""
    market = exchange.market(params.text("symbol", SYMBOL))
    last, limit = exchange.last(market), params.limit(100, 5000)
    sides = {side: [[text(p), text(a)] for p, a in exchange.book.levels(market, last, side, limit)] for side in ("SELL", "BUY")}
    return {"lastUpdateId": exchange.now(), "bids": sides["SELL"], "asks": sides["BUY"]}


def each(exchange: Exchange, params: Params, view: Any) -> Any:
    """One market's view for `symbol`, a list for `symbols` or for all."""
    symbols = params.symbols()
    if symbols is not None and "symbol" in params:
        return view(exchange.market(symbols[0]))
    markets = listed(exchange) if symbols is None else [exchange.market(symbol) for symbol in symbols]
    return [view(market) for market in markets]
