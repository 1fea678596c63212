"""Faults: what the venue does wrong on purpose, by a script and a seed.

Rule: without faults the venue is as it was. Whether one strikes follows from the script, its seed and the order in which things come in.
What is booked is booked right, whatever happens on the way to it and back: the books stay a judge.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

# --- what can go wrong -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered instead of the truth. `status` None: nothing, the connection is reset. `body` None: the true one."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    cut: bool = False  # half of the body, then the connection ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """A request that goes wrong. `accepted`: it does its work all the same. `reply` None: the true answer. Times in ms."""

    accepted: bool
    before_ms: int = 0  # until it reaches the exchange
    after_ms: int = 0  # from there until it is answered
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """Look-ups answer as of `ms` ago."""

    ms: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A websocket stays open and tells nothing. mute: pings are answered still. blackhole: nothing comes, as behind a broken line."""

    way: Literal["mute", "blackhole"]


@dataclass(frozen=True, slots=True)
class Freeze:
    """A market stream goes on saying what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garble:
    """A message of a websocket does not come as it is. `ms`: how late a delayed one is. `body`: what comes instead, as garbage."""

    way: Literal["garbage", "lose", "dup", "reorder", "delay"]
    ms: int = 0
    body: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A websocket is refused with this HTTP status."""

    status: int


@dataclass(frozen=True, slots=True)
class Shift:
    """The venue's clock is so far ahead (or behind, negative): in what it tells, and in how it judges a request's age."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A market's rules are others: closed, gone from the list, or on another grid. None: as it was."""

    halted: bool = False
    delisted: bool = False
    step: Decimal | None = None  # base units
    tick: Decimal | None = None  # quote per base
    notional_min: Decimal | None = None  # quote units


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A new order is filled for `share` at once; the rest rests until `after_ms` (None: until it is cancelled)."""

    share: Decimal
    after_ms: int | None = None
    at_cancel: bool = False  # the rest fills in the moment in which a cancel arrives, which is then refused


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money comes in, or goes out if `amount` is negative."""

    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Skew:
    """The mark price of a swap is off by this fraction of itself: what is held is valued, and liquidated, by that."""

    by: Decimal


@dataclass(frozen=True, slots=True)
class Deleverage:
    """The venue closes a `share` of a swap's position itself, as in an auto-deleveraging."""

    symbol: str
    share: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """An order that the client under test has not sent; `away` is how far from the last price a limit lies, a fraction."""

    symbol: str
    side: str
    kind: str
    amount: Decimal
    away: Decimal
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ban:
    """Everybody is banned (418) for so long."""

    ms: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Everything is forgotten: orders, trades and transfers, and the account holds what it began with."""


@dataclass(frozen=True, slots=True)
class Close:
    """Websockets are closed with this code."""

    code: int


Action = Deposit | Plant | Ban | Reset | Close | Deleverage
Effect = Mishap | Lag | Silence | Freeze | Garble | Refusal | Shift | Patch | Filling | Skew | Action
ACTIONS: Final = (Deposit, Plant, Ban, Reset, Close, Deleverage)

E = TypeVar("E", bound=Effect)


# --- when, and whom --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whom it concerns. `on`: end points by name, or `market` and `user` streams; empty where that means nothing. "" is every one."""

    on: frozenset[str] = frozenset()
    symbol: str = ""
    side: str = ""

    def covers(self, on: str, symbol: str, side: str) -> bool:
        """Whether something belongs to it; what has no symbol or side is covered by none in particular."""
        return (not self.on or on in self.on) and self.symbol in ("", symbol) and self.side in ("", side)


