"""Views: the daemon's state as the API shows it.

Rule: it only reads. What cannot be known yet is null, never a made-up zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from daemon import __version__
from daemon.core.account import Account
from daemon.core.events import SliceClosed, WaveSettled
from daemon.core.model import ZERO, Decision, currencies
from daemon.core.orders import OrderManager, Trading
from daemon.core.reconciler import PositionReconciler
from daemon.io.clock import Clock
from daemon.io.journal import Journal, OrderRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the newest slice and the last reconciliation may be while the daemon counts as ready."""

    slice: timedelta
    reconcile: timedelta


class DaemonViews:
    """Status, readiness, positions, targets, orders and fills of one daemon."""

    def __init__(
        self,
        identity: Mapping[str, str],
        manager: OrderManager,
        account: Account,
        reconciler: PositionReconciler,
        record: Journal,
        clock: Clock,
        freshness: Freshness,
    ) -> None:
        self._identity = identity
        self._manager = manager
        self._account = account
        self._reconciler = reconciler
        self._record = record
        self._clock = clock
        self._freshness = freshness
        self._started = clock.now()
        self._last_slice: datetime | None = None
        self.trouble = ""
        self.lag_max_s = 0.0

    def on_slice(self, event: SliceClosed) -> tuple[()]:
        """Remember the newest slice."""
        self._last_slice = event.slice.closes_at
        return ()

    def status(self) -> Mapping[str, object]:
        """One mapping, as contracts name it."""
        manager, account = self._manager, self._account
        decision, wave = manager.decision, manager.last_wave
        known = bool(account.markets)
        return {
            **self._identity,
            "state": manager.trading.value,
            "reason": self.trouble or manager.reason,
            "equity": account.equity() if known else None,
            "cash": account.cash if known else None,
            "positions": sum(1 for s in account.markets if account.held(s) > 0),
            "open_orders": sum(1 for t in manager.table if not t.ended),
            "last_slice": self._last_slice,
            "last_decision": decision.as_of if decision else None,
            "last_reconcile": self._reconciler.last_reconciled,
            "drift": self._drift(),
            "uptime_s": round((self._clock.now() - self._started).total_seconds(), 3),
            "version": __version__,
            "loop_lag_max_ms": round(self.lag_max_s * 1000),
            "last_wave": wave_row(wave) if wave else None,
        }

    def _drift(self) -> float:
        """The largest unexplained difference between ledger and account, as a share of equity; 0 when they agree."""
        equity = self._account.equity()
        prices = {currencies(s)[0]: self._account.mark(s) or ZERO for s in self._account.markets}
        prices[self._account.quote] = Decimal(1)
        worth = [abs(amount) * prices.get(c, ZERO) for c, amount in self._reconciler.differences.items()]
        return float(max(worth, default=ZERO) / equity) if equity > 0 else 0.0

    def ready(self) -> tuple[bool, Sequence[str]]:
        """Whether trading may go on, and each check that fails as a sentence."""
        failing = [text for ok, text in self._checks() if not ok]
        return not failing, failing

    def _checks(self) -> Sequence[tuple[bool, str]]:
        now = self._clock.now()
        manager, reconciled = self._manager, self._reconciler.last_reconciled
        return (
            (manager.trading is Trading.RUNNING, f"trading is {manager.trading.value}: {self.trouble or manager.reason}"),
            (
                self._last_slice is not None and now - self._last_slice <= self._freshness.slice,
                f"the newest slice is of {self._last_slice}, older than {self._freshness.slice}",
            ),
            (
                reconciled is not None and now - reconciled <= self._freshness.reconcile,
                f"the account was last reconciled at {reconciled}, longer ago than {self._freshness.reconcile}",
            ),
            (self._record.failed is None, f"the journal has failed: {self._record.failed}"),
        )

    def positions(self) -> Sequence[Mapping[str, object]]:
        """One row a symbol of the universe, and one for the cash."""
        account, decision = self._account, self._manager.decision
        equity = account.equity()
        rows = [self._position(symbol, equity, decision) for symbol in sorted(account.markets)]
        if rows:
            weight = float(account.cash / equity) if equity > 0 else None
            cash = {"symbol": account.quote, "amount": account.cash, "price": Decimal(1), "value": account.cash, "weight": weight}
            rows.append({**cash, "target": None, "account": self._identity["name"]})
        return rows

    def _position(self, symbol: str, equity: Decimal, decision: Decision | None) -> Mapping[str, object]:
        held, price = self._account.held(symbol), self._account.mark(symbol)
        return {
            "symbol": symbol,
            "amount": held,
            "price": price,
            "value": held * price if price is not None else None,
            "weight": self._account.weight(symbol, equity) if price is not None else None,
            "target": decision.weights.get(symbol, 0.0) if decision else None,
            "account": self._identity["name"],
        }

    def targets(self) -> Sequence[Mapping[str, object]]:
        """The newest decision, one row a symbol of the universe."""
        decision = self._manager.decision
        if decision is None:
            return ()
        return [
            {
                "symbol": symbol,
                "weight": decision.weights.get(symbol, 0.0),
                "strategies": {name: targets.weights.get(symbol, 0.0) for name, targets in decision.by_strategy.items()},
                "as_of": decision.as_of,
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
            "state": record.state or (tracked.state.value if tracked else "unknown"),
            "reason": record.reason or (tracked.reason if tracked else ""),
            "decision_id": order.decision_id,
            "at": order.at,
        }

    async def fills(self, limit: int) -> Sequence[Mapping[str, object]]:
        """The newest trades, from the journal."""
        return [
            {
                "id": fill.trade_id,
                "order_id": fill.order_id,
                "symbol": fill.symbol,
                "side": fill.side.value,
                "amount": fill.amount,
                "filled": fill.amount,
                "price": fill.price,
                "fees": [{"amount": fee.amount, "currency": fee.currency} for fee in fill.fees],
                "state": "filled",
                "reason": "",
                "decision_id": self._decision_of(fill.order_id),
                "at": fill.at,
            }
            for fill in await self._record.fills(limit)
        ]

    def _decision_of(self, order_id: str) -> str | None:
        tracked = self._manager.table.get(order_id)
        return tracked.order.decision_id if tracked else None


def wave_row(wave: WaveSettled) -> Mapping[str, object]:
    """The canonical line of a rebalance, for machines."""
    return {
        "decision_id": wave.decision.id,
        "as_of": wave.decision.as_of,
        "targets": wave.decision.weights,
        "equity": wave.equity,
        "sent": wave.sent,
        "filled": wave.filled,
        "refused": wave.refused,
        "left": wave.left,
        "off_target": wave.off_target,
        "cost_bps": wave.cost_bps,
        "took_ms": wave.took_ms,
        "at": wave.at,
    }
