"""Spreading: strategies that trade on several accounts, between the desk that decides and the traders that ask it.

Rule: each account asks when it has closed a slice, and is answered with its part once the strategy has seen the same close time on the
others, or its deadline has passed. What the strategy has is what its shares of all accounts are worth, in the one numeraire; an account
that cannot be read counts with what it was worth last.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any, Final

import structlog

from daemon.core import events as e
from daemon.core.desk import reason
from daemon.core.model import Bar, TargetWeights
from daemon.core.plain import rfc3339
from daemon.core.routing import RoutedDesk, Routing, part
from daemon.core.slices import align
from daemon.core.strategy import BARS_MAX
from daemon.io.clock import Clock
from daemon.io.warmup import Together, warm_up
from daemon.parts import Parts
from daemon.trader import Trader

log = structlog.get_logger()

LOOK_S: Final = 0.2  # whether an account that the history is wanted of has connected


def spread(routings: Sequence[Routing], traders: Sequence[Trader], clock: Clock, together: Together) -> list["Spread"]:
    """Join every routed strategy to its traders."""
    by_name = {trader.parts.account_name: trader for trader in traders}
    return [Spread(routing, by_name, clock, together) for routing in routings]


class Spread:
    """One routed strategy and the accounts that trade it. `run` reads its history; until then nobody is answered."""

    def __init__(self, routing: Routing, traders: Mapping[str, Trader], clock: Clock, together: Together) -> None:
        self._routing = routing
        self._desk = RoutedDesk(routing)
        self._traders = {name: traders[name] for name in sorted(set(routing.route.values()))}
        self._clock = clock
        self._together = together
        self._waiting: dict[str, e.AskStrategy] = {}  # by account, what it has asked and the desk cannot say yet
        for trader in self._traders.values():
            trader.join(routing.name, self)
        records = [trader.parts.recovered.last_decision for trader in self._traders.values()]
        self._desk.recall([decision for decision in records if decision is not None], routing.name)

    @property
    def name(self) -> str:
        """The strategy's."""
        return self._routing.name

    def over(self) -> bool:
        """Whether its history has been read, which is all that `run` is for."""
        return self._desk.ready

    async def run(self) -> None:
        """Read the history from all of its accounts, as soon as they have connected; one that is away keeps this strategy waiting."""
        while not all(trader.parts.account.markets for trader in self._traders.values()):
            await self._clock.sleep(LOOK_S)
        until = self._clock.now() - self._routing.grace
        symbols, count = list(self._routing.symbols), self._desk.need
        history: dict[str, list[Bar]] = {}
        while symbols:
            terms: dict[str, Any] = {"together": self._together, "rng": Random(0)}
            history |= await warm_up(_Markets(self._exchanges), symbols, self._routing.timeframe, count, self._clock, _silent, **terms)
            slices = align(history, self._routing.symbols, until=until)
            await asyncio.to_thread(self._desk.warm, slices)
            symbols = [each for each in symbols if each in self._desk.short and count <= len(history[each]) < BARS_MAX]
            count = min(2 * count, BARS_MAX)
        self._desk.begin()
        log.info("route.ready", strategy=self.name, accounts=list(self._traders), symbols=len(self._routing.route))

    @property
    def _exchanges(self) -> dict[str, Any]:
        return {symbol: self._traders[where].parts.exchange for symbol, where in self._routing.route.items()}

    # --- bars and questions ------------------------------------------------------------------------------------------

    def hear(self, account: str, event: e.Event) -> None:
        """What happens on an account, before it is handled there."""
        if isinstance(event, e.BarClosed) and self._routing.route.get(event.bar.symbol) != account:
            return
        if self._desk.hear(event):
            waiting, self._waiting = self._waiting, {}
            for name, asked in waiting.items():
                for answer in self.ask(name, asked):
                    self._traders[name].say(answer)
        if isinstance(event, e.TimePassed):
            self._excuse(event.at)

    def _excuse(self, at: datetime) -> None:
        """Where no symbol of the route has a bar there is no slice: whoever has asked about it goes on without this strategy."""
        overdue = [name for name, asked in self._waiting.items() if at > asked.at + self._routing.grace]
        for name in overdue:
            asked = self._waiting.pop(name)
            self._traders[name].say(self._answer(name, asked, None, 1.0))

    def ask(self, account: str, event: e.AskStrategy) -> Iterable[e.Event]:
        """Answer an account now, or as soon as the slice is there."""
        scales = self._scales()
        if not self._desk.ready or scales is None:
            return [self._answer(account, event, None, 1.0)]
        try:
            wanted = self._desk.wanted(event.slice.closes_at, self._held(scales))
        except Exception as error:  # as in the runner: the others' money does not depend on it
            problem = f"no decision at {rfc3339(event.slice.closes_at)}: {reason(error)}"
            log.error("strategy.failed", strategy=self.name, problem=problem)
            return [self._answer(account, event, None, 1.0)]
        if wanted is None:
            self._waiting[account] = event
            return ()
        return [self._answer(account, event, wanted, scales[account])]

    def _answer(self, account: str, event: e.AskStrategy, wanted: TargetWeights | None, scale: float) -> e.StrategyAnswered:
        mine = self._routing.of(account)
        targets = None if wanted is None else part(wanted, mine, scale)
        return e.StrategyAnswered(self.name, event.slice.closes_at, targets, self._desk.warmed & mine, self._clock.now())

    # --- money -------------------------------------------------------------------------------------------------------

    def _scales(self) -> dict[str, float] | None:
        """By account, how many times more the strategy has in all than there; None while the worth of one of them was never known."""
        shares = {name: trader.parts.runner.shares().get(self.name, 0.0) for name, trader in self._traders.items()}
        worths = {name: worth(trader.parts) for name, trader in self._traders.items()}
        has = {name: shares[name] * float(found) for name, found in worths.items() if found is not None}
        if len(has) < len(worths) or min(has.values()) <= 0:
            return None
        return {name: sum(has.values()) / each for name, each in has.items()}

    def _held(self, scales: Mapping[str, float]) -> dict[str, float]:
        """What it holds, in weights of what it has over all accounts."""
        held = {name: trader.parts.runner.holdings(self.name) for name, trader in self._traders.items()}
        return {symbol: weight / scales[name] for name, weights in held.items() for symbol, weight in weights.items()}


class _Markets:
    """The exchanges of a route as one market, for the history alone."""

    def __init__(self, exchanges: Mapping[str, Any]) -> None:
        self._exchanges = exchanges

    def __getattr__(self, name: str) -> Any:
        return lambda symbol, *given, **more: getattr(self._exchanges[symbol], name)(symbol, *given, **more)


def worth(p: Parts) -> Decimal | None:
    """What an account's capital is worth in the numeraire, the last that is known; None: nothing ever was."""
    if p.reconciler.last_reconciled is not None and not p.account.unvalued:
        return p.account.capital()
    curve = p.curves.account
    return None if curve.marked_at is None else p.account.sizing.of(curve.equity, curve.contributed)


def _silent(_done: int, _all: int) -> None:
    """Nobody waits for this history."""
