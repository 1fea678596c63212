"""A venue whose every answer is set by the test: a value is given, an error is raised, a function is asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import TypeAlias, TypeVar, cast

from daemon.core.model import Balance, Fill, Instrument, Order, OrderReport
from daemon.core.styles import Touch
from daemon.io.exchange import AccountNews, BarUpdate, Exchange, NotFound, NotSent, Urgency

T = TypeVar("T")
Answer: TypeAlias = T | Exception | Callable[..., T | Awaitable[T]]
Sink = Callable[[AccountNews], None]
Connection = Callable[[Sink, Callable[[], None]], Awaitable[None]]


async def give(answer: Answer[T], *asked: object) -> T:
    """Answer as the script says."""
    if isinstance(answer, Exception):
        raise answer
    if callable(answer):
        said = answer(*asked)
        return await cast("Awaitable[T]", said) if isawaitable(said) else said
    return answer


class ScriptedExchange:
    """An Exchange without markets. `calls` has every call with what it was about; `connections` are its user streams, one a dial."""

    batch_max = 100

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.held: Answer[Mapping[str, Balance]] = {}
        self.reply: Answer[OrderReport] = NotSent("nobody is there")
        self.found: Answer[OrderReport] = NotFound("no such order")
        self.listed: Answer[tuple[OrderReport, ...]] = ()
        self.traded: dict[str, Answer[tuple[Fill, ...]]] = {}
        self.canceling: Answer[None] = None
        self.asked_since: list[datetime] = []
        self.urgencies: list[Urgency] = []
        self.connections: list[Connection] = []
        self.dialled: Callable[[], None] = lambda: None

    # --- Market ------------------------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        return {}

    async def markets(self) -> Mapping[str, Instrument]:
        return await self.connect()

    async def close(self) -> None:
        self.calls.append(("close",))

    async def server_time(self) -> datetime:
        return datetime.now(UTC)

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        return []

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        raise NotSent("no such stream here")

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        return []

    async def reset_streams(self) -> None:
        self.calls.append(("reset_streams",))

    # --- Exchange ----------------------------------------------------------------------------------------------------

    async def balances(self) -> Mapping[str, Balance]:
        self.calls.append(("balances",))
        return await give(self.held)

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        self.calls.append(("submit", order.id))
        self.urgencies.append(urgency)
        return await give(self.reply, order)

    def shut(self) -> None:
        self.calls.append(("shut",))

    async def cancel(self, order_id: str, symbol: str) -> None:
        self.calls.append(("cancel", order_id))
        await give(self.canceling)

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        self.calls.append(("order", order_id))
        return await give(self.found, order_id)

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        self.calls.append(("open_orders",))
        return await give(self.listed)

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        self.calls.append(("trades", symbol))
        self.asked_since.append(since)
        return await give(self.traded.get(symbol, ()))

    async def watch_account(self, sink: Sink, connected: Callable[[], None]) -> None:
        self.dialled()
        if not self.connections:
            raise NotSent("no such stream here")
        await self.connections.pop(0)(sink, connected)


_: type[Exchange] = ScriptedExchange
