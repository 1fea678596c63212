"""The reconciler on swaps: wallets, and what moves them without a trade."""

from decimal import Decimal

from daemon.core.events import DriftFound, FlowBooked
from daemon.core.model import Flow, Side
from daemon.core.reconciler import Foreign
from tests.core.builders import after
from tests.core.office import Office


class SwapOffice(Office):
    """An office of swaps."""

    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT")


def test_funding_that_is_listed_late_is_waited_for() -> None:
    """What a wallet of swaps has paid and no listing tells yet is no correction for minutes: booked as one, it would count twice later."""
    office = SwapOffice()
    office.balances["USDT"] -= 5
    office.polls(90)
    assert office.of(DriftFound) != []
    assert office.flows() == []
    funding = Flow("FUNDING_FEE-1", "USDT", Decimal(-5), "funding", after(5), "BTC/USDT:USDT")
    office.ledger.flow(funding)
    office.take(office.reconciler.on_flow(FlowBooked(funding, after(office.at))))
    office.poll()
    assert office.agreed
    office.balances["USDT"] -= 5
    office.polls(120)
    assert [flow.amount for flow in office.flows()] == [-5], "what stays is booked in the end"


def test_a_trade_of_the_exchange_s_own_that_is_listed_late_is_waited_for() -> None:
    """A position that was deleveraged while no listing tells of it yet is not corrected for minutes: only trades move positions."""
    office = SwapOffice()
    deleveraged = office.trade("BTC/USDT:USDT", Side.SELL, "1", told=False)
    office.trades.clear()
    office.polls(90)
    assert office.of(DriftFound) != []
    assert office.flows() == []
    office.filled(deleveraged)
    office.balances["USDT"] = office.ledger.wallet("USDT")
    office.poll()
    assert office.agreed


def test_a_short_that_others_have_made_smaller_is_smaller() -> None:
    """What was bought back by nobody knows whom cannot be kept apart from the short that it is part of, as coins can."""
    office = SwapOffice(foreign=Foreign.RINGFENCE)
    office.filled(office.trade("BTC/USDT:USDT", Side.SELL, "5"))
    office.polls(3)
    assert office.ledger.wallet("BTC") < 0
    office.balances["BTC"] += Decimal("0.25")
    office.polls(150)
    assert [(flow.kind, flow.amount) for flow in office.flows() if flow.currency == "BTC"] == [("unexplained", Decimal("0.25"))]
