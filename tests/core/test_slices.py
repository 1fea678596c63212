"""The aligner: every order of arrival gives the same slices, nobody is waited for too long, warm-up and live agree."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import slices
from daemon.core.events import BarClosed, SliceClosed, StreamCaughtUp, StreamLost, TimePassed
from daemon.core.model import CLOSE, OPEN, VOLUME, Bar, Slice
from daemon.core.slices import Aligner, align

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
ABC = ("A/USDT", "B/USDT", "C/USDT")
A, B, C = ABC


def bar(symbol: str, index: int) -> Bar:
    """The bar of `symbol` that closes at minute `index`; its prices say whose and which it is."""
    price = 100.0 * (1 + ord(symbol[0]) - ord("A")) + index
    return Bar(symbol, T0 + index * MINUTE, price, price + 2, price - 2, price + 1, float(index))


def after_close(index: int, seconds: float) -> datetime:
    return T0 + index * MINUTE + timedelta(seconds=seconds)


def closed(symbol: str, index: int, at: datetime | None = None) -> BarClosed:
    return BarClosed(bar(symbol, index), at or after_close(index, 0.1))


def aligner(*, grace: timedelta = 3 * SECOND, after: Slice | None = None, symbols: Sequence[str] = ABC) -> Aligner:
    return Aligner(symbols, MINUTE, grace, after=after)


def feed(target: Aligner, events: Iterable[BarClosed]) -> list[SliceClosed]:
    return [event for given in events for event in target.on_bar(given)]


def same(a: Slice, b: Slice) -> bool:
    return (
        a.closes_at == b.closes_at
        and a.symbols == b.symbols
        and np.array_equal(a.panel, b.panel, equal_nan=True)
        and np.array_equal(a.synthetic, b.synthetic)
        and np.array_equal(a.age, b.age)
    )


def minutes(events: Iterable[SliceClosed]) -> list[int]:
    return [(event.slice.closes_at - T0) // MINUTE for event in events]


# --- what a slice holds ----------------------------------------------------------------------------------------------


def test_the_last_bar_closes_the_slice() -> None:
    """The slice goes out with the last symbol's bar, stamped with that bar's moment, every field in its place."""
    target = aligner()
    assert not feed(target, [closed(A, 1), closed(C, 1)])
    (event,) = target.on_bar(closed(B, 1, after_close(1, 2)))
    assert event.at == after_close(1, 2)
    assert event.slice.coverage == 1.0
    assert event.slice.panel[:, 1].tolist() == [201.0, 203.0, 199.0, 202.0, 1.0]
    assert not event.slice.synthetic.any()
    assert event.slice.age.tolist() == [0, 0, 0]


def test_missing_symbol_takes_a_flat_bar() -> None:
    """A symbol without a bar has its last close at volume 0, marked, and older by one a slice until it is back."""
    target = aligner()
    feed(target, [closed(s, 1) for s in ABC])
    emitted = feed(target, [closed(A, 2), closed(B, 2), closed(A, 3), closed(B, 3)])
    second, third = [*emitted, *target.on_time(TimePassed(after_close(3, 3)))]
    for age, event in ((1, second), (2, third)):
        assert event.slice.panel[:, 2].tolist() == [302.0, 302.0, 302.0, 302.0, 0.0]
        assert event.slice.synthetic.tolist() == [False, False, True]
        assert event.slice.age.tolist() == [0, 0, age]
    (fourth,) = feed(target, [closed(s, 4) for s in ABC])
    assert fourth.slice.age.tolist() == [0, 0, 0]


def test_before_its_first_bar_a_symbol_has_no_price() -> None:
    """NaN instead of an invented price, not synthetic, and its age counts from the first slice."""
    target = aligner()
    feed(target, [closed(A, 1), closed(B, 1), closed(A, 2), closed(B, 2)])
    (second,) = target.on_time(TimePassed(after_close(2, 3)))
    assert np.isnan(second.slice.panel[:, 2]).all()
    assert not second.slice.synthetic[2]
    assert second.slice.age.tolist() == [0, 0, 2]
    assert set(second.slice.prices()) == {A, B}


def test_slices_cannot_be_written_to() -> None:
    """What has been emitted is a value: its arrays are sealed."""
    (event,) = feed(aligner(symbols=(A,)), [closed(A, 1)])
    for array in (event.slice.panel, event.slice.synthetic, event.slice.age):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


def test_no_bar_is_no_slice() -> None:
    """A close time at which nobody has a bar passes without a slice, however late it is."""
    target = aligner()
    feed(target, [closed(s, 1) for s in ABC])
    assert not list(target.on_time(TimePassed(after_close(5, 0))))
    assert minutes(feed(target, [closed(s, 6) for s in ABC])) == [6]


# --- order and repetition --------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_slices(data: st.DataObject) -> None:
    """However the symbols' bars interleave, with bars missing and repeated, the slices are those of `align`, once each, in order."""
    present = {s: sorted(data.draw(st.sets(st.integers(1, 12)), s)) for s in ABC}
    turns = data.draw(st.permutations([s for s in ABC for _ in present[s]]), "turns")
    queues = {s: iter(present[s]) for s in ABC}
    at = after_close(1, 1)
    target = aligner()
    emitted: list[SliceClosed] = []
    for symbol in turns:
        event = closed(symbol, next(queues[symbol]), at)
        emitted += target.on_bar(event)
        if data.draw(st.booleans()):
            emitted += target.on_bar(event)
    emitted += target.on_time(TimePassed(after_close(99, 0)))
    expected = align({s: [bar(s, i) for i in present[s]] for s in ABC}, ABC)
    assert len(emitted) == len(expected)
    assert all(same(event.slice, other) for event, other in zip(emitted, expected, strict=True))
    assert minutes(emitted) == sorted(set().union(*present.values()))
    assert target.late == 0


