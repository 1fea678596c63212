"""Run: the folder of a backtest, read back as columns.

Rule: whatever is shown of a run comes from its files alone, so that a report can be made anew at any time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.config.values import parse_duration
from daemon.core.model import Floats
from daemon.research.bars import DataError

Ints = NDArray[np.int64]
Texts = NDArray[np.object_]
TEXT = frozenset({"strategy", "symbol", "name", "side", "fee_asset", "order_id", "decision_id", "reason", "of", "symbol_a", "symbol_b"})


@dataclass(frozen=True)
class Run:
    """One folder. Tables are columns by name; moments are UTC ms, money is quote, weights are shares of equity."""

    folder: Path
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the configuration calls itself."""
        return str(self.summary["settings"]["name"])

    @property
    def kind(self) -> str:
        """What it is of: a backtest, or a journal (live)."""
        return str(self.summary.get("of", "backtest"))

    @property
    def quote(self) -> str:
        """The asset that everything is measured in."""
        return str(self.summary["settings"]["universe"]["quote"])

    @property
    def timeframe(self) -> timedelta:
        """The length of a bar."""
        return parse_duration(str(self.summary["period"]["timeframe"])) or timedelta(0)

    @cached_property
    def equity(self) -> Mapping[str, Any]:
        """`timestamp`, `equity`, `cash`, `gross`, `net`, `drawdown` at each close."""
        return self.table("equity")

    @cached_property
    def orders(self) -> Mapping[str, Any]:
        """The orders, oldest first."""
        return self.table("orders")

    @cached_property
    def fills(self) -> Mapping[str, Any]:
        """The trades, oldest first."""
        return self.table("fills")

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of the run, in order."""
        from daemon.research.arrow import parquet  # heavy, and only files of a backtest need it

        return tuple(name for name in parquet.read_schema(self._path("closes")).names if name != "timestamp")

    def closes(self, symbol: str) -> Floats:
        """The last close of a symbol at each row of `equity`, NaN before its first bar."""
        column: Floats = self.table("closes", symbol)[symbol]
        return column

    def table(self, name: str, *columns: str) -> Mapping[str, Any]:
        """The columns of a file, all of them unless some are named.

        Raises:
            DataError: it is not there, or cannot be read.
        """
        from daemon.research.arrow import pa, parquet

        path = self._path(name)
        try:
            with parquet.ParquetFile(path) as file:
                read = file.read(columns=list(columns) or None)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        return {column: read.column(column).to_numpy(zero_copy_only=False) for column in read.column_names}

    def signals_at(self, opened: Ints) -> Mapping[str, Any]:
        """The signals of the bars that opened at these moments."""
        from daemon.research.arrow import parquet

        # By far the largest file: it is looked through part by part, and texts are made of the few rows that are wanted.
        with parquet.ParquetFile(self._path("signals"), read_dictionary=["strategy", "symbol", "name"]) as file:
            parts = [_picked(file.read_row_group(part), opened) for part in range(file.num_row_groups)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _path(self, name: str) -> Path:
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; run `rebalanced backtest` again with this folder as --out")
        return path


def _picked(table: Any, opened: Ints) -> dict[str, Any]:
    """The rows of signals of the bars that opened at these moments."""
    rows = np.flatnonzero(np.isin(table.column("bar_open").to_numpy(), opened))
    found: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in TEXT:
            found[name] = np.array([*column.dictionary.to_pylist(), None], object)[column.indices.to_numpy()[rows]]
        else:
            found[name] = column.to_numpy()[rows]
    return found


def open_run(folder: Path) -> Run:
    """The run whose files lie in a folder.

    Raises:
        DataError: there is none, or its summary cannot be understood.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise DataError(f"{folder} is not the folder of a backtest: it has no summary.json; name the one that was given to --out")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        run = Run(folder, summary)
        known = bool(run.name and run.quote and run.timeframe and "assumptions" in summary)
    except (OSError, ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise DataError(f"{path} is not the summary of a backtest of this version; run `rebalanced backtest` again")
    return run
