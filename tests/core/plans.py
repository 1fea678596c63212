"""Plans: random accounts, rules and targets, from the smallest coin to the largest, and what must hold of every plan for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from random import Random
from typing import TypeVar

from daemon.core.model import EXACT, ZERO, Instrument, Side
from daemon.core.planner import plan
from daemon.core.planner_funds import fund, scale
from daemon.core.planner_inputs import ONE, Book, Inputs, Rules
from daemon.core.planner_legs import Leg, Plan, limited, reaches_minimum
from daemon.core.planner_zones import Zones

T = TypeVar("T")
SMALL = Decimal("1e-12")  # of what is compared: cases are built with 28 digits


def book(
    held: Mapping[str, Decimal],
    prices: Mapping[str, Decimal],
    cash: Decimal | Mapping[str, Decimal] = ZERO,
    rates: Mapping[str, Decimal] | None = None,
    **other: object,
) -> Book:
    """An account in which everything is free. Cash without a currency is USDT."""
    money = cash if isinstance(cash, Mapping) else {"USDT": cash}
    worth = {"USDT": ONE} if rates is None else rates
    equity = sum((amount * worth.get(quote, ZERO) for quote, amount in money.items()), ZERO)
    equity += sum((amount * prices.get(s, ZERO) * worth.get(s.partition("/")[2], ZERO) for s, amount in held.items()), ZERO)
    made = Book(projected=held, free=held, prices=prices, cash=money, rates=worth, equity=equity)
    return replace(made, **other)  # type: ignore[arg-type]


# --- random cases ----------------------------------------------------------------------------------------------------


def magnitude(rng: Random, low: int, high: int, digits: int = 4) -> Decimal:
    """A number of any size between two powers of ten."""
    return Decimal(rng.randint(1, 10**digits)).scaleb(rng.randint(low, high) - digits)


def some_market(rng: Random, symbol: str) -> Instrument:
    """Rules of any size, from steps of 1e-8 to steps of 1000."""
    step = Decimal(rng.choice([1, 1, 1, 5, 25])).scaleb(rng.randint(-8, 3))
    base, _, quote = symbol.partition("/")
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        price_tick=Decimal("0.01"),
        amount_step=step,
        amount_min=rng.choice([ZERO, step, step * 10]),
        amount_max=rng.choice([None, None, None, step * 7 / 2, step * 100_000]),
        notional_min=rng.choice([ZERO, Decimal(5), Decimal(10)]),
        notional_max=rng.choice([None, None, Decimal(1_000), Decimal(9_000_000)]),
        notional_min_market=rng.random() < 0.9,
        notional_max_market=rng.random() < 0.5,
        market_step=rng.choice([None, None, step, step * 2, step * 3 / 2]),
        market_min=rng.choice([ZERO, ZERO, step * 3]),
        market_max=rng.choice([None, None, step * 1_000]),
        taker_fee=rng.choice([ZERO, Decimal("0.001"), Decimal("0.0075")]),
        buy_fee_in_base=rng.random() < 0.7,
        active=rng.random() < 0.95,
    )


def capped(seed: int, markets: Mapping[str, Instrument], prices: Mapping[str, Decimal]) -> Mapping[str, Instrument]:
    """In every other account orders are limits, with ticks that the prices lie on, and some that they do not."""
    rng = Random(f"cap {seed}")
    cap = rng.choice([None, None, None, "0.0001", "0.005", "0.1"])
    if cap is None:
        return markets
    ticks = {s: Decimal(rng.choice([1, 1, 1, 25])).scaleb(prices[s].adjusted() - rng.randint(2, 4)) for s in markets}
    return {s: limited(replace(m, price_tick=ticks[s]), Decimal(cap)) for s, m in markets.items()}


def some_rules(rng: Random) -> Rules:
    """Zones of every kind, and fees in a third asset, which may be one of the traded."""
    return Rules(
        band=Decimal(rng.choice(["0", "0.001", "0.02", "0.1"])),
        band_relative=Decimal(rng.choice(["0", "0.1"])),
        band_average=Decimal(rng.choice(["0", "0", "0.1"])),
        risk_aversion=Decimal(rng.choice(["0", "0", "3"])),
        to_edge=rng.random() < 0.3,
        slippage=Decimal("0.005"),
        turnover_max=rng.choice([None, None, None, Decimal("0.1"), Decimal(2)]),
        raise_max=Decimal(rng.choice(["1", "1.5", "3"])),
        fee_asset=rng.choice(["", "", "BNB", "C0"]),
        fee_reserve=rng.choice([ZERO, Decimal("0.5"), Decimal(100)]),
    )


def some_weights(rng: Random, symbols: Iterable[str]) -> dict[str, float]:
    """A full set of targets that sum to at most 1; now and then far too much is wanted, or no number."""
    raw = {s: rng.choice([0.0, 0.0, rng.random(), 1.0, rng.random() * 1e-3]) for s in symbols}
    total = max(1.0, sum(raw.values())) * rng.choice([1.0, 1.0, 1.0, 0.2])
    wild = {s: rng.choice([float("nan"), float("inf"), -0.5]) for s in raw if rng.random() < 0.01}
    return {s: w / total for s, w in raw.items() if w or rng.random() < 0.5} | wild


def some_case(seed: int) -> Inputs:
    """A random account: dust, holdings off the grid, foreign locks, orders in flight, missing prices, doubts, from 0 to 10 million."""
    rng = Random(seed)
    quotes = rng.choice([["USDT"], ["USDT"], ["USDT", "USDC"], ["USDT", "USDC", "EUR"]])
    rates = {"USDT": ONE, "USDC": Decimal(rng.choice(["1", "0.9993"])), "EUR": Decimal("1.0871")}
    symbols = [f"C{n}/{rng.choice(quotes)}" for n in range(rng.choice([0, 1, 2, 3, 5, 8, 12]))]
    size = rng.choice([ZERO, Decimal(60), Decimal(60), Decimal(10_000), Decimal(10**7)])
    cash = {quote: size * Decimal(rng.randint(-20 if rng.random() < 0.1 else 0, 1000)) / 1000 for quote in quotes}
    prices = {s: magnitude(rng, -7, 6) for s in symbols}
    held: dict[str, Decimal] = {}
    for symbol in symbols:
        worth = rng.choice([ZERO, ZERO, Decimal("0.01"), Decimal(6), size / 5, size])
        held[symbol] = (worth / prices[symbol]).quantize(Decimal("1e-10"), context=EXACT)
    account = book(held, prices, cash, {quote: rates[quote] for quote in quotes})
    moving = {s: "order_open" for s in symbols if rng.random() < 0.1}
    flying = {s: amount * Decimal(rng.choice(["0.3", "1", "1.5"])) for s, amount in held.items() if s in moving}
    weights = some_weights(rng, symbols)
    return Inputs(
        weights=weights,
        keep=frozenset(s for s in symbols if rng.random() < 0.05),
        caps={s: rng.choice([0.35, 1.0]) for s in symbols if rng.random() < 0.5},
        markets=capped(seed, {s: some_market(rng, s) for s in symbols}, prices),
        rules=some_rules(rng),
        exits_only=rng.random() < 0.05,
        book=replace(
            account,
            projected=held | flying,
            free={s: min(amount, flying.get(s, amount)) * rng.choice([ONE, ONE, ONE, ZERO, Decimal("0.5")]) for s, amount in held.items()},
            prices={s: p for s, p in prices.items() if rng.random() < 0.97} | {s: Decimal("NaN") for s in symbols if rng.random() < 0.01},
            rates={quote: rate for quote, rate in account.rates.items() if rng.random() < 0.98},
            moving=moving,
            frozen={s: "drift" for s in symbols if rng.random() < 0.05},
            untouchable={s: why for s, why in moving.items() if weights.get(s)}
            | {s: "order_unknown" for s in symbols if rng.random() < 0.03},
            traded=rng.choice([ZERO, ZERO, account.equity.copy_abs() / 20]),
        ),
    )


# --- what must hold --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """A plan beside what it was made from, with the figures that the properties speak of."""

    inputs: Inputs
    made: Plan

    @property
    def equity(self) -> Decimal:
        return max(self.inputs.book.equity, ZERO)

    def worth(self, symbol: str) -> Decimal:
        """Of one base unit, in the account's currency."""
        book = self.inputs.book
        return book.prices[symbol] * book.rates[self.inputs.markets[symbol].quote]

    def target(self, symbol: str) -> Decimal:
        """The weight that was planned for."""
        return max(ZERO, Decimal(repr(self.made.changed.get(symbol, self.inputs.weights.get(symbol, 0.0)))))

    def zone(self, symbol: str) -> Decimal:
        """Half the width of the zone about the target, as a weight."""
        weights = [Decimal(repr(w)) for w in self.inputs.weights.values() if abs(w) < float("inf")]
        return Zones.of(self.inputs.rules, ONE, weights).width(self.target(symbol), self.inputs.markets[symbol])

    def arrives(self, leg: Leg) -> Decimal:
        """Signed base units that a leg moves, if it fills at its reference."""
        market, rules = self.inputs.markets[leg.symbol], self.inputs.rules
        fee = market.taker_fee if leg.side is Side.BUY and market.buy_fee_in_base and not rules.fee_asset else ZERO
        return leg.side.sign * leg.amount * (1 - fee)


