"""Legs: what a plan is made of, and what a venue takes as an order.

Rule: an amount is on the market's grid and within its bounds, or there is no leg.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from daemon.core.model import ZERO, Instrument, Side, currencies, is_swap
from daemon.core.planner_inputs import ONE, Inputs, Rules

# Own margin within the venue's bounds of the notional: the price may move between plan and arrival, and a refused order helps nobody.
NOTIONAL_MARGIN: Final = Decimal("1.05")

# A member of an enumeration takes as long to look up as three divisions, and here it is looked up for every symbol.
BUY: Final = Side.BUY
SELL: Final = Side.SELL

# A leg of all its fields: the constructor of a NamedTuple takes three times as long, and here it would be called for every symbol.
_leg: Final = tuple.__new__

# Money that an order may take is rounded up, in the 28th digit.
_UP: Final = Context(prec=28, rounding=ROUND_CEILING)
_DOWN: Final = Context(prec=28, rounding=ROUND_FLOOR)


class Reason(StrEnum):
    """Why a symbol is not traded, or not the whole way, in stable codes."""

    IN_BAND = "in_band"
    KEPT = "kept"
    BELOW_MINIMUM = "below_minimum"
    SMALL_ACCOUNT = "small_account"
    RAISED = "raised"
    STEP = "step"
    DUST = "dust"
    FEE_RESERVE = "fee_reserve"
    NO_PRICE = "no_price"
    NO_RATE = "no_rate"
    NOT_FINITE = "not_finite"
    STALE_PRICE = "stale_price"
    NOT_TRADABLE = "not_tradable"
    UNFUNDED = "unfunded"
    LOCKED = "locked"
    AMOUNT_MAX = "amount_max"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_OPEN = "order_open"
    UNFILLED = "unfilled"
    PRICE_CAP = "price_cap"
    DRIFT = "drift"
    NOT_SENT = "not_sent"
    SUPERSEDED = "superseded"
    MOVED = "moved"
    COOLDOWN = "cooldown"
    TURNOVER_MAX = "turnover_max"
    SHADOW = "shadow"
    GROUP = "group"
    GROUP_PAUSE = "group_pause"


Reasoned = Reason | str | None  # a code of ours, one that the book brought, or nothing to explain


@lru_cache(maxsize=8192)
def quote_of(symbol: str) -> str:
    """The quote currency of a symbol."""
    return currencies(symbol)[1]


@dataclass(slots=True)
class Standing:
    """Where a symbol that can be traded stands, and what it is to do.

    Amounts are base units, weights are shares of equity, money is the account's currency. `price` is in quote, `worth` is what a unit of
    base is worth in money, `value` what is `held` is worth. `wished` is the weight in the inputs, `cap` the largest size of one that the
    limits allow; `wanted` is the weight that the account can hold, `aimed` what that is worth, `slack` half the width of the no-trade zone
    about it, in money. `still`: it may not grow.

    With a `side` it is on its way to whole lots: a lot moves `unit` of money, `lots` is what rounding down gives, `over` the money by which
    they fall short of the way. `legs` are its orders, `why` is what keeps it from its target.
    """

    symbol: str
    market: Instrument
    price: Decimal
    worth: Decimal
    held: Decimal
    value: Decimal
    wished: Decimal
    cap: Decimal | None
    still: bool
    wanted: Decimal
    aimed: Decimal
    slack: Decimal
    side: Side | None = None
    unit: Decimal = ZERO
    lots: Decimal = ZERO
    over: Decimal = ZERO
    legs: "tuple[Leg, ...]" = ()
    why: Reasoned = None

    def drafted(self, way: Decimal, side: Side, unit: Decimal) -> None:
        """Begin a trade that moves so much money, in lots that move `unit` each."""
        self.side, self.unit = side, unit
        self.lots, self.over = divmod(way, unit)

    def round_up(self) -> None:
        """Take one lot more."""
        self.lots += 1
        self.over -= self.unit

    def stopped(self, why: Reasoned) -> None:
        """Do nothing, for this reason."""
        self.side, self.legs, self.why = None, (), why


class Leg(NamedTuple):
    """One order to be. `price` is the reference, `reserve` the most it can take: quote for a buy, base for a sell.

    `limit` is the worst price that it may trade at; None: any. `post_only`: it rests there. `reduce_only`: it makes a position of a swap
    smaller, and frees margin; every other leg of a swap reserves the margin it needs, in quote, on whichever side it is.
    """

    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    reserve: Decimal
    limit: Decimal | None = None
    post_only: bool = False
    reduce_only: bool = False

    @property
    def spends_quote(self) -> bool:
        """Whether it waits for money: of spot a buy, of a swap what makes a position larger."""
        return not self.reduce_only if is_swap(self.symbol) else self.side is BUY

    @property
    def quote(self) -> str:
        """The currency that it is paid in."""
        return quote_of(self.symbol)

    @property
    def notional(self) -> Decimal:
        """Worth at the reference price, in quote."""
        return self.amount * self.price

    def resized(self, amount: Decimal) -> "Leg":
        """The same order for another amount."""
        return self._replace(amount=amount, reserve=_UP.plus(self.reserve * amount / self.amount))

    def repriced(self, price: Decimal) -> "Leg":
        """The same order at a price that has risen since: it may take more money than was thought. One that has fallen changes nothing.

        Nor does any price where there is a limit: it stands, and with it the most that the order can take.
        """
        if self.limit is not None or price <= self.price:
            return self
        return self._replace(reserve=_UP.plus(self.reserve * price / self.price))


@dataclass(frozen=True, slots=True)
class Plan:
    """Sells that may go at once, buys in the order in which they get their money (largest first), and why the rest stays.

    `left` names the reason of every symbol that stays away from its weight in the inputs by more than its no-trade zone. `changed` are
    the weights that were planned for where they are others than those of the inputs: what is too small for the venue is 0, and others
    take its part. `needs`: the equity at which a target that is too small would be large enough.
    """

    reduces: tuple[Leg, ...]
    grows: tuple[Leg, ...]
    left: Mapping[str, str]
    changed: Mapping[str, float]
    needs: Mapping[str, Decimal]
    inputs: Inputs = field(repr=False, compare=False)

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All orders to be."""
        return self.reduces + self.grows


