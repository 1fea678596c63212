"""Orders that nobody finds, and that a person gives up."""

from decimal import Decimal

from daemon.core import events as e
from daemon.core.model import Status
from tests.core.builders import after, report
from tests.core.test_orders import Desk, in_doubt


def test_an_order_that_a_person_gives_up_frees_its_money_and_its_symbol() -> None:
    """It ends as rejected under a code of its own, its money buys what it was to buy, and whatever shows it later makes it count again."""
    desk, order = in_doubt()
    desk.wait(100)
    desk.take(desk.manager.on_order(e.OrderGivenUp(order.id, "ann", after(desk.at))))
    (closed,) = [event for event in desk.out if isinstance(event, e.OrderClosed)]
    assert (closed.state, closed.reason) == ("rejected", "given_up")
    (_, instead) = desk.orders()
    assert (instead.symbol, instead.amount) == (order.symbol, order.amount)
    left = desk.account.cash_free()["USDT"]
    assert left == Decimal(1000) - instead.reserve
    desk.take(desk.manager.on_order(e.OrderReported(report(order, Status.FILLED), "query", after(desk.at))))
    assert desk.account.cash_free()["USDT"] < left
    assert desk.tracked(order).reason == ""


def test_what_was_given_up_stays_so_after_a_restart() -> None:
    """The word is among the facts of the order, and the next start does not ask again."""
    _, order = in_doubt()
    facts: list[e.Event] = [
        e.OrderSent(order.id, after(1)),
        e.OrderUnknown(order.id, "no answer", after(2)),
        e.OrderGivenUp(order.id, "ann", after(90)),
    ]
    next_life = Desk()
    (closed,) = next_life.manager.follower.replay(order, facts)
    assert isinstance(closed, e.OrderClosed)
    assert closed.reason == "given_up"


def test_trades_that_nobody_tells_are_not_waited_for_any_more() -> None:
    """An order that is told as filled, and whose trades never come, is closed with what is booked of it: nothing."""
    desk, order = in_doubt()
    desk.take(desk.manager.on_order(e.OrderReported(report(order, Status.FILLED), "query", after(desk.at))))
    assert not [event for event in desk.out if isinstance(event, e.OrderClosed)]
    desk.take(desk.manager.on_order(e.OrderGivenUp(order.id, "ann", after(desk.at))))
    (closed,) = [event for event in desk.out if isinstance(event, e.OrderClosed)]
    assert (closed.state, closed.filled, closed.reason) == ("filled", Decimal(0), "given_up")
