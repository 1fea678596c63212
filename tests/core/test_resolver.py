"""The resolver: when to ask, and when silence is proof."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from daemon.core.events import AccountReconciled, Event, OrderNotFound, PollAccount, QueryOrder, QueryTrades
from daemon.core.model import Side, Status
from daemon.core.ordertable import OrderTable, Saw, State, Tracked
from daemon.core.resolver import Patience, Resolver, may_explain, may_lock
from tests.core.builders import after, fill, order, report


class Inquiry:
    """One order in doubt since second 0, asked about every second."""

    def __init__(self, state: State = State.UNKNOWN) -> None:
        self.table = OrderTable()
        self.resolver = Resolver(self.table, Patience())
        self.tracked: Tracked = self.table.add(order(at=after(0)))
        self.tracked.state = state
        self.tracked.doubted_at = after(0) if state is State.UNKNOWN else None

    def not_found(self, asked: float, answered: float | None = None) -> bool:
        event = OrderNotFound(self.tracked.order.id, after(asked), after(asked if answered is None else answered))
        return self.resolver.absent(self.tracked, event)

    def account(self, asked: float, *, locked: str = "0", **differences: str) -> None:
        found = {currency: Decimal(amount) for currency, amount in differences.items()}
        self.resolver.on_reconciled(AccountReconciled(found, after(asked), after(asked), locked={"USDT": Decimal(locked)}), {})

    def asked(self, kind: type, seconds: float) -> list[float]:
        """When, in seconds, questions of a kind are put while a clock ticks every half second."""
        moments = []
        for n in range(int(seconds * 2)):
            moments += [n / 2 for event in self.resolver.questions(after(n / 2)) if isinstance(event, kind)]
        return moments


def test_absence_needs_the_fence_three_look_ups_and_the_account() -> None:
    """The full rule: after the fence, three answers at least two seconds apart, and an account read after the fence that agrees."""
    case = Inquiry()
    case.account(16)
    assert not case.not_found(16)
    assert not case.not_found(18)
    assert case.not_found(20)


def test_look_ups_before_the_fence_count_for_nothing() -> None:
    """However often it was not found while it could still arrive."""
    case = Inquiry()
    case.account(16)
    assert not any(case.not_found(n) for n in range(15))
    assert case.tracked.absences == []
    assert not case.not_found(14.9, answered=40)


def test_the_fence_counts_from_the_doubt() -> None:
    """What was asked before a restart counts for nothing: an order of long ago that is doubted now has the whole fence before it."""
    case = Inquiry()
    case.tracked.doubted_at = after(100)
    case.account(200)
    assert not any(case.not_found(n) for n in range(20, 115, 3))
    assert case.tracked.absences == []
    assert any(case.not_found(n) for n in range(115, 125, 3))


@pytest.mark.parametrize(("rests", "reduces", "known_s"), [(True, True, 64), (True, False, 20), (False, True, 20)])
def test_what_would_leave_no_trace_is_believed_absent_later(rests: bool, reduces: bool, known_s: int) -> None:
    """Resting and only reducing a swap, an order locks nothing: look-ups alone deny it, and they may all lag for a minute."""
    case = Inquiry()
    case.tracked.order = replace(order("BTC/USDT:USDT", at=after(0)), limit=Decimal(90), post_only=rests, reduce_only=reduces)
    found = []
    for at in range(16, 80, 2):
        case.account(at)
        found.append((at, case.not_found(at)))
    assert next(at for at, absent in found if absent) == known_s


def test_one_cancel_in_vain_gives_nothing_up() -> None:
    """An order that was open is believed to be gone only after several cancels, however long it is not found."""
    case = Inquiry(State.CANCEL_SENT)
    case.tracked.seen_at = after(0)
    case.tracked.cancels = 1
    case.account(1000)
    assert not any(case.not_found(n) for n in range(500, 1000, 5))


def test_look_ups_too_close_together_count_once() -> None:
    """Ten answers within a second are one."""
    case = Inquiry()
    case.account(16)
    assert not any(case.not_found(16 + n / 10) for n in range(10))
    assert len(case.tracked.absences) == 1


@pytest.mark.parametrize("asked_at", [None, 14.9])
def test_an_account_not_read_since_the_fence_proves_nothing(asked_at: float | None) -> None:
    """Without a reading after the fence, no number of look-ups is enough; with it, the next one is."""
    case = Inquiry()
    if asked_at is not None:
        case.account(asked_at)
    assert not any(case.not_found(16 + 2 * n) for n in range(10))
    case.account(40)
    assert case.not_found(41)


@pytest.mark.parametrize("differences", [{"BTC": "0.5"}, {"USDT": "-50"}, {"BTC": "0.5", "USDT": "-50"}])
def test_an_account_that_shows_the_trade_keeps_the_doubt(differences: dict[str, str]) -> None:
    """More base or less quote than the ledger has is what a filled buy looks like: the order may not be called absent."""
    case = Inquiry()
    case.account(16, **differences)
    assert not any(case.not_found(16 + 2 * n) for n in range(10))


@pytest.mark.parametrize("differences", [{"USDT": "50"}, {"ETH": "3"}])
def test_a_difference_that_a_buy_cannot_make_does_not_keep_the_doubt(differences: dict[str, str]) -> None:
    """A deposit of quote or another coin's drift has nothing to do with it."""
    case = Inquiry()
    case.account(16, **differences)
    assert [case.not_found(16 + 2 * n) for n in range(3)] == [False, False, True]


