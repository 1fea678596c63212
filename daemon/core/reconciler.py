"""PositionReconciler: keeps ledger and account in agreement, and tells fills, flows and drift apart.

Rule: equality is agreement at any time; a difference counts only on a quiet account, and only after the venue's trades were read and did
not explain it. Absence is not zero, and nothing is concluded on the evidence of one poll, the opening balance included.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from daemon.core.events import (
    AccountPolled,
    AccountReconciled,
    BalanceMoved,
    BookFlows,
    CancelOrder,
    DriftCleared,
    DriftFound,
    Event,
    FlowBooked,
    ForeignOrdersSeen,
    HoldLifted,
    HoldPlaced,
    OrderFilled,
    OrderRecalled,
    OrderReported,
    PollAccount,
    QueryTrades,
    TimePassed,
    TradesListed,
)
from daemon.core.ledger import OPENING, RINGFENCED, Ledger, positions_of
from daemon.core.memory import FORGOT, Memory
from daemon.core.model import EXACT, ZERO, AccountSnapshot, Fill, Flow, OrderReport, Side, currencies, is_swap
from daemon.core.ordertable import OrderTable
from daemon.core.states import Hold, Level
from daemon.core.suspicion import Calm, Opening, Suspicion
from daemon.core.twins import Twins

# Why trading is halted where nothing is left of what the journal knows.
EMPTIED: Final = "account_emptied"


# Why trading is halted where a person wants to hear of everything that is not ours: a difference, and orders of other hands.
UNEXPLAINED: Final = "unexplained_drift"
OTHERS: Final = "foreign_orders"

# After so many polls in a row that differed on an account that never was quiet, the venue is asked whether it still knows us.
UNQUIET: Final = 10


class Foreign(StrEnum):
    """What becomes of a difference that stands and nothing explains. Whatever is missing is booked as gone, unless that halts.

    ADOPT: what has come is a flow, to be traded. RINGFENCE: coins are counted and kept apart, money is a flow. HALT: trading halts, also
    where somebody else's orders stand in the account; a person's `resume` accepts what there is.
    """

    ADOPT = "adopt"
    RINGFENCE = "ringfence"
    HALT = "halt"


class PositionReconciler:
    """Compares polled balances with the ledger, for the currencies that the universe manages; all others are ring-fenced.

    `ours` is how the ids of our own orders begin; one that stands open and is unknown is cancelled, those of others are not touched.
    `ringfenced`: what the account holds of the others, free or not, as the last poll that was believed saw it. It is in no ledger, no
    equity and no plan.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        ledger: Ledger,
        table: OrderTable,
        calm: Calm | None = None,
        ours: str = "",
        foreign: Foreign = Foreign.RINGFENCE,
    ) -> None:
        self._policy = foreign
        self._accepted = False
        self.ours = ours
        self._symbols = tuple(symbols)
        self._managed = frozenset(c for s in self._symbols for c in currencies(s))
        self._quotes = frozenset(currencies(s)[1] for s in self._symbols)
        self._ledger = ledger
        self._table = table
        self._calm = calm or Calm()
        self._last_fill: datetime | None = None
        self._agreed_at: datetime | None = None
        self._poll_at: datetime | None = None
        self._unsure = 0
        self._empty_since: datetime | None = None
        self._opening: Opening | None = None
        self._halted = frozenset[str]()
        self._memory = Memory(self._calm.lag, self._calm.again)
        self.twins = Twins(self._symbols, table, ours)
        self._foreign: dict[str, int] = {}
        self._suspicions: dict[str, Suspicion] = {}
        self.last_reconciled: datetime | None = None
        self.differences: Mapping[str, Decimal] = {}
        self.ringfenced: Mapping[str, Decimal] = {}

    def since(self, moment: datetime | None, last: Fill | None = None) -> None:
        """After a restart: the last trade or flow that is known. The account agreed no later, and balances may lag behind it still.

        `last`: the newest trade of an order of ours, with that order's id.
        """
        self._agreed_at = self._last_fill = moment
        if last is not None:
            self._memory.traded(last)

    def on_fill(self, event: OrderFilled) -> Iterable[Event]:
        """Balances polled right after a trade may not show it yet."""
        self._last_fill = event.at
        mine = self._table.get(event.fill.order_id, event.fill.symbol, event.fill.venue_id)
        if mine is not None:
            named = event.fill.order_id == mine.order.id
            self._memory.traded(event.fill if named else replace(event.fill, order_id=mine.order.id))
        return ()

    def on_reported(self, event: OrderReported) -> Iterable[Event]:
        """An order of another instance means that we are not alone; asked before the order table takes it in."""
        return self.twins.judge((event.report,), event.at)

    def on_recalled(self, event: OrderRecalled) -> Iterable[Event]:
        """A venue that has forgotten our orders was reset: nothing is concluded from what its account holds."""
        if self._memory.recalled(event):
            text = (
                f"the exchange knows nothing of our orders any more ({event.order_id} was the last that traded): it was reset, as testnets "
                "are; stop, and let `rebalanced journal rebase` accept the account as it is"
            )
            yield from self._halt(FORGOT, text, event.at)

    def on_lifted(self, event: HoldLifted) -> Iterable[Event]:
        """A person has resumed; if the cause is still there, it is told again, or taken for accepted where that is what was asked."""
        self.twins.on_lifted(event)
        self._halted -= {event.code}
        self._accepted |= event.code == UNEXPLAINED
        return ()

    def _halt(self, code: str, text: str, at: datetime) -> Iterable[Event]:
        if code not in self._halted:
            self._halted |= {code}
            yield HoldPlaced(Hold(level=Level.HALTED, code=code, text=text, since=at), at)

    def on_moved(self, event: BalanceMoved) -> Iterable[Event]:
        """The venue itself says that money came or went: a flow. Before the opening balance is booked, it is part of that."""
        if self._ledger.opened and event.currency in self._managed and event.amount:
            yield BookFlows((Flow(f"{event.currency}-{event.id}", event.currency, event.amount, "transfer", event.at),), event.at)

    def on_flow(self, event: FlowBooked) -> Iterable[Event]:
        """Once the opening balance is booked, it agrees with the poll that has confirmed it: there is nothing to read again."""
        confirmed = None if self._opening is None else self._opening.confirmed
        if confirmed is not None and event.flow.kind == OPENING and not self._compare(confirmed):
            self._opening = self._poll_at = None
            yield from self._reconciled(confirmed, {}, event.at)

    def on_time(self, event: TimePassed) -> Iterable[Event]:
        """A suspicion is looked at again soon, not at the next turn of the poller."""
        if self._poll_at is not None and event.at >= self._poll_at:
            self._poll_at = None
            yield PollAccount(event.at)

    @property
    def rests(self) -> bool:
        """Whether it waits for no moment of its own to look at the account, and finds no difference."""
        return self._poll_at is None and not self.differences

    def on_listed(self, event: TradesListed) -> Iterable[Event]:
        """Trades were read: what is still different then, no trade explains."""
        for suspicion in self._suspicions.values():
            if suspicion.asked and suspicion.asked <= frozenset(event.symbols):
                suspicion.read_at = event.at
        return ()

    def on_polled(self, event: AccountPolled) -> Iterable[Event]:
        """Compare; then conclude nothing, agreement, or one step further on the way from difference to trade, flow or drift."""
        snapshot = event.snapshot
        yield from self._foreign_orders(snapshot, event.at)
        if self._emptied(snapshot):
            yield from self._doubt_emptiness(snapshot, event.at)
            return
        self.ringfenced = {c: b.total for c, b in sorted(snapshot.balances.items()) if c not in self._managed and b.total}
        if not self._ledger.opened:
            yield from self._open(snapshot, event.at)
            return
        self._empty_since = None
        yield from self._reconciled(snapshot, self._compare(snapshot), event.at)

    def _reconciled(self, snapshot: AccountSnapshot, differences: dict[str, Decimal], at: datetime) -> Iterable[Event]:
        quiet = self._quiet(snapshot)
        locked = {c: b.locked for c, b in snapshot.balances.items() if b.locked > 0}
        held = frozenset(c for c, amount in differences.items() if self._held_up(c, amount))
        yield AccountReconciled(differences, snapshot.asked_at, at, quiet=quiet, locked=locked, held=held)
        for currency in [c for c in self._suspicions if c not in differences]:
            if self._suspicions.pop(currency).found:
                yield DriftCleared(currency, at)
        if differences:
            self._poll_at = self._next_look(at)
            self._unsure += 1
        else:
            self._agreed_at, self._unsure, self._accepted = snapshot.asked_at, 0, False
        if quiet or not differences:
            self.last_reconciled, self.differences = at, differences
            for currency, amount in differences.items():
                yield from self._suspect(currency, amount, snapshot, at)
        elif self._unsure > UNQUIET:
            yield from self._memory.ask(at)

    def _foreign_orders(self, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """Tell of the open orders that are not ours, once, and again when they have changed."""
        others = [r for r in snapshot.open_orders if self._table.get(r.order_id, r.symbol, r.venue_id) is None]
        seen = dict(sorted(Counter(r.symbol for r in others).items()))
        if seen != self._foreign:
            self._foreign = seen
            yield ForeignOrdersSeen(seen, at)
            if seen and self._policy is Foreign.HALT:
                text = f"orders of other hands stand in {', '.join(seen)} (reconcile.foreign: halt); `rebalanced resume` accepts them"
                yield from self._halt(OTHERS, text, at)
        yield from self.twins.judge(snapshot.open_orders, at)
        # Ours by its id, and no intent wants it: it would fill hours later, against whatever is wanted then.
        lost = [r for r in others if self.ours and r.order_id.startswith(self.ours) and not self.twins.is_theirs(r)]
        yield from (CancelOrder(r.order_id, r.symbol, r.at, at) for r in lost)

    def _next_look(self, at: datetime) -> datetime:
        """When a difference is looked at again: at growing intervals, but as soon as an account that orders have kept busy may be quiet.

        Polls that orders bring about would otherwise put off for ever the one that finds it quiet.
        """
        grown = at + min(self._calm.again * 1.2 ** min(self._unsure, 20), self._calm.again_max)
        quiet_at = [moment + self._calm.quiet for moment in (self._last_fill, self._table.moved_at) if moment is not None]
        return min([grown, *(moment for moment in quiet_at if moment > at)])

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _compare(self, snapshot: AccountSnapshot) -> dict[str, Decimal]:
        """Account minus ledger, by managed currency, where it is not 0."""
        held = {c: b.total for c, b in snapshot.balances.items()}
        found = [
            (c, EXACT.subtract(held.get(c, ZERO), self._ledger.wallet(c)))
            for c in sorted(held.keys() & self._managed | self._ledger.units.keys() & self._managed)
        ]
        return {c: d for c, d in found if d}

    def _emptied(self, snapshot: AccountSnapshot) -> bool:
        """Whether nothing is there of all that the ledger holds: more likely a wrong answer, or another account, than the truth."""
        there = any(balance.total for c, balance in snapshot.balances.items() if c in self._managed)
        return not there and any(self._ledger.wallet(c) for c in self._managed)

    def _doubt_emptiness(self, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """Conclude nothing; if it stays so, a person must look, since nothing can be traded and nothing should be booked."""
        if self._empty_since is None and is_swap(self._symbols[0]):  # a liquidation may have taken everything
            yield QueryTrades(self._symbols, (self._agreed_at or snapshot.at) - self._calm.overlap, at)
        since = self._empty_since = self._empty_since or snapshot.at
        self._poll_at = at + self._calm.again
        if snapshot.asked_at - since >= self._calm.lag:
            text = (
                "the account holds nothing of what the journal knows of: it was emptied, reset, or is another account; "
                "stop, and let `rebalanced journal rebase` accept it as it is"
            )
            yield from self._halt(EMPTIED, text, at)

    def _quiet(self, snapshot: AccountSnapshot) -> bool:
        """Whether nothing of ours was moving while the account was read; an order that look-ups do not find is not moving."""
        if any(len(t.absences) < self._calm.lookups for t in self._table):
            return False
        moved = [moment for moment in (self._last_fill, self._table.moved_at) if moment is not None]
        return all(snapshot.asked_at - moment >= self._calm.quiet for moment in moved)

    # --- from difference to explanation ------------------------------------------------------------------------------

    def _suspect(self, currency: str, amount: Decimal, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """First sight: read the trades. Still there after that: drift. Still there, unchanged, after reading them again: a flow."""
        known = self._suspicions.get(currency)
        if known is None or known.amount != amount:
            self._suspicions[currency] = Suspicion(currency, amount, snapshot.at, found=known.found if known else False)
            yield from self._read_trades(self._suspicions[currency], at)
            return
        if known.read_at is None:
            yield from self._read_trades(known, at)
            return
        if snapshot.asked_at <= known.read_at or not self._believable(known, snapshot):
            return  # this poll began before the trades were read, or shows an old balance: it says nothing yet
        if not known.found:
            known.found = True
            yield DriftFound(currency, amount, at, self._in_doubt(currency))
            yield from self._memory.ask(at)
        elif not self._memory.vouches(known.since):
            yield from self._memory.ask(at)
        elif snapshot.asked_at - known.since >= self._stands(known) and not self._in_doubt(currency) and not self._old(known, snapshot):
            yield from self._accept(known, snapshot, at)
            return
        yield from self._read_trades(known, at)

    def _accept(self, known: Suspicion, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """What stands and nothing explains is taken for true, as the policy says."""
        self._poll_at = at + self._calm.again
        if self._policy is Foreign.HALT and not self._accepted:
            moved = f"{abs(known.amount)} {known.currency} {'more' if known.amount > 0 else 'less'}"
            text = f"the account holds {moved} than trades and transfers explain (reconcile.foreign: halt); `rebalanced resume` accepts it"
            yield from self._halt(UNEXPLAINED, text, at)
            return
        self._unsure = 0
        fenced = self._policy is Foreign.RINGFENCE and known.amount > 0 and known.currency not in self._quotes
        fenced &= self._ledger.wallet(known.currency) >= 0  # what makes a short smaller cannot be kept apart from it
        kind = RINGFENCED if fenced else "unexplained"
        flow = Flow(_flow_id(known.currency, known.amount, known.since), known.currency, known.amount, kind, at)
        costs: dict[str, Decimal] = {}
        swaps = [s for s in self._symbols if is_swap(s) and currencies(s)[0] == known.currency]
        for symbol in swaps:  # a position that nobody traded here was opened for what the venue says, whatever that was
            shown = snapshot.balances.get(known.currency)
            costs[known.currency] = (ZERO if shown is None else shown.opened_for) - self._ledger.opened_for(symbol)
        yield BookFlows((flow, *positions_of(swaps, costs, flow)), at)

    def _believable(self, suspicion: Suspicion, snapshot: AccountSnapshot) -> bool:
        """Whether a balance that lags behind our own trades cannot be what is seen."""
        lag = self._calm.lag
        return self._last_fill is None or snapshot.asked_at - self._last_fill >= lag or snapshot.asked_at - suspicion.since >= lag

    def _old(self, suspicion: Suspicion, snapshot: AccountSnapshot) -> bool:
        """Whether what is seen is, to the last digit, what was held a while ago: the venue has not caught up with our own trades.

        Booked as a flow it would be made up for by trading, and what was bought would be bought twice.
        """
        until = self._ledger.held_until(suspicion.currency, self._ledger.wallet(suspicion.currency) + suspicion.amount)
        return until is not None and snapshot.asked_at - until < self._calm.stale

    def _stands(self, known: Suspicion) -> timedelta:
        """How long a difference must stand unchanged before it is booked: longer where an order in doubt might yet explain it.

        So it is where all that was held of a currency is gone: some answers in a row may have left it out. Of swaps all is listed, but by
        REST alone: what moves a wallet, funding above all, and the trades that move a position, which are the exchange's own in a
        liquidation. A listing that lags is waited for.
        """
        if is_swap(self._symbols[0]):
            return self._calm.stale
        gone = known.amount == -self._ledger.wallet(known.currency)
        touched = any(known.currency in currencies(t.order.symbol) for t in self._table)
        return max(self._calm.flow, self._calm.lag) if gone or touched else self._calm.flow

    def _in_doubt(self, currency: str) -> str:
        """The id of an order in doubt that may be behind a difference: it would have moved its base the right way, and its quote as well.

        Both together, since a trade that changes one of them alone does not exist. Such a difference is not booked, however long it stands.
        """
        for tracked in self._table:
            base, quote = currencies(tracked.order.symbol)
            moved = tracked.order.side.sign * self.differences.get(base, ZERO) > 0
            moved = moved and (quote in self.differences or is_swap(tracked.order.symbol))
            if moved and currency in (base, quote):
                return tracked.order.id
        return ""

    def _held_up(self, currency: str, amount: Decimal) -> bool:
        """Whether a difference has run its course but for an order in doubt, which a person may have to end."""
        known = self._suspicions.get(currency)
        return known is not None and known.found and known.amount == amount and bool(self._in_doubt(currency))

    def _read_trades(self, suspicion: Suspicion, at: datetime) -> Iterable[Event]:
        """Ask for the trades that could explain a difference; where none can, that is known at once."""
        symbols = self._concerned(suspicion.currency)
        suspicion.asked, suspicion.read_at = frozenset(symbols), None
        if symbols:
            yield QueryTrades(symbols, (self._agreed_at or suspicion.since) - self._calm.overlap, at)
        else:
            suspicion.read_at = at

    def _concerned(self, currency: str) -> tuple[str, ...]:
        """The symbols whose trades move this currency. For the quote those are all; only symbols whose base differs too can explain it."""
        mine = tuple(s for s in self._symbols if currencies(s)[0] == currency)
        differing = tuple(s for s in self._symbols if currencies(s)[0] in self.differences)
        if not mine and is_swap(self._symbols[0]):  # what moves a wallet beside trades is told with the trades of any symbol
            return differing or tuple(s for s in self._symbols if self._ledger.opened_for(s)) or self._symbols[:1]
        return mine or differing

    def _open(self, snapshot: AccountSnapshot, at: datetime) -> Iterable[Event]:
        """A first start: what the account holds of the managed currencies is its opening balance, not a profit.

        It is booked once it has stood for a while. An account is not taken for empty, nor, longer still, what a poll has shown for gone
        because the next ones leave it out: an answer that is partial opens nothing. An open order shows what it has locked.
        """
        if any(True for _ in self._table):
            return
        self._poll_at = at
        held = {c: b.total for c, b in snapshot.balances.items() if c in self._managed and b.total}
        known, locked = self._opening, _locked(snapshot.open_orders) & self._managed
        if known is None or known.held != held:
            self._opening = Opening(held, snapshot.at, (known.ever if known else frozenset()) | held.keys() | locked)
            return
        known.ever |= locked
        usual = self._calm.opens if held else self._calm.lag
        if snapshot.asked_at - known.since < (usual if known.ever <= held.keys() else self._calm.stale):
            return
        known.confirmed = snapshot
        # An account that holds nothing is opened all the same, by one flow of nothing.
        found = sorted(held) or sorted(self._managed)[:1]
        opening = [Flow(f"{OPENING}-{c}", c, held.get(c, ZERO), OPENING, snapshot.asked_at) for c in found]
        costs = {c: balance.opened_for for c, balance in snapshot.balances.items()}
        yield BookFlows((*opening, *positions_of(filter(is_swap, self._symbols), costs, opening[0])), at)


def _locked(open_orders: Iterable[OrderReport]) -> frozenset[str]:
    """The currencies that these orders have locked some of, whatever the balances say."""
    sides = ((currencies(each.symbol), each.side is Side.SELL and not is_swap(each.symbol)) for each in open_orders)
    return frozenset(base if sells else quote for (base, quote), sells in sides)


def _flow_id(currency: str, amount: Decimal, since: datetime) -> str:
    """Derived from what was seen, so that the same correction is not booked twice."""
    return f"unexplained-{currency}-{hashlib.blake2b(f'{currency}|{amount}|{since.isoformat()}'.encode(), digest_size=8).hexdigest()}"
