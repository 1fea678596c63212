"""A group in a wave: slice by slice on every leg, completed or taken back in time, and left alone for a while after that."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.model import Flow, Instrument, Order, Side, Status, TargetWeights
from daemon.core.states import Hold, Level, Scope
from daemon.core.styles import GroupTerms
from daemon.core.trading import Settings
from tests.core.builders import after, decision, market
from tests.core.test_orders import Desk

BTC, ETH = "BTC/USDT", "ETH/USDT"
BTC_SWAP, ETH_SWAP = "BTC/USDT:USDT", "ETH/USDT:USDT"
TERMS: Final = GroupTerms(size=Decimal("0.1"), within=timedelta(seconds=10), pause=timedelta(seconds=60))


class Pair(Desk):
    """A desk whose legs belong together."""

    def __init__(self, cash: str = "1000", *markets: Instrument) -> None:
        super().__init__(*markets, cash=cash, settings=Settings(instance="desk", quote="USDT", groups=TERMS))

    def both(self, btc: float, eth: float, name: str = "d1") -> None:
        """Want a pair."""
        first, second = sorted(self.account.markets)[:2]
        weights = {first: btc, second: eth}
        wanted = replace(decision(weights, name, after(self.at)), by_strategy={"pair": TargetWeights(weights, groups=((first, second),))})
        self.take(self.manager.on_targets(e.TargetsChosen(wanted, after(self.at))))

    def answer(self, order: Order) -> None:
        """It is taken, and trades whole."""
        self.sent(order)
        self.filled(order)

    def phases(self) -> list[str]:
        """What was said of the group."""
        return [event.phase for event in self.out if isinstance(event, e.GroupJudged)]

    def apart(self) -> Decimal:
        """By how much one leg is worth more than the other."""
        return abs(self.account.held(BTC) - self.account.held(ETH)) * 100


def test_a_group_goes_in_slices_of_the_bound() -> None:
    """Each leg by the same amount, together in one request, and the next slice once both have filled."""
    desk = Pair()
    desk.both(0.3, 0.3)
    seen = 0
    while len(desk.orders()) > seen:
        now = desk.orders()[seen:]
        seen += len(now)
        assert {order.symbol for order in now} == {BTC, ETH}
        assert len({order.amount for order in now}) == 1
        for order in now:
            assert order.amount * order.price <= Decimal(101)
            desk.answer(order)
            assert desk.apart() <= Decimal(101)
    assert seen == 6
    assert desk.phases() == []
    assert all(abs(off) < 0.005 for off in desk.settled().off_target.values())


def test_a_leg_that_is_refused_for_ever_has_the_other_taken_back() -> None:
    """The bound holds, what was traded is traded back at once, and the group does not grow again before its pause is over."""
    desk = Pair()
    desk.both(0.3, 0.3)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    desk.sent(second)
    desk.refused(second, "venue_filter")
    (back,) = desk.orders()[2:]
    assert (back.symbol, back.side) == (BTC, Side.SELL)
    desk.answer(back)
    assert desk.phases() == ["unbalanced", "unwinding", "balanced"]
    assert desk.apart() < 1
    assert desk.settled().refused == {ETH: "venue_filter"}
    desk.both(0.3, 0.3, "d2")
    assert len(desk.orders()) == 3
    assert desk.settled().left == {BTC: "group_pause", ETH: "group_pause"}
    desk.wait(61)
    desk.both(0.3, 0.3, "d3")
    assert len(desk.orders()) == 5


def test_a_leg_that_fills_in_part_is_completed() -> None:
    """What is missing is ordered again, the other leg waits, and then the next slice goes."""
    desk = Pair()
    desk.both(0.2, 0.2)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    desk.sent(second)
    desk.filled(second, "0.4")
    desk.reported(second, Status.EXPIRED, "0.4")
    assert desk.phases() == ["unbalanced"]
    desk.wait(4)
    rest = desk.orders()[2:]
    assert {order.symbol for order in rest} >= {ETH}
    desk.answer(next(order for order in rest if order.symbol == ETH))
    for _ in range(3):
        desk.wait(3)
        for order in desk.orders()[2:]:
            if desk.table.get(order.id) is not None and not desk.tracked(order).settled:
                desk.answer(order)
    assert desk.phases() == ["unbalanced", "balanced"]
    assert all(abs(off) < 0.01 for off in desk.settled().off_target.values())


def test_the_time_bound_takes_back_what_no_retry_completes() -> None:
    """A leg that expires again and again is given up after `within`, not before."""
    desk = Pair()
    desk.both(0.1, 0.1)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    done = 2
    began = desk.at
    desk.sent(second)
    desk.reported(second, Status.EXPIRED, "0")
    while "unwinding" not in desk.phases():
        desk.wait(0.5)
        for order in desk.orders()[done:]:
            done += 1
            if order.symbol == ETH:
                desk.sent(order)
                desk.reported(order, Status.EXPIRED, "0")
        assert desk.at - began <= 10.5
    assert desk.at - began >= 10
    back = desk.orders()[-1]
    assert (back.symbol, back.side) == (BTC, Side.SELL)
    desk.answer(back)
    assert desk.phases() == ["unbalanced", "unwinding", "balanced"]


def short_pair() -> Pair:
    """A desk that may sell what it does not hold, as on swaps."""
    markets = (replace(market(s.partition(":")[0], base_fee=False), symbol=s, shortable=True) for s in (BTC_SWAP, ETH_SWAP))
    desk = Pair("1000", *markets)
    settings = desk.manager.settings
    desk.manager.renew(replace(settings, limits=replace(settings.limits, short=True)))
    return desk


def test_legs_of_both_signs_enter_turn_and_leave_in_step() -> None:
    """Long one and short the other, then the reverse, then flat: what is long and what is short are never a slice apart."""
    desk = short_pair()
    seen = 0
    for name, btc, eth in (("d1", 0.2, -0.2), ("d2", -0.2, 0.2), ("d3", 0.0, 0.0)):
        desk.both(btc, eth, name)
        while len(desk.orders()) > seen:
            seen += 1
            desk.answer(desk.orders()[seen - 1])
            assert abs(desk.account.held(BTC_SWAP) + desk.account.held(ETH_SWAP)) * 100 <= 107
        assert abs(desk.account.held(BTC_SWAP) - Decimal(str(btc)) * 10) < Decimal("0.1")
        assert abs(desk.account.held(ETH_SWAP) - Decimal(str(eth)) * 10) < Decimal("0.1")
    assert desk.phases() == []


def test_a_group_that_is_apart_turns_by_slices_too() -> None:
    """The reverse is wanted while one leg is behind: the legs are never further apart than a slice, however far they had come."""
    desk = short_pair()
    desk.both(0.4, -0.4)
    for number in range(6):
        desk.answer(desk.orders()[number])
    long, short = sorted(desk.orders()[6:], key=lambda order: order.symbol)
    desk.answer(long)
    desk.sent(short)
    desk.reported(short, Status.EXPIRED, "0")
    desk.both(-0.4, 0.4, "d2")
    (turning,) = desk.orders()[8:]
    assert (turning.symbol, turning.side) == (BTC_SWAP, Side.SELL), "what is ahead is what the reverse is behind by"
    assert turning.amount * turning.price <= 107
    seen = 8
    while len(desk.orders()) > seen:
        seen += 1
        desk.answer(desk.orders()[seen - 1])
        assert abs(desk.account.held(BTC_SWAP) + desk.account.held(ETH_SWAP)) * 100 <= 107
    assert abs(desk.account.held(BTC_SWAP) + 4) < Decimal("0.1")


def test_a_leg_that_went_ahead_comes_back_where_its_turn_is_called_off() -> None:
    """One leg has turned by a slice, and the first wish is there again: it stands beyond its goal, and is brought back to it."""
    desk = short_pair()
    desk.both(0.3, -0.3)
    for number in range(6):
        desk.answer(desk.orders()[number])
    desk.both(-0.3, 0.3, "d2")
    long, short = sorted(desk.orders()[6:], key=lambda order: order.symbol)
    desk.answer(long)
    desk.sent(short)
    desk.reported(short, Status.EXPIRED, "0")
    desk.both(0.29, -0.29, "d3")
    seen = 8
    while len(desk.orders()) > seen:
        seen += 1
        desk.answer(desk.orders()[seen - 1])
        assert abs(desk.account.held(BTC_SWAP) + desk.account.held(ETH_SWAP)) * 100 <= 107
    assert abs(desk.account.held(BTC_SWAP) - Decimal("2.9")) < Decimal("0.06")
    assert abs(desk.account.held(ETH_SWAP) + Decimal("2.9")) < Decimal("0.06")


def test_what_a_newer_decision_finds_apart_is_not_forgotten() -> None:
    """A leg that nobody could judge while its order was under way is behind for the next wish too, and goes first."""
    desk = short_pair()
    desk.both(0.4, -0.4)
    long, short = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(long)
    desk.sent(short)
    desk.both(-0.4, 0.4, "d2")
    desk.reported(short, Status.CANCELED, "0")
    (turning,) = desk.orders()[2:]
    assert (turning.symbol, turning.side, turning.amount) == (BTC_SWAP, Side.SELL, long.amount)


def test_a_short_leg_that_is_refused_has_the_long_one_sold() -> None:
    """Taken back as any other."""
    desk = short_pair()
    desk.both(0.2, -0.2)
    long, short = sorted(desk.orders(), key=lambda order: order.symbol)
    assert (long.side, short.side) == (Side.BUY, Side.SELL)
    desk.answer(long)
    desk.sent(short)
    desk.refused(short, "venue_filter")
    (back,) = desk.orders()[2:]
    assert (back.symbol, back.side, back.amount) == (BTC_SWAP, Side.SELL, long.amount)


def test_a_leg_that_cannot_be_traded_has_the_other_wait() -> None:
    """A leg that is held back by anything holds the group: nothing is sent, and both say why."""
    desk = Pair()
    hold = Hold(scope=Scope(symbol=ETH), level=Level.PAUSED, code="pause", text="no", since=after(0))
    desk.take(desk.manager.on_hold(e.HoldPlaced(hold, after(0))))
    desk.both(0.3, 0.3)
    assert desk.orders() == []
    assert desk.settled().left == {BTC: "group", ETH: "pause"}


def test_the_ratio_is_that_of_the_targets() -> None:
    """A hedge of half is a half of every slice, and what a limit cuts from one leg is cut from the other."""
    desk = Pair()
    desk.both(0.2, 0.1)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    assert abs(first.amount - 2 * second.amount) <= Decimal("0.002")
    limited = Pair()
    limited.manager.renew(replace(limited.manager.settings, limits=replace(limited.manager.settings.limits, weight_max=0.1)))
    limited.both(0.2, 0.1)
    assert limited.manager.wave is not None
    assert limited.manager.wave.weights == {BTC: 0.1, ETH: 0.05}


def test_an_unbalanced_group_survives_a_restart() -> None:
    """What the journal keeps of a group has the next process complete it or take it back, and not count its time anew."""
    desk = Pair()
    desk.both(0.1, 0.1)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    desk.sent(second)
    desk.reported(second, Status.EXPIRED, "0")
    kept = [event.text for event in desk.out if isinstance(event, e.KeepState) and event.key == "groups"][-1]
    later = Pair(cash="900")
    later.manager.groups.restore(kept)
    later.ledger.flow(Flow("opening-coins", "BTC", desk.account.held(BTC), "opening", after(-60)))
    later.at = 30.0
    later.prices()
    later.both(0.1, 0.1, "d2")
    (again,) = later.orders()
    assert (again.symbol, again.side) == (ETH, Side.BUY)
    later.sent(again)
    later.reported(again, Status.EXPIRED, "0")
    assert later.phases() == ["unwinding"], "its time was over"
    assert (later.orders()[-1].symbol, later.orders()[-1].side) == (BTC, Side.SELL)


def test_a_crash_in_the_middle_of_a_slice_leaves_no_leg_alone() -> None:
    """Killed between one leg's trade and anything else, the next process takes up the same decision from where the group came from."""
    desk = Pair()
    desk.both(0.3, 0.3)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    (kept,) = [event.text for event in desk.out if isinstance(event, e.KeepState)]
    asked = [type(event) for event in desk.out if isinstance(event, e.KeepState | e.SubmitOrders)]
    assert asked == [e.KeepState, e.SubmitOrders], "written before anything is sent"
    later = Pair(cash="900")
    later.manager.groups.restore(kept)
    later.ledger.flow(Flow("opening-coins", "BTC", first.amount, "opening", after(-60)))
    later.both(0.3, 0.3)
    for order in later.orders():
        later.sent(order)
        later.refused(order, "venue_filter") if order.symbol == ETH else later.filled(order)
    assert later.phases()[:2] == ["unbalanced", "unwinding"]
    later.answer(later.orders()[-1])
    assert later.apart() < 12
    assert second.symbol == ETH