def test_base_that_is_missing_may_hide_what_was_bought() -> None:
    """A liquidation or a withdrawal takes the trade along: the order is absent no sooner than that is explained."""
    case = Inquiry()
    case.account(16, BTC="-3")
    assert not any(case.not_found(16 + 2 * n) for n in range(10))
    case.account(40)
    assert case.not_found(41)


@pytest.mark.parametrize(("hint", "absent_s"), [({"BTC": "0.5"}, 72), ({"USDT": "-50"}, 24), ({"BTC": "-0.5"}, 24)])
def test_what_the_account_has_shown_once_counts_for_a_minute(hint: dict[str, str], absent_s: int) -> None:
    """A later reading without the trade may lag: base that came as by the order keeps the doubt until it has not been seen for long."""
    case = Inquiry()
    case.account(12, **hint)
    found = []
    for at in range(20, 90, 2):
        case.account(at)
        found.append((at, case.not_found(at)))
    assert next(at for at, absent in found if absent) == absent_s


@pytest.mark.parametrize(("side", "absent_s"), [(Side.BUY, 24), (Side.SELL, 72)])
def test_what_another_order_may_have_brought_is_no_hint(side: Side, absent_s: int) -> None:
    """While another order of its symbol and side is open, base may be that one's."""
    case = Inquiry()
    case.table.add(order("r1", side=side, at=after(0))).state = State.ACKED
    case.account(12, BTC="0.5")
    found = []
    for at in range(20, 90, 2):
        case.account(at)
        found.append((at, case.not_found(at)))
    assert next(at for at, absent in found if absent) == absent_s


@pytest.mark.parametrize(("side", "reduces", "locked", "seen"), [
    (Side.BUY, False, "6", True),
    (Side.SELL, False, "1", True),
    (Side.SELL, False, "0.9", False),
    (Side.SELL, True, "6", False),
])  # fmt: skip
def test_the_margin_that_an_order_of_a_swap_may_have_locked_shows_it(side: Side, reduces: bool, locked: str, seen: bool) -> None:
    """A tenth of the margin that it reserves, on whichever side it is, in the currency of the wallet; what only reduces locks none."""
    case = Inquiry()
    short = order(symbol="BTC/USDT:USDT", side=side, at=after(0))
    case.tracked.order = replace(short, reserve=Decimal(10), reduce_only=reduces)
    assert may_lock(case.tracked, {"USDT": Decimal(locked)}) is seen


