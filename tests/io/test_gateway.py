"""The gateway: intents on disk before they leave, facts on disk before they are told, and nothing concluded from silence."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.core.events import (
    BookFlows,
    CancelOrder,
    Event,
    FlowBooked,
    OrderFilled,
    OrderNotFound,
    OrderNotSent,
    OrderRecalled,
    OrderRefused,
    OrderReported,
    OrderSent,
    OrderUnknown,
    QueryOrder,
    QueryTrades,
    RecallOrder,
    SubmitOrders,
    TradesListed,
)
from daemon.core.ledger import OPENING, Ledger
from daemon.core.model import Flow, Order, OrderReport, Side, Status
from daemon.io.exchange import Fatal, NotFound, NotSent, Reason, Refused, Unknown, Urgency, VenueError
from daemon.io.gateway import Gateway, Learnt
from daemon.io.journal import Journal, JournalFailed, read
from tests.io.journal_facts import START, StillClock, a_decision, a_fill, an_order, open_journal
from tests.io.journal_facts import a_report as reported
from tests.io.scripted import ScriptedExchange

ORDER = an_order("BTC/USDT")
BUY = SubmitOrders(a_decision(), (ORDER,), START)
LOOK = QueryOrder(ORDER.id, ORDER.symbol, START, START)


def a_report(order: Order = ORDER, status: Status = Status.FILLED, trades: tuple[str, ...] = ("7001",), told: int = 9) -> OrderReport:
    """What the venue says of an order that these trades have filled in equal parts, the first `told` of them beside it."""
    parts = [replace(a_fill(order, t), amount=order.amount / len(trades)) for t in trades]
    return replace(reported(order, status, fills=tuple(parts)).report, fills=tuple(parts[:told]))


class Desk:
    """A gateway on a real journal and a scripted venue; what it publishes reaches a real ledger, as it does by the bus."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self.journal, self.path = journal, path
        self.exchange = ScriptedExchange()
        self.ledger = Ledger()
        self.ledger.flow(Flow("opening-USDT", "USDT", Decimal(1000), OPENING, START - timedelta(days=1)))
        self.told: list[Event] = []
        self.allowed = True
        self.on_told: Callable[[Event], object] = lambda _: None
        self.clock = StillClock()
        self.gateway = Gateway(self.exchange, journal, self._hear, self.clock, self.ledger.has_trade, lambda _: self.allowed)

    def _hear(self, event: Event) -> None:
        self.on_told(event)
        self.told.append(event)
        if isinstance(event, OrderFilled):
            self.ledger.book(event.fill)

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]

    def on_disk(self, fact: Event) -> bool:
        """Whether a fact can be read from the file, by somebody else."""
        record = read(self.path)
        match fact:
            case OrderFilled():
                return fact.fill in record.fills
            case FlowBooked():
                return fact.flow in record.flows
            case _:
                return any(fact in facts for _, facts in record.open_orders)

    async def work(
        self, *requests: SubmitOrders | CancelOrder | QueryOrder | QueryTrades | RecallOrder | BookFlows, workers: int = 1
    ) -> None:
        """Accept requests and work until nothing is left to do."""
        for request in requests:
            assert not list(self.gateway.accept(request))
        tasks = [asyncio.create_task(self.gateway.worker()) for _ in range(workers)]
        try:
            quiet = 0
            while quiet < 3:  # a commit takes a thread's round trip; three turns without one, and nothing is under way
                await self.journal.commit()
                await asyncio.sleep(0)
                quiet = quiet + 1 if self.gateway._queue.empty() else 0
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            await ended(tasks)


async def ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel and wait."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, JournalFailed):
            await task


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    path = tmp_path / "momo.sqlite"
    with open_journal(path) as journal:
        yield Desk(journal, path)


# --- sending ---------------------------------------------------------------------------------------------------------