@dataclass(frozen=True, slots=True, kw_only=True)
class Often:
    """How often it strikes what its scope covers: at most `count` times, each `every`-th, by chance; times count from when it was added."""

    count: int | None = None
    every: int = 1
    probability: float = 1.0
    start_ms: int = 0
    end_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong. `said` is the script's own words for it."""

    do: str
    effect: Effect
    scope: Scope = field(default_factory=Scope)
    often: Often = field(default_factory=Often)
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Script:
    """All that is to go wrong. `seed` None: the venue's own."""

    seed: int | None = None
    faults: tuple[Fault, ...] = ()


class InForce:
    """A fault that was added: how much it has seen and how often it struck. Each has dice of its own, so that none disturbs another's."""

    def __init__(self, number: int, fault: Fault, seed: int, now: int) -> None:
        self.number = number
        self.fault = fault
        self.since = now
        self.seen = 0
        self.hits = 0
        self.failed = ""  # why what it was to do once could not be done
        self._chance = random.Random(f"{seed} fault {number}")

    def active(self, now: int) -> bool:
        """Whether it may strike at a time in ms."""
        often = self.fault.often
        passed = now - self.since
        spent = often.count is not None and self.hits >= often.count
        return not spent and passed >= often.start_ms and (often.end_ms is None or passed < often.end_ms)

    def strikes(self, now: int) -> bool:
        """Count something that its scope covers; whether it befalls it."""
        if not self.active(now):
            return False
        self.seen += 1
        often = self.fault.often
        struck = self.seen % often.every == 0 and (often.probability >= 1 or self._chance.random() < often.probability)
        self.hits += struck
        return struck

    def told(self, now: int) -> dict[str, Any]:
        """Its own words and its counts."""
        counts = {"active": self.active(now), "seen": self.seen, "hits": self.hits}
        return {"id": self.number, **self.fault.said, **counts, **({"failed": self.failed} if self.failed else {})}


class Faults:
    """Everything that is to go wrong at a venue."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._numbers = 0
        self._by_kind: dict[type, list[InForce]] = {}

    def add(self, faults: Iterable[Fault], now: int) -> list[int]:
        """Put faults into force; their times count from `now`. Returns their numbers."""
        added = []
        for fault in faults:
            self._numbers += 1
            self._by_kind.setdefault(type(fault.effect), []).append(InForce(self._numbers, fault, self.seed, now))
            added.append(self._numbers)
        return added

    def clear(self, number: int | None = None) -> int:
        """Lift one fault, or all of them; how many there were."""
        kept = {kind: [each for each in found if number not in (None, each.number)] for kind, found in self._by_kind.items()}
        lifted = sum(map(len, self._by_kind.values())) - sum(map(len, kept.values()))
        self._by_kind = {kind: found for kind, found in kept.items() if found}
        return lifted

    def told(self, now: int) -> list[dict[str, Any]]:
        """All of them, in the order in which they came."""
        found = (each for kind in self._by_kind.values() for each in kind)
        return [each.told(now) for each in sorted(found, key=lambda each: each.number)]

    def any(self, kind: type[Effect]) -> bool:
        """Whether there is a fault of this kind at all."""
        return kind in self._by_kind

    def strike(self, kind: type[E], now: int, on: str = "", symbol: str = "", side: str = "") -> E | None:
        """What befalls this; of several faults the first that strikes."""
        for each in self._by_kind.get(kind, ()):
            effect = each.fault.effect
            if isinstance(effect, kind) and each.fault.scope.covers(on, symbol, side) and each.strikes(now):
                return effect
        return None

    def standing(self, kind: type[E], now: int, on: str = "", symbol: str = "") -> Iterator[E]:
        """The effects that last and concern this now; nothing is counted as seen."""
        for each in self._by_kind.get(kind, ()):
            effect = each.fault.effect
            if isinstance(effect, kind) and each.active(now) and each.fault.scope.covers(on, symbol, ""):
                yield effect

    def due(self, now: int) -> list[InForce]:
        """What is to be done once, and now."""
        found = [each for kind in ACTIONS for each in self._by_kind.get(kind, ()) if each.strikes(now)]
        return sorted(found, key=lambda each: each.number)