@pytest.mark.parametrize(("locked", "absent"), [("60", False), ("40", True)])
def test_money_that_the_order_may_have_locked_keeps_the_doubt(locked: str, absent: bool) -> None:
    """A look-up may lag behind an order that is open: half of what it would lock, beside what others lock, keeps it in doubt."""
    case = Inquiry()
    case.account(16, locked=locked)
    assert any(case.not_found(16 + 2 * n) for n in range(5)) is absent
    case.resolver.on_reconciled(AccountReconciled({}, after(30), after(30), locked={"USDT": Decimal(90)}), {"USDT": Decimal(80)})
    assert case.not_found(40)


@pytest.mark.parametrize(
    ("amount", "side", "at", "order_id", "absent"),
    [
        ("1", Side.BUY, 1.0, "", False),
        ("0.4", Side.BUY, 1.0, "", False),
        ("1.1", Side.BUY, 1.0, "", True),
        ("1", Side.SELL, 1.0, "", True),
        ("1", Side.BUY, -61.0, "", True),
        ("1", Side.BUY, 1.0, "by-hand", True),
    ],
)
def test_a_trade_that_may_be_its_keeps_the_doubt(amount: str, side: Side, at: float, order_id: str, absent: bool) -> None:
    """A listing names the venue's id alone: the ledger has the trade, the account agrees, and yet the order is not absent."""
    case = Inquiry()
    case.table.stray(replace(fill(case.tracked.order, amount, at=after(at)), order_id=order_id, side=side))
    case.account(16)
    assert any(case.not_found(16 + 2 * n) for n in range(5)) is absent


def test_a_sighting_between_look_ups_starts_the_count_again() -> None:
    """Alternating answers never add up to absence."""
    case = Inquiry()
    case.account(16)
    for n in range(10):
        case.not_found(16 + 4 * n)
        case.not_found(18 + 4 * n)
        case.tracked.report(report(case.tracked.order, Status.OPEN), after(19 + 4 * n))
        case.tracked.state = State.UNKNOWN
    assert case.tracked.absences == []


def test_an_acknowledged_order_that_is_not_found_is_lagging_not_absent() -> None:
    """Not found after an acknowledgement is a slow venue; nothing is concluded, however long."""
    case = Inquiry(State.ACKED)
    case.account(1000)
    assert not any(case.not_found(1000 + 10 * n) for n in range(100))


def test_an_order_cancelled_in_vain_that_vanished_is_given_up_after_a_minute() -> None:
    """After five cancels, a minute unseen, three look-ups and an account that agrees."""
    case = Inquiry(State.CANCEL_SENT)
    case.tracked.seen_at, case.tracked.cancels = after(10), 5
    case.account(100)
    assert not any(case.not_found(60 + n) for n in range(10))
    assert [case.not_found(71 + 2 * n) for n in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("state", "seconds", "words"),
    [
        (State.SENT, 100, "its answer is awaited"),
        (State.UNKNOWN, 14, "say so again in 2 s"),
        (State.UNKNOWN, 15, ""),
        (State.ACKED, 100, "cancel it there"),
        (State.CANCEL_SENT, 100, ""),
        (State.FILLED, 100, "has ended: filled"),
    ],
)
def test_a_person_ends_only_what_cannot_arrive_and_is_not_shown(state: State, seconds: int, words: str) -> None:
    """Their word counts once the request is out of time, and never against an order that the venue has shown since its cancel."""
    case = Inquiry(state)
    case.tracked.canceled_at = after(5)
    obstacle = case.resolver.obstacle(case.tracked, after(seconds))
    assert words in obstacle
    assert bool(words) == bool(obstacle)
    case.tracked.seen_at = after(6)
    assert "cancel it there" in case.resolver.obstacle(case.tracked, after(100)) or state is not State.CANCEL_SENT


