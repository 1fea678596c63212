"""Portfolio: who holds what within the account. Each strategy has a sleeve; what is nobody's is `unassigned`.

Rule: after every event the sleeves and `unassigned` add up to what the ledger holds, currency by currency, to the last digit. It is a fold
of facts: the trades by the split of their orders, flows, and bookings between sleeves; a restart folds the same.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Final

from daemon.core.apportion import GRAIN, share_out, signed, total
from daemon.core.events import BookSleeves, Event, FlowBooked, OrderFilled, OrderReported, SleevesBooked
from daemon.core.forced import forced
from daemon.core.ledger import POSITION, RINGFENCED, Ledger
from daemon.core.model import EXACT, ZERO, Booking, Entry, Fill, Flow, currencies, is_swap
from daemon.core.ordertable import OrderTable, Tracked

# The sleeve of what no strategy has: deposits that have not been shared out, coins of the opening balance, trades of other hands.
UNASSIGNED: Final = "unassigned"

# Kinds of bookings: opposing wishes that met, money moved to its share, what a removed strategy has left to nobody, and what positions of
# swaps have earned or paid, or the venue has closed of them.
CROSS, CAPITAL, HANDOVER, EARNED, FORCED = "cross", "capital", "handover", "earned", "forced"

# Those by which nobody is paid anything: trades, and what is a profit or a loss.
UNPAID: Final = frozenset({CROSS, EARNED, FORCED})

NONE_KEPT: Final[frozenset[str]] = frozenset()

# Trades of swaps that are remembered, for what was earned before them and is told after them.
RECENT_KEPT: Final = 512

Split = Mapping[str, Decimal]

# The split of an order that was made for no strategy, or before orders had one.
NOBODY: Final[Split] = {UNASSIGNED: Decimal(1)}

# Orders whose trades are remembered, for the case that an earlier trade turns out to be theirs: twice as many as the order table keeps.
ORDERS_KEPT: Final = 2 * OrderTable.CLOSED_KEPT


@dataclass(frozen=True, slots=True)
class Apart:
    """Units of a coin in `unassigned` that are counted and not traded.

    `strategy` has left them, the last of them at `at`; "" and None: they came from nobody knows where.
    """

    amount: Decimal
    strategy: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Trade:
    """A trade that was counted: the number of its arrival, and whose it was (base units by sleeve)."""

    arrived: int
    fill: Fill
    parts: Mapping[str, Decimal]


@dataclass(slots=True)
class _Dealt:
    """An order's trades in order of arrival, dealt to those in its split: `given` base units by sleeve, `filled` together."""

    split: Split
    trades: list[_Trade] = field(default_factory=list)
    given: dict[str, Decimal] = field(default_factory=dict)
    filled: Decimal = ZERO

    def behind(self, amount: Decimal) -> dict[str, Decimal]:
        """By sleeve, how far it would be behind its part if the order had filled so much more."""
        with localcontext(EXACT):
            filled, whole = self.filled + amount, sum(self.split.values(), ZERO)
            due = {s: filled * part / whole - self.given.get(s, ZERO) for s, part in self.split.items()}
        return {sleeve: part for sleeve, part in due.items() if part > 0}

    @property
    def lot(self) -> Decimal:
        """The grid that the split is written on. It is read off the split alone: a market's own may change, what was dealt may not."""
        return min(Decimal((0, (1,), int(part.as_tuple().exponent))) for part in self.split.values())


