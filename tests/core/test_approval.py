"""Waves that wait for a person's word, and those that are only imagined."""

from dataclasses import replace
from datetime import timedelta

import pytest

from daemon.core import events as e
from daemon.core.states import Hold, Level
from daemon.core.trading import Settings
from tests.core.builders import after
from tests.core.test_orders import Desk

BTC, ETH = "BTC/USDT", "ETH/USDT"
PLAIN = Settings(instance="desk", quote="USDT")


def asking(waves: int = 1) -> Desk:
    return Desk(settings=replace(PLAIN, approve=waves, approve_within=timedelta(seconds=60)))


def give(desk: Desk, decision_id: str) -> None:
    desk.take(desk.manager.on_approved(e.ApprovalGiven(decision_id, "me", after(desk.at))))


def test_a_wave_waits_for_a_word_and_shows_what_it_would_send() -> None:
    """Asked once, with the orders of now; nothing is sent before the word, and all of it after."""
    desk = asking()
    desk.want({BTC: 0.5})
    desk.wait(30)
    (asked,) = desk.of(e.ApprovalAsked)
    assert isinstance(asked, e.ApprovalAsked)
    assert [(order.symbol, order.side) for order in asked.orders] == [(BTC, "buy")]
    assert (desk.orders(), asked.until) == ([], after(60))
    assert "approve" in desk.manager.reason
    give(desk, "d1")
    assert [order.symbol for order in desk.orders()] == [BTC]


def test_silence_is_no_consent() -> None:
    """After the deadline the decision is dropped, a late word changes nothing, and the next decision asks anew."""
    desk = asking()
    desk.want({BTC: 0.5})
    desk.wait(61)
    assert [type(event) for event in desk.out if isinstance(event, e.ApprovalLapsed)] == [e.ApprovalLapsed]
    give(desk, "d1")
    desk.wait(1)
    assert desk.orders() == []
    desk.want({BTC: 0.4}, "d2")
    assert len(desk.of(e.ApprovalAsked)) == 2


def test_a_word_for_an_older_decision_lets_no_newer_one_go() -> None:
    """What a person has seen is what goes."""
    desk = asking()
    desk.want({BTC: 0.5})
    desk.want({ETH: 0.5}, "d2")
    give(desk, "d1")
    desk.wait(1)
    assert desk.orders() == []
    give(desk, "d2")
    assert [order.symbol for order in desk.orders()] == [ETH]


@pytest.mark.parametrize("needed", [0, 1, 2])
def test_only_the_first_waves_wait(needed: int) -> None:
    """After so many words nobody is asked any more."""
    desk = asking(needed)
    for number in range(3):
        desk.want({BTC: 0.1 * (number + 1)}, f"d{number}")
        waits = bool(desk.manager.approval.asked)
        assert waits is (number < needed)
        if waits:
            give(desk, f"d{number}")
        for order in desk.orders()[number:]:
            desk.sent(order)
            desk.filled(order)
    assert len(desk.of(e.WaveSettled)) == 3


def test_what_must_be_sold_does_not_wait() -> None:
    """Flattening is a person's word already, or a breaker's, which knows no person."""
    desk = Desk(held="5", settings=replace(PLAIN, approve=5))
    hold = Hold(level=Level.FLATTENING, code="flatten", text="why", since=after(0))
    desk.take(desk.manager.on_hold(e.HoldPlaced(hold, after(0))))
    assert [order.side for order in desk.orders()] == ["sell"]


def test_a_shadow_plans_everything_and_sends_nothing() -> None:
    """The plan is told whole, sells and the buys that they would pay for; no order exists, and the wave settles with that reason."""
    desk = Desk(cash="0", held="10", settings=replace(PLAIN, shadow=True))
    desk.want({BTC: 0.5, ETH: 0.4})
    (plan,) = desk.of(e.PlanMade)
    assert isinstance(plan, e.PlanMade)
    assert [(order.symbol, order.side) for order in plan.orders] == [(BTC, "sell"), (ETH, "buy")]
    assert (desk.orders(), len(desk.table)) == ([], 0)
    assert desk.settled().left == {BTC: "shadow", ETH: "shadow"}
    assert not desk.manager.may_send(plan.orders[0].id)
    desk.want({BTC: 0.5, ETH: 0.4}, "d2")
    assert len(desk.of(e.PlanMade)) == 2
