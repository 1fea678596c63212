"""Private end points about the account: wallets, positions, incomes, and how markets are traded.

Rule: what is asked for is what holds after everything that has become due.
"""

from __future__ import annotations

from typing import Any, Final

from daemon.venue import lagging
from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.money import brief
from daemon.venue.params import SYMBOL, Params
from daemon.venue.swap import reports
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.swap.lagging import margin_at
from daemon.venue.swap.margin import Margin
from daemon.venue.swap.positions import BRACKETS, LEVERAGE_MAX, notional_cap

INCOMES_MAX: Final = 1000
RIGHTS: Final = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": False, "tradeGroupId": -1}
SUMS: Final = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
    "availableBalance": "availableBalance",
    "maxWithdrawAmount": "maxWithdrawAmount",
}
MAIN: Final = "USDT"  # the asset that the sums of a single-asset account are told in


def account(exchange: SwapExchange, _params: Params) -> Any:
    """Wallets, and the markets with a position or open orders."""
    margin = _seen(exchange, "account.status")
    assets = [reports.account_asset(margin, asset) for asset in _assets(exchange)]
    main = next(each for each in assets if each["asset"] == MAIN)
    sums = {name: main[field] for name, field in SUMS.items()}
    return sums | {"assets": assets, "positions": [reports.account_position(margin, market) for market in margin.busy()]}


def account_v2(exchange: SwapExchange, params: Params) -> Any:
    """The same, second version: every market, and its settings."""
    found = account(exchange, params)
    found["positions"] = [reports.account_position_v2(exchange.margin, market) for market in exchange.markets]
    return RIGHTS | {"multiAssetsMargin": False, "updateTime": exchange.account.updated} | found


