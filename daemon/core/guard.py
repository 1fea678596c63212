"""Guard: the account's limits at work, on wishes before they are planned and on legs right before there are intents.

Rule: it judges by the account, the market and what was ordered lately, takes away, and says so once a decision.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from math import fsum, isfinite
from typing import Final, Protocol

import numpy as np

from daemon.core.account import Account
from daemon.core.analyzer_market import WINDOW
from daemon.core.events import Event, OrderLimited, RiskLimited, RiskRefused, WaveSettled
from daemon.core.margin import rate_of
from daemon.core.model import Decision, Floats, Order
from daemon.core.ordergate import OrderGate
from daemon.core.planner_inputs import exact
from daemon.core.planner_legs import Leg
from daemon.core.restraint import ordered_out
from daemon.core.risk import Limits, Moments, Reason, Reduced, Refused, Scene
from daemon.core.risk_orders import OrderLimits
from daemon.core.risk_weights import Cut, Limited, apply
from daemon.core.states import Level, Scope, States

# A cut names so many of those that a symbol is one position with: enough to see what the cluster is.
TOGETHER_MAX: Final = 12

# What the next bar may allow, and what the next UTC day may.
NEXT_BAR: Final = frozenset({
    Reason.PRICE_DEVIATION_MAX,
    Reason.SELF_TRADE,
    Reason.ORDER_NOTIONAL_MAX,
    Reason.VOLUME_SHARE_MAX,
})  # fmt: skip
NEXT_DAY: Final = frozenset({Reason.DAY_NOTIONAL_MAX, Reason.TURNOVER_DAY_MAX})


# The weights that all strategies together want of the account.
Net = Callable[[Decision], Mapping[str, float]]


class Market(Protocol):
    """What the limits ask of whoever watches the market."""

    @property
    def high(self) -> bool:
        """Whether the correlation watch has fired and not calmed."""
        ...

    def moments(self, symbols: Sequence[str]) -> Moments:
        """How these symbols move, in their order."""
        ...


class Unwatched:
    """A market of which nothing is known."""

    high = False

    def moments(self, symbols: Sequence[str]) -> Moments:
        """Nothing."""
        return Moments()


@dataclass(frozen=True, slots=True)
class Admitted:
    """What may be ordered of a leg, if anything; `reason` why not all of it, "" otherwise; and what is to be told."""

    leg: Leg | None
    reason: str = ""
    told: tuple[Event, ...] = ()


class Guard:
    """Limits of one account. `cuts`: who was cut by what, of the newest decision that was worked on. `net`: what a decision wants."""

    def __init__(self, limits: Limits, orders: OrderLimits, account: Account, states: States, market: Market, net: Net) -> None:
        self.gate = OrderGate(orders)
        self.cuts: dict[str, set[str]] = {}
        self._limits = limits
        self._plain = limits.plain
        self._account = account
        self._states = states
        self._market = market
        self._net = net
        self._known: tuple[Decision, tuple[object, ...], Limited] | None = None  # the newest, and as of when
        self._high: bool | None = None  # what the newest decision that was worked on knew of the watch

    def renew(self, limits: Limits, orders: OrderLimits) -> None:
        """Take up changed limits."""
        self._limits, self.gate.limits = limits, orders
        self._plain = limits.plain

    @property
    def need(self) -> int:
        """Bars of history that the limits measure; 0 where they measure nothing."""
        return WINDOW + 1 if self._limits.measured or self._limits.correlation_scale < 1 else 0

    # --- wishes ------------------------------------------------------------------------------------------------------

    def weights(self, decision: Decision) -> dict[str, float]:
        """The account's target weights: the decision's, after every limit, and without what is being sold."""
        return dict(self._limited(decision).weights)

    def begin(self, decision: Decision, at: datetime) -> tuple[dict[str, float], tuple[RiskLimited, ...]]:
        """The same for a decision that is worked on from here on, and what is to be told of it."""
        limited = self._limited(decision)
        self._high = self._watched
        told = tuple(_told(decision.id, cut, at) for cut in limited.cuts())
        self.cuts = {}
        for cut in told:
            self.cuts.setdefault(cut.reason, set()).add(cut.symbol)
        return dict(limited.weights), told

    def allows(self, weights: Mapping[str, float], keep: frozenset[str]) -> bool:
        """Whether no limit would cut these weights, which have passed the limits and been fitted to a small account since."""
        # The watch's factor is in them already.
        return not list(apply(weights, self._limits, replace(self._scene(weights, keep), high=False)).cuts())

    def _limited(self, decision: Decision) -> Limited:
        """Every limit on what a decision wants; once while nothing moves that limits read, since a decision and its wave follow at once."""
        account, states = self._account, self._states
        measures = self._limits.measured or self._limits.correlation_scale < 1
        key = account.version, states.changes, self._limits
        known = self._known
        if known is not None and known[0] is decision and known[1] == key and not (measures or account.kept()):
            return known[2]
        wanted = ordered_out(self._net(decision), states)
        limited = self._passed(wanted, decision.keep) or apply(wanted, self._limits, self._scene(wanted, decision.keep))
        self._known = decision, key, limited
        return limited

    def _passed(self, wanted: Mapping[str, float], keep: frozenset[str]) -> Limited | None:
        """The wish as it is, where one look shows that no limit can have anything against it; None: it has to be judged."""
        plain = self._plain and self._states.free and not self._account.may_be_short and wanted.keys() <= self._account.markets.keys()
        if not plain or not keep.isdisjoint(wanted) or not keep.isdisjoint(self._account.held_symbols):
            return None
        most = self._limits.weight_max
        for weight in wanted.values():
            if not 0.0 <= weight <= most:
                return None
        if fsum(wanted.values()) > self._limits.gross:
            return None
        symbols = tuple(sorted(wanted))
        return Limited(symbols, {symbol: wanted[symbol] for symbol in symbols}, (), ())

    def _scene(self, wanted: Mapping[str, float], keep: frozenset[str]) -> Scene:
        account, capital = self._account, self._account.capital()
        held = account.held_symbols
        symbols = tuple([s for s in account.symbols if s in wanted or s in held])
        free, short = self._states.free, account.may_be_short
        return Scene(
            symbols=symbols,
            held=np.array([account.weight(s, capital) if s in held else 0.0 for s in symbols], np.float64),
            kept=np.array([s in keep or (not free and self._stands(s)) for s in symbols], np.bool_),
            moments=self._market.moments(symbols) if self._limits.measured else Moments(),
            high=self._watched,
            funding=self._funding(symbols) if self._limits.funding_max is not None else None,
            rates=np.array([self._rate(s, wanted.get(s, 0.0), capital) if short else 0.0 for s in symbols], np.float64),
        )

    def _rate(self, symbol: str, wanted: float, capital: Decimal) -> float:
        """The share of a swap's worth that must be kept as margin, of what is held or wished, whichever is more."""
        market = self._account.markets[symbol]
        if not market.shortable or not isfinite(wanted):
            return 0.0
        return float(rate_of(market, max(abs(exact(wanted)) * capital, abs(self._account.held(symbol) * self._account.worth(symbol)))))

    def _funding(self, symbols: Sequence[str]) -> Floats:
        """What a long of each is expected to pay in a year, as a share of its worth."""
        known = map(self._account.funding, symbols)
        return np.array([0.0 if rate is None else rate.yearly for rate in known], np.float64)

    def _stands(self, symbol: str) -> bool:
        """Whether a hold of its own leaves a symbol as it is."""
        return self._states.level(Scope(symbol=symbol)) in (Level.PAUSED, Level.HALTED)

    # --- the watch, and what has to wait -----------------------------------------------------------------------------

    @property
    def _watched(self) -> bool:
        """Whether the watch says high, where that means anything to the limits; asking it costs the measures of a slice."""
        return self._limits.correlation_scale < 1 and self._market.high

    @property
    def watches(self) -> bool:
        """Whether the limits ask the correlation watch."""
        return self._limits.correlation_scale < 1

    @property
    def alarmed(self) -> bool:
        """Whether the watch has fired since the newest decision was worked on."""
        return self._high is not None and self._watched and not self._high

    @property
    def calmed(self) -> bool:
        """Whether the watch has calmed since then."""
        return bool(self._high) and not self._watched

    def resume(self, decision: Decision) -> dict[str, float]:
        """Go on after a stop: the decision was worked on in the light of what the watch said. Returns its weights."""
        self._high = self._watched
        return self.weights(decision)

    def due_again(self, last: WaveSettled | None, at: datetime) -> bool:
        """Whether something that limits held back when the last wave was planned may be allowed now, at a newer bar."""
        held_back = set() if last is None else set(last.left.values())
        new_day = last is not None and at.date() > last.at.date()
        return not NEXT_BAR.isdisjoint(held_back) or (new_day and not NEXT_DAY.isdisjoint(held_back))

    # --- legs --------------------------------------------------------------------------------------------------------

    def admit(self, decision_id: str, leg: Leg, position: Decimal, equity: Decimal, at: datetime, *, opposing: bool) -> Admitted:
        """What may be ordered of a leg now; the arguments are those of `risk_orders.Situation`."""
        judged = self.gate.judge(leg, self._account, position, equity, at, opposing=opposing)
        if not judged.verdicts:
            return Admitted(leg)
        reason = judged.verdicts[-1].reason.value
        told = tuple(event for verdict in judged.verdicts for event in self._tell(decision_id, leg, verdict, at))
        return Admitted(leg.resized(judged.amount) if judged.amount else None, reason, told)

    def volume(self, symbol: str) -> Decimal | None:
        """What a symbol's last bar has traded, in base units; None: nobody knows."""
        return self.gate.volume(symbol)

    def made(self, order: Order) -> None:
        """There is an intent: from here on it counts."""
        self.gate.traffic.made(order)

    def restore(self, orders: Iterable[tuple[Order, tuple[Decimal, Decimal] | None]]) -> None:
        """Go on after a stop, with the last day's orders, each with what it traded (base units, quote) if it has ended."""
        for order, ended in orders:
            self.gate.traffic.made(order)
            if ended is not None:
                self.gate.traffic.ended(order.id, *ended)

    def _tell(self, decision_id: str, leg: Leg, verdict: Reduced[Decimal] | Refused, at: datetime) -> Iterator[Event]:
        """Once a decision, symbol and limit: what waits is judged again at every tick, and what is sliced at every slice."""
        symbols = self.cuts.setdefault(verdict.reason.value, set())
        if leg.symbol in symbols:
            return
        symbols.add(leg.symbol)
        match verdict:
            case Reduced(to, reason, (finding, *_)):
                yield OrderLimited(decision_id, leg.symbol, leg.side, leg.amount, to, reason.value, finding.found, finding.most, at)
            case Refused(reason, finding):
                yield RiskRefused(decision_id, leg.symbol, leg.side, leg.amount, reason.value, finding.found, finding.most, at)


def _told(decision_id: str, cut: Cut, at: datetime) -> RiskLimited:
    finding = cut.finding
    cluster = cut.reason is Reason.CORRELATED_GROUP_MAX
    return RiskLimited(
        decision_id,
        cut.symbol,
        cut.wanted,
        cut.allowed,
        cut.reason.value,
        at,
        found=finding.found,
        most=finding.most,
        group=finding.group,
        together=tuple(symbol for symbol in finding.symbols if symbol != cut.symbol)[:TOGETHER_MAX] if cluster else (),
        correlation=finding.correlation,
    )
