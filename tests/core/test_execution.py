"""Execution by limits: what a price cap does to the rounds of a wave, and what a wave says that trading cost."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.model import Slice, Status
from daemon.core.planner_legs import limited
from daemon.core.trading import Settings
from tests.core.builders import START, after, fill, market
from tests.core.test_orders import Desk


def capped_desk() -> Desk:
    """Orders are limits half a percent away."""
    return Desk(settings=Settings(instance="desk", quote="USDT", price_cap=Decimal("0.005")))


def test_what_a_thin_book_leaves_is_ordered_again_at_a_fresh_price() -> None:
    """An order that expired at its limit is followed after a while by one for the rest, with its limit about the price of then."""
    desk = capped_desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    assert (order.price, order.limit) == (Decimal(100), Decimal("100.5"))
    assert order.reserve >= order.amount * Decimal("100.5")
    desk.sent(order)
    desk.filled(order, "2")
    desk.reported(order, Status.EXPIRED, "2")
    desk.wait(1)
    assert len(desk.orders()) == 1, "the book gets time to fill up again"
    for _ in range(10):
        desk.wait(0.5, priced=False)
        desk.prices(101.0)
    (_, rest) = desk.orders()
    assert (rest.price, rest.limit) == (Decimal(101), Decimal("101.5"))
    assert rest.amount <= order.amount - 2


def test_what_the_cap_forbids_to_the_end_is_named() -> None:
    """A book that never has anything within the cap gets three orders, and the wave says which rule was in the way."""
    desk = capped_desk()
    desk.want({"BTC/USDT": 0.5})
    for n in range(4):
        for order in desk.orders()[n:]:
            desk.sent(order)
            desk.reported(order, Status.EXPIRED, "0")
        desk.wait(11)
    assert len(desk.orders()) == 3
    assert desk.settled().left == {"BTC/USDT": "price_cap"}


def test_a_limit_that_we_cancelled_did_not_meet_its_cap() -> None:
    """What a venue left open and was cancelled for is unfilled, whatever the price was."""
    desk = capped_desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    desk.reported(order, Status.OPEN, "0")
    desk.wait(61)
    assert desk.of(e.CancelOrder)
    desk.reported(order, Status.CANCELED, "0")
    assert not desk.tracked(order).capped


def test_changed_rules_change_the_kind_of_order() -> None:
    """After a reload to style limit, and back, orders are of the new kind, by the rules that hold for it."""
    desk = Desk(replace(market("BTC/USDT"), market_step=Decimal("0.5")))
    plain = Settings(instance="desk", quote="USDT")
    desk.manager.renew(replace(plain, price_cap=Decimal("0.01")))
    desk.want({"BTC/USDT": 0.33})
    assert (desk.orders()[0].limit, desk.account.markets["BTC/USDT"].lot) == (Decimal(101), Decimal("0.001"))
    desk.manager.renew(plain)
    assert desk.account.markets["BTC/USDT"].lot == Decimal("0.5")


def test_rules_that_change_are_rules_of_limits() -> None:
    """What the venue lists anew is kept as it is listed, and traded by the rules of limits, however often it is told."""
    desk = capped_desk()
    for step in ("0.01", "0.1"):
        listed = {m.symbol: replace(m, amount_step=Decimal(step)) for m in desk.account.listed.values()}
        desk.account.on_markets(e.MarketsListed(listed, after(0)))
        assert desk.account.listed == listed
        rules = desk.account.markets["BTC/USDT"]
        assert (rules.lot, rules.notional_min) == (Decimal(step), limited(market(), Decimal("0.005")).notional_min)


def test_cost_is_told_by_part() -> None:
    """What the price moved between the decision's close and the plan is delay; from there to the price paid is spread."""
    desk = Desk()
    closed = Slice(START, ("BTC/USDT", "ETH/USDT"), np.full((5, 2), 99.0), np.zeros(2, np.bool_), np.zeros(2, np.int64))
    desk.manager.guard.gate.take(closed)
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    trade = replace(fill(order, at=after(1)), price=Decimal("100.2"), cost=order.amount * Decimal("100.2"))
    desk.ledger.book(trade)
    desk.take(desk.manager.on_order(e.OrderFilled(trade, after(1))))
    assert desk.settled().cost_parts == pytest.approx({"fee": 0, "spread": 20, "delay": 100})
    assert desk.settled().cost_bps == pytest.approx(20)


def test_a_refusal_that_crosses_the_rules_on_its_way_is_no_refusal() -> None:
    """An order that was made by rules which have changed while it travelled is made anew by the new ones, once."""
    desk = Desk()
    desk.want({"BTC/USDT": 0.5})
    (order,) = desk.orders()
    desk.sent(order)
    coarse = replace(market("BTC/USDT"), amount_step=Decimal("0.5"))
    listed = e.MarketsListed({**desk.account.listed, "BTC/USDT": coarse}, after(desk.at))
    desk.take([*desk.manager.on_markets(listed), *desk.account.on_markets(listed)])
    desk.refused(order, "venue_filter")
    (_, again) = desk.orders()
    assert again.amount % Decimal("0.5") == 0
    desk.sent(again)
    desk.refused(again, "venue_filter")
    assert len(desk.orders()) == 2
    assert desk.settled().refused == {"BTC/USDT": "venue_filter"}
