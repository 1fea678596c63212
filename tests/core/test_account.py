"""The account: what is held, what it is worth, what may be spent."""

from datetime import timedelta
from decimal import Decimal
from math import inf, nan

import numpy as np
import pytest

from daemon.core.account import Account
from daemon.core.events import AccountPolled, Awoken, DriftCleared, DriftFound, PriceTicked, SliceClosed
from daemon.core.ledger import Ledger
from daemon.core.model import AccountSnapshot, Balance, Flow, Side, Slice, Status
from daemon.core.ordertable import OrderTable, State
from tests.core.builders import after, market, order, report


class Desk:
    """1000 USDT and 2 BTC at 100."""

    def __init__(self) -> None:
        self.ledger, self.table = Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        self.account.markets = {s: market(s) for s in ("BTC/USDT", "ETH/USDT")}
        for currency, amount in (("USDT", 1000), ("BTC", 2)):
            self.ledger.flow(Flow(f"opening-{currency}", currency, Decimal(amount), "opening", after(0)))
        self.tick(100)

    def tick(self, price: float, at: float = 0, symbol: str = "BTC/USDT") -> None:
        self.account.on_tick(PriceTicked(symbol, price, after(at)))

    def poll(self, locked: str, asked: float) -> None:
        snapshot = AccountSnapshot({"USDT": Balance(Decimal(0), Decimal(locked))}, (), after(asked), after(asked))
        self.account.on_polled(AccountPolled(snapshot, after(asked)))


def test_no_price_from_before_a_long_sleep_moves_money() -> None:
    """However new a price looks, after a sleep the next one is waited for; what is held keeps its worth."""
    desk = Desk()
    desk.account.on_awoken(Awoken(timedelta(seconds=120), after(1)))
    assert desk.account.fresh_prices(after(1)) == {}
    assert desk.account.equity() == 1200
    desk.tick(101, at=2)
    assert desk.account.fresh_prices(after(2)) == {"BTC/USDT": Decimal("101.0")}


def test_equity_is_marked_and_weights_are_of_it() -> None:
    """1000 of quote and 2 at 100 make 1200; 2 at 100 weigh a sixth."""
    desk = Desk()
    assert desk.account.equity() == 1200
    assert desk.account.weight("BTC/USDT", Decimal(1200)) == pytest.approx(1 / 6)
    assert desk.account.off_target({"BTC/USDT": 0.5}, {"ETH/USDT"}) == {"BTC/USDT": pytest.approx(1 / 6 - 0.5)}


@pytest.mark.parametrize("price", [nan, inf, -inf, 0.0, -1.0])
def test_what_cannot_be_a_price_is_not_believed(price: float) -> None:
    """The last good price stands."""
    desk = Desk()
    desk.tick(price, at=1)
    assert desk.account.mark("BTC/USDT") == 100


def test_an_older_price_does_not_replace_a_newer_one() -> None:
    """Neither a late tick nor the close of a slice that was filled in late."""
    desk = Desk()
    desk.tick(110, at=10)
    desk.tick(90, at=5)
    panel = np.full((5, 2), 80.0)
    late = Slice(after(8), ("BTC/USDT", "ETH/USDT"), panel, np.array([False, False]), np.array([0, 1]))
    desk.account.on_slice(SliceClosed(late, after(12)))
    assert desk.account.mark("BTC/USDT") == 110
    assert desk.account.mark("ETH/USDT") is None


def test_an_old_price_values_but_moves_nothing() -> None:
    """After the freshness limit a symbol is not traded, yet it still counts in equity."""
    desk = Desk()
    book = desk.account.book({"BTC/USDT": 0.5}, {}, after(16))
    assert book.untouchable == {"BTC/USDT": "stale_price"}
    assert book.equity == 1200


def test_orders_reserve_what_they_may_take() -> None:
    """An unknown buy reserves its quote, an open sell its base, until they end."""
    desk = Desk()
    buy = desk.table.add(order("r1", "ETH/USDT", Side.BUY, "1", "100"))
    sell = desk.table.add(order("r2", "BTC/USDT", Side.SELL, "0.5", "100"))
    buy.state, sell.state = State.UNKNOWN, State.ACKED
    book = desk.account.book({}, {}, after(1))
    assert book.cash == {"USDT": 1000 - buy.order.reserve}
    assert book.free["BTC/USDT"] == Decimal("1.5")
    assert book.projected == {"BTC/USDT": Decimal("1.5"), "ETH/USDT": Decimal(1)}
    sell.report(report(sell.order, Status.CANCELED), after(2))
    assert desk.account.book({}, {}, after(2)).free["BTC/USDT"] == 2


