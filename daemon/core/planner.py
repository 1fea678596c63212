"""Planner: target weights to legs, the one place where float64 market data becomes Decimal money.

Rule: plan() is a pure, total function of its inputs. It never spends more than is free, never sells more than is held, never leaves the
venue's grid, and names a reason for every symbol that stays away from its target.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from typing import Final

from daemon.core.model import ZERO, Instrument
from daemon.core.planner_funds import fitted, priority
from daemon.core.planner_inputs import Inputs, exact
from daemon.core.planner_legs import SELL, Leg, Plan, Reason, Reasoned, Standing
from daemon.core.planner_lots import settle
from daemon.core.planner_moves import finish, move
from daemon.core.planner_small import fit, is_ample, raised
from daemon.core.planner_swaps import both_ways
from daemon.core.planner_zones import Zones

# Far more than any amount or price has; up to here, sums and products of them are exact and quick (three words of nineteen digits).
_DIGITS: Final = Context(prec=57)

# No target is a million times the account; beyond that, and for what is no number at all, nothing is planned.
_WEIGHT_MAX: Final = 1e6

_IN_BAND: Final = Reason.IN_BAND.value

# What a symbol may have as its reason beside one that says more: that its target was changed to fit the account.
_LESSER: Final = frozenset({None, Reason.IN_BAND, Reason.STEP, Reason.DUST})


def plan(inputs: Inputs) -> Plan:
    """Legs that move each symbol from where it is projected to be to its target weight of equity.

    A symbol may have a leg and a reason: the leg then goes as far as it can, and the reason says what stopped it.
    """
    with localcontext(_DIGITS):
        return _within_turnover(*_plan(inputs))


def replay(text: str) -> Plan:
    """The plan that follows from a text of inputs.

    Raises:
        ValueError: it tells no inputs.
    """
    return plan(Inputs.parse(text))


def _plan(inputs: Inputs) -> tuple[Plan, Decimal]:
    """The plan without a bound on its turnover, and the worth of all its legs."""
    weights = {s: exact(w) for s, w in inputs.weights.items() if abs(w) <= _WEIGHT_MAX}
    zones = Zones.of(inputs.rules, max(inputs.book.equity, ZERO), weights.values())
    standings, left, tight = _standings(inputs, weights, zones, quick=True)
    needs: Mapping[str, Decimal] = {}
    if tight:
        standings, left, _ = _standings(inputs, weights, zones, quick=False)
        needs = _fit(standings, zones)
    reduces: list[Leg] = []
    grows: list[Leg] = []
    traded = ZERO
    for s in _decided(standings, inputs, zones.equity):
        for leg in s.legs:
            traded += leg.amount * s.worth
            (reduces if leg.reduce_only or (leg.side is SELL and not s.market.shortable) else grows).append(leg)
        why = s.why
        if s.wanted is not s.wished and why in _LESSER:
            why = _changed(s, equity=zones.equity, dropped=s.symbol in needs)
        if why is not None:
            left[s.symbol] = str(why)
    changed = {s.symbol: float(s.wanted) for s in standings if s.wanted is not s.wished}
    return Plan(tuple(reduces), tuple(priority(grows)), left, changed, needs, inputs), traded


def _decided(standings: list[Standing], inputs: Inputs, equity: Decimal) -> list[Standing]:
    """The same, each with its legs and its reason; swaps before spot."""
    swaps = [s for s in standings if s.market.shortable]
    spots = [s for s in standings if not s.market.shortable] if swaps else standings
    for s in swaps:
        s.legs, s.why = both_ways(s, inputs)
    for s in spots:
        move(s, inputs)
    if inputs.exits_only:
        _exits_only(standings)
    settle(spots, equity)
    for s in spots:
        if s.side is not None:
            finish(s, inputs.rules)
    return swaps + spots


def _exits_only(standings: Iterable[Standing]) -> None:
    """Have nothing traded but what is wanted at 0, as far as it can be held."""
    for s in standings:
        is_exit = s.wished == 0 or (s.wished < 0 and not s.market.shortable)
        if not is_exit and (s.legs or s.side is not None):
            s.stopped(Reason.COOLDOWN)


def _standings(inputs: Inputs, weights: Mapping[str, Decimal], zones: Zones, *, quick: bool) -> tuple[list[Standing], dict[str, str], bool]:
    """Where every symbol stands that can be traded, why each other is not, by symbol, and whether a target may be too small.

    `quick`: what is within its zone, as most are most of the time, is left at once. It can take no part of what is too small, then.
    """
    book, markets, caps, equity = inputs.book, inputs.markets, inputs.caps, zones.equity
    strange = inputs.weights.keys() - weights.keys() if len(weights) < len(inputs.weights) else ()
    barred: dict[str, str] = dict.fromkeys(strange, Reason.NOT_FINITE) | {**book.untouchable, **dict.fromkeys(inputs.keep, Reason.KEPT)}
    rates = {quote: rate for quote, rate in book.rates.items() if _is_sound(rate)}
    prices, projected, costly = book.prices, book.projected, bool(inputs.rules.risk_aversion)
    left: dict[str, str] = {}
    found: list[Standing] = []
    tight = False
    for symbol in sorted(markets):
        market, price = markets[symbol], prices.get(symbol, ZERO)
        if symbol in barred:
            left[symbol] = str(barred[symbol])
            continue
        rate = rates.get(market.quote)
        if rate is None or not market.active or not price.is_finite() or price <= 0:
            left[symbol] = _unsound(price, market).value
            continue
        held, wished = projected.get(symbol, ZERO), weights.get(symbol, ZERO)
        quickly = quick and not market.shortable
        if quickly and not held and not wished:
            continue
        worth, aimed = price * rate, wished * equity
        value, slack = held * worth, zones.plain(aimed)
        ample = wished > 0 and is_ample(aimed, worth, rate, market)
        tight = tight or (not ample and wished != 0)
        off, settled = abs(value - aimed), quickly and ample
        if costly and not (settled and off <= slack):
            slack = zones.width(aimed, market)
        if settled and off <= slack:
            if off:
                left[symbol] = _IN_BAND
            continue
        cap = exact(caps[symbol]) if symbol in caps else None
        found.append(Standing(symbol, market, price, worth, held, value, wished, cap, symbol in book.frozen, wished, aimed, slack))
    return found, left, tight


def _unsound(price: Decimal, market: Instrument) -> Reason:
    """Why a symbol cannot be traded that nobody forbids."""
    if not _is_sound(price):
        return Reason.NO_PRICE
    return Reason.NO_RATE if market.active else Reason.NOT_TRADABLE


def _is_sound(number: Decimal) -> bool:
    """Whether a price or a rate is one."""
    return number.is_finite() and number > 0


def _fit(standings: list[Standing], zones: Zones) -> Mapping[str, Decimal]:
    """Give every standing the target that the account can hold; returns the equity that each dropped target needs, by symbol."""
    needs: dict[str, Decimal] = {}
    for quote in sorted({s.market.quote for s in standings}):  # money of one currency takes nobody's part in another
        funded = [s for s in standings if s.market.quote == quote]
        fitting = fit(funded, zones)
        needs.update(fitting.needs)
        for s in funded if fitting.needs else ():
            as_wished = s.still or (s.wished < 0 and not s.market.shortable)  # what cannot be held is no larger for others' part
            s.wanted = ZERO if s.symbol in needs else s.wished if as_wished else raised(s, fitting.factor)
            s.aimed = s.wanted * zones.equity
            s.slack = zones.width(s.aimed, s.market)
    return needs


def _changed(s: Standing, *, equity: Decimal, dropped: bool) -> Reasoned:
    """The reason of a symbol whose target was changed to fit the account."""
    if dropped:
        return Reason.SMALL_ACCOUNT
    return Reason.RAISED if abs(s.wanted - s.wished) * equity > s.slack else s.why


def _within_turnover(made: Plan, traded: Decimal) -> Plan:
    """The same plan, every leg shrunk alike until they are worth no more than the turnover that is left to this rebalance.

    The zones have been judged before, on the whole way to the target: judged on the shrunk one, a tight bound would never trade at all.
    """
    inputs = made.inputs
    book, rates, bound = inputs.book, inputs.book.rates, inputs.rules.turnover_max
    if bound is None:
        return made
    most = 2 * bound * max(book.equity, ZERO) - book.traded
    if traded <= most:
        return made
    shrunk = fitted(made.legs, most, lambda leg: leg.amount * leg.price * rates[leg.quote], inputs.markets)
    reduces = tuple(leg for leg in shrunk if not leg.spends_quote)
    grows = tuple(leg for leg in shrunk if leg.spends_quote)
    return replace(made, reduces=reduces, grows=grows, left={**made.left, **{leg.symbol: Reason.TURNOVER_MAX.value for leg in made.legs}})
