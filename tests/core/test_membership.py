"""Who is in the universe: by rank with hysteresis, never in the middle of a wave, never emptied, the same after a restart."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.events import Event, KeepState, MarketsListed, SliceClosed, SymbolWoundDown, UniverseChosen, WaveSettled
from daemon.core.membership import KEY, Membership, Selection, places
from daemon.core.model import Decision, Slice
from daemon.core.roll import Outside, Place

T0: Final = datetime(2026, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT", "E/USDT")


def rule(**changes: Any) -> Selection:
    """Two of five, looked at every four bars over four."""
    terms: dict[str, Any] = {"top": 2, "margin": 1, "window": 4 * HOUR, "every": 4 * HOUR}
    return Selection(**(terms | changes))


def made(wanted: Selection | None = None, coverage_min: float = 0.8) -> Membership:
    """Of five symbols, all of them held."""
    membership = Membership(SYMBOLS, HOUR, wanted or rule(), silent_max=2, coverage_min=coverage_min)
    membership.held = lambda _: True
    return membership


def cross_section(hour: int, volumes: Sequence[float], ages: Sequence[int] | None = None) -> Slice:
    """Bars at a price of 10 with these volumes; where an age is given that is not 0, there is none."""
    age = np.array(ages or [0] * len(SYMBOLS), np.int64)
    panel = np.full((5, len(SYMBOLS)), 10.0)
    panel[4] = np.where(age == 0, volumes, 0.0)
    return Slice(T0 + hour * HOUR, SYMBOLS, panel, age > 0, age)


def closed(membership: Membership, hour: int, volumes: Sequence[float], ages: Sequence[int] | None = None) -> list[Event]:
    """What follows from a slice."""
    return list(membership.on_slice(SliceClosed(cross_section(hour, volumes, ages), T0 + hour * HOUR)))


def settled(left: Mapping[str, str], hour: int = 0, weights: Mapping[str, float] | None = None) -> WaveSettled:
    """A wave that has left something, for reasons."""
    at = T0 + hour * HOUR
    decision = Decision("d", at, weights or {}, frozenset(), {}, at)
    return WaveSettled(decision, weights or {}, Decimal(1), 0, 0, {}, left, {}, 0.0, 0, at)


def chosen(events: Iterable[Event]) -> list[UniverseChosen]:
    """The changes among them."""
    return [event for event in events if isinstance(event, UniverseChosen)]


def volumes() -> st.SearchStrategy[dict[str, float]]:
    """Volumes of up to twelve symbols, with equal ones and none."""
    symbols = st.lists(st.sampled_from([f"{letter}/USDT" for letter in "ABCDEFGHIJKL"]), unique=True, min_size=1)
    worth = st.one_of(st.just(0.0), st.sampled_from([1.0, 2.0, 3.0]), st.floats(0.0, 1e15))
    return symbols.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, worth)))


@given(volumes(), st.data())
def test_a_choice_keeps_its_rule(traded: dict[str, float], data: st.DataObject) -> None:
    """Up to rank `top` a symbol is in, a member down to `top` + `margin`, a fixed one always; the excluded and the unfit are not."""
    some = st.frozensets(st.sampled_from(sorted(traded)))
    members, exclude, always = data.draw(some), data.draw(some), data.draw(some)
    unfit = {s: data.draw(st.sampled_from(list(Outside))) for s in data.draw(some)}
    wanted = rule(top=data.draw(st.integers(1, 6)), margin=data.draw(st.integers(0, 4)), exclude=exclude, always=always - exclude)
    found = places(wanted, members, traded, unfit)
    assert found.keys() == traded.keys()
    ranked = sorted((place.rank, symbol) for symbol, place in found.items() if place.rank)
    assert [rank for rank, _ in ranked] == list(range(1, len(ranked) + 1))
    assert all(traded[a] >= traded[b] for (_, a), (_, b) in pairwise(ranked))
    for symbol, place in found.items():
        inside = place.outside is None
        if symbol in wanted.always:
            assert inside == (unfit.get(symbol) is not Outside.CLOSED)
        elif symbol in exclude or symbol in unfit or traded[symbol] == 0:
            assert not inside
        else:
            assert inside == (place.rank <= wanted.top + wanted.margin * (symbol in members))


@given(volumes(), st.data())
def test_a_second_look_at_the_same_numbers_changes_nothing(traded: dict[str, float], data: st.DataObject) -> None:
    """Hysteresis settles at once: choosing again among the same volumes gives the same universe."""
    wanted = rule(top=data.draw(st.integers(1, 6)), margin=data.draw(st.integers(0, 4)))
    once = places(wanted, data.draw(st.frozensets(st.sampled_from(sorted(traded)))), traded, {})
    members = frozenset(symbol for symbol, place in once.items() if place.outside is None)
    assert places(wanted, members, traded, {}) == once


def test_two_of_like_volume_do_not_take_turns() -> None:
    """A member that falls to the rank below `top` stays within the margin, and leaves beyond it."""
    membership = made()
    assert chosen(closed(membership, 0, [5, 4, 3, 2, 1]))[0].members == {"A/USDT", "B/USDT"}
    for hour in range(1, 4):
        assert closed(membership, hour, [5, 4, 3, 2, 1]) == []
    (changed,) = chosen(closed(membership, 4, [5, 4, 100, 2, 1]))
    assert (set(changed.members), changed.entered, changed.left) == ({"A/USDT", "B/USDT", "C/USDT"}, ("C/USDT",), ())
    for hour in range(5, 8):
        closed(membership, hour, [5, 4, 100, 200, 1])
    (changed,) = chosen(closed(membership, 8, [5, 4, 100, 200, 1]))
    assert (set(changed.members), changed.left) == ({"A/USDT", "C/USDT", "D/USDT"}, ("B/USDT",))
    assert changed.places["B/USDT"] == Place(4, 4 * 4 * 10.0, Outside.RANK)


def test_nothing_changes_in_the_middle_of_a_wave() -> None:
    """While a wave is under way or a decision waits, the look waits, and says so to whoever would decide; then it is made up for."""
    membership, busy, owed = made(), [False], [False]
    membership.busy, membership.pending = lambda: busy[0], lambda: owed[0]
    closed(membership, 0, [5, 4, 3, 2, 1])
    for hour in range(1, 4):
        closed(membership, hour, [1, 2, 300, 400, 5])
    busy[0] = True
    assert closed(membership, 4, [1, 2, 300, 400, 5]) == []
    assert (membership.waits, set(membership.members)) == (True, {"A/USDT", "B/USDT"})
    busy[0], owed[0] = False, True
    assert list(membership.on_settled(settled({}))) == []
    owed[0] = False
    (changed,) = chosen(membership.on_settled(settled({})))
    assert (changed.as_of, membership.waits, set(membership.members)) == (T0 + 4 * HOUR, False, {"C/USDT", "D/USDT"})


def test_a_partial_slice_changes_nothing_and_an_empty_one_neither() -> None:
    """With too few bars of the members the look waits for a fuller slice; with none at all the universe stands."""
    membership = made()
    closed(membership, 0, [5, 4, 3, 2, 1])
    assert closed(membership, 4, [0, 0, 300, 400, 5], [1, 1, 0, 0, 0]) == []
    assert closed(membership, 5, [0] * 5, [1, 1, 1, 1, 1]) == []
    assert membership.members == {"A/USDT", "B/USDT"}
    assert chosen(closed(membership, 6, [1, 1, 300, 400, 5]))
    nobody = made()
    assert closed(nobody, 0, [0] * 5) == []
    assert (nobody.members, nobody.stamped(cross_section(0, [0] * 5)).coverage) == (frozenset(), 0.0)


def test_who_is_silent_for_good_does_not_hold_the_look_up() -> None:
    """Members whose bars have ended leave at the second look, though most of the universe is gone with them."""
    membership = made()
    closed(membership, 0, [5, 4, 3, 2, 1])
    for hour in range(1, 5):
        closed(membership, hour, [0, 0, 3, 2, 1], [hour, hour, 0, 0, 0])
    assert membership.members == {"A/USDT", "B/USDT"}
    for hour in range(5, 9):
        closed(membership, hour, [0, 0, 3, 2, 1], [hour, hour, 0, 0, 0])
    assert membership.members == {"C/USDT", "D/USDT"}
    assert membership.places["A/USDT"].outside is Outside.SILENT


def test_the_young_and_the_cold_do_not_enter() -> None:
    """A symbol is in once its first bar is old enough and a strategy has history enough of it."""
    membership = made(rule(age_min=4 * HOUR, every=HOUR))
    warm = np.array([True, True, True, True, False])
    membership.warm = lambda: warm
    assert closed(membership, 0, [1, 1, 1, 1, 9]) == []
    for hour in range(1, 4):
        closed(membership, hour, [1, 1, 1, 1, 9])
    assert membership.members == frozenset()
    assert chosen(closed(membership, 4, [1, 1, 1, 1, 9]))[0].members == {"A/USDT", "B/USDT"}
    assert membership.places["E/USDT"].outside is Outside.COLD


def test_a_closed_market_leaves_at_once_and_comes_back_at_a_look() -> None:
    """A delisted or halted market does not wait for the schedule, but for the end of a wave; a fixed symbol leaves as well."""
    membership, gone = made(rule(always=frozenset({"A/USDT"}))), set[str]()
    membership.closed = lambda: frozenset(gone)
    closed(membership, 0, [5, 4, 3, 2, 1])
    gone.add("A/USDT")
    (changed,) = chosen(membership.on_markets(MarketsListed({}, T0 + HOUR)))
    assert (changed.left, changed.places["A/USDT"].outside, set(changed.members)) == (("A/USDT",), Outside.CLOSED, {"B/USDT"})
    gone.clear()
    assert chosen(membership.on_markets(MarketsListed({}, T0 + 2 * HOUR))) == []
    for hour in range(1, 5):
        closed(membership, hour, [5, 4, 3, 2, 1])
    assert "A/USDT" in membership.members


def test_who_left_is_sold_after_its_time_at_a_price() -> None:
    """After `wind_down` what is held is overdue at each slice with a bar of its own, until it is sold or cannot be for good."""
    membership, held = made(rule(wind_down=2 * HOUR)), {"A/USDT", "B/USDT"}
    membership.held = held.__contains__
    closed(membership, 0, [5, 4, 3, 2, 1])
    for hour in range(1, 5):
        closed(membership, hour, [1, 1, 300, 400, 500])
    assert membership.leaving == {"A/USDT": T0 + 4 * HOUR, "B/USDT": T0 + 4 * HOUR}
    assert membership.overdue(cross_section(5, [1] * 5)) == frozenset()
    assert membership.overdue(cross_section(6, [1] * 5, [0, 1, 0, 0, 0])) == {"A/USDT"}
    held.remove("A/USDT")
    parted = list(membership.on_settled(settled({"B/USDT": "stale_price"}, 6)))
    assert parted[0] == SymbolWoundDown("A/USDT", "", T0 + 6 * HOUR)
    assert membership.overdue(cross_section(7, [1] * 5)) == {"B/USDT"}
    assert list(membership.on_settled(settled({"B/USDT": "dust"}, 7, {"B/USDT": 0.2}))) == []  # that wave wanted it still
    assert next(iter(membership.on_settled(settled({"B/USDT": "dust"}, 7)))) == SymbolWoundDown("B/USDT", "dust", T0 + 7 * HOUR)
    assert (membership.leaving, membership.rest) == ({}, {"B/USDT": "dust"})


@given(st.lists(st.lists(st.floats(0.0, 1e9), min_size=5, max_size=5), min_size=12, max_size=30), st.integers(4, 11), st.integers(0, 3))
def test_a_restart_changes_nothing(traded: list[list[float]], stop: int, margin: int) -> None:
    """Stopped anywhere and fed the history that a start reads, the universe, its ranks and its next looks are the same to the digit."""
    whole, kept, later = made(rule(margin=margin)), None, None
    for hour, row in enumerate(traded):
        events = closed(whole, hour, row)
        kept = next((event.text for event in events if isinstance(event, KeepState) and event.key == KEY), kept)
        if hour == stop:
            later = made(rule(margin=margin))
            later.restore(kept)
            later.warm_up(cross_section(h, traded[h]) for h in range(max(0, hour - later.need + 1), hour + 1))
        elif later is not None:
            closed(later, hour, row)
    assert later is not None
    assert (later.members, later.places, later.as_of, later.leaving) == (whole.members, whole.places, whole.as_of, whole.leaving)


def test_another_rule_is_looked_at_at_once() -> None:
    """A universe that another rule has chosen stands until the next slice, with who was in it."""
    first = made()
    kept = next(event for event in closed(first, 0, [5, 4, 3, 2, 1]) if isinstance(event, KeepState))
    for changed, members in ((rule(), {"A/USDT", "B/USDT"}), (rule(top=3), {"A/USDT", "B/USDT", "C/USDT"})):
        later = made(changed)
        later.restore(kept.text)
        assert later.members == {"A/USDT", "B/USDT"}
        closed(later, 1, [5, 4, 3, 2, 1])
        assert later.members == members


@pytest.mark.parametrize("volume", [float("inf"), 1e300])
def test_absurd_volumes_are_no_volumes(volume: float) -> None:
    """What overflows ranks nowhere, and what is kept is JSON."""
    membership = made()
    (event,) = chosen(closed(membership, 0, [volume * 1e10, 4, 3, 2, 1]))
    assert event.members == {"B/USDT", "C/USDT"}


def test_without_a_rule_everybody_is_in() -> None:
    """The plain list of symbols is a universe that never changes."""
    membership = Membership(SYMBOLS, HOUR, None, silent_max=2, coverage_min=0.8)
    slice_ = cross_section(0, [1] * 5)
    assert membership.stamped(slice_) is slice_
    assert (closed(membership, 0, [1] * 5), membership.members, membership.need) == ([], frozenset(SYMBOLS), 1)
