"""Panel: what a sweep reads of the store, written once into one file, which every process maps into its memory.

Rule: however many processes there are, the bars are in memory once; what is mapped is never written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.config import Config
from daemon.core.model import Instrument
from daemon.research.bars import Bars, DataError, Series
from daemon.research.runs import Stored, stored
from daemon.research.upkeep import Rates, Upkeep

ALIGNED: Final = 64  # bytes: a line of a processor's cache

Array = NDArray[Any]
Place = tuple[str, ...]  # what an array is of: kind, seconds of a bar, symbol, and which of its arrays


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an array lies in the file, and what it is."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A file of arrays. `digest` is a hash of all of them and of the rules; the store has the same to say wherever it is the same.

    `rules`: of the markets; `without`: the symbols for which none are known.
    """

    path: Path
    size: int
    digest: str
    entries: Mapping[Place, Entry]
    rules: Mapping[str, Instrument]
    without: frozenset[str]

    def opened(self, path: Path | None = None) -> "Open":
        """Map it; `path` is a copy of the file, if it is not there on this machine.

        Raises:
            DataError: it is not there, or is not whole.
        """
        path = path or self.path
        try:
            mapped = np.asarray(np.memmap(path, np.uint8, "r"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be mapped into memory: {error}") from None
        if len(mapped) != self.size:
            raise DataError(f"{path} is not whole; start the sweep again")
        return Open(self, mapped)


class Open:
    """A mapped panel."""

    def __init__(self, panel: Panel, mapped: NDArray[np.uint8]) -> None:
        self._panel = panel
        self._mapped = mapped

    @property
    def closes(self) -> tuple[int, int]:
        """The first and the last close of all bars (UTC ms)."""
        found = [self._array(place) for place in self._panel.entries if place[0] == "bars" and place[-1] == "times"]
        return min(int(each[0]) for each in found if len(each)), max(int(each[-1]) for each in found if len(each))

    def stored(self, config: Config) -> Stored:
        """What the store has for a configuration, as `runs.stored` reads it there."""
        symbols, panel = tuple(sorted(config.universe.symbols)), self._panel
        bars = Bars(symbols, config.bar_length, {symbol: Series(*self._pair("bars", config.bar_length, symbol)) for symbol in symbols})
        marks = {s: Series(*self._pair("marks", config.bar_length, s)) for s in symbols if self._has("marks", config.bar_length, s)}
        rates = {s: Rates(*self._pair("rates", config.bar_length, s)) for s in symbols if self._has("rates", config.bar_length, s)}
        without = tuple(symbol for symbol in symbols if symbol in panel.without)
        return Stored(bars, {symbol: panel.rules[symbol] for symbol in symbols}, without, Upkeep(marks, rates))

    def _has(self, kind: str, length: timedelta, symbol: str) -> bool:
        return (*_place(kind, length, symbol), "times") in self._panel.entries

    def _pair(self, kind: str, length: timedelta, symbol: str) -> tuple[Array, Array]:
        place = _place(kind, length, symbol)
        return self._array((*place, "times")), self._array((*place, "values"))

    def _array(self, place: Place) -> Array:
        entry = self._panel.entries[place]
        kind = np.dtype(entry.dtype)
        end = entry.offset + kind.itemsize * int(np.prod(entry.shape))
        return self._mapped[entry.offset : end].view(kind).reshape(entry.shape)


class Needs:
    """What some configurations need of a store: symbols, for each length of bars and kind of market."""

    def __init__(self) -> None:
        self._found: dict[tuple[timedelta, str], tuple[Config, set[str]]] = {}

    def add(self, config: Config) -> None:
        """One more configuration."""
        _, symbols = self._found.setdefault((config.bar_length, config.exchange.market), (config, set()))
        symbols.update(config.universe.symbols)

    def configs(self) -> Iterator[Config]:
        """A configuration for each length of bars, with every symbol that is needed of it."""
        for config, symbols in self._found.values():
            yield config.model_copy(update={"universe": config.universe.model_copy(update={"symbols": tuple(sorted(symbols))})})


def written(path: Path, needs: Needs, data: Path) -> Panel:
    """Read what is needed of a store, and write it to `path` in one piece.

    Raises:
        DataError: the store cannot be used, or the file cannot be written.
    """
    arrays: dict[Place, Array] = {}
    rules: dict[str, Instrument] = {}
    without: set[str] = set()
    for config in needs.configs():
        found = stored(config, data, None)
        arrays |= _arrays(found)
        rules |= found.rules
        without.update(found.without)
    digest = blake2b(repr(sorted(rules.items())).encode(), digest_size=16)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        entries, size = _put(path, arrays, digest)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); name another directory with --out") from None
    return Panel(path, size, digest.hexdigest(), entries, rules, frozenset(without))


def _arrays(found: Stored) -> dict[Place, Array]:
    length = found.bars.timeframe
    pairs: list[tuple[Place, tuple[Array, Array]]] = [
        *((_place("bars", length, symbol), (each.closes, each.values)) for symbol, each in found.bars.series.items()),
        *((_place("marks", length, symbol), (each.closes, each.values)) for symbol, each in found.kept.marks.items()),
        *((_place("rates", length, symbol), (each.times, each.rates)) for symbol, each in found.kept.rates.items()),
    ]
    return {(*place, name): array for place, pair in pairs for name, array in zip(("times", "values"), pair, strict=True)}


def _place(kind: str, length: timedelta, symbol: str) -> Place:
    return kind, f"{length.total_seconds():g}", symbol


def _put(path: Path, arrays: Mapping[Place, Array], digest: "blake2b") -> tuple[dict[Place, Entry], int]:
    """Write the arrays one behind the other; where each of them is, and how long the file is."""
    entries: dict[Place, Entry] = {}
    offset = 0
    partial = path.with_name(path.name + ".part")
    # By write() and not through a mapping: on a full disk that raises, where a store into a mapped page would kill the process.
    with partial.open("wb") as stream:
        for place in sorted(arrays):
            array = np.ascontiguousarray(arrays[place])
            raw = array.tobytes()
            entries[place] = Entry(offset, array.dtype.str, array.shape)
            padded = raw + bytes(-len(raw) % ALIGNED)
            digest.update(repr((place, array.dtype.str, array.shape)).encode())
            digest.update(raw)
            stream.write(padded)
            offset += len(padded)
    partial.replace(path)
    return entries, offset
