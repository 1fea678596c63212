"""Forced trades: what the exchange does by itself is told by its order, whoever told of the trade first."""

from decimal import Decimal

import pytest

from daemon.core import forced
from daemon.core.events import HoldPlaced, OrderReported
from daemon.core.model import OrderReport, Side, Status
from daemon.core.states import Level
from tests.core.builders import after

SWAP = "BTC/USDT:USDT"


def reported(order_id: str, symbol: str = SWAP, filled: str = "3") -> list[object]:
    """What comes of a report of such an order, which names no trade."""
    done = Decimal(filled)
    report = OrderReport(
        order_id=order_id,
        venue_id="77",
        symbol=symbol,
        side=Side.SELL,
        status=Status.FILLED,
        amount=Decimal(3),
        filled=done,
        cost=done * 40_000,
        at=after(1),
    )
    return list(forced.on_reported(OrderReported(report, "stream", after(1))))


@pytest.mark.parametrize(("order_id", "code"), [("autoclose-1", "liquidated"), ("adl_autoclose", "deleveraged")])
def test_an_order_of_the_exchange_has_its_symbol_reduce_only(order_id: str, code: str) -> None:
    """The report is enough: its trade may have been listed before, without the order's name."""
    (placed,) = reported(order_id)
    assert isinstance(placed, HoldPlaced)
    assert (placed.hold.level, placed.hold.code, placed.hold.scope.symbol) == (Level.REDUCING, code, SWAP)
    assert f"the exchange has {code} 3 of {SWAP} at 40000; it only reduces until it is resumed" == placed.hold.text


def test_other_orders_hold_nothing() -> None:
    """Orders of ours and of people, one that has not traded, and a name on spot that means nothing there."""
    assert reported("rwjed1") == reported("autoclose-1", filled="0") == reported("autoclose-1", symbol="BTC/USDT") == []
