"""Another instance on the account: known by what this one cannot have made, and by nothing else."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from daemon.core.events import AccountPolled, CancelOrder, HoldLifted, HoldPlaced, OrderReported
from daemon.core.ledger import Ledger
from daemon.core.model import AccountSnapshot, OrderReport, Side, Status
from daemon.core.ordertable import OrderTable, beginning, client_id, is_of_a_daemon
from daemon.core.reconciler import PositionReconciler
from daemon.core.states import ACCOUNT, Level
from daemon.core.twins import MARGIN, OTHER_INSTANCE, STRAYS_MAX
from tests.core.builders import after, order, report

OURS, OTHER = "momo|live", "momo-2|live"
LATELY, SEEN = after(50), after(100)


class Desk:
    """A process that began at 0, with one order of its own, of the venue's number 1."""

    def __init__(self) -> None:
        self.table = OrderTable()
        self.reconciler = PositionReconciler(("BTC/USDT", "ETH/USDT"), Ledger(), self.table, ours=beginning(OURS))
        self.reconciler.twins.begin(after(0), (EARLIER,))
        self.mine = self.table.add(order(client_id(OURS, "d1", "BTC/USDT", Side.BUY, 1), at=after(20)))
        self.mine.report(told(self.mine.order.id, "1"), after(21))

    def codes(self, *reports: OrderReport, at: datetime = SEEN) -> list[str]:
        """Why trading halts once the stream has told of these."""
        events = [event for each in reports for event in self.reconciler.on_reported(OrderReported(each, "stream", at))]
        assert all(isinstance(event, HoldPlaced) and event.hold.level is Level.HALTED and event.hold.scope == ACCOUNT for event in events)
        return [event.hold.code for event in events if isinstance(event, HoldPlaced)]


def told(order_id: str, number: str = "7", made_at: datetime | None = LATELY, symbol: str = "BTC/USDT", filled: str = "0.1") -> OrderReport:
    """What a venue tells of an order, which has traded unless it says otherwise."""
    return replace(report(order(order_id, symbol)), venue_id=number, made_at=made_at, filled=Decimal(filled), status=Status.OPEN)


UNHEARD_OF = client_id(OURS, "d2", "BTC/USDT", Side.BUY, 1)
ANOTHERS = client_id(OTHER, "d1", "BTC/USDT", Side.BUY, 1)
MINE = client_id(OURS, "d1", "BTC/USDT", Side.BUY, 1)
EARLIER = client_id(OURS, "d0", "BTC/USDT", Side.BUY, 1)


@pytest.mark.parametrize(
    ("seen", "alone"),
    [
        (told(UNHEARD_OF), False),
        (told(MINE, "2"), False),  # the same decision on another machine
        (told(ANOTHERS), False),
        (told(MINE, "1"), True),
        (told(MINE, "2", after(5)), True),  # a journal that was restored may use an id again
        (told(UNHEARD_OF, made_at=after(-3600)), True),  # of an earlier process, and of a journal that is lost
        (told(UNHEARD_OF, made_at=after(5)), True),  # on its way when that process ended
        (told(UNHEARD_OF, made_at=None), True),
        (told(ANOTHERS, symbol="XMR/USDT"), True),  # which this one does not trade
        (told("web-order-1"), True),
        (told(UNHEARD_OF, filled="0"), True),  # it rests, and is cancelled: it may have been on its way for long
        (told(MINE, "0001"), True),  # one number, written in two ways
        (told(MINE, "-1"), True),  # which is none
        (replace(told(MINE, "2"), status=Status.REJECTED), True),  # a second try that the venue has refused
        (told(EARLIER), True),  # its intent is in the journal of a process before this one
        (told("R" + ANOTHERS[1:]), True),
    ],
)
def test_only_what_this_process_cannot_have_sent_is_of_another(seen: OrderReport, alone: bool) -> None:
    """A traded order of ours without an intent, ours under a second number, or another's, made well after this process began."""
    assert Desk().codes(seen) == ([] if alone else [OTHER_INSTANCE])


def test_one_sentence_names_the_order_and_the_remedy() -> None:
    """A person reads which order it was and what to do."""
    (event,) = Desk().reconciler.on_reported(OrderReported(told(ANOTHERS), "stream", SEEN))
    assert isinstance(event, HoldPlaced)
    assert ANOTHERS in event.hold.text
    assert "stop that one or give it an account of its own, then `rebalanced resume`" in event.hold.text


