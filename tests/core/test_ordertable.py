"""The order table: its life, its amounts, its ids."""

import re
from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.model import ZERO, Side, Status
from daemon.core.ordertable import ENDED, LIFE, OrderTable, Saw, State, Tracked, client_id, diagram, tag
from tests.core.builders import START, after, fill, order, report

# What venues with string ids take (ccxt's own checks and the venues' manuals).
VENUE_IDS = {
    "binance": r"^[\.A-Z\:/a-z0-9_-]{1,36}$",
    "okx": r"^[A-Za-z0-9]{1,32}$",
    "bybit": r"^[A-Za-z0-9_-]{1,36}$",
    "gate": r"^[A-Za-z0-9._-]{1,28}$",
    "kucoin": r"^[A-Za-z0-9_-]{1,40}$",
    "htx": r"^[A-Za-z0-9_-]{1,64}$",
    "most others": r"^[a-z0-9]{1,32}$",
}


def in_state(state: State) -> Tracked:
    return Tracked(order(), state=state)


@pytest.mark.parametrize(("state", "saw"), list(product(State, Saw)))
def test_what_is_not_listed_changes_nothing(state: State, saw: Saw) -> None:
    """Every pair of state and sight: listed, it goes there; not listed, it says so and stays."""
    tracked = in_state(state)
    listed = (state, saw) in LIFE
    assert tracked.learn(saw) is listed
    assert tracked.state is (LIFE[(state, saw)] if listed else state)


def test_an_order_that_is_known_to_exist_cannot_become_unknown_refused_or_new() -> None:
    """What the venue has shown is never again in doubt by the loss of an answer."""
    known = {State.ACKED, State.PARTIAL, State.CANCEL_SENT, State.FILLED, State.CANCELED, State.EXPIRED}
    for (state, _), to in LIFE.items():
        if state in known:
            assert to in known


def test_a_filled_order_stays_filled() -> None:
    """Nothing leads out of FILLED."""
    assert {to for (state, _), to in LIFE.items() if state is State.FILLED} == {State.FILLED}


def test_what_was_not_sent_may_be_sent_and_what_was_cancelled_may_have_filled() -> None:
    """A request that did not leave is an intent as before; trades that are told after a cancel are what happened."""
    assert LIFE[(State.SENT, Saw.NOT_SENT)] is State.NEW
    assert LIFE[(State.CANCELED, Saw.FULL)] is State.FILLED


def test_the_last_trade_fills_an_order() -> None:
    """Trades that add up to the whole amount end it, to the unit; less than that is a part."""
    tracked = in_state(State.ACKED)
    states = []
    for trade_id, amount in (("t1", "0.4"), ("t2", "0.6")):
        tracked.fill(fill(order(), amount, trade_id=trade_id), after(1))
        states.append(tracked.state)
    assert states == [State.PARTIAL, State.FILLED]


def test_a_sighting_takes_back_every_look_up_that_found_nothing() -> None:
    """Whatever shows the order, its absence is counted from the beginning after it."""
    tracked = in_state(State.UNKNOWN)
    tracked.absences = [after(1), after(2)]
    tracked.report(report(order()), after(3))
    assert tracked.absences == []


def test_what_is_reported_and_not_booked_is_reserved() -> None:
    """An order that the venue calls filled holds its money until its trades are in the ledger."""
    tracked = in_state(State.ACKED)
    tracked.report(report(order(), Status.FILLED, "1"), after(1))
    assert tracked.reserved == order().reserve
    tracked.fill(fill(order()), after(2))
    assert tracked.reserved == 0


def test_a_trade_that_has_found_its_order_is_nobody_s_no_more() -> None:
    """A trade under the venue's id alone is given to the order once that is known, and explains nothing else from then on."""
    table = OrderTable()
    table.stray(replace(fill(order()), order_id=""))
    assert table.strayed("BTC/USDT", Side.BUY, START) == {"v-r0": 1}
    tracked = table.add(order())
    tracked.report(report(order()), after(1))
    table.link(tracked, after(1))
    assert tracked.booked == 1
    assert table.strayed("BTC/USDT", Side.BUY, START) == {}


