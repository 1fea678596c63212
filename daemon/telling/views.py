"""Views: the daemon's state as the API shows it.

Rule: it only reads. What cannot be known yet is null, never a made-up zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Self

from daemon import __version__
from daemon.core.account import Account
from daemon.core.analyzer import Analyzer
from daemon.core.events import AccountPolled, EquityMarked, PollFailed, SliceClosed, WaveSettled
from daemon.core.membership import Membership
from daemon.core.model import EPOCH, Decision, Fill, Order, currencies
from daemon.core.orders import OrderManager
from daemon.core.ordertable import State
from daemon.core.reconciler import PositionReconciler
from daemon.core.states import ACCOUNT, Hold
from daemon.core.trading import Trading
from daemon.io.api import NotThere
from daemon.io.clock import Clock
from daemon.io.journal import Journal, OrderRecord
from daemon.telling import apart
from daemon.telling.sleeveviews import holders, restricted, strategy_rows
from daemon.telling.why import match, story

# A year of minutes is some 80 MB of the journal.
MARK_EVERY: Final = timedelta(minutes=1)
NAMED_MAX: Final = 20  # symbols in a sentence about them

EARLIER_MAX: Final = 1000  # what the journal hands out at once; older trades are shown without their decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the newest slice and the last reconciliation may be while the daemon counts as ready."""

    slice: timedelta
    reconcile: timedelta

    @classmethod
    def of(cls, timeframe: timedelta, grace: timedelta, poll_every: timedelta) -> Self:
        """Two bars and the grace; three turns of the poller."""
        return cls(slice=2 * timeframe + grace + timedelta(seconds=15), reconcile=3 * poll_every + timedelta(seconds=30))


