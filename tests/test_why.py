"""Why: a decision's story tells what was written, in order, and every code has its words."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from daemon.core import planner_legs, risk
from daemon.core.breakers import Code
from daemon.core.events import OrderNotFound, OrderRefused, OrderUnknown, PlanMade, RiskLimited, SleevesBooked
from daemon.core.model import Booking, Decision, Entry, Status, TargetWeights
from daemon.core.plain import plain, rfc3339
from daemon.core.planner_inputs import Inputs, Rules
from daemon.core.portfolio import Apart
from daemon.io.journal import DecisionStory, Fact
from daemon.telling.apart import rows
from daemon.telling.why import WORDS, NoSuchDecision, from_journal, match, story
from tests.core.plans import book
from tests.io.journal_facts import START, a_fill, a_report, a_settling, an_order, life, open_journal

BTC, ETH = "BTC/USDT", "ETH/USDT"
MOMO = TargetWeights({BTC: 0.6, ETH: 0.2}, signals={BTC: {"score": 0.2, "rsi": 40.0}, ETH: {"score": 0.3}})
PAIR = TargetWeights({BTC: 0.1}, signals={"BTC/USDT|ETH/USDT": {"zscore": -2.1}, "SOL/USDT|XRP/USDT": {"zscore": 1.0}, "*": {"state": 1.0}})
SHARES = {"momo": 0.5, "pair": 0.5}
DECISION = Decision("decision-1", START, {BTC: 0.35, ETH: 0.1}, frozenset(), {"momo": MOMO, "pair": PAIR}, START, shares=SHARES)
CUT = RiskLimited("decision-1", BTC, 0.35, 0.25, "weight_max", START)
ORDER = an_order()


async def written(path: Path, *facts: Fact) -> Path:
    """A journal with this in it."""
    with open_journal(path / "momo.sqlite") as journal:
        await journal.commit(*facts)
    return path / "momo.sqlite"


async def told(path: Path, *facts: Fact, symbol: str = BTC) -> Any:
    """The story of DECISION for a symbol, once these facts are written."""
    return plain(from_journal(await written(path, DECISION, *facts), symbol, None, [BTC, ETH]))


def test_every_code_has_its_words() -> None:
    """What a plan or a limit may say is said to a person in words."""
    assert {*planner_legs.Reason, *risk.Reason, *Code} <= WORDS.keys()


async def test_a_target_that_is_too_small_says_what_it_needs(tmp_path: Path) -> None:
    """The equity at which it would be large enough, the target it has instead, and the hash of what the plan follows from."""
    inputs = Inputs(weights={BTC: 0.02}, book=book({}, {}), markets={}, rules=Rules())
    plan = PlanMade("decision-1", 1, (), {BTC: "small_account"}, START, {BTC: 0.0}, {BTC: Decimal("288.75")}, inputs)
    tale = await told(tmp_path, plan)
    assert tale["plans"][0]["target"] == 0.0
    assert tale["plans"][0]["needs_equity"] == "288.75"
    assert tale["plans"][0]["inputs"] == inputs.fingerprint
    assert tale["summary"].endswith("the account is too small for so many targets; it needs an equity of 288.75")


async def test_the_whole_way(tmp_path: Path) -> None:
    """Asked by two, cut by a limit, planned, bought, settled: everything with its numbers, and in one sentence."""
    plan = PlanMade("decision-1", 1, (ORDER,), {ETH: "in_band"}, START)
    tale = await told(tmp_path, CUT, ORDER, plan, *life(ORDER, "7001", "42"), replace(a_settling(DECISION), targets={BTC: 0.25}))
    momo, pair = tale["strategies"]
    assert (momo["name"], momo["share"], momo["weight"]) == ("momo", 0.5, 0.6)
    assert momo["signals"] == [
        {"of": BTC, "name": "score", "value": 0.2, "rank": 2, "of_how_many": 2},
        {"of": BTC, "name": "rsi", "value": 40.0, "rank": 1, "of_how_many": 1},
    ]
    assert [signal["of"] for signal in pair["signals"]] == ["BTC/USDT|ETH/USDT", "*"]
    assert (tale["wanted"], tale["limits"][0]["allowed"], tale["limits"][0]["reason"]) == (0.35, 0.25, "weight_max")
    (plan,) = tale["plans"]
    assert (plan["attempt"], plan["at"], plan["orders"], plan["waited"], plan["left"]) == (1, plain(START), [ORDER.id], [], None)
    (order,) = tale["orders"]
    assert (order["state"], order["filled"], order["average"][:5]) == ("filled", "0.0012", "64251")
    assert [fact["what"] for fact in order["facts"]] == ["sent", "filled", "closed"]
    assert [fill["id"] for fill in order["fills"]] == ["7001"]
    assert tale["settled"]["at"] == plain(START + timedelta(minutes=1))
    assert tale["summary"] == "momo and pair wanted 35.00%; weight_max left 25.00%; bought 0.0012 of 0.0012 at 64251"
    assert tale["now"] is None


async def test_what_is_left_alone_says_why(tmp_path: Path) -> None:
    """No order: the plan's reason, its code and its words."""
    plan = PlanMade("decision-1", 1, (), {ETH: "in_band"}, START)
    tale = await told(tmp_path, plan, symbol=ETH)
    assert (tale["left"], tale["left_says"], tale["orders"], tale["settled"]) == ("in_band", WORDS["in_band"], [], None)
    assert tale["summary"] == f"momo wanted 10.00%; no order: {WORDS['in_band']}"
    assert tale["target"] == 0.1