async def test_intents_and_their_decision_are_on_disk_before_the_first_request_leaves(desk: Desk) -> None:
    """When the venue hears of an order, the whole wave and its decision can already be read from the journal's file."""
    orders = tuple(an_order(symbol) for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT"))
    seen = []

    def heard(order: Order) -> OrderReport:
        record = read(desk.path)
        seen.append(([intent for intent, _ in record.open_orders], record.last_decision))
        return a_report(order, trades=(f"t-{order.id}",))

    desk.exchange.reply = heard
    await desk.work(SubmitOrders(a_decision(), orders, START), workers=4)
    assert seen == [(list(orders), a_decision())] * 3
    assert sorted(desk.exchange.calls) == [("submit", order.id) for order in orders]


VERDICTS: dict[str, tuple[VenueError, Event]] = {
    "refused": (Refused("no money", Reason.INSUFFICIENT_FUNDS), OrderRefused(ORDER.id, "insufficient_funds", "no money", START)),
    "fatal": (Fatal("wrong key", Reason.CREDENTIALS), OrderRefused(ORDER.id, "credentials", "wrong key", START)),
    "not sent": (NotSent("refused connection"), OrderNotSent(ORDER.id, "refused connection", START)),
    "no answer": (Unknown("time-out"), OrderUnknown(ORDER.id, "time-out", START)),
    "nonsense": (NotFound("no such order"), OrderUnknown(ORDER.id, "no such order", START)),
    "our own id": (Refused("duplicate", Reason.DUPLICATE_ID), OrderUnknown(ORDER.id, "duplicate", START)),
}


@pytest.mark.parametrize("how", VERDICTS)
async def test_an_error_becomes_what_is_known(how: str, desk: Desk) -> None:
    """However a submit fails, one fact says what that means for the order, and the request is not repeated."""
    error, fact = VERDICTS[how]
    desk.exchange.reply = error
    await desk.work(BUY)
    assert desk.told == [OrderSent(ORDER.id, START), fact]
    assert desk.exchange.calls == [("submit", ORDER.id)]
    assert desk.on_disk(fact)


async def test_trades_are_told_before_the_end_that_they_led_to(desk: Desk) -> None:
    """An order that has ended has all its trades when its end is told, and both are on disk before anybody hears of them."""
    facts: list[bool] = []

    def heard(event: Event) -> None:
        facts.append(isinstance(event, OrderSent) or desk.on_disk(event))

    desk.on_told = heard
    desk.exchange.reply = a_report(trades=("1", "2"))
    await desk.work(BUY)
    assert desk.kinds == ["OrderSent", "OrderFilled", "OrderFilled", "OrderReported"]
    assert facts == [True] * 4


async def test_sells_go_before_buys_where_limits_bind(desk: Desk) -> None:
    """A sell is more urgent than a buy, since buys may be waiting for its money."""
    sell = replace(an_order("ETH/USDT"), side=Side.SELL)
    await desk.work(SubmitOrders(a_decision(), (sell, ORDER), START))
    assert desk.exchange.urgencies == [Urgency.REDUCE, Urgency.GROW]


async def test_an_intent_that_a_halt_has_overtaken_is_not_sent(desk: Desk) -> None:
    """What waits behind a halt stays here, and is told, and written, as provably not sent."""
    desk.allowed = False
    await desk.work(BUY)
    assert desk.exchange.calls == []
    (fact,) = desk.told
    assert isinstance(fact, OrderNotSent)
    assert desk.on_disk(fact)


async def test_a_programmers_error_ends_the_worker(desk: Desk) -> None:
    """What is none of the five errors is not taken for one: it ends the task and with it the process."""
    desk.exchange.reply = KeyError("clientOrderId")
    with pytest.raises(KeyError):
        await desk.work(BUY)


async def test_a_stop_in_the_middle_of_a_request_leaves_the_intent_alone(desk: Desk) -> None:
    """Cancelled while the answer is awaited, nothing is claimed of the order: the next start finds the intent and asks."""
    never: asyncio.Future[OrderReport] = asyncio.get_running_loop().create_future()
    on_its_way = asyncio.Event()

    def heard(_: Order) -> asyncio.Future[OrderReport]:
        on_its_way.set()
        return never

    desk.exchange.reply = heard
    desk.gateway.accept(BUY)
    task = asyncio.create_task(desk.gateway.worker())
    await on_its_way.wait()
    await ended([task])
    await desk.journal.commit()
    assert read(desk.path).open_orders == ((ORDER, ()),)


async def test_nothing_is_sent_when_the_journal_cannot_be_written(desk: Desk) -> None:
    """Without its intent on disk no request leaves, and the failure ends the worker."""
    desk.journal.close()
    with pytest.raises(JournalFailed):
        await desk.gateway._do(BUY)
    assert desk.exchange.calls == []
    assert desk.told == []


async def test_what_cannot_be_written_is_not_told(desk: Desk) -> None:
    """A journal that fails under an answer ends the worker before anybody acts on the answer."""
    desk.exchange.reply = a_report()
    await desk.journal.commit(a_decision(), ORDER)
    desk.journal.close()
    with pytest.raises(JournalFailed):
        await desk.gateway._do(ORDER)
    assert desk.kinds == ["OrderSent"]


# --- told once -------------------------------------------------------------------------------------------------------


async def test_a_trade_that_three_ways_tell_is_published_once(desk: Desk) -> None:
    """Reply, stream and listing bring the same trade at the same time; the core hears of it once."""
    fill = a_fill(ORDER)
    desk.exchange.reply = a_report()
    desk.exchange.traded[ORDER.symbol] = (replace(fill, order_id=""),)
    stream: tuple[Learnt, ...] = (OrderFilled(fill, START), OrderReported(a_report(), "stream", START))
    await asyncio.gather(
        desk.work(BUY, QueryTrades((ORDER.symbol,), START, START), workers=4),
        desk.gateway.learn(*stream),
        desk.gateway.learn(*stream),
    )
    assert desk.kinds.count("OrderFilled") == 1
    assert desk.kinds.count("TradesListed") == 1
    assert len(read(desk.path).fills) == 1


async def test_orders_of_other_hands_can_be_written(desk: Desk) -> None:
    """The account's stream shows what others do in it; the journal takes that without an intent of ours behind it."""
    foreign = replace(ORDER, id="web_123")
    await desk.gateway.learn(OrderFilled(a_fill(foreign), START), OrderReported(a_report(foreign), "stream", START))
    assert desk.kinds == ["OrderFilled", "OrderReported"]


# --- looking up ------------------------------------------------------------------------------------------------------


FAILURES = {
    "the order": ("found", Unknown("time-out")),
    "the order, at our own gate": ("found", NotSent("banned")),
    "the order, refused": ("found", Refused("busy", Reason.RATE_LIMITED)),
    "the open orders": ("listed", Unknown("time-out")),
    "the trades": ("traded", Unknown("502")),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_a_look_up_that_fails_says_nothing(what: str, desk: Desk) -> None:
    """Where any of the three ways could not be asked, nothing is told and nothing is written."""
    name, error = FAILURES[what]
    if name == "traded":
        desk.exchange.traded[ORDER.symbol] = error
    else:
        setattr(desk.exchange, name, error)
    await desk.journal.commit(a_decision(), ORDER)
    await desk.work(LOOK)
    assert desk.told == []
    assert read(desk.path).open_orders == ((ORDER, ()),)


async def test_trades_that_cannot_be_read_hold_back_the_report_they_belong_to(desk: Desk) -> None:
    """A report that says more than its trades waits for them: half an answer is none."""
    desk.exchange.found = a_report(trades=("1", "2"), told=1)
    desk.exchange.traded[ORDER.symbol] = Unknown("502")
    await desk.work(LOOK)
    assert desk.told == []


async def test_absence_takes_all_three_answers(desk: Desk) -> None:
    """Only after the order, the open orders and the trades have been read, and none knew it, is it told as not found."""
    await desk.journal.commit(a_decision(), ORDER)
    await desk.work(LOOK)
    assert desk.exchange.calls == [("order", ORDER.id), ("open_orders",), ("trades", ORDER.symbol)]
    assert desk.told == [OrderNotFound(ORDER.id, START, START)]
    assert desk.exchange.asked_since == [START - timedelta(minutes=1)], "clocks differ"


async def test_an_order_is_recalled_by_its_id_or_by_its_trade(desk: Desk) -> None:
    """Denied by id, it is known if its very trade is listed; another trade of the same number is none; a failed look-up says nothing."""
    traded = a_fill(ORDER, "7001")
    for listed in ((traded,), (replace(traded, at=traded.at + timedelta(days=30)),), ()):
        desk.exchange.traded[ORDER.symbol] = listed
        await desk.work(RecallOrder(traded, START))
    desk.exchange.traded[ORDER.symbol] = Unknown("reset")
    await desk.work(RecallOrder(traded, START))
    assert [event.known for event in desk.told if isinstance(event, OrderRecalled)] == [True, False, False]


async def test_an_order_that_only_the_listing_knows_is_found(desk: Desk) -> None:
    """An order that cannot be asked for by its id, but is listed as open, exists."""
    report = a_report(status=Status.OPEN, trades=("1",))
    desk.exchange.listed = (a_report(an_order("ETH/USDT")), report)
    await desk.work(LOOK)
    assert desk.told[-1] == OrderReported(report, "query", START)
    assert desk.kinds == ["OrderFilled", "OrderReported"]


async def test_trades_of_an_order_that_the_venue_has_forgotten_are_booked(desk: Desk) -> None:
    """The venue knows no such order any more but still lists its trades: they count, and it is not called absent."""
    theirs = replace(a_fill(ORDER, "8"), order_id="web_123")
    desk.exchange.traded[ORDER.symbol] = (theirs, a_fill(ORDER, "9"))
    await desk.work(LOOK)
    assert desk.told == [OrderFilled(a_fill(ORDER, "9"), START)]
    assert read(desk.path).fills == (a_fill(ORDER, "9"),)


async def test_missing_trades_are_read_and_told_before_the_report(desk: Desk) -> None:
    """A report that says more than the trades that came with it is completed from the listing, and by its own trades alone."""
    report = a_report(trades=("1", "2"), told=0)
    listed = [replace(a_fill(ORDER, t, venue), order_id="") for t, venue in (("1", "42"), ("2", "42"), ("3", "43"))]
    desk.exchange.found, desk.exchange.traded[ORDER.symbol] = report, tuple(listed)
    await desk.work(LOOK)
    mine = [replace(fill, order_id=ORDER.id) for fill in listed[:2]]
    assert desk.told == [*(OrderFilled(fill, START) for fill in mine), OrderReported(report, "query", START)]


@pytest.mark.parametrize("answer", [None, NotFound("already closed"), Unknown("time-out"), Refused("busy")])
async def test_a_cancel_is_followed_by_a_look_whatever_its_answer(answer: VenueError | None, desk: Desk) -> None:
    """How an order ended is what the order says, never what the cancel was answered."""
    desk.exchange.canceling, desk.exchange.found = answer, a_report()
    await desk.work(CancelOrder(ORDER.id, ORDER.symbol, START, START))
    assert desk.exchange.calls == [("cancel", ORDER.id), ("order", ORDER.id)]
    assert desk.kinds == ["OrderFilled", "OrderReported"]


async def test_the_look_behind_a_cancel_goes_back_to_the_orders_birth(desk: Desk) -> None:
    """An order that was open for long may have trades from its beginning; they are read before it is called absent."""
    made_at = START - timedelta(hours=3)
    await desk.work(CancelOrder(ORDER.id, ORDER.symbol, made_at, START))
    assert desk.exchange.asked_since == [made_at - timedelta(minutes=1)]


# --- listings and flows ----------------------------------------------------------------------------------------------


async def test_trades_are_listed_only_when_every_symbol_was_read(desk: Desk) -> None:
    """A listing with a hole in it is no listing; what was read of it counts all the same, and is not told again by the next one."""
    eth = an_order("ETH/USDT")
    request = QueryTrades(("BTC/USDT", "ETH/USDT"), START, START)
    desk.exchange.traded = {"BTC/USDT": (a_fill(ORDER, "1"),), "ETH/USDT": Unknown("502")}
    await desk.work(request)
    assert desk.told == [OrderFilled(a_fill(ORDER, "1"), START)]
    desk.exchange.traded["ETH/USDT"] = (a_fill(eth, "1"),)
    await desk.work(request)
    assert desk.told[1:] == [OrderFilled(a_fill(eth, "1"), START), TradesListed(request.symbols, START, START)]


class Naming(ScriptedExchange):
    """One that is asked whose an order is, and does not say."""

    def __init__(self) -> None:
        super().__init__()
        self.traded = {ORDER.symbol: (a_fill(ORDER, "1", named=False),)}

    async def named(self, venue_id: str, symbol: str) -> OrderReport:
        raise Unknown("502")


@pytest.mark.parametrize(("age_s", "booked"), [(59, False), (61, True)])
async def test_a_trade_whose_order_stays_nameless_is_booked_within_a_minute(age_s: int, booked: bool, desk: Desk) -> None:
    """It may be a liquidation's, which has its market held; but money counts, whoever does not say whose it was."""
    desk.gateway._exchange = Naming()
    desk.clock.at = START + timedelta(seconds=age_s)
    await desk.work(QueryTrades((ORDER.symbol,), START, START))
    assert desk.kinds == (["OrderFilled", "TradesListed"] if booked else [])


async def test_flows_are_written_before_they_count(desk: Desk) -> None:
    """Flows go to disk in one transaction, then each is told."""
    on_disk: list[bool] = []
    desk.on_told = lambda event: on_disk.append(desk.on_disk(event))
    flows = tuple(Flow(f"deposit-{n}", "USDT", Decimal(n), "transfer", START) for n in (1, 2))
    await desk.work(BookFlows(flows, START))
    assert desk.told == [FlowBooked(flow, START) for flow in flows]
    assert on_disk == [True, True]
