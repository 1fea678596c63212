"""Files: what a sweep leaves: what was asked for, rows as they come, and in the end one table of them.

Rule: a row that has been written is never made again, and the same rows are the same bytes, in whatever order and over however many starts
they have come. What was cut off by a crash is made again.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from daemon.config import Changes
from daemon.config.values import number
from daemon.research.bars import DataError
from daemon.research.sweep.jobs import FIGURES, MOMENTS, Job, Row

ASKED: Final = "sweep.json"
TABLE: Final = "sweep.parquet"
ROWS: Final = "runs.jsonl"
PANEL: Final = "panel.bin"
WHOLE: Final = frozenset({"run", "fold", "start", "end", "bars", "trades", "symbol_bars"})
TEXT: Final = frozenset({"part", "warnings", "error"})
COLUMNS: Final = ("start", "end", "bars", *FIGURES, *MOMENTS, "symbol_bars", "warnings", "error", "curve")


@dataclass(frozen=True, slots=True)
class Placed:
    """A job and where it stands in a walk forward: its fold, and whether a choice is made of it (`train`) or judged by it (`test`)."""

    job: Job
    fold: int | None = None
    part: str | None = None


class Folder:
    """The directory of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def complete(self) -> bool:
        """Whether the table is there."""
        return (self.path / TABLE).is_file()

    def claim(self, asked: Mapping[str, Any]) -> None:
        """Say that this sweep is here.

        Raises:
            DataError: another one is, or it cannot be written.
        """
        there = self.asked()
        if there is None:
            self.note(asked)
        elif there != json.loads(json.dumps(asked)):
            what = ", ".join(sorted(key for key in {*there, *asked} if there.get(key) != json.loads(json.dumps(asked.get(key)))))
            raise DataError(
                f"{self.path} has another sweep, which differs in {what}; name another directory with --out, or remove this one"
            )

    def asked(self) -> dict[str, Any] | None:
        """What was asked for here; None: nothing yet.

        Raises:
            DataError: it cannot be understood.
        """
        path = self.path / ASKED
        if not path.is_file():
            return None
        try:
            asked: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["asked"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DataError(f"{path} is not what a sweep writes; remove it, or name another directory with --out") from None
        return asked

    def note(self, asked: Mapping[str, Any], found: Mapping[str, Any] | None = None) -> None:
        """Write what was asked for, and once it is known what was found."""
        text = json.dumps({"asked": asked, "found": found}, indent=2, ensure_ascii=False)
        self._put(ASKED, (text + "\n").encode())

    @contextmanager
    def rows(self) -> Iterator["Rows"]:
        """The rows that are there, and the place for more. Raises DataError: another process is at it, or it cannot be written."""
        path = self.path / ROWS
        try:
            with path.open("a+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield Rows(path, stream)
        except BlockingIOError:
            raise DataError(f"{self.path} is being written by another sweep; wait for it, or name another directory with --out") from None
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}); make room, and start the same sweep again") from None

    def finish(self, placed: Sequence[Placed], rows: Mapping[int, Row], chosen: frozenset[int]) -> None:
        """Write the table of all rows, and remove what led to it. `chosen`: the runs that a walk forward has chosen."""
        import pyarrow as pa  # heavy, and only files need it
        from pyarrow import parquet

        columns = {name: pa.array(values, kind) for name, (kind, values) in _columns(placed, rows, chosen).items()}
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table(columns), sink, compression="zstd")
        self._put(TABLE, sink.getvalue().to_pybytes())
        self.tidy()

    def tidy(self) -> None:
        """Remove what is needed only on the way."""
        for name in (ROWS, PANEL):
            (self.path / name).unlink(missing_ok=True)

    def table(self) -> dict[str, list[Any]]:
        """The columns of the table.

        Raises:
            DataError: it is not there, or cannot be read.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            columns: dict[str, list[Any]] = parquet.read_table(self.path / TABLE).to_pydict()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path / TABLE} cannot be read ({error}); remove it and start the same sweep again") from None
        return columns

    def _put(self, name: str, content: bytes) -> None:
        path = self.path / name
        partial = path.with_name(f"{name}.part")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}); name another directory with --out") from None


class Rows:
    """The rows of a sweep that is under way, a line of JSON each."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path = path
        self._stream = stream

    def known(self) -> dict[int, Row]:
        """The rows that are there by their run; a line that a crash has cut off is taken away."""
        self._stream.seek(0)
        found: dict[int, Row] = {}
        whole = 0
        for line in self._stream:
            row = _read(line)
            if row is None:
                break
            found[row["run"]] = row
            whole += len(line)
        self._stream.truncate(whole)
        return found

    def add(self, rows: Iterable[Row]) -> None:
        """Keep some more."""
        for row in rows:
            self._stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._stream.flush()


def _read(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("run"), int) else None


def _columns(placed: Sequence[Placed], rows: Mapping[int, Row], chosen: frozenset[int]) -> dict[str, tuple[Any, list[Any]]]:
    """By name, the type and the values of each column."""
    import pyarrow as pa

    def kind(name: str) -> Any:
        if name == "curve":
            return pa.list_(pa.float64())
        return pa.int64() if name in WHOLE else pa.string() if name in TEXT else pa.float64()

    columns: dict[str, tuple[Any, list[Any]]] = {"run": (pa.int64(), [each.job.run for each in placed])}
    if any(each.fold is not None for each in placed):
        columns["fold"] = pa.int64(), [each.fold for each in placed]
        columns["part"] = pa.string(), [each.part for each in placed]
        columns["chosen"] = pa.bool_(), [each.job.run in chosen for each in placed]
    for path in placed[0].job.changes:
        columns[path] = _parameter([each.job.changes[path] for each in placed])
    for name in COLUMNS:
        columns[name] = kind(name), [rows[each.job.run].get(name) for each in placed]
    return columns


def _parameter(values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Numbers as such, anything else as the text that it would be in a file."""
    import pyarrow as pa

    if all(isinstance(value, bool) for value in values):
        return pa.bool_(), list(values)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return pa.int64(), list(values)
    if all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in values):
        return pa.float64(), [float(value) for value in values]
    return pa.string(), [text(value) for value in values]


def text(value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=lambda inner: number(inner) if isinstance(inner, Decimal) else str(inner))


def written(changes: Changes) -> dict[str, str]:
    """A combination, each value as a text."""
    return {path: text(value) for path, value in changes.items()}