class DaemonViews:
    """Status, readiness, positions, targets, orders, fills, analysis and the stories of decisions of one daemon."""

    def __init__(
        self,
        identity: Mapping[str, str],
        manager: OrderManager,
        account: Account,
        reconciler: PositionReconciler,
        record: Journal,
        clock: Clock,
        freshness: Freshness,
        analyzer: Analyzer,
        disabled: Mapping[str, str],
        membership: Membership,
        account_name: str = "",
    ) -> None:
        """`disabled`: by strategy that is asked no more the reason, as it is at any time. `account_name`: "" of the only account."""
        self._account_name = account_name
        self._identity = identity
        self._manager = manager
        self._account = account
        self._reconciler = reconciler
        self._record = record
        self._clock = clock
        self._freshness = freshness
        self._analyzer = analyzer
        self._disabled = disabled
        self._membership = membership
        self._started = clock.now()
        self._last_slice: datetime | None = None
        self._marked_at = EPOCH
        self.trouble = ""
        self.lag_max_s = 0.0
        self.bars = self.orders_by = ""
        self._unread = ""

    def on_slice(self, event: SliceClosed) -> Iterable[EquityMarked]:
        """Remember the newest slice, and say what the account is worth, once a minute at most: for its history."""
        self._last_slice = at = event.slice.closes_at
        if at - self._marked_at >= MARK_EVERY and (equity := self._equity()) and self._analyzer.curves.known:
            self._marked_at = at
            yield self._mark(equity, at)

    def _mark(self, equity: Decimal, at: datetime) -> EquityMarked:
        curve = self._analyzer.curves.account
        gross, net = self._exposure(equity)
        return EquityMarked(
            equity=equity,
            cash=self._account.wallets,
            contributed=curve.contributed,
            gross=gross,
            net=net,
            value=curve.value,
            drawdown=curve.drawdown,
            at=at,
        )

    def _exposure(self, equity: Decimal) -> tuple[float, float]:
        """Gross and net: the sums of the sizes and of the signed weights of all holdings, as shares of the equity."""
        weights = [self._account.weight(symbol, equity) for symbol in self._account.markets]
        return sum(map(abs, weights)), sum(weights)

    def on_polled(self, _: AccountPolled) -> tuple[()]:
        """The account can be read."""
        self._unread = ""
        return ()

    def on_poll_failed(self, event: PollFailed) -> tuple[()]:
        """The account cannot be read, which a person should see at once."""
        self._unread = f"the account cannot be read: {event.text}"
        return ()

    def status(self) -> Mapping[str, object]:
        """One mapping, as contracts name it."""
        manager, account = self._manager, self._account
        decision, wave = manager.decision, manager.last_wave
        loaded, read = bool(account.markets), self._reconciler.last_reconciled is not None
        equity, curve = self._equity(), self._analyzer.curves.account
        gross, net = (None, None) if equity is None else self._exposure(equity)
        return {
            **self._identity,
            "state": manager.state,
            "reason": self.trouble or manager.reason or self._unread,
            "holds": [hold_row(hold) for hold in manager.states.holds()],
            "quote": account.quote,
            "equity": equity,
            "cash": account.wallets if read else None,
            "positions": sum(1 for s in account.markets if account.held(s)) if read else None,
            "gross": gross,
            "net": net,
            "drawdown": curve.drawdown if curve.marked_at else None,
            "open_orders": sum(1 for t in manager.table if not t.ended) if loaded else None,
            "unknown_orders": sum(1 for t in manager.table if t.state is State.UNKNOWN) if loaded else None,
            "last_slice": self._last_slice,
            "last_decision": decision.as_of if decision else None,
            "last_reconcile": self._reconciler.last_reconciled,
            "drift": self._drift(),
            "ringfenced": self._reconciler.ringfenced if read else None,
            "foreign_locked": account.foreign_locked if read else None,
            "kept_apart": account.kept_apart if read else None,
            "unmarked": account.unmarked(self._clock.now()) if read else None,
            "uptime_s": round((self._clock.now() - self._started).total_seconds(), 3),
            "version": __version__,
            "bars": self.bars or None,
            "user_stream": self.orders_by or None,
            "loop_lag_max_ms": round(self.lag_max_s * 1000),
            "last_wave": wave_row(wave) if wave else None,
            "disabled": dict(self._disabled),
            "limited": {reason: sorted(symbols)[:NAMED_MAX] for reason, symbols in sorted(manager.guard.cuts.items())},
            "universe": self._universe(),
            "strategies": self._strategies(),
        }

    def _universe(self) -> Mapping[str, object]:
        """Who is traded, where that changes by itself; `leaving` is still to be sold, since when; of `rest` something could not be."""
        told = self._membership
        if told.rule is None:
            return {}
        return {"as_of": told.as_of, "symbols": sorted(told.members), "leaving": dict(told.leaving), "rest": dict(told.rest)}

    def _strategies(self) -> Sequence[Mapping[str, object]]:
        portfolio, manager = self._analyzer.portfolio, self._manager
        worths = None if self._equity() is None else self._account.worths(portfolio.holdings())
        return strategy_rows(portfolio, self._analyzer.curves, manager.states, manager.decision, self._disabled, worths)

    def _equity(self) -> Decimal | None:
        """What the account is worth; None before it was read, and while something that it holds has no price."""
        known = self._reconciler.last_reconciled is not None and not self._account.unvalued
        return self._account.equity() if known else None

    def worth(self) -> tuple[Decimal, datetime] | None:
        """What the account was worth when that was last known, in this process or before it, and when that was; None: nobody ever knew."""
        known, equity, curve = self._reconciler.last_reconciled, self._equity(), self._analyzer.curves.account
        if known is not None and equity is not None:
            return equity, known
        return None if curve.marked_at is None else (curve.equity, curve.marked_at)

    def _drift(self) -> float | None:
        """The largest unexplained difference between ledger and account, as a share of equity; 0 when they agree."""
        if self._reconciler.last_reconciled is not None and not self._reconciler.differences:
            return 0.0
        equity = self._equity()
        prices = {currencies(s)[0]: self._account.worth(s) for s in self._account.markets if self._account.mark(s) is not None}
        prices |= {quote: rate for quote in self._account.quotes if (rate := self._account.rate(quote)) is not None}
        worth = [abs(amount) * prices[c] for c, amount in self._reconciler.differences.items() if c in prices]
        return float(max(worth) / equity) if equity and worth else None

    def ready(self) -> tuple[bool, Sequence[str]]:
        """Whether trading may go on, and each check that fails as a sentence."""
        failing = [text for ok, text in self._checks() if not ok]
        return not failing, failing

    def _checks(self) -> Sequence[tuple[bool, str]]:
        now = self._clock.now()
        manager, reconciled = self._manager, self._reconciler.last_reconciled
        # Beside the most severe hold, which gives the state its word, the others say what is left once that one is lifted.
        others = [(False, f"trading is {hold.level.told}, too: {hold.text}") for hold in manager.states.holds(ACCOUNT)[1:]]
        return (
            (manager.state == Trading.RUNNING, f"trading is {manager.state}: {self.trouble or manager.reason}"),
            *others,
            _young("slice of bars", self._last_slice, now, self._freshness.slice),
            _young("comparison with the account", reconciled, now, self._freshness.reconcile),
            (not self._unread, self._unread),
            (self._record.failed is None, f"the journal has failed: {self._record.failed}"),
        )

    def positions(self) -> Sequence[Mapping[str, object]]:
        """One row a symbol of the universe, and one for the cash of each currency; of swaps that is the wallet."""
        account, equity = self._account, self._equity()
        wanted = self._wanted(equity)
        rows = [self._position(symbol, equity, wanted) for symbol in sorted(account.markets)]
        if not rows:
            return rows
        held = holders(self._analyzer.portfolio)
        bases = [market.base for _, market in sorted(account.markets.items())]
        rows += [self._cash(currency, equity) for currency in account.quotes]
        return [{**row, "strategies": held.get(currency, {})} for row, currency in zip(rows, [*bases, *account.quotes], strict=True)]

    def _cash(self, currency: str, equity: Decimal | None) -> Mapping[str, object]:
        amount, price = self._account.wallet(currency), self._account.rate(currency)
        value = amount * price if price is not None else None
        return {
            "symbol": currency,
            "amount": amount,
            "price": price,
            "value": value,
            "weight": float(value / equity) if equity and value is not None else None,
            "target": None,
            "account": self._account_name or self._identity["name"],
            "hold": None,
            "outside": None,
        }

    def _position(self, symbol: str, equity: Decimal | None, wanted: Mapping[str, float] | None) -> Mapping[str, object]:
        held, price = self._account.held(symbol), self._account.mark(symbol)
        return {
            "symbol": symbol,
            "amount": held,
            "price": price,
            "value": held * self._account.worth(symbol) if price is not None else None,
            "weight": self._account.weight(symbol, equity) if equity is not None else None,
            "target": wanted[symbol] if wanted else None,
            "account": self._account_name or self._identity["name"],
            "hold": self._hold(symbol),
            "outside": self._outside(symbol),
        }

    def _outside(self, symbol: str) -> str | None:
        """The code of why a symbol is not in the universe; None: it is."""
        place = self._membership.places.get(symbol)
        return None if place is None or place.outside is None else place.outside.value

    def _wanted(self, equity: Decimal | None) -> Mapping[str, float] | None:
        """By symbol the target as a share of the equity, like weights; decisions speak of shares of the capital. None: no decision."""
        if self._manager.decision is None:
            return None
        at_work = float(self._account.capital() / equity) if equity else 1.0
        return {symbol: self._manager.targets.get(symbol, 0.0) * at_work for symbol in self._account.markets}

    def _hold(self, symbol: str) -> str | None:
        """The code of what restricts a symbol: its own hold or the account's, whichever is more severe."""
        hold = self._manager.states.of_symbol(symbol)
        return None if hold is None else hold.code

    def targets(self) -> Sequence[Mapping[str, object]]:
        """The newest decision, one row a symbol of the universe. `disabled` and `restricted`: strategies, and why."""
        decision = self._manager.decision
        if decision is None:
            return ()
        return [
            {
                "symbol": symbol,
                "weight": self._manager.targets.get(symbol, 0.0),
                "strategies": {name: targets.weights.get(symbol, 0.0) for name, targets in decision.by_strategy.items()},
                "as_of": decision.as_of,
                "disabled": dict(self._disabled),
                "restricted": restricted(self._analyzer.portfolio, self._manager.states),
                "hold": self._hold(symbol),
            }
            for symbol in sorted(self._account.markets)
        ]

    async def orders(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The newest orders, from the journal."""
        return [self._order(record) for record in await self._record.orders(limit)]

    def _order(self, record: OrderRecord) -> Mapping[str, object]:
        order, tracked = record.order, self._manager.table.get(record.order.id)
        return {
            "id": order.id,
            "symbol": order.symbol,
            "side": order.side.value,
            "amount": order.amount,
            "filled": tracked.filled if tracked else record.filled,
            "price": order.price,
            "limit": order.limit,
            "post_only": order.post_only,
            "state": record.state or (tracked.state.value if tracked else "unknown"),
            "reason": record.reason or (tracked.reason if tracked else ""),
            "decision_id": order.decision_id,
            "at": order.at,
        }

    async def fills(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The newest trades, from the journal, each with the order and the decision that it came of."""
        fills = await self._record.fills(limit)
        tracked = [self._manager.table.get(fill.order_id, fill.symbol, fill.venue_id) for fill in fills]
        orders = await self._earlier() if any(t is None and f.order_id for t, f in zip(tracked, fills, strict=True)) else {}
        return [_fill_row(fill, t.order if t else orders.get(fill.order_id)) for t, fill in zip(tracked, fills, strict=True)]

    async def _earlier(self) -> Mapping[str, Order]:
        """The orders of processes before this one, as many as one question brings: the table does not know them."""
        return {record.order.id: record.order for record in await self._record.orders(EARLIER_MAX)}

    async def equity(self, since: datetime, limit: int) -> Sequence[Mapping[str, object]]:
        """What the account was worth at closes since then, newest first, thinned evenly."""
        return [asdict(marked) for marked in await self._record.equity(since, limit)]

    async def decisions(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The newest decisions, each with what became of it; `wave` is null where it is not worked off yet."""
        decisions, waves = await self._record.decisions(limit), await self._record.waves(limit)
        newest = self._manager.decision
        if newest is not None and newest.id not in {decision.id for decision in decisions}:  # it waits for the wave before it
            decisions = (newest, *decisions)[:limit]
        settled = {wave.decision.id: wave for wave in reversed(waves)}
        return [decision_row(decision, settled.get(decision.id)) for decision in decisions]

    def analysis(self) -> Mapping[str, object]:
        """What the portfolio and its markets did."""
        return asdict(self._analyzer.report())

    def weights(self) -> Mapping[str, tuple[float | None, float | None]]:
        """By symbol of the universe its weight and its target, as shares of the equity; without a price, or a decision, None."""
        equity = self._equity()
        wanted = self._wanted(equity) or {}
        return {s: (None if equity is None else self._account.weight(s, equity), wanted.get(s)) for s in self._account.markets}

    def trades(self, asked: str) -> bool:
        """Whether a symbol, as a person may write it, is traded here."""
        return match(asked, self._analyzer.symbols) is not None

    async def why(self, symbol: str, decision_id: str | None, account: str = "") -> Mapping[str, object]:
        """What a decision (None: the last) meant for a symbol, and what came of it.

        Raises:
            NotThere: the symbol is not traded here, there has been no such decision, or there is no such account.
        """
        if account not in ("", self._account_name):
            raise NotThere(f"there is no account {account}; there is only one")
        meant = match(symbol, self._analyzer.symbols)
        if meant is None:
            left_alone = apart.elsewhere(symbol, self._reconciler.ringfenced)
            raise NotThere(f"{symbol} is not in the universe, which has {', '.join(self._analyzer.symbols[:NAMED_MAX])}{left_alone}")
        newest = self._manager.decision
        wanted = decision_id or (newest.id if newest else None)
        told = await self._record.story(meant, wanted)
        # A decision that waits for prices, or for the wave before it, is not in the journal yet.
        decision = told.decision or (newest if newest and newest.id == wanted else None)
        if decision is None and decision_id is not None:
            raise NotThere(f"there is no decision {decision_id} in the journal; `rebalanced orders` shows the ids of the newest")
        equity = self._equity()
        now = self._position(meant, equity, self._wanted(equity)) if self._account.markets else None
        held_back = restricted(self._analyzer.portfolio, self._manager.states)
        kept = apart.rows(self._manager.sleeves.apart(currencies(meant)[0]))
        return {**story(meant, told, decision, now, kept), "disabled": dict(self._disabled), "restricted": held_back}


def _fill_row(fill: Fill, order: Order | None) -> Mapping[str, object]:
    return {
        "id": fill.trade_id,
        "order_id": order.id if order else fill.order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "amount": fill.amount,
        "filled": fill.amount,
        "price": fill.price,
        "fees": [{"amount": fee.amount, "currency": fee.currency} for fee in fill.fees],
        "state": "filled",
        "reason": "",
        "decision_id": order.decision_id if order else None,
        "at": fill.at,
    }


def _young(what: str, seen: datetime | None, now: datetime, age_max: timedelta) -> tuple[bool, str]:
    """Whether something has been seen lately, and the sentence for when it has not."""
    if seen is None:
        return False, f"there has been no {what} yet"
    age = now - seen
    return age <= age_max, f"the last {what} is {age.total_seconds():.0f} s old; {age_max.total_seconds():.0f} s are allowed"


def hold_row(hold: Hold) -> Mapping[str, object]:
    """What restricts trading, for machines; `until` is null where only its cause or a person ends it."""
    return {
        "scope": str(hold.scope),
        "level": hold.level.told,
        "code": hold.code,
        "text": hold.text,
        "since": hold.since,
        "by": hold.by,
        "until": hold.until,
    }


def decision_row(decision: Decision, wave: WaveSettled | None) -> Mapping[str, object]:
    """What was wanted, by whom, and what came of it, for machines."""
    return {
        "id": decision.id,
        "as_of": decision.as_of,
        "cause": decision.cause.value,
        "targets": decision.weights,
        "strategies": {name: targets.weights for name, targets in decision.by_strategy.items()},
        "wave": wave_row(wave) if wave else None,
    }


def wave_row(wave: WaveSettled) -> Mapping[str, object]:
    """The canonical line of a rebalance, for machines."""
    return {
        "decision_id": wave.decision.id,
        "as_of": wave.decision.as_of,
        "targets": wave.targets,
        "equity": wave.equity,
        "sent": wave.sent,
        "filled": wave.filled,
        "refused": wave.refused,
        "left": wave.left,
        "off_target": wave.off_target,
        "cost_bps": wave.cost_bps,
        "cost_parts": wave.cost_parts,
        "maker_ratio": wave.maker_ratio,
        "took_ms": wave.took_ms,
        "stages": wave.stages,
        "at": wave.at,
    }
