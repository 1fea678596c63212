"""Membership: which of the configured symbols are in the universe, by what is traded of them, gone over on a schedule.

Rule: it follows from closed bars and from who was in it before, so that a restart and a backtest come to the same. It never changes while
a wave is under way or a decision waits; a slice with too few bars changes nothing, and nothing ever empties it.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from daemon.core.events import Event, KeepState, MarketsListed, SliceClosed, SymbolWoundDown, UniverseChosen, WaveSettled
from daemon.core.marketdata import CLOSE, VOLUME, Bools, Floats, Slice
from daemon.core.model import EPOCH
from daemon.core.plain import plain, rfc3339
from daemon.core.planner_legs import Reason
from daemon.core.roll import Outside, Place

KEY: Final = "universe"  # under which the journal keeps it

# Why something of a symbol stays unsold that no further try would sell.
LASTING: Final = frozenset({Reason.DUST, Reason.BELOW_MINIMUM, Reason.STEP, Reason.FEE_RESERVE, Reason.NOT_TRADABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rule: the `top` symbols by what was traded of them over `window`, gone over every `every` since the epoch.

    A member stays up to rank `top` + `margin`, so that two symbols of like volume do not take turns. A symbol needs bars from at least
    `age_min` ago. `exclude` are never in it; `always` are, whatever their rank, while their markets are open. What is held of a symbol that
    has left is sold by the strategies' next decision, and by one of its own once `wind_down` has passed.
    """

    top: int
    margin: int = 0
    window: timedelta
    every: timedelta
    age_min: timedelta = timedelta(0)
    exclude: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()
    wind_down: timedelta = timedelta(0)


def places(rule: Selection, members: frozenset[str], volumes: Mapping[str, float], unfit: Mapping[str, Outside]) -> dict[str, Place]:
    """Where every symbol stands. `volumes` has all of them, in quote; `unfit` says why some cannot be in, whatever their volume.

    Ranks are of those that can; of equal volumes, the alphabet decides. The rule's `always` overrides all but a closed market.
    """
    barred = dict.fromkeys(rule.exclude, Outside.EXCLUDED)
    out = {**unfit, **barred}
    out = {s: why for s, why in out.items() if s not in rule.always or why is Outside.CLOSED}
    able = [s for s in volumes if s not in out and (volumes[s] > 0 or s in rule.always)]
    ranks = {symbol: rank for rank, symbol in enumerate(sorted(able, key=lambda s: (-volumes[s], s)), 1)}

    def outside(symbol: str) -> Outside | None:
        if symbol not in ranks:
            return out.get(symbol, Outside.SILENT)
        most = rule.top + rule.margin if symbol in members else rule.top
        return None if ranks[symbol] <= most or symbol in rule.always else Outside.RANK

    return {s: Place(ranks.get(s, 0), volume, outside(s)) for s, volume in volumes.items()}


