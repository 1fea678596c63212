"""The planner by property: random accounts, rules and targets, from the smallest coin to the largest, and a few cases told by hand."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from itertools import product
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.model import ZERO, Instrument, Side
from daemon.core.planner import plan, replay
from daemon.core.planner_inputs import Book, Inputs, Rules
from daemon.core.planner_legs import Leg, Plan, Reason, buy, limit_price, limited
from tests.bench.planning import account
from tests.core.builders import dec, market
from tests.core.plans import SMALL, Judged, book, executed, in_any_order, judge, some_case

BTC = "BTC/USDT"
BARE = Rules(band=ZERO, band_relative=ZERO)

# `make plans` tries 200,000; a slice of them runs with the suite.
CASES = int(os.environ.get("REBALANCED_CASES", "600"))
FIRST = int(os.environ.get("REBALANCED_SEED", "1")) * 10_000_000


# --- every account ---------------------------------------------------------------------------------------------------


def test_every_plan_keeps_every_rule() -> None:
    """Never overspends, oversells, leaves the venue's rules or goes away from a target; everything explained; same inputs, same bytes."""
    for seed in range(FIRST, FIRST + CASES):
        try:
            judge(some_case(seed))
        except Exception as error:
            error.add_note(f"case {seed}")
            raise


@given(st.integers(min_value=0, max_value=2**40))
@settings(max_examples=40, deadline=None)
def test_any_plan_keeps_every_rule(seed: int) -> None:
    """The same where hypothesis looks."""
    judge(some_case(seed))


def test_the_order_of_the_inputs_changes_nothing() -> None:
    """Mappings that come in another order make the same plan, and the same text."""
    for seed in range(60):
        in_any_order(some_case(seed))


def unhindered(seed: int) -> Inputs:
    """A random case in which every trade can be made at once."""
    case = some_case(seed)
    markets = {s: replace(m, amount_max=None, market_max=None, notional_max=None) for s, m in case.markets.items()}
    rules = replace(case.rules, turnover_max=None, band=max(case.rules.band, Decimal("0.001")))
    return replace(case, markets=markets, rules=rules, exits_only=False)


def funded(case: Inputs, made: Plan) -> bool:
    """Whether all buys have their money without the sells."""
    need: dict[str, Decimal] = {}
    for leg in made.grows:
        need[leg.quote] = need.get(leg.quote, ZERO) + leg.reserve
    return all(amount <= case.book.cash[quote] for quote, amount in need.items())


def dropped(made: Plan) -> set[str]:
    """The symbols that this account cannot hold."""
    return {symbol for symbol, weight in made.changed.items() if not weight}


