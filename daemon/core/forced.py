"""Forced: trades that the venue has made of a position of ours by itself, in a liquidation or an auto-deleveraging.

Rule: they count like any trade; their symbol only reduces from then on, until a person says otherwise.
"""

from collections.abc import Iterable
from typing import Final

from daemon.core.events import Event, HoldPlaced, OrderReported
from daemon.core.model import is_swap
from daemon.core.states import Hold, Level, Scope

# How Binance names the orders by which it takes positions over (its "Event: Order Update"), and what that is called here.
TAKEN_OVER: Final = "autoclose-"
NAMES: Final = {TAKEN_OVER: "liquidated", "adl_autoclose": "deleveraged", "settlement_autoclose-": "delisted"}


def forced(order_id: str) -> str:
    """What the venue has done by an order, as a stable code; "": it is not the venue's."""
    return next((code for beginning, code in NAMES.items() if order_id.startswith(beginning)), "")


def on_reported(event: OrderReported) -> Iterable[Event]:
    """Somebody must look before such a position is opened again.

    The order says so, not its trade: a listing that has told of that before names no order, and no trade is told twice.
    """
    told = event.report
    code = forced(told.order_id) if is_swap(told.symbol) and told.filled > 0 else ""
    if code:
        at = f" at {told.cost / told.filled:.8g}" if told.cost else ""
        trade = f"{told.filled.normalize():f} of {told.symbol}{at}"
        text = f"the exchange has {code} {trade}; it only reduces until it is resumed"
        yield HoldPlaced(Hold(scope=Scope(symbol=told.symbol), level=Level.REDUCING, code=code, text=text, since=event.at), event.at)