def test_a_later_bar_says_that_nothing_comes() -> None:
    """A symbol that is already at a later bar is not waited for: bars come in order."""
    target = aligner()
    feed(target, [closed(A, 1), closed(B, 1)])
    assert minutes(target.on_bar(closed(C, 2, after_close(1, 0.5)))) == [1]


def test_late_bar_is_counted_and_ignored() -> None:
    """A bar for an emitted close time changes nothing, not even the price that later flat bars take."""
    target = aligner()
    feed(target, [closed(s, 1) for s in ABC])
    feed(target, [closed(A, 2), closed(B, 2)])
    (second,) = target.on_time(TimePassed(after_close(2, 3)))
    assert not list(target.on_bar(closed(C, 2, after_close(2, 4))))
    assert target.late == 1
    feed(target, [closed(A, 3), closed(B, 3)])
    (third,) = target.on_time(TimePassed(after_close(3, 3)))
    assert second.slice.close[2] == third.slice.close[2] == 302.0


def test_goes_on_after_the_warm_up() -> None:
    """After a restart nothing up to the last slice is emitted again, and flat bars take the last close of the warm-up."""
    warm = align({s: [bar(s, i) for i in (1, 2, 3)] for s in ABC}, ABC)
    target = aligner(after=warm[-1])
    assert not feed(target, [closed(s, i) for s in ABC for i in (2, 3)])
    assert target.late == 0
    feed(target, [closed(A, 4), closed(B, 4)])
    (event,) = target.on_time(TimePassed(after_close(4, 3)))
    assert event.slice.close[2] == warm[-1].close[2]
    assert event.slice.age.tolist() == [0, 0, 1]


# --- deadlines -------------------------------------------------------------------------------------------------------


def test_deadline_is_judged_by_events() -> None:
    """The slice goes out at T + grace by the clock that events carry, not a millisecond before."""
    target = aligner()
    feed(target, [closed(A, 1)])
    assert not list(target.on_time(TimePassed(after_close(1, 2.999))))
    (event,) = target.on_time(TimePassed(after_close(1, 3)))
    assert event.at == after_close(1, 3)
    assert event.slice.coverage == pytest.approx(1 / 3)


def test_grace_is_capped_at_half_the_timeframe() -> None:
    """A grace longer than the bars would let slices pile up."""
    target = aligner(grace=timedelta(hours=1))
    feed(target, [closed(A, 1)])
    assert not list(target.on_time(TimePassed(after_close(1, 29.9))))
    assert minutes(target.on_time(TimePassed(after_close(1, 30)))) == [1]


def test_a_pause_of_the_process_tears_no_slice_apart() -> None:
    """After a standstill longer than the grace the first bar does not go out alone: the others have half the grace from there."""
    target = aligner()
    at = after_close(1, 20)
    assert not feed(target, [closed(A, 1, at), closed(B, 1, at)])
    assert not list(target.on_time(TimePassed(at + SECOND)))
    (event,) = target.on_bar(closed(C, 1, at + SECOND))
    assert event.slice.coverage == 1.0
    feed(target, [closed(A, 2, after_close(2, 20))])
    assert minutes(target.on_time(TimePassed(after_close(2, 21.5)))) == [2]


def test_back_fill_gives_whole_slices() -> None:
    """After a reconnect the bars come symbol by symbol, long past their deadlines, and every slice is whole and in order."""
    target = aligner()
    feed(target, [closed(s, 1) for s in ABC])
    for symbol in ABC:
        target.on_lost(StreamLost(symbol, "reset", after_close(1, 30)))
    emitted: list[SliceClosed] = []
    for place, symbol in enumerate(ABC):
        at = after_close(40, 14 * place)
        emitted += feed(target, [closed(symbol, i, at) for i in range(2, 41)])
        emitted += target.on_caught_up(StreamCaughtUp(symbol, 39, at))
        emitted += target.on_time(TimePassed(at + SECOND))
    assert minutes(emitted) == list(range(2, 41))
    assert all(event.slice.coverage == 1.0 for event in emitted)
    assert target.late == 0


