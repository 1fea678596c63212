"""What the API shows: every value of its right kind, null while it cannot be known, and each check that fails as a sentence."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.account import Account
from daemon.core.analyzer import Analyzer
from daemon.core.bus import Bus
from daemon.core.curves import Curves
from daemon.core.ledger import OPENING, Ledger
from daemon.core.membership import Membership
from daemon.core.model import AccountSnapshot, Balance, Decision, Flow, Side, Slice, Status, TargetWeights
from daemon.core.orders import OrderManager
from daemon.core.ordertable import OrderTable, Saw
from daemon.core.plain import plain
from daemon.core.portfolio import Portfolio
from daemon.core.reconciler import PositionReconciler
from daemon.core.sleeves import Sleeves
from daemon.core.states import Hold, Level, Scope, States
from daemon.core.trading import Settings
from daemon.io.journal import Journal
from daemon.telling.views import DaemonViews, Freshness
from daemon.telling.why import WORDS
from tests.core.builders import fill, halted, market, order, report
from tests.io.journal_facts import START, StillClock, open_journal

SYMBOLS = ("BTC/USDT", "ETH/USDT")
IDENTITY = {"name": "momo", "mode": "paper", "exchange": "binance"}
STATUS = {
    "name": str,
    "mode": str,
    "state": str,
    "reason": str,
    "equity": str,
    "cash": str,
    "positions": int,
    "open_orders": int,
    "last_slice": str,
    "last_decision": str,
    "last_reconcile": str,
    "drift": float,
    "gross": float,
    "net": float,
    "unknown_orders": int,
    "uptime_s": float,
    "version": str,
}
D = Decimal


class World:
    """The views of a daemon whose core is real and whose edges are the test's hand."""

    def __init__(self, journal: Journal, symbols: tuple[str, ...] = SYMBOLS) -> None:
        self.journal = journal
        self.symbols = symbols
        self.clock = StillClock()
        self.ledger, self.table = Ledger(), OrderTable()
        self.account = Account("USDT", self.ledger, self.table, timedelta(seconds=15))
        states = States()
        self.portfolio = Portfolio(("momo",), self.ledger, self.table)
        sleeves = Sleeves(self.portfolio, self.account, self.table, states)
        self.manager = OrderManager(Settings(instance="momo|paper", quote="USDT"), self.account, self.table, states, sleeves)
        self.reconciler = PositionReconciler(symbols, self.ledger, self.table)
        freshness = Freshness(slice=timedelta(seconds=20), reconcile=timedelta(seconds=60))
        self.curves = Curves(self.account, self.ledger, self.portfolio)
        self.analyzer = Analyzer(symbols, timedelta(hours=1), self.account, self.table, self.curves, jump=0.2)
        self.disabled: dict[str, str] = {}
        self.membership = Membership(symbols, timedelta(hours=1), None, silent_max=5, coverage_min=0.8)
        told = freshness, self.analyzer, self.disabled, self.membership
        self.views = DaemonViews(IDENTITY, self.manager, self.account, self.reconciler, journal, self.clock, *told)
        routes: list[tuple[type, list[Any]]] = [
            (e.EquityMarked, []),
            (e.SliceClosed, [self.account.on_slice, self.views.on_slice, self.analyzer.on_slice]),
            (e.AccountPolled, [self.account.on_polled, self.reconciler.on_polled]),
            (e.AccountReconciled, [self.manager.on_reconciled]),
            (e.OrderFilled, [self.portfolio.on_fill, self.reconciler.on_fill, self.manager.on_order]),
            (e.TargetsChosen, [self.manager.on_targets]),
            (e.HoldPlaced, [self.manager.on_hold]),
        ]
        self.bus: Bus[e.Event] = Bus(routes)

    def load(self) -> None:
        """The venue's rules have come."""
        self.account.markets = {s: market(s) for s in self.symbols}

    def open(self, **held: str) -> None:
        """The opening balance is booked."""
        for currency, amount in held.items():
            self.portfolio.flow(Flow(f"opening-{currency}", currency, D(amount), OPENING, START - timedelta(days=1)))

    def poll(self, **held: str) -> None:
        """The account is read."""
        now = self.clock.now()
        snapshot = AccountSnapshot({c: Balance(D(amount), D(0)) for c, amount in held.items()}, (), now, now)
        self.bus.publish(e.AccountPolled(snapshot, now))

    def close_slice(self, *closes: float) -> None:
        """A slice at the present second, with these closes; NaN has no bar."""
        self.bus.publish(self.slice(*closes))

    def slice(self, *closes: float) -> e.SliceClosed:
        """That slice, not published."""
        panel = np.array([closes] * 4 + [[1.0] * len(closes)])
        age = np.where(np.isnan(panel[0]), 1, 0)
        now = self.clock.now()
        return e.SliceClosed(Slice(now, self.symbols, panel, np.zeros(len(closes), np.bool_), age), now)

    def status(self) -> dict[str, Any]:
        """As it leaves through the API."""
        return shown(self.views.status())


