"""Swaps whose orders are worked on over time: what becomes of them where there is no room beside a liquidation."""

from decimal import Decimal

import pytest

from daemon.core import events as e
from daemon.core.model import ZERO, Fill, Flow, Side, Status
from daemon.core.risk_orders import OrderLimits
from daemon.core.styles import Style, Terms
from tests.core.builders import after
from tests.core.test_swaps import BTC, ETH, swap
from tests.core.workdesk import WorkDesk, maker, twap

FAR = OrderLimits(liquidation_min=Decimal("0.9"))


def desk(terms: Terms, eth: int = 0) -> WorkDesk:
    """An account of 1,000 that may have no position nearer than 90 % to its liquidation, with so many ETH at 100."""
    made = WorkDesk(terms, swap(BTC), swap(ETH), held="0", order_limits=FAR)
    if eth:
        amount, price = Decimal(eth), Decimal(100)
        trade = Fill(
            order_id="",
            venue_id="v",
            trade_id="t",
            symbol=ETH,
            side=Side.BUY,
            amount=amount,
            price=price,
            cost=amount * price,
            fees=(),
            at=after(1),
        )
        made.ledger.book(trade)
    for symbol in (BTC, ETH):
        made.touch(symbol=symbol)
    return made


def work(at: WorkDesk, seconds: float) -> None:
    """Let time pass; the book is read as it stands, and what takes from it fills at once."""
    for _ in range(int(2 * seconds)):
        at.wait(0.5)
        for symbol in (BTC, ETH):
            at.touch(symbol=symbol)
        for order in at.orders():
            if not (order.post_only or at.tracked(order).settled):
                at.open(order)
                at.ended(order, Status.FILLED, str(order.amount))


@pytest.mark.parametrize("terms", [twap(), maker(must_complete=True)], ids=list(Style)[-2:])
def test_what_may_not_grow_any_more_is_worked_on_no_further(terms: Terms) -> None:
    """Its room beside a liquidation is gone and nothing makes any: it ends for that reason, what it traded stays, its wave settles."""
    at = desk(terms)
    at.want({BTC: 0.8})
    at.touch(symbol=BTC)
    child = at.newest()
    at.open(child)
    at.filled(child, "1.2")
    at.ledger.flow(Flow("out", "USDT", Decimal(-900), "transfer", after(at.at)))
    if child.amount > Decimal("1.2"):
        at.ended(child, Status.CANCELED, "1.2")
    work(at, 15)
    (ended,) = at.of(e.ParentEnded)
    assert isinstance(ended, e.ParentEnded)
    assert (ended.reason, at.settled().left) == ("liquidation_room", {BTC: "liquidation_room"})
    assert ZERO < ended.filled < Decimal(8)


def test_room_is_waited_for_while_the_wave_makes_some() -> None:
    """A position that is being closed leaves room as it goes: what grows beside it is kept back until then, and goes the whole way."""
    at = desk(twap(), eth=15)
    at.want({BTC: 0.8})
    work(at, 3)
    assert {order.symbol for order in at.orders()} == {ETH}, "there is no room yet"
    work(at, 120)
    wave = at.settled()
    assert BTC not in wave.left, wave.left
    assert at.account.held(BTC) == Decimal(8)