def test_unknown_ends_only_by_evidence() -> None:
    """A report, a trade or the confirmed absence: nothing else leads out of UNKNOWN."""
    exits = {saw for (state, saw), to in LIFE.items() if state is State.UNKNOWN and to is not State.UNKNOWN}
    assert exits == {Saw.OPEN, Saw.PART, Saw.FULL, Saw.CANCELED, Saw.EXPIRED, Saw.ABSENCE}


def test_every_state_can_be_reached_and_every_order_can_end() -> None:
    """The table has no island and no trap."""
    reached = {State.NEW}
    while more := {to for (state, _), to in LIFE.items() if state in reached} - reached:
        reached |= more
    assert reached == set(State)
    ending = set(ENDED)
    while more := {state for (state, _), to in LIFE.items() if to in ending} - ending:
        ending |= more
    assert ending == set(State)


def test_the_diagram_lists_each_transition() -> None:
    """The drawing in the documentation is made of the table, all of it."""
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n")
    for (state, saw), to in LIFE.items():
        if state is not to:
            assert re.search(rf"^ +{state.value} --> {to.value}: .*\b{saw.value}\b", drawn, re.MULTILINE), (state, saw, to)
    for state in ENDED:
        assert f"{state.value} --> [*]" in drawn


steps = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.integers(1, 6)),
        st.tuples(st.sampled_from(list(Status)), st.integers(0, 10)),
        st.tuples(st.sampled_from(list(Saw)), st.just(0)),
    ),
    max_size=15,
)


@given(steps)
def test_a_filled_amount_never_decreases_and_reserves_never_exceed_the_order(story: list[tuple[object, int]]) -> None:
    """Whatever is reported in whatever order: filled only grows, what is reserved is at most the whole, and an end frees the rest."""
    tracked = Tracked(order(amount="10"))
    filled = ZERO
    for what, number in story:
        match what:
            case "fill":
                if tracked.booked + number <= 10:
                    tracked.fill(fill(tracked.order, str(number), trade_id=f"t{tracked.booked}"), after(0))
            case Status():
                tracked.report(report(tracked.order, what, str(number)), after(0))
            case Saw():
                tracked.learn(what)
            case _:
                pass
        assert tracked.filled >= filled
        filled = tracked.filled
        assert 0 <= tracked.reserved <= tracked.order.reserve
        assert tracked.remaining == 0 or not tracked.ended
        assert tracked.booked + tracked.unbooked == filled


def test_the_same_trade_counts_once() -> None:
    """Stream and listing tell of one trade; it is one."""
    tracked = Tracked(order(amount="10"), state=State.SENT)
    assert tracked.fill(fill(tracked.order, "4"), after(0))
    assert not tracked.fill(fill(tracked.order, "4"), after(0))
    assert (tracked.booked, tracked.state) == (Decimal(4), State.PARTIAL)


def test_a_cumulative_report_counts_until_its_trades_come_and_not_beside_them() -> None:
    """Filled by report, trades lagging: pending counts it at once; the trades replace it."""
    tracked = Tracked(order(amount="10"), state=State.SENT)
    tracked.report(report(tracked.order, Status.FILLED, "10"), after(0))
    assert (tracked.pending, tracked.settled) == (Decimal(10), False)
    tracked.fill(fill(tracked.order, "10"), after(0))
    assert (tracked.pending, tracked.settled) == (ZERO, True)


def test_filled_without_an_amount_is_not_taken_for_nothing() -> None:
    """A report that says filled and forgets how much waits for its trades; taken for 0 it would be bought again."""
    tracked = Tracked(order(amount="10"), state=State.SENT)
    tracked.report(report(tracked.order, Status.FILLED, "0"), after(0))
    assert tracked.unbooked == 10


def test_a_late_trade_of_a_refused_order_makes_it_live_again() -> None:
    """A refusal that was none: the trade shows that the order exists, and the rest may still fill."""
    tracked = Tracked(order(amount="10"), state=State.REJECTED, reason="refused")
    tracked.fill(fill(tracked.order, "4"), after(0))
    assert (tracked.state, tracked.remaining, tracked.reason) == (State.PARTIAL, Decimal(6), "")


