"""The planner by property: random accounts, rules and targets, from the smallest coin to the largest, and a few cases told by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from random import Random
from time import perf_counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.model import ZERO, Instrument, Side
from daemon.core.planner import Book, Leg, Plan, Reason, Rules, buy, fund, plan, reaches_minimum, risen, scale
from tests.core.builders import dec, market

SMALL = Decimal("1e-12")  # of what is compared; divisions are rounded in the 28th digit


@dataclass(frozen=True)
class Case:
    """Everything that a plan is made of."""

    weights: Mapping[str, float]
    keep: frozenset[str]
    book: Book
    markets: Mapping[str, Instrument]
    rules: Rules

    def plan(self) -> Plan:
        return plan(self.weights, self.keep, self.book, self.markets, self.rules)


def magnitude(rng: Random, low: int, high: int, digits: int = 4) -> Decimal:
    """A number of any size between two powers of ten."""
    return Decimal(rng.randint(1, 10**digits)).scaleb(rng.randint(low, high) - digits)


def some_market(rng: Random, symbol: str) -> Instrument:
    step = Decimal(rng.choice([1, 1, 1, 5, 25])).scaleb(rng.randint(-8, 2))
    return replace(
        market(symbol),
        amount_step=step,
        amount_min=rng.choice([ZERO, step, step * 10]),
        amount_max=rng.choice([None, None, None, step * 7 / 2, step * 100_000]),
        notional_min=rng.choice([ZERO, Decimal(5), Decimal(10)]),
        taker_fee=rng.choice([ZERO, Decimal("0.001"), Decimal("0.0075")]),
        buy_fee_in_base=rng.random() < 0.7,
        active=rng.random() < 0.95,
    )


def some_case(seed: int) -> Case:
    """A random account: dust, holdings off the grid, foreign locks, missing prices, doubts, from 0 to 10 million."""
    rng = Random(seed)
    symbols = [f"C{n}/USDT" for n in range(rng.randint(0, 8))]
    markets = {s: some_market(rng, s) for s in symbols}
    prices = {s: magnitude(rng, -7, 6) for s in symbols}
    cash = rng.choice([ZERO, Decimal(60), Decimal(10_000), Decimal(10**7)]) * Decimal(rng.randint(0, 1000)) / 1000
    held: dict[str, Decimal] = {}
    for symbol in symbols:
        worth = rng.choice([ZERO, ZERO, Decimal("0.01"), Decimal(6), cash, cash * 3])
        held[symbol] = (worth / prices[symbol]).quantize(Decimal("1e-10"))
    free = {s: amount * rng.choice([Decimal(1), Decimal(1), Decimal(1), ZERO, Decimal("0.5")]) for s, amount in held.items()}
    raw = {s: rng.choice([0.0, 0.0, rng.random(), rng.random() * 1e-3]) for s in symbols}
    total = max(1.0, sum(raw.values()))
    equity = cash + sum((held[s] * prices[s] for s in symbols), ZERO)
    book = Book(
        projected=held,
        free=free,
        prices={s: p for s, p in prices.items() if rng.random() < 0.95},
        cash=cash,
        equity=equity,
        frozen={s: "drift" for s in symbols if rng.random() < 0.05},
        untouchable={s: "order_unknown" for s in symbols if rng.random() < 0.05},
    )
    band = Decimal(rng.choice(["0", "0.001", "0.02", "0.1"]))
    rules = Rules(band=band, band_relative=Decimal(rng.choice(["0", "0.1"])), to_edge=rng.random() < 0.3, slippage=Decimal("0.005"))
    keep = frozenset(s for s in symbols if rng.random() < 0.05)
    return Case({s: w / total for s, w in raw.items() if w or rng.random() < 0.5}, keep, book, markets, rules)


def released(case: Case, made: Plan) -> tuple[tuple[Leg, ...], tuple[Leg, ...]]:
    """The buys that get money at once, and those that share what sells would have brought if they bring nothing."""
    now, later = fund(made.grows, case.book.cash)
    rest = case.book.cash - sum((leg.reserve for leg in now), ZERO)
    shared, _ = scale(later, rest, case.markets)
    return now, shared


def check(case: Case) -> None:
    """Every property of a plan."""
    made = case.plan()
    assert made == case.plan()
    for leg in (*made.reduces, *made.grows):
        check_leg(case, leg)
    now, shared = released(case, made)
    assert sum((leg.reserve for leg in (*now, *shared)), ZERO) <= case.book.cash
    for leg in shared:
        on_venue_rules(case.markets[leg.symbol], leg)
    check_explained(case, made)


def on_venue_rules(market: Instrument, leg: Leg) -> None:
    assert leg.amount > 0
    assert (leg.amount / market.amount_step) % 1 == 0
    assert reaches_minimum(market, leg.amount, leg.price)
    assert market.amount_max is None or leg.amount <= market.amount_max


def check_leg(case: Case, leg: Leg) -> None:
    """On the grid, within the venue's bounds and what is free, towards the target, and not past it."""
    market, symbol = case.markets[leg.symbol], leg.symbol
    on_venue_rules(market, leg)
    held, goal = case.book.projected[symbol], target(case, symbol)
    assert symbol not in case.keep
    assert symbol not in case.book.untouchable
    if leg.side is Side.SELL:
        assert leg.amount <= case.book.free[symbol]
        assert held > goal
        assert leg.amount <= held - goal + market.amount_step
    else:
        assert symbol not in case.book.frozen
        assert held < goal
        net = leg.amount * (1 - market.taker_fee) if market.buy_fee_in_base else leg.amount
        assert held + net <= goal * (1 + SMALL)


