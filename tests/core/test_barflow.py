"""One symbol's bars: order, gaps, losses."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from daemon.core import barflow
from daemon.core.barflow import BarFlow, BarSequence, close_before
from daemon.core.events import BarClosed, PriceTicked, StreamCaughtUp, StreamLost
from daemon.core.model import Bar

T0 = datetime(2024, 5, 6, 7, 0, tzinfo=UTC)  # a Monday
SECOND = timedelta(seconds=1)
WEEK = timedelta(weeks=1)


def bar(k: int, price: float = 100.0) -> Bar:
    return Bar("A/USDT", T0 + k * SECOND, price, price, price, price, 1.0)


def closes(bars: list[Bar]) -> list[int]:
    return [(b.closes_at - T0) // SECOND for b in bars]


def test_the_grid_goes_through_its_anchor() -> None:
    """A close is found on the grid of the bars themselves: weeks start on Mondays, not on the epoch's Thursday."""
    assert close_before(T0 + timedelta(seconds=7.3), SECOND) == T0 + 7 * SECOND
    assert close_before(T0 + timedelta(days=3), WEEK, T0) == T0
    assert close_before(T0 - SECOND, WEEK, T0) == T0 - WEEK
    assert close_before(T0, SECOND) == T0


def test_a_bar_behind_a_gap_waits_for_the_answer() -> None:
    """Live bars after a gap go out behind what REST brings, each once."""
    sequence = BarSequence(SECOND, T0)
    assert closes(sequence.live(bar(1))) == [1]
    assert sequence.live(bar(1)) == []
    assert sequence.live(bar(4)) == []
    assert sequence.gap
    assert sequence.live(bar(5)) == []
    assert closes(sequence.answered([bar(2)], None)) == [2]
    assert sequence.gap
    assert closes(sequence.answered([bar(3)], bar(4))) == [3, 4, 5]
    assert sequence.live(bar(3)) == []
    assert closes(sequence.live(bar(6))) == [6]


def test_a_gap_of_the_venues_own_is_passed_on() -> None:
    """What an answer leaves out before its newest candle does not exist."""
    sequence = BarSequence(SECOND, T0)
    assert sequence.live(bar(5)) == []
    assert closes(sequence.answered([bar(2), bar(5)], None)) == [2, 5]
    assert closes(sequence.answered([], bar(9))) == []
    assert sequence.behind(T0 + timedelta(seconds=8.9)) is None
    assert sequence.behind(T0 + timedelta(seconds=9)) == T0 + 9 * SECOND


def test_what_the_stream_told_counts_where_the_answer_leaves_it_out() -> None:
    """A held bar that an answer passes over goes out in its place."""
    sequence = BarSequence(SECOND, T0)
    sequence.live(bar(2))
    assert closes(sequence.answered([bar(1), bar(3)], bar(4))) == [1, 2, 3]


def test_an_empty_answer_settles_nothing() -> None:
    """Absence of candles says nothing about what is missing."""
    sequence = BarSequence(SECOND, T0)
    assert sequence.answered([], None) == []
    assert sequence.through == T0
    assert BarSequence(SECOND).behind(T0) is None


def test_held_bars_are_bounded() -> None:
    """While a gap stays open the oldest held bars go; REST brings them again."""
    sequence = BarSequence(SECOND, T0)
    for k in range(2, 2 + 3 * barflow.HELD_MAX):
        sequence.live(bar(k))
    last = 1 + 3 * barflow.HELD_MAX
    assert closes(sequence.answered([bar(k) for k in range(1, 101)], bar(101))) == list(range(1, 101))
    assert closes(sequence.answered([bar(k) for k in range(101, 130)], None)) == list(range(101, last + 1))


@given(st.permutations(range(1, 12)), st.sets(st.integers(1, 11)), st.integers(0, 11))
def test_any_order_of_arrival_gives_the_same_bars(arrival: list[int], lost: set[int], asked: int) -> None:
    """However live bars are shuffled and lost, with one answer in between and one at the end all are out once and in order."""
    sequence = BarSequence(SECOND, T0)
    out = []
    for n, k in enumerate(arrival):
        if n == asked and sequence.through is not None:
            first = (sequence.through - T0) // SECOND + 1
            out += sequence.answered([bar(j) for j in range(first, 6)], None)
        if k not in lost:
            out += sequence.live(bar(k))
    first = closes(out)[-1] + 1 if out else 1
    out += sequence.answered([bar(j) for j in range(first, 12)], bar(12))
    assert closes(out) == list(range(1, 12))


def test_a_loss_is_told_once_and_ends_when_nothing_is_missing() -> None:
    """Lost and caught up alternate; what REST brought in between is counted."""
    flow = BarFlow("A/USDT", SECOND)
    flow.sequence.through = T0
    assert flow.lose("opening", T0) == [StreamLost("A/USDT", "opening", T0)]
    assert flow.lose("again", T0) == []
    assert len(flow.answered([bar(1), bar(2)], None, T0, 0.0)) == 2
    assert flow.caught_up(T0) == [StreamCaughtUp("A/USDT", 2, T0)]
    assert flow.caught_up(T0) == []
    assert flow.live([bar(5)], None, T0, 0.0) == [StreamLost("A/USDT", "gap", T0)]
    assert flow.caught_up(T0) == []


def test_a_candle_from_the_future_says_nothing() -> None:
    """A time that is wrong by a day, closed or forming, streamed or answered, does not make all that comes before it old."""
    flow, now, tomorrow = BarFlow("A/USDT", SECOND), T0 + 3 * SECOND, 86_400
    flow.answered([bar(2)], bar(3), now, 0.0)
    assert flow.live([bar(tomorrow)], bar(tomorrow), now, 1.0) == []
    assert flow.answered([bar(tomorrow)], bar(tomorrow), now, 2.0) == []
    assert flow.live([bar(3)], None, now, 3.0) == [BarClosed(bar(3), now)]
    fresh = BarFlow("A/USDT", SECOND)
    assert fresh.live([], bar(tomorrow), now, 0.0) == []
    assert fresh.live([], bar(4, 7.0), now, 1.0) == [PriceTicked("A/USDT", 7.0, now)]


def test_ticks_are_new_prices_of_unfinished_bars() -> None:
    """A tick is a changed price of a bar that is not out yet, at most four times a second."""
    flow = BarFlow("A/USDT", SECOND)
    flow.sequence.through = T0
    assert flow.live([], bar(1, 101.0), T0, 0.0) == [PriceTicked("A/USDT", 101.0, T0)]
    assert flow.live([], bar(1, 102.0), T0, 0.1) == []
    assert flow.live([], bar(1, 101.0), T0, 0.4) == []
    assert flow.live([bar(1, 103.0)], None, T0, 0.9) == [BarClosed(bar(1, 103.0), T0)]
    assert flow.live([], bar(1, 102.0), T0, 1.0) == []
    assert flow.live([], bar(2, 103.0), T0, 1.5) == []
    assert flow.live([], bar(2, 104.0), T0, 1.6) == [PriceTicked("A/USDT", 104.0, T0)]


def test_a_price_that_stands_is_told_again() -> None:
    """A quiet symbol's price is confirmed well before it would count as stale, and not at every look."""
    flow = BarFlow("A/USDT", SECOND)
    flow.sequence.through = T0
    looks = [at for at in range(20) if flow.live([], bar(1, 101.0), T0, float(at))]
    assert looks == [0, 5, 10, 15]