def test_an_open_order_of_another_instance_is_left_alone_and_one_of_an_earlier_life_is_cancelled() -> None:
    """What a poll shows counts as what a stream tells; the instance at work looks after its orders, and nobody after those of the dead."""
    desk = Desk()
    listed = told(UNHEARD_OF), told(client_id(OURS, "d3", "BTC/USDT", Side.BUY, 1), "8", after(-3600))
    out = list(desk.reconciler.on_polled(AccountPolled(AccountSnapshot({}, listed, SEEN, SEEN), SEEN)))
    assert [event.hold.code for event in out if isinstance(event, HoldPlaced)] == [OTHER_INSTANCE]
    assert [event.order_id for event in out if isinstance(event, CancelOrder)] == [listed[1].order_id]


def test_orders_that_rest_without_an_intent_are_cancelled_until_they_are_too_many() -> None:
    """One may have been lost on its way; one after the other, somebody is making them."""
    desk = Desk()
    strays = [told(client_id(OURS, f"d{n}", "BTC/USDT", Side.BUY, 1), str(n), filled="0") for n in range(10, 10 + STRAYS_MAX)]
    for stray in strays[:-1]:
        out = list(desk.reconciler.on_polled(AccountPolled(AccountSnapshot({}, (stray,), SEEN, SEEN), SEEN)))
        assert [event.order_id for event in out if isinstance(event, CancelOrder)] == [stray.order_id]
        assert not [event for event in out if isinstance(event, HoldPlaced)]
    assert desk.codes(strays[0]) == []
    assert desk.codes(strays[-1]) == [OTHER_INSTANCE]


def test_a_trade_of_an_order_that_rested_without_an_intent_is_enough() -> None:
    """A stream that says when an order was made with its first word alone is understood: the trade is of what it told of before."""
    assert Desk().codes(told(UNHEARD_OF, filled="0"), told(UNHEARD_OF, made_at=None)) == [OTHER_INSTANCE]


def test_it_is_told_once_and_again_only_for_what_comes_after_a_person_has_resumed() -> None:
    """An order from before the resumption is accepted with it; a newer one halts again."""
    desk = Desk()
    assert desk.codes(told(UNHEARD_OF), told(ANOTHERS)) == [OTHER_INSTANCE]
    list(desk.reconciler.on_lifted(HoldLifted(ACCOUNT, OTHER_INSTANCE, "ann", after(200))))
    assert desk.codes(told(UNHEARD_OF), told(ANOTHERS, made_at=after(199))) == []
    assert desk.codes(told(ANOTHERS, made_at=after(200) + MARGIN)) == [OTHER_INSTANCE]


def test_an_order_that_the_table_has_forgotten_is_still_ours() -> None:
    """A late word of an order of ours from thousands of orders ago is no word of another instance."""
    desk = Desk()
    desk.table.close(desk.mine)
    for number in range(OrderTable.CLOSED_KEPT):
        desk.table.close(desk.table.add(order(f"later-{number}", at=after(60))))
    assert desk.table.get(MINE) is None
    assert desk.codes(told(MINE, "1", after(20))) == []
    assert desk.codes(told(UNHEARD_OF, made_at=after(61))) == [OTHER_INSTANCE]


def test_before_a_process_sends_orders_nothing_is_judged() -> None:
    """A backtest and a look at an account have no other instance."""
    reconciler = PositionReconciler(("BTC/USDT",), Ledger(), OrderTable(), ours=beginning(OURS))
    assert list(reconciler.on_reported(OrderReported(told(UNHEARD_OF), "stream", SEEN))) == []


def test_ids_of_instances_are_known_by_their_shape() -> None:
    """Whatever the instance, its ids are told from those that people, venues and other programs make."""
    assert all(is_of_a_daemon(client_id(f"i{n}", "d", "BTC/USDT", Side.SELL, n)) for n in range(100))
    others = ("", "web_" + "a" * 23, "x-R4BD3S82" + "a" * 17, "r" + "i" * 26, "r" + "0" * 25, "r" + "0" * 27, Decimal(1).to_eng_string())
    assert not any(map(is_of_a_daemon, others))