def test_an_exit_of_several_slices_goes_on_in_the_pause() -> None:
    """A group that was taken back may be left whenever it is wanted, by as many slices as it takes."""
    desk = Pair()
    desk.both(0.3, 0.3)
    for count in (2, 4, 6):
        for order in desk.orders()[count - 2 : count]:
            desk.answer(order)
    desk.manager.groups._known[(BTC, ETH)].until = after(1000)
    desk.both(0.0, 0.0, "d2")
    seen = 6
    while len(desk.orders()) > seen:
        seen += 1
        desk.answer(desk.orders()[seen - 1])
        assert desk.apart() <= Decimal(101)
    assert seen == 12
    assert desk.account.held(BTC) == desk.account.held(ETH)
    assert desk.account.held(BTC) < Decimal("0.05")


def test_nothing_is_concluded_while_an_order_is_in_doubt() -> None:
    """However long one leg's order is in doubt, the other is not taken back for it; once it turns out to have traded, all is well."""
    desk = Pair()
    desk.both(0.1, 0.1)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    desk.sent(second)
    desk.unknown(second)
    desk.wait(120)
    assert (desk.phases(), len(desk.orders())) == ([], 2)
    desk.filled(second)
    assert desk.apart() == 0
    assert desk.phases() == []


def test_a_group_that_is_apart_may_be_left() -> None:
    """An exit in the middle of an entry sells the leg that has traded, and buys none."""
    desk = Pair()
    desk.both(0.1, 0.1)
    first, second = sorted(desk.orders(), key=lambda order: order.symbol)
    desk.answer(first)
    desk.sent(second)
    desk.reported(second, Status.EXPIRED, "0")
    desk.both(0.0, 0.0, "d2")
    (exit_,) = desk.orders()[2:]
    assert (exit_.symbol, exit_.side, exit_.amount) == (BTC, Side.SELL, first.amount)
    desk.answer(exit_)
    assert desk.phases() == ["unbalanced", "balanced"]
    assert desk.apart() < 1


