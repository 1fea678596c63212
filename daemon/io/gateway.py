"""Gateway: carries requests to the exchange and publishes what is known of them.

Rule: an intent is on disk before its request leaves, and a fact is on disk before it is published. A lost answer becomes `OrderUnknown`;
a look-up that fails becomes nothing at all. No request that spends money is ever repeated here.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from daemon.core.events import (
    BookFlows,
    BookSleeves,
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
    ReadTouch,
    RecallOrder,
    SleevesBooked,
    SubmitOrders,
    TouchRead,
    TradesListed,
)
from daemon.core.forced import forced
from daemon.core.model import Decision, Fill, Flow, Order, OrderReport
from daemon.core.resolver import CLOCK_MARGIN
from daemon.core.styles import Parent
from daemon.io.clock import Clock
from daemon.io.exchange import LEAVING, MAY_LEAVE, Earning, Exchange, Fatal, Naming, NotFound, NotSent, Reason, Refused, Urgency, VenueError

# An order that the venue does not tell of for so long after its trade keeps that from being booked no longer.
NAMED_WITHIN: Final = timedelta(minutes=1)

Stamp = Callable[[str], None]
Learnt = OrderReported | OrderRefused | OrderNotSent | OrderUnknown | OrderNotFound | OrderFilled | FlowBooked | SleevesBooked
Fact = Decision | Parent | Order | Learnt
Request = SubmitOrders | Order | CancelOrder | QueryOrder | QueryTrades | RecallOrder | BookFlows | BookSleeves | ReadTouch


class Record(Protocol):
    """What the gateway needs of the journal."""

    async def commit(self, *facts: Fact) -> None:
        """Return once all of these are on disk."""
        ...


class Gateway:
    """Requests in by the bus, facts out by `publish`. `worker()` is run as many times as requests may be under way at once.

    The queue is not bounded by itself: the order manager has one wave under way and asks about each order at growing intervals.
    """

    def __init__(
        self,
        exchange: Exchange,
        record: Record,
        publish: Callable[[Event], None],
        clock: Clock,
        booked: Callable[[str, str], bool],
        may_send: Callable[[str], bool],
        flowed: Callable[[Flow], bool] = lambda _flow: False,
        journalled: Stamp = lambda _decision_id: None,
        leaving: Stamp = lambda _decision_id: None,
    ) -> None:
        """`journalled` and `leaving` are told, by decision, that intents are on disk and that the first byte of an order is written."""
        self._exchange = exchange
        self._record = record
        self._publish = publish
        self._clock = clock
        self._booked = booked
        self._flowed = flowed
        self._may_send = may_send
        self._journalled = journalled
        self._leaving = leaving
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._reading = False  # the touch, by one of the workers

    def accept(self, request: Request) -> Iterable[Event]:
        """Take a request from the bus; it is worked on in order of arrival."""
        self._queue.put_nowait(request)
        return ()

    async def worker(self) -> None:
        """Work on one request after the other, until cancelled."""
        while True:
            await self._do(await self._queue.get())

    async def _do(self, request: Request) -> None:
        match request:
            case SubmitOrders():
                await self._record.commit(request.decision, *request.parents, *request.orders)
                self._journalled(request.decision.id)
                for order in request.orders:
                    self._queue.put_nowait(order)
            case Order():
                await self._send(request)
            case CancelOrder():
                await self._cancel(request)
            case QueryOrder():
                await self._look_up(request)
            case QueryTrades():
                await self._list(request)
            case ReadTouch():
                await self._read_touch(request)
            case RecallOrder():
                await self._recall(request)
            case BookFlows() | BookSleeves():
                await self.learn(*_booked(request, self._clock.now()))

    async def learn(self, *facts: Learnt) -> None:
        """Write facts to the journal, then publish them; a trade that is booked already is not told twice."""
        if not facts:
            return
        await self._record.commit(*facts)
        for fact in facts:
            if not (isinstance(fact, OrderFilled) and self._booked(fact.fill.symbol, fact.fill.trade_id)):
                self._publish(fact)

    # --- orders ------------------------------------------------------------------------------------------------------

    async def _send(self, order: Order) -> None:
        """One request, one answer, one fact; an intent that a halt or a stop has overtaken is not sent, even out of the queue."""
        if not self._may_send(order.id):
            await self.learn(OrderNotSent(order.id, "not sent, because trading has been halted or is ending", self._clock.now()))
            return
        self._publish(OrderSent(order.id, self._clock.now()))
        waiting = MAY_LEAVE.set(lambda: self._may_send(order.id))
        told = LEAVING.set(lambda: self._leaving(order.decision_id))
        try:
            report = await self._exchange.submit(order, Urgency.GROW if order.spends_quote else Urgency.REDUCE)
        except VenueError as error:
            await self.learn(self._verdict(order, error))
        else:
            await self._tell(report, "submit", report.fills)
        finally:
            MAY_LEAVE.reset(waiting)
            LEAVING.reset(told)

    def _verdict(self, order: Order, error: VenueError) -> OrderRefused | OrderNotSent | OrderUnknown:
        """What a failed submit says about the order."""
        at = self._clock.now()
        match error:
            case Refused(reason=Reason.DUPLICATE_ID):
                # The venue has an order of this id: it is ours, an earlier answer was lost. It is looked up, never sent again.
                return OrderUnknown(order.id, error.text, at)
            case Refused() | Fatal():
                return OrderRefused(order.id, error.reason.value, error.text, at)
            case NotSent():
                return OrderNotSent(order.id, error.text, at)
            case _:
                return OrderUnknown(order.id, error.text, at)

    async def _cancel(self, request: CancelOrder) -> None:
        """Ask for a cancel, then look: whatever the answer, only the order's own state says how it ended."""
        with suppress(VenueError):  # the look-up that follows says it better
            await self._exchange.cancel(request.order_id, request.symbol)
        await self._look_up(QueryOrder(request.order_id, request.symbol, request.since, request.at))

    async def _look_up(self, request: QueryOrder) -> None:
        """Find an order by its id, else in the open orders, else in the trades; only if all three answered and none knew it, say so."""
        asked_at = self._clock.now()
        try:
            report = await self._found(request)
            trades: Sequence[Fill] = ()
            if report is None or report.filled > sum(f.amount for f in report.fills):
                trades = await self._exchange.trades(request.symbol, request.since - CLOCK_MARGIN)
        except VenueError:
            return  # a failed look-up says nothing; the resolver asks again
        if report is not None:
            mine = [replace(t, order_id=request.order_id) for t in trades if t.venue_id == report.venue_id]
            await self._tell(report, "query", (*report.fills, *mine))
        elif mine := [t for t in trades if t.order_id == request.order_id]:
            await self.learn(*(OrderFilled(fill, self._clock.now()) for fill in mine))
        else:
            await self.learn(OrderNotFound(request.order_id, asked_at, self._clock.now()))

    async def _found(self, request: QueryOrder) -> OrderReport | None:
        try:
            return await self._exchange.order(request.order_id, request.symbol)
        except NotFound:
            listed = await self._exchange.open_orders(request.symbol)
            return next((report for report in listed if report.order_id == request.order_id), None)

    async def _tell(self, report: OrderReport, how: str, fills: Iterable[Fill]) -> None:
        """Trades first, so that an order which has ended has them all when its end is told."""
        at = self._clock.now()
        await self.learn(*(OrderFilled(fill, at) for fill in fills), OrderReported(report, how, at))

    # --- prices ---------------------------------------------------------------------------------------------------------

    async def _read_touch(self, request: ReadTouch) -> None:
        """What cannot be read is not told: whoever waits for it asks again. One at a time, so that prices never keep orders waiting."""
        if self._reading:
            return
        self._reading = True
        try:
            with suppress(VenueError):
                touches = tuple(await self._exchange.touches(request.symbols))
                self._publish(TouchRead(touches, self._clock.now()))
        finally:
            self._reading = False

    # --- trades ------------------------------------------------------------------------------------------------------

    async def _list(self, request: QueryTrades) -> None:
        """Read and publish all trades in these symbols, and what else has moved money; `TradesListed` only if all of it could be read."""
        for symbol in request.symbols:
            try:
                trades = await self._exchange.trades(symbol, request.since - CLOCK_MARGIN)
                fresh = [fill for fill in trades if not self._booked(symbol, fill.trade_id)]
                taken = await self._taken_over(symbol, fresh)
            except VenueError:
                return
            at = self._clock.now()
            told = (replace(fill, order_id=taken[fill.venue_id].order_id) if fill.venue_id in taken else fill for fill in fresh)
            await self.learn(*(OrderFilled(fill, at) for fill in told), *(OrderReported(report, "query", at) for report in taken.values()))
        if isinstance(self._exchange, Earning):
            try:
                flows = await self._exchange.incomes(request.since - CLOCK_MARGIN)
            except VenueError:
                return
            at = self._clock.now()
            await self.learn(*(FlowBooked(flow, at) for flow in flows if not self._flowed(flow)))
        self._publish(TradesListed(request.symbols, request.since, self._clock.now()))

    async def _taken_over(self, symbol: str, fresh: Sequence[Fill]) -> dict[str, OrderReport]:
        """Of these trades, by the venue's number, the orders by which it has taken a position over; a listing does not name them.

        Raises:
            VenueError: it did not say; of trades that are older than `NAMED_WITHIN`, which must be booked, it need not.
        """
        exchange, found = self._exchange, dict[str, OrderReport]()
        if not isinstance(exchange, Naming):
            return found
        for venue_id, traded_at in {fill.venue_id: fill.at for fill in fresh if not fill.order_id}.items():
            try:
                report = await exchange.named(venue_id, symbol)
            except (NotFound, Refused):
                continue
            except VenueError:
                if self._clock.now() - traded_at < NAMED_WITHIN:
                    raise
                continue
            if forced(report.order_id):
                found[venue_id] = report
        return found

    async def _recall(self, request: RecallOrder) -> None:
        """Whether the venue still knows an order of ours that has traded: by its id, or in the trades."""
        fill, asked_at = request.fill, self._clock.now()
        try:
            known = await self._recalled(fill)
        except VenueError:
            return  # a failed look-up says nothing
        self._publish(OrderRecalled(fill.order_id, known, asked_at, self._clock.now()))

    async def _recalled(self, fill: Fill) -> bool:
        try:
            await self._exchange.order(fill.order_id, fill.symbol)
        except NotFound:
            # A venue that counts its trades from 1 again may have another of that number.
            traded = await self._exchange.trades(fill.symbol, fill.at - CLOCK_MARGIN)
            return any((each.trade_id, each.at, each.amount) == (fill.trade_id, fill.at, fill.amount) for each in traded)
        return True


def _booked(request: BookFlows | BookSleeves, at: datetime) -> Iterable[Learnt]:
    """What is known once a booking is on disk."""
    return [FlowBooked(flow, at) for flow in request.flows] if isinstance(request, BookFlows) else [SleevesBooked(request.booking, at)]
