"""Disposals: what each sale, or each close of a swap, has earned over what it was bought for, by first in first out or at the average cost.

Rule: nothing is lost to rounding. The gains, and the cost of what is still held, add up to the money that trades have moved, to the last
digit; what was sold without ever having been bought is named, and so is what came without a price.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from daemon.core.ledger import POSITION, Ledger
from daemon.core.model import EXACT, ZERO, Fill, Flow, currencies, is_swap

# What a part of a lot cost is rounded to; the rest of the lot keeps the rest, so that nothing is lost.
GRAIN: Final = Decimal("1E-12")

Sums = dict[str, Decimal]  # money, by currency; below 0 what was paid


class Method(StrEnum):
    """Which of what is held is sold."""

    FIFO = "fifo"  # what was bought first
    AVERAGE = "average"  # a part of all of it, at what all of it cost in the mean


class Note(StrEnum):
    """What is special about a disposal."""

    NONE = ""
    NEVER_BOUGHT = "never_bought"  # nothing that was bought or came is left to be sold: the whole proceeds count as gain
    NO_COST = "no_cost"  # it came without a trade (opening balance, deposit), at a price that nobody knows: likewise
    WITHDRAWN = "withdrawn"  # it left without a trade: no gain, and its cost has gone with it
    FEE = "fee"  # it paid the fee of a trade, whose cost it has become
    FEE_ONLY = "fee_only"  # a trade that brought nothing, since all of it was its fee
    FUNDING = "funding"  # what the position of a swap has earned or paid, without a trade


@dataclass(frozen=True, slots=True)
class Lot:
    """What is held of one purchase, or at the average cost of all of them: `amount` units, below 0 where a swap is short.

    `cost` is what was paid for it, by currency (below 0: what a short sale brought); `known` is False where nobody knows.
    """

    amount: Decimal
    cost: Mapping[str, Decimal]
    at: datetime
    source: str
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposal:
    """So much of an asset was given away at one time that had been acquired at one time (at the average cost: since `acquired_at`).

    `asset` is a currency, or the symbol of a swap. `amount` units, above 0. `proceeds` and `cost` are by currency, fees counted in both;
    `gain` is their difference. `acquired` and `disposed` name the trade or flow. Of a `short` position, acquired is what closed it.
    """

    asset: str
    amount: Decimal
    acquired_at: datetime | None
    acquired: str
    disposed_at: datetime
    disposed: str
    proceeds: Mapping[str, Decimal]
    cost: Mapping[str, Decimal]
    note: Note = Note.NONE
    short: bool = False

    @property
    def gain(self) -> Mapping[str, Decimal]:
        """What it earned, by currency; nothing where it was withdrawn or paid a fee."""
        return {} if self.note in (Note.WITHDRAWN, Note.FEE) else added(self.proceeds, self.cost, -1)

    @property
    def realised_at(self) -> datetime:
        """When it was certain: at the close of a short position, else when it was given away."""
        return self.acquired_at if self.short and self.acquired_at is not None else self.disposed_at


class Disposals:
    """The fold of trades and flows. `book` and `flow` want each of them once, in order; `rows` and `lots` tell what came of it.

    `money` pays for others, and has no lots itself; `swaps` are symbols of swaps by their base.
    """

    def __init__(self, method: Method, money: Collection[str], swaps: Mapping[str, str]) -> None:
        self._method = method
        self._money = frozenset(money)
        self._swaps = swaps
        self._lots: dict[str, deque[Lot]] = {}  # oldest first; all long, or of a swap all short
        self.rows: list[Disposal] = []

    def lots(self) -> dict[str, tuple[Lot, ...]]:
        """What is still held, by asset."""
        return {asset: tuple(lots) for asset, lots in sorted(self._lots.items()) if lots}

    def realised(self) -> Sums:
        """The gains of all disposals, by currency."""
        return sum_of(row.gain for row in self.rows)

    def book(self, fill: Fill) -> None:
        """A trade: what it brought becomes a lot, what it took is disposed of; its fees count in what was paid or got."""
        base, quote = currencies(fill.symbol)
        asset = fill.symbol if is_swap(fill.symbol) else base
        units = fill.side.sign * fill.amount
        money: Sums = {quote: -fill.side.sign * fill.cost}
        source = f"{fill.symbol} {fill.trade_id}"
        for fee in fill.fees:
            if fee.currency == asset:
                units = EXACT.subtract(units, fee.amount)
            elif fee.currency in self._money:
                money = added(money, {fee.currency: fee.amount}, -1)
            else:
                money = added(money, self._fee(fee.currency, fee.amount, fill.at, source), -1)
        if units > 0:
            self._bring(asset, units, money, fill.at, source)
        elif units < 0:
            self._take(asset, -units, money, fill.at, source)
        else:  # the whole of it was its fee
            self._row(asset, Lot(ZERO, {}, fill.at, ""), fill.at, source, money, Note.FEE_ONLY)

    def flow(self, flow: Flow) -> None:
        """What came or went without a trade. Money is no gain, but for what a swap's position has earned."""
        if flow.kind == POSITION:
            self._price(flow.symbol, {flow.currency: -flow.amount})
        elif flow.symbol:
            self._row(flow.symbol, Lot(ZERO, {}, flow.at, ""), flow.at, flow.id, {flow.currency: flow.amount}, Note.FUNDING)
        elif flow.currency not in self._money and flow.amount:
            self._moved(self._swaps.get(flow.currency, flow.currency), flow.amount, flow.at, f"{flow.kind} {flow.id}")

    def _moved(self, asset: str, amount: Decimal, at: datetime, source: str) -> None:
        """Units came or went without a trade: what is held (of a swap, short) of the other sign goes first, with its cost."""
        rest = abs(amount)
        for lot in self._consume(asset, rest, short=amount > 0):
            rest = EXACT.subtract(rest, abs(lot.amount))
            self._row(asset, lot, at, source, {}, Note.WITHDRAWN)
        if rest and (amount > 0 or is_swap(asset)):
            self._add(asset, Lot(rest.copy_sign(amount), {}, at, source, known=False))
        elif rest:
            self._row(asset, Lot(rest, {}, at, ""), at, source, {}, Note.NEVER_BOUGHT)

    # --- what is held ------------------------------------------------------------------------------------------------

    def _bring(self, asset: str, units: Decimal, money: Sums, at: datetime, source: str) -> None:
        """Units that a trade has brought: they close a short position, and beyond that they are held."""
        closed = list(self._consume(asset, units, short=True))
        paid = _negated(money)
        for lot, cost in zip(closed, _shared(paid, [abs(lot.amount) for lot in closed], units), strict=True):
            self._close(asset, lot, at, source, cost)
            paid = added(paid, cost, -1)
        if rest := EXACT.add(units, total(lot.amount for lot in closed)):
            self._add(asset, Lot(rest, paid, at, source))

    def _close(self, asset: str, lot: Lot, at: datetime, source: str, cost: Mapping[str, Decimal]) -> None:
        """A part of a short position that was bought back at `cost`."""
        row = Disposal(
            asset=asset,
            amount=abs(lot.amount),
            acquired_at=at,
            acquired=source,
            disposed_at=lot.at,
            disposed=lot.source,
            proceeds=_negated(lot.cost),
            cost=cost,
            note=Note.NONE if lot.known else Note.NO_COST,
            short=True,
        )
        self.rows.append(row)

    def _take(self, asset: str, units: Decimal, money: Sums, at: datetime, source: str) -> None:
        """Units that a trade has taken: they are disposed of, and beyond what is held a swap is short."""
        taken = list(self._consume(asset, units))
        rest = EXACT.subtract(units, total(lot.amount for lot in taken))
        for lot, proceeds in zip(taken, _shared(money, [lot.amount for lot in taken], units), strict=True):
            self._row(asset, lot, at, source, proceeds, Note.NONE if lot.known else Note.NO_COST)
            money = added(money, proceeds, -1)
        if rest and is_swap(asset):
            self._add(asset, Lot(-rest, _negated(money), at, source))
        elif rest:
            self._row(asset, Lot(rest, {}, at, ""), at, source, money, Note.NEVER_BOUGHT)

    def _fee(self, asset: str, amount: Decimal, at: datetime, source: str) -> Sums:
        """What a fee in a third asset has cost: what that was bought for; units of itself as far as it never was."""
        if amount < 0:  # a rebate
            self._add(asset, Lot(-amount, {}, at, source))
            return {}
        cost: Sums = {}
        rest = amount
        for lot in self._consume(asset, amount):
            rest = EXACT.subtract(rest, lot.amount)
            self._row(asset, lot, at, source, lot.cost, Note.FEE)
            cost = added(cost, lot.cost)
        return added(cost, {asset: rest}) if rest else cost

    def _row(self, asset: str, lot: Lot, at: datetime, source: str, proceeds: Mapping[str, Decimal], note: Note) -> None:
        self.rows.append(
            Disposal(
                asset=asset,
                amount=abs(lot.amount),
                acquired_at=lot.at if lot.source else None,
                acquired=lot.source,
                disposed_at=at,
                disposed=source,
                proceeds=proceeds,
                cost=lot.cost,
                note=note,
            )
        )

    def _add(self, asset: str, lot: Lot) -> None:
        """Hold a lot; at the average cost it becomes one with what is held."""
        lots = self._lots.setdefault(asset, deque())
        if self._method is Method.AVERAGE and lots:
            held = lots.pop()
            known = held.known and lot.known
            lot = Lot(EXACT.add(held.amount, lot.amount), added(held.cost, lot.cost), held.at, held.source, known)
        lots.append(lot)

    def _consume(self, asset: str, units: Decimal, *, short: bool = False) -> Iterable[Lot]:
        """Take up to so many units out of what is held, oldest first, each part with its part of the cost."""
        lots = self._lots.setdefault(asset, deque())
        while units > 0 and lots and (lots[0].amount < 0) is short:
            lot = lots.popleft()
            size = abs(lot.amount)
            if size > units:
                (cost,) = _shared(lot.cost, [units], size)
                part = replace(lot, amount=units.copy_sign(lot.amount), cost=cost)
                lots.appendleft(replace(lot, amount=EXACT.subtract(lot.amount, part.amount), cost=added(lot.cost, cost, -1)))
                lot, size = part, units
            units = EXACT.subtract(units, size)
            yield lot

    def _price(self, asset: str, cost: Mapping[str, Decimal]) -> None:
        """Say what the newest of what came was opened for."""
        lots = self._lots.setdefault(asset, deque())
        if lots:
            lot = lots.pop()
            lots.append(replace(lot, cost=added(lot.cost, cost), known=True))


