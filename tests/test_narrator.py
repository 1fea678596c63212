"""Which lines an event becomes, that every event was thought of, and that docs/log-events.md says the same."""

import ast
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import numpy as np

from daemon.config.lognames import NAMES
from daemon.core import events as e
from daemon.core.funding import FundingRate
from daemon.core.model import (
    AccountSnapshot,
    Bar,
    Booking,
    Decision,
    Entry,
    Fill,
    Flow,
    Money,
    Order,
    OrderReport,
    Side,
    Slice,
    Status,
    TargetWeights,
)
from daemon.core.roll import Outside, Place
from daemon.core.states import ACCOUNT, Hold, Level
from daemon.core.styles import Parent, Style, Touch
from daemon.io import alerts_sieve as sieve
from daemon.io import logs
from daemon.telling.lines import Line
from daemon.telling.narrator import ORDERS_MAX, Narrator, narrate
from daemon.telling.orders import Known
from daemon.telling.waves import SIGNALS_MAX
from tests.core.builders import fill, halted
from tests.pages.logevents import rows

ROOT = Path(__file__).parents[1]
AT = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
BTC, ETH = "BTC/USDT", "ETH/USDT"
RESTRICTED = (Level.REDUCING, Level.PAUSED, Level.FLATTENING)


def order(number: int = 1) -> Order:
    """An order of decision d1."""
    return Order(
        id=f"r-{number}",
        symbol=BTC,
        side=Side.BUY,
        amount=Decimal("0.05"),
        price=Decimal(50000),
        reserve=Decimal(2513),
        decision_id="d1",
        attempt=1,
        at=AT,
    )


def report(status: Status = Status.OPEN, order_id: str = "r-1") -> OrderReport:
    """What the venue says of it."""
    nothing = Decimal(0)
    return OrderReport(
        order_id=order_id,
        venue_id="77",
        symbol=BTC,
        side=Side.BUY,
        status=status,
        amount=Decimal("0.05"),
        filled=nothing,
        cost=nothing,
        at=AT,
    )


def cross_section(*, missing: bool = False) -> Slice:
    """Two symbols, the second perhaps without a bar."""
    panel = np.array([[50000.0, 3000.0]] * 4 + [[1.0, 2.0]])
    return Slice(AT, (BTC, ETH), panel, np.array([False, missing]), np.array([0, int(missing)]))


SIGNALS = {BTC: {"price_momentum": 0.0312345678, "rsi": 61.5, "trend": 1.0, "score": 0.058}}
DECISION = Decision("d1", AT, {BTC: 0.25, ETH: 0.0}, frozenset({ETH}), {"momo": TargetWeights({BTC: 0.25}, signals=SIGNALS)}, AT)
FILL = Fill(
    order_id="r-1",
    venue_id="77",
    trade_id="501",
    symbol=BTC,
    side=Side.BUY,
    amount=Decimal("0.05"),
    price=Decimal(50010),
    cost=Decimal("2500.5"),
    fees=(Money(Decimal("0.00005"), "BTC"),),
    at=AT,
)
WAVE = e.WaveSettled(
    decision=DECISION,
    targets=DECISION.weights,
    equity=Decimal("10000.25"),
    sent=1,
    filled=1,
    refused={},
    left={ETH: "kept"},
    off_target={BTC: -0.000012345678, ETH: 0.0},
    cost_bps=12.25,
    took_ms=804,
    at=AT,
    cost_parts={"fee": 10.0, "spread": 2.25, "delay": -1.5},
    stages={"received": 0.0, "slice": 0.052, "decided": 0.31, "first_byte": 1.204, "settled": 803.5},
)


PARENT = Parent(
    decision_id="d1",
    symbol=BTC,
    side=Side.BUY,
    first=1,
    amount=Decimal("0.05"),
    price=Decimal(50000),
    style=Style.TWAP,
    at=AT,
    until=AT + timedelta(minutes=30),
    slices=30,
    interval=timedelta(minutes=1),
)


