"""Bonds: legs that only make sense together, and how far apart they are: a pure state machine over what is held.

Rule: of every leg the same share of its way is done, within what no order could correct. The next slice is small enough that all of it on
one side is within the bound; a leg that cannot follow has the others wait, and after a time what they have done is taken back.

Amounts are signed base units, so that a leg may be short; worths are in the currency of the account.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from daemon.core.model import ZERO
from daemon.core.planner_inputs import ONE
from daemon.core.styles import GroupTerms


class Phase(StrEnum):
    """How a group stands."""

    BALANCED = "balanced"
    UNBALANCED = "unbalanced"  # a leg is behind, and is being completed
    UNWINDING = "unwinding"  # it could not be; what the others have done is being taken back
    STUCK = "stuck"  # that could not be done either: a person must look


@dataclass(frozen=True, slots=True)
class Course:
    """A leg on its way. `price` is the worth of a base unit, `smallest` the least that can be ordered, in base units."""

    start: Decimal
    goal: Decimal
    held: Decimal
    price: Decimal
    smallest: Decimal

    @property
    def way(self) -> Decimal:
        """Base units from its start to its goal."""
        return self.goal - self.start

    @property
    def moves(self) -> bool:
        """Whether there is a way that an order could go."""
        return abs(self.way) >= self.smallest

    @property
    def worth(self) -> Decimal:
        """What its whole way is worth."""
        return abs(self.way) * self.price

    @property
    def done(self) -> Decimal:
        """The share of its way that is done: 1 at most, and where what is left is no order; below 0 where it is behind its start."""
        if abs(self.goal - self.held) < self.smallest:
            return ONE
        return min(ONE, (self.held - self.start) / self.way)


Courses = Mapping[str, Course]


def moving(courses: Courses) -> dict[str, Course]:
    """The legs that have a way to go."""
    return {symbol: course for symbol, course in courses.items() if course.moves}


def lowest(courses: Courses) -> Decimal:
    """The share that every leg has done; 1 where none has a way to go."""
    return min((course.done for course in moving(courses).values()), default=ONE)


def apart(courses: Courses) -> Decimal:
    """What is done beyond the share that every leg has done: what stands there without its counterpart."""
    least = lowest(courses)
    return sum(((course.done - least) * course.worth for course in moving(courses).values()), ZERO)


def slack(courses: Courses) -> Decimal:
    """How far apart legs may be because no order is small enough to bring them together: the coarsest share of a way, of all of them."""
    on_way = moving(courses).values()
    return max((course.smallest / abs(course.way) for course in on_way), default=ZERO) * sum((c.worth for c in on_way), ZERO)


def behind(courses: Courses) -> tuple[str, ...]:
    """The legs that the others wait for."""
    least = lowest(courses)
    return tuple(sorted(symbol for symbol, course in moving(courses).items() if course.done == least and least < 1))


def level(courses: Courses, size: Decimal, hindered: Iterable[str] = ()) -> Decimal:
    """The share of its way to which every leg may go next, by slices of which the largest is worth `size`, or one smallest order.

    The last slice takes what would be too small for one of its own. No leg goes beyond what one that is `hindered` has done.
    """
    on_way = moving(courses)
    if not on_way:
        return ONE
    slice_ = size / max(course.worth for course in on_way.values())
    least = max(course.smallest / abs(course.way) for course in on_way.values())
    wanted = lowest(courses) + max(slice_, least)
    if ONE - wanted < least:
        wanted = ONE  # what would be left could not be ordered
    return min([wanted, *(on_way[symbol].done for symbol in hindered if symbol in on_way)])


def steps(courses: Courses, to: Decimal) -> dict[str, Decimal]:
    """Base units, signed, that bring each leg to a share of its way; nothing for one that is there already, or beyond."""
    wanted = {symbol: course.start + to * course.way - course.held for symbol, course in moving(courses).items()}
    return {symbol: amount for symbol, amount in wanted.items() if amount * courses[symbol].way > 0}


@dataclass(slots=True)
class Bond:
    """A group at work for a `decision`. `since`: from when on its phase lasts; `until`: before that it may not grow: it was taken back.

    `gap`: how far its legs were apart when its wave began.
    """

    symbols: tuple[str, ...]
    starts: dict[str, Decimal] = field(default_factory=dict)
    goals: dict[str, Decimal] = field(default_factory=dict)
    phase: Phase = Phase.BALANCED
    since: datetime | None = None
    until: datetime | None = None
    decision: str = ""
    gap: Decimal = ZERO

    def courses(self, held: Mapping[str, Decimal], prices: Mapping[str, Decimal], smallest: Mapping[str, Decimal]) -> dict[str, Course]:
        """Its legs, as far as it is known what they hold and are worth."""
        known = [symbol for symbol in self.symbols if symbol in prices and symbol in self.goals]
        return {s: Course(self.starts[s], self.goals[s], held[s], prices[s], smallest[s]) for s in known}

    def even(self, courses: Courses) -> dict[str, Decimal]:
        """What each leg would hold if it stood where the one that is furthest behind does: from there, another wish goes on.

        That is never before its start: a leg that something else has moved back there is no measure of the others.
        """
        if self.phase in (Phase.UNWINDING, Phase.STUCK):
            return dict(self.goals)  # they are on their way there
        least = max(ZERO, lowest(courses))
        return {symbol: c.start + least * c.way if c.moves else c.held for symbol, c in courses.items()}

    def judge(self, courses: Courses, terms: GroupTerms, at: datetime, *, began: datetime, hopeless: bool) -> list[Phase]:
        """The phases that it comes to now, in a wave that began then. `hopeless`: no leg that is behind will ever follow.

        What an earlier wave has left apart, before a stop or a halt say, has its time anew once it has come nearer: it can be completed.
        """
        if self.since is not None and self.since < began and apart(courses) < self.gap:
            self.since = began
        told: list[Phase] = []
        while (phase := self._next(courses, terms, at, hopeless=hopeless)) is not None:
            told.append(phase)
            if phase is Phase.UNWINDING:
                self._turn_back(courses)
            elif phase is Phase.BALANCED and self.phase is not Phase.UNBALANCED:
                self.until = at + terms.pause
            self.phase, self.since = phase, at
        return told

    def _next(self, courses: Courses, terms: GroupTerms, at: datetime, *, hopeless: bool) -> Phase | None:
        late = self.since is not None and at - self.since >= terms.within
        match self.phase:
            case Phase.BALANCED:
                return Phase.UNBALANCED if apart(courses) > slack(courses) else None
            case Phase.UNBALANCED if apart(courses) <= slack(courses):
                return Phase.BALANCED
            case Phase.UNBALANCED:
                return Phase.UNWINDING if late or hopeless else None
            case Phase.UNWINDING | Phase.STUCK if self._is_back(courses):
                return Phase.BALANCED
            case Phase.UNWINDING:
                return Phase.STUCK if late else None
            case _:
                return None

    def _turn_back(self, courses: Courses) -> None:
        """From here on each leg goes to where the one that is furthest behind stands."""
        self.goals |= self.even(courses)
        self.starts |= {symbol: course.held for symbol, course in courses.items()}

    def _is_back(self, courses: Courses) -> bool:
        rest = {s: Course(c.held, self.goals[s], c.held, c.price, c.smallest) for s, c in courses.items() if s in self.goals}
        return not moving(rest)


def merged(groups: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups that share a symbol are one, since an account holds each symbol once. In order, each of two symbols at least."""
    found: list[set[str]] = []
    for group in groups:
        one = set(group)
        for other in [other for other in found if other & one]:
            found.remove(other)
            one |= other
        found.append(one)
    return tuple(sorted(tuple(sorted(group)) for group in found if len(group) > 1))