def buy(market: Instrument, amount: Decimal, price: Decimal, rules: Rules) -> Leg:
    """A buy of at most `amount` base units on the grid, with the money it may take: price (with slippage, or the limit) and fee."""
    return bought(market, capped(market, market.floor(amount), price), price, rules)


def bought(market: Instrument, amount: Decimal, price: Decimal, rules: Rules) -> Leg:
    """A buy of an amount on the grid."""
    limit = None if market.price_cap is None else limit_price(market, BUY, price)
    worst = price * (ONE + rules.slippage) if limit is None else limit
    reserve = _UP.plus(amount * worst * (ONE + market.taker_fee))
    return _leg(Leg, (market.symbol, BUY, amount, price, reserve, limit, False, False))


def sold(market: Instrument, amount: Decimal, price: Decimal) -> Leg:
    """A sell of an amount on the grid."""
    limit = None if market.price_cap is None else limit_price(market, SELL, price)
    return _leg(Leg, (market.symbol, SELL, amount, price, amount, limit, False, False))


def closed(market: Instrument, side: Side, amount: Decimal, price: Decimal) -> Leg:
    """An order of a swap that makes a position smaller, for an amount on the grid."""
    return Leg(market.symbol, side, amount, price, amount, limit_price(market, side, price), reduce_only=True)


def opened(market: Instrument, side: Side, amount: Decimal, price: Decimal, rules: Rules) -> Leg:
    """An order of a swap that makes a position larger, for an amount on the grid, with the money that it may take.

    That is the initial margin and the fee at the worst price, and what is lost against the mark price at once.
    """
    limit = limit_price(market, side, price)
    lost = price * rules.slippage if limit is None else abs(limit - price)
    reserve = _UP.plus(amount * ((price + lost) * (_UP.divide(ONE, market.leverage) + market.taker_fee) + lost))
    return Leg(market.symbol, side, amount, price, reserve, limit)


def frees(market: Instrument, leg: Leg) -> Decimal:
    """The money (quote) that a leg brings if it fills at its reference, less the fee: of spot what is sold, of a swap its margin."""
    return leg.notional * (ONE / market.leverage - market.taker_fee if leg.reduce_only else ONE - market.taker_fee)


def limit_price(market: Instrument, side: Side, price: Decimal) -> Decimal | None:
    """The worst price of an order: the reference moved against us by the market's cap, on its grid and not beyond the cap. None: any price.

    A reference on the grid is always within it. Never below one tick, at which a venue has no price.
    """
    if market.price_cap is None:
        return None
    ticks = price * (ONE + side.sign * market.price_cap) / market.price_tick
    return max(ticks.to_integral_value(ROUND_FLOOR if side is BUY else ROUND_CEILING), ONE) * market.price_tick


def limited(market: Instrument, price_cap: Decimal) -> Instrument:
    """The rules of a market in which orders are limits: what holds for market orders alone is gone.

    Venues reckon the notional of a limit order at its limit, so its bounds are narrower at the reference price by the cap.
    """
    return replace(
        market,
        market_step=None,
        market_min=ZERO,
        market_max=None,
        notional_min=_UP.divide(market.notional_min, ONE - price_cap),
        notional_max=None if market.notional_max is None else _DOWN.divide(market.notional_max, ONE + price_cap),
        notional_min_market=True,
        notional_max_market=True,
        price_cap=price_cap,
    )


def reaches_minimum(market: Instrument, amount: Decimal, price: Decimal, margin: Decimal = ONE) -> bool:
    """Whether the venue takes an order of this size; `margin` is asked of the notional on top."""
    return amount > 0 and amount >= market.least and amount * price >= market.worth_least * margin


def smallest(market: Instrument, price: Decimal, margin: Decimal = NOTIONAL_MARGIN) -> Decimal:
    """The smallest order on the grid that the venue takes, in base units."""
    least = max(market.least, market.worth_least * margin / price, market.lot)
    return (least / market.lot).to_integral_value(ROUND_CEILING) * market.lot


def smallest_part(leg: Leg, market: Instrument, price: Decimal) -> Decimal:
    """The smallest order that a part of a leg may be: of what only reduces, no smallest notional is asked, as of the planner's exits."""
    return smallest(market, price, ZERO if leg.reduce_only else NOTIONAL_MARGIN)


def capped(market: Instrument, amount: Decimal, price: Decimal) -> Decimal:
    """At most what the venue takes in one order; the next round brings the rest."""
    if market.most is not None and amount > market.most:
        amount = market.floor(market.most)
    if market.worth_most is not None and amount * price * NOTIONAL_MARGIN > market.worth_most:
        amount = market.floor(market.worth_most / (price * NOTIONAL_MARGIN))
    return amount


def arriving(market: Instrument, rules: Rules) -> Decimal:
    """The part of a buy that arrives: where the fee comes out of what is bought, so much more is ordered.

    Fees in a third asset may fall back to base when that asset runs out; then a little less arrives, which is the safe side.
    """
    return ONE - market.taker_fee if market.buy_fee_in_base and not rules.fee_asset else ONE