def test_unreachable_symbol_holds_once_and_not_for_long() -> None:
    """A lost symbol is waited for at most `hold_max`; then the others go at the ordinary deadline, until it is back and lost anew."""
    target = aligner()
    feed(target, [closed(s, 1) for s in ABC])
    target.on_lost(StreamLost(C, "refused", after_close(1, 30)))
    feed(target, [closed(A, 2), closed(B, 2)])
    assert not list(target.on_time(TimePassed(after_close(2, 15))))
    target.on_lost(StreamLost(C, "refused again", after_close(2, 15)))
    assert minutes(target.on_time(TimePassed(after_close(2, 15.1)))) == [2]
    target.on_lost(StreamLost(C, "refused again", after_close(2, 50)))
    feed(target, [closed(A, 3), closed(B, 3)])
    assert minutes(target.on_time(TimePassed(after_close(3, 3)))) == [3]
    target.on_bar(closed(C, 3, after_close(3, 20)))
    assert target.late == 1
    target.on_caught_up(StreamCaughtUp(C, 1, after_close(3, 20)))
    target.on_lost(StreamLost(C, "reset", after_close(3, 30)))
    feed(target, [closed(A, 4), closed(B, 4)])
    assert not list(target.on_time(TimePassed(after_close(4, 14))))
    assert minutes(target.on_bar(closed(C, 4, after_close(4, 14)))) == [4]


def test_caught_up_without_a_bar_ends_the_wait() -> None:
    """A stream that is complete again and had no bar for the time holds it no longer than the deadline."""
    target = aligner(symbols=(A, B))
    target.on_lost(StreamLost(B, "reset", after_close(0, 30)))
    feed(target, [closed(A, 1)])
    assert not list(target.on_time(TimePassed(after_close(1, 10))))
    assert minutes(target.on_caught_up(StreamCaughtUp(B, 0, after_close(1, 11)))) == [1]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_counters_agree_with_a_recount(data: st.DataObject) -> None:
    """Whatever happens, the O(1) counts of who is behind and who holds are what a look at everybody gives, and slices stay in order."""
    target, at, nexts = aligner(), T0, dict.fromkeys(ABC, 1)
    emitted: list[SliceClosed] = []
    for _ in range(data.draw(st.integers(1, 40))):
        at += timedelta(seconds=data.draw(st.integers(0, 25)))
        symbol = data.draw(st.sampled_from(ABC))
        match data.draw(st.sampled_from(["bar", "bar", "bar", "lost", "caught up", "time"])):
            case "bar":
                nexts[symbol] += data.draw(st.integers(0, 3))
                emitted += target.on_bar(closed(symbol, nexts[symbol], at))
            case "lost":
                emitted += target.on_lost(StreamLost(symbol, "reset", at))
            case "caught up":
                emitted += target.on_caught_up(StreamCaughtUp(symbol, 0, at))
            case _:
                emitted += target.on_time(TimePassed(at))
        if target._order:
            behind = target._newest < target._order[0]
            assert target._behind == behind.sum() > 0
            assert target._holding == (behind & target._holds).sum()
    assert minutes(emitted) == sorted(set(minutes(emitted)))


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-fill that never becomes whole cannot fill the memory: beyond the bound the oldest goes out as it is."""
    monkeypatch.setattr(slices, "WAITING_MAX", 9)
    target = aligner()
    target.on_lost(StreamLost(B, "reset", T0))
    target.on_lost(StreamLost(C, "reset", T0))
    emitted = feed(target, [closed(A, i, after_close(5, 0)) for i in range(1, 6)])
    assert minutes(emitted) == [1, 2]


# --- warm-up ---------------------------------------------------------------------------------------------------------


def test_align_leaves_out_what_may_be_torn() -> None:
    """Histories are fetched one after the other: what closed after the first request began is left to the streams."""
    history = {A: [bar(A, i) for i in (1, 2)], B: [bar(B, i) for i in (1, 2, 3)], C: []}
    assert [s.closes_at for s in align(history, ABC, until=bar(A, 2).closes_at)] == [bar(A, 1).closes_at, bar(A, 2).closes_at]


def test_align_goes_on_after_a_slice() -> None:
    """A history in two parts gives the slices of the whole."""
    history = {A: [bar(A, i) for i in (1, 2, 4)], B: [bar(B, i) for i in (2, 3)]}
    whole = align(history, ABC)
    first = align(history, ABC, until=bar(A, 2).closes_at)
    assert all(same(a, b) for a, b in zip(whole, first + align(history, ABC, after=first[-1]), strict=True))


def test_align_of_nothing() -> None:
    """No history, no slices."""
    assert align({}, ABC) == []


def test_other_symbols_are_refused() -> None:
    """A slice of another universe cannot be gone on from."""
    (warm,) = align({A: [bar(A, 1)]}, (A,))
    with pytest.raises(ValueError, match="other symbols"):
        aligner(after=warm)


def test_rows_of_the_panel() -> None:
    """Open, close and volume stand where the model says."""
    (only,) = align({A: [bar(A, 7)]}, (A,))
    assert (only.panel[OPEN, 0], only.panel[CLOSE, 0], only.panel[VOLUME, 0]) == (107.0, 108.0, 7.0)
