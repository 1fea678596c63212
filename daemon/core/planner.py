"""Planner: target weights to legs, the one place where float64 market data becomes Decimal money.

Rule: plan() is a pure, total function of its inputs. It never spends more than is free, never sells more than is held, never leaves the
venue's grid, and names a reason for every symbol that stays away from its target.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Final

from daemon.core.model import ZERO, Instrument, Side

ONE: Final = Decimal(1)

# Own margin over the venue's minimum notional: the price may fall between plan and arrival, and a refused order helps nobody.
NOTIONAL_MARGIN: Final = Decimal("1.05")


class Reason(StrEnum):
    """Why a symbol is not traded, or not the whole way, in stable codes."""

    AT_TARGET = "at_target"
    IN_BAND = "in_band"
    KEPT = "kept"
    BELOW_MINIMUM = "below_minimum"
    DUST = "dust"
    NO_PRICE = "no_price"
    STALE_PRICE = "stale_price"
    NOT_TRADABLE = "not_tradable"
    UNFUNDED = "unfunded"
    LOCKED = "locked"
    ORDER_UNKNOWN = "order_unknown"
    DRIFT = "drift"
    NOT_SENT = "not_sent"
    SUPERSEDED = "superseded"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When and how far to trade. Bands are weights of equity, `slippage` is the fraction that a market buy may cost above its reference."""

    band: Decimal = Decimal("0.02")
    band_relative: Decimal = Decimal("0.10")
    to_edge: bool = False
    slippage: Decimal = Decimal("0.005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The account as planning sees it.

    `projected` holds base units by symbol: what is held plus what every order that has not ended may still add or take. `free` is what of
    the base may be sold. `cash` is quote that nothing has reserved. `equity` is in quote. `prices` are quote per base.
    `frozen` names symbols that must not grow, with the reason; `untouchable` those that must not trade at all.
    """

    projected: Mapping[str, Decimal]
    free: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    cash: Decimal
    equity: Decimal
    frozen: Mapping[str, str] = field(default_factory=dict)
    untouchable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leg:
    """One order to be. `price` is the reference, `reserve` the most it can take: quote for a buy, base for a sell."""

    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    reserve: Decimal

    @property
    def notional(self) -> Decimal:
        """Worth at the reference price, in quote."""
        return self.amount * self.price


@dataclass(frozen=True, slots=True)
class Plan:
    """Sells that may go at once, buys in the order in which they get their money (largest first), and why the rest stays."""

    reduces: tuple[Leg, ...]
    grows: tuple[Leg, ...]
    left: Mapping[str, str]


def plan(weights: Mapping[str, float], keep: Iterable[str], book: Book, markets: Mapping[str, Instrument], rules: Rules) -> Plan:
    """Legs that move each symbol from where it is projected to be to its target weight of equity.

    `weights` is a full set: a symbol that is held but not named is wanted at 0. Symbols in `keep` stay as they are.
    """
    kept = frozenset(keep)
    legs: list[Leg] = []
    left: dict[str, str] = {}
    for symbol in sorted(markets):
        answer = Reason.KEPT if symbol in kept else _leg(markets[symbol], Decimal(repr(weights.get(symbol, 0.0))), book, rules)
        if isinstance(answer, Leg):
            legs.append(answer)
        elif answer is not Reason.AT_TARGET:
            left[symbol] = str(answer)
    reduces = tuple(leg for leg in legs if leg.side is Side.SELL)
    grows = sorted((leg for leg in legs if leg.side is Side.BUY), key=lambda leg: (-leg.notional, leg.symbol))
    return Plan(reduces, tuple(grows), left)


def fund(grows: Sequence[Leg], cash: Decimal) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """The buys that `cash` (quote) pays for now, in order of priority, and those that wait. Their reserves never exceed the cash."""
    now: list[Leg] = []
    later: list[Leg] = []
    for leg in grows:
        if leg.reserve <= cash:
            cash -= leg.reserve
            now.append(leg)
        else:
            later.append(leg)
    return tuple(now), tuple(later)


def scale(grows: Sequence[Leg], cash: Decimal, markets: Mapping[str, Instrument], rules: Rules) -> tuple[tuple[Leg, ...], dict[str, str]]:
    """All buys shrunk alike until `cash` (quote) pays for them; those that fall below the venue's minimum are dropped and named.

    Dropping the smallest first lets the others keep more (semantics of a small account: fewer whole positions beat many refused ones).
    """
    wanted = list(grows)
    dropped: dict[str, str] = {}
    while wanted:
        need = sum((leg.reserve for leg in wanted), ZERO)
        share = min(ONE, max(cash, ZERO) / need)
        shrunk = [buy(markets[leg.symbol], leg.amount * share, leg.price, rules) for leg in wanted]
        small = [leg for leg, now in zip(wanted, shrunk, strict=True) if not reaches_minimum(markets[leg.symbol], now.amount, now.price)]
        if not small:
            return tuple(shrunk), dropped
        last = min(small, key=lambda leg: (leg.notional, leg.symbol))
        wanted.remove(last)
        dropped[last.symbol] = str(Reason.UNFUNDED)
    return (), dropped


def buy(market: Instrument, amount: Decimal, price: Decimal, rules: Rules) -> Leg:
    """A buy of at most `amount` base units on the grid, with the money it may take: price, slippage and fee."""
    on_grid = _capped(market, market.floor(amount))
    return Leg(market.symbol, Side.BUY, on_grid, price, on_grid * price * (ONE + rules.slippage) * (ONE + market.taker_fee))


def reaches_minimum(market: Instrument, amount: Decimal, price: Decimal, margin: Decimal = ONE) -> bool:
    """Whether the venue takes an order of this size; `margin` is asked of the notional on top."""
    return amount > 0 and amount >= market.amount_min and amount * price >= market.notional_min * margin


def _leg(market: Instrument, weight: Decimal, book: Book, rules: Rules) -> Leg | str:
    """The order of one symbol, or the reason for none."""
    symbol = market.symbol
    price = book.prices.get(symbol)
    if symbol in book.untouchable:
        return book.untouchable[symbol]
    if price is None:
        return Reason.NO_PRICE
    if not market.active:
        return Reason.NOT_TRADABLE
    held = book.projected.get(symbol, ZERO)
    goal = _goal(weight, held * price / book.equity if book.equity > 0 else ZERO, rules)
    if goal is None:
        return Reason.AT_TARGET if held * price == weight * book.equity else Reason.IN_BAND
    if goal == 0:
        return _exit(market, held, book, price)
    delta = goal * book.equity / price - held
    return _grow(market, delta, price, book, rules) if delta > 0 else _reduce(market, -delta, price, book)


def _goal(wanted: Decimal, now: Decimal, rules: Rules) -> Decimal | None:
    """The weight to trade to, None to stay. A wanted 0 is always traded to: a residue as wide as the band would stay for ever."""
    if wanted <= 0:
        return ZERO if now > 0 else None
    band = max(rules.band, rules.band_relative * wanted)
    if abs(now - wanted) <= band:
        return None
    if not rules.to_edge:
        return wanted
    return wanted - band if now < wanted else wanted + band


def _grow(market: Instrument, delta: Decimal, price: Decimal, book: Book, rules: Rules) -> Leg | str:
    if market.symbol in book.frozen:
        return book.frozen[market.symbol]
    # The fee comes out of what is bought: to end with `delta`, more is ordered; rounding down ends on the small side of the target.
    gross = delta / (ONE - market.taker_fee) if market.buy_fee_in_base else delta
    leg = buy(market, gross, price, rules)
    return leg if reaches_minimum(market, leg.amount, price, NOTIONAL_MARGIN) else Reason.BELOW_MINIMUM


def _reduce(market: Instrument, surplus: Decimal, price: Decimal, book: Book) -> Leg | str:
    """Sell the surplus, rounded up to the grid so that the end is on the small side, but never more than is free."""
    if surplus * 2 < market.amount_step:
        return Reason.AT_TARGET  # a whole step would end further from the target than it began
    steps = (surplus / market.amount_step).to_integral_value(ROUND_CEILING) * market.amount_step
    free = market.floor(book.free.get(market.symbol, ZERO))
    amount = _capped(market, min(steps, free))
    if amount <= 0:
        return Reason.LOCKED
    return _sell(market, amount, price) if reaches_minimum(market, amount, price, NOTIONAL_MARGIN) else Reason.BELOW_MINIMUM


def _exit(market: Instrument, held: Decimal, book: Book, price: Decimal) -> Leg | str:
    """Sell everything that is free; what the grid or the venue's minimum leaves is dust, which is known and named."""
    amount = _capped(market, market.floor(book.free.get(market.symbol, ZERO)))
    if reaches_minimum(market, amount, price):
        return _sell(market, amount, price)
    return Reason.DUST if not reaches_minimum(market, market.floor(held), price) else Reason.LOCKED


def _sell(market: Instrument, amount: Decimal, price: Decimal) -> Leg:
    return Leg(market.symbol, Side.SELL, amount, price, amount)


def _capped(market: Instrument, amount: Decimal) -> Decimal:
    """At most what the venue takes in one order; the next round brings the rest."""
    if market.amount_max is None or amount <= market.amount_max:
        return amount
    return (market.amount_max / market.amount_step).to_integral_value(ROUND_FLOOR) * market.amount_step
