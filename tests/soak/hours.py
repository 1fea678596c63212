"""Hours: the daemon trades among faults at a low rate, its dashboard open in a browser, and is judged by what it holds and what is left.

`python -m tests.soak.hours --hours 1 --seed 1`, or `make hours`. REBALANCED_DATA=DIR replays market data; else prices come from a seed.
Rule: memory, descriptors, tasks and the page's heap are compared between the end of the first tenth and the end; books to the unit.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.process.books import disagreements
from tests.process.browser import CHROMIUM, Opened, opened
from tests.process.support import Daemon, Venue, written
from tests.soak.__main__ import EVERY, SYMBOLS_MAX, Verdict, show
from tests.soak.weather import weather

LOOK_S: Final = 0.5
HEAP_S: Final = 30.0
PATIENCE_S: Final = 300.0  # a breaker that a last fault has pulled cools down for a minute or more
WARM: Final = 0.1  # of the time: caches and pools have what they need by then
LOOKS: Final = 30
RSS_GROWTH_MAX_MIB: Final = 16.0
HEAP_GROWTH_MAX_MIB: Final = 5.0
LAG_MAX_S: Final = 1.0


@dataclass(slots=True)
class Seen:
    """What was seen while it ran: heaps of the page in bytes, and how long an answer to /healthz took in ms."""

    heaps: list[int] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)


def main() -> int:
    """Trade for hours, print the table, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.hours", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--faults", type=Path, default=None, help="a fault script instead of the seed's")
    parser.add_argument("--keep", type=Path, default=None, help="directory for logs and journal, instead of a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hours-") as temporary:
        folder: Path = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        script = given.faults or folder / "faults.json"
        if given.faults is None:
            script.write_text(json.dumps(weather(given.seed, given.hours), indent=1))
        verdict = soak(folder, script.resolve(), given.hours * 3600)
    show(f"{given.hours:g} h among faults", verdict)
    return 1 if verdict.failed else 0


def soak(folder: Path, script: Path, seconds: float) -> Verdict:
    """Trade for so long, wait until all is well again, stop in order, and judge."""
    data = os.environ.get("REBALANCED_DATA", "")
    options = ["--faults", str(script), *(["--data", str(Path(data).resolve())] if data else [])]
    with Venue(*options, folder=folder) as venue:
        symbols = sorted(venue.rules())[:SYMBOLS_MAX]
        with Daemon(configured(folder, venue, symbols), program=("tests.soak.flooded", "run", str(folder / "held"))) as daemon:
            daemon.wait("daemon.ready", within=PATIENCE_S)
            seen = watched(daemon, seconds)
            # A spell is felt by whatever there is meanwhile, and counts as one.
            struck = Counter[str]()
            for fault in venue.get("/venue/faults")["faults"]:
                struck[fault["do"]] += fault["hits"] or ("until" in fault)
            venue.mend()
            calm = calmed(daemon)
            figures = scraped(daemon)
            daemon.stop(within=60)
            (folder / "daemon.log").write_text("".join(daemon.output))
            verdict = Verdict()
            _waves(verdict, daemon, struck, calm=calm)
            found = disagreements(venue.state(), folder / "momo.sqlite", symbols)
            verdict.row("venue's books and ledger", "; ".join(found[:3]) or "equal to the unit", good=not found)
            _held(verdict, folder / "held")
            _lag(verdict, figures, seen)
            _page(verdict, seen)
            return verdict


def configured(folder: Path, venue: Venue, symbols: Sequence[str]) -> Path:
    """Momentum as it ships, on bars of a second."""
    strategy = {"name": "momo", "use": "portfolio_momentum", "schedule": {"every": EVERY}}
    universe = {"quote": "USDT", "symbols": list(symbols)}
    return written(folder, venue, strategies=[strategy], universe=universe, reconcile={"every": "5s"})


def watched(daemon: Daemon, seconds: float) -> Seen:
    """Look at it for so long, with its page open where there is a browser."""
    seen, deadline, heap_at = Seen(), time.monotonic() + seconds, 0.0
    with ExitStack() as stack:
        page: Opened | None = stack.enter_context(opened(daemon.url())) if CHROMIUM else None
        client = stack.enter_context(httpx.Client(base_url=daemon.url(), timeout=30, trust_env=False))
        while time.monotonic() < deadline:
            assert daemon.running, daemon.story()
            began = time.perf_counter()
            client.get("/healthz").raise_for_status()
            seen.answers.append((time.perf_counter() - began) * 1000)
            if page and time.monotonic() >= heap_at:
                seen.heaps.append(page.heap())
                heap_at = time.monotonic() + HEAP_S
            page.page.wait_for_timeout(LOOK_S * 1000) if page else time.sleep(LOOK_S)
        if page:
            assert (page.complaints, page.text("#contact")) == ([], "live")
    return seen


