"""Swap door: what one process of the daemon has of a venue of swaps, beside what every door has."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from daemon.core.funding import Mark
from daemon.core.model import Balance, Flow, Instrument, Order, currencies
from daemon.io.exchange import Exchange, Marking, Reason, Refused, SetUp, Unknown, Urgency
from tests.sim.swarm.door import SimExchange
from tests.sim.swarm.faults import Kind
from tests.sim.swarm.swaps import SwapBooks

MARKS_S: Final = 3.0  # between two marks of a stream, which is more often than their absence is noticed


class SwapDoor(SimExchange):
    """The door to swaps: `leverage` and `isolated` are what every market is to be set to."""

    def __init__(self, *given: Any, leverage: int, isolated: bool) -> None:
        super().__init__(*given)
        self._wanted = leverage, isolated
        self._leverages: dict[str, Decimal] = {}
        self.unlike: dict[str, str] = {}

    @property
    def _books(self) -> SwapBooks:
        books = self._world.books
        assert isinstance(books, SwapBooks)
        return books

    async def connect(self) -> Mapping[str, Instrument]:
        await super().connect()
        await self.put_right()
        return await self.markets()

    async def look(self) -> Mapping[str, str]:
        """See SetUp.look."""
        return await self._ask("settings", Urgency.RECONCILE, self._looked)

    async def put_right(self) -> Mapping[str, str]:
        """See SetUp.put_right."""
        for symbol in self._symbols:
            await self._ask("settings", Urgency.RECONCILE, lambda s=symbol: self._set(s))  # type: ignore[misc]
        return await self.look()

    def _set(self, symbol: str) -> None:
        leverage, isolated = self._wanted
        setup, held = self._books.margin.setups[symbol], self._books.position(symbol).amount
        refused = self._fault(Kind.LEVERAGE_REFUSED)
        if refused is None or refused.symbol != symbol:
            setup.leverage = leverage
            setup.isolated = setup.isolated if held else isolated

    def _looked(self) -> dict[str, str]:
        setups = {symbol: self._books.margin.setups[symbol] for symbol in self._symbols}
        self._leverages = {symbol: Decimal(setup.leverage) for symbol, setup in setups.items()}
        self.unlike = {
            symbol: f"{symbol} has leverage {setup.leverage}, isolated {setup.isolated}, where {self._wanted} is wanted"
            for symbol, setup in setups.items()
            if (setup.leverage, setup.isolated) != self._wanted
        }
        return self.unlike

    async def markets(self) -> Mapping[str, Instrument]:
        known = await super().markets()
        return {symbol: replace(each, leverage=self._leverages[symbol]) for symbol, each in known.items()}

    def _no(self, order: Order) -> Refused | None:
        shut = self._fault(Kind.LEG_REFUSED)
        if not order.reduce_only and (order.symbol in self._world.refused_for_ever or (shut and shut.symbol == order.symbol)):
            return Refused("-4140 Invalid symbol status for opening position.", Reason.BAD_REQUEST)
        lies = self._fault(Kind.REFUSED_REDUCE)
        if order.reduce_only and lies and self._world.weather.luck(Kind.REFUSED_REDUCE, order.id).random() < 0.3 + 0.7 * lies.size:
            return Refused("-2022 ReduceOnly Order is rejected.", Reason.REDUCE_ONLY)
        return None

    async def balances(self) -> Mapping[str, Balance]:
        shown = dict(await super().balances())
        if self._fault(Kind.POSITIONS_LOST):
            shown = {currency: balance for currency, balance in shown.items() if currency not in self._bases()}
        late = self._fault(Kind.POSITIONS_LATE)
        if late is not None:
            now, moment = self._clock.now(), self._clock.now() - self._ago(late)
            then = self._books.snapshot(dict.fromkeys(self._bases(), moment), now)
            shown = {c: balance for c, balance in (shown | then).items() if c in then}
        return shown

    def _bases(self) -> set[str]:
        return {currencies(symbol)[0] for symbol in self._symbols}

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """See Marking.marks."""
        return await self._ask("marks", Urgency.DATA, lambda: self._marked(symbols))

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """See Marking.watch_marks."""
        broken = await self._dialled(Kind.BARS_CLOSED)
        while not (await asyncio.wait([broken], timeout=MARKS_S))[0]:
            for symbol, mark in self._marked(symbols).items() if self._fault(Kind.BARS_MUTE) is None else ():
                sink(symbol, mark)
        raise Unknown("the connection was closed")

    def _marked(self, symbols: Sequence[str]) -> dict[str, Mark]:
        return {symbol: Mark(float(self._books.mark(self._books.venue[symbol]))) for symbol in symbols}

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """See Earning.incomes."""

        def answer() -> list[Flow]:
            listed = self._books.incomes(since, self._clock.now() - self._lag(Kind.LAG_TRADES))
            return listed + listed if self._fault(Kind.FUNDING_TWICE) else listed

        return tuple(await self._ask("incomes", Urgency.RECONCILE, answer))


_: tuple[type[Exchange], type[Marking], type[SetUp]] = (SwapDoor, SwapDoor, SwapDoor)
