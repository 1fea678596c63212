"""Our engine beside the others on the same work: ratios from one interleaved run of fresh processes, and the floors they must keep.

    PEERS="backtrader vectorbt" ROUNDS=3 SCALE=1.0

in the environment choose the peers, how often each is run, and the share of the bars. Who does other work (its signals differ by more than
1e-9, or its decisions in number) is not compared, and said so.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from tests.bench.peers.environments import NotThere, python, run, told
from tests.bench.peers.work import Work, reference, same, save
from tests.research.files import opens, walk

OURS: Final = "rebalanced"
SCRIPTS: Final = {
    "backtrader": "backtrader_momentum.py",
    "nautilus_trader": "nautilus_momentum.py",
    "basana": "basana_momentum.py",
    "bt": "bt_momentum.py",
    "vectorbt": "vectorbt_momentum.py",
}


@dataclass(frozen=True)
class Shape:
    """So many symbols and bars, decided at every so many hours; `aim` in symbol-bars a second, `floor` as a multiple of backtrader's."""

    name: str
    symbols: int
    bars: int
    every: int
    aim: float
    floor: float

    def work(self, scale: float) -> Work:
        """Its prices; each symbol walks by itself. With a scale below 1 there are fewer bars, but never too few to decide on."""
        rows = max(240, round(self.bars * scale))
        panel = np.stack([walk(rows, seed, 100.0 * (seed % 12 + 1)) for seed in range(self.symbols)], axis=2)
        return Work(np.array(opens(rows), np.int64), panel, self.every)


SHAPES: Final = (
    Shape("12 x 20,000", 12, 20_000, 24, 2.0e6, 50),
    Shape("200 x 2,000", 200, 2_000, 24, 8.0e6, 200),
    Shape("12 x 5,000, every bar", 12, 5_000, 1, 0.2e6, 12),
    Shape("2 x 20,000", 2, 20_000, 24, 0.4e6, 15),
)


@dataclass(frozen=True)
class Expected:
    """What a work consists of: symbol-bars, and the signals of every decision."""

    cells: int
    signals: Any


@dataclass
class Result:
    """What an engine did on one shape."""

    cells: int
    seconds: list[float] = field(default_factory=list)
    rss_mb: float = 0.0
    orders: int = 0
    decisions: int = 0

    @property
    def speed(self) -> float:
        """Symbol-bars a second, of the median run."""
        return self.cells / median(self.seconds)


@dataclass
class Contest:
    """Everything that was measured; `left` says why somebody is missing, by name."""

    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def ratio(self, shape: str, peer: str) -> float | None:
        """How many times as fast we are."""
        ours, other = self.results.get((shape, OURS)), self.results.get((shape, peer))
        return ours.speed / other.speed if ours and other else None

    def broken(self) -> Iterator[str]:
        """The floors that are not kept, a sentence each."""
        for shape in SHAPES:
            ratio = self.ratio(shape.name, "backtrader")
            if ratio is not None and ratio < shape.floor:
                yield f"{shape.name}: {ratio:.1f} times backtrader, the floor is {shape.floor:g}"


Runner = Callable[[Path, Path], str]


def runners(names: Sequence[str], contest: Contest) -> dict[str, Runner]:
    """Who takes part, each as a call that runs a work and leaves its signals."""
    found: dict[str, Runner] = {OURS: lambda work, out: run(Path(sys.executable), work, out, module="tests.bench.peers.ours")}
    for name in names:
        try:
            found[name] = partial(run, python(name), SCRIPTS[name])
        except NotThere as error:
            contest.left[name] = str(error)
    return found


