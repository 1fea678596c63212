"""Curves: what an account, or a sleeve of it, has made of the money that was entrusted to it.

Rule: money that comes or goes is never a profit. It buys or redeems units at what a unit is worth at that moment, as in a fund; profit in
money is exact (Decimal: equity less what was contributed), the value of a unit and everything judged by it are float64.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import sqrt
from typing import Any, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from daemon.core.account import Account
from daemon.core.apportion import total
from daemon.core.events import Event, FlowBooked, KeepState, SleevesBooked, SliceClosed, StopRequested
from daemon.core.ledger import POSITION, Ledger
from daemon.core.model import EPOCH, EXACT, ZERO, Booking, Entry, Floats, Flow, from_epoch_ms
from daemon.core.portfolio import UNASSIGNED, UNPAID, Portfolio

T = TypeVar("T")
Ints = NDArray[np.int64]

# By owner, what he is worth at each of some closes, and exactly at the last.
Worths = Mapping[str, tuple[Floats, Decimal]]

# Where the journal keeps the curves.
KEY: Final = "curves"

# A crash loses the marks since the last time they were kept: some bars of a second, none of a minute.
KEEP_EVERY: Final = timedelta(seconds=10)

ONE_DAY: Final = timedelta(days=1)

# A bar's return counts half of a new one's after so many bars: two and a half days of hourly bars, as in risk_adjusted.
HALF_LIFE: Final = 60
_FORGOTTEN: Final = 1.0 - 0.5 ** (1.0 / HALF_LIFE)

_FIRST_DAY: Final = EPOCH.date()
_DAY_MS: Final = 86_400_000

_ACCOUNT: Final = ""  # the account among the sleeves


@dataclass(slots=True, kw_only=True)
class Curve:
    """Equity (quote) in units, of which each was worth 1 at the beginning.

    `contributed` is what came in less what went out, in quote, coins at their price when they came. `value` is the worth of a unit, `high`
    its highest so far, `drawdown_max` the furthest it has been below that, `opened` what it was when the UTC day of `marked_at` began.
    Without money in it, the value stands.

    `variance` is that of its returns a bar, around 0, over the `bars` in which it moved; `closed` its value when the last bar closed.
    """

    contributed: Decimal = ZERO
    equity: Decimal = ZERO
    units: float = 0.0
    value: float = 1.0
    high: float = 1.0
    opened: float = 1.0
    drawdown_max: float = 0.0
    marked_at: datetime | None = None
    closed: float = 1.0
    variance: float = 0.0
    bars: int = 0

    @property
    def pnl(self) -> Decimal:
        """What was made, in quote: equity less what was contributed, to the last digit."""
        return EXACT.subtract(self.equity, self.contributed)

    @property
    def drawdown(self) -> float:
        """How far a unit is below its highest value, as a share of that: 0 at a new high, 1 when all is lost."""
        return 1.0 - self.value / self.high

    @property
    def today(self) -> float:
        """Return since the UTC day of the last mark began."""
        return self.value / self.opened - 1.0 if self.opened > 0 else 0.0

    @property
    def total_return(self) -> float:
        """Return of a unit since the beginning, whatever was paid in or out on the way (time-weighted)."""
        return self.value - 1.0

    def mark(self, equity: Decimal, at: datetime) -> None:
        """What it is worth at the prices of this moment."""
        before, self.equity = self.value, equity
        if self.units > 0:
            self.value = max(float(equity), 0.0) / self.units
            self.high = max(self.high, self.value)
            self.drawdown_max = max(self.drawdown_max, self.drawdown)
        self._turn_the_day(before, at)

    def pay(self, worth: Decimal, equity: Decimal, at: datetime) -> None:
        """`worth` (quote) has come in, or gone out where it is negative; `equity`: what there is with it, at the prices of this moment."""
        self.mark(EXACT.subtract(equity, worth), at)
        self.contributed = EXACT.add(self.contributed, worth)
        self.equity = equity
        if self.value <= 0:  # no money buys a share in what is worth nothing: all was lost, and this is another beginning
            self.value = self.high = self.opened = 1.0
        self.units = max(float(equity), 0.0) / self.value

    def close(self) -> None:
        """A bar has closed: take its return into the variance, if it has moved. What holds nothing says nothing of its risk."""
        self.close_at((self.value,))

    def close_at(self, values: Iterable[float]) -> None:
        """The same of bars in a row, with the value of a unit at each close."""
        closed, bars, variance = self.closed, self.bars, self.variance
        for value in values:
            moved = value / closed - 1.0 if closed > 0 else 0.0
            closed = value
            if moved:
                bars += 1
                weight = max(_FORGOTTEN, 1.0 / bars)  # the plain mean, until there are bars enough to forget any
                variance += weight * (moved * moved - variance)
        self.closed, self.bars, self.variance = closed, bars, variance

    def extend(self, equities: Floats, newest: Decimal, closes_ms: Ints) -> Floats:
        """`mark` at one close after the other, each later than the last mark: the same to the bit. Returns the value of a unit at each.

        `equities` (quote) are what it is worth at each of the moments, UTC ms; `newest` is the last of them, exact.
        """
        values: Floats = np.maximum(equities, 0.0) / self.units if self.units > 0 else np.full(len(equities), self.value)
        days = (closes_ms - 1) // _DAY_MS  # as of day_of: midnight is the end of one
        before = None if self.marked_at is None else (day_of(self.marked_at) - _FIRST_DAY).days
        turns = np.flatnonzero(days[1:] != days[:-1])
        if len(turns) or int(days[0]) != before:  # the last turn counts
            row = int(turns[-1]) + 1 if len(turns) else 0
            last, value = (int(days[row - 1]), values[row - 1]) if row else (before, self.value)
            self.opened = float(value if last is not None and last == int(days[row]) - 1 else values[row])
        self.marked_at, self.equity, self.value = from_epoch_ms(int(closes_ms[-1])), newest, float(values[-1])
        if self.units > 0:
            highs = np.maximum.accumulate(np.maximum(values, self.high))
            self.drawdown_max = max(self.drawdown_max, float(np.max(1.0 - values / highs)))
            self.high = float(highs[-1])
        return values

    @property
    def volatility(self) -> float:
        """Standard deviation of its returns a bar, around 0 and exponentially weighted; those of bars in which nothing moved left out."""
        return sqrt(self.variance)

    def _turn_the_day(self, before: float, at: datetime) -> None:
        """At the first mark of a day, it began where the last mark of the day before stood; after a longer silence, here."""
        last = self.marked_at
        if last is not None and at <= last:
            return  # a slice may be handled a little after its close; the day does not turn back
        if last is None or day_of(at) != day_of(last):
            self.opened = before if last is not None and day_of(last) == day_of(at) - ONE_DAY else self.value
        self.marked_at = at

    def told(self) -> dict[str, Any]:
        """For the journal; `of` reads it."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        texts = {"contributed": str(self.contributed), "equity": str(self.equity)}
        return {**numbers, **texts, "marked_at": None if self.marked_at is None else self.marked_at.isoformat()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The inverse of `told`."""
        money = {name: Decimal(told[name]) for name in ("contributed", "equity")}
        at = told["marked_at"]
        return cls(**{**told, **money, "marked_at": None if at is None else datetime.fromisoformat(at)})


_NUMBERS: Final = tuple(field.name for field in fields(Curve) if field.type in (float, int))


def day_of(at: datetime) -> date:
    """The UTC day of a moment; midnight is the end of one: what closes then is its last mark."""
    return (at.astimezone(UTC) - timedelta.resolution).date()


class Curves:
    """The curves of the account and of everybody who has a sleeve of it, marked at every slice and whenever somebody asks.

    A deposit comes to the account and to `unassigned`; what is moved from there to a sleeve, as its capital, is a deposit to the sleeve. So
    the profits of all of them add up to the account's, to the last digit. While something that is held has no price, nobody knows what the
    account is worth: nothing is marked, and what was paid waits.
    """

    def __init__(self, account: Account, ledger: Ledger, portfolio: Portfolio) -> None:
        self._whole = Curve()
        self._each: dict[str, Curve] = {}
        self._skimmed: list[tuple[Worths, Ints]] = []  # marks that nobody has asked for yet
        self.portfolio = portfolio
        self.kept = True  # whether there is a journal to keep them
        self._account, self._ledger = account, ledger
        self._flows: list[Flow] = []  # that wait for prices, and below how many have been taken in
        self._bookings: list[Booking] = []
        self._counted = (0, 0)
        self._kept_at: datetime | None = None

    @property
    def account(self) -> Curve:
        """The account's curve."""
        self._catch_up()
        return self._whole

    @property
    def sleeves(self) -> dict[str, Curve]:
        """The sleeves' curves, by name."""
        self._catch_up()
        return self._each

    @property
    def contributed(self) -> Decimal | None:
        """What was paid in less what was taken out, in quote; None: that is not known."""
        return self._whole.contributed if self.known else None

    def of(self, sleeve: str) -> Curve:
        """A sleeve's curve."""
        return self.sleeves.setdefault(sleeve, Curve())

    def restore(self, text: str | None, flows: Sequence[Flow], bookings: Sequence[Booking]) -> None:
        """Go on after a stop with what the journal keeps under KEY (None: nothing yet), and all of its flows and bookings."""
        state: dict[str, Any] = {"flows": 0, "bookings": 0, "account": Curve().told(), "sleeves": {}} if text is None else json.loads(text)
        self._whole = Curve.of(state["account"])
        self._each = {sleeve: Curve.of(told) for sleeve, told in state["sleeves"].items()}
        self._flows, self._bookings = list(flows[state["flows"] :]), list(bookings[state["bookings"] :])
        self._counted = (len(flows), len(bookings))

    # --- what happens ------------------------------------------------------------------------------------------------

    def on_flow(self, event: FlowBooked) -> Iterable[Event]:
        """What came or went, once; after the portfolio, which knows a repetition."""
        return self._count(self._flows, event.flow, event.at)

    def on_booked(self, event: SleevesBooked) -> Iterable[Event]:
        """What was moved between sleeves, once; likewise."""
        return self._count(self._bookings, event.booking, event.at)

    def _count(self, waiting: list[T], fact: T, at: datetime) -> Iterable[Event]:
        counted = (self._ledger.flows, self.portfolio.bookings)
        if counted != self._counted:
            self._counted = counted
            waiting.append(fact)
            self.mark(at)
        return ()

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Mark at the prices of the close; after the account knows them."""
        self.mark(event.slice.closes_at)
        for curve in self.sleeves.values():
            curve.close()
        if self.kept and (self._kept_at is None or event.at - self._kept_at >= KEEP_EVERY):
            yield self._keep(event.at)

    def skim(self, worths: Worths, closes_ms: Ints) -> None:
        """Mark at the closes (UTC ms) of slices at which nothing happens, once somebody asks.

        `worths`: what the account ("") and every sleeve is worth at each of them, and exactly at the last.
        """
        self._skimmed.append((worths, closes_ms))

    def _catch_up(self) -> None:
        """Mark what waits: between two payments, all at once."""
        if not self._skimmed:
            return
        waiting, self._skimmed = self._skimmed, []
        closes_ms = np.concatenate([each for _, each in waiting])

        def joined(owner: str) -> tuple[Floats, Decimal]:
            parts = [worths[owner][0] if owner in worths else np.zeros(len(closes)) for worths, closes in waiting]
            last = waiting[-1][0]
            return np.concatenate(parts), last[owner][1] if owner in last else ZERO

        self._whole.extend(*joined(_ACCOUNT), closes_ms)
        for sleeve in {*self.portfolio.sleeves, *self._each, *(owner for worths, _ in waiting for owner in worths if owner != _ACCOUNT)}:
            curve = self._each.setdefault(sleeve, Curve())
            curve.close_at(curve.extend(*joined(sleeve), closes_ms).tolist())
        self._kept_at = from_epoch_ms(int(closes_ms[-1]))

    @property
    def known(self) -> bool:
        """Whether it is known what the account is worth, and all that was paid is counted."""
        return not self._account.unvalued and not self._flows

    def begin_anew(self, at: datetime, *, high: bool = False, day: bool = False) -> KeepState:
        """A person has accepted a loss: the high-water mark, or the day, begins where the account stands now."""
        self.mark(at)
        if high:
            self.account.high = self.account.value
        if day:
            self.account.opened = self.account.value
        return self._keep(at)

    def on_stop(self, event: StopRequested) -> Iterable[Event]:
        """What is known now is what the next start goes on from."""
        yield self._keep(event.at)

    # --- what it is worth --------------------------------------------------------------------------------------------

    def mark(self, at: datetime) -> None:
        """Mark at the last known prices."""
        payments = list(self._payments())
        prices = {entry.currency: self._price(entry.currency) for entry in payments}
        if self._account.unvalued or None in prices.values():
            return
        paid: dict[str, Decimal] = {}
        for entry in payments:
            paid[entry.sleeve] = EXACT.fma(entry.amount, prices[entry.currency] or ZERO, paid.get(entry.sleeve, ZERO))
        self._flows, self._bookings = [], []
        _settle(self.account, paid.get(_ACCOUNT, ZERO), self._account.equity(), at)
        worths = self._account.worths(self.portfolio.holdings())
        for sleeve in {*self.portfolio.sleeves, *self.sleeves}:
            _settle(self.of(sleeve), paid.get(sleeve, ZERO), worths.get(sleeve, ZERO), at)

    def _payments(self) -> Iterator[Entry]:
        """What waits, as payments. A cross is none, being a trade, nor is what a position has earned, which is profit."""
        for flow in (flow for flow in self._flows if not flow.symbol or flow.kind == POSITION):
            yield Entry(_ACCOUNT, flow.currency, flow.amount)
            yield Entry(UNASSIGNED, flow.currency, flow.amount)
        for booking in self._bookings:
            yield from () if booking.kind in UNPAID else booking.entries

    def _price(self, currency: str) -> Decimal | None:
        """Worth of a unit, None: it has had no price yet. What is no part of the equity counts nothing here either."""
        account = self._account
        if currency in account.quotes:
            return account.rate(currency)
        mine = [m for m in account.markets.values() if m.base == currency]
        if any(m.active and account.mark(m.symbol) is None for m in mine):
            return None
        return total(account.worth(m.symbol) for m in mine)

    def _keep(self, at: datetime) -> KeepState:
        """What waits for a price is not counted yet: the next start takes it up again."""
        self._kept_at = at
        state = {
            "flows": self._counted[0] - len(self._flows),
            "bookings": self._counted[1] - len(self._bookings),
            "account": self.account.told(),
            "sleeves": {sleeve: curve.told() for sleeve, curve in sorted(self.sleeves.items())},
        }
        return KeepState(KEY, json.dumps(state), at)


def _settle(curve: Curve, paid: Decimal, equity: Decimal, at: datetime) -> None:
    if paid:
        curve.pay(paid, equity, at)
    else:
        curve.mark(equity, at)