def judge(inputs: Inputs) -> None:
    """Every property of a plan."""
    with localcontext(EXACT):
        made = plan(inputs)
        judged = Judged(inputs, made)
        same_bytes(inputs, made)
        for leg in made.legs:
            on_venue_rules(inputs.markets[leg.symbol], leg)
            towards_the_target(judged, leg)
        within_money(inputs, made)
        minimal(judged)
        explained(judged)


def same_bytes(inputs: Inputs, made: Plan) -> None:
    """The text of the inputs tells the plan, to the last zero."""
    text = inputs.text()
    read = Inputs.parse(text)
    assert read.text() == text
    assert repr(plan(read)) == repr(made)


def in_any_order(inputs: Inputs) -> None:
    """The order in which the inputs come changes nothing."""
    book = inputs.book
    turned = replace(book, **{name: _reversed(getattr(book, name)) for name in ("projected", "free", "prices", "cash", "rates", "moving")})  # type: ignore[arg-type]
    again = replace(inputs, book=turned, markets=_reversed(inputs.markets), weights=_reversed(inputs.weights), caps=_reversed(inputs.caps))
    assert repr(plan(again)) == repr(plan(inputs))
    assert again.text() == inputs.text()


def _reversed(mapping: Mapping[str, T]) -> dict[str, T]:
    return dict(reversed(list(mapping.items())))