class Portfolio:
    """The sleeves of one account, around its ledger: whatever the ledger counts is somebody's here.

    `names` are the strategies that are configured; others may still have a sleeve. `traded` and `crossed` are, by sleeve, what was traded
    for it and what it has crossed with others, in quote, since the journal began.
    """

    def __init__(self, names: Iterable[str], ledger: Ledger, table: OrderTable) -> None:
        self.names = tuple(names)
        self.traded: dict[str, Decimal] = {}
        self.crossed: dict[str, Decimal] = {}
        self.bookings = 0  # that have been counted
        self._ledger = ledger
        self._table = table
        self._held: dict[tuple[str, str], Decimal] = {}
        self._asked: dict[str, Booking] = {}
        self._frozen: dict[str, Decimal] = {}
        self._left: dict[str, dict[str, Apart]] = {}  # of what is frozen, by currency and strategy
        self._fenced: dict[str, Decimal] = {}
        self._dealt: dict[str, _Dealt] = {}
        self._strays: dict[tuple[str, str], list[_Trade]] = {}
        self._splits: Mapping[str, Split] = {}  # of orders of earlier processes
        self._linked: dict[tuple[str, str], str] = {}  # their ids, by symbol and the venue's id
        self._recent: deque[_Trade] = deque(maxlen=RECENT_KEPT)
        self._arrived = 0

    # --- what happens ------------------------------------------------------------------------------------------------

    def on_fill(self, event: OrderFilled) -> Iterable[Event]:
        """A trade: of those for whom its order was made; of nobody where the order is not ours, or not known yet.

        What the venue has closed by itself is shared out to those who held it.
        """
        fill = event.fill
        taken = self._taken(fill) if forced(fill.order_id) else {}
        counted = self._book(fill, self._owner(fill.order_id, fill.symbol, fill.venue_id))
        if not taken or not counted:
            return ()
        (base, quote), sign = currencies(fill.symbol), fill.side.sign
        moved = [(UNASSIGNED, base, -sign * fill.amount), (UNASSIGNED, quote, sign * fill.cost)]
        moved += [(sleeve, base, sign * part) for sleeve, part in taken.items()]
        moved += [(sleeve, quote, -sign * part) for sleeve, part in share_out(fill.cost, taken, GRAIN).items()]
        entries = tuple(Entry(*each) for each in moved)
        return (self.ask(Booking(f"{FORCED}-{fill.symbol}-{fill.trade_id}", FORCED, entries, event.at)),)

    def take(self, moved: Mapping[str, Decimal], traded: Decimal, sleeve: str, at: datetime) -> None:
        """What trades have moved together that have filled orders whole, made for one sleeve, and their worth in quote. Not of swaps."""
        self._ledger.move(moved, at)
        held = self._held
        for currency, amount in moved.items():
            key = (sleeve, currency)
            held[key] = EXACT.add(held.get(key, ZERO), amount)
        self.traded[sleeve] = EXACT.add(self.traded.get(sleeve, ZERO), traded)

    def on_reported(self, event: OrderReported) -> Iterable[Event]:
        """Trades that came under the venue's id alone may turn out to be ours. Before the order manager, which may plan upon it."""
        key = (event.report.symbol, event.report.venue_id)
        owner = self._owner(event.report.order_id, *key)
        if owner is not None and key in self._strays:
            self._adopt(key, *owner)
        return ()

    def on_flow(self, event: FlowBooked) -> Iterable[Event]:
        """What comes or goes without a trade is nobody's until the next decision shares it out; what positions have earned is theirs."""
        flow = event.flow
        parts = self._earned(flow) if self.flow(flow) and flow.symbol and flow.kind != POSITION else {}
        if not parts:
            return ()
        entries = (Entry(UNASSIGNED, flow.currency, -flow.amount), *(Entry(s, flow.currency, part) for s, part in parts.items()))
        return (self.ask(Booking(f"{EARNED}-{flow.id}", EARNED, entries, event.at)),)

    def on_booked(self, event: SleevesBooked) -> Iterable[Event]:
        """What was asked for is on disk, and counts; once."""
        if self._asked.pop(event.booking.id, None) is not None:
            self.booking(event.booking)
        return ()

    def ask(self, booking: Booking) -> BookSleeves:
        """The request for a booking. Planning relies on it from now on: either the journal takes it, or the process ends."""
        self._asked[booking.id] = booking
        return BookSleeves(booking, booking.at)

    def number(self) -> int:
        """The number of the next booking: never used before, in this process or an earlier one."""
        return self.bookings + len(self._asked) + 1

    # --- the fold ----------------------------------------------------------------------------------------------------

    def restore(
        self,
        flows: Iterable[Flow],
        fills: Iterable[Fill],
        bookings: Iterable[Booking],
        splits: Mapping[str, Split],
        order_ids: Mapping[tuple[str, str], str],
    ) -> None:
        """Everything that the journal knows, each kind in order of arrival; `order_ids` has our ids by symbol and the venue's id."""
        self._splits = splits
        self._linked = {key: order_id for key, order_id in order_ids.items() if order_id in splits}
        for flow in flows:
            self.flow(flow)
        for fill in fills:
            self._book(fill, self._owner(fill.order_id, fill.symbol, fill.venue_id))
        for booking in bookings:
            self.booking(booking)

    def _taken(self, fill: Fill) -> dict[str, Decimal]:
        """By sleeve, base units of a trade that closes what they hold; nothing where they do not hold so much."""
        base = currencies(fill.symbol)[0]
        held = {s: abs(amount) for (s, c), amount in sorted(self._held.items()) if c == base and amount * fill.side.sign < 0}
        return share_out(fill.amount, held, GRAIN) if total(held.values()) >= fill.amount else {}

    def _book(self, fill: Fill, owner: tuple[str, Split] | None) -> bool:
        """Count a trade, once, as the ledger does. Whether it counted."""
        if not self._ledger.book(fill, ours=owner is not None):
            return False
        self._arrived += 1
        key = (fill.symbol, fill.venue_id)
        if owner is not None:
            if key in self._strays:
                self._adopt(key, *owner)
            self._deal(self._dealt_of(*owner), self._arrived, fill)
            return True
        stray = _Trade(self._arrived, fill, {UNASSIGNED: fill.amount})
        self._move(stray)
        if fill.venue_id:
            self._strays.setdefault(key, []).append(stray)
            while len(self._strays) > OrderTable.STRAYS_KEPT:
                del self._strays[next(iter(self._strays))]
        return True

    def flow(self, flow: Flow) -> bool:
        """Count a flow, once, as the ledger does. Whether it counted."""
        if not self._ledger.flow(flow):
            return False
        self._add(UNASSIGNED, flow.currency, flow.amount)
        fenced = self._fenced.get(flow.currency, ZERO)
        if flow.kind == RINGFENCED or (flow.amount < 0 < fenced):  # what goes was theirs first
            self._fenced[flow.currency] = max(ZERO, EXACT.add(fenced, flow.amount))
        return True

    def _earned(self, flow: Flow) -> dict[str, Decimal]:
        """By sleeve, what its position of the moment has earned or paid of a flow; nothing where nobody held anything then."""
        base = currencies(flow.symbol)[0]
        held = {sleeve: amount for (sleeve, currency), amount in self._held.items() if currency == base}
        for trade in self._recent:
            if trade.fill.symbol == flow.symbol and trade.fill.at > flow.at:
                for sleeve, part in trade.parts.items():
                    held[sleeve] = EXACT.subtract(held.get(sleeve, ZERO), trade.fill.side.sign * part)
        held = {sleeve: amount for sleeve, amount in sorted(held.items()) if amount}
        whole = total(held.values())
        if not whole:
            return {}
        parts = {s: EXACT.divide(EXACT.multiply(flow.amount, amount), whole).quantize(GRAIN, context=EXACT) for s, amount in held.items()}
        largest = max(held, key=lambda sleeve: abs(held[sleeve]))
        parts[largest] = EXACT.subtract(flow.amount, total(part for sleeve, part in parts.items() if sleeve != largest))
        return parts

    def booking(self, booking: Booking) -> None:
        """Count a booking."""
        self.bookings += 1
        for entry in booking.entries:
            self._add(entry.sleeve, entry.currency, entry.amount)
            if booking.kind == HANDOVER and entry.sleeve == UNASSIGNED and entry.amount > 0:
                self._frozen[entry.currency] = EXACT.add(self._frozen.get(entry.currency, ZERO), entry.amount)
            elif booking.kind == HANDOVER and entry.amount < 0:
                left = self._left.setdefault(entry.currency, {})
                before = left.pop(entry.sleeve, Apart(ZERO)).amount
                left[entry.sleeve] = Apart(EXACT.subtract(before, entry.amount), entry.sleeve, booking.at)
        if booking.kind == CROSS:
            self._count_crossed(booking)

    def _count_crossed(self, booking: Booking) -> None:
        """The worth of what each side has bought or sold: the quote that it gave for the coin, or got. The coin is named first."""
        coin = booking.entries[0].currency
        for entry in booking.entries:
            if entry.currency != coin:
                self.crossed[entry.sleeve] = EXACT.add(self.crossed.get(entry.sleeve, ZERO), abs(entry.amount))

    def _add(self, sleeve: str, currency: str, amount: Decimal) -> None:
        key = (sleeve, currency)
        self._held[key] = EXACT.add(self._held.get(key, ZERO), amount)

    # --- trades and their owners -------------------------------------------------------------------------------------

    def _owner(self, order_id: str, symbol: str, venue_id: str) -> tuple[str, Split] | None:
        """The order of ours that is meant, of this process or an earlier one, and for whom it trades."""
        tracked = self._table.get(order_id, symbol, venue_id)
        if tracked is not None:
            return tracked.order.id, tracked.order.split
        earlier = order_id if order_id in self._splits else self._linked.get((symbol, venue_id), "")
        if not earlier:
            return None
        if venue_id:
            self._linked[symbol, venue_id] = earlier
        return earlier, self._splits[earlier]

    def _dealt_of(self, order_id: str, split: Split) -> _Dealt:
        """What is known of an order's trades; the oldest order is forgotten for a new one."""
        known = self._dealt.get(order_id)
        if known is None:
            known = self._dealt[order_id] = _Dealt(split or NOBODY)
            while len(self._dealt) > ORDERS_KEPT:
                del self._dealt[next(iter(self._dealt))]
        return known

    def _deal(self, dealt: _Dealt, arrived: int, fill: Fill) -> None:
        """Deal a trade of an order to those who are behind their part of what it has filled so far."""
        alone = len(dealt.split) == 1
        parts = dict.fromkeys(dealt.split, fill.amount) if alone else share_out(fill.amount, dealt.behind(fill.amount), dealt.lot)
        trade = _Trade(arrived, fill, parts)
        dealt.trades.append(trade)
        dealt.filled = EXACT.add(dealt.filled, fill.amount)
        for sleeve, part in trade.parts.items():
            dealt.given[sleeve] = EXACT.add(dealt.given.get(sleeve, ZERO), part)
        self._move(trade)
        self._count_traded(trade)

    def _adopt(self, key: tuple[str, str], order_id: str, split: Split) -> None:
        """Trades of nobody have turned out to be an order's: all of its trades are dealt again by arrival, as a restart would do it."""
        known, strays = self._dealt_of(order_id, split), self._strays.pop(key)
        for trade in known.trades:
            self._count_traded(trade, -1)
        again = sorted((*known.trades, *strays), key=lambda trade: trade.arrived)
        for trade in again:
            self._move(trade, -1)
        afresh = self._dealt[order_id] = _Dealt(known.split)
        for trade in again:
            self._deal(afresh, trade.arrived, trade.fill)

    def _move(self, trade: _Trade, times: int = 1) -> None:
        """Coins, money and fees of a trade to (or, -1 times, back from) those whose it is."""
        fill, sign = trade.fill, trade.fill.side.sign * times
        base, quote = currencies(fill.symbol)
        if is_swap(fill.symbol):
            self._recent = deque((t for t in self._recent if t is not trade), RECENT_KEPT)
            self._recent += [trade] if times > 0 else []
        for sleeve, part in trade.parts.items():
            self._add(sleeve, base, signed(sign, part))
        for sleeve, cost in share_out(fill.cost, trade.parts, GRAIN).items():
            self._add(sleeve, quote, signed(-sign, cost))
        for fee in fill.fees:
            size = share_out(abs(fee.amount), trade.parts, GRAIN)  # below 0: venues that pay makers
            for sleeve, part in size.items():
                self._add(sleeve, fee.currency, signed(times, part.copy_sign(fee.amount.copy_negate())))

    def _count_traded(self, trade: _Trade, times: int = 1) -> None:
        for sleeve, worth in share_out(trade.fill.cost, trade.parts, GRAIN).items():
            self.traded[sleeve] = EXACT.add(self.traded.get(sleeve, ZERO), signed(times, worth))

    # --- who holds what ----------------------------------------------------------------------------------------------

    @property
    def sleeves(self) -> tuple[str, ...]:
        """Everybody who has a sleeve: the strategies that are configured, then others that still hold something, then `unassigned`."""
        others = sorted({sleeve for (sleeve, _), amount in self._held.items() if amount} - {*self.names, UNASSIGNED})
        return (*self.names, *others, UNASSIGNED)

    def knows(self, names: Iterable[str]) -> bool:
        """Whether all of these are configured."""
        return set(names) <= set(self.names)

    def held(self, sleeve: str, currency: str) -> Decimal:
        """Units of a currency that a sleeve holds; below 0, it owes them to the others."""
        return self._held.get((sleeve, currency), ZERO)

    def holdings(self) -> dict[tuple[str, str], Decimal]:
        """Everything that is held, by sleeve and currency."""
        return {key: amount for key, amount in self._held.items() if amount}

    @property
    def owners(self) -> set[str]:
        """Everybody who holds something."""
        return {sleeve for (sleeve, _), amount in self._held.items() if amount}

    def planned(self) -> dict[tuple[str, str], Decimal]:
        """The holdings as they are once what was asked for is on disk."""
        held = self.holdings()
        for booking in self._asked.values():
            for entry in booking.entries:
                key = (entry.sleeve, entry.currency)
                held[key] = EXACT.add(held.get(key, ZERO), entry.amount)
        return held

    def outstanding(self, tracked: Tracked) -> dict[str, Decimal]:
        """By sleeve, base units of an order that may still be filled, or have been and their trades have not come."""
        order, amount = tracked.order, abs(tracked.pending)
        known = self._dealt.get(order.id) or _Dealt(order.split or NOBODY)
        return share_out(amount, known.behind(amount), known.lot)

    def aside(self, currency: str, *, removed: bool, fenced: bool) -> Decimal:
        """Units of `unassigned` that are kept: what removed strategies have left to it, and what came from nobody knows where."""
        kept = (self._frozen.get(currency, ZERO) if removed else ZERO) + (self._fenced.get(currency, ZERO) if fenced else ZERO)
        return min(kept, max(ZERO, self.held(UNASSIGNED, currency))) if kept else ZERO

    def apart(self, currency: str, *, removed: bool, fenced: bool) -> tuple[Apart, ...]:
        """Whose that is, the oldest first; what has gone meanwhile is taken off the newest."""
        rest, found = self.aside(currency, removed=removed, fenced=fenced), []
        sources = [*self._left.get(currency, {}).values()] if removed else []
        for source in (*sources, Apart(self._fenced.get(currency, ZERO))):
            amount = min(rest, source.amount)
            rest = EXACT.subtract(rest, amount)
            found += [replace(source, amount=amount)] if amount else []
        return tuple(found)

    def kept(self) -> frozenset[str]:
        """The currencies of which something may be kept, as `aside` tells."""
        return frozenset((*self._frozen, *self._fenced)) if self._frozen or self._fenced else NONE_KEPT

    def left_over(self) -> dict[str, Decimal]:
        """By currency, what the ledger holds and no sleeve does: nothing, or this program is wrong."""
        rest = self._ledger.holdings()
        for (_, currency), amount in self._held.items():
            rest[currency] = EXACT.subtract(rest.get(currency, ZERO), amount)
        return {currency: amount for currency, amount in rest.items() if amount}
