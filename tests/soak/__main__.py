"""Soak: the daemon trades for a while on the venue, in mode sandbox and again in mode live, and is judged by what is left.

`python -m tests.soak --minutes 15`, or `make soak MINUTES=15`. REBALANCED_DATA=DIR replays market data; else prices come from a seed.
Rule: a criterion that fails is named, and the exit code is 1.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.process.books import Waves, disagreements, of_venue, opening
from tests.process.support import Daemon, Venue, written

MODES: Final = ("sandbox", "live")
SYMBOLS_MAX: Final = 12
EVERY: Final = 12

# What a run without faults may say beyond information, and why a person need not look.
EXPLAINED: Final[Mapping[str, str]] = {
    "slice.incomplete": "a recording has gaps; a symbol without a row gets a flat bar",
    "clock.offset": "the machine's clock was stepped",
}

RSS_MAX_MIB: Final = 250
LAG_MAX_MS: Final = 200.0


@dataclass(slots=True)
class Verdict:
    """What one mode came to: rows to show, and the criteria that failed."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def row(self, name: str, value: object, *, good: bool = True) -> None:
        """A line of the table; a criterion that fails where it is not `good`."""
        self.rows.append((name, f"{value}{'' if good else '  <- FAILED'}"))
        if not good:
            self.failed.append(name)


def main() -> int:
    """Soak each mode, print its table, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each mode")
    parser.add_argument("--keep", type=Path, default=None, help="directory for logs and journals, instead of a temporary one")
    given = parser.parse_args()
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        for mode in MODES:
            folder = (given.keep or Path(temporary)) / mode
            folder.mkdir(parents=True)
            verdicts.append(soak(mode, folder, given.minutes * 60))
            show(f"{mode}, {given.minutes:g} minutes", verdicts[-1])
    return 1 if any(verdict.failed for verdict in verdicts) else 0


def soak(mode: str, folder: Path, seconds: float) -> Verdict:
    """Trade for so long, stop in order, and judge."""
    data = os.environ.get("REBALANCED_DATA", "")
    with Venue(*(["--data", str(Path(data).resolve())] if data else []), folder=folder) as venue:
        symbols = sorted(venue.rules())[:SYMBOLS_MAX]
        with Daemon(configured(folder, venue, mode, symbols)) as daemon:
            daemon.wait("daemon.ready")
            lags = watched(daemon, seconds)
            peak_mib = memory_mib(daemon.pid)
            # Between two rebalances, so that none is left unfinished.
            daemon.settled(since=len(daemon.lines), within=3 * EVERY)
            daemon.stop()
            (folder / "daemon.log").write_text("".join(daemon.output))
            return judged(daemon, venue, folder, symbols, lags, peak_mib)


def configured(folder: Path, venue: Venue, mode: str, symbols: Sequence[str]) -> Path:
    """Momentum as it ships, on bars of a second."""
    strategy = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": EVERY}}
    universe = {"quote": "USDT", "symbols": list(symbols)}
    return written(folder, venue, mode=mode, strategies=[strategy], universe=universe, reconcile={"every": "5s"})


def watched(daemon: Daemon, seconds: float) -> list[float]:
    """Ask for its health twice a second for so long: the answer takes as long as its loop is held up, in ms."""
    lags: list[float] = []
    url, deadline = daemon.url(), time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        while daemon.running and time.monotonic() < deadline:
            began = time.perf_counter()
            client.get("/healthz").raise_for_status()
            lags.append((time.perf_counter() - began) * 1000)
            time.sleep(0.5)
    return sorted(lags)


def memory_mib(pid: int) -> float:
    """The most memory that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def judged(daemon: Daemon, venue: Venue, folder: Path, symbols: Sequence[str], lags: Sequence[float], peak_mib: float) -> Verdict:
    """Every criterion, with what was measured."""
    verdict, state = Verdict(), venue.state()
    waves = Waves(daemon.lines, of_venue(state, symbols), opening(state), venue.rules())
    began = [line for line in daemon.lines if line["event"] == "targets.chosen"]
    verdict.row("decisions", len(began))
    verdict.row("waves settled", len(waves.settled), good=0 < len(waves.settled) == len(began))
    verdict.row("slowest wave", f"{max((wave['took_ms'] for wave in waves.settled), default=0)} ms")
    _orders(verdict, waves, state)
    worst = max(waves.excess().values(), default=0.0)
    verdict.row("largest excess off target", f"{worst:.6f} of equity beyond a step and the band", good=worst <= 0)
    _complaints(verdict, daemon)
    found = disagreements(state, folder / "momo.sqlite", symbols)
    verdict.row("venue's books and ledger", "; ".join(found[:3]) or "equal to the unit", good=not found)
    verdict.row("requests unknown to the venue", state["unknown_paths"] or "none", good=not state["unknown_paths"])
    verdict.row("requests refused for their weight", state["weight"]["refused"], good=not state["weight"]["refused"])
    verdict.row("memory at most", f"{peak_mib:.0f} MiB", good=peak_mib <= RSS_MAX_MIB)
    lag = {share: lags[min(len(lags) - 1, int(len(lags) * share))] for share in (0.5, 0.99, 1.0)}
    told = f"{lag[0.5]:.1f} ms median, {lag[0.99]:.1f} ms 99 %, {lag[1.0]:.1f} ms longest"
    verdict.row("answer to /healthz", told, good=lag[1.0] <= LAG_MAX_MS)
    return verdict


def _orders(verdict: Verdict, waves: Waves, state: Mapping[str, Any]) -> None:
    sent = sum(wave["sent"] for wave in waves.settled)
    refused = Counter(reason for wave in waves.settled for reason in wave["refused"].values())
    verdict.row("orders", f"{sent} sent, {len(state['orders'])} at the venue", good=0 < sent == len(state["orders"]))
    verdict.row("refused", dict(refused) or "none", good=not refused)
    verdict.row("fills", len(state["trades"]), good=bool(state["trades"]))


def _complaints(verdict: Verdict, daemon: Daemon) -> None:
    found = Counter(f"{line['level']} {line['event']}" for line in daemon.complaints() if line["event"] not in EXPLAINED)
    verdict.row("unexplained warnings and errors", dict(found) or "none", good=not found)
    verdict.row("on stderr", daemon.stderr.strip() or "nothing", good=not daemon.stderr.strip())


def show(title: str, verdict: Verdict) -> None:
    """The table of one mode."""
    wide = max(len(name) for name, _ in verdict.rows)
    rows = "\n".join(f"  {name:<{wide}}  {value}" for name, value in verdict.rows)
    sys.stdout.write(f"\n{title}: {'; '.join(verdict.failed) + ' failed' if verdict.failed else 'all well'}\n{rows}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
