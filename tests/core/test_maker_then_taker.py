"""Style maker_then_taker, step by step: where it rests, when it follows, when it takes, and what it never does."""

from dataclasses import replace
from decimal import Decimal

import pytest

from daemon.core import events as e
from daemon.core import slicing
from daemon.core.model import Flow, Side, Status
from daemon.core.planner_legs import Leg
from daemon.core.quoting import next_step, quote
from daemon.core.states import Hold, Level
from daemon.core.styles import Touch
from daemon.core.trading import Trading
from daemon.core.working import Finish, Place, Working
from tests.core.builders import START, after, decision, market
from tests.core.workdesk import BTC, WorkDesk, maker, twap


def resting(**terms: object) -> WorkDesk:
    """A desk whose first child stands in the book at the bid."""
    desk = WorkDesk(maker(**terms))
    desk.want({BTC: 0.5})
    desk.touch()
    desk.open(desk.newest())
    return desk


def test_nothing_is_sent_before_the_book_is_known() -> None:
    """The plan makes no order by itself: the touch is asked for, and the first child rests at the best price of its own side."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    assert (desk.orders(), desk.looks()) == ([], 1)
    desk.touch()
    (child,) = desk.orders()
    assert (child.side, child.post_only, child.limit, child.price) == (Side.BUY, True, Decimal("99.99"), Decimal(100))
    assert child.reserve >= child.amount * Decimal("99.99")
    (parent,) = desk.parents()
    assert (parent.first, parent.amount, parent.price, parent.until) == (1, child.amount, Decimal(100), after(120))


def test_a_touch_of_long_ago_quotes_nothing() -> None:
    """What was read more than five seconds ago is asked for again, twice a second and no more often."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    desk.touch(age_s=6)
    desk.wait(5)
    assert not desk.orders()
    assert 5 <= desk.looks() <= 11


def test_it_follows_only_a_market_that_has_left_it_behind() -> None:
    """Up to two ticks it stays; then its cancel is asked for, and nothing is sent before that is certain with what it filled."""
    desk = resting()
    first = desk.newest()
    desk.wait(6)
    desk.touch("100.01", "100.03")
    assert not desk.cancels(), "two ticks ahead"
    desk.touch("100.02", "100.04")
    assert desk.cancels() == [first.id]
    for _ in range(20):
        desk.wait(0.5)
        desk.touch("100.02", "100.04")
    assert desk.orders() == [first], "the cancel is not confirmed"
    desk.reported(first, Status.CANCELED, "1.5")
    desk.touch("100.02", "100.04")
    assert desk.orders() == [first], "what it filled is not booked"
    desk.filled(first, "1.5")
    desk.wait(0.5)
    desk.touch("100.02", "100.04")
    assert desk.newest().limit == Decimal("100.02")
    assert desk.newest().amount == first.amount - Decimal("1.5")


def test_it_does_not_follow_within_its_first_seconds() -> None:
    """A market that runs away from a quote that has hardly been seen is not chased."""
    desk = resting()
    desk.wait(4)
    desk.touch("100.20", "100.22")
    assert not desk.cancels()


def test_a_child_in_doubt_stops_everything_in_its_symbol() -> None:
    """While nobody knows whether a child exists there is no other; once it has ended unfilled, the next has the whole amount."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    desk.touch()
    first = desk.newest()
    desk.sent(first)
    desk.unknown(first)
    desk.wait(10)
    desk.touch()
    assert desk.orders() == [first]
    desk.reported(first, Status.CANCELED, "0")
    desk.wait(0.5)
    desk.touch()
    assert desk.newest().amount == first.amount


def test_what_would_trade_at_once_steps_back_and_then_takes() -> None:
    """Each refusal costs one tick, as often as is allowed; then the market has come to us, and the next one takes."""
    desk = WorkDesk(maker(requotes=2))
    desk.want({BTC: 0.5})
    limits = []
    for _ in range(4):
        desk.wait(0.5)
        desk.touch()
        child = desk.newest()
        limits.append((child.limit, child.post_only))
        desk.sent(child)
        desk.refused(child, "would_cross")
    assert limits[:3] == [(Decimal("99.99"), True), (Decimal("99.98"), True), (Decimal("99.97"), True)]
    assert limits[3] == (Decimal("100.2"), False)
    assert BTC not in desk.manager.wave.refused  # type: ignore[union-attr]


def test_what_changed_rules_have_refused_is_ordered_by_the_new_ones() -> None:
    """A refusal ends the parent; once the market's rules are read anew, the same wave works on what is left by these."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5, "ETH/USDT": 0.3})
    desk.touch()
    refused = desk.newest()
    desk.touch("99.99", "100.01", "ETH/USDT")
    other = desk.newest()
    desk.sent(refused)
    desk.refused(refused, "venue_filter")
    listed = {symbol: replace(known, amount_step=Decimal("0.1")) for symbol, known in desk.account.listed.items()}
    changed = e.MarketsListed(listed, after(desk.at))
    desk.take(desk.manager.on_markets(changed))
    desk.account.on_markets(changed)
    desk.sent(other)
    desk.filled(other)
    desk.wait(0.5)
    desk.touch()
    again = desk.newest()
    assert (again.symbol, again.amount % Decimal("0.1")) == (BTC, Decimal(0))
    assert again.decision_id == refused.decision_id


