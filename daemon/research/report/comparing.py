"""Comparing: two runs side by side, as a table for a terminal and as a page.

Rule: numbers are those of the two summaries; what makes the runs hard to compare is said before anything else.
"""

from collections.abc import Iterator, Mapping
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Group
from rich.text import Text

from daemon.core.analyzer_measures import drawdowns
from daemon.core.model import Floats
from daemon.research.report import measures
from daemon.research.report.figures import Figure, line, over_time
from daemon.research.report.making import DEFINITIONS, HEADLINES, period, remark, table, told
from daemon.research.report.page import listed, page, plot, save
from daemon.research.report.run import Ints, Run, open_run
from daemon.screens.cells import Listing

NOT_SET: Final = "–"
# What differs between any two runs and says nothing of them.
SILENT: Final = frozenset({"name", "journal.path", "api.port"})


class Pair:
    """Two runs; `names` tells them apart: where they are called the same, by what they are of, else by their folders."""

    def __init__(self, first: Path, second: Path) -> None:
        """Open both.

        Raises:
            DataError: one of them is no run.
        """
        self.runs = (open_run(first), open_run(second))
        called, kinds = [run.name for run in self.runs], [run.kind for run in self.runs]
        if called[0] == called[1]:
            called = [str(first), str(second)] if kinds[0] == kinds[1] else [f"{run.name} ({run.kind})" for run in self.runs]
        self.names = called

    def figures(self) -> Iterator[tuple[str, str, str, str]]:
        """Each headline figure: what it is, of the first, of the second, and the second less the first."""
        for key, label, how, money in HEADLINES:
            one, two = (run.summary[key] for run in self.runs)
            known = all(value is not None and isfinite(value) for value in (one, two))
            unit = f" ({', '.join(dict.fromkeys(run.quote for run in self.runs))})" if money else ""
            yield label + unit, told(one, how), told(two, how), _signed(how(two - one)) if known else NOT_SET

    def settings(self) -> Iterator[tuple[str, str, str]]:
        """Each setting that differs: its dotted key, of the first, of the second."""
        one, two = (dict(_flat(run.summary["settings"])) for run in self.runs)
        for key in dict.fromkeys([*one, *two]):
            if one.get(key) != two.get(key) and key not in SILENT:
                yield key, _written(one.get(key)), _written(two.get(key))

    def differences(self) -> Iterator[str]:
        """What makes them hard to compare, a sentence each."""
        one, two = self.runs
        for what, of in (
            ("start", "start at different times"),
            ("end", "end at different times"),
            ("timeframe", "have bars of different lengths"),
        ):
            if one.summary["period"][what] != two.summary["period"][what]:
                yield f"they {of}: {one.summary['period'][what]} and {two.summary['period'][what]}"
        if one.quote != two.quote:
            yield f"they are measured in different currencies: {one.quote} and {two.quote}"
        if one.symbols != two.symbols:
            yield f"they trade different symbols: {len(set(one.symbols) & set(two.symbols))} are the same"

    def together(self) -> float:
        """Pearson's correlation of the returns of both over the closes that both have; NaN where there are too few."""
        common, left, right = np.intersect1d(*(run.equity["timestamp"] for run in self.runs), return_indices=True)
        if len(common) < 3:
            return float("nan")
        moves = [measures.returns_of(run.equity["equity"][rows]) for run, rows in zip(self.runs, (left, right), strict=True)]
        return float(np.corrcoef(moves[0], moves[1])[0, 1]) if all(move.std() > 0 for move in moves) else float("nan")


def mapping(pair: Pair) -> dict[str, object]:
    """For machines: the names, each headline figure of the two, each setting that differs, and what makes them hard to compare."""
    one, two = (run.summary for run in pair.runs)
    return {
        "runs": list(pair.names),
        "figures": {key: [one[key], two[key]] for key, *_ in HEADLINES},
        "settings": {key: [first, second] for key, first, second in pair.settings()},
        "differences": list(pair.differences()),
    }