def held(names: Sequence[str], rounds: int, scale: float) -> Contest:
    """All shapes, all engines, in turns."""
    contest = Contest()
    able = runners(names, contest)
    with TemporaryDirectory() as kept:
        for shape in SHAPES:
            work = shape.work(scale)
            path, out, expected = (
                save(Path(kept) / "work.npz", work),
                Path(kept) / "signals.npy",
                Expected(work.bars.shape[0] * work.bars.shape[2], reference(work)),
            )
            for turn in range(rounds):
                for name in [name for name in able if name not in contest.left]:
                    told(f"{shape.name}: {name}, {turn + 1} of {rounds}")
                    _measure(contest, shape, name, partial(able[name], path, out), out, expected)
    return contest


def _measure(contest: Contest, shape: Shape, name: str, start: Callable[[], str], out: Path, expected: Expected) -> None:
    try:
        said: Mapping[str, Any] = json.loads(start())
    except NotThere as error:
        contest.left[name] = f"failed at {shape.name}: {error}"
        return
    if other := same(np.load(out), expected.signals):
        contest.left[name] = f"does other work at {shape.name}: {other}"
        return
    result = contest.results.setdefault((shape.name, name), Result(expected.cells))
    result.seconds.append(said["seconds"])
    result.rss_mb, result.orders, result.decisions = max(result.rss_mb, said["rss_mb"]), said["orders"], said["decisions"]
    contest.versions[name] = ", ".join(f"{package} {version}" for package, version in said["versions"].items())


def lines(contest: Contest) -> Iterator[str]:
    """The tables, in Markdown."""
    names = [name for name in (OURS, *SCRIPTS) if any((shape.name, name) in contest.results for shape in SHAPES)]
    yield f"| symbols x bars | {' | '.join(names)} | aim | floor |"
    yield f"|---|{'---|' * len(names)}---|---|"
    for shape in SHAPES:
        cells = []
        for name in names:
            result, ratio = contest.results.get((shape.name, name)), contest.ratio(shape.name, name)
            speed = f"{result.speed / 1000:,.1f} k" if result else "-"
            cells.append(speed if name == OURS or ratio is None else f"{speed} (x {ratio:.3g})")
        yield f"| {shape.name} | {' | '.join(cells)} | {shape.aim / 1000:,.0f} k | {shape.floor:g} x backtrader |"
    first = SHAPES[0].name
    yield f"| peak memory at {first}, MB | {' | '.join(_of(contest, first, name, '{0.rss_mb:.0f}') for name in names)} | 200 | |"
    yield f"| decisions, orders there | {' | '.join(_of(contest, first, name, '{0.decisions}, {0.orders}') for name in names)} | | |"
    yield ""
    yield from (f"- {name}: {contest.versions[name]}" for name in names)
    yield from (f"- {name} is missing: {why}" for name, why in contest.left.items())


def _of(contest: Contest, shape: str, name: str, form: str) -> str:
    result = contest.results.get((shape, name))
    return form.format(result) if result else "-"


def chosen() -> tuple[Sequence[str], int, float]:
    """The peers, rounds and scale that the environment asks for."""
    names = os.environ.get("PEERS", " ".join(SCRIPTS)).split()
    if unknown := [name for name in names if name not in SCRIPTS]:
        raise SystemExit(f"PEERS={unknown[0]} is no peer: there are {', '.join(SCRIPTS)}")
    return names, int(os.environ.get("ROUNDS") or 3), float(os.environ.get("SCALE") or 1.0)


def table() -> list[str]:
    """Print it, write it into docs/performance.md, and return the floors that are not kept."""
    from tests.bench.page import busy, put

    contest = held(*chosen())
    text = [*lines(contest), "", busy()]
    print("\n".join(text))  # noqa: T201 - it is a program
    put("peers", text)
    broken = list(contest.broken())
    if OURS in contest.left:
        broken.append(f"{OURS} {contest.left[OURS]}")
    if (SHAPES[0].name, "backtrader") not in contest.results:
        broken.append("backtrader is missing, so that no floor could be looked at")
    return broken


if __name__ == "__main__":
    raise SystemExit("\n".join(table()) or 0)