def on_venue_rules(market: Instrument, leg: Leg) -> None:
    """On every grid and within every bound, with room on both sides of the notional where the price may move."""
    assert leg.amount > 0
    for step in (market.amount_step, market.market_step):
        assert step is None or (leg.amount / step) % 1 == 0
    assert reaches_minimum(market, leg.amount, leg.price)
    assert market.most is None or leg.amount <= market.most
    assert market.worth_most is None or leg.notional <= market.worth_most
    assert leg.amount.is_finite()
    assert leg.reserve > 0
    within_its_cap(market, leg)


def within_its_cap(market: Instrument, leg: Leg) -> None:
    """A limit is on the tick and never beyond the cap, whatever a buy can cost at it is set aside, and the venue takes it at that price."""
    if market.price_cap is None:
        assert leg.limit is None
        return
    assert leg.limit is not None
    sign = leg.side.sign
    assert leg.limit > 0
    assert leg.limit % market.price_tick == 0
    assert sign * leg.limit <= sign * leg.price * (1 + sign * market.price_cap) or leg.limit == market.price_tick
    if leg.side is Side.BUY:
        assert leg.reserve >= leg.amount * leg.limit * (1 + market.taker_fee)
    if leg.price % market.price_tick == 0:
        assert sign * leg.limit >= sign * leg.price
        assert leg.amount * leg.limit >= market.notional_min * (1 - market.price_cap)
        assert market.notional_max is None or leg.amount * leg.limit <= market.notional_max * (1 + market.price_cap)


