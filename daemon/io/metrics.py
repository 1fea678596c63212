"""Metrics: what is counted while the daemon runs, and all that there is to measure, as Prometheus reads it.

Rule: every label has a bounded number of values, whatever an exchange or a user says; what is beyond the bound is counted as `other`.
Nothing here decides anything.
"""

import resource
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.core.plain import Plain

# Names of events are a list (docs/log-events.md), codes of refusals are one for each kind of venue; twice as many as there are.
EVENTS_MAX: Final = 300
CODES_MAX: Final = 50
OTHER: Final = "other"

PROC: Final = Path("/proc/self")

# A loop that turns is late by less than a millisecond; from 0.2 s on that is a line in the log.
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
# A commit to an SSD takes a third of a millisecond, to a disk that is busy a hundred of them.
COMMIT_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# Market orders are answered within a second; orders that are worked on over time take as long as they are told.
WAVE_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)


class Metrics:
    """The instruments, and an ear of the log that counts its lines."""

    def __init__(self, accounts: Iterable[str], started: datetime) -> None:
        """`accounts` by name, "" of the only one; `started`: when the process began to work."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # a moment for each series, which doubles them and which nobody reads
        self._registry = own = CollectorRegistry()
        self.lag = Histogram(
            "rebalanced_loop_lag_seconds", "How late the loop woke up, ten times a second.", registry=own, buckets=LAG_BOUNDS
        )
        self.commits = Histogram(
            "rebalanced_journal_commit_seconds",
            "How long a commit to the journal took, waiting for its turn included.",
            ["account"],
            registry=own,
            buckets=COMMIT_BOUNDS,
        )
        self._events = Counter(
            "rebalanced_events_total",
            "Lines of the log from level info on, by their names, held back or not.",
            ["event", "level"],
            registry=own,
        )
        self._rejects = Counter(
            "rebalanced_rejected_orders_total", "Orders that the exchange refused, by code.", ["account", "code"], registry=own
        )
        self._waves = Counter(
            "rebalanced_waves_total", "Waves that have settled, those that had nothing to send included.", ["account"], registry=own
        )
        self._took = Histogram(
            "rebalanced_wave_seconds",
            "From the decision to the end of its last order, of waves that sent any.",
            ["account"],
            registry=own,
            buckets=WAVE_BOUNDS,
        )
        self._cost = Gauge(
            "rebalanced_wave_cost_ratio",
            "What the last wave that sent orders has cost against the prices at its decision, fees included, as a share of what it traded.",
            ["account"],
            registry=own,
        )
        for account in accounts:
            self._waves.labels(account)  # from the beginning on, so that the first wave is an increase
        self._seen: dict[str, set[str]] = {"event": set(), "code": set()}
        self._lock = threading.Lock()
        self.add(OwnProcess(started))

    def add(self, collector: Collector) -> None:
        """Have further figures read whenever they are asked for."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Everything, as of now."""
        return generate_latest(self._registry)

    # --- the ear -----------------------------------------------------------------------------------------------------

    def wants(self, level: str, _event: str) -> bool:
        """Everything that is written without asking for more."""
        return level != "debug"

    def hear(self, line: Mapping[str, Plain]) -> None:
        """Count a line; any thread may tell it."""
        event, account = str(line["event"]), str(line.get("account", ""))
        self._events.labels(self._bounded("event", event, EVENTS_MAX), str(line["level"])).inc()
        if event == "order.rejected":
            self._rejects.labels(account, self._bounded("code", str(line.get("reason", OTHER)), CODES_MAX)).inc()
        elif event == "wave.settled":
            self._settled(account, line)

    def _settled(self, account: str, line: Mapping[str, Plain]) -> None:
        self._waves.labels(account).inc()
        took_ms, cost_bps = line.get("took_ms"), line.get("cost_bps")
        if not line.get("sent"):
            return
        if isinstance(took_ms, int | float):
            self._took.labels(account).observe(took_ms / 1000)
        if isinstance(cost_bps, int | float):
            self._cost.labels(account).set(cost_bps / 10_000)

    def _bounded(self, kind: str, value: str, most: int) -> str:
        """The value of a label, or `other` once there are enough of them."""
        seen = self._seen[kind]
        if value in seen:
            return value
        with self._lock:
            if len(seen) >= most:
                return OTHER
            seen.add(value)
        return value


class OwnProcess(Collector):
    """The usual figures of a process, by their usual names.

    The library's own collector reads /proc/stat, which the service's `ProcSubset=pid` hides, and then tells nothing at all.
    """

    def __init__(self, started: datetime) -> None:
        self._started = started.timestamp()
        self._page = resource.getpagesize()

    def collect(self) -> Iterator[Metric]:
        """Read /proc/self."""
        pages = int((PROC / "statm").read_text(encoding="ascii").split()[1])
        yield CounterMetricFamily("process_cpu_seconds_total", "Processor time used.", time.process_time())
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in use.", pages * self._page)
        yield GaugeMetricFamily("process_open_fds", "Open files and sockets.", sum(1 for _ in (PROC / "fd").iterdir()))
        yield GaugeMetricFamily("process_max_fds", "How many there may be.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        yield GaugeMetricFamily("process_start_time_seconds", "When it began, in seconds since 1970.", self._started)
