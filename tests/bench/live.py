"""The live path: the last bar of a slice received to the first order byte written, the journal synced in between, through ccxt on loopback.

Exchange and daemon are processes of their own, as they would be; times are those of `wave.settled`, by the daemon's own stamps. Beside it,
interleaved, the DataFrame idiom does the same decision from the last bar to its first signed request: without a journal, without sending.
Then what the daemon costs when nothing is to be done, and what it holds in memory.

    SIZES="12 100 500" WAVES=40 ROUNDS=2

in the environment choose the numbers of symbols, how many waves are looked at in a round, and how many rounds there are.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import numpy as np

from tests.bench.page import busy, put
from tests.bench.peers.environments import NotThere, python, run, told
from tests.bench.peers.work import Work, reference, same, save
from tests.bench.planning import percentile
from tests.bench.restart import processor_s
from tests.process.support import Daemon, Venue, written
from tests.research.files import opens, walk

AIM_MS: Final = {50: 1.5, 99: 6.0}
FLOORS: Final = {12: 10.0, 100: 75.0}  # times as fast as the DataFrame idiom
RSS_MB: Final = 160.0
IDLE: Final = 0.01  # of a core
IDLE_S: Final = 20.0
PATIENCE_S: Final = 300.0
HISTORY: Final = 700  # bars that the idiom computes over at each new one; the daemon has read as many before it begins
ROUNDS_OF_FRAMES: Final = 15


@dataclass
class Lived:
    """One size: milliseconds from the last bar to the first byte by wave, and by stage; the idiom's; memory and lag."""

    waves: list[dict[str, float]] = field(default_factory=list)
    frames_ms: list[float] = field(default_factory=list)
    rss_mb: float = 0.0
    lag: str = ""
    why_no_frames: str = ""

    @property
    def first_byte(self) -> list[float]:
        """By wave."""
        return [wave["first_byte"] for wave in self.waves]

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the idiom, by medians."""
        return median(self.frames_ms) / median(self.first_byte) if self.frames_ms else None


def wired(folder: Path, venue: Venue, symbols: Sequence[str], timeframe: str, every: int) -> Path:
    """A configuration that decides on so many bars and reads the account at its usual pace."""
    strategy = {
        "name": "momo",
        "use": "portfolio_momentum",
        "schedule": {"every": every},
        "params": {"lookback": 20, "rsi_period": 14, "top": 3},
    }
    sections: dict[str, Any] = {"universe": {"quote": "USDT", "symbols": list(symbols)}, "strategies": [strategy], "timeframe": timeframe}
    return written(folder, venue, reconcile={"every": "30s"}, execution={"band": 0.0, "band_relative": 0.1}, **sections)


def lived(folder: Path, count: int, waves: int, seen: Lived) -> None:
    """One life of a daemon that trades on every second bar of a second; what it says of its waves joins `seen`."""
    with Venue("--markets", str(count), "--history", "1000", folder=folder) as venue:
        config = wired(folder, venue, sorted(venue.rules())[:count], "1s", 2)
        with Daemon(config) as daemon:
            daemon.wait("trading.started", within=PATIENCE_S)
            at, found = len(daemon.lines), 0
            while found < waves:
                line = daemon.wait("wave.settled", since=at, within=PATIENCE_S, where=traced)
                at = daemon.lines.index(line) + 1
                seen.waves.append(line["stages"])
                found += 1
            seen.rss_mb = max(seen.rss_mb, rss_mb(daemon.pid))
            seen.lag = lag(httpx.get(daemon.url() + "/metrics", trust_env=False).text)


def traced(line: Any) -> bool:
    """Whether a wave was brought about by a bar and has sent something."""
    return "received" in line["stages"] and "first_byte" in line["stages"]


def rss_mb(pid: int) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def lag(metrics: str) -> str:
    """How late the loop woke up, by shares of the looks at it."""
    rows = [line for line in metrics.splitlines() if line.startswith("rebalanced_loop_lag_seconds_bucket")]
    counts = [(line.split('le="')[1].split('"')[0], float(line.split()[-1])) for line in rows]
    whole = counts[-1][1] or 1.0
    within = {share: next(bound for bound, count in counts if count >= share * whole) for share in (0.5, 0.99)}
    return f"{float(within[0.5]) * 1000:g} / {float(within[0.99]) * 1000:g}"


def framed(folder: Path, count: int, seen: Lived) -> None:
    """The same decision by DataFrames; the signals of every round must be ours to 1e-9."""
    rows = HISTORY + ROUNDS_OF_FRAMES
    panel = np.stack([walk(rows, seed, 100.0 * (seed % 12 + 1)) for seed in range(count)], axis=2)
    work = Work(np.array(opens(rows), np.int64), panel, 1)
    out = folder / "frames.npy"
    try:
        said = json.loads(run(python("dataframe"), "dataframe_momentum.py", save(folder / "frames.npz", work), out, str(ROUNDS_OF_FRAMES)))
    except NotThere as error:
        seen.why_no_frames = str(error)
        return
    seen.why_no_frames = same(np.load(out), reference(work)[-ROUNDS_OF_FRAMES:])
    if not seen.why_no_frames:
        seen.frames_ms += [1000 * seconds for seconds in said["seconds"]]


def idle(folder: Path, count: int = 12) -> tuple[float, float]:
    """The share of a core that a daemon takes while bars of a minute form and nobody is due; and its memory."""
    with Venue("--markets", str(count), "--history", "1000", "--interval", "1m", folder=folder) as venue:
        config = wired(folder, venue, sorted(venue.rules())[:count], "1m", 10_000)
        with Daemon(config) as daemon:
            daemon.wait("trading.started", within=PATIENCE_S)
            time.sleep(5.0)
            before, began = processor_s(daemon.pid), time.monotonic()
            time.sleep(IDLE_S)
            return (processor_s(daemon.pid) - before) / (time.monotonic() - began), rss_mb(daemon.pid)


def measured(sizes: Sequence[int], waves: int, rounds: int) -> dict[int, Lived]:
    """Every size in turns with the idiom."""
    found = {count: Lived() for count in sizes}
    for turn in range(rounds):
        for count, seen in found.items():
            told(f"live path: {count} symbols, {turn + 1} of {rounds}")
            with TemporaryDirectory(prefix="live-") as folder:
                lived(Path(folder), count, waves, seen)
                framed(Path(folder), count, seen)
    return found


def lines(found: dict[int, Lived], idle_share: float, idle_mb: float) -> Iterator[str]:
    """The tables, in Markdown."""
    heads = [
        "symbols",
        "p50 ms",
        "p99 ms",
        "slice, decision, plan, journal, byte (p50)",
        "DataFrame idiom, ms",
        "ratio",
        "floor",
    ]
    heads += ["loop late p50 / p99, ms at most", "memory MB"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for count, seen in found.items():
        times = [f"{percentile(seen.first_byte, share / 100):.2f}" for share in AIM_MS]
        frames = f"{median(seen.frames_ms):.1f}" if seen.frames_ms else seen.why_no_frames
        ratio = f"{seen.ratio:.1f}" if seen.ratio else "-"
        yield (
            f"| {count} | {' | '.join(times)} | {', '.join(f'{ms:.2f}' for ms in parts(seen.waves))} | {frames} | {ratio} "
            f"| {FLOORS.get(count, '-')} | {seen.lag} | {seen.rss_mb:.0f} |"
        )
    yield ""
    yield f"Aims: p50 {AIM_MS[50]} ms, p99 {AIM_MS[99]} ms, {RSS_MB:.0f} MB. Idle, with 12 symbols and bars of a minute:"
    yield f"{100 * idle_share:.2f} % of a core (aim {100 * IDLE:.0f} %), {idle_mb:.0f} MB. {busy()}"


def parts(waves: Sequence[dict[str, float]]) -> list[float]:
    """The median of each stage's own time, up to the first byte."""
    stages = ("received", "slice", "decided", "planned", "journalled", "first_byte")
    return [median(wave[after] - wave[before] for wave in waves) for before, after in pairwise(stages)]


def broken(found: dict[int, Lived]) -> Iterator[str]:
    """The floors that are not kept, a sentence each."""
    for count, floor in FLOORS.items():
        ratio = found[count].ratio if count in found else None
        if ratio is not None and ratio < floor:
            yield f"live path with {count} symbols: {ratio:.1f} times the DataFrame idiom, the floor is {floor:g}"


def table() -> list[str]:
    """Print it, write it into docs/performance.md, and return the floors that are not kept."""
    sizes = [int(size) for size in os.environ.get("SIZES", "12 100 500").split()]
    found = measured(sizes, int(os.environ.get("WAVES") or 40), int(os.environ.get("ROUNDS") or 2))
    with TemporaryDirectory(prefix="idle-") as folder:
        text = list(lines(found, *idle(Path(folder))))
    print("\n".join(text))  # noqa: T201 - it is a program
    put("live", text)
    return list(broken(found))


if __name__ == "__main__":
    raise SystemExit("\n".join(table()) or 0)