# One event of each kind that is told, with the narrator's memory it needs.
def paused(level: Level) -> e.HoldPlaced:
    """A person's hold."""
    return e.HoldPlaced(Hold(level=level, code="pause", text="a person said so", since=AT, by="me"), AT)


PHASES = ("unbalanced", "unwinding", "stuck", "balanced")
ONE_OF_EACH: list[tuple[e.Event, Known | None]] = [
    (e.StreamCaughtUp(BTC, 0, AT), None),
    (e.StreamLost(BTC, "no bar for 15 s", AT), None),
    (e.StreamCaughtUp(BTC, 3, AT), None),
    (e.BarClosed(Bar(BTC, AT, 50000.0, 50020.0, 49990.0, 50010.0, 1.5), AT), None),
    (e.SliceClosed(cross_section(missing=True), AT), None),
    (e.StrategyStarted("mine", 240, AT), None),
    (e.StrategyDisabled("mine", "ZeroDivisionError: division by zero (my.py line 61, in decide)", AT), None),
    (e.UniverseChosen(AT, {BTC: Place(1, 2.5e6, None), ETH: Place(5, 1e4, Outside.RANK)}, (BTC,), (ETH,), AT), None),
    (e.SymbolWoundDown(ETH, "dust", AT), None),
    (e.TargetsChosen(DECISION, AT), None),
    (e.RiskLimited("d1", BTC, 0.5, 0.25, "weight_max", AT), None),
    (e.RiskLimited("d1", BTC, 0.4, 0.25, "sector_max", AT, found=0.8, most=0.5, group="layer1"), None),
    (
        e.RiskLimited("d1", BTC, 0.25, 0.2, "correlated_group_max", AT, found=0.5, most=0.4, together=(ETH,), correlation=0.93),
        None,
    ),
    (e.OrderLimited("d1", BTC, Side.BUY, Decimal("0.08"), Decimal("0.05"), "order_notional_max", 4000.0, 2500.0, AT), None),
    (e.RiskRefused("d1", BTC, Side.BUY, Decimal("0.05"), "price_deviation_max", 0.12, 0.1, AT), None),
    (e.CorrelationHigh(0.91, 0.68, AT), None),
    (e.CorrelationCalmed(0.74, 0.69, AT), None),
    (e.PlanMade("d1", 1, (order(),), {ETH: "kept"}, AT, worked={BTC: Decimal("0.05")}), None),
    (e.ParentBegun(PARENT, AT), None),
    (e.ParentEnded(PARENT, Decimal("0.04"), Decimal("0.03"), "unfilled", AT), None),
    *((e.GroupJudged("d1", (BTC, ETH), phase, Decimal(2500), (ETH,), AT), None) for phase in PHASES),
    (e.OrderSent("r-1", AT), Known(order())),
    (e.OrderReported(report(), "answer", AT), Known(order())),
    (e.OrderRefused("r-1", "insufficient_funds", "Account has insufficient balance", AT), Known(order())),
    (e.OrderNotSent("r-1", "connection refused", AT), Known(order())),
    (e.OrderUnknown("r-1", "no answer within 10 s", AT), Known(order())),
    (e.OrderNotFound("r-1", AT, AT), Known(order(), "unknown")),
    (e.OrderReported(report(Status.FILLED), "query", AT), Known(order(), "unknown")),
    (e.OrderGivenUp("r-1", "ann@127.0.0.1", AT), Known(order(), "unknown")),
    (e.CancelOrder("r-1", BTC, AT, AT), Known(order(), "acked")),
    (e.OrderFilled(FILL, AT), Known(order(), "acked")),
    (e.OrderClosed("r-1", BTC, "filled", Decimal("0.05"), Decimal("2500.5"), AT), Known(order(), "acked")),
    (WAVE, None),
    (e.AccountReconciled({"BTC": Decimal("0.00000001")}, AT, AT), None),
    (e.PollFailed("the venue did not answer", AT), None),
    (e.ForeignOrdersSeen({BTC: 2}, AT), None),
    (e.FlowBooked(Flow("f1", "USDT", Decimal(500), "deposit", AT), AT), None),
    (e.FlowBooked(Flow("f2", "USDT", Decimal("-0.25"), "funding", AT, "BTC/USDT:USDT"), AT), None),
    (e.DriftFound("BTC", Decimal("-0.1"), AT), None),
    (e.DriftCleared("BTC", AT), None),
    (e.ClockMeasured(timedelta(milliseconds=12), timedelta(milliseconds=3), AT), None),
    (e.ClockMeasured(timedelta(seconds=-1.5), timedelta(milliseconds=3), AT), None),
    (e.LoopLagged(timedelta(seconds=0.4), AT), None),
    (e.TradingStarted(AT), None),
    (e.Awoken(timedelta(seconds=120), AT), None),
    (e.HoldWritten(halted("the venue has forgotten every order", AT), AT), None),
    *((e.HoldWritten(paused(level), AT), None) for level in RESTRICTED),
    (e.HoldWritten(e.HoldLifted(ACCOUNT, "pause", "me", AT), AT), None),
    (e.RebalanceRequested("me", AT), None),
    (e.ApprovalAsked("d1", (order(),), {ETH: "in_band"}, AT, AT), None),
    (e.ApprovalGiven("d1", "me", AT), None),
    (e.ApprovalLapsed("d1", AT), None),
    (e.SleevesBooked(Booking("d1-cross-1", "cross", (Entry("a", "BTC", Decimal(1)), Entry("b", "BTC", Decimal(-1))), AT), AT), None),
    (e.StopRequested(AT), None),
    (e.MarginLow("BTC/USDT:USDT", Decimal("0.125"), Decimal("0.15"), AT), None),
    (e.MarginLow("BTC/USDT:USDT", Decimal("0.07"), Decimal("0.08"), AT, reduces=True), None),
    (e.MarginRestored(AT), None),
    (e.MarksLost(("BTC/USDT:USDT",), AT), None),
    (e.MarksBack(AT), None),
]
SILENT: list[e.Event] = [
    e.PriceTicked(BTC, 1.0, AT),
    e.MarkTicked("BTC/USDT:USDT", 60_000.0, AT),
    e.FundingTold("BTC/USDT:USDT", FundingRate(0.0001, AT, timedelta(hours=8)), AT),
    e.TimePassed(AT),
    e.RecallOrder(fill(order()), AT),
    e.OrderRecalled("r-1", True, AT, AT),
    e.BookSleeves(Booking("d1-cross-1", "cross", (), AT), AT),
    e.KeepState("curves", "{}", AT),
    e.EquityMarked(Decimal(1), Decimal(1), Decimal(1), 0.0, 0.0, 1.0, 0.0, AT),
    paused(Level.PAUSED),
    e.HoldLifted(ACCOUNT, "pause", "me", AT),
    e.AskStrategy("mine", cross_section(missing=False), None, AT),
    e.StrategyAnswered("mine", AT, TargetWeights({}), frozenset(), AT),
    e.PlanWave(AT),
    e.TargetsUnchanged(DECISION, AT),
    e.SubmitOrders(DECISION, (order(),), AT),
    e.QueryOrder("r-1", BTC, AT, AT),
    e.QueryTrades((BTC,), AT, AT),
    e.PollAccount(AT),
    e.MeasureClock(AT),
    e.ReadMarkets(AT),
    e.ReadSettings(AT),
    e.ReadTouch((BTC,), AT),
    e.TouchRead((Touch(BTC, Decimal(1), Decimal(2), AT),), AT),
    e.MarketsListed({}, AT),
    e.BookFlows((), AT),
    e.TradesListed((BTC,), AT, AT),
    e.AccountPolled(AccountSnapshot({}, (), AT, AT), AT),
    e.BalanceMoved("USDT", Decimal(1), "x", AT),
]


