"""Small accounts: which targets are held when not all can be, and that they stay the same from decision to decision."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from daemon.core.model import ZERO, Side
from daemon.core.planner import plan
from daemon.core.planner_inputs import Inputs, Rules
from daemon.core.planner_legs import Plan
from tests.core.builders import dec, market
from tests.core.plans import book, executed

TWELVE = tuple(f"{letter}/USDT" for letter in "ABCDEFGHIJKL")


def account(
    cash: str,
    minimum: str = "5",
    weights: Mapping[str, float] | None = None,
    held: Mapping[str, str] | None = None,
    rules: Rules | None = None,
) -> Inputs:
    """Coins at 1 USDT, in steps of a hundredth; without other weights, twelve equal ones."""
    wanted = weights or dict.fromkeys(TWELVE, 1 / 12)
    amounts = {s: dec((held or {}).get(s, "0")) for s in wanted}
    return Inputs(
        weights=wanted,
        book=book(amounts, dict.fromkeys(wanted, dec(1)), dec(cash)),
        markets={s: market(s, step="0.01", notional_min=minimum) for s in wanted},
        rules=rules or Rules(band=dec("0.01")),
    )


def bought(made: Plan) -> list[str]:
    return sorted(leg.symbol for leg in made.grows)


@pytest.mark.parametrize(("minimum", "count", "need"), [("5", 10, "69.3"), ("10", 5, "138.6")])
def test_sixty_dollars_hold_as_many_of_twelve_as_the_venue_takes(minimum: str, count: int, need: str) -> None:
    """The first by name of equal targets, with all the money in them; each of the others says what equity it needs, and that is enough."""
    case = account("60", minimum)
    made = plan(case)
    assert bought(made) == list(TWELVE[:count])
    assert sum((leg.notional for leg in made.grows), ZERO) == pytest.approx(dec(60), abs=dec("0.2"))
    assert made.needs == dict.fromkeys(TWELVE[count:], pytest.approx(dec(need), rel=dec("0.0001")))
    assert all(made.left[s] == "small_account" for s in TWELVE[count:])
    assert all(made.left[s] == "raised" for s in TWELVE[:count])
    enough = plan(account(str(max(made.needs.values())), minimum))
    assert bought(enough) == list(TWELVE)
    assert not enough.needs


def test_nothing_is_changed_where_everything_can_be_held() -> None:
    """The rule is for small accounts; another one trades its targets as they are."""
    made = plan(account("6000"))
    assert bought(made) == list(TWELVE)
    assert (made.changed, made.needs, made.left) == ({}, {}, {})


def test_what_cannot_be_held_short_is_not_raised() -> None:
    """A weight below 0 on spot is wanted at 0, and a rest of it that no order can sell is dust, whatever others give up."""
    made = plan(account("60", "10", weights={"A/USDT": 0.5, "B/USDT": 0.05, "C/USDT": -0.3}, held={"C/USDT": "6"}))
    assert (sorted(made.changed), made.left["C/USDT"]) == (["A/USDT", "B/USDT"], "dust")


def test_no_target_is_raised_beyond_its_limit_or_the_factor() -> None:
    """What neither may take stays cash; with a factor of 1 nobody takes anything."""
    tight = plan(replace(account("60", "10"), caps=dict.fromkeys(TWELVE, 0.195)))
    assert {tight.changed[s] for s in bought(tight)} == {0.195}
    twice = plan(account("60", "10", rules=Rules(band=dec("0.01"), raise_max=Decimal(2))))
    assert bought(twice) == []
    assert set(twice.needs) == set(TWELVE)
    never = plan(account("69", weights={"A/USDT": 0.5, "B/USDT": 0.05}, rules=Rules(band=dec("0.01"), raise_max=Decimal(1))))
    assert bought(never) == ["A/USDT"]
    assert never.changed == {"B/USDT": 0.0}


def test_the_smallest_give_way_and_the_rest_take_their_part_in_proportion() -> None:
    """Weights of 0.4, 0.3 and 0.05: the last is worth 3 of 60 and gives way, its part is shared four to three."""
    made = plan(account("60", weights={"A/USDT": 0.4, "B/USDT": 0.3, "C/USDT": 0.05}))
    assert bought(made) == ["A/USDT", "B/USDT"]
    assert made.changed["A/USDT"] == pytest.approx(0.75 * 4 / 7)
    assert made.changed["B/USDT"] == pytest.approx(0.75 * 3 / 7)
    assert made.needs == {"C/USDT": dec("115.5")}


def test_what_is_held_stays_for_what_is_wanted_a_little_more() -> None:
    """A newcomer takes a place only if it is wanted a quarter more than what is held."""
    weights = dict.fromkeys(TWELVE, 1 / 12)
    held = dict.fromkeys(TWELVE[7:], "12")
    assert plan(account("0.1", "10", held=held, weights=weights | {"A/USDT": 0.1})).legs == ()
    made = plan(account("0.1", "10", held=held, weights=weights | {"A/USDT": 0.11}))
    assert bought(made) == ["A/USDT"]
    assert [leg.symbol for leg in made.reduces] == ["L/USDT"]


def test_a_position_that_would_become_dust_is_left_whole() -> None:
    """Three of eight that are held are wanted, less than could ever be sold again: all of them go."""
    made = plan(account("92", weights={"A/USDT": 0.03}, held={"A/USDT": "8"}))
    assert [(leg.side, leg.amount) for leg in made.reduces] == [(Side.SELL, dec(8))]
    assert made.left == {"A/USDT": "small_account"}


def test_money_of_one_currency_takes_nobodys_part_in_another() -> None:
    """What a coin in USDC is too small for is not bought in USDT, for which there is no money."""
    symbols = ("A/USDT", "B/USDC", "C/USDC")
    amounts = dict.fromkeys(symbols, ZERO)
    money = {"USDT": dec(30), "USDC": dec(30)}
    case = Inputs(
        weights={"A/USDT": 0.5, "B/USDC": 0.45, "C/USDC": 0.05},
        book=book(amounts, dict.fromkeys(symbols, dec(1)), money, dict.fromkeys(money, dec(1))),
        markets={s: market(s, step="0.01") for s in symbols},
        rules=Rules(band=dec("0.01")),
    )
    assert plan(case).changed == {"B/USDC": 0.5, "C/USDC": 0.0}


def walked(seed: int, minimum: str, swing: float, jitter: float) -> tuple[int, int]:
    """How often something was bought and sold over 200 decisions on prices and wishes that shake by so much, after the first."""
    rng = Random(seed)
    case = account("60", minimum)
    buys = sells = 0
    for step in range(200):
        prices = {s: dec(round(1 + rng.uniform(-swing, swing), 4)) for s in TWELVE}
        wanted = {s: (1 + rng.uniform(-jitter, jitter)) / 12.5 for s in TWELVE}
        account_now = book(case.book.projected, prices, case.book.cash)
        case = replace(case, weights=wanted, book=account_now)
        made = plan(case)
        if step:
            buys += len(made.grows)
            sells += len(made.reduces)
        affordable = [leg for leg in made.grows if leg.reserve <= case.book.cash["USDT"]][: 12 if not step else 1]
        case = executed(case, (*made.reduces, *(made.grows if not step else affordable)))
    return buys, sells


@pytest.mark.parametrize("minimum", ["5", "10"])
@pytest.mark.parametrize("seed", range(3))
def test_small_moves_change_no_position(minimum: str, seed: int) -> None:
    """Prices that shake by 4 % and wishes that shake by 9 % about twelve equal ones sell nothing that was bought, in 200 decisions."""
    _, sells = walked(seed, minimum, 0.04, 0.09)
    assert sells == 0