class Membership:
    """Who is in the universe. Without a `rule` everybody is, always, and nothing here does anything.

    `silent_max`: bars without one of its own after which a symbol is not tradable. `coverage_min`: share of the members that must have a
    bar in the slice at which the universe is gone over. The rest is asked when it is needed: `warm` is where strategies have history
    enough, bool (symbols,); `closed` the symbols whose markets are; `busy` whether a wave is under way or strategies are being asked;
    `pending` whether a decision waits for its wave; `held` whether anything of a symbol is held.

    `waits`: it is to be gone over, and something is under way; no new decision is made before that has ended.
    """

    def __init__(
        self, symbols: Sequence[str], timeframe: timedelta, rule: Selection | None, *, silent_max: int, coverage_min: float
    ) -> None:
        self.warm: Callable[[], Bools] = lambda: np.ones(len(symbols), np.bool_)
        self.closed: Callable[[], frozenset[str]] = frozenset
        self.busy: Callable[[], bool] = lambda: False
        self.pending: Callable[[], bool] = lambda: False
        self.held: Callable[[str], bool] = lambda _: False
        self.rule = rule
        self.waits = False
        self.members = frozenset(symbols) if rule is None else frozenset()
        self.places: Mapping[str, Place] = {}
        self.as_of: datetime | None = None  # the slice at which it was gone over last
        self.leaving: dict[str, datetime] = {}  # held, and not in the universe since
        self.rest: dict[str, str] = {}  # by symbol that has left, why something of it is held still
        self._symbols = tuple(symbols)
        self._timeframe = timeframe
        self._silent_max = silent_max
        self._coverage_min = coverage_min
        self._traded: deque[tuple[datetime, Floats]] = deque()  # by close time in the window, what was traded, in quote (symbols,)
        self._since: list[datetime | None] = [None] * len(symbols)  # close of the first bar
        self._newest: Slice | None = None

    # --- start -------------------------------------------------------------------------------------------------------

    @property
    def need(self) -> int:
        """Bars of history that a choice rests on."""
        return 1 if self.rule is None else max(self.rule.window, self.rule.age_min) // self._timeframe + 1

    def warm_up(self, slices: Iterable[Slice]) -> None:
        """Take a history in."""
        for cross_section in slices:
            self._take(cross_section)

    def restore(self, kept: str | None) -> None:
        """Go on with the universe that the journal knows. One that was chosen by another rule is gone over at the next slice."""
        if kept is None or self.rule is None:
            return
        told = json.loads(kept)
        known = frozenset(self._symbols)
        read = {s: Place(rank, volume, Outside(why) if why else None) for s, (rank, volume, why) in told["places"].items()}
        self.places = {symbol: place for symbol, place in read.items() if symbol in known}
        self.members = frozenset(symbol for symbol, place in self.places.items() if place.outside is None)
        self.leaving = {s: datetime.fromisoformat(at) for s, at in told["leaving"].items() if s in known}
        self.rest = {symbol: why for symbol, why in told["rest"].items() if symbol in known}
        if told["rule"] == _spelt(self.rule) and known <= read.keys():
            self.as_of = datetime.fromisoformat(told["as_of"])

    # --- what happens ------------------------------------------------------------------------------------------------

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Take the slice in and go over the universe if that is due. Before anybody decides on the slice."""
        if self.rule is None:
            return ()
        self._take(event.slice)
        return self._review(self.rule, event.at)

    def on_markets(self, event: MarketsListed) -> Iterable[Event]:
        """A market that is closed leaves; what it kept from being sold is to be, once it is open. After the account has learnt of it."""
        for symbol in [s for s, why in self.rest.items() if why == Reason.NOT_TRADABLE and s not in self.closed()]:
            self.leaving[symbol] = event.at
            del self.rest[symbol]
        return () if self.rule is None else self._review(self.rule, event.at)

    def on_settled(self, event: WaveSettled) -> Iterable[Event]:
        """Nothing is under way: what has waited for that is done, and who is sold has left for good."""
        if self.rule is None:
            return ()
        # What follows at once was decided in the universe as it is, and has its wave first.
        return (*self._part(event, event.at), *(() if self.pending() else self._review(self.rule, event.at)))

    # --- what others ask ---------------------------------------------------------------------------------------------

    @property
    def silent_max(self) -> int | None:
        """Bars behind after which a symbol is not waited for; None: each always is, as where nobody chooses among them."""
        return None if self.rule is None else self._silent_max

    @property
    def followed(self) -> tuple[str, ...]:
        """The symbols whose data matters; all of them while there is no universe yet."""
        return tuple(s for s in self._symbols if not self.members or s in self.members)

    def stamped(self, cross_section: Slice) -> Slice:
        """The slice with who is in the universe."""
        if self.rule is None:
            return cross_section
        inside = np.array([symbol in self.members for symbol in cross_section.symbols], np.bool_)
        inside.setflags(write=False)
        return replace(cross_section, members=inside)

    def covers(self, cross_section: Slice) -> bool:
        """Whether enough of the universe has a bar for a decision. Whose market is closed has none to give, and is not waited for."""
        if cross_section.coverage >= self._coverage_min:
            return True
        awaited = self._awaited(cross_section)
        return bool(awaited.any()) and int(np.count_nonzero(cross_section.real & awaited)) >= self._coverage_min * int(
            np.count_nonzero(awaited)
        )

    def silent(self, cross_section: Slice) -> bool:
        """Whether somebody who is waited for has had no bar for so long that the market may be closed."""
        return bool((self._awaited(cross_section) & (cross_section.age > self._silent_max)).any())

    def _awaited(self, cross_section: Slice) -> Bools:
        closed = self.closed()
        awaited: Bools = cross_section.inside & np.array([symbol not in closed for symbol in self._symbols], np.bool_)
        return awaited

    def overdue(self, cross_section: Slice) -> frozenset[str]:
        """The symbols that must be sold at this slice, since no decision has: those with a price in it, which alone can be."""
        if self.rule is None or not self.leaving or self.busy():
            return frozenset()
        real = dict(zip(cross_section.symbols, cross_section.real.tolist(), strict=True))
        wind_down = self.rule.wind_down
        return frozenset(
            s for s, since in self.leaving.items() if cross_section.closes_at - since >= wind_down and real[s] and self.held(s)
        )

    # --- going over it -----------------------------------------------------------------------------------------------

    def _take(self, cross_section: Slice) -> None:
        if self.rule is None:
            return
        closes_at = cross_section.closes_at
        with np.errstate(over="ignore"):
            volume = np.where(cross_section.real, cross_section.panel[CLOSE] * cross_section.panel[VOLUME], 0.0)
        self._traded.append((closes_at, volume))
        while self._traded[0][0] <= closes_at - self.rule.window:
            self._traded.popleft()
        for column in np.flatnonzero(cross_section.age == 0).tolist():
            self._since[column] = self._since[column] or closes_at
        self._newest = cross_section

    def _review(self, rule: Selection, at: datetime) -> Iterator[Event]:
        """Go over the universe if that is due, or at least let go whose market has closed."""
        newest = self._newest
        due = newest is not None and self._due(rule, newest)
        gone = self.members & self.closed()
        self.waits = bool(due or gone) and self.busy()
        if newest is None or self.waits:
            return
        if due:
            yield from self._change(rule, self._ranked(rule, newest), newest.closes_at, at)
        elif gone:
            closed = {s: replace(self.places[s], outside=Outside.CLOSED) for s in gone}
            yield from self._change(rule, {**self.places, **closed}, self.as_of or newest.closes_at, at)

    def _due(self, rule: Selection, newest: Slice) -> bool:
        """Whether a time to go over it has passed, and the slice can carry that."""
        if self.as_of is not None and (newest.closes_at - EPOCH) // rule.every <= (self.as_of - EPOCH) // rule.every:
            return False
        # Who has been silent from one time to the next is not waited for: it may never come again.
        alive = (newest.age <= max(self._silent_max, rule.every // self._timeframe)) & np.isfinite(newest.close)
        members = alive & np.array([symbol in self.members for symbol in newest.symbols], np.bool_)
        awaited = members if members.any() else alive
        return bool(awaited.any()) and int(np.count_nonzero(newest.real & awaited)) >= self._coverage_min * int(np.count_nonzero(awaited))

    def _ranked(self, rule: Selection, newest: Slice) -> dict[str, Place]:
        with np.errstate(over="ignore"):
            sums = np.sum([volume for _, volume in self._traded], axis=0)  # over again each time, so that a restart has the same digits
        volumes = np.where(np.isfinite(sums), sums, 0.0).tolist()
        return places(rule, self.members, dict(zip(self._symbols, volumes, strict=True)), self._unfit(rule, newest))

    def _unfit(self, rule: Selection, newest: Slice) -> dict[str, Outside]:
        """Why symbols cannot be in the universe, whatever is traded of them; the gravest reason of each."""
        closed, warm = self.closed(), self.warm()
        found: dict[str, Outside] = {}
        for column, (symbol, since) in enumerate(zip(self._symbols, self._since, strict=True)):
            if symbol in closed:
                found[symbol] = Outside.CLOSED
            elif since is None or newest.age[column] > self._silent_max:
                found[symbol] = Outside.SILENT
            elif newest.closes_at - since < rule.age_min:
                found[symbol] = Outside.YOUNG
            elif not warm[column]:
                found[symbol] = Outside.COLD
        return found

    def _change(self, rule: Selection, chosen: Mapping[str, Place], as_of: datetime, at: datetime) -> Iterator[Event]:
        members = frozenset(symbol for symbol, place in chosen.items() if place.outside is None)
        if not members:
            return
        entered, left = sorted(members - self.members), sorted(self.members - members)
        self.members, self.places, self.as_of = members, chosen, as_of
        for symbol in members:
            self.leaving.pop(symbol, None)
            self.rest.pop(symbol, None)
        self.leaving.update({symbol: as_of for symbol in left if self.held(symbol)})
        yield UniverseChosen(as_of, chosen, tuple(entered), tuple(left), at)
        yield KeepState(KEY, self._kept(rule, as_of), at)

    def _part(self, wave: WaveSettled, at: datetime) -> Iterator[Event]:
        """Note who has been sold, and of whom something is left that no further try would sell."""
        done = {s: "" if not self.held(s) else self._left(wave, s) for s in self.leaving}
        for symbol, rest in sorted(done.items()):
            if rest is None:
                continue
            del self.leaving[symbol]
            if rest:
                self.rest[symbol] = rest
            yield SymbolWoundDown(symbol, rest, at)
        if self.rule is not None and self.as_of is not None and any(rest is not None for rest in done.values()):
            yield KeepState(KEY, self._kept(self.rule, self.as_of), at)

    def _left(self, wave: WaveSettled, symbol: str) -> str | None:
        """Why a wave could not sell a symbol for good; None: another may."""
        why = {**wave.left, **wave.refused}.get(symbol, "")
        wanted = symbol in wave.decision.keep or bool(wave.decision.weights.get(symbol))
        return why if why in LASTING and not wanted else None

    def _kept(self, rule: Selection, as_of: datetime) -> str:
        told: dict[str, Any] = {
            "rule": _spelt(rule),
            "as_of": rfc3339(as_of),
            "places": {s: [place.rank, place.volume, place.outside and place.outside.value] for s, place in self.places.items()},
            "leaving": {symbol: rfc3339(since) for symbol, since in self.leaving.items()},
            "rest": self.rest,
        }
        return json.dumps(told)


def _spelt(rule: Selection) -> str:
    """A rule as text, the same in every process."""
    return json.dumps(plain(asdict(rule)), sort_keys=True)