def test_a_venue_that_cancels_what_would_cross_is_understood_alike() -> None:
    """Some accept the order and end it at once: nobody asked for that, and nothing was filled."""
    desk = resting()
    desk.reported(desk.newest(), Status.CANCELED, "0")
    desk.wait(0.5)
    desk.touch()
    assert desk.newest().limit == Decimal("99.98")


def test_after_its_passive_time_it_takes_within_its_slip() -> None:
    """Once the resting child has certainly ended, the rest is a limit that ends at once, 20 bps from the middle."""
    desk = resting()
    first = desk.newest()
    desk.wait(60)
    assert desk.cancels() == [first.id]
    desk.reported(first, Status.CANCELED, "0")
    desk.wait(0.5)
    desk.touch()
    taker = desk.newest()
    assert (taker.post_only, taker.limit, taker.amount) == (False, Decimal("100.2"), first.amount)
    desk.sent(taker)
    desk.filled(taker)
    wave = desk.settled()
    assert (wave.left, wave.maker_ratio) == ({}, 0)


def test_a_market_that_runs_away_is_taken_at_once() -> None:
    """A middle one percent above the plan's price ends the waiting."""
    desk = resting()
    desk.wait(1)
    desk.touch("101.00", "101.02")
    assert desk.cancels() == [desk.newest().id]
    desk.reported(desk.newest(), Status.CANCELED, "0")
    desk.wait(0.5)
    desk.touch("101.00", "101.02")
    assert (desk.newest().post_only, desk.newest().limit) == (False, Decimal("101.21"))


@pytest.mark.parametrize(("must_complete", "takers"), [(False, 0), (True, 3)])
def test_at_the_end_of_its_time(must_complete: bool, takers: int) -> None:
    """What is left is cancelled and left to the next decision, or, where it must be completed, takes three times at most."""
    desk = resting(must_complete=must_complete)
    first = desk.newest()
    desk.wait(121)  # the cancel of its passive time has had no answer
    desk.reported(first, Status.CANCELED, "0")
    for _ in range(60):
        desk.wait(0.5)
        desk.touch()
        if desk.newest() is not first and desk.tracked(desk.newest()).state.value == "new":
            desk.sent(desk.newest())
            desk.reported(desk.newest(), Status.EXPIRED, "0")
    assert [order.post_only for order in desk.orders()] == [True] + [False] * takers
    assert desk.settled().left == {BTC: "unfilled"}
    (ended,) = desk.of(e.ParentEnded)
    assert isinstance(ended, e.ParentEnded)
    assert (str(ended.filled), ended.reason) == ("0", "unfilled")


def test_what_must_be_sold_does_not_rest() -> None:
    """Flattening sends the whole amount within the cap at once, and ends what is worked on."""
    desk = WorkDesk(maker(), held="5")
    desk.want({BTC: 0.0})
    desk.touch()
    resting = desk.newest()
    desk.open(resting)
    hold = Hold(level=Level.FLATTENING, code="drawdown", text="too much was lost", since=after(desk.at))
    desk.take(desk.manager.on_hold(e.HoldPlaced(hold, after(desk.at))))
    assert desk.cancels() == [resting.id]
    desk.reported(resting, Status.CANCELED, "0")
    sold = desk.newest()
    assert (sold.side, sold.post_only, sold.amount, sold.limit) == (Side.SELL, False, Decimal(5), Decimal("99.8"))


