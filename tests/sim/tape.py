"""A whole venue in virtual time: stored bars as a stream, and an account whose orders fill at the open of the next bar."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from daemon.core.model import Balance, Bar, Fill, Instrument, Order, OrderReport
from daemon.core.paper import Denied, PaperAccount
from daemon.core.styles import Touch
from daemon.io.exchange import AccountNews, BarUpdate, Exchange, NotFound, Reason, Refused, Urgency
from tests.sim.virtual import SimClock

# Within a bar: orders travel, then the first price is told, then what has waited for it fills.
TRIP_S, TICK_S, FILL_S = 0.02, 2.0, 3.0


class TapeExchange:
    """Every bar is streamed when it closes, and told as forming two seconds after its open. A symbol without a bar is silent."""

    def __init__(
        self, history: Mapping[str, Sequence[Bar]], timeframe: timedelta, markets: Mapping[str, Instrument], clock: SimClock
    ) -> None:
        self._bars = {(bar.symbol, bar.closes_at): bar for bars in history.values() for bar in bars}
        self._timeframe = timeframe
        self._markets = markets
        self._clock = clock
        self._sent = 0
        self._sink: Callable[[AccountNews], None] = lambda _: None
        self.account = PaperAccount({"USDT": Decimal(10000)}, fee=Decimal("0.001"), slippage_bps=Decimal(5))
        self.batch_max = 100
        self.history_s = 0.0  # how much longer it takes over a question for bars
        self.ends_at = max(closes_at for _, closes_at in self._bars)

    def _close_of(self, moment: datetime) -> datetime:
        """The close of the bar that forms at a moment."""
        return moment - (moment - datetime.min.replace(tzinfo=moment.tzinfo)) % self._timeframe + self._timeframe

    def _forming(self, symbol: str) -> Bar | None:
        """What is seen of the bar that forms now: its first price."""
        bar = self._bars.get((symbol, self._close_of(self._clock.now())))
        return bar and replace(bar, high=bar.open, low=bar.open, close=bar.open, volume=0.0)

    # --- the public side ---------------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        return self._markets

    async def markets(self) -> Mapping[str, Instrument]:
        return self._markets

    async def close(self) -> None:
        return None

    def shut(self) -> None:
        return None

    async def server_time(self) -> datetime:
        return self._clock.now()

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        await asyncio.sleep(TRIP_S + self.history_s)
        now = self._clock.now()
        opened = ((bar, closes_at - timeframe) for (name, closes_at), bar in self._bars.items() if name == symbol and closes_at <= now)
        closed = [BarUpdate(bar, closed=True) for bar, opens_at in opened if since is None or opens_at >= since]
        forming = self._forming(symbol)
        found = closed + ([BarUpdate(forming, closed=False)] if forming else [])
        return found[-limit:] if since is None else found[:limit]

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        assert timeframe == self._timeframe
        while True:
            now = self._clock.now()
            closes_at = self._close_of(now)
            tick_at = closes_at - timeframe + timedelta(seconds=TICK_S)
            if now < tick_at:
                await self._clock.sleep((tick_at - now).total_seconds())
                for forming in filter(None, map(self._forming, symbols)):
                    sink(BarUpdate(forming, closed=False))
            await self._clock.sleep((closes_at - self._clock.now()).total_seconds() + TRIP_S)
            for symbol in symbols:
                if (symbol, closes_at) in self._bars:
                    sink(BarUpdate(self._bars[symbol, closes_at], closed=True))

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        return []

    async def reset_streams(self) -> None:
        return None

    # --- the account -------------------------------------------------------------------------------------------------

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        # In the order of sending: timers that end at one moment ring in any order, and money goes to whoever has sold first.
        self._sent += 1
        await asyncio.sleep(TRIP_S + self._sent * 1e-6)
        try:
            report = self.account.submit(order, self._markets[order.symbol], self._clock.now())
        except Denied as denied:
            raise Refused(str(denied), Reason(denied.code)) from denied
        traded = self._filled(order.symbol)
        for told in traded:
            asyncio.get_running_loop().call_later(TRIP_S, self._sink, told)  # after the answer
        return next(iter(traded), report)

    def _filled(self, symbol: str) -> list[OrderReport]:
        """Fill at the open of the bar that forms, if there is one."""
        forming = self._forming(symbol)
        if forming is None:
            return []
        return self.account.match(self._markets[symbol], Decimal(repr(forming.open)), self._clock.now())

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """Orders that have waited fill a little after the first price that their symbol has."""
        self._sink = sink
        connected()
        while True:
            now = self._clock.now()
            fill_at = self._close_of(now) + timedelta(seconds=FILL_S)
            await self._clock.sleep((fill_at - now).total_seconds())
            for report in self._late():
                sink(report)

    def _late(self) -> Iterator[OrderReport]:
        for symbol in sorted({order.symbol for order in self.account.open_orders()}):
            yield from self._filled(symbol)

    async def cancel(self, order_id: str, symbol: str) -> None:
        if self.account.cancel(order_id, self._markets[symbol], self._clock.now()) is None:
            raise NotFound(order_id)

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        await asyncio.sleep(TRIP_S)
        report = self.account.order(order_id)
        if report is None:
            raise NotFound(order_id)
        return report

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        return tuple(report for report in self.account.open_orders() if symbol in (None, report.symbol))

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        return self.account.trades(symbol, since)

    async def balances(self) -> Mapping[str, Balance]:
        await asyncio.sleep(TRIP_S)
        return self.account.balances


_: type[Exchange] = TapeExchange
