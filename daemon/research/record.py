"""Record: what a backtest keeps of its run, in columns that grow, in the order in which it happened.

Rule: it only listens. Every number is taken from the parts at the moment it was in force, none is worked out again.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

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
from daemon.core.model import ZERO, Decision, Fill, Order, Slice, currencies, epoch_ms
from daemon.core.states import Hold, Level
from daemon.parts import Core
from daemon.research.panels import Block
from daemon.research.signals import Signals


class Record:
    """Equity, targets, signals, orders and fills of one run. Moments are UTC ms, money is quote, weights are shares of equity."""

    def __init__(self, core: Core) -> None:
        self.equity: list[tuple[int, float, float, float, float, float]] = []  # timestamp, equity, cash, gross, net, drawdown
        self.targets: list[tuple[int, str, str, float]] = []  # timestamp, strategy, symbol, weight
        self.signals = Signals()
        self.closes: list[tuple[int, list[float]]] = []  # timestamp, last close by symbol, NaN before the first
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.traded: list[tuple[float, float]] = []  # by fill: notional, equity when it was made
        self.funding: list[tuple[int, str, float]] = []  # timestamp, symbol, what its position was paid, below 0 what it has paid
        self.refused: dict[str, int] = {}
        self.cuts: list[RiskLimited | OrderLimited | RiskRefused] = []
        self.halts: list[Hold] = []
        self.restricted: dict[str, int] = {}  # "reducing by rejects", of the account or a symbol
        self.troubles: dict[str, int] = {}  # sentence: slices
        self._core = core
        self._decided = ""  # the newest decision's id
        self._peak = 0.0

    # --- what the route table brings ---------------------------------------------------------------------------------

    def tell(self, event: Event) -> Iterable[Event]:
        """Hear of everything; keep what is asked of a run."""
        match event:
            case SubmitOrders():
                self.orders += event.orders
            case OrderFilled():
                self.fills.append(event.fill)
                self.traded.append((float(event.fill.cost), self.equity[-1][1]))
            case FlowBooked(flow=flow) if flow.kind == FUNDING:
                self.funding.append((epoch_ms(flow.at), flow.symbol, float(flow.amount)))
            case OrderRefused():
                self.refused[event.code] = self.refused.get(event.code, 0) + 1
            case RiskLimited() | OrderLimited() | RiskRefused():
                self.cuts.append(event)
            case HoldPlaced(hold=hold) if hold.level is Level.HALTED:
                self.halts.append(hold)
            case HoldPlaced(hold=hold):
                told = f"{hold.level.told} by {hold.code}"
                self.restricted[told] = self.restricted.get(told, 0) + 1
            case _:
                pass
        return ()

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
        weights = [account.weight(symbol, equity) for symbol in self._core.symbols]
        self._peak = max(self._peak, float(equity))
        below = 1.0 - float(equity) / self._peak if self._peak > 0 else 0.0
        gross, net = sum(map(abs, weights)), sum(weights)
        self.equity.append((epoch_ms(event.slice.closes_at), float(equity), float(account.cash), gross, net, below))
        self.closes.append((epoch_ms(event.slice.closes_at), event.slice.close.tolist()))
        return ()

    def skim(self, stretch: Block, equities: Sequence[Decimal]) -> None:
        """The same of slices at which nothing happened, with what the account was worth at each."""
        account, times = self._core.account, stretch.times.tolist()
        shares: list[list[float]] = []
        for column, symbol in enumerate(self._core.symbols):
            if held := account.held(symbol):
                rate = account.rate(currencies(symbol)[1]) or ZERO
                worths = [held * (Decimal(repr(price)) * rate) for price in stretch.closes[:, column].tolist()]
                shares.append([float(worth / e) if e > 0 else 0.0 for worth, e in zip(worths, equities, strict=True)])
        gross = [sum(map(abs, row)) for row in zip(*shares, strict=True)] if shares else [0.0] * len(times)
        net = [sum(row) for row in zip(*shares, strict=True)] if shares else [0.0] * len(times)
        cash = float(account.cash)
        for time, equity, bought, held_net in zip(times, map(float, equities), gross, net, strict=True):
            self._peak = max(self._peak, equity)
            below = 1.0 - equity / self._peak if self._peak > 0 else 0.0
            self.equity.append((time, equity, cash, bought, held_net, below))
        self.closes += zip(times, stretch.closes.tolist(), strict=True)
        for name, problem in self._core.runner.problems.items():
            self._count_trouble(f"{name}: {problem}", len(times))

    # --- after a slice -----------------------------------------------------------------------------------------------

    def after(self, cross_section: Slice) -> None:
        """What the slice has led to: the signals, and the targets if it was decided on."""
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
        """Each strategy's weights of its own capital, and the account's after netting and every limit; all symbols, those at 0 as well."""
        wanted = {name: targets.weights for name, targets in decision.by_strategy.items()}
        for name, weights in [*wanted.items(), ("*", self._core.manager.targets)]:
            self.targets += [(at, name, symbol, weights.get(symbol, 0.0)) for symbol in self._core.symbols]
        for name, targets in decision.by_strategy.items():
            if targets.note:
                self._count_trouble(f"{name}: {targets.note}")

    def _count_trouble(self, sentence: str, slices: int = 1) -> None:
        self.troubles[sentence] = self.troubles.get(sentence, 0) + slices