def balance(exchange: SwapExchange, _params: Params) -> Any:
    """Wallets."""
    margin = _seen(exchange, "account.balance")
    names = ("crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "marginAvailable", "updateTime")
    found = [reports.account_asset(margin, asset) for asset in _assets(exchange)]
    return [
        {"accountAlias": "venue", "asset": each["asset"], "balance": each["walletBalance"]} | {n: each[n] for n in names} for each in found
    ]


def positions(exchange: SwapExchange, params: Params) -> Any:
    """The markets with a position or open orders."""
    margin = _seen(exchange, "account.position", params.maybe("symbol", SYMBOL) or "")
    return [reports.risk(margin, market) for market in margin.busy() if market in _chosen(exchange, params)]


def positions_v2(exchange: SwapExchange, params: Params) -> Any:
    """The same, second version: every market, and its settings."""
    margin = _seen(exchange, "account.position", params.maybe("symbol", SYMBOL) or "")
    return [reports.risk_v2(margin, market) for market in _chosen(exchange, params)]


def _seen(exchange: SwapExchange, endpoint: str, symbol: str = "") -> Margin:
    """The account as a look-up sees it."""
    exchange.advance(exchange.now())
    return margin_at(exchange, endpoint, symbol)


def _assets(exchange: SwapExchange) -> list[str]:
    return list(dict.fromkeys([MAIN, *(market.quote for market in exchange.markets), *exchange.account.balances]))


def _chosen(exchange: SwapExchange, params: Params) -> list[Market]:
    symbol = params.maybe("symbol", SYMBOL)
    return exchange.markets if symbol is None else [exchange.market(symbol)]


def incomes(exchange: SwapExchange, params: Params) -> Any:
    """What has moved the wallets, oldest first: the latest, or from a time on."""
    exchange.advance(exchange.now())
    symbol, kind = params.maybe("symbol", SYMBOL), params.maybe("incomeType")
    start, stop = params.integer("startTime"), params.integer("endTime")
    limit, page = params.limit(100, INCOMES_MAX), params.integer("page") or 1
    seen_at = lagging.seen_at(exchange, "income", symbol or "")
    stop = stop if seen_at is None else min(seen_at, stop or seen_at)
    found = [i for i in exchange.margin.incomes if symbol in (None, i.symbol) and kind in (None, i.kind)]
    found = [i for i in found if (start or 0) <= i.at <= ((1 << 62) if stop is None else stop)]
    listed = found[(page - 1) * limit : page * limit] if start is not None or "page" in params else found[-limit:]
    return [reports.income(each) for each in listed]


def commission(exchange: SwapExchange, params: Params) -> Any:
    """A market's fee rates."""
    market = exchange.market(params.text("symbol", SYMBOL))
    rates = {"makerCommissionRate": brief(exchange.fees.maker), "takerCommissionRate": brief(exchange.fees.taker)}
    return {"symbol": market.symbol, **rates}


def account_config(exchange: SwapExchange, _params: Params) -> Any:
    """How the account trades."""
    modes = {"dualSidePosition": exchange.margin.hedged, "multiAssetsMargin": False}
    return RIGHTS | modes | {"updateTime": 0}


def symbol_config(exchange: SwapExchange, params: Params) -> Any:
    """How markets are traded."""
    setups = [(market.symbol, exchange.margin.setups[market.symbol]) for market in _chosen(exchange, params)]
    return [
        {
            "symbol": symbol,
            "marginType": "ISOLATED" if setup.isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": setup.leverage,
            "maxNotionalValue": brief(notional_cap(setup.leverage)),
        }
        for symbol, setup in setups
    ]


def brackets(exchange: SwapExchange, params: Params) -> Any:
    """What margin positions must keep."""
    tiers = [
        {
            "bracket": each.number,
            "initialLeverage": each.leverage,
            "notionalCap": int(each.cap),
            "notionalFloor": int(each.floor),
            "maintMarginRatio": float(each.rate),
            "cum": float(each.less),
        }
        for each in BRACKETS
    ]
    return [{"symbol": market.symbol, "notionalCoef": 1.0, "brackets": tiers} for market in _chosen(exchange, params)]


def set_leverage(exchange: SwapExchange, params: Params) -> Any:
    """Set a market's leverage; what is held there must allow it."""
    exchange.advance(exchange.now())
    market = exchange.market(params.text("symbol", SYMBOL))
    leverage = int(params.text("leverage", r"^[0-9]{1,4}$"))
    if not 1 <= leverage <= LEVERAGE_MAX:
        raise VenueError(-4028, f"Leverage {leverage} is not valid")
    margin = exchange.margin
    setup, held = margin.setups[market.symbol], bool(margin.positions[market.symbol].amount)
    if held and setup.isolated and leverage < setup.leverage:
        raise VenueError(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
    if margin.exposure(market) > notional_cap(leverage):
        raise VenueError(-2027, "Exceeded the maximum allowable position at current leverage.")
    before, setup.leverage = setup.leverage, leverage
    if leverage < before and margin.figures(market.quote).available < 0:
        setup.leverage = before
        raise VenueError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
    if leverage != before:
        exchange.publish(reports.leverage_changed(market.symbol, leverage, exchange.now()))
    return {"symbol": market.symbol, "leverage": leverage, "maxNotionalValue": brief(notional_cap(leverage))}


def set_margin_type(exchange: SwapExchange, params: Params) -> Any:
    """Set whether a market's margin is its own; nothing may be open there."""
    exchange.advance(exchange.now())
    market = exchange.market(params.text("symbol", SYMBOL))
    wanted = params.choice("marginType", ("ISOLATED", "CROSSED"), VenueError(-4049, "Invalid margin type."))
    setup = exchange.margin.setups[market.symbol]
    if setup.isolated == (wanted == "ISOLATED"):
        raise VenueError(-4046, "No need to change margin type.")
    if market.symbol in exchange.matching.open:
        raise VenueError(-4047, "Margin type cannot be changed if there exists open orders.")
    if exchange.margin.positions[market.symbol].amount:
        raise VenueError(-4048, "Margin type cannot be changed if there exists position.")
    setup.isolated = wanted == "ISOLATED"
    exchange.publish(reports.account_update(exchange.margin, "MARGIN_TYPE_CHANGE", [], [market], exchange.now()))
    return {"code": 200, "msg": "success"}


def position_mode(exchange: SwapExchange, _params: Params) -> Any:
    """Whether the account is in hedge mode."""
    return {"dualSidePosition": exchange.margin.hedged}


def set_position_mode(exchange: SwapExchange, params: Params) -> Any:
    """Go into hedge mode, in which no order is taken here, or back."""
    exchange.advance(exchange.now())
    hedged = params.choice("dualSidePosition", ("true", "false"), VenueError(-1102, "Invalid dualSidePosition.")) == "true"
    if hedged == exchange.margin.hedged:
        raise VenueError(-4059, "No need to change position side.")
    if exchange.matching.open:
        raise VenueError(-4067, "Position side cannot be changed if there exists open orders.")
    if exchange.margin.held():
        raise VenueError(-4068, "Position side cannot be changed if there exists position.")
    exchange.margin.hedged = hedged
    return {"code": 200, "msg": "success"}


def assets_mode(_exchange: SwapExchange, _params: Params) -> Any:
    """Whether all assets are margin for one another; here they never are."""
    return {"multiAssetsMargin": False}


def open_key(exchange: SwapExchange, _params: Params) -> Any:
    """Ask for a listen key."""
    exchange.advance(exchange.now())
    return {"listenKey": exchange.keys.open(exchange.now())}


def prolong_key(exchange: SwapExchange, _params: Params) -> Any:
    """Keep the listen key."""
    exchange.advance(exchange.now())
    return {"listenKey": exchange.keys.prolong(exchange.now())}


def close_key(exchange: SwapExchange, _params: Params) -> Any:
    """End the listen key."""
    exchange.keys.close()
    return {}
