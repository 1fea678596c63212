"""What faults do once: money that moves, orders that nobody has sent, bans, closed websockets.

Rule: what is booked takes the way of every order and transfer, so that the books hold; what the exchange refuses is noted, and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from daemon.venue.endpoints import Handler
from daemon.venue.errors import VenueError
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Ban, Close, Deleverage, Deposit, InForce, Plant, Reset
from daemon.venue.money import floor_to, text
from daemon.venue.params import Params

Closing = Callable[[int, Collection[str]], None]


def act(exchange: Exchange, place: Handler, close: Closing) -> None:
    """Do what is due now; `place` books orders, `close` ends the websockets of some kinds with a code."""
    for fault in exchange.faults.due(exchange.now()):
        try:
            _do(exchange, fault, place, close)
        except VenueError as error:
            fault.failed = error.message


def _do(exchange: Exchange, fault: InForce, place: Handler, close: Closing) -> None:
    match fault.fault.effect:
        case Deposit(asset, amount):
            exchange.transfer(asset, amount)
        case Plant() as plant:
            _plant(exchange, place, plant)
        case Deleverage(symbol, share):
            exchange.deleverage(symbol, share)
        case Ban(ms):
            exchange.limits.ban(exchange.now() + ms)
        case Reset():
            exchange.forget()
        case Close(code):
            close(code, fault.fault.scope.on)
        case _:
            raise TypeError(f"{fault.fault.do} is nothing that is done once")


def _plant(exchange: Exchange, place: Handler, plant: Plant) -> None:
    market = exchange.market(plant.symbol)
    values = {"symbol": plant.symbol, "side": plant.side, "type": plant.kind, "quantity": text(plant.amount)}
    if plant.kind == "LIMIT":
        away = 1 - plant.away if plant.side == "BUY" else 1 + plant.away
        values |= {"price": text(floor_to(exchange.last(market) * away, market.tick)), "timeInForce": "GTC"}
    if plant.client_id is not None:
        values["newClientOrderId"] = plant.client_id
    exchange.planting = True
    try:
        place(exchange, Params(values))
    finally:
        exchange.planting = False