async def test_a_refusal_comes_before_what_the_plan_left(tmp_path: Path) -> None:
    """Where the exchange has refused it, that is why it is not there, whatever the last plan said of the rest."""
    settled = replace(a_settling(DECISION), refused={BTC: "minimum"}, left={BTC: "unfilled"})
    tale = await told(tmp_path, PlanMade("decision-1", 1, (), {BTC: "unfilled"}, START), settled)
    assert (tale["left"], tale["settled"]["refused"]) == ("minimum", "minimum")


async def test_a_buy_that_waited_for_money_belongs_to_its_round(tmp_path: Path) -> None:
    """Its order is not in the plan's first ones, but is told with the round that it was made in."""
    tale = await told(tmp_path, PlanMade("decision-1", 1, (), {}, START), ORDER)
    assert (tale["plans"][0]["orders"], tale["plans"][0]["waited"]) == ([ORDER.id], [ORDER.id])


async def test_reports_that_say_nothing_new_are_left_out(tmp_path: Path) -> None:
    """The user stream repeats what the answer said, and comes after it: an order does not look open again once it was filled."""
    done = a_report(ORDER, Status.FILLED, fills=(a_fill(ORDER),))
    tale = await told(tmp_path, ORDER, a_report(ORDER), done, a_report(ORDER), done)
    assert [fact["what"] for fact in tale["orders"][0]["facts"]] == ["open", "filled"]


async def test_a_doubt_and_its_end_are_told(tmp_path: Path) -> None:
    """Unknown, looked for, then found as it was before: the finding is news."""
    facts = (a_report(ORDER), OrderUnknown(ORDER.id, "no answer", START), OrderNotFound(ORDER.id, START, START), a_report(ORDER))
    tale = await told(tmp_path, ORDER, *facts)
    assert [fact["what"] for fact in tale["orders"][0]["facts"]] == ["open", "unknown", "looked for", "open"]
    assert tale["orders"][0]["state"] is None
    assert "has not ended" in tale["summary"]


async def test_a_refusal_is_told_with_the_venues_words(tmp_path: Path) -> None:
    """Code and text of it."""
    tale = await told(tmp_path, ORDER, OrderRefused(ORDER.id, "insufficient_funds", "Account has insufficient balance", START))
    assert tale["orders"][0]["facts"][0]["text"] == "insufficient_funds: Account has insufficient balance"
    assert tale["orders"][0]["reason"] == "insufficient_funds"


def test_a_second_cut_of_a_restart_replaces_the_first() -> None:
    """The same limit, cutting the same decision again, is one limit."""
    nothing = DecisionStory(DECISION, (CUT, RiskLimited("decision-1", BTC, 0.35, 0.2, "weight_max", START)), (), None, ())
    tale: Any = story(BTC, nothing, DECISION, None)
    assert [limit["allowed"] for limit in tale["limits"]] == [0.2]


