"""PaperExchange: the venue in memory. Real market data in, simulated fills out; no keys.

Rule: nothing of the account is told, by whatever way, before the state that holds it is saved; so what was told survives any stop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from daemon.core.events import BarClosed, Event, FundingTold, MarkTicked, PriceTicked
from daemon.core.fees import Tier
from daemon.core.funding import Mark
from daemon.core.model import Balance, Fill, Flow, Instrument, Order, OrderReport
from daemon.core.paper import Denied, PaperAccount
from daemon.core.styles import Touch
from daemon.io.clock import Clock
from daemon.io.exchange import (
    AccountNews,
    BarUpdate,
    Hushed,
    Market,
    Marking,
    Metered,
    NotFound,
    NotSent,
    Reason,
    Refused,
    Unknown,
    Urgency,
    Usage,
)


class PaperExchange:
    """An Exchange: the public side is a real venue's, the account is in memory.

    `balances` open a fresh account; where there is a `state` (what `save` was last given), that is the account, and `balances` count for
    nothing. `fee` is a fraction, or (maker, taker), and `tiers` take over from their volume on; orders that rest pay the maker's, all
    others the taker's. `save` returns once the state is on disk.
    """

    def __init__(
        self,
        market: Market,
        *,
        balances: Mapping[str, Decimal],
        fee: Decimal | tuple[Decimal, Decimal],
        tiers: Sequence[Tier] = (),
        slippage_bps: Decimal,
        clock: Clock,
        save: Callable[[str], Awaitable[None]],
        state: str | None,
    ) -> None:
        self._market = market
        self._clock = clock
        self._save = save
        maker_fee, self._fee = fee if isinstance(fee, tuple) else (fee, fee)
        terms: dict[str, Any] = {"fee": self._fee, "slippage_bps": slippage_bps, "maker_fee": maker_fee, "tiers": tiers}
        self._account = PaperAccount(balances, **terms) if state is None else PaperAccount.load(state, **terms)
        self._markets: dict[str, Instrument] = {}
        self._prices: dict[str, Decimal] = {}
        self._marks: dict[str, Decimal] = {}
        self._watchers: dict[asyncio.Future[None], Callable[[AccountNews], None]] = {}
        self._news: list[OrderReport] = []  # ended, not yet saved and told: never more than were open
        self._wake = asyncio.Event()
        self._saving = asyncio.Lock()
        self._changes = 1 if state is None else 0  # of the account, its opening included; `_saved` of them are on disk
        self._saved = 0
        self._shut = False

    # --- the venue's public side -------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        """The venue's rules with the fees of the paper account."""
        return self._charged(await self._market.connect())

    async def markets(self) -> Mapping[str, Instrument]:
        """The venue's rules as they are now, with the fees of the paper account."""
        return self._charged(await self._market.markets())

    def _charged(self, found: Mapping[str, Instrument]) -> dict[str, Instrument]:
        charged = {symbol: replace(market, taker_fee=self._fee, buy_fee_in_base=not market.shortable) for symbol, market in found.items()}
        self._markets |= charged
        return charged

    def hush(self, seconds: float, told: Callable[[float], None]) -> None:
        """See Hushed.hush: its prices are a real venue's."""
        if isinstance(self._market, Hushed):
            self._market.hush(seconds, told)

    def usage(self) -> Usage | None:
        """See Metered.usage."""
        return self._market.usage() if isinstance(self._market, Metered) else None

    async def close(self) -> None:
        """Release the connections of the market data, and accept no order from now on."""
        self.shut()
        await self._market.close()

    async def server_time(self) -> datetime:
        """The venue's clock."""
        return await self._market.server_time()

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        """The venue's candles."""
        return await self._market.bars(symbol, timeframe, since=since, limit=limit)

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """The venue's stream of candles."""
        await self._market.watch_bars(symbols, timeframe, sink)

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        """The venue's best bids and asks."""
        return await self._market.touches(symbols)

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """The venue's mark prices, if it has any."""
        return await self._market.marks(symbols) if isinstance(self._market, Marking) else {}

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """The venue's stream of mark prices."""
        if not isinstance(self._market, Marking):
            raise NotSent("the venue has no mark prices", Reason.BAD_REQUEST)
        await self._market.watch_marks(symbols, sink)

    @property
    def batch_max(self) -> int:
        """The most symbols one `watch_bars` may carry."""
        return self._market.batch_max

    async def reset_streams(self) -> None:
        """Drop every stream, the account's included."""
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_exception(Unknown("the stream was reset"))
        await self._market.reset_streams()

    # --- prices, from the bus ----------------------------------------------------------------------------------------

    def on_tick(self, event: PriceTicked) -> Iterable[Event]:
        """A price after every order that is open: they fill at it."""
        return self._match(event.symbol, event.price)

    def on_bar(self, event: BarClosed) -> Iterable[Event]:
        """A bar that closed after an order was accepted: its open is the first price there was, and the order fills at it."""
        bar = event.bar
        followed = self._match(bar.symbol, bar.open, accepted_before=bar.closes_at)
        self._prices[bar.symbol] = _decimal(bar.close)
        return followed

    def on_funding(self, event: FundingTold) -> Iterable[Event]:
        """What is expected of the next settlement; where another one has passed meanwhile, that is paid first."""
        self._fund(event.symbol)
        if event.symbol in self._markets:
            self._account.settlements.told(event.symbol, event.funding)
        return ()

    def _fund(self, symbol: str) -> None:
        """Pay what has become due. Without a price it waits for one."""
        market, mark = self._markets.get(symbol), self._mark(symbol)
        if market is not None and mark is not None and self._account.fund(market, mark, self._clock.now()):
            self._changes += 1
            self._wake.set()

    def on_mark(self, event: MarkTicked) -> Iterable[Event]:
        """What a position is worth: where the money behind all of them does not cover them any more, they are taken over."""
        if event.symbol in self._markets and isfinite(event.price) and event.price > 0:
            self._marks[event.symbol] = _decimal(event.price)
            self._fund(event.symbol)
            while (taken := self._account.due(self._markets.values(), self._mark)) is not None:
                self._changes += 1
                self._news += self._account.take_over(taken, self._clock.now())
                self._wake.set()
        return ()

    def _mark(self, symbol: str) -> Decimal | None:
        return self._marks.get(symbol) or self._prices.get(symbol)

    def _match(self, symbol: str, price: float, accepted_before: datetime | None = None) -> Iterable[Event]:
        market = self._markets.get(symbol)
        if market is None or not (isfinite(price) and price > 0):
            return ()
        self._prices[symbol] = _decimal(price)
        ended = self._account.match(market, self._prices[symbol], self._clock.now(), accepted_before=accepted_before)
        if ended:
            self._changes += 1
            self._news += ended
            self._wake.set()
        return ()

    # --- the account -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Save what has filled, then tell it, until cancelled. One of the nest's jobs."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            news, self._news = self._news, []
            await self._settle()
            for report in news:
                for sink in tuple(self._watchers.values()):
                    sink(report)

    def jobs(self) -> list[tuple[str, Callable[[], Coroutine[None, None, None]]]]:
        """Named coroutines for the nest; none of them returns."""
        return [("paper.fills", self.run)]

    async def balances(self) -> Mapping[str, Balance]:
        """What the account holds or has held, by currency."""
        await self._settle()
        return self._account.balances

    def shut(self) -> None:
        """Accept no order from now on."""
        self._shut = True

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """Accept an order and set its money aside; it fills at the next price, which `watch_account` tells.

        Raises:
            NotSent: `shut` or `close` came first.
            Refused: by the venue's rules, the account's funds, or because the id has been used.
        """
        if self._shut:
            raise NotSent("not sent, because no order is accepted any more")
        market = self._markets.get(order.symbol)
        if market is None:
            raise Refused(f"{order.symbol} is not one of the markets traded here", Reason.BAD_REQUEST)
        try:
            report = self._account.submit(order, market, self._clock.now(), self._prices.get(order.symbol))
        except Denied as error:
            raise Refused(str(error), Reason(error.code)) from error
        self._changes += 1
        await self._settle()
        return report

    async def cancel(self, order_id: str, symbol: str) -> None:
        """End an open order unfilled."""
        market = self._markets.get(symbol)
        report = self._account.cancel(order_id, market, self._clock.now()) if market else None
        if report is None:
            raise NotFound(f"there is no open order {order_id}")
        self._changes += 1
        self._news.append(report)
        self._wake.set()
        await self._settle()

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        """One order by our id."""
        await self._settle()
        report = self._account.order(order_id)
        if report is None or report.symbol != symbol:
            raise NotFound(f"there is no order {order_id} in {symbol}")
        return report

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        """Every order that waits for a price."""
        await self._settle()
        return tuple(report for report in self._account.open_orders() if symbol in (None, report.symbol))

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """The account's trades in one symbol since a moment, oldest first."""
        await self._settle()
        return self._account.trades(symbol, since)

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """See Earning.incomes: what settlements of swaps have paid or cost."""
        await self._settle()
        return self._account.settlements.flows(since)

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """Hand every order that ends to `sink`, with its trades, until `reset_streams` (raises) or cancelled."""
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers[watcher] = sink
        try:
            connected()
            await watcher
        finally:
            del self._watchers[watcher]

    async def _settle(self) -> None:
        """Return once everything that has happened is on disk. Whoever comes first saves for all who wait."""
        async with self._saving:
            while self._saved < self._changes:
                changes = self._changes
                await self._save(self._account.dump())
                self._saved = changes


def _decimal(price: float) -> Decimal:
    """The shortest decimal that is this float: what the venue wrote."""
    return Decimal(repr(float(price)))