@given(st.data())
def test_whatever_happens_to_its_orders_a_group_stays_within_its_bound(data: st.DataObject) -> None:
    """Fills, parts, expiries and refusals in any order: the legs are never further apart than a slice, and in the end not at all."""
    desk = Pair()
    desk.both(*data.draw(st.sampled_from([(0.3, 0.3), (0.25, 0.25), (0.1, 0.1)])))
    done = 0
    for _ in range(60):
        for order in desk.orders()[done:]:
            done += 1
            desk.sent(order)
            match data.draw(st.sampled_from(["fill", "fill", "fill", "part", "expire", "refuse"])):
                case "fill":
                    desk.filled(order)
                case "part":
                    part = str((order.amount * data.draw(st.integers(1, 9)) / 10).quantize(Decimal("0.001")))
                    desk.filled(order, part)
                    desk.reported(order, Status.EXPIRED, part)
                case "expire":
                    desk.reported(order, Status.EXPIRED, "0")
                case _:
                    desk.refused(order, "venue_filter")
            assert desk.apart() <= Decimal(107), desk.phases()
        if desk.manager.wave is None and done == len(desk.orders()):
            break
        desk.wait(1)
    if not desk.manager.wave and desk.phases() and desk.phases()[-1] == "balanced":
        assert desk.apart() <= 12, "two smallest orders"
    assert desk.phases()[-1:] != ["unbalanced"], "completed, taken back, or told as stuck"
