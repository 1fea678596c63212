"""Record: what a backtest keeps of its run, in columns that grow, in the order in which it happened.

Rule: it only listens. Every number is taken from the parts at the moment it was in force, none is worked out again.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from daemon.core.events import (
    Event,
    FlowBooked,
    HoldPlaced,
    OrderFilled,
    OrderLimited,
    OrderRefused,
    RiskLimited,
    RiskRefused,
    SliceClosed,
    SubmitOrders,
)
from daemon.core.ledger import FUNDING
from daemon.core.model import Decision, Fill, Floats, Order, Slice, epoch_ms
from daemon.core.states import Hold, Level
from daemon.parts import Core
from daemon.research.marks import Marks, Skimmed
from daemon.research.panels import Block
from daemon.research.rows import Rows
from daemon.research.signals import Signals
from daemon.research.worked import Worked


class Record:
    """Equity, targets, signals, orders and fills of one run. Moments are UTC ms, money is quote, weights are shares of equity."""

    def __init__(self, core: Core) -> None:
        self._marks = Marks(len(core.symbols))
        self._targets: list[tuple[int, str, Mapping[str, float]]] = []  # timestamp, strategy, weights
        self.signals = Signals()
        self._orders: list[Order] = []
        self._fills: list[Fill] = []
        self._since: list[Worked | SubmitOrders | Fill] = []  # what has come since, of which these are made once somebody asks
        self.traded: list[tuple[float, float]] = []  # by fill: notional, equity when it was made
        self.funding: list[tuple[int, str, float]] = []  # timestamp, symbol, what its position was paid, below 0 what it has paid
        self.refused: dict[str, int] = {}
        self.cuts: list[RiskLimited | OrderLimited | RiskRefused] = []
        self.halts: list[Hold] = []
        self.restricted: dict[str, int] = {}  # "reducing by rejects", of the account or a symbol
        self.troubles: dict[str, int] = {}  # sentence: slices
        self._core = core
        self.foretold = False  # the signals of the slices to come are kept already
        self._decided = ""  # the newest decision's id
        self._worth = 0.0
        self._kept: dict[type, Callable[[Any], None]] = {
            SubmitOrders: self._keep_orders,
            OrderFilled: self._keep_fill,
            OrderRefused: self._keep_refusal,
            **dict.fromkeys((RiskLimited, OrderLimited, RiskRefused), self._keep_limit),
            HoldPlaced: self._keep_hold,
            FlowBooked: self._keep_flow,
        }

    @property
    def times(self) -> "array[int]":
        """The closes at which the account was looked at."""
        return self._marks.told().times

    @property
    def equity(self) -> Rows:
        """At each of them: equity, cash, gross, net, drawdown."""
        return self._marks.told().equity

    @property
    def closes(self) -> Rows:
        """And the last close by symbol, NaN before the first."""
        return self._marks.told().closes

    @property
    def targets(self) -> list[tuple[int, str, str, float]]:
        """Timestamp, strategy, symbol, weight: of every decision all symbols, those at 0 as well."""
        symbols = self._core.symbols
        return [(at, name, symbol, weights.get(symbol, 0.0)) for at, name, weights in self._targets for symbol in symbols]

    @property
    def orders(self) -> list[Order]:
        """Every order, in the order in which they were made."""
        self._catch_up()
        return self._orders

    @property
    def fills(self) -> list[Fill]:
        """Every trade."""
        self._catch_up()
        return self._fills

    def _catch_up(self) -> None:
        waiting, self._since = self._since, []
        for each in waiting:
            orders, fills = each.told() if isinstance(each, Worked) else ((), (each,)) if isinstance(each, Fill) else (each.orders, ())
            self._orders += orders
            self._fills += fills

    @property
    def kinds(self) -> frozenset[type]:
        """The events of which something is kept."""
        return frozenset(self._kept)

    # --- what the route table brings ---------------------------------------------------------------------------------

    def tell(self, event: Event) -> Iterable[Event]:
        """Hear of everything; keep what is asked of a run."""
        keep = self._kept.get(type(event))
        if keep is not None:
            keep(event)
        return ()

    def _keep_orders(self, event: SubmitOrders) -> None:
        self._since.append(event)

    def _keep_fill(self, event: OrderFilled) -> None:
        self._since.append(event.fill)
        self.traded.append((float(event.fill.cost), self._worth))

    def _keep_refusal(self, event: OrderRefused) -> None:
        self.refused[event.code] = self.refused.get(event.code, 0) + 1

    def _keep_limit(self, event: RiskLimited | OrderLimited | RiskRefused) -> None:
        self.cuts.append(event)

    def _keep_flow(self, event: FlowBooked) -> None:
        flow = event.flow
        if flow.kind == FUNDING:
            self.funding.append((epoch_ms(flow.at), flow.symbol, float(flow.amount)))

    def _keep_hold(self, event: HoldPlaced) -> None:
        hold = event.hold
        if hold.level is Level.HALTED:
            self.halts.append(hold)
        else:
            told = f"{hold.level.told} by {hold.code}"
            self.restricted[told] = self.restricted.get(told, 0) + 1

    def accept(self, _request: Event) -> Iterable[Event]:
        """A conclusion of the core; it is in what was told."""
        return ()

    def on_polled(self, _: object) -> Iterable[Event]:
        """The account of a backtest can always be read."""
        return ()

    def on_poll_failed(self, _: object) -> Iterable[Event]:
        """Never."""
        return ()

    @property
    def untold(self) -> tuple[str, ...]:
        """Strategies that traded on, but whose numbers could not be told on every bar, a sentence each."""
        runner = self._core.runner
        return tuple(sorted(sentence for name, sentence in runner.untold.items() if name not in runner.disabled))

    @property
    def disabled(self) -> tuple[str, ...]:
        """Strategies of the user's own that were asked no more, a sentence each."""
        disabled = self._core.runner.disabled
        return tuple(f"{name} was disabled, and its last targets stood from then on: {why}" for name, why in disabled.items())

    def on_slice(self, event: SliceClosed) -> Iterable[Event]:
        """The account at a close, before anything is decided on it."""
        account = self._core.account
        equity = account.equity()
        held = account.held_symbols
        self._worth = worth = float(equity)
        weights = [float(account.held(s)) * float(account.worth(s)) / worth if worth > 0 else 0.0 for s in self._core.symbols if s in held]
        self._marks.add(epoch_ms(event.slice.closes_at), (worth, float(account.cash), weights), event.slice.close.tolist())
        return ()

    def skim(self, stretch: Block, worths: Floats, held: Sequence[tuple[int, Decimal]]) -> None:
        """The same of slices at which nothing happened: what the account was worth at each, and what was held (column, units)."""
        self._worth = worths.item(-1)
        self._marks.skim(Skimmed(stretch.times, stretch.closes, worths, float(self._core.account.cash), held))

    def work(self, wave: Worked) -> None:
        """What a wave has ordered and traded."""
        self._since.append(wave)
        self.traded += [(float(deal.cost), self._worth) for deal in wave.deals]

    def keep_troubles(self, slices: int) -> None:
        """What was wrong, and has stayed so at so many slices."""
        for name, problem in self._core.runner.problems.items():
            self._count_trouble(f"{name}: {problem}", slices)

    # --- after a slice -----------------------------------------------------------------------------------------------

    def after(self, cross_section: Slice) -> None:
        """What the slice has led to: the signals, and the targets if it was decided on."""
        if not self.foretold:
            self.keep_signals(cross_section)
        decision = self._core.manager.decision
        if decision is not None and decision.id != self._decided:
            self._decided = decision.id
            self._keep_targets(decision, epoch_ms(cross_section.closes_at))
        failing = [f"{name}: {problem}" for name, problem in self._core.runner.problems.items()]
        for sentence in [*failing, *self._core.manager.follower.surprises]:
            self._count_trouble(sentence)
        self._core.manager.follower.surprises.clear()

    def keep_signals(self, cross_section: Slice) -> None:
        """The numbers that a decision at the slice rests on, or would."""
        opened = epoch_ms(cross_section.closes_at - self._core.timeframe)
        self.signals.add(opened, self._core.runner.signals(cross_section))

    def _keep_targets(self, decision: Decision, at: int) -> None:
        """Each strategy's weights of its own capital, and the account's after netting and every limit."""
        for name, targets in decision.by_strategy.items():
            self._targets.append((at, name, targets.weights))
            if targets.note:
                self._count_trouble(f"{name}: {targets.note}")
        self._targets.append((at, "*", self._core.manager.targets))

    def _count_trouble(self, sentence: str, slices: int = 1) -> None:
        self.troubles[sentence] = self.troubles.get(sentence, 0) + slices
