"""Private end points about orders, as far as they are not those of spot.

Rule: as there: parameters first, then the market's rules, then the matching engine; the first refusal is the answer.
"""

from __future__ import annotations

from typing import Any, Final

from daemon.venue import lagging, trading
from daemon.venue.errors import VenueError, mandatory, no_such_order, not_required
from daemon.venue.markets import Market
from daemon.venue.orders import Kind, Life, NewOrder
from daemon.venue.params import SYMBOL, Params
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.swap.rules import check

KINDS: Final[tuple[Kind, ...]] = ("LIMIT", "MARKET")
LIVES: Final[tuple[Life, ...]] = ("GTC", "IOC", "FOK", "GTX")
CONDITIONAL: Final = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


def place(exchange: SwapExchange, params: Params) -> Any:
    """A new order."""
    new = _new_order(exchange, params)
    detail = params.choice("newOrderRespType", ("ACK", "RESULT"), VenueError(-1136, "Invalid newOrderRespType."), "ACK")
    return exchange.words.placed(exchange.matching.place(new, exchange.moment), detail)


def test(exchange: SwapExchange, params: Params) -> Any:
    """Everything a new order goes through short of the matching engine."""
    _new_order(exchange, params)
    return {}


def _new_order(exchange: SwapExchange, params: Params) -> NewOrder:
    """The order the parameters describe, within the market's rules."""
    exchange.advance(exchange.now())
    market = exchange.market(params.text("symbol", SYMBOL))
    side = params.choice("side", trading.SIDES, VenueError(-1117, "Invalid side."))
    kind = _kind(params)
    life = _life(params, kind)
    amount, price = params.amount("quantity"), params.amount("price")
    if amount is None:
        raise mandatory("quantity")
    if kind == "LIMIT" and price is None:
        raise mandatory("price")
    if kind == "MARKET" and price is not None:
        raise not_required("price")
    new = NewOrder(
        market=market,
        side=side,
        kind=kind,
        life=life,
        price=price,
        amount=amount,
        quote=None,
        reduce_only=params.flag("reduceOnly"),
        client_id=params.maybe("newClientOrderId", exchange.client_id) or exchange.make_id(),
    )
    _one_way(exchange, params)
    _open(exchange, market)
    check(new, exchange.last(market), exchange.mark(market), exchange.notional_min(market.symbol))
    return new


def _kind(params: Params) -> Kind:
    if params.maybe("type") in CONDITIONAL:
        raise VenueError(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
    return params.choice("type", KINDS, VenueError(-1116, "Invalid orderType."))


def _life(params: Params, kind: Kind) -> Life:
    if kind != "LIMIT":
        if "timeInForce" in params:
            raise not_required("timeInForce")
        return "GTC"
    return params.choice("timeInForce", LIVES, VenueError(-1115, "Invalid timeInForce."))


def _one_way(exchange: SwapExchange, params: Params) -> None:
    """Refuse what belongs to hedge mode, or everything while the account is in it."""
    if exchange.margin.hedged or params.maybe("positionSide") not in (None, "BOTH"):
        raise VenueError(-4061, "Order's position side does not match user's setting.")


def _open(exchange: SwapExchange, market: Market) -> None:
    if exchange.is_closed(market.symbol):
        raise VenueError(-4141, "Symbol is closed.")


def cancel_all(exchange: SwapExchange, params: Params) -> Any:
    """End all open orders of a market; that there are none is no error."""
    exchange.advance(exchange.now())
    market = exchange.market(params.text("symbol", SYMBOL))
    for order in list(exchange.matching.open.get(market.symbol, [])):
        exchange.matching.cancel(order, exchange.make_id(), exchange.moment)
    return DONE


def countdown(exchange: SwapExchange, params: Params) -> Any:
    """Have all open orders of a market cancelled after so many ms, unless it is asked for again; 0: not at all."""
    exchange.advance(exchange.now())
    market, length = exchange.market(params.text("symbol", SYMBOL)), params.integer("countdownTime")
    if length is None:
        raise mandatory("countdownTime")
    exchange.countdowns.set(market, length, exchange.moment)
    return {"symbol": market.symbol, "countdownTime": str(length)}


def open_order(exchange: SwapExchange, params: Params) -> Any:
    """One open order."""
    order = trading.find(exchange, params, no_such_order())
    seen = lagging.orders([order], lagging.seen_at(exchange, "openOrders.status", order.market.symbol))
    if not seen or not seen[0].open:
        raise no_such_order()
    return exchange.words.queried(seen[0])


def force_orders(exchange: SwapExchange, params: Params) -> Any:
    """The liquidations and deleveragings of the account, newest first."""
    exchange.advance(exchange.now())
    symbol, kind = params.maybe("symbol", SYMBOL), params.maybe("autoCloseType")
    start, stop = trading.period(exchange, params)
    prefix = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose"}.get(kind or "", "")
    found = [o for orders in exchange.matching.orders.values() for o in orders if o.forced and o.client_id.startswith(prefix)]
    found = [order for order in found if symbol in (None, order.market.symbol) and start <= order.created <= stop]
    found.sort(key=lambda order: order.created, reverse=True)
    return [exchange.words.queried(order) for order in found[: params.limit(50, 100)]]