def test_a_newer_decision_ends_what_is_worked_on() -> None:
    """Its child is cancelled, its fills stay, and the next plan starts from what is held then."""
    desk = resting()
    first = desk.newest()
    desk.filled(first, "2")
    desk.take(desk.manager.on_targets(e.TargetsChosen(decision({BTC: 0.3}, "d2", after(desk.at)), after(desk.at))))
    assert desk.cancels() == [first.id]
    assert not desk.of(e.WaveSettled)
    desk.reported(first, Status.CANCELED, "2")
    (ended,) = desk.of(e.ParentEnded)
    assert isinstance(ended, e.ParentEnded)
    assert (ended.filled, ended.made, ended.reason) == (Decimal(2), Decimal(2), "superseded")
    desk.touch()
    assert desk.newest().decision_id == "d2"
    assert desk.newest().amount < 1.01


def test_a_hold_on_growth_ends_a_buy() -> None:
    """Where nothing may grow any more, a resting buy is cancelled, and the wave names the hold."""
    desk = resting()
    hold = Hold(level=Level.REDUCING, code="loss", text="no more of it", since=after(desk.at))
    desk.take(desk.manager.on_hold(e.HoldPlaced(hold, after(desk.at))))
    assert desk.cancels() == [desk.newest().id]
    desk.reported(desk.newest(), Status.CANCELED, "0")
    assert desk.settled().left[BTC] == "loss"


def test_a_stop_cancels_and_leaves_the_wave_open() -> None:
    """The parent is in the journal, and the next start goes on by its clock."""
    desk = resting()
    desk.take(desk.manager.on_stop(e.StopRequested(after(desk.at))))
    desk.reported(desk.newest(), Status.CANCELED, "0")
    assert desk.manager.trading is Trading.STOPPING
    assert not desk.of(e.WaveSettled)
    assert desk.manager.idle


def test_a_stop_that_keeps_leaves_it_in_the_book() -> None:
    """With `on_stop: keep` a resting child is not cancelled by a stop, and nothing follows it."""
    desk = WorkDesk(maker(), keep_open=True)
    desk.want({BTC: 0.5})
    desk.touch()
    desk.open(desk.newest())
    desk.take(desk.manager.on_stop(e.StopRequested(after(desk.at))))
    desk.wait(130)
    assert desk.cancels() == []
    assert len(desk.orders()) == 1
    assert desk.manager.idle


def test_a_venue_that_is_away_costs_no_time() -> None:
    """A parent none of whose children was taken begins its time anew, for as long as that lasts."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    for _ in range(600):
        desk.wait(0.5)
        desk.touch()
        if desk.tracked(desk.newest()).state.value == "new":
            desk.take(desk.manager.on_order(e.OrderNotSent(desk.newest().id, "connection refused", after(desk.at))))
    assert not desk.of(e.WaveSettled)
    assert 5 < len(desk.orders()) < 20, "at growing intervals"
    desk.wait(61)
    desk.touch()
    assert desk.newest().post_only


def test_money_of_what_is_worked_on_is_not_spent_twice() -> None:
    """Two buys worked on together never have more in the market, and to come, than there is money."""
    desk = WorkDesk(maker(), cash="1000")
    desk.want({BTC: 0.5, "ETH/USDT": 0.49})
    desk.touch()
    btc = desk.newest()
    desk.touch("100.40", "100.42", "ETH/USDT")
    eth = desk.newest()
    assert {btc.symbol, eth.symbol} == {BTC, "ETH/USDT"}
    assert btc.reserve + eth.reserve <= 1000


def test_two_children_of_one_look_share_what_there_is() -> None:
    """Prices have risen since the plan, and both are read together: the second has what the first has left."""
    desk = WorkDesk(maker(), cash="1000")
    desk.want({BTC: 0.5, "ETH/USDT": 0.49})
    touches = tuple(Touch(symbol, Decimal("100.90"), Decimal("100.92"), after(0)) for symbol in (BTC, "ETH/USDT"))
    desk.take(desk.manager.on_touch(e.TouchRead(touches, after(0))))
    one, other = desk.orders()
    assert one.symbol != other.symbol
    assert one.reserve + other.reserve <= 1000


@pytest.mark.parametrize(
    ("side", "improve", "back", "price"),
    [
        (Side.BUY, 0, 0, "99.98"),
        (Side.BUY, 1, 0, "99.99"),
        (Side.BUY, 9, 0, "100.01"),  # never where it would trade at once
        (Side.BUY, 0, 2, "99.96"),
        (Side.SELL, 0, 0, "100.02"),
        (Side.SELL, 1, 1, "100.02"),
        (Side.SELL, 9, 0, "99.99"),
    ],
)
def test_where_it_rests(side: Side, improve: int, back: int, price: str) -> None:
    """At the touch of its own side, improved towards the other and stepped back from it, inside of the spread."""
    touch = Touch(BTC, Decimal("99.98"), Decimal("100.02"), START)
    assert quote(side, maker(improve_ticks=improve), market(), touch, back) == Decimal(price)


@pytest.mark.parametrize(("bid", "ask"), [("1", "1"), ("2", "1"), ("0", "1"), ("NaN", "1"), ("1", "Infinity")])
def test_no_touch_is_made_of_a_book_that_cannot_be(bid: str, ask: str) -> None:
    """Locked, crossed and empty books say nothing."""
    with pytest.raises(ValueError, match="no touch"):
        Touch(BTC, Decimal(bid), Decimal(ask), START)


def test_a_touch_from_before_a_child_ended_quotes_nothing() -> None:
    """What was read while the last child stood may be its own price, or what it was refused at: the book is read again first."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    desk.touch()
    desk.sent(desk.newest())
    desk.wait(0.5)
    desk.refused(desk.newest(), "would_cross")
    desk.touch(age_s=0.5)
    desk.wait(3)
    assert len(desk.orders()) == 1
    desk.touch()
    assert len(desk.orders()) == 2


