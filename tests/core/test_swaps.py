"""Swaps in the core: wallets, positions, and how near an order may bring them to their end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.core.account import Account
from daemon.core.events import Event, MarginLow, MarksBack, MarksLost, MarkTicked, TimePassed
from daemon.core.ledger import OPENING, Ledger
from daemon.core.margin import Margins
from daemon.core.marginwatch import MarginWatch
from daemon.core.model import ZERO, Fill, Flow, Instrument, Money, Side
from daemon.core.ordertable import OrderTable
from daemon.core.planner_inputs import Rules
from daemon.core.planner_legs import opened
from daemon.venue.swap.positions import Position
from tests.core.builders import START, after

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
FEE = Decimal("0.0005")
TIERS = ((ZERO, Decimal("0.004")), (Decimal(50_000), Decimal("0.01")), (Decimal(500_000), Decimal("0.025")))

trades = st.lists(st.tuples(st.booleans(), st.integers(1, 5000), st.integers(100, 9_999_999)), min_size=1, max_size=30)


def swap(symbol: str, leverage: int = 10) -> Instrument:
    """A market of swaps."""
    return Instrument(
        symbol=symbol,
        base=symbol[:3],
        quote="USDT",
        amount_step=Decimal("0.001"),
        price_tick=Decimal("0.01"),
        taker_fee=FEE,
        buy_fee_in_base=False,
        shortable=True,
        leverage=Decimal(leverage),
        tiers=TIERS,
    )


def fills(made: Sequence[tuple[bool, int, int]], *, told: bool) -> tuple[list[Fill], Position, Decimal]:
    """Trades as an exchange books them, its position after them, and its wallet, which began with 0."""
    position, wallet = Position(), ZERO
    found: list[Fill] = []
    for number, (buys, amount, price) in enumerate(made):
        size, at = Decimal(amount).scaleb(-3), Decimal(price).scaleb(-2)
        realised = position.fill("BUY" if buys else "SELL", at, size)
        fee = (size * at * FEE).quantize(Decimal("1e-8"))
        wallet += realised - fee
        found.append(
            Fill(
                order_id="",
                venue_id=str(number),
                trade_id=str(number),
                symbol=BTC,
                side=Side.BUY if buys else Side.SELL,
                amount=size,
                price=at,
                cost=size * at,
                fees=(Money(fee, "USDT"),) if fee else (),
                at=after(number + 1),
                realised=realised if told else None,
            )
        )
    return found, position, wallet


def ledger_of(found: Sequence[Fill]) -> Ledger:
    """A ledger that began with nothing and has booked these."""
    ledger = Ledger()
    ledger.flow(Flow("opening", "USDT", ZERO, OPENING, START))
    for fill in found:
        ledger.book(fill)
    return ledger


@given(trades)
def test_the_wallet_is_the_exchanges_to_the_last_digit(made: list[tuple[bool, int, int]]) -> None:
    """By the profits that are told, wallet, position and what it was opened for are the exchange's, in whichever order trades come."""
    found, position, wallet = fills(made, told=True)
    for order in (found, found[::-1]):
        ledger = ledger_of(order)
        assert (ledger.wallet("USDT"), ledger.held("BTC"), ledger.opened_for(BTC)) == (wallet, position.amount, position.cost)


@given(trades)
def test_untold_profits_are_reckoned_at_the_mean_price(made: list[tuple[bool, int, int]]) -> None:
    """Without them the wallet is right to the smallest unit a trade, and equity, which needs neither, is exact."""
    found, position, wallet = fills(made, told=False)
    ledger = ledger_of(found)
    assert abs(ledger.wallet("USDT") - wallet) <= len(made) * Decimal("1e-8")
    assert ledger.held("BTC") == position.amount
    told = ledger_of(fills(made, told=True)[0])
    assert ledger.held("USDT") == told.held("USDT")


def account_of(cash: int, btc: float, eth: float, prices: tuple[float, float] = (60_000.0, 3_000.0)) -> Account:
    """An account with these positions, in weights of what it began with."""
    ledger, table = Ledger(), OrderTable()
    account = Account("USDT", ledger, table, timedelta(seconds=15))
    account.markets = {BTC: swap(BTC), ETH: swap(ETH)}
    ledger.flow(Flow("opening", "USDT", Decimal(cash), OPENING, START))
    for symbol, weight, price in ((BTC, btc, prices[0]), (ETH, eth, prices[1])):
        account.mark_at(symbol, price, START)
        amount = Decimal(f"{abs(weight) * cash / price:.3f}")
        if amount:
            side = Side.BUY if weight > 0 else Side.SELL
            cost = amount * Decimal(str(price))
            fill = Fill(
                order_id="",
                venue_id=symbol,
                trade_id=symbol,
                symbol=symbol,
                side=side,
                amount=amount,
                price=Decimal(str(price)),
                cost=cost,
                fees=(),
                at=after(1),
            )
            ledger.book(fill)
    return account