def in_words(pair: Pair) -> Group:
    """For a terminal."""
    listing = Listing(["figure", *pair.names, "difference"], pair.figures())
    settings = Listing(["setting", *pair.names], pair.settings())
    lines = [f"note: {sentence}" for sentence in pair.differences()]
    lines += [f"correlation of their returns {told(pair.together(), '{:.2f}'.format)}"]
    warned = [
        f"warning of {name}: {each['text']} ({each['code']})"
        for name, run in zip(pair.names, pair.runs, strict=True)
        for each in run.summary["warnings"]
    ]
    return Group(listing, settings, *(Text(text) for text in [*lines, *warned]))


def write(pair: Pair, path: Path) -> None:
    """The page of two runs.

    Raises:
        DataError: it cannot be written, or a file of a run is missing.
    """
    drawn = list(_figures(pair))
    names = [escape(name) for name in pair.names]
    settings = [[escape(cell) for cell in row] for row in pair.settings()]
    hard = list(pair.differences())
    warning = f'<section class="warned"><h2>Hard to compare</h2>{listed([escape(each) for each in hard])}</section>' if hard else ""
    figures = table(["figure", *names, "difference"], [[*map(escape, row)] for row in pair.figures()])
    together = f"The correlation of their returns is {told(pair.together(), '{:.2f}'.format)}."
    body = "\n".join(
        [
            warning,
            f'<section id="figures"><h2>Figures</h2>{figures}<p class="soft">{escape(DEFINITIONS)} {together}</p></section>',
            f'<section id="settings"><h2>Settings that differ</h2>{table(["setting", *names], settings)}</section>' if settings else "",
            *(plot(figure) for figure in drawn),
            f'<div class="side">{"".join(_remarks(name, run) for name, run in zip(names, pair.runs, strict=True))}</div>',
        ]
    )
    lead = "; ".join(f"{name}: {period(run)}" for name, run in zip(pair.names, pair.runs, strict=True))
    data = {"figures": {figure.key: figure.plotted for figure in drawn}}
    save(path, page(f"{pair.names[0]} and {pair.names[1]}", lead, body, data))


def _figures(pair: Pair) -> Iterator[Figure]:
    curves: list[tuple[str, Ints, Floats]] = [
        (name, run.equity["timestamp"], run.equity["equity"] / run.equity["equity"][0])
        for name, run in zip(pair.names, pair.runs, strict=True)
    ]
    grown = [line(name, times, curve, ".3f") for name, times, curve in curves]
    yield Figure("equity", "Equity", "Equity at each close over that at the first.", grown, over_time("equity (times the first)"))
    falls = [line(name, times, -drawdowns(curve), ".2%") for name, times, curve in curves]
    note = "Distance below the highest value so far, as a share of it."
    yield Figure("drawdown", "Drawdown", note, falls, over_time("drawdown (% of peak)", tickformat=".0%"), tall=16)
    rolled = [(name, *measures.rolling(run)) for name, run in zip(pair.names, pair.runs, strict=True)]
    windows = " and ".join(dict.fromkeys(str(measures.window(run)) for run in pair.runs))
    sharpe = [line(name, times, values, ".2f") for name, times, values, _ in rolled]
    note = f"Mean return a year over volatility a year, both of the returns of the last {windows} bars."
    yield Figure("sharpe", "Rolling Sharpe ratio", note, sharpe, over_time("Sharpe ratio (a year)"), tall=16)
    volatility = [line(name, times, values, ".1%") for name, times, _, values in rolled]
    note = f"Population standard deviation of the returns of the last {windows} bars, a year."
    layout = over_time("volatility (% a year)", tickformat=".0%", rangemode="tozero")
    yield Figure("volatility", "Rolling volatility", note, volatility, layout, tall=16)


def _remarks(name: str, run: Run) -> str:
    kinds = (("Warnings", "warnings"), ("Assumptions", "assumptions"))
    lists = "".join(
        f"<h3>{heading}</h3>{listed([remark(each) for each in run.summary[kind]])}" for heading, kind in kinds if run.summary[kind]
    )
    return f"<section><h2>{name}</h2>{lists}</section>"


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of settings by its dotted key; the places of a list are numbers."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if not inner:
        yield path, value
        return
    for key, item in inner:
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _written(value: Any) -> str:
    return NOT_SET if value is None else str(value)