def test_a_plan_that_was_carried_out_asks_for_nothing_more() -> None:
    """After exact fills of a funded plan, at the same prices, the next plan has no legs, if the account can hold the same targets."""
    tried = 0
    for seed in range(FIRST, FIRST + max(CASES // 4, 1)):
        case = unhindered(seed)
        made = plan(case)
        if made.legs and funded(case, made):
            tried += 1
            again = plan(executed(case, made.legs))
            assert not again.legs or dropped(again) != dropped(made), f"case {seed}: {made.legs} then {again.legs}"
    assert tried > CASES // 60


def test_at_the_target_there_is_nothing_to_do() -> None:
    """Whatever the rules, an account that holds exactly what is wanted has no legs, and nothing to explain but what it may not touch."""
    tried = 0
    for seed in range(FIRST, FIRST + CASES):
        case = some_case(seed)
        case = replace(case, weights={s: w for s, w in case.weights.items() if isfinite(w)})
        worth = {s: case.book.prices.get(s, ZERO) * case.book.rates.get(m.quote, ZERO) for s, m in case.markets.items()}
        if case.book.equity <= 0 or not all(w.is_finite() and w > 0 for w in worth.values()):
            continue
        held = {s: max(ZERO, dec(repr(case.weights.get(s, 0.0)))) * case.book.equity / worth[s] for s in case.markets}
        settled = replace(case, book=replace(case.book, projected=held, free=held, moving={}, untouchable={}, frozen={}), keep=frozenset())
        settled = replace(settled, exits_only=False)
        made = plan(settled)
        if made.needs:
            continue  # what is held is too small to be held
        tried += 1
        assert not made.legs, f"case {seed}"
        untouched = {"not_tradable", "in_band", "step", "below_minimum", "small_account"}
        assert set(made.left.values()) <= untouched, f"case {seed}: {made.left}"
    assert tried > CASES // 4


def test_targets_are_reached_within_a_step_and_the_zone() -> None:
    """Where nothing is in the way, each symbol ends no further from its target than its zone or one step."""
    reached = 0
    for seed in range(FIRST, FIRST + max(CASES // 4, 1)):
        case = unhindered(seed)
        made = plan(case)
        after = Judged(executed(case, made.legs), made)
        for symbol, rules in case.markets.items():
            if made.left.get(symbol, "raised") in {"raised", "step", "in_band"} and symbol in case.book.prices:
                goal = after.target(symbol) * after.equity / after.worth(symbol)
                slack = after.zone(symbol) * after.equity / after.worth(symbol) + rules.lot * dec("1.01")
                assert abs(after.inputs.book.projected[symbol] - goal) <= slack * (1 + SMALL), f"case {seed} {symbol}"
                reached += 1
    assert reached > CASES // 4


# --- the inputs ------------------------------------------------------------------------------------------------------


def test_the_text_of_the_inputs_tells_everything() -> None:
    """Each field, changed alone, changes the fingerprint, and comes back from the text as it was."""
    case = one(0.5, alone("1", cash="100"))
    others = [
        replace(case, weights={BTC: 0.25}),
        replace(case, keep=frozenset({BTC})),
        replace(case, caps={BTC: 0.5}),
        replace(case, exits_only=True),
        replace(case, rules=replace(case.rules, slippage=dec("0.006"))),
        replace(case, rules=replace(case.rules, turnover_max=dec("0.1"), fee_asset="BNB", fee_reserve=dec("0.1"))),
        replace(case, markets={BTC: replace(case.markets[BTC], notional_max=dec(9000), market_step=dec("0.01"))}),
        *(replace(case, book=replace(case.book, **{name: {BTC: "drift"}})) for name in ("frozen", "moving", "untouchable")),  # type: ignore[arg-type]
        *(replace(case, book=replace(case.book, **{name: {BTC: dec(7)}})) for name in ("projected", "free", "prices", "cash", "rates")),  # type: ignore[arg-type]
        *(replace(case, book=replace(case.book, **{name: dec(7)})) for name in ("equity", "traded")),  # type: ignore[arg-type]
    ]
    assert len({each.fingerprint for each in (case, *others)}) == 1 + len(others)
    for each in (case, *others):
        assert Inputs.parse(each.text()) == each


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version":2}', '{"version":1}', '{"version":1,"book":{"equity":"x"}}'])
def test_what_is_no_text_of_inputs_is_refused(text: str) -> None:
    """Another version, or nonsense, is an error in words, not a plan."""
    with pytest.raises(ValueError, match=r"version|inputs of a plan|Expecting"):
        replay(text)


# --- lots ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(min_value=111, max_value=400), min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_equal_lots_are_shared_out_with_the_least_error_there_is(hundredths: list[int]) -> None:
    """No other choice of rounding up or down that spends no more than was meant comes nearer to the targets."""
    markets = {f"C{n}/USDT": market(f"C{n}/USDT", step="1", notional_min="0") for n in range(len(hundredths))}
    goals = [Decimal(n) / 100 for n in hundredths]
    account = book(dict.fromkeys(markets, ZERO), dict.fromkeys(markets, Decimal(1)), Decimal(1000))
    weights = {s: float(goal / 1000) for s, goal in zip(markets, goals, strict=True)}
    free = {s: replace(m, buy_fee_in_base=False) for s, m in markets.items()}
    made = plan(Inputs(weights=weights, book=account, markets=free, rules=replace(BARE, raise_max=Decimal(1), band=dec("0.0001"))))
    wanted = {s: goal for s, goal in zip(markets, goals, strict=True) if s not in made.needs}
    lots = {leg.symbol: leg.amount for leg in made.grows}
    error = sum((abs(lots.get(s, ZERO) - goal) for s, goal in wanted.items()), ZERO)
    floors = [goal.to_integral_value(ROUND_FLOOR) for goal in wanted.values()]
    for ups in product((0, 1), repeat=len(floors)):
        tried = [floor + up for floor, up in zip(floors, ups, strict=True)]
        if sum(tried, ZERO) <= sum(wanted.values(), ZERO):
            assert error <= sum((abs(lot - goal) for lot, goal in zip(tried, wanted.values(), strict=True)), ZERO)


def test_a_step_more_never_goes_beyond_a_limit() -> None:
    """Half a lot and more would be rounded up, but not where the limits end."""
    markets = {s: market(s, step="1", notional_min="0", base_fee=False) for s in ("A/USDT", "B/USDT")}
    account = book(dict.fromkeys(markets, ZERO), dict.fromkeys(markets, dec(10)), dec(100))
    case = Inputs(weights={"A/USDT": 0.28, "B/USDT": 0.24}, book=account, markets=markets, rules=BARE)
    assert {leg.symbol: leg.amount for leg in plan(case).grows} == {"A/USDT": 3, "B/USDT": 2}
    capped = plan(replace(case, caps={"A/USDT": 0.29, "B/USDT": 0.29}))
    assert {leg.symbol: leg.amount for leg in capped.grows} == {"A/USDT": 2, "B/USDT": 2}
    assert capped.left == {"A/USDT": "step", "B/USDT": "step"}


# --- told by hand ----------------------------------------------------------------------------------------------------


def alone(held: str, price: str = "100", cash: str = "0", free: str | None = None) -> Book:
    """One symbol's account."""
    account = book({BTC: dec(held)}, {BTC: dec(price)}, dec(cash))
    return account if free is None else replace(account, free={BTC: dec(free)})


def one(weight: float, account: Book, rules: Rules | None = None, **of_market: object) -> Inputs:
    """The inputs of one symbol."""
    rule = replace(market(step="0.001"), **of_market)  # type: ignore[arg-type]
    return Inputs(weights={BTC: weight}, book=account, markets={BTC: rule}, rules=rules or Rules())


def amounts(legs: tuple[Leg, ...]) -> list[Decimal]:
    return [leg.amount for leg in legs]


def test_a_sell_in_spot_never_takes_more_than_whole_free_steps() -> None:
    """Fees in base leave holdings off the grid: an exit sells the whole steps and names the rest."""
    made = plan(one(0.0, alone("1.23456")))
    assert amounts(made.reduces) == [dec("1.234")]
    assert made.left == {BTC: "dust"}


def test_dust_is_named_and_left() -> None:
    """Less than a step, or than the venue's minimum, is no order and no endless loop."""
    assert plan(one(0.0, alone("0.0009", cash="1000"))).left == {BTC: "dust"}
    assert plan(one(0.0, alone("0.04", cash="1000"))).left == {BTC: "dust"}


def test_what_somebody_else_has_locked_is_not_sold() -> None:
    """An exit sells what is free and names the lock; nothing free, nothing sold."""
    assert plan(one(0.0, alone("2", free="0"))).left == {BTC: "locked"}
    made = plan(one(0.0, alone("2", free="1.5")))
    assert amounts(made.reduces) == [dec("1.500")]
    assert made.left == {BTC: "locked"}


def test_what_pays_the_fees_is_not_sold() -> None:
    """A coin that the venue takes its fees in is kept down to the reserve, whether it is reduced or sold out, and that is said."""
    rules = replace(BARE, fee_asset="BTC", fee_reserve=dec("0.5"))
    out = plan(one(0.0, alone("2"), rules))
    assert amounts(out.reduces) == [dec("1.5")]
    assert out.left == {BTC: "fee_reserve"}
    assert amounts(plan(one(0.2, alone("2"), rules)).reduces) == [dec("1.5")]
    assert amounts(plan(one(0.5, alone("2"), rules)).reduces) == [dec(1)]
    assert plan(one(0.0, alone("0.5"), rules)).left == {BTC: "fee_reserve"}
    assert amounts(plan(one(0.0, alone("2"), replace(rules, fee_asset="BNB"))).reduces) == [dec(2)]


def test_inside_the_band_nothing_trades_and_outside_it_goes_to_the_target() -> None:
    """At 0.52 of a wanted 0.5 with a band of 0.05 nothing happens; at 0.56 it goes back to 0.5, or to the edge if so configured."""
    rules = replace(BARE, band=dec("0.05"))
    assert plan(one(0.5, alone("5.2", cash="480"), rules)).left == {BTC: "in_band"}
    assert amounts(plan(one(0.5, alone("5.6", cash="440"), rules)).reduces) == [dec("0.600")]
    edge = plan(one(0.5, alone("5.6", cash="440"), replace(rules, to_edge=True)))
    assert amounts(edge.reduces) == [dec("0.100")]


def test_a_first_allocation_goes_to_the_target_and_an_exit_is_whole() -> None:
    """The edge is for positions that are there: what is begun is begun at its target, what is ended ends at nothing."""
    rules = replace(BARE, band=dec("0.05"), to_edge=True)
    assert amounts(plan(one(0.5, alone("0.04", cash="996"), rules)).grows) == [dec("4.964")]
    assert amounts(plan(one(0.5, alone("4", cash="600"), rules)).grows) == [dec("0.501")]
    assert amounts(plan(one(0.0, alone("0.3", cash="970"), rules)).reduces) == [dec("0.3")]


def test_a_trade_to_the_edge_ends_inside_the_zone() -> None:
    """A step less would be outside again at once, and the next decision would trade another one."""
    rules = replace(BARE, band=dec("0.05"), to_edge=True)
    case = one(0.5, alone("5.6043", cash="439.57"), rules, taker_fee=ZERO)
    made = plan(case)
    assert amounts(made.reduces) == [dec("0.105")]
    assert plan(executed(case, made.legs)).left == {BTC: "in_band"}


def test_an_order_has_room_above_the_smallest_notional_and_an_exit_needs_none() -> None:
    """The price may fall on the way: 5.1 where 5 are asked for is too little to buy, and enough to sell out."""
    assert plan(one(0.4051, alone("4", cash="600"), BARE)).left == {BTC: "below_minimum"}
    assert amounts(plan(one(0.4055, alone("4", cash="600"), BARE)).grows) == [dec("0.055")]
    assert amounts(plan(one(0.0, alone("0.051", cash="600"), BARE)).reduces) == [dec("0.051")]


def test_a_sell_ends_at_the_nearest_step() -> None:
    """With 1.4 steps too much one is sold, with 1.6 two: what remains is as near to the target as steps allow."""
    for held, sold in (("21.4", 1), ("21.6", 2)):
        case = one(0.02, alone(held, cash=str(100_000 - 100 * float(held))), BARE, amount_step=dec(1))
        assert amounts(plan(case).reduces) == [sold]


def test_the_last_step_that_is_left_is_named() -> None:
    """Where all that is free is sold and a part of a step too much remains, that is a matter of the step."""
    case = one(0.02, alone("3.4", cash="660"), BARE, amount_step=dec(1))
    made = plan(replace(case, book=replace(case.book, frozen={BTC: "drift"})))
    assert (amounts(made.reduces), made.left) == ([dec(3)], {BTC: "step"})


def test_a_buy_orders_the_fee_on_top() -> None:
    """Where the fee is taken from what is bought, more is ordered; where it is taken elsewhere, not."""
    (leg,) = plan(one(0.5, alone("0", cash="1000"))).grows
    assert leg.amount == (dec(5) / dec("0.999")).quantize(dec("0.001"), ROUND_FLOOR)
    assert amounts(plan(one(0.5, alone("0", cash="1000"), buy_fee_in_base=False)).grows) == [dec(5)]
    assert amounts(plan(one(0.5, alone("0", cash="1000"), Rules(fee_asset="BNB"))).grows) == [dec(5)]


def test_the_rules_for_market_orders_are_kept() -> None:
    """Their own step, smallest and largest amount, and a largest notional; bounds that do not hold for them are not asked for."""
    account = alone("0", cash="1000")
    assert amounts(plan(one(0.5, account, market_step=dec("0.3"), base="B")).grows) == [dec("4.8")]
    assert plan(one(0.5, account, market_min=dec(6))).left == {BTC: "small_account"}
    largest = plan(one(0.5, account, amount_max=dec(4), market_max=dec("2.5")))
    assert (amounts(largest.grows), largest.left) == ([dec("2.5")], {BTC: "amount_max"})
    dear = plan(one(0.5, account, notional_max=dec(210)))
    assert (amounts(dear.grows), dear.left) == ([dec(2)], {BTC: "amount_max"})
    assert amounts(plan(one(0.5, account, notional_max=dec(210), notional_max_market=False)).grows) == [dec("5.005")]
    assert amounts(plan(one(0.5, account, notional_min=dec(900), notional_min_market=False)).grows) == [dec("5.005")]


def two_quotes(usdt: str, usdc: str) -> tuple[Mapping[str, Instrument], Book]:
    markets = {s: market(s, step="0.001") for s in ("A/USDC", "B/USDT")}
    cash, rates = {"USDT": dec(usdt), "USDC": dec(usdc)}, {"USDT": dec(1), "USDC": dec("0.5")}
    return markets, book(dict.fromkeys(markets, ZERO), dict.fromkeys(markets, dec(10)), cash, rates)


def test_each_quote_currency_is_valued_at_its_rate() -> None:
    """A unit that is worth half as much buys twice as many for the same weight."""
    markets, account = two_quotes("1000", "2000")
    case = Inputs(weights={"A/USDC": 0.4, "B/USDT": 0.4}, book=account, markets=markets, rules=replace(BARE, fee_asset="BNB"))
    assert account.equity == 2000
    assert {leg.symbol: leg.amount for leg in plan(case).grows} == {"A/USDC": 160, "B/USDT": 80}
    unknown = plan(replace(case, book=replace(account, rates={"USDT": dec(1)})))
    assert unknown.left == {"A/USDC": "no_rate"}


def test_no_number_raises() -> None:
    """Prices of 0, NaN and infinity, equity of 0 or less, weights beyond sense: reasons, not exceptions."""
    for price in ("0", "-1", "NaN", "sNaN", "Infinity"):
        account = replace(alone("1", cash="10"), prices={BTC: Decimal(price)})
        assert plan(one(0.5, account)).left == {BTC: "no_price"}
    for rate in ("0", "NaN"):
        assert plan(one(0.5, replace(alone("1"), rates={"USDT": Decimal(rate)}))).left == {BTC: "no_rate"}
    for equity in ("0", "-100"):
        for weight in (0.0, 0.5, 1e9, -0.5):
            plan(one(weight, replace(alone("1"), equity=dec(equity))))
    for weight in (float("nan"), float("inf")):
        assert plan(one(weight, alone("1", cash="10"))).left == {BTC: "not_finite"}
    nothing = Inputs(weights={}, book=book({}, {}), markets={}, rules=Rules())
    assert plan(nothing) == Plan((), (), {}, {}, {}, nothing)
    plan(one(1e300, alone("1e20", price="1e6")))


def test_numpy_weights_are_numbers() -> None:
    """A strategy's weights may be numpy's own floats."""
    case = one(np.float64(0.5), alone("0", cash="1000"))
    made = plan(case)
    assert len(made.grows) == 1
    assert replay(case.text()) == made


def test_a_fallen_price_takes_no_less_money() -> None:
    """The reserve of a buy that has waited follows the price up, never down, and the amount stays."""
    leg = buy(market(step="0.01"), dec(1), dec(100), Rules())
    assert leg.repriced(dec(110)).reserve == leg.reserve * dec("1.1")
    assert leg.repriced(dec(90)) == leg


def test_a_limit_stands_whatever_the_price_does() -> None:
    """A buy that has waited keeps its limit, and with it the most that it can take."""
    leg = buy(limited(market(step="0.01"), dec("0.005")), dec(1), dec(100), Rules())
    assert (leg.limit, leg.reserve) == (dec("100.50"), dec("100.50") * dec("1.001"))
    assert leg.repriced(dec(110)) == leg.repriced(dec(90)) == leg
    half = leg.resized(dec("0.5"))
    assert (half.limit, half.reserve) == (leg.limit, leg.reserve / 2)


@pytest.mark.parametrize(
    ("price", "cap", "bought_at", "sold_at"),
    [
        ("100", "0.005", "100.5", "99.5"),
        ("100", "0.00505", "100.5", "99.5"),  # never beyond the cap: 100.505 and 99.495 are rounded towards the reference
        ("100", "0.0001", "100", "100"),  # a cap within a tick leaves the reference itself
        ("0.1", "0.1", "0.1", "0.1"),
        ("0.04", "0.1", "0.1", "0.1"),  # a venue knows no price below a tick
    ],
)
def test_a_limit_lies_within_its_cap_on_the_tick(price: str, cap: str, bought_at: str, sold_at: str) -> None:
    """The reference moved against us by the cap, and rounded towards it."""
    rules = limited(replace(market(), price_tick=dec("0.1")), dec(cap))
    assert limit_price(rules, Side.BUY, dec(price)) == dec(bought_at)
    assert limit_price(rules, Side.SELL, dec(price)) == dec(sold_at)


def test_what_holds_for_market_orders_does_not_bind_limits() -> None:
    """Step and bounds are those of all orders; the notional is reckoned at the limit, as venues do."""
    whole = replace(market(notional_min="10"), market_step=dec(1), market_min=dec(2), market_max=dec(3), notional_min_market=False)
    whole = replace(whole, notional_max=dec(1000), notional_max_market=False)
    rules = limited(whole, dec("0.1"))
    assert (rules.lot, rules.least, rules.most) == (dec("0.001"), ZERO, None)
    assert rules.worth_least * dec("0.9") >= 10 > (rules.worth_least - dec("1e-9")) * dec("0.9")
    assert rules.worth_most is not None
    assert rules.worth_most * dec("1.1") <= 1000
    assert (whole.lot, whole.least, whole.most, whole.worth_least, whole.worth_most) == (dec(1), dec(2), dec(3), ZERO, None)


def test_every_reason_of_a_plan_is_tried() -> None:
    """The random cases reach each code that a plan by itself can give."""
    seen = {why for case in range(600) for why in plan(some_case(case)).left.values()}
    later = {
        Reason.GROUP,
        Reason.GROUP_PAUSE,
        Reason.STALE_PRICE,
        Reason.UNFUNDED,
        Reason.UNFILLED,
        Reason.NOT_SENT,
        Reason.SUPERSEDED,
        Reason.MOVED,
        Reason.SHADOW,
    }
    assert set(Reason) - later - {Reason.PRICE_CAP} <= {Reason(why) for why in seen}


def test_a_symbol_that_trades_costs_a_dozen_calls() -> None:
    """Where all of five hundred trade, planning calls no more functions for each than that, since time on a busy machine tells nothing."""
    case, calls = account(500, 1.0), 0

    def counted(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(counted)
    made = plan(case)
    sys.setprofile(None)
    assert len(made.legs) == 500
    assert calls <= 12 * 500
