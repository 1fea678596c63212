"""Door: what one process of the daemon has of the venue: the Exchange port, and everything that goes wrong on the way.

Rule: what has left is on its way whatever becomes of the process; what is told is told to the living only.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from daemon.core.model import ZERO, Balance, Fill, Instrument, Order, OrderReport, Status
from daemon.core.styles import Touch
from daemon.io.exchange import (
    AccountNews,
    BarUpdate,
    Exchange,
    Fatal,
    NotFound,
    NotSent,
    Reason,
    Refused,
    Unknown,
    Urgency,
    VenueError,
)
from daemon.io.rategate import RateGate
from tests.sim.swarm.around import Witness, World
from tests.sim.swarm.faults import LOST_ORDERS, MANNERS, Fault, Kind

T = TypeVar("T")

TRIP_S: Final = 0.02
TIMEOUT_S: Final = 10.0  # as of the real client
ARRIVES_MAX_S: Final = 4.5  # a request is valid for five seconds
LAG_MAX_S: Final = 180.0
# Of three ways to see an order at least one shows it within so long: what nobody shows, nobody can know.
LAG_SEEN_S: Final = 8.0

STREAM_BREAKERS: Final = (Kind.AWAY, Kind.UNREACHED, Kind.BANNED)


class SimExchange:
    """The venue as one process sees it. `alive` says whether that process still is."""

    def __init__(self, world: World, witness: Witness, symbols: Sequence[str], alive: Callable[[], bool]) -> None:
        self._world = world
        self._witness = witness
        self._symbols = tuple(symbols)
        self._alive = alive
        self._clock = world.clock
        self._gate = RateGate(world.clock)
        self._sinks: list[Callable[[AccountNews], None]] = []
        self._breaks: list[asyncio.Future[None]] = []
        self._flips: dict[str, int] = {}
        self._markets: Mapping[str, Instrument] = {}
        self.batch_max = 100

    # --- on the way --------------------------------------------------------------------------------------------------

    def _fault(self, *kinds: Kind) -> Any:
        return self._world.weather(self._world.now_s, *kinds)

    async def _living(self) -> None:
        if not self._alive():
            await asyncio.get_running_loop().create_future()

    async def _ask(self, name: str, urgency: Urgency, answer: Callable[[], T]) -> T:
        """A call that changes nothing: there and back, or what stands in its way."""
        await self._living()
        await self._gate.acquire(urgency, {})
        self._witness.called(name)
        await asyncio.sleep(TRIP_S)
        error = self._stopped(name)
        if error is not None:
            if isinstance(error, Unknown) and self._world.weather.luck(name, self._world.now_s).random() < 0.2:
                await asyncio.sleep(TIMEOUT_S)
            raise error
        said = answer()
        await asyncio.sleep(TRIP_S)
        return said

    def _stopped(self, name: str) -> VenueError | None:
        """Why a call does not get through, if it does not."""
        if self._fault(Kind.UNREACHED):
            return NotSent("connection refused")
        if self._fault(Kind.AWAY):
            return Unknown("503 Service Unavailable")
        limit = self._fault(Kind.BANNED, Kind.LIMITED)
        if limit is not None:
            wait_s = min(30.0, max(1.0, limit.until - self._world.now_s))
            self._gate.pause(wait_s)
            return Refused("429 Too Many Requests", Reason.RATE_LIMITED, wait_s)
        if name in ("balances", "open_orders", "order", "trades", "incomes", "settings") and self._fault(Kind.CREDENTIALS):
            return Fatal("-2015 Invalid API-key, IP, or permissions for action.", Reason.CREDENTIALS)
        fails = self._fault(Kind.LOOKUP_FAILS)
        if (
            name in ("order", "open_orders", "trades", "incomes")
            and fails
            and self._world.weather.luck(name, self._world.now_s).random() < fails.size
        ):
            return Unknown("read timeout")
        return None

    # --- market ------------------------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        self._markets = await self._ask("connect", Urgency.RECONCILE, lambda: dict(self._world.books.markets))
        return self._markets

    async def markets(self) -> Mapping[str, Instrument]:
        return await self._ask("markets", Urgency.DATA, lambda: dict(self._world.books.markets))

    async def close(self) -> None:
        self.shut()

    def shut(self) -> None:
        self._gate.shut()

    async def server_time(self) -> datetime:
        skew = self._fault(Kind.SKEW)
        ahead = timedelta(seconds=4 * skew.size - 2 if skew else 0)
        return await self._ask("time", Urgency.DATA, lambda: self._clock.now() + ahead)

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        def answer() -> list[BarUpdate]:
            now = self._clock.now()
            prices = self._world.books.prices
            stuck = self._fault(Kind.BARS_STUCK)
            if stuck is not None and stuck.size > 0.5:
                now -= timedelta(seconds=self._world.now_s - stuck.at)
            closed = prices.closed(symbol, now)
            if since is not None:
                closed = [bar for bar in closed[-200:] if bar.closes_at - timeframe >= since]
            found = [BarUpdate(bar, closed=True) for bar in closed[-limit:]]
            found.append(BarUpdate(prices.forming(symbol, now), closed=False))
            self._witness.priced(symbol, now)
            return found[-limit:] if since is None else found[:limit]

        return await self._ask("bars", Urgency.DATA, answer)

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        broken = await self._dialled(Kind.BARS_CLOSED)
        prices = self._world.books.prices
        loop = asyncio.get_running_loop()
        while True:
            now = self._clock.now()
            ends_at = now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % timeframe + timeframe
            moments = (ends_at - timeframe * 0.6, ends_at + timedelta(seconds=TRIP_S))
            at = next(moment for moment in moments if moment > now)
            done, _ = await asyncio.wait([broken], timeout=(at - now).total_seconds())
            if done:
                raise Unknown("the connection was closed")
            closed = at == moments[1]
            shown_at = self._shown_at(at)
            for symbol in symbols:
                bar = prices.at_close(symbol, ends_at) if closed else prices.forming(symbol, at)
                if shown_at != at:
                    bar, closed = prices.forming(symbol, shown_at), False
                for wait_s in self._passage(symbol, at):
                    loop.call_later(wait_s, self._heard, broken, sink, BarUpdate(bar, closed=closed), shown_at)

    def _shown_at(self, moment: datetime) -> datetime:
        stuck = self._fault(Kind.BARS_STUCK)
        return moment if stuck is None else moment - timedelta(seconds=self._world.now_s - stuck.at)

    def _passage(self, symbol: str, at: datetime) -> Sequence[float]:
        """After how many seconds a frame arrives; none: never."""
        mute = self._fault(Kind.BARS_MUTE)
        if mute is not None and (mute.size > 0.5 or mute.symbol == symbol):
            return ()
        if self._fault(Kind.BARS_DOUBLED):
            return (0.0, 0.3)
        if self._fault(Kind.BARS_SHUFFLED):
            return (self._world.weather.luck(symbol, at).uniform(0.0, 15.0),)
        return (0.0,)

    def _heard(self, broken: "asyncio.Future[None]", sink: Callable[[BarUpdate], None], update: BarUpdate, at: datetime) -> None:
        if not broken.done():
            self._witness.priced(update.bar.symbol, at)
            sink(update)

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        def answer() -> list[Touch]:
            now = self._clock.now()
            for symbol in symbols:
                self._witness.priced(symbol, now)
            return [self._world.books.touch(symbol, now) for symbol in symbols]

        return await self._ask("touches", Urgency.DATA, answer)

    async def reset_streams(self) -> None:
        self.cut()

    def cut(self) -> None:
        """End every stream that stands."""
        breaks, self._breaks = self._breaks, []
        for broken in breaks:
            if not broken.done():
                broken.set_result(None)

    async def _dialled(self, *refusals: Kind) -> "asyncio.Future[None]":
        await self._living()
        await asyncio.sleep(TRIP_S)
        if self._fault(*refusals, *STREAM_BREAKERS) is not None:
            raise Unknown("the connection was refused")
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._breaks.append(broken)
        return broken

    # --- orders ------------------------------------------------------------------------------------------------------

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        await self._living()
        await self._gate.acquire(urgency, {})
        await self._living()
        self._witness.leaves(order)
        world, now_s = self._world, self._world.now_s
        fault = world.weather.struck(now_s, LOST_ORDERS, order.id)
        kind = fault.kind if fault else None
        stopped = self._stopped("submit")
        luck = world.weather.luck("submit", order.id)
        answer: asyncio.Future[OrderReport | VenueError] = asyncio.get_running_loop().create_future()
        if stopped is None and kind not in (Kind.NOT_SENT, Kind.REQUEST_LOST, Kind.REFUSED_FUNDS, Kind.REFUSED_BUSY, Kind.REFUSED_FILTER):
            travels_s = luck.uniform(0.5, ARRIVES_MAX_S) if kind is Kind.REQUEST_LATE else TRIP_S
            world.later(travels_s, lambda: self._arrive(order, answer))
        world.point(Kind.CRASH_ON_SUBMIT)
        await self._living()
        if stopped is not None:
            await asyncio.sleep(TRIP_S)
            raise stopped
        return await self._answered(order, kind, answer, gives_up_s=luck.choice([0.3, TIMEOUT_S]))

    def _arrive(self, order: Order, answer: "asyncio.Future[OrderReport | VenueError]") -> None:
        """At the venue, whoever has sent it."""
        world, now = self._world, self._clock.now()
        manner = world.weather.struck(world.now_s, MANNERS, order.id)
        shut = world.weather(world.now_s, Kind.CLOSED_MARKET)
        skew = world.weather(world.now_s, Kind.SKEW)
        said: OrderReport | VenueError
        if shut is not None and shut.symbol == order.symbol:
            said = Refused("Market is closed.", Reason.MARKET_CLOSED)
        elif skew is not None and abs(4 * skew.size - 2) > 1.5:
            said = Refused("-1021 Timestamp for this request is outside of the recvWindow.", Reason.CLOCK_SKEW)
        elif (no := self._no(order)) is not None:
            said = no
        else:
            try:
                booked = world.books.arrive(order, manner.kind if manner else None, now)
            except Refused as refused:
                said = refused
            else:
                with_fills = world.weather.luck("answer", order.id).random() < 0.7
                report = booked.report(now, fills=with_fills)
                assert report is not None
                said = report
        if not answer.done():
            answer.set_result(said)

    def _no(self, _order: Order) -> Refused | None:
        """Why the venue does not take an order that nothing else is against; None: it takes it."""
        return None

    async def _answered(
        self, order: Order, kind: Kind | None, answer: "asyncio.Future[OrderReport | VenueError]", *, gives_up_s: float
    ) -> OrderReport:
        match kind:
            case Kind.NOT_SENT:
                raise NotSent("connection refused")
            case Kind.REFUSED_FUNDS:
                await asyncio.sleep(TRIP_S)
                raise Refused("Account has insufficient balance for requested action.", Reason.INSUFFICIENT_FUNDS)
            case Kind.REFUSED_BUSY:
                await asyncio.sleep(TRIP_S)
                raise Refused("-1008 Server is currently overloaded.", Reason.RATE_LIMITED)
            case Kind.REFUSED_FILTER:
                await asyncio.sleep(TRIP_S)
                raise Refused("Filter failure: LOT_SIZE", Reason.FILTER)
            case Kind.ANSWER_LOST | Kind.REQUEST_LOST | Kind.REQUEST_LATE:
                await asyncio.sleep(gives_up_s)
                raise Unknown("timed out")
            case Kind.ANSWER_5XX:
                await asyncio.sleep(2 * TRIP_S)
                raise Unknown("502 Bad Gateway")
            case Kind.DUPLICATE:
                await asyncio.sleep(2 * TRIP_S)
                raise Refused("Duplicate order sent.", Reason.DUPLICATE_ID)
            case Kind.LATE_ACK:
                await asyncio.sleep(gives_up_s * 0.8)
        said = await answer
        await asyncio.sleep(TRIP_S)
        if isinstance(said, VenueError):
            raise said
        self._witness.shown(order.id)
        return said

    async def cancel(self, order_id: str, symbol: str) -> None:
        await self._living()
        await self._gate.acquire(Urgency.CANCEL, {})
        self._witness.called("cancel")
        stopped = self._stopped("cancel")
        lost = self._fault(Kind.CANCEL_LOST)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if stopped is None and lost is None:
            self._world.later(TRIP_S, lambda: self._cancel(order_id, answer))
        await asyncio.sleep(2 * TRIP_S)
        if stopped is not None:
            raise stopped
        if lost is not None or self._fault(Kind.CANCEL_UNANSWERED) is not None:
            raise Unknown("timed out")
        if not await answer:
            raise NotFound("-2011 Unknown order sent.")

    def _cancel(self, order_id: str, answer: "asyncio.Future[bool]") -> None:
        booked = self._world.books.orders.get(order_id)
        luck = self._world.weather.luck("cancel", order_id, self._world.now_s)
        if booked is not None and luck.random() < 0.25:
            self._world.books.fill(booked, luck.choice([0.5, 1.0]))
        done = booked is not None and self._world.books.end(booked, Status.CANCELED, self._clock.now())
        if not answer.done():
            answer.set_result(done)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _lag(self, kind: Kind) -> timedelta:
        lag = self._fault(kind)
        return timedelta(0) if lag is None else self._ago(lag)

    def _ago(self, lag: Fault) -> timedelta:
        """How far behind an answer is under a fault."""
        seconds = 1.0 + lag.size**2 * LAG_MAX_S
        if lag.kind in (Kind.LAG_BALANCES, Kind.POSITIONS_LATE) and self._fault(Kind.LAG_ORDERS, Kind.LOOKUP_404, Kind.LAG_TRADES):
            seconds = min(seconds, LAG_SEEN_S)
        return timedelta(seconds=seconds)

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        def answer() -> OrderReport | None:
            hidden = self._fault(Kind.LOOKUP_404)
            if hidden is not None:
                self._flips[order_id] = self._flips.get(order_id, 0) + 1
                if hidden.size > 0.5 or self._flips[order_id] % 2:
                    return None
            booked = self._world.books.orders.get(order_id)
            luck = self._world.weather.luck("order", order_id).random()
            return booked.report(self._clock.now() - self._lag(Kind.LAG_ORDERS), fills=luck < 0.3) if booked else None

        report = await self._ask("order", Urgency.RECONCILE, answer)
        if report is None:
            self._witness.denied(order_id)
            raise NotFound("-2013 Order does not exist.")
        self._witness.shown(order_id)
        return report

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        def answer() -> list[OrderReport]:
            moment = self._clock.now() - self._lag(Kind.LAG_ORDERS)
            stood = (b for b in self._world.books.lately() if symbol in (None, b.symbol) and b.stood(moment))
            return [report for report in (b.report(moment, fills=False) for b in stood) if report is not None]

        listed = await self._ask("open_orders", Urgency.RECONCILE, answer)
        for report in listed:
            self._witness.shown(report.order_id)
        return tuple(listed)

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        def answer() -> list[Fill]:
            return self._world.books.listed(symbol, since, self._clock.now() - self._lag(Kind.LAG_TRADES))

        return tuple(await self._ask("trades", Urgency.RECONCILE, answer))

    async def balances(self) -> Mapping[str, Balance]:
        def answer() -> dict[str, Balance]:
            now, lag = self._clock.now(), self._lag(Kind.LAG_BALANCES)
            luck = self._world.weather.luck("balances", self._world.now_s)
            moments = {c: now - lag for c in self._world.books.balances if luck.random() < 0.7} if lag else {}
            shown = self._world.books.snapshot(moments, now)
            partial, zero = self._fault(Kind.BALANCES_PARTIAL), self._fault(Kind.BALANCES_ZERO)
            if partial is not None:
                shown = {c: b for c, b in shown.items() if luck.random() > 0.5}
            if zero is not None:
                shown = {"XYZ": Balance(ZERO, ZERO)}
            if not shown:
                raise Unknown("the answer names no balance")
            return shown

        return await self._ask("balances", Urgency.RECONCILE, answer)

    # --- the account's stream ----------------------------------------------------------------------------------------

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        broken = await self._dialled(Kind.USER_DOWN)
        books = self._world.books

        def tell(news: AccountNews) -> None:
            for wait_s in self._news_passage(news):
                self._world.later(TRIP_S + wait_s, lambda: self._told(broken, sink, news))

        connected()
        books.listeners.append(tell)
        try:
            await broken
        finally:
            if tell in books.listeners:
                books.listeners.remove(tell)
        raise Unknown("the connection was closed")

    def _news_passage(self, news: AccountNews) -> Sequence[float]:
        luck = self._world.weather.luck("news", repr(news))
        if self._fault(Kind.USER_SILENT):
            return ()
        if self._fault(Kind.USER_LATE):
            return (luck.uniform(0.0, 12.0),)
        if self._fault(Kind.USER_DOUBLED):
            return (0.0, luck.uniform(0.0, 2.0), luck.uniform(0.0, 20.0))
        return (0.0,)

    def _told(self, broken: "asyncio.Future[None]", sink: Callable[[AccountNews], None], news: AccountNews) -> None:
        if broken.done() or not self._alive():
            return
        if isinstance(news, OrderReport):
            self._witness.shown(news.order_id)
        sink(news)


_: type[Exchange] = SimExchange
Job = Callable[[], Coroutine[Any, Any, None]]