def test_trades_that_never_come_end_with_a_person() -> None:
    """An order that has ended, and of whose trades the venue tells none, is in doubt as well."""
    case = Inquiry(State.ACKED)
    case.tracked.report(report(case.tracked.order, Status.FILLED), after(1))
    assert case.resolver.obstacle(case.tracked, after(2)) == ""
    case.tracked.forgo()
    assert case.tracked.settled


def test_cancels_are_repeated_at_growing_intervals_and_not_for_ever() -> None:
    """A cancel that had no effect is asked for again, five times at most unless the venue still shows the order."""
    case = Inquiry(State.ACKED)
    tracked = case.tracked
    moments = []
    for n in range(600):
        if case.resolver.may_cancel(tracked, after(n)):
            tracked.state, tracked.canceled_at, tracked.cancels = State.CANCEL_SENT, after(n), tracked.cancels + 1
            moments.append(n)
    assert len(moments) == 5
    gaps = [b - a for a, b in pairwise(moments)]
    assert gaps == sorted(gaps)
    tracked.report(report(tracked.order, Status.OPEN), after(700))
    assert case.resolver.may_cancel(tracked, after(700))


def test_doubt_is_asked_about_at_once_and_then_ever_more_calmly() -> None:
    """Half a second after the doubt, then every two seconds, in the end every half minute."""
    moments = Inquiry().asked(QueryOrder, 600)
    gaps = [b - a for a, b in pairwise(moments)]
    assert moments[0] == 0.5
    assert gaps[:8] == [2.0] * 8
    assert max(gaps) == gaps[-1] == 30.0
    assert len(moments) < 40


def test_the_account_is_read_once_the_fence_has_passed() -> None:
    """The reading that the rule needs is asked for, and not before it can help."""
    moments = Inquiry().asked(PollAccount, 60)
    assert moments
    assert min(moments) >= 15


def test_open_orders_are_asked_about_in_case_the_stream_has_lost_their_end() -> None:
    """Soon, since a market order has most likely ended by then, and less and less often up to every five seconds."""
    case = Inquiry(State.ACKED)
    case.tracked.heard = True
    assert case.asked(QueryOrder, 21) == [0.5, 1.5, 3.5, 7.5, 12.5, 17.5]
    case.tracked.doubt(after(100))
    (first,) = [event for event in case.resolver.questions(after(100.5)) if isinstance(event, QueryOrder)]
    assert first.order_id == case.tracked.order.id


def test_an_order_that_rests_is_asked_about_less() -> None:
    """It is meant to be open: up to every half minute, and as often as others once its cancel was asked for."""
    case = Inquiry(State.ACKED)
    case.tracked.order = replace(case.tracked.order, limit=Decimal(99), post_only=True)
    assert case.asked(QueryOrder, 70) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5]
    case.tracked.learn(Saw.CANCELING)
    assert [event for event in case.resolver.questions(after(66.5)) if isinstance(event, QueryOrder)]


def test_an_ended_order_without_its_trades_asks_for_trades() -> None:
    """The report was faster than the listing of trades."""
    case = Inquiry()
    case.tracked.report(report(case.tracked.order, Status.FILLED, "1"), after(1))
    asked: list[Event] = list(case.resolver.questions(after(5)))
    assert [type(event) for event in asked] == [QueryTrades]


def test_new_and_sent_orders_are_not_asked_about() -> None:
    """Their answer is on its way; asking now could only be misunderstood."""
    for state in (State.NEW, State.SENT, State.REJECTED, State.DENIED):
        assert Inquiry(state).asked(QueryOrder, 60) == []


def test_what_a_trade_may_explain_depends_on_its_side() -> None:
    """A sell takes base and brings quote."""
    sell = Tracked(replace(order(), side=Side.SELL))
    assert may_explain(sell, {"BTC": Decimal(-1)})
    assert may_explain(sell, {"USDT": Decimal(1)})
    assert not may_explain(sell, {"BTC": Decimal(1), "USDT": Decimal(-1)})
