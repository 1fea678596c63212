"""Funding that is to come: what it is expected to cost, for how long it is believed, and what it keeps from growing."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from math import isclose, nan
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import events as e
from daemon.core.funding import FundingRate, expected
from daemon.core.model import Side, TargetWeights
from daemon.core.risk import Limits, Reason, Scene
from daemon.core.risk_weights import apply
from daemon.core.styles import GroupTerms
from daemon.core.trading import Settings
from tests.core.builders import after, decision, market
from tests.core.test_orders import Desk

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
HOUR: Final = timedelta(hours=1)


def rate(value: float, hours: int = 8) -> FundingRate:
    return FundingRate(value, after(3600), hours * HOUR)


class Swaps(Desk):
    """A desk of two swaps at 100 each, whose funding the limits know."""

    def __init__(self, funding_max: float | None) -> None:
        listed = (replace(market(s.partition(":")[0], base_fee=False), symbol=s, shortable=True) for s in (BTC, ETH))
        whole = GroupTerms(size=Decimal(10), within=timedelta(seconds=10), pause=timedelta(0))
        limits = Limits(short=True, gross=5.0, weight_max=5.0, funding_max=funding_max)
        super().__init__(*listed, settings=Settings(instance="desk", quote="USDT", limits=limits, groups=whole))

    def told(self, symbol: str, value: float, hours: int = 8) -> None:
        """The venue expects a rate."""
        list(self.account.on_funding(e.FundingTold(symbol, rate(value, hours), after(self.at))))

    def wanted(self, name: str, *, together: bool = False, **weights: float) -> dict[str, Decimal]:
        """Want these, by base, have every order fill whole, and say what each symbol has traded, signed."""
        wish = {f"{base}/USDT:USDT": weight for base, weight in weights.items()}
        groups = (tuple(wish),) if together else ()
        made = replace(decision(wish, name, after(self.at)), by_strategy={"it": TargetWeights(wish, groups=groups)})
        seen = len(self.orders())
        traded = dict.fromkeys(wish, Decimal(0))
        self.take(self.manager.on_targets(e.TargetsChosen(made, after(self.at))))
        while len(self.orders()) > seen:
            order = self.orders()[seen]
            seen += 1
            traded[order.symbol] += order.amount * (1 if order.side is Side.BUY else -1)
            self.sent(order)
            self.filled(order)
        return traded

    def cut(self, name: str) -> dict[str, str]:
        """What was cut, and why."""
        return {event.symbol: event.reason for event in self.out if isinstance(event, e.RiskLimited) and event.decision_id == name}


# --- what is expected ------------------------------------------------------------------------------------------------


@given(st.floats(-3, 3), st.decimals(1, 10**7, places=2), st.floats(-0.03, 0.03))
def test_a_payment_is_position_by_rate(weight: float, equity: Decimal, value: float) -> None:
    """Longs pay a rate above 0, shorts are paid it, and the other way round; what is wanted at 0 pays nothing."""
    due = expected({BTC: weight, ETH: 0.5}, equity, {BTC: rate(value)}.get)
    assert due.keys() == ({BTC} if weight else set())
    if weight:
        assert isclose(float(due[BTC]), weight * float(equity) * value, rel_tol=1e-9, abs_tol=1e-8)


@pytest.mark.parametrize(("hours", "yearly"), [(1, 0.876), (4, 0.219), (8, 0.1095)])
def test_a_year_has_as_many_settlements_as_the_interval_says(hours: int, yearly: float) -> None:
    """A rate of a basis point is dearer the more often it is paid."""
    assert rate(0.0001, hours).yearly == pytest.approx(yearly)


@pytest.mark.parametrize(("value", "hours"), [(nan, 8), (1.0, 8), (-1.0, 8), (0.001, 0), (0.001, -8)])
def test_what_is_no_rate_is_refused(value: float, hours: int) -> None:
    """A rate is a fraction, and an interval lasts."""
    with pytest.raises(ValueError, match=r"^a funding rate must be a fraction between -1 and 1 of some interval, not "):
        rate(value, hours)


def test_a_rate_is_believed_until_the_settlement_after_its_own() -> None:
    """The newest counts; one that was to be settled longer ago than an interval is none any more."""
    desk = Swaps(0.5)
    desk.told(BTC, 0.001, hours=1)
    desk.told(BTC, 0.002, hours=1)
    known = desk.account.funding(BTC)
    assert (known and known.rate, desk.account.funding(ETH)) == (0.002, None)
    for seconds, stands in ((7200, True), (7201, False)):
        desk.account.on_tick(e.PriceTicked(BTC, 100.0, after(seconds)))
        assert (desk.account.funding(BTC) is not None) is stands


# --- what may grow ---------------------------------------------------------------------------------------------------


def test_a_plan_tells_what_its_targets_will_pay() -> None:
    """Long pays and short is paid: 0.5 of 1,000 at a basis point is 0.05."""
    desk = Swaps(None)
    desk.told(BTC, 0.0001)
    desk.told(ETH, 0.0002)
    desk.wanted("d1", BTC=0.5, ETH=-0.5)
    plan = next(event for event in desk.out if isinstance(event, e.PlanMade))
    assert plan.funding == {BTC: Decimal("0.05"), ETH: Decimal("-0.1")}


@pytest.mark.parametrize("side", [1, -1])
def test_the_dear_side_does_not_grow_and_the_other_does(side: int) -> None:
    """At the bound it trades, one step above only the side that is paid does; the code is `funding_max`."""
    for value, grows in ((0.0004, True), (0.0005, False)):  # 43.8 % and 54.75 % a year
        desk = Swaps(0.438)
        desk.told(BTC, side * value)
        assert (desk.wanted("d1", BTC=side * 0.5)[BTC] != 0) is grows
        assert desk.cut("d1") == ({} if grows else {BTC: "funding_max"})
        assert desk.wanted("d2", BTC=-side * 0.5)[BTC] != 0
        assert desk.cut("d2") == {}


def test_what_is_held_may_shrink_and_close_and_not_turn() -> None:
    """A dear position is not made larger; it is reduced, closed, and left for the other side; towards the dear side it ends at 0."""
    desk = Swaps(0.5)
    assert desk.wanted("d1", BTC=0.5)[BTC] == 5
    desk.told(BTC, 0.001)
    assert desk.wanted("d2", BTC=0.8)[BTC] == 0
    assert desk.wanted("d3", BTC=0.3)[BTC] == -2
    assert desk.wanted("d4", BTC=-0.3)[BTC] == -6
    assert desk.wanted("d5", BTC=0.3)[BTC] == 3, "the short is closed, and no long follows"
    assert desk.account.held(BTC) == 0
    assert [desk.cut(f"d{n}") for n in range(2, 6)] == [{BTC: "funding_max"}, {}, {}, {BTC: "funding_max"}]


def test_a_group_is_refused_as_a_whole_and_leaves_as_one() -> None:
    """Where one leg is too dear neither is opened; a pair that is held is closed on both legs when it was to turn over."""
    desk = Swaps(0.5)
    desk.told(ETH, -0.001)  # shorts of ETH pay
    assert desk.wanted("d1", together=True, BTC=0.3, ETH=-0.3) == {BTC: 0, ETH: 0}
    assert desk.cut("d1")[ETH] == "funding_max"
    assert desk.wanted("d2", together=True, BTC=-0.3, ETH=0.3) == {BTC: -3, ETH: 3}
    assert desk.wanted("d3", together=True, BTC=0.3, ETH=-0.3) == {BTC: 3, ETH: -3}
    assert desk.account.held(BTC) == desk.account.held(ETH) == 0


def test_what_nobody_knows_the_rate_of_may_grow() -> None:
    """A swap whose rate has not been told is traded."""
    desk = Swaps(0.0)
    desk.told(ETH, 0.001)
    assert desk.wanted("d1", BTC=0.5)[BTC] == 5


numbers = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-3, 3), st.booleans()), min_size=1, max_size=6)


@given(numbers, st.floats(0, 2))
def test_the_filter_takes_away_growth_and_nothing_else(rows: list[tuple[float, float, float, bool]], most: float) -> None:
    """No weight is larger than held where it pays more than the bound, none that shrinks or is cheap is touched, no sign changes."""
    symbols = tuple(f"S{n}" for n in range(len(rows)))
    wish, held, costs, kept = (np.array(column) for column in zip(*rows, strict=True))
    scene = Scene(symbols, held, kept.astype(np.bool_), funding=costs)
    limits: dict[str, Any] = {"short": True, "gross": 100.0, "weight_max": 100.0}
    limited = apply(dict(zip(symbols, wish.tolist(), strict=True)), Limits(funding_max=most, **limits), scene)
    for n, symbol in enumerate(symbols):
        now, before = limited.weights[symbol], float(wish[n])
        dear = np.sign(before) * costs[n] > most and not kept[n]
        shrinks = before * held[n] > 0 and abs(before) <= abs(held[n])
        if not dear or shrinks:
            assert now == before
        else:
            assert now == (np.sign(before) * abs(held[n]) if before * held[n] > 0 else 0.0)
    assert {cut.reason for cut in limited.cuts()} <= {Reason.FUNDING_MAX}