def shown(row: Mapping[str, object]) -> dict[str, Any]:
    """A row in JSON's own types."""
    plainly = plain(row)
    assert isinstance(plainly, dict)
    return plainly


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with open_journal(tmp_path / "momo.sqlite") as journal:
        yield World(journal)


def running(world: World) -> World:
    """A world that holds half a bitcoin and trades."""
    world.load()
    world.open(USDT="75000", BTC="0.5")
    world.poll(USDT="75000", BTC="0.5")
    world.close_slice(50_000.0, 3_000.0)
    by_strategy = {"momo": TargetWeights({"BTC/USDT": 0.3})}
    world.bus.publish(e.TargetsChosen(Decision("d1", START, {"BTC/USDT": 0.3}, frozenset(), by_strategy, START), START))
    return world


# --- status ----------------------------------------------------------------------------------------------------------


async def test_status_has_every_key_in_its_type(world: World) -> None:
    """Money is a decimal string, counts and shares are numbers, times are RFC 3339, and no key of the contract is missing."""
    status = running(world).status()
    assert {key: type(status[key]) for key in STATUS} == STATUS
    assert status["state"] == "running"
    assert (status["equity"], status["cash"], status["drift"], status["positions"], status["open_orders"]) == ("100000", "75000", 0.0, 1, 0)
    assert status["last_slice"] == status["last_reconcile"] == status["last_decision"] == "2024-05-17T12:30:15.123456Z"
    assert status["last_wave"] is None


async def test_status_shows_what_is_none_of_our_business(world: World) -> None:
    """Coins of no universe, and what orders of others lock, by currency; both count in nothing."""
    before = running(world).status()
    assert (before["ringfenced"], before["foreign_locked"]) == ({}, {})
    now = world.clock.now()
    balances = {"USDT": Balance(D(74_500), D(500)), "BTC": Balance(D("0.5"), D(0)), "DOGE": Balance(D(3), D(4))}
    world.bus.publish(e.AccountPolled(AccountSnapshot(balances, (), now, now), now))
    after = world.status()
    assert (after["ringfenced"], after["foreign_locked"]) == ({"DOGE": "7"}, {"DOGE": "4", "USDT": "500"})
    assert (after["equity"], after["drift"]) == (before["equity"], 0.0)


async def test_nothing_is_made_up_before_it_is_known(world: World) -> None:
    """Before the venue has answered, what it alone knows is null: an equity of zero would be an alarm."""
    unknown = {"equity", "cash", "positions", "open_orders", "last_slice", "last_decision", "last_reconcile", "drift", "last_wave"}
    unknown |= {
        "bars",
        "user_stream",
        "ringfenced",
        "foreign_locked",
        "kept_apart",
        "unmarked",
        "gross",
        "net",
        "drawdown",
        "unknown_orders",
    }
    status = world.status()
    assert {key for key, value in status.items() if value is None} == unknown
    assert (status["state"], status["reason"]) == ("starting", "the account has not been read yet")
    world.load()
    world.open(USDT="1000")
    assert {key for key, value in world.status().items() if value is None} == unknown - {"open_orders", "unknown_orders"}


async def test_equity_waits_for_the_price_of_what_is_held(world: World) -> None:
    """After a restart holdings are known before prices are; cash alone is not what the account is worth."""
    world.load()
    world.open(USDT="75000", BTC="0.5")
    world.poll(USDT="75000", BTC="0.5")
    assert (world.status()["equity"], world.status()["cash"]) == (None, "75000")
    assert [row["weight"] for row in world.views.positions()] == [None, None, None]
    world.close_slice(50_000.0, float("nan"))
    assert world.status()["equity"] == "100000"
    assert [row["weight"] for row in world.views.positions()] == [0.25, 0.0, 0.75]


async def test_trouble_is_the_reason(world: World) -> None:
    """While the venue is away, the status says so instead of what it waits for."""
    world.views.trouble = "the exchange does not answer"
    assert world.status()["reason"] == "the exchange does not answer"


async def test_drift_is_the_largest_difference_as_a_share_of_equity(world: World) -> None:
    """What the account holds less than the ledger, in money, by the equity; zero again when they agree."""
    running(world)
    world.clock.at += timedelta(seconds=10)
    world.poll(USDT="75100", BTC="0.48")
    assert world.status()["drift"] == pytest.approx(0.02 * 50_000 / 100_000)
    world.clock.at += timedelta(seconds=10)
    world.poll(USDT="75000", BTC="0.5")
    assert world.status()["drift"] == 0.0