def names(lines: tuple[Line, ...]) -> list[str]:
    """The names of these lines."""
    return [line.name for line in lines]


def test_every_event_was_thought_of() -> None:
    """Each member of the union is either told or silent here; a new event fails until somebody decides."""
    tried = {type(event) for event, _ in ONE_OF_EACH} | {type(event) for event in SILENT}
    assert tried == set(get_args(e.Event))
    assert all(narrate(event, known) for event, known in ONE_OF_EACH)
    assert not any(narrate(event) for event in SILENT)


def test_a_fill_can_be_joined_back_to_its_decision() -> None:
    """Through a whole life every line of an order carries symbol, order_id and decision_id."""
    tell = Narrator()
    life: list[e.Event] = [
        e.SubmitOrders(DECISION, (order(),), AT),
        e.OrderSent("r-1", AT),
        e.OrderReported(report(), "answer", AT),
        e.OrderReported(report(), "poll", AT),
        e.OrderFilled(FILL, AT),
        e.OrderReported(report(Status.FILLED), "stream", AT),
        e.OrderClosed("r-1", BTC, "filled", Decimal("0.05"), Decimal("2500.5"), AT),
    ]
    lines = [line for event in life for line in tell(event)]
    assert [line.name for line in lines] == ["order.submitted", "order.accepted", "order.filled", "order.closed"]
    for line in lines:
        assert (line.fields["symbol"], line.fields["order_id"], line.fields["decision_id"]) == (BTC, "r-1", "d1")