weights = st.floats(-5, 5).filter(lambda weight: abs(weight) > 0.01)


@given(st.integers(1_000, 5_000_000), weights, st.floats(-3, 3), st.floats(0.02, 0.5), st.booleans())
def test_what_there_is_room_for_leaves_the_distance(cash: int, btc: float, eth: float, least: float, adds_to_btc: bool) -> None:
    """An order as large as there is room for leaves every position at least so far from its liquidation, at a price that slipped."""
    account = account_of(cash, btc, eth)
    rules, distance = Rules(), Decimal(f"{least:.4f}")
    symbol, sign = (BTC, 1 if btc > 0 else -1) if adds_to_btc else (ETH, 1 if eth >= 0 else -1)
    market, price = account.markets[symbol], account.mark(symbol) or ZERO
    leg = opened(market, Side.BUY if sign > 0 else Side.SELL, Decimal(cash), price, rules)
    room = market.floor(Margins.of(account, pending=True).room(leg, market, distance, rules.slippage))
    if not room:
        return
    lost = room * price * (rules.slippage + market.taker_fee)
    books = {BTC: account.held(BTC), ETH: account.held(ETH)}
    books[symbol] += sign * room
    worths = {s: abs(amount) * (account.mark(s) or ZERO) for s, amount in books.items()}
    kept = {s: worth * max(rate for floor, rate in TIERS if floor <= worth) for s, worth in worths.items()}
    for moved, worth in worths.items():
        # Against a long the price falls and so does what it must keep; against a short both rise.
        against = -1 if books[moved] > 0 else 1
        after_it = account.equity() - lost - worth * distance - sum(kept.values()) - against * kept[moved] * distance
        assert after_it >= -Decimal("1e-6"), (moved, after_it)


def test_margin_is_what_the_leverage_asks() -> None:
    """What is free is the collateral, less the positions' worth by their leverage, and never more than the most that may be used."""
    account = account_of(100_000, 2.0, -1.0)
    used = (account.exposures(pending=False)[BTC] + account.exposures(pending=False)[ETH]) / 10
    assert account.cash_free() == {"USDT": account.equity() - used}
    account.margin_max = Decimal("0.5")
    assert account.cash_free() == {"USDT": account.equity() / 2 - used}
    account.markets = {s: replace(m, leverage=Decimal(20)) for s, m in account.markets.items()}
    assert account.cash_free() == {"USDT": account.equity() / 2 - used / 2}


def test_positions_are_worth_their_mark_while_it_is_young() -> None:
    """Equity, weights and distances follow the mark, not the last trade; one that is old, or no price, gives way to the last price."""
    account = account_of(100_000, 2.0, 0.0)
    before, distance = account.equity(), Margins.of(account, pending=False).distances()[BTC]
    assert account.unmarked(after(1)) == (BTC,)
    for price, worth in ((54_000.0, Decimal(54_000)), (float("nan"), Decimal(54_000)), (-1.0, Decimal(54_000))):
        list(account.on_mark(MarkTicked(BTC, price, after(1))))
        assert account.mark(BTC) == worth
    assert account.equity() == before + account.held(BTC) * (Decimal(54_000) - Decimal(60_000))
    assert account.unmarked(after(1)) == ()
    assert account.fresh_prices(after(1))[BTC] == 60_000, "an order is priced by what is traded"
    assert Margins.of(account, pending=False).distances()[BTC] < distance
    account.mark_at(BTC, 61_000.0, after(10))
    assert account.mark(BTC) == 54_000
    account.mark_at(BTC, 61_000.0, after(17))
    assert account.mark(BTC) == 61_000, "the mark was overtaken"
    assert account.unmarked(after(17)) == (BTC,)


def test_missing_marks_are_told_once() -> None:
    """Fifteen seconds without the mark of what is held are worth a word, and so is their end; a swap that is not held is no matter."""
    account = account_of(100_000, 0.5, 0.0)
    watch = MarginWatch(account, Decimal("0.1"), None)
    told: list[Event] = []
    for second in range(60):
        if second >= 40:
            list(account.on_mark(MarkTicked(BTC, 60_000.0, after(second))))
        told += watch.on_time(TimePassed(after(second)))
    assert told == [MarksLost((BTC,), after(15)), MarksBack(after(40))]


def test_margin_is_judged_at_the_mark() -> None:
    """A position that the last price leaves alone is too near its liquidation by the mark, and that is what counts."""
    account = account_of(100_000, 4.0, 0.0)
    watch = MarginWatch(account, Decimal("0.2"), Decimal("0.1"))
    assert list(watch.on_time(TimePassed(after(2)))) == []
    list(account.on_mark(MarkTicked(BTC, 50_000.0, after(3))))
    (low,) = watch.on_time(TimePassed(after(4)))
    assert isinstance(low, MarginLow)
    assert low.reduces
