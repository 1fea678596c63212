"""Planning: one decision now, whole, for a person to read: what is held, what is wanted, what each limit leaves of it, what would be sent.

Rule: it is the daemon's own parts on its own route table, over the account as it is; nothing is sent, and nothing is written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isclose
from random import Random
from typing import Any

from daemon.assembly.deciding import foreseeing
from daemon.assembly.worlds import account_of
from daemon.config import Config, Secrets
from daemon.core import events as e
from daemon.core import membership
from daemon.core.breakers.prices import AGREED
from daemon.core.bus import Bus, Handler
from daemon.core.funding import FundingRate, Mark
from daemon.core.model import ZERO, AccountSnapshot, Balance, Bar, Decision, Flow, Order, currencies, is_swap
from daemon.core.planner_inputs import exact
from daemon.core.planner_legs import Reason as Left
from daemon.core.restraint import ordered_out, restore
from daemon.core.slices import Aligner, align
from daemon.core.states import Hold, Level
from daemon.io.clock import Clock, SystemClock
from daemon.io.exchange import Exchange, Fatal, Marking, Reason, VenueError
from daemon.io.journal import Recovered
from daemon.io.rulebook import complete
from daemon.io.warmup import Together, warm_up
from daemon.parts import Core, Joined, StartRefused, refused_key

Routes = Callable[[Joined], Sequence[tuple[type, Sequence[Handler[e.Event]]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One symbol's way from what is held to what would be sent.

    Weights are shares of the capital; `value` of the order and its `cost` are in the account's currency.
    `stages` are what cut the wish, in order, each with the weight that it left: a hold on whoever wants it, the limits, and at last what a
    small account made of it.
    `needs`: the equity at which a target that is too small would be large enough. `funding`: what the target is expected to pay (above 0)
    or be paid at the next settlement, in the account's currency, by `rate`; None: there is none, or it is not known.
    """

    symbol: str
    price: Decimal | None
    amount: Decimal
    weight: float
    wanted: float
    stages: tuple[tuple[str, float], ...]
    target: float
    order: Order | None
    value: Decimal
    cost: Decimal
    left: str
    needs: Decimal | None
    funding: Decimal | None
    rate: FundingRate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The whole decision. Money is quote. `holds` are what restricts an instance that has written any, the most severe first."""

    decision: Decision
    holds: tuple[Hold, ...]
    equity: Decimal
    capital: Decimal
    cash: Decimal
    rows: tuple[Row, ...]


class Onlooker:
    """Joins the core to edges that only listen, and keeps what it was told."""

    def __init__(self, core: Core, routes: Routes) -> None:
        self.parts = core
        self.told: list[e.Event] = []
        self.aligner = Aligner(core.symbols, core.timeframe, core.timeframe)
        self.gateway = self.poller = self.timekeeper = self.rulebook = self.settings = self.recorder = self.views = self
        self.bus: Bus[e.Event] = Bus(routes(self))

    def tell(self, event: e.Event) -> Iterable[e.Event]:
        """Hear of everything."""
        self.told.append(event)
        return ()

    def accept(self, request: Any) -> Iterable[e.Event]:
        """What sleeves give each other is booked; nothing else is done."""
        return (e.SleevesBooked(request.booking, request.at),) if isinstance(request, e.BookSleeves) else ()

    def on_slice(self, _event: object) -> Iterable[e.Event]:
        """Nothing."""
        return ()

    def on_polled(self, _event: object) -> Iterable[e.Event]:
        """Nothing."""
        return ()

    def on_poll_failed(self, _event: object) -> Iterable[e.Event]:
        """Nothing."""
        return ()

    def paper_on(self, _kind: type) -> list[Any]:
        """No account fills anything."""
        return []

    def away_on(self, _kind: type) -> list[Any]:
        """Every strategy decides in this process."""
        return []


async def planned(settings: Config, secrets: Secrets, record: Recovered | None, routes: Routes, together: Together) -> Planned:
    """Read the account and the newest bars, and have every strategy decide. `record`: what an instance has written, if there is one.

    Raises:
        StartRefused: the exchange does not answer, or not for this configuration.
    """
    clock = SystemClock()
    exchange = account_of(settings, secrets, record, clock)
    core = foreseeing(settings)
    try:
        markets = await exchange.connect()
        core.account.markets = complete(markets, core.symbols)
        held = await exchange.balances()
        listed = [symbol for symbol in core.symbols if symbol in markets]
        history, prices = await _market(exchange, core, listed, clock, together)
        marks = await _marks(exchange, listed)
    except VenueError as error:
        raise refused(settings, error) from None
    finally:
        await exchange.close()
    onlooker = Onlooker(core, routes)
    if record is not None:
        _recall(core, record)
    holds = core.manager.states.holds()
    _decide(onlooker, held, history, prices, marks, clock)
    return _read(core, onlooker.told, holds, settings.paper.slippage_bps / 10_000)


def refused(settings: Config, error: VenueError) -> StartRefused:
    """What an exchange that does not answer, or not for this configuration, means for a verb that needs it."""
    if error.reason in (Reason.CREDENTIALS, Reason.PERMISSION):
        return StartRefused(refused_key(str(settings.source), settings.place, error), 77)
    if isinstance(error, Fatal):
        return StartRefused(f"{settings.source}: {error.text}", 78)
    return StartRefused(f"{settings.exchange.id} does not answer ({error.text}); try again later", 1)


async def _market(
    exchange: Exchange, core: Core, symbols: Sequence[str], clock: Clock, together: Together
) -> tuple[Mapping[str, Sequence[Bar]], Mapping[str, float]]:
    """The history that the indicators need, and the last price of each symbol."""
    history = await warm_up(exchange, symbols, core.timeframe, core.need, clock, lambda _done, _all: None, together=together, rng=Random(0))
    prices: dict[str, float] = {}

    async def ask(symbol: str) -> None:
        newest = await exchange.bars(symbol, core.timeframe, limit=1)
        if newest:
            prices[symbol] = newest[-1].bar.close

    await together(*(ask(symbol) for symbol in (*symbols, *core.watched)))
    return history, prices


async def _marks(exchange: Exchange, symbols: Sequence[str]) -> Mapping[str, Mark]:
    """What swaps are valued by, and expected to pay."""
    swaps = [symbol for symbol in symbols if is_swap(symbol)]
    return await exchange.marks(swaps) if swaps and isinstance(exchange, Marking) else {}


def _decide(
    onlooker: Onlooker,
    held: Mapping[str, Balance],
    history: Mapping[str, Sequence[Bar]],
    prices: Mapping[str, float],
    marks: Mapping[str, Mark],
    clock: Clock,
) -> None:
    """What a start does, as far as deciding needs it, and a request to decide."""
    core, now = onlooker.parts, clock.now()
    slices = core.breakers.warm(align(history, core.symbols, until=now))
    core.runner.warm(slices)
    core.analyzer.warm(slices)
    core.manager.guard.gate.warm(slices)
    core.membership.warm_up(slices[:-1])
    publish = onlooker.bus.publish
    if slices:
        newest = e.SliceClosed(slices[-1], slices[-1].closes_at)
        core.account.on_slice(newest)
        for told in core.membership.on_slice(newest):
            publish(told)
    for symbol, price in prices.items():
        publish(e.PriceTicked(symbol, price, now))
    for symbol, mark in marks.items():
        publish(e.MarkTicked(symbol, mark.price, now))
        if mark.funding is not None:
            publish(e.FundingTold(symbol, mark.funding, now))
    for currency in sorted({c for s in core.symbols for c in currencies(s)}):
        there = held[currency].total if currency in held else ZERO
        if missing := there - core.ledger.held(currency):
            publish(e.FlowBooked(Flow(f"plan-{currency}", currency, missing, "opening", now), now))
    core.account.on_polled(e.AccountPolled(AccountSnapshot(held, (), now, now), now))  # what is locked is not ours to spend
    publish(e.AccountReconciled({}, now, now))
    publish(e.RebalanceRequested("plan", now))


def _recall(core: Core, record: Recovered) -> None:
    """What an instance of this name has written: holdings, what it wanted last, and what restricts it."""
    core.portfolio.restore(record.flows, record.fills, record.bookings, record.splits, record.order_ids)
    core.manager.guard.restore(record.traded())
    core.analyzer.restore(high=record.correlation_high)
    core.membership.restore(record.values.get(membership.KEY))
    core.runner.restore(record.last_decision, record.began)
    restore(core.manager.states, record.holds)
    core.breakers.restore(record.values.get(AGREED))


def _read(core: Core, told: Sequence[e.Event], holds: tuple[Hold, ...], slippage: Decimal) -> Planned:
    """Put what was told together."""
    account = core.account
    decision = next((event.decision for event in told if isinstance(event, e.TargetsChosen)), None)
    if decision is None:
        why = "; ".join(core.runner.problems.values()) or "there are no bars to decide on"
        raise StartRefused(f"no strategy has decided: {why}", 1)
    plans = [event for event in told if isinstance(event, e.PlanMade)]
    settled = [event for event in told if isinstance(event, e.WaveSettled)]
    orders = {order.symbol: order for plan in plans for order in plan.orders}
    left = {s: why for event in settled for s, why in {**event.left, **event.refused}.items()}
    worst = core.manager.states.worst()
    held_up = "" if settled else worst.code if worst is not None else core.manager.reason
    capital = account.capital()
    rows = tuple(_row(core, s, decision, told, orders.get(s), left.get(s, held_up), slippage) for s in core.symbols)
    return Planned(decision=decision, holds=holds, equity=account.equity(), capital=capital, cash=account.cash, rows=rows)


def _held_back(core: Core, symbol: str, decision: Decision) -> list[tuple[str, float]]:
    """The hold that changes the wish for a symbol before any limit does, by its code, and what it leaves."""
    states = core.manager.states
    left = ordered_out(core.manager.sleeves.net(decision), states).get(symbol, 0.0)
    if isclose(left, decision.weights.get(symbol, 0.0), abs_tol=1e-12):
        return []
    sold = [hold for hold in (states.of_symbol(symbol),) if hold is not None and hold.level is Level.FLATTENING]
    return [(hold.code, left) for hold in (*sold, *(hold for hold in states.holds() if hold.scope.strategy))][:1]


def _row(core: Core, symbol: str, decision: Decision, told: Sequence[e.Event], order: Order | None, left: str, slippage: Decimal) -> Row:
    account = core.account
    cuts = [event for event in told if isinstance(event, e.RiskLimited) and event.symbol == symbol]
    stages = [*_held_back(core, symbol, decision), *((cut.reason, cut.allowed) for cut in cuts)]
    plan = next((event for event in reversed(told) if isinstance(event, e.PlanMade)), None)
    if plan is not None and symbol in plan.changed:
        stages.append(("small_account" if symbol in plan.needs else "raised", plan.changed[symbol]))
    rate = account.rate(currencies(symbol)[1]) or ZERO
    value = order.amount * order.price * rate if order else ZERO
    target = core.manager.targets.get(symbol, 0.0)
    if order is not None and left == Left.SHADOW:
        cut = next((event.reason for event in told if isinstance(event, e.OrderLimited) and event.symbol == symbol), "")
        reached = account.held(symbol) * account.worth(symbol) + order.side.sign * value
        left = cut or (plan.left.get(symbol, "") if plan is not None and _is_short(plan, symbol, target, reached) else "")
    return Row(
        symbol=symbol,
        price=account.mark(symbol),
        amount=account.held(symbol),
        weight=account.weight(symbol, account.capital()),
        wanted=decision.weights.get(symbol, 0.0),
        stages=tuple(stages),
        target=target,
        order=order,
        value=value,
        cost=value * (account.markets[symbol].taker_fee + slippage),
        left=left,
        needs=plan.needs.get(symbol) if plan is not None else None,
        funding=plan.funding.get(symbol) if plan is not None else None,
        rate=account.funding(symbol),
    )


def _is_short(plan: e.PlanMade, symbol: str, target: float, reached: Decimal) -> bool:
    """Whether the order leaves the holding, then worth `reached`, further from its target than the no-trade zone is wide.

    The money that an order may take above its price is missing elsewhere, by a hair.
    """
    if plan.inputs is None:
        return False
    goal = exact(plan.changed.get(symbol, target))
    zone = max(plan.inputs.rules.band, plan.inputs.rules.band_relative * abs(goal))
    return abs(goal * plan.inputs.book.equity - reached) > zone * plan.inputs.book.equity