def target(case: Case, symbol: str) -> Decimal:
    """Base units that the weight asks for."""
    return Decimal(repr(max(0.0, case.weights.get(symbol, 0.0)))) * case.book.equity / case.book.prices[symbol]


def check_explained(case: Case, made: Plan) -> None:
    """What is off target has a leg or a reason; what has neither is there already."""
    legs = {leg.symbol for leg in (*made.reduces, *made.grows)}
    for symbol, rules in case.markets.items():
        if symbol in legs or symbol in made.left:
            continue
        distance = case.book.projected[symbol] - target(case, symbol)
        assert abs(distance) * 2 <= rules.amount_step or abs(distance) <= SMALL * target(case, symbol), (symbol, distance)


def executed(case: Case, legs: tuple[Leg, ...]) -> Case:
    """The case after its orders have filled at their reference prices."""
    held, free = dict(case.book.projected), dict(case.book.free)
    cash = case.book.cash
    for leg in legs:
        market = case.markets[leg.symbol]
        fee = market.taker_fee
        if leg.side is Side.SELL:
            held[leg.symbol] -= leg.amount
            free[leg.symbol] -= leg.amount
            cash += leg.notional * (1 - fee)
        else:
            net = leg.amount * (1 - fee) if market.buy_fee_in_base else leg.amount
            held[leg.symbol] += net
            free[leg.symbol] += net
            cash -= leg.notional * (1 if market.buy_fee_in_base else 1 + fee)
    book = replace(case.book, projected=held, free=free, cash=cash)
    return replace(case, book=book)


@given(st.integers(min_value=0, max_value=2**40))
@settings(max_examples=300, deadline=None)
def test_a_plan_keeps_every_rule(seed: int) -> None:
    """Never overspends, never sells more than is free, on the grid, above the minimums, towards the target, everything explained."""
    check(some_case(seed))