async def test_drift_of_an_account_without_worth_is_not_zero(world: World) -> None:
    """A difference that cannot be put in proportion is null, never agreement."""
    world.load()
    world.open(USDT="0")
    world.close_slice(50_000.0, 3_000.0)
    world.poll(USDT="5")
    assert world.status()["drift"] is None


# --- ready -----------------------------------------------------------------------------------------------------------


async def test_ready_when_it_may_trade(world: World) -> None:
    """A running daemon with a young slice and a young comparison is ready, and has nothing to say."""
    assert running(world).views.ready() == (True, [])


async def test_what_is_missing_at_the_start_is_named(world: World) -> None:
    """Before anything has come, each check says what it waits for."""
    ready, failing = world.views.ready()
    assert not ready
    assert failing == [
        "trading is starting: the account has not been read yet",
        "there has been no slice of bars yet",
        "there has been no comparison with the account yet",
    ]


UNREADY = {
    "a slice of bars that is old": (21, "the last slice of bars is 21 s old; 20 s are allowed"),
    "a comparison that is old": (61, "the last comparison with the account is 61 s old; 60 s are allowed"),
}


@pytest.mark.parametrize("what", UNREADY)
async def test_age_ends_readiness(what: str, world: World) -> None:
    """What was young once is not for ever; the sentence has both numbers."""
    seconds, sentence = UNREADY[what]
    running(world).clock.at += timedelta(seconds=seconds)
    ready, failing = world.views.ready()
    assert not ready
    assert sentence in failing


async def test_a_halt_ends_readiness_with_its_reason(world: World) -> None:
    """A halted daemon is not ready, and says why in the halt's own words."""
    running(world).bus.publish(halted("the exchange refuses the credentials", START))
    assert world.views.ready() == (False, ["trading is halted: the exchange refuses the credentials"])
    assert world.manager.state == "halted"


async def test_every_hold_is_shown(world: World) -> None:
    """All that restricts trading, the most severe first, in status and readiness; a symbol's own hold at its rows only."""
    bus = running(world).bus
    later = START + timedelta(minutes=5)
    about = Scope(symbol="ETH/USDT")
    for hold in (
        Hold(level=Level.REDUCING, code="stale_data", text="no bars", since=START),
        Hold(scope=about, level=Level.PAUSED, code="rejects", text="refused", since=START, until=later),
    ):
        bus.publish(e.HoldPlaced(hold, START))
    status = world.status()
    assert (status["state"], status["reason"]) == ("reducing", "no bars")
    symbol, account = status["holds"]
    assert account == {
        "scope": "account",
        "level": "reducing",
        "code": "stale_data",
        "text": "no bars",
        "since": "2024-05-17T12:30:15.123456Z",
        "by": "rebalanced",
        "until": None,
    }
    assert (symbol["scope"], symbol["level"], symbol["until"]) == ("symbol ETH/USDT", "paused", "2024-05-17T12:35:15.123456Z")
    assert [row["hold"] for row in world.views.positions()] == ["stale_data", "rejects", None]
    assert [row["hold"] for row in world.views.targets()] == ["stale_data", "rejects"]
    bus.publish(halted("a deep fall", START, "drawdown"))
    assert world.views.ready()[1] == ["trading is halted: a deep fall", "trading is reducing, too: no bars"]
    told = await world.views.why("eth", None)
    assert (told["now"]["hold"], told["now"]["hold_says"]) == ("drawdown", WORDS["drawdown"])  # type: ignore[index]


async def test_a_failed_journal_ends_readiness(world: World) -> None:
    """Nothing may be traded that cannot be recorded."""
    running(world)
    world.journal._writer.failed = "disk full"
    assert world.views.ready() == (False, ["the journal has failed: disk full"])
    world.journal._writer.failed = None


# --- rows ------------------------------------------------------------------------------------------------------------


async def test_positions_are_the_universe_and_the_cash(world: World) -> None:
    """One row a symbol, held or not, and one for the cash; weights sum to one."""
    rows = [shown(row) for row in running(world).views.positions()]
    assert [row["symbol"] for row in rows] == ["BTC/USDT", "ETH/USDT", "USDT"]
    assert all(
        row.keys() == {"symbol", "amount", "price", "value", "weight", "target", "account", "hold", "outside", "strategies"} for row in rows
    )
    assert [(row["amount"], row["price"], row["value"]) for row in rows] == [
        ("0.5", "50000", "25000"),
        ("0", "3000", "0"),
        ("75000", "1", "75000"),
    ]
    assert [row["target"] for row in rows] == [0.3, 0.0, None]
    assert sum(row["weight"] for row in rows) == pytest.approx(1.0)
    assert {row["account"] for row in rows} == {"momo"}
    assert [row["strategies"] for row in rows] == [{"unassigned": "0.5"}, {}, {"unassigned": "75000"}]