def test_a_symbol_in_motion_may_only_be_sold_whole() -> None:
    """While an order is open or in doubt nobody knows what is held: no trade but the exit of what is certain."""
    desk = Desk()
    tracked = desk.table.add(order("r1", "BTC/USDT"))
    for state, reason in ((State.UNKNOWN, "order_unknown"), (State.ACKED, "order_open")):
        tracked.state = state
        assert desk.account.book({"BTC/USDT": 0.5}, {}, after(1)).untouchable == {"BTC/USDT": reason}
        assert desk.account.book({"BTC/USDT": 0.0}, {}, after(1)).untouchable == {}


def test_what_others_have_locked_is_not_ours_to_spend() -> None:
    """A foreign open order's money is subtracted."""
    desk = Desk()
    desk.poll("300", asked=5)
    assert desk.account.cash_free() == {"USDT": 700}
    assert desk.account.foreign_locked == {"USDT": Decimal(300)}


def test_our_own_locks_are_not_taken_for_somebody_elses() -> None:
    """A poll that began before our order ended may show its lock: it says nothing of others."""
    desk = Desk()
    tracked = desk.table.add(order("r1", at=after(4)))
    desk.poll("101", asked=5)
    tracked.state = State.FILLED
    desk.table.touch(after(6))
    desk.poll("101", asked=5.5)
    desk.table.close(tracked)
    assert desk.account.cash_free() == {"USDT": 1000}


def test_unexplained_money_is_not_spent_and_a_coin_in_drift_does_not_grow() -> None:
    """Missing quote is subtracted, surplus is not added; a coin's drift freezes its symbol until it is cleared."""
    desk = Desk()
    desk.account.on_drift_found(DriftFound("USDT", Decimal(-100), after(1)))
    assert desk.account.cash_free() == {"USDT": 900}
    desk.account.on_drift_found(DriftFound("USDT", Decimal(100), after(1)))
    assert desk.account.cash_free() == {"USDT": 1000}
    desk.account.on_drift_found(DriftFound("BTC", Decimal(1), after(1)))
    assert desk.account.book({}, {}, after(1)).frozen == {"BTC/USDT": "drift"}
    desk.account.on_drift_cleared(DriftCleared("BTC", after(2)))
    assert desk.account.book({}, {}, after(2)).frozen == {}


def two_currencies() -> Desk:
    """1000 USDT, 2 BTC at 100 USDT; and 300 EUR at 1.1 USDT, which buy ETH at 50 EUR."""
    desk = Desk()
    desk.account = Account("USDT", desk.ledger, desk.table, timedelta(seconds=15), None, {"EUR": "EUR/USDT"}, timedelta(seconds=60))
    desk.account.markets = {s: market(s) for s in ("BTC/USDT", "ETH/EUR")}
    desk.ledger.flow(Flow("opening-EUR", "EUR", Decimal(300), "opening", after(0)))
    desk.ledger.flow(Flow("opening-ETH", "ETH", Decimal(4), "opening", after(0)))
    desk.tick(100)
    desk.tick(50, symbol="ETH/EUR")
    return desk


def test_further_currencies_count_at_their_rate() -> None:
    """Their money and what is bought with it are worth what a market says; until it says something, equity is not known."""
    desk = two_currencies()
    assert list(desk.account.unvalued) == ["EUR/USDT"]
    desk.tick(1.1, symbol="EUR/USDT")
    assert list(desk.account.unvalued) == []
    assert desk.account.cash == Decimal(1330)
    assert desk.account.equity() == Decimal(1330) + 200 + 4 * 50 * Decimal("1.1")
    assert desk.account.weight("ETH/EUR", Decimal(1750)) == pytest.approx(220 / 1750)


def test_each_currency_pays_for_its_own_orders() -> None:
    """A buy reserves money of its quote, a foreign lock and an unexplained difference take from their own currency."""
    desk = two_currencies()
    buy = desk.table.add(order("r1", "ETH/EUR", Side.BUY, "1", "50"))
    assert desk.account.cash_free() == {"USDT": 1000, "EUR": 300 - buy.order.reserve}
    desk.account.on_drift_found(DriftFound("EUR", Decimal(-100), after(1)))
    assert desk.account.cash_free() == {"USDT": 1000, "EUR": 200 - buy.order.reserve}


def test_a_rate_may_be_older_than_a_price_but_not_by_any_length() -> None:
    """It sizes targets and pays for nothing; beyond its own limit its symbols are not traded."""
    desk = two_currencies()
    desk.tick(1.1, symbol="EUR/USDT")
    assert desk.account.book({}, {}, after(50)).rates == {"USDT": 1, "EUR": Decimal("1.1")}
    assert desk.account.book({}, {}, after(61)).rates == {"USDT": 1}


def test_what_is_held_without_any_price_is_named() -> None:
    """Until it has one, equity is not known; a market that is closed for good is not waited for."""
    desk = Desk()
    desk.ledger.flow(Flow("x", "ETH", Decimal(1), "transfer", after(1)))
    assert desk.account.unvalued == ("ETH/USDT",)
    desk.account.markets = {**desk.account.markets, "ETH/USDT": market("ETH/USDT", active=False)}
    assert not desk.account.unvalued
