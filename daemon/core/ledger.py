"""Ledger: what the account should hold, folded from every fill and flow that the journal has.

Rule: each trade and each flow counts once, whatever was doubled, replayed or reordered on the way; nothing else moves a holding.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from daemon.core.apportion import signed
from daemon.core.model import EXACT, ZERO, Fill, Flow, currencies, is_swap

# The kind of flow that a first start books for what the account holds already.
OPENING: Final = "opening"

# The kind of flow that books coins which came without a trade or a transfer, and are kept apart.
RINGFENCED: Final = "ringfenced"

# The kinds of flow that a position of a swap makes: what longs and shorts pay each other, and what a liquidation costs beside the loss.
FUNDING: Final = "funding"
# And the one that says what a position was opened for that came as a flow, and not by trades: it moves no wallet.
POSITION: Final = "position"
LIQUIDATION: Final = "liquidation"

# The smallest unit in which venues book the profit of a swap.
GRAIN: Final = Decimal("1E-8")

# Former holdings that are remembered by currency. A venue's balances lag by minutes at worst, and a minute has few trades in one currency.
FORMER_KEPT: Final = 64


def positions_of(symbols: Iterable[str], opened_for: Mapping[str, Decimal], before: Flow) -> Iterable[Flow]:
    """The flows that say what positions were opened for that come with other flows: by base, in quote, as of the one `before` them."""
    for symbol in symbols:
        base, quote = currencies(symbol)
        if cost := opened_for.get(base, ZERO):
            yield Flow(f"{before.id}-{POSITION}-{symbol}", quote, -cost, POSITION, before.at, symbol)


class Ledger:
    """Holdings by currency, in Decimal. Currencies outside the universe (say, a third coin that fees are paid in) may go below 0.

    A swap is booked like spot that may go below 0: what is bought is paid for, what is sold short brings money. `opened_for` is what the
    position of a swap was opened for (quote, signed like the position); with it a holding of money becomes the venue's `wallet`, which
    pays for nothing and knows realised profits alone.
    """

    def __init__(self) -> None:
        self.moves = 0  # how often a holding has changed
        self._held: dict[str, Decimal] = {}
        self._former: dict[str, deque[tuple[datetime, Decimal]]] = {}
        self._opened_for: dict[str, Decimal] = {}
        self._opened_in: dict[str, Decimal] = {}  # the same by quote currency
        self._opened_at: datetime | None = None
        self._trades: set[tuple[str, str]] = set()
        self._flows: set[str] = set()

    @property
    def units(self) -> Mapping[str, Decimal]:
        """Units by currency, as `held` tells of one; some may be 0. It changes as the ledger moves."""
        return self._held

    @property
    def opened(self) -> bool:
        """Whether an opening balance has been booked: before that the ledger knows nothing of the account."""
        return self._opened_at is not None

    @property
    def flows(self) -> int:
        """How many flows have been booked."""
        return len(self._flows)

    def held(self, currency: str) -> Decimal:
        """Units of `currency` that the account should hold, free or locked."""
        return self._held.get(currency, ZERO)

    def opened_for(self, symbol: str) -> Decimal:
        """What the position of a swap was opened for, in quote, below 0 where it is short."""
        return self._opened_for.get(symbol, ZERO)

    def wallet(self, currency: str) -> Decimal:
        """Units of `currency` that the account should show: what is held, and of swaps what their positions were opened for."""
        held, opened = self._held.get(currency, ZERO), self._opened_in.get(currency)
        return held if opened is None else EXACT.add(held, opened)

    def positions(self) -> dict[str, tuple[Decimal, Decimal]]:
        """The positions of swaps that are not 0, by symbol: base units, and what they were opened for."""
        found = {symbol: (self.held(currencies(symbol)[0]), cost) for symbol, cost in sorted(self._opened_for.items())}
        return {symbol: position for symbol, position in found.items() if position[0]}

    def held_until(self, currency: str, amount: Decimal) -> datetime | None:
        """When its `wallet` last ceased to be exactly so much of `currency`; None: not lately, or it is so now."""
        former = self._former.get(currency, ())
        return next((until for until, held in reversed(former) if held == amount), None) if self.wallet(currency) != amount else None

    def holdings(self) -> dict[str, Decimal]:
        """All holdings that are not 0, by currency."""
        return {c: amount for c, amount in sorted(self._held.items()) if amount}

    def has_trade(self, symbol: str, trade_id: str) -> bool:
        """Whether this trade has been booked."""
        return (symbol, trade_id) in self._trades

    def has_flow(self, flow: Flow) -> bool:
        """Whether this flow has been booked, or is from before the opening balance, and in that already."""
        return flow.id in self._flows or self._opened_at is None or flow.at <= self._opened_at

    def book(self, fill: Fill, *, ours: bool = False) -> bool:
        """Move base and quote by a trade, and whatever its fees were paid in. Whether it counted: it was not known.

        A trade from before the opening balance is in that balance already, whatever the name of its order: an earlier journal of ours may
        be lost. Only one of `ours`, of an order that the journal knows, cannot be; the exchange's clock is behind then.
        """
        key = (fill.symbol, fill.trade_id)
        before = self._opened_at is None or fill.at <= self._opened_at
        if key in self._trades or (before and not ours):
            return False
        self._trades.add(key)
        base, quote = currencies(fill.symbol)
        moved = {base: signed(fill.side.sign, fill.amount), quote: signed(-fill.side.sign, fill.cost)}
        for fee in fill.fees:
            moved[fee.currency] = EXACT.subtract(moved.get(fee.currency, ZERO), fee.amount)
        held, former = self._held, self._former
        for currency in moved:
            if currency not in former:
                former[currency] = deque(maxlen=FORMER_KEPT)
            former[currency].append((fill.at, self.wallet(currency) if self._opened_in else held.get(currency, ZERO)))
        if is_swap(fill.symbol):
            self._open(fill, quote)
        for currency, amount in moved.items():
            held[currency] = EXACT.add(held.get(currency, ZERO), amount)
        self.moves += 1
        return True

    def move(self, moved: Mapping[str, Decimal], at: datetime) -> None:
        """Move currencies by what trades of ours, not of swaps, have moved together at one moment; nobody tells of them a second time."""
        held, former = self._held, self._former
        for currency, amount in moved.items():
            before = held.get(currency, ZERO)
            if currency not in former:
                former[currency] = deque(maxlen=FORMER_KEPT)
            former[currency].append((at, before))
            held[currency] = EXACT.add(before, amount)
        self.moves += 1

    def _open(self, fill: Fill, quote: str) -> None:
        """What a trade of a swap opens costs its price; what it closes leaves at the mean price, or by the profit that the venue tells."""
        cost, held = self.opened_for(fill.symbol), self.held(currencies(fill.symbol)[0])
        realised = fill.realised
        if realised is None:
            closed = min(fill.amount, abs(held)) if held * fill.side.sign < 0 else ZERO
            part = cost if closed == abs(held) else EXACT.divide(EXACT.multiply(cost, closed), abs(held)).quantize(GRAIN, context=EXACT)
            price = EXACT.divide(fill.cost, fill.amount)
            realised = (-fill.side.sign * closed * price - part).quantize(GRAIN, context=EXACT) if closed else ZERO
        self._shift(fill.symbol, quote, EXACT.fma(Decimal(fill.side.sign), fill.cost, realised))

    def _shift(self, symbol: str, quote: str, cost: Decimal) -> None:
        """What a position was opened for is so much more."""
        self._opened_for[symbol] = EXACT.add(self.opened_for(symbol), cost)
        self._opened_in[quote] = EXACT.add(self._opened_in.get(quote, ZERO), cost)

    def flow(self, flow: Flow) -> bool:
        """Move a currency by a flow. Whether it counted: it was not known."""
        if flow.id in self._flows:
            return False
        self._flows.add(flow.id)
        if flow.kind == OPENING:  # what the account held before, nobody knows: not nothing
            self._opened_at = self._opened_at or flow.at
        else:
            self._former.setdefault(flow.currency, deque(maxlen=FORMER_KEPT)).append((flow.at, self.wallet(flow.currency)))
        if flow.kind == POSITION:
            self._shift(flow.symbol, flow.currency, -flow.amount)
        self._held[flow.currency] = EXACT.add(self.held(flow.currency), flow.amount)
        self.moves += 1
        return True
