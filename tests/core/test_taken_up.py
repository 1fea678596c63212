"""What a wave has had to leave, because nobody knew an order's end or a market's rules, is made up for once that is known."""

from dataclasses import replace
from decimal import Decimal

import pytest

from daemon.core import events as e
from daemon.core.model import Cause, Order, Status
from daemon.core.ordertable import State
from daemon.core.planner_inputs import Rules
from daemon.core.trading import Settings
from tests.core.builders import after, market
from tests.core.test_orders import Desk, in_doubt
from tests.core.workdesk import WorkDesk, twap


def looked_up(desk: Desk, order: Order) -> None:
    """Look-ups that find nothing, in an account that holds nothing of it, until its absence is confirmed."""
    for _ in range(4):
        desk.wait(2.5)
        asked = after(desk.at)
        desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, asked, asked)))
        desk.take(desk.manager.on_order(e.OrderNotFound(order.id, asked, asked)))
    assert desk.tracked(order).ended


def left_in_doubt() -> tuple[Desk, Order]:
    """A desk whose wave has settled without its only order, of which nobody knows."""
    desk, order = in_doubt()
    desk.wait(100)
    assert desk.settled().left == {"BTC/USDT": "order_unknown"}
    return desk, order


def causes(desk: Desk) -> list[Cause]:
    return [event.decision.cause for event in desk.out if isinstance(event, e.TargetsChosen)]


def test_what_an_absent_order_leaves_is_ordered_at_once() -> None:
    """The newest decision is worked on again, for what is missing, and under an id of its own."""
    desk, order = left_in_doubt()
    looked_up(desk, order)
    (_, again) = desk.orders()
    assert (again.symbol, again.amount) == (order.symbol, order.amount)
    assert again.id != order.id
    assert causes(desk) == [Cause.RESOLVED]
    desk.sent(again)
    desk.filled(again)
    assert desk.settled().left == {}


def test_an_order_that_has_filled_after_all_leaves_nothing() -> None:
    """It ends in full, and nobody decides again."""
    desk, order = left_in_doubt()
    desk.filled(order)
    desk.reported(order, Status.FILLED, str(order.amount))
    assert len(desk.orders()) == 1
    assert causes(desk) == []


def test_a_newer_decision_has_seen_to_it() -> None:
    """Once something else has been decided, an older decision's order leaves nothing."""
    desk, order = left_in_doubt()
    desk.want({"ETH/USDT": 0.1}, "d2")
    (_, other) = desk.orders()
    desk.sent(other)
    desk.filled(other)
    desk.wait(60)
    looked_up(desk, order)
    assert [each.symbol for each in desk.orders()] == ["BTC/USDT", "ETH/USDT"]


def test_a_decision_that_is_overtaken_is_not_taken_up() -> None:
    """After a restart that has missed a due time, the next bar decides."""
    desk, order = left_in_doubt()
    desk.manager._arrears.overtaken = True
    looked_up(desk, order)
    assert len(desk.orders()) == 1


def test_what_is_taken_up_stays_within_the_turnover_of_its_decision() -> None:
    """A fifth of the account may be turned over; what was traded before still counts."""
    rules = replace(Rules(), turnover_max=Decimal("0.2"))
    desk = Desk(settings=Settings(instance="desk", quote="USDT", rules=rules))
    desk.want({"BTC/USDT": 0.3, "ETH/USDT": 0.3})
    first, second = desk.orders()
    for order in (first, second):
        desk.sent(order)
    desk.filled(first)
    desk.unknown(second)
    desk.wait(100)
    looked_up(desk, second)
    bought = sum(order.amount * order.price for order in desk.orders() if order is not second)
    assert 350 < bought <= 2 * Decimal("0.2") * 1000


@pytest.mark.parametrize(("step", "orders"), [("0.1", 2), ("0.001", 1)])
def test_a_symbol_that_was_refused_by_old_rules_is_ordered_by_the_new_ones(step: str, orders: int) -> None:
    """Once the rules are read and are others, the same decision is worked on again; where they are as they were, it is not."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.refused(order, "venue_filter")
    assert desk.settled().refused == {"BTC/USDT": "venue_filter"}
    listed = e.MarketsListed({"BTC/USDT": market("BTC/USDT", step=step), "ETH/USDT": market("ETH/USDT")}, after(1))
    told = list(desk.manager.on_markets(listed))
    desk.account.on_markets(listed)
    desk.take(told)
    assert len(desk.orders()) == orders
    assert all(each.amount % Decimal(step) == 0 for each in desk.orders()[1:])


def test_a_wave_that_is_under_way_tries_the_new_rules_in_another_round() -> None:
    """The refusal was one of two orders; when the rules come, the wave that waits for the other orders it again."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.4, "ETH/USDT": 0.4})
    refused, other = desk.orders()
    desk.sent(refused)
    desk.sent(other)
    desk.refused(refused, "venue_filter")
    listed = e.MarketsListed({symbol: market(symbol, step="0.1") for symbol in ("BTC/USDT", "ETH/USDT")}, after(1))
    desk.take(desk.manager.on_markets(listed))
    desk.account.on_markets(listed)
    desk.filled(other)
    assert [order.symbol for order in desk.orders()[2:]] == [refused.symbol]
    assert desk.of(e.WaveSettled) == []


def test_what_is_worked_on_is_begun_again_by_the_new_rules() -> None:
    """A part is refused, which ends its whole; the rules come while another whole is worked on, and then the first is begun anew."""
    desk = WorkDesk(twap(horizon_s=20))
    desk.want({"BTC/USDT": 0.4, "ETH/USDT": 0.4})
    refused, _ = desk.orders()
    desk.sent(refused)
    desk.refused(refused, "venue_filter")
    listed = e.MarketsListed({symbol: market(symbol, step="0.1") for symbol in ("BTC/USDT", "ETH/USDT")}, after(1))
    desk.take(desk.manager.on_markets(listed))
    desk.account.on_markets(listed)
    for _ in range(100):
        for order in desk.orders():
            if desk.tracked(order).state is State.NEW:
                desk.sent(order)
                desk.filled(order)
        desk.wait(0.5)
    assert [parent.symbol for parent in desk.parents()].count(refused.symbol) == 2
    assert desk.settled().refused == {}
