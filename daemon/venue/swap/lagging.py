"""The past of a futures account: what a venue whose look-ups lag behind shows of wallets and positions.

Rule: derived from what was booked, never stored. Leverage, margin type and the margin of isolated positions are those of now.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from daemon.venue import lagging
from daemon.venue.accounts import Account
from daemon.venue.orders import Order
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.swap.margin import Margin


def margin_at(exchange: SwapExchange, endpoint: str, symbol: str) -> Margin:
    """The account as a look-up sees it now."""
    at = lagging.seen_at(exchange, endpoint, symbol)
    return exchange.margin if at is None else _then(exchange, at)


def _then(exchange: SwapExchange, at: int) -> Margin:
    now = exchange.margin
    wallets: defaultdict[str, Decimal] = defaultdict(Decimal, exchange.account.initial)
    for income in now.incomes:
        if income.at <= at:
            wallets[income.asset] += income.amount
    waiting = {symbol: _open(exchange, symbol, at) for symbol in exchange.matching.orders}
    account = Account(wallets, min(exchange.account.updated, at))
    found = Margin(account, exchange.by_symbol, exchange.mark, lambda: {symbol: orders for symbol, orders in waiting.items() if orders})
    found.setups, found.hedged = now.setups, now.hedged
    for symbol, trades in exchange.matching.trades.items():
        position = found.positions[symbol]
        for trade in lagging.trades(trades, at):
            position.fill(trade.side, trade.price, trade.amount)
            position.updated = trade.at
        position.margin = now.positions[symbol].margin if position.amount else Decimal(0)
    return found


def _open(exchange: SwapExchange, symbol: str, at: int) -> list[Order]:
    return [order for order in lagging.orders(exchange.matching.orders[symbol], at) if order.open]
