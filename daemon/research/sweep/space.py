"""Space: what is tried: the values of each key that is swept, as a person writes them, and the combinations of these.

Rule: a combination depends on what was written and on the seed alone, so that the same words name the same runs on every machine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from math import exp, log, prod
from pathlib import Path
from random import Random
from typing import Any, Final

from daemon.config import Changes, tree
from daemon.config.values import number
from daemon.config.yamltext import YamlMistake, parse
from daemon.parts import StartRefused

RUNS_MAX: Final = 100_000  # a page of more would not open, and a machine of two cores is busy with them for a day
# How often chance is asked for a combination that has not been drawn yet, for each that is wanted.
TRIES: Final = 100
DIGITS: Final = 6  # significant ones of a value that was drawn
HOW: Final = "write values like 20,40,60, a range with a step like 10..60:10, or with --random a range like 10..60 or 0.001..0.1:log"

NUMBER: Final = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
RANGE: Final = re.compile(rf"\s*({NUMBER})\.\.({NUMBER})(?::({NUMBER}|log))?\s*")


@dataclass(frozen=True, slots=True)
class Choices:
    """A key, and the values that are tried for it."""

    path: str
    values: tuple[Any, ...]

    def draw(self, chance: Random) -> Any:
        """One of them."""
        return self.values[int(chance.random() * len(self.values))]


@dataclass(frozen=True, slots=True)
class Span:
    """A key, and the numbers between which its values are drawn, both included: evenly, or evenly in their logarithm."""

    path: str
    low: Decimal
    high: Decimal
    logarithmic: bool

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn, since both ends are written as such."""
        return isinstance(number(self.low), int) and isinstance(number(self.high), int)

    def draw(self, chance: Random) -> int | Decimal:
        """A number of it, to six significant digits."""
        # A whole number stands for the half below it and the half above, so that the ends are drawn as often as the others.
        room = 0.5 if self.whole else 0.0
        low, high = float(self.low) - room, float(self.high) + room
        part = chance.random()
        drawn = exp(log(low) + (log(high) - log(low)) * part) if self.logarithmic else low + (high - low) * part
        if self.whole:
            return min(max(round(drawn), int(self.low)), int(self.high))
        return min(max(Decimal(f"{drawn:.{DIGITS}g}"), self.low), self.high)


Parameter = Choices | Span


def parameters(written: Sequence[str], file: Path | None) -> list[Parameter]:
    """What is swept: `PATH=VALUES` each, and then what a file has, `PATH: VALUES` of YAML.

    Raises:
        StartRefused: one of them is not written like that, or names a key twice.
        ConfigError: the file is not YAML.
    """
    given = [_assignment(each) for each in written]
    if file is not None:
        there = tree(file, "write what is swept, like `strategies.momo.params.lookback: [20, 40]`")
        if not isinstance(there, Mapping):
            raise StartRefused(f"{file}: the file is not a mapping; write a path and its values a line", 78)
        given += there.items()
    if not given:
        raise StartRefused("nothing is swept; add what is, like strategies.momo.params.lookback=20,40,60, or name a file with --grid", 2)
    paths = [path for path, _ in given]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise StartRefused(f"{twice} is swept twice; write all its values in one place", 2)
    return [parameter(path, values) for path, values in given]


def _assignment(written: str) -> tuple[str, str]:
    path, equals, values = written.partition("=")
    if not (path.strip() and equals):
        raise StartRefused(f"{written} is not PATH=VALUES; {HOW}", 2)
    return path.strip(), values


def parameter(path: str, values: Any) -> Parameter:
    """One key with what is tried for it: a text as on the command line, or a list of values."""
    if isinstance(values, str):
        found = RANGE.fullmatch(values)
        if found:
            return _range(path, Decimal(found[1]), Decimal(found[2]), found[3])
        values = _listed(path, values)
    if not isinstance(values, list):
        values = [values]
    if not values:
        raise StartRefused(f"{path} has no values; {HOW}", 2)
    twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
    if twice is not None:
        raise StartRefused(f"{path} has the value {twice} twice; keep one of the two", 2)
    return Choices(path, tuple(values))


def _listed(path: str, text: str) -> list[Any]:
    try:
        document = parse(f"[{text}]")
    except YamlMistake:
        raise StartRefused(f"{path}={text} cannot be read; {HOW}", 2) from None
    if document.repeated or not isinstance(document.tree, list):
        raise StartRefused(f"{path}={text} has a key twice; {HOW}", 2)
    return document.tree


def _range(path: str, low: Decimal, high: Decimal, how: str | None) -> Parameter:
    if not low < high:
        raise StartRefused(f"{path}: {low}..{high} does not rise; write the smaller number first", 2)
    if how is None or how == "log":
        if how and low <= 0:
            raise StartRefused(f"{path}: {low}..{high}:log must begin above 0; logarithms do", 2)
        return Span(path, low, high, how == "log")
    step = Decimal(how)
    if step <= 0 or (high - low) / step >= RUNS_MAX:
        raise StartRefused(f"{path}: {low}..{high}:{how} has no step, or too small a one; write one above 0", 2)
    count = int((high - low) / step) + 1
    values = [low + step * place for place in range(count)]
    return Choices(path, tuple(int(value) if isinstance(number(value), int) else value for value in values))


def combinations(space: Sequence[Parameter], draws: int | None, seed: int) -> list[Changes]:
    """What is tried: everything there is, the last key changing fastest; or so many different ones by chance.

    Raises:
        StartRefused: there are too many, or too few to be drawn, or a range has no values of its own.
    """
    return list(_drawn(space, draws, seed) if draws is not None else _grid(space))


def _grid(space: Sequence[Parameter]) -> Iterator[Changes]:
    axes = [each for each in space if isinstance(each, Choices)]
    endless = [each for each in space if isinstance(each, Span)]
    if endless:
        span = endless[0]
        raise StartRefused(
            f"{span.path}: {span.low}..{span.high} has no end of values; draw some with --random 100, or give it a step like "
            f"{span.low}..{span.high}:{(span.high - span.low) / 4}",
            2,
        )
    within(prod(len(axis.values) for axis in axes))
    return (dict(zip((axis.path for axis in axes), values, strict=True)) for values in product(*(axis.values for axis in axes)))


def within(runs: int) -> None:
    """Raises StartRefused: these are more runs than a sweep may have."""
    if runs > RUNS_MAX:
        raise StartRefused(
            f"{runs:,} runs are more than a sweep may have ({RUNS_MAX:,}); leave values out, or draw some with --random 1000", 2
        )


def _drawn(space: Sequence[Parameter], draws: int, seed: int) -> Iterator[Changes]:
    within(draws)
    chance = Random(seed)
    seen: set[str] = set()
    for _ in range(draws * TRIES):
        found = {each.path: each.draw(chance) for each in space}
        told = repr(found)
        if told not in seen:
            seen.add(told)
            yield found
            if len(seen) == draws:
                return
    raise StartRefused(
        f"--random {draws}: there are hardly more than {len(seen)} different combinations; ask for fewer, or for all of them", 2
    )
