"""Style twap, step by step: equal parts by the clock, from what is left, in one process or several."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.model import Cause, Side, Slice, Status
from daemon.core.risk_orders import OrderLimits
from daemon.core.slicing import next_step, parts
from daemon.core.working import Place, Working
from tests.core.builders import START, after, decision, market, report
from tests.core.test_orders import Desk
from tests.core.workdesk import BTC, WorkDesk, twap


def filled_at_once(desk: WorkDesk, seconds: float) -> None:
    """Let time pass; every child fills as soon as it is sent."""
    for _ in range(int(seconds * 2)):
        desk.wait(0.5)
        if desk.tracked(desk.newest()).state.value == "new":
            desk.sent(desk.newest())
            desk.filled(desk.newest())


def begun(**terms: object) -> WorkDesk:
    """A desk whose first part has been sent and filled."""
    desk = WorkDesk(twap(**terms))  # type: ignore[arg-type]
    desk.want({BTC: 0.6})
    desk.sent(desk.newest())
    desk.filled(desk.newest())
    return desk


def test_equal_parts_each_in_its_time() -> None:
    """Six parts in a minute, a sixth of what is left at a time, add up to the plan to the last step."""
    desk = begun()
    filled_at_once(desk, 60)
    (parent,) = desk.parents()
    sent = [order.amount for order in desk.orders()]
    assert (parent.slices, parent.interval, parent.until) == (6, timedelta(seconds=10), after(60))
    assert [order.at for order in desk.orders()] == [after(10 * part) for part in range(6)]
    assert sum(sent) == parent.amount
    assert max(sent) - min(sent) <= Decimal("0.002")
    assert desk.settled().left == {}


def test_who_is_late_makes_up_for_nothing_at_once() -> None:
    """After a pause of three parts, what is left is spread over the parts that are left."""
    desk = begun()
    desk.at += 35  # the loop stands still
    filled_at_once(desk, 1.5)
    first, late = desk.orders()
    assert late.amount == ((desk.parents()[0].amount - first.amount) / 3).quantize(Decimal("0.001"), "ROUND_FLOOR")


def test_a_part_that_hangs_is_waited_for() -> None:
    """No second child beside an open or unknown one; the parts after it take what it left."""
    desk = WorkDesk(twap())
    desk.want({BTC: 0.6})
    first = desk.newest()
    desk.sent(first)
    desk.unknown(first)
    desk.wait(25)
    assert desk.orders() == [first]
    desk.reported(first, Status.EXPIRED, "0")
    desk.wait(0.5)
    assert desk.newest().amount == market().floor(desk.parents()[0].amount / 4)


def test_a_restart_goes_on_by_the_same_clock() -> None:
    """A process that finds the parent in its journal keeps begin, end and number of parts, and sends none of them again."""
    before = begun()
    (parent,) = before.parents()
    desk = WorkDesk(twap())
    desk.at = 14.0
    desk.prices()
    wanted = decision({BTC: 0.5}, "d1", after(0))
    desk.manager.restore(wanted, {BTC: 1}, unfinished=True)
    desk.manager.bench.restore(wanted, [parent], before.orders())
    desk.wait(0.5)
    (resumed,) = desk.parents()
    assert (resumed.at, resumed.until, resumed.slices, resumed.first) == (parent.at, parent.until, 6, 2)
    assert desk.newest().at == after(14.5)
    assert desk.newest().amount == market().floor(resumed.amount / 5)
    filled_at_once(desk, 5)
    assert len(desk.orders()) == 1, "the next part is not due before 20 s"


def test_a_part_that_was_sent_is_not_sent_again_by_a_restart_in_its_time() -> None:
    """Whoever starts again within the time of a part that has had its order waits for the next."""
    before = begun()
    desk = WorkDesk(twap())
    wanted = decision({BTC: 0.5}, "d1", after(0))
    desk.at = 4.0
    desk.manager.restore(wanted, {BTC: 1}, unfinished=True)
    desk.manager.bench.restore(wanted, before.parents(), before.orders())
    desk.wait(5)
    assert not desk.orders()
    desk.wait(1.5)
    assert len(desk.orders()) == 1


def test_an_exit_waits_for_the_part_of_an_earlier_process_to_end() -> None:
    """What was open at the crash is cancelled; while it is not known to have ended, what is free beside it is not sold by another."""
    before = WorkDesk(twap(), held="5")
    before.want({})
    first = before.newest()
    desk = WorkDesk(twap(), held="5")
    desk.at = 4.0
    desk.manager.follower.replay(first, [e.OrderReported(report(first, Status.OPEN, "0"), "submit", after(1))])
    desk.manager.restore(decision({}, "d1", after(0)), {BTC: 1}, unfinished=True)
    desk.wait(20)
    assert desk.orders() == []
    assert set(desk.cancels()) == {first.id}
    desk.reported(first, Status.CANCELED, "0")
    desk.wait(0.5)
    assert [order.side for order in desk.orders()] == [Side.SELL]


def test_a_restart_after_its_end_begins_a_new_one() -> None:
    """What was due while nobody was there is no reason to trade all of the rest at once."""
    before = begun()
    desk = WorkDesk(twap())
    wanted = decision({BTC: 0.5}, "d1", after(0))
    desk.at = 300.0
    desk.manager.restore(wanted, {BTC: 1}, unfinished=True)
    desk.manager.bench.restore(wanted, before.parents(), before.orders())
    desk.wait(0.5)
    (parent,) = desk.parents()
    assert (parent.at, parent.slices) == (after(300.5), 6)
    assert desk.newest().amount == market().floor(parent.amount / 6)


def test_a_part_is_no_more_than_its_share_of_the_market() -> None:
    """A tenth of what the last bar traded in an interval; what that leaves at the end is named."""
    desk = WorkDesk(twap(participation="0.1"))
    bars = np.full((5, 2), 60.0)  # 60 in a bar of a minute: 10 in an interval
    desk.manager.guard.gate.take(Slice(START, (BTC, "ETH/USDT"), bars, np.zeros(2, np.bool_), np.zeros(2, np.int64)))
    desk.want({BTC: 0.9})
    desk.sent(desk.newest())
    desk.filled(desk.newest())
    filled_at_once(desk, 61)
    assert {order.amount for order in desk.orders()} == {Decimal(1)}
    assert desk.settled().left == {BTC: "unfilled"}


def test_small_orders_have_fewer_parts() -> None:
    """A part is worth one and a half of the venue's smallest orders at least."""
    assert parts(Decimal("0.2"), twap(), market(), Decimal(100)) == 2  # 20 USDT, where 5.25 is the least
    assert parts(Decimal("0.01"), twap(), market(), Decimal(100)) == 1
    assert parts(Decimal(10), twap(), market(), Decimal(100)) == 6


