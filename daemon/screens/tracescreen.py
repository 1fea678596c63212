"""Trace: the stages of one wave and how long each took, read from a running daemon or from the journal, as a table.

Rule: what was measured is shown as it was; a wave that was not measured (a journal of an older program) is told as such.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from daemon.core.plain import plain
from daemon.io.journal import ask
from daemon.screens import cells
from daemon.screens.show import NoAnswer, fetch
from daemon.telling.tracing import STAGES
from daemon.telling.views import wave_row

Row = Mapping[str, object]

WAVES_MAX: Final = 1000  # as many as the API gives at once
_TOLD: Final = ("account", "decision_id", "as_of", "sent", "filled", "took_ms", "stages")
_SAYS: Final = {
    "received": "the last bar of the slice came in",
    "slice": "the slice was complete",
    "decided": "the strategies had answered",
    "planned": "limits and planner were through",
    "journalled": "the orders were on disk, synced",
    "first_byte": "the first order was being written to the exchange",
    "acknowledged": "the last order sent had its first answer",
    "settled": "every order had come to its end",
}


class NoSuchWave(Exception):
    """There is no such wave. Its text is one sentence."""


def fetched(url: str, wave: str, account: str, *, token: str | None) -> Row:
    """A wave by its decision, or the newest, of a running daemon. NoAnswer: it cannot be read. NoSuchWave: it knows none."""
    rows = fetch(url, f"/api/v1/decisions?limit={WAVES_MAX}", token=token)
    if not isinstance(rows, list):
        raise NoAnswer(f"what answers at {url} is not rebalanced (its decisions are no list)")
    settled = [{**row["wave"], **({"account": row["account"]} if "account" in row else {})} for row in rows if row.get("wave")]
    return _chosen([row for row in settled if account in ("", row.get("account"))], wave, url)


def journalled(path: Path, wave: str) -> Row:
    """The same out of the file alone. NoSuchWave: it is not there. JournalError: the file cannot be read, or not be trusted."""
    rows = [{key: plain(value) for key, value in wave_row(each).items()} for each in ask(path, lambda reader: reader.waves(WAVES_MAX))]
    return _chosen(rows, wave, str(path))


def _chosen(rows: Sequence[Row], wave: str, where: str) -> Row:
    found = next((row for row in rows if wave in ("", row["decision_id"])), None)
    if found is None:
        if not rows:
            raise NoSuchWave(f"{where} has no wave yet")
        raise NoSuchWave(f"{where} knows no wave of decision {wave} among its last {WAVES_MAX}; the newest is {rows[0]['decision_id']}")
    return {key: found[key] for key in _TOLD if key in found}


def screen(row: Row) -> RenderableType:
    """A line of the wave, and a table of its stages: when each was reached, and how long it took by itself."""
    told = f"wave {row['decision_id']} of {cells.moment(row['as_of'])}: sent {row['sent']}, filled {row['filled']}"
    stages = row.get("stages")
    if not isinstance(stages, Mapping) or not stages:
        return Group(Text(cells.tame(told)), Text("its stages were not measured", style="dim"))
    table = cells.Listing(("stage", "until", "took ms", "at ms"), spare=("until",))
    before = 0.0
    for stage in (each for each in STAGES if each in stages):
        at = float(stages[stage])
        table.add(stage.replace("_", " "), _SAYS[stage], f"{at - before:,.3f}", f"{at:,.3f}")
        before = at
    return Group(Text(cells.tame(told)), table)