def test_ids_fit_every_venue_and_are_one_per_purpose() -> None:
    """27 lower-case letters and digits, `r` and the instance's tag first; the same purpose the same id, another one another."""
    made = {
        client_id(instance, decision, symbol, side, attempt)
        for instance in ("momo|live", "momo|paper")
        for decision in (f"d{n}" for n in range(50))
        for symbol in ("BTC/USDT", "ETH/USDT", "BTC/USDC")
        for side in Side
        for attempt in range(1, 11)
    }
    assert len(made) == 2 * 50 * 3 * 2 * 10
    for made_id in made:
        assert re.fullmatch(r"r[0-9a-z]{26}", made_id)
    for pattern in VENUE_IDS.values():
        assert all(re.match(pattern, made_id) for made_id in made)
    assert client_id("i", "d", "s", Side.BUY, 1) == client_id("i", "d", "s", Side.BUY, 1)
    assert client_id("i", "d", "s", Side.BUY, 1).startswith("r" + tag("i"))


def test_ids_are_the_same_for_ever() -> None:
    """A journal of an older release must find its orders: this id may not change."""
    assert client_id("momo|live", "2026-01-01T00:00:00Z", "BTC/USDT", Side.BUY, 1) == "rhdac94r417av5qtg7vvg6ac7hc"


def test_parts_of_an_id_cannot_run_together() -> None:
    """Decision `a` of symbol `bc` is not decision `ab` of symbol `c`."""
    assert client_id("i", "a", "bc", Side.BUY, 1) != client_id("i", "ab", "c", Side.BUY, 1)


def test_an_intent_is_registered_once() -> None:
    """The same id a second time is a programmer's error, even after the order has closed."""
    table = OrderTable()
    tracked = table.add(order())
    for _ in range(2):
        with pytest.raises(ValueError, match="exists already"):
            table.add(order())
        table.close(tracked)


def test_the_venues_id_counts_within_its_market() -> None:
    """Order 7 of one market is not order 7 of another; no id at all finds nothing."""
    table = OrderTable()
    one, other = table.add(order("r1", "BTC/USDT")), table.add(order("r2", "ETH/USDT"))
    for tracked in (one, other):
        tracked.venue_id = "7"
        table.link(tracked, after(0))
    assert table.get("", "BTC/USDT", "7") is one
    assert table.get("", "ETH/USDT", "7") is other
    assert table.get("somebody else's", "ETH/USDT", "7") is other
    assert table.get("", "BTC/USDT", "") is None


def test_a_stray_trade_finds_its_order_once_the_venues_id_is_known() -> None:
    """A listing may be faster than the first report: the trade is kept and handed over, once."""
    table = OrderTable()
    tracked = table.add(order())
    table.stray(fill(tracked.order))
    tracked.report(report(tracked.order, Status.FILLED, "1"), after(1))
    table.link(tracked, after(1))
    assert tracked.booked == 1


def test_memory_stays_flat() -> None:
    """Closed orders and stray trades are kept for late news, the last two thousand of each."""
    table = OrderTable()
    for n in range(5_000):
        tracked = table.add(order(f"r{n}"))
        tracked.venue_id = str(n)
        table.link(tracked, after(0))
        table.close(tracked)
        table.stray(fill(order("x"), trade_id=str(n)))
    assert list(table) == []
    assert table.get("r0") is None
    assert table.get("r4999") is not None
    assert len(table._closed) == len(table._by_venue_id) == len(table._strays) == 2_000


@pytest.mark.parametrize("state", [State.NEW, State.SENT, State.UNKNOWN])
def test_an_order_of_the_process_before_is_in_doubt_whether_it_was_sent_or_not(state: State) -> None:
    """Nobody knows how far a process came that has died: from an intent on, its orders are unknown, and asked for from the beginning."""
    tracked = in_state(state)
    tracked.absences, tracked.asks, tracked.heard = [after(1)], 5, True
    tracked.doubt(after(10))
    assert (tracked.state, tracked.doubted_at) == (State.UNKNOWN, after(10))
    assert (tracked.absences, tracked.asks, tracked.heard) == ([], 0, False)
    assert tracked.reserved == tracked.order.reserve


@pytest.mark.parametrize(
    ("state", "saw"), [(State.PARTIAL, Saw.OPEN), (State.CANCEL_SENT, Saw.OPEN), (State.CANCEL_SENT, Saw.PART), (State.FILLED, Saw.OPEN)]
)
def test_a_report_older_than_what_is_known_takes_nothing_back(state: State, saw: Saw) -> None:
    """An order that has fills is not merely open again, nor one whose cancel is under way, until its end is seen."""
    tracked = in_state(state)
    assert tracked.learn(saw)
    assert tracked.state is state