def test_an_unknown_order_is_told_when_it_is_known_again() -> None:
    """Found by the venue's word or closed as absent: order.resolved comes once, and later reports are no news."""
    tell = Narrator()
    tell.remember([order(1), order(2)])
    assert names(tell(e.OrderUnknown("r-1", "timeout", AT))) == ["order.unknown"]
    assert names(tell(e.OrderReported(report(), "query", AT))) == ["order.resolved"]
    assert names(tell(e.OrderReported(report(), "poll", AT))) == []
    tell(e.OrderUnknown("r-2", "timeout", AT))
    assert names(tell(e.OrderNotFound("r-2", AT, AT))) == ["order.not_found"]
    absent, closed = tell(e.OrderClosed("r-2", BTC, "rejected", Decimal(0), Decimal(0), AT, "confirmed_absent"))
    assert (absent.name, absent.fields["how"], closed.name) == ("order.resolved", "confirmed_absent", "order.closed")


def test_an_unknown_order_that_its_trades_end_is_not_told_as_absent() -> None:
    """Where the trades come first and are all of it, they are what it was found by."""
    tell = Narrator()
    tell.remember([order(1)])
    tell(e.OrderUnknown("r-1", "timeout", AT))
    found, closed = tell(e.OrderClosed("r-1", BTC, "filled", Decimal("0.05"), Decimal("2500.5"), AT))
    assert (found.fields["how"], found.fields["status"], closed.name) == ("trades", "filled", "order.closed")


def test_orders_of_another_hand_are_told_by_their_fills_only() -> None:
    """Their reports repeat with every poll; their fills move the account."""
    tell = Narrator()
    assert tell(e.OrderReported(report(order_id="web-1"), "poll", AT)) == ()
    (line,) = tell(e.OrderFilled(FILL, AT))
    assert "decision_id" not in line.fields


def test_opening_a_stream_is_not_a_loss() -> None:
    """The first StreamLost of a symbol only says that it is being opened; every later one is a warning."""
    tell = Narrator()
    assert tell(e.StreamLost(BTC, "opening", AT)) == ()
    assert names(tell(e.StreamCaughtUp(BTC, 0, AT))) == ["stream.connected"]
    assert names(tell(e.StreamLost(BTC, "silent", AT))) == ["stream.stale"]