def test_a_decision_of_an_older_version_tells_no_shares() -> None:
    """What was not written then is not known."""
    tale: Any = story(BTC, DecisionStory(DECISION, (), (), None, ()), replace(DECISION, shares={}), None)
    assert [row["share"] for row in tale["strategies"]] == [None, None]


async def test_what_met_inside_is_told_with_whose_it_was(tmp_path: Path) -> None:
    """A cross of the decision with its price, each strategy's part of it, and for whom the order traded what was left."""
    entries = (Entry("momo", "BTC", Decimal("0.3")), Entry("pair", "BTC", Decimal("-0.3")))
    paid = (Entry("momo", "USDT", Decimal(-30)), Entry("pair", "USDT", Decimal(30)))
    crossed = SleevesBooked(Booking("decision-1-cross-1", "cross", (*entries, *paid), START), START)
    other = SleevesBooked(Booking("decision-1-operator-cross-2", "cross", (*entries, *paid), START), START)
    tale = await told(tmp_path, crossed, other, replace(ORDER, split={"momo": ORDER.amount}))
    assert [row["crossed"] for row in tale["strategies"]] == ["0.3", "-0.3"]
    assert tale["crossed"] == [{"at": rfc3339(START), "amount": "0.3", "price": "100", "amounts": {"momo": "0.3", "pair": "-0.3"}}]
    assert tale["orders"][0]["for"] == {"momo": "0.0012"}
    assert "0.3 changed hands inside at 100" in tale["summary"]


def test_what_is_kept_apart_says_whose_it_was() -> None:
    """How much of which removed strategy and since when, and what came from nowhere, each with its reason; before any decision, too."""
    kept = rows([Apart(Decimal("0.50"), "gone", START), Apart(Decimal("0.1"))])
    assert [(row["strategy"], row["since"], row["reason"]) for row in kept] == [
        ("gone", START, "removed_strategy"),
        (None, None, "ringfenced"),
    ]
    for decision in (DECISION, None):
        tale: Any = story(BTC, DecisionStory(decision, (), (), None, ()), decision, None, kept)
        assert tale["kept_apart"] == kept
        assert "0.5 of it is kept apart: gone left it" in tale["summary"]
        assert "0.1 of it is kept apart: nobody knows where it came from" in tale["summary"]


def test_a_kept_symbol_is_told_as_kept() -> None:
    """No bar in the deciding slice: nobody's wish, and no order."""
    kept = Decision("decision-1", START, {}, frozenset({BTC}), {"momo": MOMO}, START)
    tale = story(BTC, DecisionStory(kept, (), (), None, ()), kept, None)
    assert (tale["kept"], str(tale["summary"]).startswith("kept as it was")) == (True, True)


def test_before_the_first_decision_there_is_no_story() -> None:
    """And that is said."""
    tale = story(BTC, DecisionStory(None, (), (), None, ()), None, {"amount": Decimal(1)})
    assert (tale["decision_id"], tale["summary"]) == (None, "there has been no decision yet")


@pytest.mark.parametrize("asked", ["BTC/USDT", "btc/usdt", "BTC", "btc", "BTC-USDT", "btc_usdt"])
def test_a_symbol_is_meant_however_it_is_written(asked: str) -> None:
    """In any case, with any stroke, or by its base alone."""
    assert match(asked, [BTC, ETH]) == BTC


@pytest.mark.parametrize("asked", ["DOGE", "USDT", "", "BTC/EUR", "B"])
def test_what_names_nothing_means_nothing(asked: str) -> None:
    """No guess is made."""
    assert match(asked, [BTC, ETH]) is None
    assert match("BTC", [BTC, "BTC/EUR"]) is None


async def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A symbol outside the universe, and a decision that was never made, each in a sentence."""
    path = await written(tmp_path, DECISION)
    with pytest.raises(NoSuchDecision, match="DOGE is not in the universe, which has BTC/USDT, ETH/USDT"):
        from_journal(path, "DOGE", None, [BTC, ETH])
    with pytest.raises(NoSuchDecision, match="no decision d9"):
        from_journal(path, BTC, "d9", [BTC, ETH])
