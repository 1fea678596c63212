"""The ledger: every trade and flow once, exactly."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.ledger import Ledger
from daemon.core.model import Fill, Flow, Money, Side
from tests.core.builders import after, fill, order


def opened(cash: str = "1000") -> Ledger:
    """A ledger with an opening balance."""
    ledger = Ledger()
    ledger.flow(Flow("opening-USDT", "USDT", Decimal(cash), "opening", after(0)))
    return ledger


def trade(n: int, side: Side = Side.BUY, fee: Money | None = None) -> Fill:
    return fill(order(f"r{n}", side=side, amount="2"), trade_id=f"t{n}", fee=fee, at=after(n + 1))


def test_a_trade_moves_base_quote_and_fee() -> None:
    """A buy of 2 at 100 with a fee of 0.1 BNB."""
    ledger = opened()
    ledger.book(trade(1, fee=Money(Decimal("0.1"), "BNB")))
    assert ledger.holdings() == {"BNB": Decimal("-0.1"), "BTC": Decimal(2), "USDT": Decimal(800)}


@given(st.lists(st.integers(0, 5), max_size=30))
def test_doubled_and_reordered_facts_count_once(story: list[int]) -> None:
    """Any sequence of repeats ends where each trade told once would end."""
    ledger, once = opened(), opened()
    for n in story:
        ledger.book(trade(n))
        ledger.flow(Flow(f"f{n}", "USDT", Decimal(n), "transfer", after(n)))
    for n in sorted(set(story)):
        once.book(trade(n))
        once.flow(Flow(f"f{n}", "USDT", Decimal(n), "transfer", after(n)))
    assert ledger.holdings() == once.holdings()


def test_somebody_elses_trades_before_the_opening_are_in_it_already() -> None:
    """An old manual trade that a listing shows is not booked on top of the opening balance; a later one is."""
    ledger = Ledger()
    old = replace(trade(1), order_id="", at=after(-5))
    ledger.book(old)
    ledger.flow(Flow("opening-USDT", "USDT", Decimal(1000), "opening", after(0)))
    ledger.book(old)
    assert not ledger.has_trade(old.symbol, old.trade_id)
    ledger.book(replace(trade(2), order_id=""))
    assert ledger.held("BTC") == 2


def test_what_was_traded_before_the_opening_is_in_it_too_unless_the_journal_knows_the_order() -> None:
    """A deleveraging, a person's order, or one of a process whose journal is lost counts once, whichever came first, trade or opening."""
    for name in ("adl_autoclose", "rabcd0"):
        trade = fill(order(name), trade_id=name, at=after(5))
        for told_first in (True, False):
            ledger = Ledger()
            if told_first:
                assert not ledger.book(trade)
            ledger.flow(Flow("opening-BTC", "BTC", Decimal(3), "opening", after(6)))
            assert not ledger.book(trade)
            assert ledger.held("BTC") == 3
            assert ledger.book(trade, ours=True), "an exchange whose clock is behind tells of ours as of before"


def test_before_its_opening_balance_an_account_held_nothing_known() -> None:
    """A coin that is sold elsewhere, to the last unit, soon after a first start is not taken for a balance from before that start."""
    ledger = Ledger()
    ledger.flow(Flow("opening-BTC", "BTC", Decimal(3), "opening", after(1)))
    assert ledger.held_until("BTC", Decimal(0)) is None


def test_former_holdings_are_remembered_with_their_end() -> None:
    """Each trade ends what was held before it, its fee included; what is held now, or never was, has no end."""
    ledger = opened()
    ledger.book(trade(1, fee=Money(Decimal("0.002"), "BTC")))
    ledger.book(trade(2))
    assert ledger.held_until("BTC", Decimal(0)) == after(2)
    assert ledger.held_until("BTC", Decimal("1.998")) == ledger.held_until("USDT", Decimal(800)) == after(3)
    assert ledger.held_until("BTC", Decimal(2)) is None
    assert ledger.held_until("BTC", Decimal("3.998")) is None
    ledger.flow(Flow("x", "BTC", Decimal("-3.998"), "transfer", after(9)))
    assert ledger.held_until("BTC", Decimal(0)) is None


def test_only_an_opening_balance_opens() -> None:
    """A transfer alone says nothing of what the account held before."""
    ledger = Ledger()
    ledger.flow(Flow("x", "USDT", Decimal(1), "transfer", after(0)))
    assert not ledger.opened
    ledger.flow(Flow("opening-USDT", "USDT", Decimal(1), "opening", after(0)))
    assert ledger.opened


def test_sums_are_exact_beyond_twenty_eight_digits() -> None:
    """A trillion of a coin and its eighteenth decimal are both kept."""
    ledger = opened("123456789012345678.0")
    ledger.flow(Flow("tiny", "USDT", Decimal("0.000000000000000001"), "transfer", after(1)))
    assert ledger.held("USDT") == Decimal("123456789012345678.000000000000000001")
