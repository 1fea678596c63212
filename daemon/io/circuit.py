"""Circuit: what the ways to a venue have found together: whether it is away, and whose turn it is to see whether it is back.

Rule: once nothing has been answered for most of a minute, one request goes every half minute, whatever wants to be asked. What only reads
waits for its turn, and goes at once when the venue has answered anybody. What belongs to an order does not wait: it is not sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog

from daemon.core.funding import Mark
from daemon.core.model import Balance, Fill, Flow, Instrument, Order, OrderReport
from daemon.core.styles import Touch
from daemon.io.clock import Clock
from daemon.io.exchange import (
    AccountNews,
    BarUpdate,
    Countdown,
    Earning,
    Exchange,
    Hushed,
    KeyRights,
    Market,
    Marking,
    Metered,
    Naming,
    NotFound,
    NotSent,
    Reason,
    SetUp,
    Unknown,
    Urgency,
    Usage,
    VenueError,
    Vetted,
)

log = structlog.get_logger()
T = TypeVar("T")

# A call takes ten seconds to fail, so that an outage is known to be a minute old before it is.
AWAY_AFTER_S: Final = 40.0
# A second more than half a minute, since a request may be quicker on its way than the one before it.
PROBE_EVERY_S: Final = 31.0
# A stream tells little about the rest, so its dial leaves the turn to a question; this long, where one is about to take it.
GIVES_WAY_S: Final = 1.0


class Circuit:
    """Closed while the venue answers; open while it is away. One for all ways to a venue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed_at: float | None = None  # the first failure since the last answer
        self._tried_at = float("-inf")
        self._told = False  # that it is away
        self._answers = asyncio.Event()
        self._questions = 0  # that wait for their turn

    @property
    def away(self) -> bool:
        """Whether nothing has been answered for so long that it is called away."""
        return self._failed_at is not None and self._clock.monotonic() - self._failed_at >= AWAY_AFTER_S

    def heard(self) -> None:
        """The venue has spoken."""
        if self._failed_at is None:
            return
        if self._told:
            log.info("exchange.back", away_s=round(self._clock.monotonic() - self._failed_at, 3))
        self._failed_at, self._told = None, False
        self._answers.set()

    async def in_turn(self, call: Callable[[], Awaitable[T]], *, dial: bool = False) -> T:
        """Ask when it is this one's turn; `dial` is a stream's connection."""
        self._questions += not dial
        try:
            while (wait_s := self._wait_s(dial=dial)) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._answers.wait()
        finally:
            self._questions -= not dial
        return await self.judged(call)

    async def at_once(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask now.

        Raises:
            NotSent: it is another's turn.
        """
        wait_s = self._wait_s()
        if wait_s > 0:
            raise NotSent(f"not sent, because the exchange does not answer; it is asked again within {wait_s:.0f} s", retry_after_s=wait_s)
        return await self.judged(call)

    async def judged(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask, and see what the outcome says about the venue."""
        self._tried_at = self._clock.monotonic()
        try:
            answer = await call()
        except VenueError as error:
            self._judge(error)
            raise
        self.heard()
        return answer

    def _wait_s(self, *, dial: bool = False) -> float:
        if not self.away:
            return 0.0
        due_s = self._tried_at + PROBE_EVERY_S - self._clock.monotonic()
        return max(due_s, GIVES_WAY_S) if dial and self._questions else due_s

    def _judge(self, error: VenueError) -> None:
        if error.reason is Reason.MAINTENANCE or (isinstance(error, Unknown | NotSent) and error.reason is Reason.OTHER):
            if self._failed_at is None:
                self._failed_at = self._clock.monotonic()
                self._answers.clear()
            elif self.away and not self._told:
                self._told = True
                log.warning("exchange.away", error=error.text, probes_every_s=PROBE_EVERY_S)
        elif not isinstance(error, NotSent):  # which says nothing: our own gate, or no such stream
            self.heard()


class Circuits:
    """The circuits of a process: accounts at one place share one, so that several probe a venue that is away as often as one does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_place: dict[Hashable, Circuit] = {}

    def at(self, place: Hashable) -> Circuit:
        """The circuit of a place, whatever names it."""
        return self._by_place.setdefault(place, Circuit(self._clock))


class MarketInTurn:
    """A Market behind a circuit."""

    def __init__(self, market: Market, circuit: Circuit) -> None:
        self._market = market
        self._circuit = circuit

    async def connect(self) -> Mapping[str, Instrument]:
        """See Market.connect. A start has its own calm pace, and nobody beside it."""
        return await self._circuit.judged(self._market.connect)

    async def markets(self) -> Mapping[str, Instrument]:
        """See Market.markets."""
        return await self._circuit.in_turn(self._market.markets)

    async def close(self) -> None:
        """See Market.close."""
        await self._market.close()

    async def server_time(self) -> datetime:
        """See Market.server_time."""
        return await self._circuit.in_turn(self._market.server_time)

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        """See Market.bars."""
        return await self._circuit.in_turn(lambda: self._market.bars(symbol, timeframe, since=since, limit=limit))

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """See Market.watch_bars."""

        def told(update: BarUpdate) -> None:
            self._circuit.heard()
            sink(update)

        await self._circuit.in_turn(lambda: self._market.watch_bars(symbols, timeframe, told), dial=True)

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        """See Market.touches."""
        return await self._circuit.at_once(lambda: self._market.touches(symbols))

    @property
    def batch_max(self) -> int:
        """See Market.batch_max."""
        return self._market.batch_max

    async def reset_streams(self) -> None:
        """See Market.reset_streams."""
        await self._market.reset_streams()

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """See Marking.marks; a venue that has none tells none."""
        market = self._market
        return await self._circuit.in_turn(lambda: market.marks(symbols)) if isinstance(market, Marking) else {}

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """See Marking.watch_marks."""
        market = self._market
        if not isinstance(market, Marking):
            raise NotSent("the venue has no mark prices", Reason.BAD_REQUEST)

        def told(symbol: str, mark: Mark) -> None:
            self._circuit.heard()
            sink(symbol, mark)

        await self._circuit.in_turn(lambda: market.watch_marks(symbols, told), dial=True)

    def hush(self, seconds: float, told: Callable[[float], None]) -> None:
        """See Hushed.hush."""
        if isinstance(self._market, Hushed):
            self._market.hush(seconds, told)

    def usage(self) -> Usage | None:
        """See Metered.usage."""
        return self._market.usage() if isinstance(self._market, Metered) else None


class ExchangeInTurn(MarketInTurn):
    """An Exchange behind a circuit."""

    def __init__(self, exchange: Exchange, circuit: Circuit) -> None:
        super().__init__(exchange, circuit)
        self._exchange = exchange

    async def balances(self) -> Mapping[str, Balance]:
        """See Exchange.balances."""
        return await self._circuit.in_turn(self._exchange.balances)

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """See Exchange.submit."""
        return await self._circuit.at_once(lambda: self._exchange.submit(order, urgency))

    def shut(self) -> None:
        """See Exchange.shut."""
        self._exchange.shut()

    async def cancel(self, order_id: str, symbol: str) -> None:
        """See Exchange.cancel."""
        await self._circuit.at_once(lambda: self._exchange.cancel(order_id, symbol))

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        """See Exchange.order."""
        return await self._circuit.at_once(lambda: self._exchange.order(order_id, symbol))

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        """See Exchange.open_orders. One symbol's are asked for on behalf of an order."""
        asked = self._circuit.in_turn if symbol is None else self._circuit.at_once
        return await asked(lambda: self._exchange.open_orders(symbol))

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """See Exchange.trades."""
        return await self._circuit.at_once(lambda: self._exchange.trades(symbol, since))

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """See Earning.incomes; an account in which nothing moves by itself has none."""
        exchange = self._exchange
        return await self._circuit.at_once(lambda: exchange.incomes(since)) if isinstance(exchange, Earning) else ()

    async def named(self, venue_id: str, symbol: str) -> OrderReport:
        """See Naming.named."""
        exchange = self._exchange
        if not isinstance(exchange, Naming):
            raise NotFound("the venue trades nothing by itself")
        return await self._circuit.at_once(lambda: exchange.named(venue_id, symbol))

    async def cancel_after(self, symbol: str, seconds: float) -> None:
        """See Countdown.cancel_after. It belongs to orders, so it does not wait."""
        exchange = self._exchange
        if not isinstance(exchange, Countdown):
            raise NotSent("the venue has no countdown", Reason.BAD_REQUEST)
        await self._circuit.at_once(lambda: exchange.cancel_after(symbol, seconds))

    async def rights(self) -> KeyRights | None:
        """See Vetted.rights. Whether that one page answers says nothing of the others."""
        exchange = self._exchange
        return await exchange.rights() if isinstance(exchange, Vetted) else None

    @property
    def unlike(self) -> Mapping[str, str]:
        """See SetUp.unlike."""
        return self._exchange.unlike if isinstance(self._exchange, SetUp) else {}

    async def look(self) -> Mapping[str, str]:
        """See SetUp.look."""
        exchange = self._exchange
        return await self._circuit.in_turn(exchange.look) if isinstance(exchange, SetUp) else {}

    async def put_right(self) -> Mapping[str, str]:
        """See SetUp.put_right."""
        exchange = self._exchange
        return await self._circuit.in_turn(exchange.put_right) if isinstance(exchange, SetUp) else {}

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """See Exchange.watch_account."""

        def told(news: AccountNews) -> None:
            self._circuit.heard()
            sink(news)

        def standing() -> None:
            self._circuit.heard()
            connected()

        await self._circuit.in_turn(lambda: self._exchange.watch_account(told, standing), dial=True)
