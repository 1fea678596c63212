"""Planner: target weights to legs, the one place where float64 market data becomes Decimal money.

Rule: plan() is a pure, total function of its inputs. It never spends more than is free, never sells more than is held, never leaves the
venue's grid, and names a reason for every symbol that stays away from its target.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Final

from daemon.core.model import ZERO, Instrument, Side

ONE: Final = Decimal(1)

# Own margin over the venue's minimum notional: the price may fall between plan and arrival, and a refused order helps nobody.
NOTIONAL_MARGIN: Final = Decimal("1.05")

# Decimals have 28 digits here; a sum of some thousand reserves, each rounded in its last one, stays below one part in 10^24.
_HAIR: Final = ONE - Decimal("1E-24")


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
    AMOUNT_MAX = "amount_max"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_OPEN = "order_open"
    UNFILLED = "unfilled"
    DRIFT = "drift"
    NOT_SENT = "not_sent"
    SUPERSEDED = "superseded"
    MOVED = "moved"
    COOLDOWN = "cooldown"
    TURNOVER_MAX = "turnover_max"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When and how far to trade. Bands are weights of equity, `slippage` is the fraction that a market buy may cost above its reference.

    `turnover_max` bounds what one rebalance trades: half the sum of all trades, exits included, as a share of equity. None: no bound.
    """

    band: Decimal = Decimal("0.02")
    band_relative: Decimal = Decimal("0.10")
    to_edge: bool = False
    slippage: Decimal = Decimal("0.005")
    turnover_max: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The account as planning sees it.

    `projected` holds base units by symbol: what is held plus what every order that has not ended may still add or take. `free` is what of
    the base may be sold. `cash` is quote that nothing has reserved. `equity` (quote) is what weights are shares of: the account's worth,
    less what is set aside. `prices` are quote per base.
    `traded` is the worth, in quote, of what this rebalance has traded already and of what its orders may still trade.
    `frozen` names symbols that must not grow, with the reason, `untouchable` those that must not trade at all, and `moving` those with
    orders that have not ended.
    """

    projected: Mapping[str, Decimal]
    free: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    cash: Decimal
    equity: Decimal
    frozen: Mapping[str, str] = field(default_factory=dict)
    moving: Mapping[str, str] = field(default_factory=dict)
    untouchable: Mapping[str, str] = field(default_factory=dict)
    traded: Decimal = ZERO


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


def plan(
    weights: Mapping[str, float],
    keep: Iterable[str],
    book: Book,
    markets: Mapping[str, Instrument],
    rules: Rules,
    *,
    exits_only: bool = False,
) -> Plan:
    """Legs that move each symbol from where it is projected to be to its target weight of equity.

    `weights` is a full set: a symbol that is held but not named is wanted at 0. Symbols in `keep` stay as they are. A symbol may have a
    leg and a reason: the leg then goes as far as it can, and the reason says what stopped it. `exits_only`: nothing but what is wanted at 0
    is traded.
    """
    kept = frozenset(keep)
    reduces: list[Leg] = []
    grows: list[Leg] = []
    left: dict[str, str] = {}
    for symbol in sorted(markets):
        wanted = weights.get(symbol, 0.0)
        leg, reason = (None, Reason.KEPT) if symbol in kept else _leg(markets[symbol], wanted, book, rules)
        if leg is not None and exits_only and not _is_exit(markets[symbol], wanted):
            leg, reason = None, Reason.COOLDOWN
        if leg is not None:
            (reduces if leg.side is Side.SELL else grows).append(leg)
        if reason is not None:
            left[symbol] = str(reason)
    grows.sort(key=_largest_first)
    return _within_turnover(Plan(tuple(reduces), tuple(grows), left), book, markets, rules)


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


def scale(grows: Sequence[Leg], cash: Decimal, markets: Mapping[str, Instrument]) -> tuple[tuple[Leg, ...], dict[str, str]]:
    """All buys shrunk alike until `cash` (quote) pays for them, and the reason by symbol for each that is smaller than wanted or gone.

    What falls below the venue's minimum is dropped, the smallest first, so that the others keep more (a small account: fewer whole
    positions beat many refused ones). One pass is enough: each drop raises everybody's share, so who is above the minimum stays there.
    """
    if sum((leg.reserve for leg in grows), ZERO) <= cash:
        return tuple(grows), {}
    return _fitted(grows, cash, lambda leg: leg.reserve, markets), {leg.symbol: str(Reason.UNFUNDED) for leg in grows}


def moved(made: Plan, cash: Decimal, markets: Mapping[str, Instrument]) -> frozenset[str]:
    """The symbols that a plan would trade with this cash (quote), if it were carried out."""
    grows = made.grows if made.reduces else scale(made.grows, cash, markets)[0]
    return frozenset(leg.symbol for leg in (*made.reduces, *grows))


def buy(market: Instrument, amount: Decimal, price: Decimal, rules: Rules) -> Leg:
    """A buy of at most `amount` base units on the grid, with the money it may take: price, slippage and fee."""
    on_grid = capped(market, market.floor(amount))
    return Leg(market.symbol, Side.BUY, on_grid, price, on_grid * price * (ONE + rules.slippage) * (ONE + market.taker_fee))


def risen(leg: Leg, price: Decimal) -> Leg:
    """A buy that has waited: if the price has risen since, it may take more money than was thought."""
    return replace(leg, reserve=leg.reserve * price / leg.price) if price > leg.price else leg


def reaches_minimum(market: Instrument, amount: Decimal, price: Decimal, margin: Decimal = ONE) -> bool:
    """Whether the venue takes an order of this size; `margin` is asked of the notional on top."""
    return amount > 0 and amount >= market.amount_min and amount * price >= market.notional_min * margin


def capped(market: Instrument, amount: Decimal) -> Decimal:
    """At most what the venue takes in one order; the next round brings the rest."""
    return amount if market.amount_max is None or amount <= market.amount_max else market.floor(market.amount_max)


Answer = tuple[Leg | None, str | None]


def _leg(market: Instrument, wanted: float, book: Book, rules: Rules) -> Answer:
    """The order of one symbol, the reason for none, or both."""
    symbol = market.symbol
    price = book.prices.get(symbol)
    if symbol in book.untouchable:
        return None, book.untouchable[symbol]
    if price is None or not (price.is_finite() and price > 0):
        return None, Reason.NO_PRICE
    if not market.active:
        return None, Reason.NOT_TRADABLE
    held = book.projected.get(symbol, ZERO)
    if market.shortable:
        return _both_ways(market, Decimal(repr(float(wanted))), held, price, book, rules)
    if wanted <= 0:
        # Always traded to: a residue as wide as the band would stay for ever.
        return _exit(market, held, book, price) if held > 0 else (None, None)
    weight = Decimal(repr(float(wanted)))
    value = held * price
    goal = _goal(weight, value / book.equity if book.equity > 0 else ZERO, rules)
    if goal is None:
        return None, None if value == weight * book.equity else Reason.IN_BAND
    delta = goal * max(book.equity, ZERO) / price - held
    if delta > 0:
        return _grow(market, delta, price, book, rules)
    if -delta * 2 < market.amount_step:
        return None, Reason.IN_BAND if rules.to_edge else None  # a whole step would end further from the goal than it began
    return _reduce(market, -delta, price, held, book)


def _goal(wanted: Decimal, now: Decimal, rules: Rules) -> Decimal | None:
    """The weight to trade to, None to stay."""
    band = max(rules.band, rules.band_relative * abs(wanted))
    if abs(now - wanted) <= band:
        return None
    if not rules.to_edge:
        return wanted
    return wanted - band if now < wanted else wanted + band


def _both_ways(market: Instrument, wanted: Decimal, held: Decimal, price: Decimal, book: Book, rules: Rules) -> Answer:
    """The order of a symbol that may be long or short. No holding bounds what is sold; what is bought needs its money, as anywhere."""
    now = held * price / book.equity if book.equity > 0 else ZERO
    goal = _goal(wanted, now, rules) if wanted else ZERO
    if goal is None:
        return None, None if now == wanted else Reason.IN_BAND
    delta = goal * max(book.equity, ZERO) / price - held
    if abs(held + delta) > abs(held) and market.symbol in book.frozen:
        return None, book.frozen[market.symbol]
    whole = market.floor(abs(delta))
    amount = capped(market, whole)
    if not reaches_minimum(market, amount, price, NOTIONAL_MARGIN if goal else ONE):
        return None, (Reason.BELOW_MINIMUM if goal else Reason.DUST) if delta else None
    leg = buy(market, amount, price, rules) if delta > 0 else _sell(market, amount, price)
    return leg, Reason.AMOUNT_MAX if amount < whole else None


def _grow(market: Instrument, delta: Decimal, price: Decimal, book: Book, rules: Rules) -> Answer:
    if market.symbol in book.frozen:
        return None, book.frozen[market.symbol]
    # The fee comes out of what is bought: to end with `delta`, more is ordered; rounding down ends on the small side of the target.
    gross = delta / (ONE - market.taker_fee) if market.buy_fee_in_base else delta
    leg = buy(market, gross, price, rules)
    if not reaches_minimum(market, leg.amount, price, NOTIONAL_MARGIN):
        return None, Reason.BELOW_MINIMUM
    return leg, Reason.AMOUNT_MAX if leg.amount < market.floor(gross) else None


def _reduce(market: Instrument, surplus: Decimal, price: Decimal, held: Decimal, book: Book) -> Answer:
    """Sell the surplus, rounded up to the grid so that the end is on the small side, but never more than is free."""
    steps = (surplus / market.amount_step).to_integral_value(ROUND_CEILING) * market.amount_step
    # Fees in base leave holdings off the grid: the last, broken step cannot be sold.
    free = market.floor(min(book.free.get(market.symbol, ZERO), held))
    if free <= 0:
        return None, Reason.LOCKED if market.floor(held) > 0 else Reason.DUST
    amount = capped(market, min(steps, free))
    if not reaches_minimum(market, amount, price, NOTIONAL_MARGIN):
        return None, Reason.BELOW_MINIMUM
    if amount < min(steps, free):
        return _sell(market, amount, price), Reason.AMOUNT_MAX
    return _sell(market, amount, price), Reason.LOCKED if free < min(steps, market.floor(held)) else None


def _exit(market: Instrument, held: Decimal, book: Book, price: Decimal) -> Answer:
    """Sell everything that is free; what the grid or the venue's minimum leaves is dust, which is known and named."""
    whole = market.floor(held)
    free = min(whole, market.floor(book.free.get(market.symbol, ZERO)))
    amount = capped(market, free)
    if not reaches_minimum(market, amount, price):
        if market.symbol in book.moving:
            return None, book.moving[market.symbol]
        return None, Reason.LOCKED if free < whole and reaches_minimum(market, whole, price) else Reason.DUST
    if amount < free:
        return _sell(market, amount, price), Reason.AMOUNT_MAX
    rest = Reason.LOCKED if free < whole else Reason.DUST
    return _sell(market, amount, price), rest if amount < held else None