def test_flattening_is_not_spread() -> None:
    """What a hold wants sold goes in one order."""
    desk = WorkDesk(twap(), held="5")
    flat = replace(decision({}, "d1-flattening", after(0)), cause=Cause.FLATTENING)
    desk.take(desk.manager.on_targets(e.TargetsChosen(flat, after(0))))
    assert [order.amount for order in desk.orders()] == [Decimal(5)]


def test_a_reload_to_another_style_goes_on_by_that() -> None:
    """A parent of a style that is no more is no schedule for another."""
    before = begun()
    desk = Desk()
    desk.manager.restore(decision({BTC: 0.5}, "d1", after(0)), {BTC: 1}, unfinished=True)
    desk.manager.bench.restore(decision({BTC: 0.5}, "d1", after(0)), before.parents(), before.orders())
    desk.wait(0.5)
    assert [order.attempt for order in desk.orders()] == [2]


@given(
    amount=st.integers(1, 10_000),
    pauses=st.lists(st.floats(0.1, 25), min_size=1, max_size=40),
    shares=st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=40, max_size=40),
)
def test_parts_are_never_more_than_what_is_left_and_never_a_burst(amount: int, pauses: list[float], shares: list[float]) -> None:
    """However late each look comes and however short each part ends: at most one part in its time, none above its share of what is left."""
    desk = WorkDesk(twap(), cash="100000")
    desk.want({BTC: round(amount / 10_001, 6)})
    at, seen = 0.0, 0
    for pause, share in zip(pauses, shares, strict=False):
        for order in desk.orders()[seen:]:
            desk.sent(order)
            part = market().floor(order.amount * Decimal(str(share)))
            if part:
                desk.filled(order, str(part))
            if part < order.amount:
                desk.reported(order, Status.EXPIRED, str(part))
        seen = len(desk.orders())
        at += pause
        desk.at = round(at, 1)
        desk.prices()
        desk.take(desk.manager.on_time(e.TimePassed(after(desk.at))))
        assert len(desk.orders()) - seen <= 1
    for parent in desk.parents():
        children = [order for order in desk.orders() if order.attempt >= parent.first]
        slots = [parent.slice_at(order.at) for order in children]
        assert len(slots) == len(set(slots))
        left = parent.amount
        for order, slot in zip(children, slots, strict=True):
            least = Decimal("0.053")
            assert order.amount <= max(left / (parent.slices - slot), least) + least
            left -= desk.tracked(order).filled
        assert sum(desk.tracked(order).filled for order in children) <= parent.amount


