"""Every strategy that spot allows trades by itself on the venue, is killed and started again, and must decide as its backtest does.

`python -m tests.soak.strategies --minutes 10`, or `make strategies MINUTES=10`. REBALANCED_DATA=DIR replays market data; else prices come
from a seed. Each has an exchange, an account, a configuration and a journal of its own; all run side by side.
Rule: a criterion that fails is named, and the exit code is 1.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, Final

from daemon.config import load
from daemon.core.model import Decision
from daemon.core.plain import rfc3339
from daemon.io.journal import read
from daemon.research import bars as stored_bars
from tests.process.support import PATIENCE_S, Daemon, Program, Venue, written
from tests.soak.__main__ import Verdict, show
from tests.soak.decisions import Compared, Life, compare, journalled, life, paused, plain, unserved

SYMBOLS_MAX: Final = 12
EVERY: Final = 12  # bars between two decisions; pairs, which watch every bar, decide on every bar
HISTORY: Final = 4000  # rows before the start: more than any warm-up, so that one that is too short decides otherwise than a backtest
AWAY_MAX_S: Final = 20.0  # between a kill and the next start: longer than EVERY bars, so that some due times are missed
START_S: Final = 120.0  # for an exchange to read its data, and for a daemon to decide, beside all the others
BACKTEST_S: Final = 600.0

# One exchange starts after the other: nine interpreters that read their data together keep each other from being ready in time.
TURN: Final = Lock()

# What they want rests on what they wanted before, and a pause may show in it; the others forget everything.
REMEMBER: Final = {"pairs", "sector_rotation"}
NEED_SKFOLIO: Final = {"minimum_variance", "risk_parity", "hierarchical_risk_parity"}


@dataclass(frozen=True, slots=True)
class Lived:
    """What one strategy has left behind."""

    config: Path
    journal: Path
    data: Path
    lives: tuple[Life, ...]
    decisions: Mapping[datetime, Decision]
    errors: tuple[str, ...]


def main() -> int:
    """Run them all, print a table for each, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.strategies", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0, help="from the first start to the stop")
    parser.add_argument("--kills", type=int, default=3, help="of each daemon, at random moments")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of these moments")
    parser.add_argument("--only", nargs="*", default=[], help="strategies to run, instead of all")
    parser.add_argument("--keep", type=Path, default=None, help="directory for logs, journals and bars, instead of a temporary one")
    given = parser.parse_args()
    chosen = [use for use in strategies(()) if use in (given.only or strategies(()))]
    if find_spec("skfolio") is None and NEED_SKFOLIO.intersection(chosen):
        sys.stdout.write(f"skfolio is not installed (make optimize), left out: {', '.join(sorted(NEED_SKFOLIO.intersection(chosen)))}\n")
        chosen = [use for use in chosen if use not in NEED_SKFOLIO]
    with tempfile.TemporaryDirectory(prefix="strategies-") as temporary, ThreadPoolExecutor(max(1, len(chosen))) as side_by_side:
        top = (given.keep or Path(temporary)).resolve()
        running = {
            use: side_by_side.submit(lived, use, top / use, given.minutes * 60, given.kills, Random(f"{given.seed} {use}"))
            for use in chosen
        }
        wait(running.values())
        verdicts = {use: told(use, each, given.kills) for use, each in running.items()}
    for use, verdict in verdicts.items():
        show(f"{use}, {given.minutes:g} minutes, {given.kills} kills, seed {given.seed}", verdict)
    return 1 if any(verdict.failed for verdict in verdicts.values()) else 0