async def test_targets_are_those_of_the_newest_decision(world: World) -> None:
    """A symbol that the decision does not name is wanted at zero; before there is a decision there is no row."""
    assert world.views.targets() == ()
    assert [shown(row) for row in running(world).views.targets()] == [
        {
            "symbol": symbol,
            "weight": weight,
            "strategies": {"momo": weight},
            "as_of": "2024-05-17T12:30:15.123456Z",
            "disabled": {},
            "restricted": {},
            "hold": None,
        }
        for symbol, weight in (("BTC/USDT", 0.3), ("ETH/USDT", 0.0))
    ]


async def test_a_restricted_strategy_is_named_wherever_targets_are_told(world: World) -> None:
    """How far and why; in its row of the status as its state, and nothing of it counts for the account."""
    hold = Hold(scope=Scope(strategy="momo"), level=Level.PAUSED, code="person", text="for a look", since=START)
    running(world).bus.publish(e.HoldPlaced(hold, START))
    told = {"momo": "paused: for a look"}
    row = next(row for row in world.status()["strategies"] if row["name"] == "momo")
    assert (row["state"], row["reason"], world.status()["state"]) == ("paused", "for a look", "running")
    assert [each["restricted"] for each in world.views.targets()] == [told, told]
    assert (await world.views.why("BTC", None))["restricted"] == told


async def test_each_sleeve_is_told_with_what_it_has_and_made(world: World) -> None:
    """Equity and profit of all of them are the account's; nobody's money has no return; before the account was read nothing is known."""
    assert [row["equity"] for row in world.status()["strategies"]] == [None]
    mine, nobodys = running(world).status()["strategies"]
    assert (mine["name"], mine["share"], mine["equity"], mine["pnl"], mine["drawdown"]) == ("momo", None, "0", "0", 0.0)
    assert (nobodys["name"], nobodys["equity"], nobodys["return"]) == ("unassigned", "100000", None)


async def test_a_disabled_strategy_is_named_with_its_reason_wherever_targets_are_told(world: World) -> None:
    """Status, targets and the story of a symbol say that a strategy is asked no more, from that moment on, before a decision as well."""
    running(world)
    world.disabled["own"] = "it raised (my.py line 12, in decide)"
    told = {"own": "it raised (my.py line 12, in decide)"}
    assert world.status()["disabled"] == told
    assert [row["disabled"] for row in world.views.targets()] == [told, told]
    assert (await world.views.why("BTC", None))["disabled"] == told


ORDER = {"id", "symbol", "side", "amount", "filled", "price", "state", "reason", "decision_id", "at"}


async def test_orders_have_their_state_while_they_live_and_after(world: World) -> None:
    """An order shows what the core knows of it while it is open, and what the journal knows once it has ended; newest first."""
    running(world)
    assert world.manager.decision is not None
    ended, alive = order("r1", at=START), order("r2", "ETH/USDT", at=START)
    await world.journal.commit(world.manager.decision, ended, alive)
    await world.journal.commit(e.OrderClosed("r1", "BTC/USDT", "filled", D(1), D(100), START))
    tracked = world.table.add(alive)
    tracked.learn(Saw.SENDING)
    tracked.report(report(alive, Status.OPEN, "0.25"), START)
    rows = [shown(row) for row in await world.views.orders(10)]
    assert [row.keys() >= ORDER for row in rows] == [True, True]
    assert [(row["id"], row["state"], row["filled"]) for row in rows] == [("r2", "partial", "0.25"), ("r1", "filled", "0")]


async def test_a_trade_leads_back_to_its_decision_whoever_sent_the_order(world: World) -> None:
    """Trades of this process and of those before it name order and decision, also where the venue's listing names its own id alone."""
    running(world)
    assert world.manager.decision is not None
    mine, nameless, earlier = (order(name, side=Side.BUY) for name in ("r1", "r2", "r0"))
    await world.journal.commit(world.manager.decision, earlier, mine, nameless)
    for each in (mine, nameless):
        world.manager.table.add(each)
    unnamed = replace(fill(nameless, trade_id="2"), order_id="")
    strange = replace(fill(order("by-hand"), trade_id="4"), order_id="")
    world.bus.publish(e.OrderFilled(fill(mine, trade_id="1"), START))
    tracked = world.manager.table.get("r2")
    assert tracked is not None
    tracked.report(report(nameless), START)
    world.manager.table.link(tracked, START)
    for each_fill in (fill(mine, trade_id="1"), unnamed, fill(earlier, trade_id="3"), strange):
        await world.journal.commit(e.OrderFilled(each_fill, START))
    rows = [shown(row) for row in await world.views.fills(10)]
    assert [(row["id"], row["order_id"], row["decision_id"]) for row in rows] == [
        ("4", "", None),
        ("3", "r0", "d1"),
        ("2", "r2", "d1"),
        ("1", "r1", "d1"),
    ]
    assert all(row.keys() >= ORDER for row in rows)
