"""Disposals: the trade and tax table, by both methods, to the last digit."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.disposals import Disposals, Method, Note, disposals
from daemon.core.ledger import FUNDING, OPENING, POSITION, Ledger
from daemon.core.model import Fill, Flow, Money, Side, currencies
from tests.core.builders import after

CASES = int(os.environ.get("REBALANCED_CASES", "60"))
COIN, SWAP = "COIN/USDT", "COIN/USDT:USDT"
D = Decimal


def trade(number: int, side: str, amount: str, price: str, *fees: Money, symbol: str = COIN) -> Fill:
    """The trade of a minute."""
    return Fill(
        order_id=f"r{number}",
        venue_id="",
        trade_id=f"t{number}",
        symbol=symbol,
        side=Side(side),
        amount=D(amount),
        price=D(price),
        cost=D(amount) * D(price),
        fees=fees,
        at=after(60 * number + 60),
    )


def made(fills: Sequence[Fill], *flows: Flow, method: Method = Method.FIFO) -> Disposals:
    """The table of these, in an account that opened with money."""
    return disposals(fills, [Flow("opening-USDT", "USDT", D(100_000), OPENING, after(0)), *flows], method, "USDT")


def told(table: Disposals) -> list[tuple[Decimal, Mapping[str, Decimal], str]]:
    """What each row says: the amount, the gain and its note."""
    return [(row.amount, row.gain, row.note) for row in table.rows]


# --- worked by hand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "gain"), [(Method.FIFO, D(10)), (Method.AVERAGE, D(5))])
def test_what_is_sold_first(method: Method, gain: Decimal) -> None:
    """Of one bought at 10 and one at 20, the cheap one is sold first by first in first out, and half of both at the average cost."""
    table = made([trade(0, "buy", "1", "10"), trade(1, "buy", "1", "20"), trade(2, "sell", "1", "20")], method=method)
    assert told(table) == [(D(1), {"USDT": gain}, Note.NONE)]
    assert [lot.cost["USDT"] for lot in table.lots()["COIN"]] == [10 + gain]


def test_fees_count_where_they_fall() -> None:
    """A fee in quote lowers what a sale brings, one in base what a purchase brings, one in a third coin costs what that was bought for."""
    bnb = "BNB/USDT"
    table = made([
        trade(0, "buy", "2", "300", symbol=bnb),
        trade(1, "buy", "1", "100", Money(D("0.1"), "COIN")),
        trade(2, "sell", "0.9", "200", Money(D("0.5"), "USDT"), Money(D("0.01"), "BNB")),
    ])  # fmt: skip
    fee, sale = table.rows
    assert (fee.asset, fee.amount, fee.cost, fee.gain, fee.note) == ("BNB", D("0.01"), {"USDT": D(3)}, {}, Note.FEE)
    assert (sale.proceeds, sale.cost, sale.gain) == ({"USDT": D("176.5")}, {"USDT": D(100)}, {"USDT": D("76.5")})
    assert [lot.amount for lot in table.lots()["BNB"]] == [D("1.99")]


def test_what_was_never_bought_is_named() -> None:
    """A sale of more than was ever bought says of how much, and so does a fee in a coin that never came."""
    table = made([trade(0, "buy", "1", "10"), trade(1, "sell", "3", "20", Money(D("0.01"), "BNB"))])
    assert [(row.amount, row.note) for row in table.rows] == [(D(1), Note.NONE), (D(2), Note.NEVER_BOUGHT)]
    assert table.rows[1].acquired_at is None
    assert table.realised() == {"USDT": D(50), "BNB": D("-0.01")}


def test_what_came_without_a_price_is_named() -> None:
    """The opening balance has no cost that anybody knows: what is sold of it says so, and what was bought later does not."""
    table = made([trade(0, "buy", "1", "10"), trade(1, "sell", "2", "20")], Flow("o", "COIN", D(1), OPENING, after(0)))
    assert told(table) == [(D(1), {"USDT": D(20)}, Note.NO_COST), (D(1), {"USDT": D(10)}, Note.NONE)]


def test_a_withdrawal_is_no_sale() -> None:
    """Coins that leave take their cost with them, and earn nothing."""
    table = made([trade(0, "buy", "2", "10")], Flow("w", "COIN", D(-1), "transfer", after(300)))
    assert told(table) == [(D(1), {}, Note.WITHDRAWN)]
    assert [(lot.amount, lot.cost) for lot in table.lots()["COIN"]] == [(D(1), {"USDT": D(10)})]


def test_a_short_position_is_closed_by_what_is_bought() -> None:
    """A swap sold at 20 and bought back at 15 has earned 5 when it was bought; what is bought beyond is long."""
    table = made(
        [trade(0, "sell", "1", "20", symbol=SWAP), trade(1, "buy", "3", "15", symbol=SWAP)],
        Flow("f", "USDT", D("-0.5"), FUNDING, after(90), SWAP),
    )
    funding, close = table.rows
    assert (funding.asset, funding.gain, funding.note) == (SWAP, {"USDT": D("-0.5")}, Note.FUNDING)
    assert (close.short, close.gain, close.realised_at, close.disposed_at) == (True, {"USDT": D(5)}, after(120), after(60))
    assert [(lot.amount, lot.cost) for lot in table.lots()[SWAP]] == [(D(2), {"USDT": D(30)})]


def test_a_position_that_was_there_has_the_price_it_was_opened_for() -> None:
    """An opening balance of a swap comes with what its position was opened for, and its close is measured against that."""
    flows = (Flow("o", "COIN", D(-2), OPENING, after(0)), Flow("p", "USDT", D(60), POSITION, after(0), SWAP))
    table = made([trade(0, "buy", "2", "25", symbol=SWAP)], *flows)
    assert told(table) == [(D(2), {"USDT": D(10)}, Note.NONE)]


def test_a_trade_counts_once_and_not_before_the_opening() -> None:
    """A trade told twice is one, and somebody else's from before the opening balance is in that already."""
    early = Fill(
        order_id="", venue_id="9", trade_id="x", symbol=COIN, side=Side.SELL, amount=D(1), price=D(1), cost=D(1), fees=(), at=after(0)
    )
    table = made([early, trade(0, "buy", "1", "10"), trade(0, "buy", "1", "10"), trade(1, "sell", "1", "11")])
    assert told(table) == [(D(1), {"USDT": D(1)}, Note.NONE)]