def towards_the_target(judged: Judged, leg: Leg) -> None:
    """Not where nothing may trade, not more than is free, never away from the target, never beyond it by more than a step."""
    inputs, symbol = judged.inputs, leg.symbol
    market, book, rules = inputs.markets[symbol], inputs.book, inputs.rules
    held, worth = book.projected[symbol], judged.worth(symbol)
    goal = judged.target(symbol) * judged.equity / worth
    end = held + judged.arrives(leg)
    assert symbol not in inputs.keep
    assert symbol not in book.untouchable
    assert market.active
    if leg.side is Side.SELL:
        reserve = rules.fee_reserve if market.base == rules.fee_asset else ZERO
        assert leg.amount <= min(book.free[symbol], held)
        assert held - leg.amount >= reserve
        assert held > goal
        assert end >= goal * (1 - SMALL) - market.lot
    else:
        assert symbol not in book.frozen
        assert held < goal
        assert end <= goal * (1 + SMALL) + market.lot / 2
        cap = inputs.caps.get(symbol)
        assert cap is None or end * worth <= max(Decimal(repr(cap)), judged.target(symbol)) * judged.equity * (1 + SMALL)
        assert leg.limit is not None or leg.reserve >= leg.notional * (1 + rules.slippage)
    assert not inputs.exits_only or inputs.weights.get(symbol, 0.0) <= 0


def within_money(inputs: Inputs, made: Plan) -> None:
    """What is released at once and what shares the rest never takes more than is free, in any currency."""
    now, later = fund(made.grows, inputs.book.cash)
    rest = {quote: free - sum((leg.reserve for leg in now if leg.quote == quote), ZERO) for quote, free in inputs.book.cash.items()}
    shared, named = scale(later, rest, inputs.markets)
    for quote, free in inputs.book.cash.items():
        assert sum((leg.reserve for leg in (*now, *shared) if leg.quote == quote), ZERO) <= max(free, ZERO)
    wanted = {leg.symbol: leg for leg in later}
    for leg in shared:
        on_venue_rules(inputs.markets[leg.symbol], leg)
        assert leg.amount <= wanted[leg.symbol].amount
    assert {leg.symbol for leg in shared if leg == wanted[leg.symbol]} | named.keys() == wanted.keys()


def minimal(judged: Judged) -> None:
    """Nothing is traded but the distance from the targets, and no more than the turnover allows."""
    inputs, book = judged.inputs, judged.inputs.book
    traded = sum((leg.amount * judged.worth(leg.symbol) for leg in judged.made.legs), ZERO)
    distance = steps = ZERO
    for symbol in {leg.symbol for leg in judged.made.legs}:
        worth = judged.worth(symbol)
        distance += abs(book.projected[symbol] * worth - judged.target(symbol) * judged.equity)
        steps += inputs.markets[symbol].lot * worth
    assert traded <= distance * Decimal("1.008") + steps
    if inputs.rules.turnover_max is not None and judged.made.legs:
        assert traded <= 2 * inputs.rules.turnover_max * judged.equity - book.traded


def explained(judged: Judged) -> None:
    """Whatever would end outside the zone of its target, as it was given, has a reason."""
    inputs, made = judged.inputs, judged.made
    moved = {leg.symbol: judged.arrives(leg) for leg in made.legs}
    assert made.left.keys() <= inputs.markets.keys()
    assert made.needs.keys() <= made.left.keys()
    for symbol in inputs.markets.keys() - made.left.keys():
        end = inputs.book.projected[symbol] + moved.get(symbol, ZERO)
        given = max(ZERO, Decimal(repr(inputs.weights.get(symbol, 0.0))))
        zone = judged.zone(symbol) * (1 + SMALL)
        assert abs(end * judged.worth(symbol) - judged.target(symbol) * judged.equity) <= zone * judged.equity * 2, symbol
        assert abs(judged.target(symbol) - given) <= zone, symbol  # raised by so little for others that are too small, it needs no word
    for symbol, need in made.needs.items():
        assert made.changed[symbol] == 0
        assert need > judged.equity


def executed(inputs: Inputs, legs: Iterable[Leg]) -> Inputs:
    """The case after these legs have filled at their reference prices."""
    made = Judged(inputs, Plan((), (), {}, {}, {}, inputs))
    held, free, cash = dict(inputs.book.projected), dict(inputs.book.free), dict(inputs.book.cash)
    for leg in legs:
        market = inputs.markets[leg.symbol]
        held[leg.symbol] += made.arrives(leg)
        free[leg.symbol] += made.arrives(leg)
        in_quote = not inputs.rules.fee_asset and (leg.side is Side.SELL or not market.buy_fee_in_base)
        cash[leg.quote] -= leg.notional * (leg.side.sign + (market.taker_fee if in_quote else 0))
    return replace(inputs, book=replace(inputs.book, projected=held, free=free, cash=cash))
