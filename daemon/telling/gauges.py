"""Gauges: the daemon's state as figures for Prometheus, read whenever it is asked for.

Rule: it only reads. What cannot be known yet has no sample, never a made-up zero; a symbol or an account that is gone has none either.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon import __version__
from daemon.core.states import Level
from daemon.core.trading import Trading
from daemon.io.exchange import Exchange, Metered, Usage
from daemon.telling.views import DaemonViews

Row = Mapping[str, object]

# Each symbol is two series. Those with the largest weights or targets are told, and how many are not.
SYMBOLS_MAX: Final = 100

STATES: Final = (*Trading, *(level.told for level in Level if level is not Level.ACTIVE))

# One figure an account: its name, the key of `status` that it is, what it means.
FIGURES: Final = {
    "rebalanced_equity_quote": ("equity", "What the account is worth, in universe.quote."),
    "rebalanced_cash_quote": ("cash", "Money in the account, in universe.quote; of swaps the wallet."),
    "rebalanced_gross_ratio": ("gross", "Sum of the sizes of all holdings, as a share of the equity."),
    "rebalanced_net_ratio": ("net", "Sum of all holdings, short ones below zero, as a share of the equity."),
    "rebalanced_drawdown_ratio": ("drawdown", "How far the worth of a unit was below its highest at the last close; 0 at a new high."),
    "rebalanced_drift_ratio": ("drift", "Largest difference between ledger and account that nothing explains, as a share of the equity."),
    "rebalanced_positions": ("positions", "Symbols of which something is held."),
    "rebalanced_open_orders": ("open_orders", "Orders that have not come to an end."),
    "rebalanced_unknown_orders": ("unknown_orders", "Orders of which nobody knows whether they exist."),
    "rebalanced_last_slice_timestamp_seconds": ("last_slice", "Close time of the newest slice of bars, in seconds since 1970."),
    "rebalanced_last_decision_timestamp_seconds": ("last_decision", "Close time that the newest decision rests on, in seconds since 1970."),
    "rebalanced_last_reconcile_timestamp_seconds": ("last_reconcile", "When ledger and account were compared last, in seconds since 1970."),
}


class Seen(NamedTuple):
    """What there is to see of an account."""

    views: DaemonViews
    exchange: Exchange
    timeframe: timedelta


class Gauges(Collector):
    """The state of every account; `accounts` by name, "" of the only one."""

    def __init__(self, identity: Row, accounts: Mapping[str, Seen]) -> None:
        self._info = {name: str(value) for name, value in identity.items()} | {"version": __version__}
        self._accounts = accounts

    def collect(self) -> Iterator[Metric]:
        """Everything as of now."""
        status = {name: seen.views.status() for name, seen in self._accounts.items()}
        yield InfoMetricFamily("rebalanced", "Which daemon this is.", self._info)
        yield self._states(status)
        for name, (key, text) in FIGURES.items():
            yield self._each(name, text, lambda account, key=key: status[account][key])  # type: ignore[misc]
        yield self._each("rebalanced_ready", "1: it may trade just now; 0: it may not, /readyz says why.", self._ready)
        yield self._each("rebalanced_bar_seconds", "Length of a bar.", lambda name: self._accounts[name].timeframe.total_seconds())
        yield from self._limits()
        yield _strategies(status)
        yield from self._weights()

    def _each(self, name: str, text: str, of: Callable[[str], object]) -> Metric:
        """One figure an account."""
        family = GaugeMetricFamily(name, text, labels=["account"])
        for account in self._accounts:
            value = _number(of(account))
            if value is not None:
                family.add_metric([account], value)
        return family

    def _ready(self, account: str) -> object:
        return float(self._accounts[account].views.ready()[0])

    def _states(self, status: Mapping[str, Row]) -> Metric:
        family = GaugeMetricFamily("rebalanced_state", "1 for the state that trading is in, 0 for the others.", labels=["account", "state"])
        for account, row in status.items():
            for state in STATES:
                family.add_metric([account, state], float(row["state"] == state))
        return family

    def _limits(self) -> Iterator[Metric]:
        used = GaugeMetricFamily(
            "rebalanced_rate_limit_used_ratio", "Share of a limit of the exchange that is used.", labels=["account", "lane"]
        )
        silent = GaugeMetricFamily(
            "rebalanced_silence_seconds", "For how long the exchange still wants to hear nothing.", labels=["account"]
        )
        for account, seen in self._accounts.items():
            usage = _usage(seen.exchange)
            if usage is not None:
                silent.add_metric([account], usage.silent_s)
                for lane, share in usage.shares.items():
                    used.add_metric([account, lane], share)
        yield used
        yield silent

    def _weights(self) -> Iterator[Metric]:
        weights = GaugeMetricFamily(
            "rebalanced_weight_ratio", "What is held of a symbol, as a share of the equity.", labels=["account", "symbol"]
        )
        targets = GaugeMetricFamily("rebalanced_target_ratio", "What is wanted of it.", labels=["account", "symbol"])
        untold = GaugeMetricFamily(
            "rebalanced_untold_symbols", f"Symbols beyond the {SYMBOLS_MAX} with the largest weights and targets.", labels=["account"]
        )
        for account, seen in self._accounts.items():
            rows = sorted(seen.views.weights().items(), key=lambda row: (-_size(row[1]), row[0]))
            untold.add_metric([account], max(0, len(rows) - SYMBOLS_MAX))
            for symbol, (weight, target) in rows[:SYMBOLS_MAX]:
                if weight is not None:
                    weights.add_metric([account, symbol], weight)
                if target is not None:
                    targets.add_metric([account, symbol], target)
        yield from (weights, targets, untold)


def _usage(exchange: Exchange) -> Usage | None:
    return exchange.usage() if isinstance(exchange, Metered) else None


def _strategies(status: Mapping[str, Row]) -> Metric:
    """What each strategy has, as far as it is known."""
    family = GaugeMetricFamily(
        "rebalanced_strategy_equity_quote",
        "What a strategy's part of the account is worth, in universe.quote.",
        labels=["account", "strategy"],
    )
    for account, row in status.items():
        rows = row["strategies"]
        for each in rows if isinstance(rows, list) else ():
            if (value := _number(each["equity"])) is not None:
                family.add_metric([account, each["name"]], value)
    return family


def _size(row: tuple[float | None, float | None]) -> float:
    return max(abs(share or 0.0) for share in row)


def _number(value: object) -> float | None:
    match value:
        case datetime():
            return value.timestamp()
        case Decimal() | int() | float():
            return float(value)
        case _:
            return None