def disposals(
    fills: Iterable[Fill], flows: Iterable[Flow], method: Method, *money: str, ours: Callable[[Fill], bool] = lambda _: False
) -> Disposals:
    """The fold of all that a journal has, in the order in which it happened. `money` pays for others, beside the quotes of the trades.

    A trade or flow counts as in the ledger: once, and not if the opening balance has it already. `ours`: does the journal know its order?
    """
    ledger = Ledger()
    counted: list[tuple[datetime, int, Fill | Flow]] = [(flow.at, 0, flow) for flow in flows if ledger.flow(flow)]
    counted += [(fill.at, 1, fill) for fill in fills if ledger.book(fill, ours=ours(fill))]
    symbols = {what.symbol for _, _, what in counted if what.symbol}
    swaps = {currencies(symbol)[0]: symbol for symbol in sorted(symbols) if is_swap(symbol)}
    made = Disposals(method, {*money, *(currencies(symbol)[1] for symbol in symbols)}, swaps)
    for _, _, what in sorted(counted, key=lambda each: each[:2]):  # stable: what happened at one time stays as it was written
        if isinstance(what, Fill):
            made.book(what)
        else:
            made.flow(what)
    return made


# --- money by currency -----------------------------------------------------------------------------------------------


def added(one: Mapping[str, Decimal], other: Mapping[str, Decimal], times: int = 1) -> Sums:
    """The sum, or with -1 the difference, by currency, without what is 0."""
    found = dict(one)
    for currency, amount in other.items():
        found[currency] = EXACT.fma(amount, Decimal(times), found.get(currency, ZERO))
    return {currency: amount for currency, amount in found.items() if amount}


def _negated(money: Mapping[str, Decimal]) -> Sums:
    return added({}, money, -1)


def sum_of(many: Iterable[Mapping[str, Decimal]]) -> Sums:
    """All of them together, by currency."""
    found: Sums = {}
    for each in many:
        found = added(found, each)
    return found


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Their exact sum."""
    found = ZERO
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def _shared(money: Mapping[str, Decimal], parts: list[Decimal], whole: Decimal) -> list[Sums]:
    """What of `money` belongs to each of these parts of `whole`, in grains; where they are all of it, the last one has what is left."""
    found: list[Sums] = []
    left, rest = dict(money), whole
    for part in parts:
        rest = EXACT.subtract(rest, part)
        if rest:
            share = {c: EXACT.divide(EXACT.multiply(amount, part), whole).quantize(GRAIN, context=EXACT) for c, amount in money.items()}
        else:
            share = left
        found.append({currency: amount for currency, amount in share.items() if amount})
        left = added(left, share, -1)
    return found