def test_memory_is_bounded() -> None:
    """Only the last orders are remembered."""
    tell = Narrator()
    tell.remember(order(number) for number in range(ORDERS_MAX + 5))
    assert len(tell._orders) == ORDERS_MAX
    assert "r-4" not in tell._orders


def test_a_complete_slice_has_no_second_line() -> None:
    """slice.incomplete comes beside slice.closed, and only when a symbol is missing."""
    assert names(narrate(e.SliceClosed(cross_section(), AT))) == ["slice.closed"]
    _, incomplete = narrate(e.SliceClosed(cross_section(missing=True), AT))
    assert incomplete.fields["missing"] == [ETH]


def test_signals_of_a_large_universe_are_those_of_the_chosen() -> None:
    """Beyond the bound, a line keeps the signals of symbols with a weight or a kept position."""
    signals = {f"S{number}": {"score": 1.0} for number in range(SIGNALS_MAX + 1)}
    chosen = TargetWeights({"S1": 0.5, "S2": 0.0}, keep=frozenset({"S3"}), signals=signals)
    decision = Decision("d1", AT, {"S1": 0.5}, frozenset({"S3"}), {"momo": chosen}, AT)
    (line,) = narrate(e.TargetsChosen(decision, AT))
    assert line.fields["signals"] == {"momo": {"S1": {"score": 1.0}, "S3": {"score": 1.0}}}


def test_only_what_a_person_must_look_at_is_an_error() -> None:
    """A lost answer, a refusal and a stale stream are expected, and drift that a flow may explain; a halt and a near end are not."""
    errors = {line.name for event, known in ONE_OF_EACH for line in narrate(event, known) if line.level == "error"}
    assert errors == {"group.stuck", "strategy.disabled", "trading.halted", "margin.reducing"}


# --- the document ----------------------------------------------------------------------------------------------------


def said_in_the_source() -> Iterator[tuple[str, str]]:
    """(name, level) of every line the program can write: `log.LEVEL("a.name")`, `Line("LEVEL", "a.name")` and alike."""
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
                named = [text for text in texts if re.fullmatch(r"[a-z]+\.[a-z_]+", text)]
                level = "error" if called == "exception" else next((text for text in [called, *texts] if text in logs._levels), None)
                if named and level:
                    yield named[0], level


def test_the_document_names_every_line_with_its_level() -> None:
    """docs/log-events.md and the source agree on names and levels, in both directions."""
    written = {name: row.level for name, row in rows().items()}
    said = dict(said_in_the_source())
    assert {name: level for name, level in said.items() if written.get(name) != level} == {}
    assert written.keys() - said.keys() == {"library.message"}  # its level is the library's own


def test_alerts_take_every_event_that_can_be_sent() -> None:
    """A channel may ask for each documented event, but for those that tell of alerts themselves or come after the last of them."""
    never = {name for name in rows() if sieve._matches(name, sieve.NEVER)} | {"daemon.stopped"}
    assert set(NAMES) == rows().keys() - never


def rendered() -> list[dict[str, Any]]:
    """One line of each kind, as the daemon writes it."""

    class Clock:
        def now(self) -> datetime:
            return AT + timedelta(milliseconds=12)

        def monotonic(self) -> float:
            return 0.0

        def stamp_ns(self) -> int:
            return int(self.monotonic() * 1e9)

        async def sleep(self, seconds: float) -> None: ...

    stream = io.StringIO()
    logs.configure("debug", "json", "demo", (), stream, Clock())
    for event, known in ONE_OF_EACH:
        for line in narrate(event, known):
            logs.write(line.level, line.name, line.fields)
    logs.shutdown()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_examples_of_the_document_are_real() -> None:
    """The example lines are what the program writes for one event of each kind, byte for byte once parsed."""
    text = (ROOT / "docs/log-events.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```jsonl\n(.*?)```", text, re.DOTALL)
    assert [json.loads(line) for line in block.splitlines()] == rendered()
