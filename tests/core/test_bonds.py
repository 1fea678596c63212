"""Legs that belong together: in step by slices, never further apart than the bound, completed or taken back in time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.bonds import Bond, Course, Phase, apart, behind, level, lowest, merged, slack, steps
from daemon.core.styles import GroupTerms

T0: Final = datetime(2026, 1, 1, tzinfo=UTC)
TERMS: Final = GroupTerms(size=Decimal("0.05"), within=timedelta(seconds=30), pause=timedelta(minutes=15))
A, B, C = "A", "B", "C"


def course(start: float, goal: float, held: float, price: float = 1.0, smallest: float = 0.001) -> Course:
    """A leg on its way."""
    return Course(*(Decimal(str(number)) for number in (start, goal, held, price, smallest)))


@st.composite
def groups(draw: st.DrawFn) -> dict[str, Course]:
    """Two or three legs, long or short, entering, leaving, turning about, each somewhere on its way, with steps of its own."""
    found = {}
    for symbol in (A, B, C)[: draw(st.integers(2, 3))]:
        lot = Decimal(draw(st.sampled_from(["0.001", "0.01", "1"])))
        price = Decimal(draw(st.integers(1, 1000)))
        start, goal = (lot * draw(st.integers(-5000, 5000)) for _ in range(2))
        held = start + (goal - start) * draw(st.integers(-100, 100)) / 100
        found[symbol] = Course(start, goal, held, price, lot)
    return found


@given(groups(), st.integers(1, 10**6))
def test_a_slice_that_only_one_side_fills_is_within_the_bound(legs: dict[str, Course], size: int) -> None:
    """Whatever part of the legs fills, in whatever order, the group is no further apart than before and one slice."""
    to = level(legs, Decimal(size))
    assert lowest(legs) <= to <= 1
    bound = max([Decimal(size), *(each.smallest * each.price for each in legs.values())])
    largest = max((each.worth for each in legs.values() if each.moves), default=Decimal(0))
    least = max((each.smallest / abs(each.way) for each in legs.values() if each.moves), default=Decimal(0))
    for symbol, amount in steps(legs, to).items():
        before = legs[symbol]
        assert amount * before.way > 0
        assert abs(amount) * before.price <= (max(bound, least * largest) + least * largest) * (before.worth / largest) * Decimal(
            "1.000001"
        )


@given(groups(), st.integers(1, 10**6))
def test_all_legs_filled_are_in_step(legs: dict[str, Course], size: int) -> None:
    """When every leg of a slice has filled, each that was not ahead has done the same share of its way; enough slices reach every goal."""
    now = legs
    for _ in range(400):
        to = level(now, Decimal(size))
        moved = steps(now, to)
        if not moved:
            break
        now = {s: Course(c.start, c.goal, c.held + moved.get(s, Decimal(0)), c.price, c.smallest) for s, c in now.items()}
        assert all(abs(c.done - to) < Decimal("1e-20") or c.done > to for c in now.values() if c.moves)
    else:
        return
    assert all(abs(c.done - 1) < Decimal("1e-20") for c in now.values() if c.moves)
    assert apart(now) <= slack(now)


@given(groups(), st.data())
def test_nobody_goes_beyond_who_cannot_follow(legs: dict[str, Course], data: st.DataObject) -> None:
    """A leg that is hindered holds the others at its share; those that are ahead are not moved further."""
    hindered = data.draw(st.sampled_from(sorted(legs)))
    to = level(legs, Decimal(10**9), [hindered])
    if legs[hindered].moves:
        assert to <= legs[hindered].done
        assert hindered not in steps(legs, to)


def test_a_leg_that_is_behind_is_completed_in_time() -> None:
    """Apart, then together again: two phases, and nothing is taken back."""
    bond = Bond((A, B), {A: Decimal(0), B: Decimal(0)}, {A: Decimal(10), B: Decimal(-10)})
    assert bond.judge({A: course(0, 10, 5), B: course(0, -10, 0)}, TERMS, T0, began=T0, hopeless=False) == [Phase.UNBALANCED]
    assert behind({A: course(0, 10, 5), B: course(0, -10, 0)}) == (B,)
    assert bond.judge({A: course(0, 10, 5), B: course(0, -10, -2)}, TERMS, T0 + timedelta(seconds=29), began=T0, hopeless=False) == []
    assert bond.judge({A: course(0, 10, 5), B: course(0, -10, -5)}, TERMS, T0 + timedelta(seconds=29.5), began=T0, hopeless=False) == [
        Phase.BALANCED
    ]
    assert bond.until is None


@pytest.mark.parametrize("hopeless", [True, False])
def test_what_cannot_be_completed_is_taken_back(hopeless: bool) -> None:
    """At once where it is known that it never will be, else after the time; then the group waits before it grows again."""
    bond = Bond((A, B), {A: Decimal(0), B: Decimal(0)}, {A: Decimal(10), B: Decimal(-20)})
    legs = {A: course(0, 10, 5), B: course(0, -20, -2)}
    phases = bond.judge(legs, TERMS, T0, began=T0, hopeless=hopeless)
    if not hopeless:
        assert phases == [Phase.UNBALANCED]
        phases += bond.judge(legs, TERMS, T0 + TERMS.within, began=T0, hopeless=False)
    assert phases == [Phase.UNBALANCED, Phase.UNWINDING]
    assert (bond.goals[A], bond.starts[A]) == (Decimal(1), Decimal(5)), "a tenth is what both have done"
    courses = bond.courses({A: Decimal(5), B: Decimal(-2)}, {A: Decimal(1), B: Decimal(1)}, {A: Decimal("0.001"), B: Decimal("0.001")})
    assert steps(courses, level(courses, Decimal(100))) == {A: Decimal(-4)}
    at = T0 + 2 * TERMS.within
    back = bond.courses({A: Decimal(1), B: Decimal(-2)}, {A: Decimal(1), B: Decimal(1)}, {A: Decimal("0.001"), B: Decimal("0.001")})
    assert bond.judge(back, TERMS, at, began=T0, hopeless=False) == [Phase.BALANCED]
    assert bond.until == at + TERMS.pause


def test_what_can_be_neither_completed_nor_taken_back_is_told() -> None:
    """Two bounds in time: then a person is called; once it is back, that is told as well."""
    bond = Bond((A, B), {A: Decimal(0), B: Decimal(0)}, {A: Decimal(10), B: Decimal(-10)})
    bond.judge({A: course(0, 10, 5), B: course(0, -10, 0)}, TERMS, T0, began=T0, hopeless=True)

    def now(held: float) -> Mapping[str, Course]:
        small = dict.fromkeys((A, B), Decimal("0.001"))
        return bond.courses({A: Decimal(str(held)), B: Decimal(0)}, dict.fromkeys((A, B), Decimal(1)), small)

    assert bond.judge(now(5), TERMS, T0 + TERMS.within, began=T0, hopeless=True) == [Phase.STUCK]
    assert bond.judge(now(5), TERMS, T0 + 9 * TERMS.within, began=T0, hopeless=True) == []
    assert bond.judge(now(0), TERMS, T0 + 10 * TERMS.within, began=T0, hopeless=True) == [Phase.BALANCED]


@pytest.mark.parametrize(("gap", "phases"), [(4, []), (3, [Phase.UNWINDING])])
def test_what_was_left_apart_has_its_time_anew_once_it_comes_nearer(gap: int, phases: list[Phase]) -> None:
    """The time that an earlier wave has used up does not end one that succeeds; one that brings nothing is over at once."""
    bond = Bond((A, B), {A: Decimal(0), B: Decimal(0)}, {A: Decimal(10), B: Decimal(-10)}, Phase.UNBALANCED, T0 - 2 * TERMS.within)
    bond.gap = Decimal(gap)
    legs = {A: course(0, 10, 5), B: course(0, -10, -2)}
    assert bond.judge(legs, TERMS, T0 + timedelta(seconds=1), began=T0, hopeless=False) == phases
    assert bond.judge(legs, TERMS, T0 + TERMS.within, began=T0, hopeless=False) == ([] if phases else [Phase.UNWINDING])


def test_nobody_is_taken_back_to_before_where_it_began() -> None:
    """A leg that was thrown back behind its start, as by a deleveraging, drags the others to their starts at most."""
    legs = {A: course(-0.1, 0.1, 0.0), B: course(0.1, -0.1, 0.2)}
    bond = Bond((A, B), {A: Decimal("-0.1"), B: Decimal("0.1")}, {A: Decimal("0.1"), B: Decimal("-0.1")}, Phase.UNBALANCED, T0)
    assert bond.judge(legs, TERMS, T0 + TERMS.within, began=T0, hopeless=False) == [Phase.UNWINDING]
    assert bond.goals == {A: Decimal("-0.1"), B: Decimal("0.1")}


@given(st.lists(st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=4), max_size=6))
def test_groups_that_share_a_symbol_are_one(names: list[list[str]]) -> None:
    """What is merged is disjoint, and no group of before is torn apart."""
    found = merged(names)
    assert len({symbol for group in found for symbol in group}) == sum(map(len, found))
    for group in names:
        if len(set(group)) > 1:
            assert any(set(group) <= set(one) for one in found)