def calmed(daemon: Daemon) -> bool:
    """Whether trading is unrestricted again, no order is in doubt, and two more waves settle, within some minutes."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        _, status = daemon.get("/api/v1/status")
        if (status["state"], status["unknown_orders"]) == ("running", 0):
            since = len(daemon.lines)
            daemon.settled(2, since=since, within=PATIENCE_S)
            return True
        time.sleep(LOOK_S)
    return False


def scraped(daemon: Daemon) -> dict[str, float]:
    """Its samples, those of /metrics, by name and bound."""
    text = httpx.get(daemon.url() + "/metrics", timeout=10, trust_env=False).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + sample.labels.get("le", ""): sample.value for sample in samples}


def _waves(verdict: Verdict, daemon: Daemon, struck: Mapping[str, int], *, calm: bool) -> None:
    settled = [line for line in daemon.lines if line["event"] == "wave.settled"]
    began = daemon.count("targets.chosen")
    verdict.row("faults that struck", ", ".join(f"{name} {count}" for name, count in sorted(struck.items())) or "none")
    verdict.row("decisions, waves settled", f"{began}, {len(settled)}", good=len(settled) > 0.9 * began > 0)
    orders = Counter({name: daemon.count(f"order.{name}") for name in ("submitted", "filled", "unknown", "resolved", "rejected")})
    verdict.row("orders", ", ".join(f"{count} {name}" for name, count in orders.items()), good=orders["filled"] > 0)
    states = Counter(line["event"] for line in daemon.lines if line["event"].startswith("trading."))
    verdict.row("trading restricted", dict(states) or "never", good=not states["trading.halted"])
    verdict.row("in the end", "running, nothing in doubt" if calm else "NOT CALM", good=calm)
    errors = Counter(line["event"] for line in daemon.lines if line.get("level") == "error")
    verdict.row("errors", dict(errors) or "none")
    verdict.row("on stderr", daemon.stderr.strip() or "nothing", good=not daemon.stderr.strip())


def _held(verdict: Verdict, path: Path) -> None:
    """Memory, descriptors and tasks after the first tenth and at the end, the middle of some seconds."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = max(LOOKS, int(WARM * len(rows)))
    before, after = rows[first - LOOKS : first], rows[-LOOKS:]
    for name, unit, bound in (("rss", 1024.0, RSS_GROWTH_MAX_MIB), ("fds", 1.0, 2.0), ("tasks", 1.0, 2.0)):
        early, late = (median(row[name] for row in some) / unit for some in (before, after))
        most = max(row[name] for row in rows) / unit
        told = f"{early:.1f}, then {late:.1f}, at most {most:.1f}"
        verdict.row({"rss": "memory, MiB", "fds": "descriptors"}.get(name, name), told, good=late - early <= bound)
    verdict.row("connections dialled", rows[-1]["connections"])


def _lag(verdict: Verdict, figures: Mapping[str, float], seen: Seen) -> None:
    """Of the loop by its own measure, and of an answer as somebody outside waits for it."""
    bounds = sorted((float(name.removeprefix(LAG)), count) for name, count in figures.items() if name.startswith(LAG))
    every = figures["rebalanced_loop_lag_seconds_count"]
    below = {share: next(bound for bound, count in bounds if count >= share * every) for share in (0.5, 0.99, 0.9999)}
    told = ", ".join(f"{share:.2%} within {bound * 1000:g} ms" for share, bound in below.items())
    verdict.row("loop lag", f"{told}, of {every:.0f}", good=below[0.9999] <= LAG_MAX_S)
    answers = sorted(seen.answers)
    shares = ", ".join(f"{answers[int(share * (len(answers) - 1))]:.1f} ms {name}" for share, name in QUANTILES.items())
    verdict.row("answer to /healthz", shares)


LAG: Final = "rebalanced_loop_lag_seconds_bucket"
QUANTILES: Final[Mapping[float, str]] = {0.5: "median", 0.99: "99 %", 1.0: "longest"}


def _page(verdict: Verdict, seen: Seen) -> None:
    """The page's heap after collections."""
    if not seen.heaps:
        verdict.row("page", "no chromium here, so none was open")
        return
    first = max(1, int(WARM * len(seen.heaps)))
    early, late = (median(some[-5:]) / 2**20 for some in (seen.heaps[:first], seen.heaps))
    told = f"{early:.1f}, then {late:.1f}, at most {max(seen.heaps) / 2**20:.1f}; no complaint in its console"
    verdict.row("page's heap, MiB", told, good=late - early <= HEAP_GROWTH_MAX_MIB)


if __name__ == "__main__":
    sys.exit(main())