def test_a_child_that_is_in_doubt_at_the_end_is_named() -> None:
    """Its parent ends in time all the same, and the wave says that nobody knows."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    desk.touch()
    desk.sent(desk.newest())
    desk.unknown(desk.newest())
    desk.wait(119)
    assert not desk.of(e.ParentEnded)
    desk.wait(2)
    (ended,) = desk.of(e.ParentEnded)
    assert isinstance(ended, e.ParentEnded)
    assert ended.reason == "order_unknown"
    assert desk.settled().left == {BTC: "order_unknown"}


def test_what_is_not_sent_yet_has_its_money() -> None:
    """Money that the rest of a parent will need is not free for anybody else, whatever has been sent of it."""
    desk = WorkDesk(twap())
    desk.want({BTC: 0.6})
    (part,) = desk.orders()
    assert desk.manager.wave is not None
    assert desk.account.cash_free()["USDT"] > 850
    free = desk.manager._dispatch.cash(desk.manager.wave)["USDT"]
    assert free < 400
    desk.sent(part)
    desk.filled(part)
    assert desk.manager._dispatch.cash(desk.manager.wave)["USDT"] >= free


def test_what_must_be_completed_and_cannot_be_ends_all_the_same() -> None:
    """Coins that somebody took away in the middle are not waited for beyond a minute after the end."""
    desk = WorkDesk(maker(must_complete=True), held="5")
    desk.want({BTC: 0.0})
    desk.touch()
    desk.open(desk.newest())
    desk.ledger.flow(Flow("taken", "BTC", Decimal("-4.99"), "withdrawal", after(desk.at)))
    desk.wait(61)
    desk.reported(desk.newest(), Status.CANCELED, "0")
    for _ in range(300):
        desk.wait(0.5)
        desk.touch()
    assert len(desk.orders()) == 1
    assert desk.settled().sent == 1


def test_what_waiting_cost_is_told_apart_from_what_trading_cost() -> None:
    """From the plan's price to the middle at the child is timing, from there to the price paid spread, and what rested is counted."""
    desk = WorkDesk(maker())
    desk.want({BTC: 0.5})
    desk.touch("100.49", "100.51")
    child = desk.newest()
    desk.open(child)
    desk.filled(child)  # at its reference, the middle
    wave = desk.settled()
    assert wave.cost_parts == pytest.approx({"fee": 0, "spread": 0, "timing": 50}, abs=0.5)
    assert wave.cost_bps == pytest.approx(50, abs=0.5)
    assert wave.maker_ratio == 1


def test_a_position_of_next_to_nothing_is_closed_all_the_same() -> None:
    """Of what only reduces a swap no smallest notional is asked: what it leaves would keep a turn waiting for ever."""
    shut = Leg(BTC, Side.SELL, Decimal("0.002"), Decimal(100), Decimal("0.002"), reduce_only=True)
    known = Touch(BTC, Decimal("99.99"), Decimal("100.01"), after(0))
    step = next_step(Working(shut), maker(), market(), known, after(0))
    assert isinstance(step, Place)
    assert step.amount == shut.amount
    assert isinstance(next_step(Working(shut._replace(reduce_only=False)), maker(), market(), known, after(0)), Finish)
    part = slicing.next_step(Working(shut), twap(), market(), Decimal(100), None, after(0))
    assert isinstance(part, Place)
    assert part.amount == shut.amount