def strategies(symbols: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Each strategy that may trade spot, with parameters under which there is something to decide among these symbols."""
    few = symbols[: 2 * (len(symbols) // 2)]
    return {
        "portfolio_momentum": {},
        "pairs": {"mode": "long_only", "pairs": list(zip(few[::2], few[1::2], strict=True)), "max_bars": 40},
        "sector_rotation": {"best": 2, "margin": 0.002},
        "risk_adjusted": {},
        "fixed_weights": {"weights": {symbol: round(0.9 / len(symbols) * (1 + i % 2 / 10), 4) for i, symbol in enumerate(symbols)}},
        "equal_weight": {"exposure": 0.9},
        "minimum_variance": {"exposure": 0.9, "weight_max": 0.3},
        "risk_parity": {"exposure": 0.9},
        "hierarchical_risk_parity": {"exposure": 0.9},
    }


def lived(use: str, folder: Path, seconds: float, kills: int, chance: Random) -> Lived:
    """Trade for so long, killed so many times on the way, then have the bars dumped that were served."""
    folder.mkdir(parents=True)
    data = os.environ.get("REBALANCED_DATA", "")
    options = ["--history", str(HISTORY), *(["--data", str(Path(data).resolve())] if data else [])]
    lives: list[Life] = []
    decisions: dict[datetime, Decision] = {}
    errors: list[str] = []
    with TURN:
        started = Venue(*options, folder=folder, within=START_S)
    with started as venue:
        symbols = sorted(venue.rules())[:SYMBOLS_MAX]
        config, journal = configured(use, folder, venue, symbols), folder / "momo.sqlite"
        end = time.monotonic() + seconds
        kill_at = [end - seconds + moment for moment in sorted(chance.uniform(0.03, 0.9) * seconds for _ in range(kills))]
        for i, until in enumerate([*kill_at, end]):
            with Daemon(config) as daemon:
                _wait(daemon, until)
                if i == kills:  # however slowly it has started, its last life is long enough to come to a decision
                    daemon.wait("targets.chosen", within=START_S)
                daemon.kill() if i < kills else daemon.stop(within=PATIENCE_S)
                lives.append(life(daemon.lines))
                errors += [f"{line['event']} {line}" for line in daemon.complaints() if line["level"] == "error"]
                errors += [text for text in (daemon.stderr.strip(),) if text]
                (folder / f"daemon-{i}.log").write_text("".join(daemon.output))
            if journal.exists():
                decisions |= journalled(journal)
            if i < kills:
                time.sleep(chance.uniform(0, AWAY_MAX_S))
        venue.post("/venue/dump", dir=str(folder / "bars"), symbols=[symbol.replace("/", "") for symbol in symbols])
    return Lived(config, journal, folder / "bars", tuple(lives), decisions, tuple(errors))


def configured(use: str, folder: Path, venue: Venue, symbols: Sequence[str]) -> Path:
    """One strategy alone, on bars of a second."""
    every = 1 if use == "pairs" else EVERY
    strategy = {"name": "alone", "use": use, "schedule": {"every": every}, "params": strategies(symbols)[use]}
    sectors = {f"sector-{i}": list(symbols[i::4]) for i in range(4)}
    universe = {"quote": "USDT", "symbols": list(symbols), "sectors": sectors}
    return written(folder, venue, strategies=[strategy], universe=universe, reconcile={"every": "5s"})


def _wait(daemon: Daemon, until: float) -> None:
    """Let it run; it must not end by itself."""
    while (left := until - time.monotonic()) > 0:
        assert daemon.running, daemon.story()
        time.sleep(min(0.2, left))


# --- the verdict -----------------------------------------------------------------------------------------------------


def told(use: str, run: Future[Lived], kills: int) -> Verdict:
    """Its verdict; one that could not be run or judged is no reason to lose the others'."""
    try:
        return judged(use, run.result(), kills)
    except AssertionError as error:
        verdict = Verdict()
        verdict.row("run and judged", error, good=False)
        return verdict


def judged(use: str, left: Lived, kills: int) -> Verdict:
    """Backtest what was served, and compare."""
    config = load(left.config, {})
    folder = left.config.parent
    (wanted,) = config.strategies
    began = read(left.journal).began
    assert began is not None, "the journal has no run"
    # A backtest from the first slice on that the daemon could decide on; what lies before is history for both.
    start = next(each.slices[0] for each in left.lives if each.slices)
    with Program(
        "backtest", left.config, "--data", left.data, "--out", folder / "out", "--start", rfc3339(start), folder=folder
    ) as backtest:
        assert backtest.end(BACKTEST_S) == 0, backtest.story()
    bars = stored_bars.load(left.data, config.universe.symbols, config.bar_length)
    mine = {moment: decision.by_strategy[wanted.name].weights for moment, decision in left.decisions.items()}
    every_ms = wanted.schedule.bars(config.bar_length) * 1000
    references = plain(folder / "out", wanted.name), paused(config, bars, left.lives, left.decisions, began)
    late = [unserved(bars, each) for each in left.lives]
    return tabulated(use, left, kills, compare(mine, left.lives, every_ms, *references), sum(late))


def tabulated(use: str, left: Lived, kills: int, found: Compared, late: int) -> Verdict:
    """Every criterion, with what was measured."""
    verdict = Verdict()
    verdict.row("kills", len(left.lives) - 1, good=len(left.lives) - 1 == kills)
    verdict.row("slices", sum(len(each.slices) for each in left.lives))
    verdict.row("bars too late for their slice", late)
    told = {moment for each in left.lives for moment in each.decided}
    verdict.row("decisions", f"{len(told)}, in the journal {found.decided}", good=found.decided > 0)
    verdict.row("different targets among them", found.varied)
    verdict.row("making up for missed due times", found.decided - found.due)
    # A bar that was late is missing in the indicators until the next start, as it would be after a real gap.
    excused = use in REMEMBER or late > 0
    verdict.row("at a due time as the backtest", f"{found.same} of {found.due}{_when(found.apart)}", good=not found.apart or excused)
    as_paused = found.decided - len(found.different)
    told_apart = f"{as_paused} of {found.decided}, {found.farthest:.1e} apart at most{_when(found.different)}"
    verdict.row("as a backtest with the same pauses", told_apart, good=not found.different)
    verdict.row("omitted", f"{len(found.omitted)}{_when(found.omitted)}", good=not found.omitted)
    verdict.row("lost in a kill", f"{len(found.lost)}{_when(found.lost)}", good=len(found.lost) <= kills)
    verdict.row("errors", json.dumps(left.errors[:3]) if left.errors else "none", good=not left.errors)
    return verdict


def _when(moments: Sequence[datetime]) -> str:
    return f", not at {', '.join(rfc3339(moment) for moment in moments[:3])}{' ...' if len(moments) > 3 else ''}" if moments else ""


if __name__ == "__main__":
    sys.exit(main())