def _is_exit(market: Instrument, wanted: float) -> bool:
    return wanted == 0 or (wanted < 0 and not market.shortable)


def _within_turnover(made: Plan, book: Book, markets: Mapping[str, Instrument], rules: Rules) -> Plan:
    """The same plan, every leg shrunk alike until they are worth no more than the turnover that is left to this rebalance.

    The bands have been judged before, on the whole way to the target: judged on the shrunk one, a tight bound would never trade at all.
    """
    if rules.turnover_max is None:
        return made
    most = 2 * rules.turnover_max * max(book.equity, ZERO) - book.traded
    legs = (*made.reduces, *made.grows)
    if sum((leg.notional for leg in legs), ZERO) <= most:
        return made
    fitted = _fitted(legs, most, lambda leg: leg.notional, markets)
    reduces = tuple(sorted((leg for leg in fitted if leg.side is Side.SELL), key=lambda leg: leg.symbol))
    grows = tuple(leg for leg in fitted if leg.side is Side.BUY)
    return Plan(reduces, grows, {**made.left, **{leg.symbol: str(Reason.TURNOVER_MAX) for leg in legs}})


def _fitted(legs: Sequence[Leg], have: Decimal, cost: Callable[[Leg], Decimal], markets: Mapping[str, Instrument]) -> tuple[Leg, ...]:
    """The legs shrunk alike until they cost no more than there is, largest first; what falls below the venue's minimum is dropped."""
    need = sum((cost(leg) for leg in legs), ZERO)
    kept: list[Leg] = []
    for leg in sorted(legs, key=_largest_first, reverse=True):
        if leg.amount * _share(have, need) >= _smallest(markets[leg.symbol], leg.price):
            kept.append(leg)
        else:
            need -= cost(leg)
    share = _share(have, need)
    shrunk = [_shrunk(leg, markets[leg.symbol], share) for leg in sorted(kept, key=_largest_first)]
    return tuple(leg for leg in shrunk if leg.amount > 0)


def _sell(market: Instrument, amount: Decimal, price: Decimal) -> Leg:
    return Leg(market.symbol, Side.SELL, amount, price, amount)


def _shrunk(leg: Leg, market: Instrument, share: Decimal) -> Leg:
    amount = market.floor(leg.amount * share)
    return replace(leg, amount=amount, reserve=leg.reserve * amount / leg.amount)


def _largest_first(leg: Leg) -> tuple[Decimal, str]:
    return -leg.notional, leg.symbol


def _share(cash: Decimal, need: Decimal) -> Decimal:
    """How much of each buy the cash pays for, a hair less, so that rounding in the last digit never makes the sum exceed the cash."""
    return max(cash, ZERO) / need * _HAIR if need > max(cash, ZERO) else ONE


def _smallest(market: Instrument, price: Decimal) -> Decimal:
    """The smallest order on the grid that the venue takes, in base units."""
    least = max(market.amount_min, market.notional_min * NOTIONAL_MARGIN / price, market.amount_step)
    return (least / market.amount_step).to_integral_value(ROUND_CEILING) * market.amount_step