def test_twenty_thousand_plans_keep_every_rule() -> None:
    """The same over many seeds, always the same ones."""
    for seed in range(20_000):
        try:
            check(some_case(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_plan_that_was_carried_out_asks_for_nothing_more() -> None:
    """After exact fills of a funded plan, at the same prices, the next plan has no legs."""
    tried = 0
    for seed in range(6_000):
        case = some_case(seed)
        markets = {s: replace(m, amount_max=None) for s, m in case.markets.items()}
        case = replace(case, markets=markets, rules=replace(case.rules, band=max(case.rules.band, Decimal("0.001"))))
        made = case.plan()
        legs = (*made.reduces, *made.grows)
        if sum((leg.reserve for leg in made.grows), ZERO) > case.book.cash or not legs:
            continue
        tried += 1
        again = executed(case, legs).plan()
        assert not (*again.reduces, *again.grows), f"seed {seed}: {legs} then {again}"
    assert tried > 1_000


def test_targets_are_reached_within_a_step_and_the_band() -> None:
    """Where money, minimums and locks allow, each symbol ends no further from its target than the band or one step."""
    for seed in range(6_000):
        case = some_case(seed)
        made = case.plan()
        legs = (*made.reduces, *made.grows)
        if sum((leg.reserve for leg in made.grows), ZERO) > case.book.cash:
            continue
        after = executed(case, legs).book.projected
        for symbol, rules in case.markets.items():
            if symbol in made.left and made.left[symbol] != Reason.IN_BAND:
                continue
            weight = dec(repr(case.weights.get(symbol, 0.0)))
            band = max(case.rules.band, case.rules.band_relative * weight) if weight > 0 else ZERO
            slack = band * case.book.equity / case.book.prices[symbol] + rules.amount_step * dec("1.01")
            assert abs(after[symbol] - target(case, symbol)) <= slack * (1 + SMALL), f"seed {seed} {symbol}"


@given(
    st.lists(st.integers(min_value=0, max_value=2**32), max_size=12),
    st.decimals(min_value=-10, max_value=10**7, allow_nan=False, allow_infinity=False, places=6),
)
@settings(max_examples=200, deadline=None)
def test_shrinking_never_exceeds_the_cash_and_wastes_little(seeds: list[int], cash: Decimal) -> None:
    """Whatever the cash: the reserves stay within it, nobody gets more than was wanted, and each smaller or missing one is named."""
    rules = Rules()
    markets: dict[str, Instrument] = {}
    legs: list[Leg] = []
    for n, seed in enumerate(seeds):
        rng = Random(seed)
        symbol = f"C{n}/USDT"
        markets[symbol] = some_market(rng, symbol)
        leg = buy(markets[symbol], magnitude(rng, -2, 6), magnitude(rng, -7, 6), rules)
        if reaches_minimum(markets[symbol], leg.amount, leg.price, Decimal("1.05")):
            legs.append(leg)
    wanted = {leg.symbol: leg for leg in legs}
    shrunk, named = scale(legs, cash, markets)
    assert sum((leg.reserve for leg in shrunk), ZERO) <= max(cash, ZERO)
    for leg in shrunk:
        on_venue_rules(markets[leg.symbol], leg)
        assert leg.amount <= wanted[leg.symbol].amount
    done = {leg.symbol for leg in shrunk if leg == wanted[leg.symbol]}
    assert done | named.keys() == wanted.keys()


def test_the_smallest_buys_are_dropped_for_the_others() -> None:
    """With money for two of three equal minimums, two are bought, not three refused."""
    markets = {s: market(s, step="0.01", notional_min="10") for s in ("A/USDT", "B/USDT", "C/USDT")}
    legs = [buy(m, dec(amount), dec(1), Rules()) for m, amount in zip(markets.values(), ("12", "14", "13"), strict=True)]
    shrunk, named = scale(legs, dec(26), markets)
    assert [leg.symbol for leg in shrunk] == ["B/USDT", "C/USDT"]
    assert set(named) == set(markets)


def test_funding_goes_to_the_largest_first_and_skips_what_does_not_fit() -> None:
    """A buy too large for the cash waits, a smaller one behind it goes."""
    markets = [market(s, step="0.01") for s in ("A/USDT", "B/USDT")]
    legs = [buy(markets[0], dec(50), dec(1), Rules()), buy(markets[1], dec(20), dec(1), Rules())]
    now, later = fund(legs, dec(30))
    assert [leg.symbol for leg in now] == ["B/USDT"]
    assert [leg.symbol for leg in later] == ["A/USDT"]


def test_a_buy_whose_price_has_risen_reserves_more() -> None:
    """The reserve follows the price up, never down, and the amount stays."""
    leg = buy(market(step="0.01"), dec(1), dec(100), Rules())
    assert risen(leg, dec(110)).reserve == leg.reserve * dec("1.1")
    assert risen(leg, dec(90)) == leg


def book(held: str, price: str = "100", cash: str = "0", free: str | None = None) -> Book:
    """One symbol's account."""
    amount = dec(held)
    return Book(
        projected={"BTC/USDT": amount},
        free={"BTC/USDT": amount if free is None else dec(free)},
        prices={"BTC/USDT": dec(price)},
        cash=dec(cash),
        equity=dec(cash) + amount * dec(price),
    )


def one(weight: float, account: Book, rules: Rules | None = None) -> Plan:
    """The plan of one symbol."""
    return plan({"BTC/USDT": weight}, (), account, {"BTC/USDT": market(step="0.001")}, rules or Rules())


def test_a_sell_in_spot_never_takes_more_than_whole_free_steps() -> None:
    """Fees in base leave holdings off the grid: an exit sells the whole steps and names the rest."""
    made = one(0.0, book("1.23456"))
    assert [leg.amount for leg in made.reduces] == [dec("1.234")]
    assert made.left == {"BTC/USDT": "dust"}


def test_dust_is_named_and_left() -> None:
    """Less than a step, or than the venue's minimum, is no order and no endless loop."""
    assert one(0.0, book("0.0009", cash="1000")).left == {"BTC/USDT": "dust"}
    assert one(0.0, book("0.04", cash="1000")).left == {"BTC/USDT": "dust"}


def test_what_somebody_else_has_locked_is_not_sold() -> None:
    """An exit sells what is free and names the lock; nothing free, nothing sold."""
    assert one(0.0, book("2", free="0")).left == {"BTC/USDT": "locked"}
    made = one(0.0, book("2", free="1.5"))
    assert [leg.amount for leg in made.reduces] == [dec("1.500")]
    assert made.left == {"BTC/USDT": "locked"}


def test_inside_the_band_nothing_trades_and_outside_it_goes_to_the_target() -> None:
    """At 0.52 of a wanted 0.5 with a band of 0.05 nothing happens; at 0.56 it goes back to 0.5, or to the edge if so configured."""
    rules = Rules(band=dec("0.05"), band_relative=ZERO)
    assert one(0.5, book("5.2", cash="480"), rules).left == {"BTC/USDT": "in_band"}
    (leg,) = one(0.5, book("5.6", cash="440"), rules).reduces
    assert leg.amount == dec("0.600")
    edge = one(0.5, book("5.6", cash="440"), replace(rules, to_edge=True))
    assert [leg.amount for leg in edge.reduces] == [dec("0.100")]


def test_a_buy_orders_the_fee_on_top() -> None:
    """Where the fee is taken from what is bought, more is ordered, so that the holding ends at the target and not below it."""
    (leg,) = one(0.5, book("0", cash="1000")).grows
    assert leg.amount == (dec(5) / dec("0.999")).quantize(dec("0.001"), ROUND_FLOOR)


def test_no_number_raises() -> None:
    """Prices of 0, NaN and infinity, equity of 0 or less, weights beyond sense: reasons, not exceptions."""
    for price in ("0", "-1", "NaN", "Infinity"):
        account = replace(book("1", cash="10"), prices={"BTC/USDT": Decimal(price)})
        assert one(0.5, account).left == {"BTC/USDT": "no_price"}
    for equity in ("0", "-100"):
        for weight in (0.0, 0.5, 1e9, -0.5):
            one(weight, replace(book("1"), equity=dec(equity)))
    assert plan({}, (), book("0"), {}, Rules()) == Plan((), (), {})
    one(1e300, book("1e20", price="1e6"))


def test_numpy_weights_are_numbers() -> None:
    """A strategy's weights may be numpy's own floats."""
    assert len(one(np.float64(0.5), book("0", cash="1000")).grows) == 1


def test_planning_five_hundred_symbols_takes_milliseconds() -> None:
    """Measured at about 5 ms; the bound here is wide, since test machines are shared."""
    rng = Random(1)
    symbols = [f"C{n}/USDT" for n in range(500)]
    markets = {s: market(s) for s in symbols}
    account = Book(
        projected={s: dec(rng.randint(0, 10_000)) / 1000 for s in symbols},
        free={s: dec(rng.randint(0, 10_000)) / 1000 for s in symbols},
        prices={s: dec(round(rng.uniform(1, 100), 2)) for s in symbols},
        cash=dec(1_000_000),
        equity=dec(2_000_000),
    )
    weights = {s: rng.random() / 500 for s in symbols}
    took = []
    for _ in range(20):
        began = perf_counter()
        made = plan(weights, (), account, markets, Rules(band=ZERO, band_relative=ZERO))
        scale(made.grows, dec(1000), markets)
        took.append(perf_counter() - began)
    assert min(took) < 0.03
