"""Account: what we hold, what it is worth, and what of it may be spent.

Rule: equity is marked, cash is what nobody has reserved; a difference that nobody explains is never spent.
"""

from collections.abc import Callable, Collection, Iterable, KeysView, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite

from daemon.core.capital import Capital
from daemon.core.events import (
    AccountPolled,
    Awoken,
    DriftCleared,
    DriftFound,
    Event,
    FundingTold,
    MarketsListed,
    MarkTicked,
    PriceTicked,
    SliceClosed,
)
from daemon.core.funding import FundingRate
from daemon.core.lastprices import LastPrices, Mark
from daemon.core.ledger import Ledger
from daemon.core.model import EPOCH, EXACT, ZERO, Instrument, currencies, is_swap
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import ONE, Book
from daemon.core.planner_legs import Reason, limited


class Account:
    """The ledger at market prices, less what orders (ours and others') have reserved. Amounts are base units, worths are in `quote`.

    `rated_by` names further quote currencies, each with the symbol whose price is its worth in `quote`. Such a price sizes targets and
    pays for nothing, so it may be older than others: `rates_fresh`. `believes` says whether a price between two bars may mark a symbol.
    """

    def __init__(
        self,
        quote: str,
        ledger: Ledger,
        table: OrderTable,
        fresh: timedelta,
        capital: Capital | None = None,
        rated_by: Mapping[str, str] | None = None,
        rates_fresh: timedelta | None = None,
    ) -> None:
        self.quote = quote
        self.sizing = capital or Capital()
        self.contributed: Callable[[], Decimal | None] = lambda: None  # what was paid in less what was taken out, where it is known
        self._rated_by = dict(rated_by or {})
        self.quotes = (quote, *sorted(self._rated_by))  # the currencies that pay for orders, `quote` first
        self._rates_fresh = rates_fresh or fresh
        self.listed: Mapping[str, Instrument] = {}  # the markets as the venue lists them
        self._markets: Mapping[str, Instrument] = {}
        self._parts: tuple[tuple[str, str, str], ...] = ()  # each market's symbol, base and quote
        self._swaps: tuple[tuple[str, Instrument], ...] = ()
        self._quoted: dict[str, frozenset[str]] = {}  # by quote, the symbols that it pays for
        self._of_base: dict[str, list[str]] = {}  # by base, its symbols
        self.symbols: tuple[str, ...] = ()  # those of `markets`, in their order
        self._marked = 0  # how often a price has changed, or what is traded
        self._held_symbols: tuple[int, frozenset[str]] | None = None  # as of so many movements
        self._price_cap: Decimal | None = None
        self.margin_max = ONE  # of the collateral, what positions of swaps may need as initial margin
        self.drift: dict[str, Decimal] = {}
        self.aside: Callable[[str], Decimal] = lambda _currency: ZERO  # units that are counted and kept, but neither traded nor sized by
        self.kept: Callable[[], Collection[str]] = tuple  # the currencies of which there may be such; most accounts have none
        self._ledger = ledger
        self._table = table
        self._fresh = fresh
        self.believes: Callable[[str, float], bool] = lambda _symbol, _price: True
        self._last = LastPrices()
        self._marks: dict[str, tuple[Decimal, datetime]] = {}  # the venue's own, of swaps
        self._fundings: dict[str, FundingRate] = {}
        self._equity: tuple[int, Decimal] | None = None  # as of so many movements in the ledger; None: something else has moved it
        self._unvalued: tuple[int, int, tuple[str, ...]] | None = None  # as of so many movements, and symbols with a price
        self._foreign: dict[str, Decimal] = {}

    # --- what is traded ----------------------------------------------------------------------------------------------

    @property
    def markets(self) -> Mapping[str, Instrument]:
        """The markets that are traded, by symbol, with the rules that hold for the orders that are made there."""
        return self._markets

    @markets.setter
    def markets(self, listed: Mapping[str, Instrument]) -> None:
        self.listed = listed
        self._equity = None
        cap = self._price_cap
        self._markets = listed if cap is None else {symbol: limited(market, cap) for symbol, market in listed.items()}
        self._parts = tuple((symbol, *currencies(symbol)) for symbol in self._markets)
        self._swaps = tuple((symbol, market) for symbol, market in self._markets.items() if market.shortable)
        self._quoted = {quote: frozenset(s for s, _, q in self._parts if q == quote) for quote in {q for *_, q in self._parts}}
        self._of_base = {}
        for symbol, base, _ in self._parts:
            self._of_base.setdefault(base, []).append(symbol)
        self._unvalued = self._held_symbols = None
        self.symbols = tuple(sorted(self._markets))
        self._marked += 1

    def cap(self, price_cap: Decimal | None) -> None:
        """From now on orders are limits, so far from their reference price (a fraction); None: they are market orders."""
        self._price_cap = price_cap
        self.markets = self.listed

    # --- what is learnt ----------------------------------------------------------------------------------------------

    def on_markets(self, event: MarketsListed) -> Iterable[Event]:
        """Plan by the rules of now."""
        self.markets = event.markets
        return ()

    def on_tick(self, event: PriceTicked) -> Iterable[Event]:
        """Mark a symbol to its last price; what cannot be one is not believed."""
        if self.believes(event.symbol, event.price):
            self.mark_at(event.symbol, event.price, event.at)
        return ()

    def on_mark(self, event: MarkTicked) -> Iterable[Event]:
        """Value a swap at the venue's mark price from now on; what is older than the one known, or is no price, changes nothing."""
        known = self._marks.get(event.symbol)
        if isfinite(event.price) and event.price > 0 and (known is None or known[1] <= event.at):
            self._marks[event.symbol] = (Decimal(repr(float(event.price))), event.at)
            self._equity = None
            self._marked += 1
        return ()

    def on_funding(self, event: FundingTold) -> Iterable[Event]:
        """Expect this rate of a swap from now on."""
        self._fundings[event.symbol] = event.funding
        self._marked += 1
        return ()

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """Mark every symbol that has a bar in the slice which may move money."""
        closes_at = event.slice.closes_at
        marks = zip(event.slice.symbols, event.slice.close.tolist(), event.slice.real.tolist(), strict=True)
        self.mark_all((symbol, price, closes_at) for symbol, price, real in marks if real)
        return ()

    def on_polled(self, event: AccountPolled) -> Iterable[Event]:
        """If nothing of ours was open while the account was read, what stands locked is somebody else's and not ours to spend."""
        moved_at = self._table.moved_at
        if all(t.ended for t in self._table) and (moved_at is None or moved_at < event.snapshot.asked_at):
            self._foreign = {c: b.locked for c, b in event.snapshot.balances.items() if b.locked > 0}
        return ()

    def on_awoken(self, _: Awoken) -> Iterable[Event]:
        """No price moves money any more until it is told again, however new it looks: it may have waited with us."""
        self._last.outdate()
        self._marks = {symbol: (price, EPOCH) for symbol, (price, _) in self._marks.items()}
        return ()

    def on_drift_found(self, event: DriftFound) -> Iterable[Event]:
        """Until it is explained, the currency's symbols only reduce."""
        self.drift[event.currency] = event.amount
        return ()

    def on_drift_cleared(self, event: DriftCleared) -> Iterable[Event]:
        """The currency's symbols trade again."""
        self.drift.pop(event.currency, None)
        return ()

    def mark_at(self, symbol: str, price: float, at: datetime) -> None:
        """A price of a symbol that is believed; what is older than the one known, or is no price, changes nothing."""
        self.mark_all(((symbol, price, at),))

    def mark_all(self, marks: Iterable[Mark]) -> None:
        """The same of many symbols."""
        self._last.take(marks)
        self._equity = None
        self._marked += 1

    def mark_later(self, marks: Callable[[], Iterable[Mark]], equity: Decimal) -> None:
        """The same, once somebody asks, as of LastPrices; `equity` is what the account is worth then."""
        self._last.take_later(marks)
        self._equity = self._ledger.moves, equity
        self._marked += 1

    def mark_now(self) -> None:
        """What was to be marked later."""
        self._last.catch_up()

    @property
    def _prices(self) -> dict[str, tuple[Decimal, datetime]]:
        return self._last.known

    # --- what it is worth --------------------------------------------------------------------------------------------

    def held(self, symbol: str) -> Decimal:
        """Base units of a symbol in the ledger."""
        return self._ledger.held(currencies(symbol)[0])

    @property
    def version(self) -> tuple[int, int]:
        """What it is worth follows from: while this is the same, so is everything that was reckoned from holdings and prices."""
        return self._ledger.moves, self._marked

    @property
    def held_symbols(self) -> frozenset[str]:
        """The symbols of which something is in the ledger."""
        known, moves = self._held_symbols, self._ledger.moves
        if known is None or known[0] != moves:
            units = self._ledger.units
            known = self._held_symbols = (
                moves,
                frozenset([s for base, amount in units.items() if amount for s in self._of_base.get(base, ())]),
            )
        return known[1]

    @property
    def may_be_short(self) -> bool:
        """Whether swaps are traded."""
        return bool(self._swaps)

    @property
    def has_positions(self) -> bool:
        """Whether a position of a swap is held."""
        return any(self.held(symbol) for symbol, _ in self._swaps)

    def sign(self, symbol: str) -> int:
        """+1 for a long holding, -1 for a short one, 0 for none."""
        held = self.held(symbol)
        return (held > 0) - (held < 0)

    def mark(self, symbol: str) -> Decimal | None:
        """What a unit of a symbol is worth: of a swap the venue's mark price; the last price, however old, where there is no such mark.

        A mark that is older than the last price by more than a price may be has been overtaken, and counts nothing.
        """
        last, mark = self._prices.get(symbol), self._marks.get(symbol)
        if mark is not None and (last is None or last[1] - mark[1] <= self._fresh):
            return mark[0]
        return None if last is None else last[0]

    def funding(self, symbol: str) -> FundingRate | None:
        """The rate that the venue expects of a swap next; None: it has told none, or none since the settlement before the last."""
        known, price = self._fundings.get(symbol), self._prices.get(symbol)
        return None if known is not None and price is not None and price[1] - known.next_at > known.interval else known

    def unmarked(self, at: datetime) -> tuple[str, ...]:
        """Swaps that are held and whose mark price is missing, or not young any more: the last price stands in for it."""
        held = (s for s, market in self.markets.items() if market.shortable and self.held(s))
        return tuple(s for s in held if at - self._marks.get(s, (ZERO, EPOCH))[1] > self._fresh)

    def judged(self, at: datetime) -> bool:
        """Whether anything is known of the worth of now: a price, or a mark, that is young."""
        return any(at - known <= self._fresh for _, known in (*self._prices.values(), *self._marks.values()))

    def fresh_prices(self, at: datetime) -> dict[str, Decimal]:
        """The prices that are young enough to move money."""
        return {s: price for s, (price, known) in self._prices.items() if at - known <= self._fresh}

    def fresh_price(self, symbol: str, at: datetime) -> Decimal | None:
        """The price of a symbol if it is young enough to move money."""
        known = self._prices.get(symbol)
        return known[0] if known is not None and at - known[1] <= self._fresh else None

    def priced(self, at: datetime) -> bool:
        """Whether every symbol that is traded has a price that may move money."""
        fresh = self.fresh_prices(at)
        return bool(fresh) and all(s in fresh for s, market in self.markets.items() if market.active)

    def valued(self, at: datetime) -> bool:
        """Whether it is known well enough to plan what the account is worth."""
        return not self.unvalued and bool(self.fresh_prices(at))

    @property
    def unvalued(self) -> tuple[str, ...]:
        """Symbols that are held and have never had a price: while there are any, nobody knows what a weight of equity is.

        A market that trades no more is not waited for; what is held of it counts nothing.
        """
        moves, prices, known = self._ledger.moves, self._last.so_far, self._unvalued
        if known is None or known[:2] != (moves, len(prices)):
            held: list[str] = []
            if self._rated_by or not self.held_symbols <= prices.keys():
                prices = self._prices  # one that waits may be what is missing
                held += [s for s, base, _ in self._parts if s not in prices and self._ledger.held(base) and self._markets[s].active]
            held += [symbol for currency, symbol in self._rated_by.items() if symbol not in prices and self.money(currency) > 0]
            known = self._unvalued = moves, len(prices), tuple(held)
        return known[2]

    @property
    def bases(self) -> KeysView[str]:
        """The currencies that are traded."""
        return self._of_base.keys()

    def rate(self, currency: str) -> Decimal | None:
        """What a unit of a quote currency is worth in `quote`, by the last known price; None: nobody knows."""
        return ONE if currency == self.quote else self.mark(self._rated_by.get(currency, ""))

    def money(self, currency: str) -> Decimal:
        """Units of a quote currency in the ledger, reserved or not."""
        return self._ledger.held(currency)

    def wallet(self, currency: str) -> Decimal:
        """Units of a quote currency as the venue shows them: of spot what is held, of swaps without what positions were opened for."""
        return self._ledger.wallet(currency)

    @property
    def wallets(self) -> Decimal:
        """Worth of all quote currencies as the venue shows them."""
        return sum((self.wallet(currency) * (self.rate(currency) or ZERO) for currency in self.quotes), ZERO)

    @property
    def cash(self) -> Decimal:
        """Worth of all quote currencies in the ledger, reserved or not."""
        if not self._rated_by:
            return self.money(self.quote) + ZERO
        return sum((self.money(currency) * (self.rate(currency) or ZERO) for currency in self.quotes), ZERO)

    def worth(self, symbol: str) -> Decimal:
        """What a unit of a symbol's base is worth in `quote`, by the last known prices; 0 where there is none."""
        return (self.mark(symbol) or ZERO) * (self.rate(currencies(symbol)[1]) or ZERO)

    def equity(self) -> Decimal:
        """Worth of the quote currencies and of every symbol's base at the last known prices, to the last digit. Others are not ours."""
        if self._equity is not None and self._equity[0] == self._ledger.moves:
            return self._equity[1]
        equity, units = ZERO, self._ledger.units
        for currency in self.quotes:
            equity = EXACT.fma(units.get(currency, ZERO), self.rate(currency) or ZERO, equity)
        for symbol, base, _ in self._parts:
            if held := units.get(base):
                equity = EXACT.fma(held, self.worth(symbol), equity)
        self._equity = self._ledger.moves, equity
        return equity

    def worths(self, holdings: Mapping[tuple[str, str], Decimal]) -> dict[str, Decimal]:
        """What owners hold is worth, by owner, from what they hold by owner and currency. If they hold all, it adds up to the equity."""
        prices = {currency: self.rate(currency) or ZERO for currency in self.quotes}
        held = {currency for (_, currency), amount in holdings.items() if amount}
        for symbol, base, _ in self._parts:
            if base in held:
                prices[base] = EXACT.add(prices.get(base, ZERO), self.worth(symbol))
        worths: dict[str, Decimal] = {}
        for (owner, currency), amount in holdings.items():
            worths[owner] = EXACT.fma(amount, prices.get(currency, ZERO), worths.get(owner, ZERO))
        return worths

    def capital(self) -> Decimal:
        """What the weights are shares of: the equity, less what is set aside."""
        equity, some = self.equity(), self.kept()
        if some:
            equity -= sum((kept * self.worth(s) for s, base, _ in self._parts if base in some and (kept := self.aside(base))), ZERO)
        return self.sizing.of(equity - ZERO, self.contributed() if self.sizing.compounding < ONE else None)

    def traded(self, symbol: str) -> Decimal:
        """Base units of a symbol that decisions are about: what is held, less what is kept aside."""
        base = currencies(symbol)[0]
        return self._ledger.held(base) - (self.aside(base) if base in self.kept() else ZERO)

    def weight(self, symbol: str, equity: Decimal) -> float:
        """What a symbol's holding is worth, as a share of `equity`; 0 where there is none."""
        return self._share(symbol, self.held(symbol), equity)

    def off_target(self, weights: Mapping[str, float], keep: Iterable[str] = ()) -> dict[str, float]:
        """Holding minus target by symbol, in weights of the capital; symbols whose present weight is kept are on target."""
        capital, kept, held, some = self.capital(), frozenset(keep), self._ledger.units, self.kept()
        there = {s: self._share(s, self.traded(s), capital) for s, base, _ in self._parts if held.get(base) or base in some}
        return {s: there.get(s, 0.0) - weights.get(s, 0.0) for s in self.symbols if s not in kept}

    def _share(self, symbol: str, amount: Decimal, whole: Decimal) -> float:
        return float(amount * self.worth(symbol) / whole) if amount and whole > 0 else 0.0

    @property
    def foreign_locked(self) -> dict[str, Decimal]:
        """What orders that are not ours hold locked, by currency: ours by the ledger, and not ours to spend."""
        return dict(sorted(self._foreign.items()))

    @property
    def kept_apart(self) -> dict[str, Decimal]:
        """Coins that are counted and not traded, by currency: what was ring-fenced, and what removed strategies have left to be kept."""
        some = self.kept()
        return {base: kept for _, base, _ in sorted(self._parts) if base in some and (kept := self.aside(base))}

    # --- what may be spent -------------------------------------------------------------------------------------------

    def cash_free(self) -> dict[str, Decimal]:
        """Money by currency that no order of ours has reserved, no foreign one has locked and no unexplained difference puts in doubt."""
        free: dict[str, Decimal] = {}
        for currency in self.quotes:
            missing = max(ZERO, -self.drift.get(currency, ZERO))
            reserved = self._table.spending(self._quoted.get(currency, frozenset()))
            free[currency] = self.margin_free(currency) - reserved - self._foreign.get(currency, ZERO) - missing
        return free

    def margin_free(self, currency: str) -> Decimal:
        """Units of a quote currency that nothing is done with: of spot all, of swaps the collateral that positions need no margin of.

        The collateral is the wallet with what positions have gained or lost since, of which no more than `margin_max` is used.
        """
        money = self.money(currency)
        swaps = [(s, m) for s, m in self._swaps if m.quote == currency]
        if not swaps:
            return money
        worths = [(self.held(s) * (self.mark(s) or ZERO), m.leverage) for s, m in swaps if self.held(s)]
        collateral = money + sum((worth for worth, _ in worths), ZERO)
        return self.margin_max * collateral - sum((abs(worth) / leverage for worth, leverage in worths), ZERO)

    def exposures(self, *, pending: bool) -> dict[str, Decimal]:
        """By swap, the worth of its position on the larger side, 0 or above; `pending`: if all that grows of its orders were filled."""
        sides: dict[str, list[Decimal]] = {s: [self.held(s), self.held(s)] for s, _ in self._swaps}
        for tracked in self._table if pending else ():
            if tracked.order.spends_quote and tracked.order.symbol in sides:
                sides[tracked.order.symbol][tracked.order.side.sign > 0] += tracked.pending
        worths = {s: max(abs(low), abs(high)) * self.worth(s) for s, (low, high) in sides.items()}
        return {s: worth for s, worth in worths.items() if worth}

    def sellable(self, symbol: str) -> Decimal:
        """Base units of a holding that no order of ours is taking away and no foreign one has locked; of a swap on whichever side."""
        held = self.traded(symbol)
        held = abs(held) if is_swap(symbol) else held
        return max(ZERO, held - self._table.taking(symbol) - self._foreign.get(currencies(symbol)[0], ZERO))

    def book(self, weights: Mapping[str, float], refused: Mapping[str, str], at: datetime) -> Book:
        """The account as planning may rely on it at this moment; `refused` symbols are left alone."""
        pending, taking, moving = self._table.in_flight()
        prices = self.fresh_prices(at)
        untouchable = {s: Reason.STALE_PRICE.value for s in self.markets if s in self._prices and s not in prices}
        # What a symbol in motion will hold lies between two values: only selling all of what is certain cannot go wrong.
        untouchable.update({s: why for s, why in moving.items() if weights.get(s, 0.0) != 0})
        untouchable.update(refused)
        units, some = self._ledger.units, self.kept()
        held = {s: units.get(base, ZERO) - (self.aside(base) if base in some else ZERO) for s, base, _ in self._parts}
        projected = {s: amount + pending.get(s, ZERO) for s, amount in held.items()}
        # What is short is closed as what is long is sold, unless orders under way may have turned it by then.
        closes = {s: abs(held[s]) if held[s] * projected[s] > 0 else ZERO for s, _ in self._swaps}
        free = {s: closes.get(s, held[s]) - taking.get(s, ZERO) - self._foreign.get(base, ZERO) for s, base, _ in self._parts}
        return Book(
            projected=projected,
            free={s: max(ZERO, amount) for s, amount in free.items()},
            prices=prices,
            cash=self.cash_free(),
            rates=self._rates(at),
            equity=self.capital(),
            moving=moving,
            frozen={s: Reason.DRIFT.value for s, base, _ in self._parts if base in self.drift},
            untouchable=untouchable,
        )

    def _rates(self, at: datetime) -> dict[str, Decimal]:
        """Worth of the quote currencies, as far as their prices are young enough to size targets."""
        known = {currency: self._prices.get(symbol) for currency, symbol in self._rated_by.items()}
        fresh = {c: price[0] for c, price in known.items() if price is not None and at - price[1] <= self._rates_fresh}
        return {self.quote: ONE} | fresh