def test_a_step_is_pure() -> None:
    """The same parent at the same moment gives the same step, however often it is asked."""
    desk = begun()
    work: Working = desk.work
    steps = {next_step(work, twap(), market(), Decimal(100), None, after(11)) for _ in range(3)}
    assert len(steps) == 1
    assert isinstance(steps.pop(), Place)


def test_what_nobody_explains_is_bought_no_further() -> None:
    """A difference in what is being bought ends it for now: nobody knows how much of it there is."""
    desk = begun()
    desk.take(desk.account.on_drift_found(e.DriftFound("BTC", Decimal(1), after(desk.at))))
    desk.wait(11)
    assert len(desk.orders()) == 1
    assert desk.settled().left == {BTC: "drift"}


def test_after_a_long_sleep_the_account_is_read_first() -> None:
    """Nothing is sent and nothing is given up until account and ledger have agreed again; then it goes on by the clock."""
    desk = begun()
    desk.take(desk.manager.on_awoken(e.Awoken(timedelta(hours=1), after(desk.at))))
    desk.wait(25)
    assert len(desk.orders()) == 1
    assert not desk.of(e.ParentEnded)
    desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(desk.at), after(desk.at))))
    desk.wait(0.5)
    assert len(desk.orders()) == 2


def test_a_limit_of_the_day_ends_what_it_leaves_nothing_of() -> None:
    """Once the day's orders are used up and none is under way, the rest is worked on no longer, and the next day makes up for it."""
    desk = WorkDesk(twap(), order_limits=OrderLimits(day_notional_max=Decimal(250)))
    desk.want({BTC: 0.6})
    desk.sent(desk.newest())
    desk.filled(desk.newest())
    filled_at_once(desk, 35)
    assert sum(order.amount * order.price for order in desk.orders()) <= 250
    settled = desk.settled()
    assert settled.left == {BTC: "day_notional_max"}
    (ended,) = desk.of(e.ParentEnded)
    assert isinstance(ended, e.ParentEnded)
    assert (ended.reason, ended.filled) == ("day_notional_max", sum(order.amount for order in desk.orders()))


def test_a_limit_of_the_day_waits_for_an_order_that_may_give_room_back() -> None:
    """An order that is under way counts whole; where it ends short, what it leaves of the day goes to the rest."""
    desk = WorkDesk(twap(), market("BTC/USDT"), market("ETH/USDT"), order_limits=OrderLimits(day_notional_max=Decimal(100)))
    desk.want({BTC: 0.6, "ETH/USDT": 0.3})
    first = desk.orders()
    assert sum(order.amount * order.price for order in first) <= 100
    desk.wait(2)
    assert not desk.of(e.ParentEnded)
    desk.sent(first[0])
    desk.ended(first[0], Status.EXPIRED)
    desk.wait(2)
    assert len(desk.orders()) > len(first)