# --- by property -----------------------------------------------------------------------------------------------------


@dataclass
class Story:
    """Trades and flows of some markets, of spot or of swaps, in any order of time."""

    fills: list[Fill]
    flows: list[Flow]
    prices: dict[str, Decimal]


AMOUNTS = st.decimals("0.001", "50", places=3)
FEES = st.sampled_from(["", "quote", "base", "BNB", "rebate"])


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Up to forty trades with any fees, and some flows between them."""
    swaps = draw(st.booleans())
    tail = ":USDT" if swaps else ""
    symbols = [f"{base}/USDT{tail}" for base in ("AAA", "BBB", "BNB")]
    fills, flows = [], [Flow("opening-USDT", "USDT", D(1000), OPENING, after(0))]
    for number in range(draw(st.integers(1, 40))):
        symbol, side = draw(st.sampled_from(symbols)), draw(st.sampled_from(["buy", "sell"]))
        amount, price, how = draw(AMOUNTS), draw(st.decimals("0.01", "900", places=2)), draw(FEES)
        base = currencies(symbol)[0]
        kind = {
            "quote": "USDT",
            "base": "USDT" if swaps else base,
            "BNB": "USDT" if swaps else "BNB",
            "rebate": "USDT" if swaps else "BNB",
        }.get(how)
        size = draw(st.decimals("0.0001", "0.9", places=4)) * (-1 if how == "rebate" else 1)
        fills.append(trade(number, side, str(amount), str(price), *([Money(size, kind)] if kind else []), symbol=symbol))
        if draw(st.integers(0, 6)) == 0:
            at = fills[-1].at + timedelta(seconds=draw(st.integers(-90, 90)))
            if swaps:
                flows.append(Flow(f"f{number}", "USDT", draw(AMOUNTS) * draw(st.sampled_from([1, -1])), FUNDING, max(at, after(1)), symbol))
            else:
                flows.append(
                    Flow(
                        f"f{number}",
                        draw(st.sampled_from(["AAA", "BNB", "USDT"])),
                        draw(AMOUNTS) * draw(st.sampled_from([1, -1])),
                        "transfer",
                        max(at, after(1)),
                    )
                )
    return Story(fills, flows, {c: draw(st.decimals("0.01", "900", places=2)) for c in ("AAA", "BBB", "BNB", "USDT")})


@given(stories(), st.sampled_from(Method))
@settings(deadline=None, max_examples=CASES)
def test_realised_and_unrealised_are_the_total(story: Story, method: Method) -> None:
    """At any prices, the gains and what the lots are worth above their cost are what the account has won, to the last digit."""
    ledger = Ledger()
    for flow in story.flows:
        ledger.flow(flow)
    for fill in story.fills:
        ledger.book(fill)
    table = disposals(story.fills, story.flows, method, "USDT")
    worth = {currency: Fraction(price) for currency, price in story.prices.items()}

    def at_price(money: Mapping[str, Decimal]) -> Fraction:
        return sum((Fraction(amount) * worth[currency] for currency, amount in money.items()), Fraction(0))

    def priced(asset: str) -> Fraction:
        return worth[currencies(asset)[0] if "/" in asset else asset]

    put_in = {"USDT": sum((flow.amount for flow in story.flows if flow.currency == "USDT" and not flow.symbol), D(0))}
    total = at_price(ledger.holdings()) - at_price(put_in)
    realised = at_price(table.realised())
    unrealised = sum(
        (Fraction(lot.amount) * priced(asset) - at_price(lot.cost) for asset, lots in table.lots().items() for lot in lots), Fraction(0)
    )
    owed = sum((Fraction(row.amount) * priced(row.asset) for row in table.rows if row.note is Note.NEVER_BOUGHT), Fraction(0))
    # Units that were given away without having been there are missing in the ledger, and what was withdrawn has taken its cost with it.
    gone = sum((at_price(row.cost) for row in table.rows if row.note is Note.WITHDRAWN), Fraction(0))
    assert realised + unrealised == total + owed + gone


@given(stories())
@settings(deadline=None, max_examples=CASES)
def test_first_in_goes_first(story: Story) -> None:
    """By first in first out, nothing is disposed of that was acquired after something which is still held."""
    table = disposals(story.fills, story.flows, Method.FIFO, "USDT")
    for asset, lots in table.lots().items():
        assert [lot.at for lot in lots] == sorted(lot.at for lot in lots)
        sold = [row.acquired_at for row in table.rows if row.asset == asset and row.acquired_at is not None and not row.short]
        assert all(at <= lots[0].at for at in sold)
