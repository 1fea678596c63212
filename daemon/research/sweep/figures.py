"""Figures of a sweep: how the combinations spread, which values matter, how much is luck, and what was chosen in a walk forward.

Rule: as in the report of a run: every axis says its unit, and under each figure stands how it is worked out.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import isfinite
from typing import Any, Final

import numpy as np

from daemon.core.model import Floats
from daemon.research.report.figures import TIME, Figure, Trace, line, numbers
from daemon.research.sweep.findings import Group, Sweep, median
from daemon.research.sweep.jobs import STRETCHES

BARS: Final = 40  # of a histogram
POINTS: Final = 2000  # of a cloud; more are not told apart
PARAMETERS_DRAWN: Final = 8
MAPS_DRAWN: Final = 6
CELLS_TOLD: Final = 64  # with a number in each of them
LETTER: Final = 8  # pixels
# From this many times its smallest value on, an axis is easier to read in logarithms.
WIDE: Final = 30.0

UNITS: Final = {
    "sharpe": "Sharpe ratio (a year)",
    "sortino": "Sortino ratio (a year)",
    "calmar": "Calmar ratio",
    "return": "return (% of first equity)",
    "cagr": "return a year (%)",
    "final_equity": "final equity",
}
SHARES: Final = frozenset({"return", "cagr"})


def figures(sweep: Sweep) -> Iterator[Figure]:
    """All of them, in the order in which they are read."""
    if sweep.walked:
        yield from _walk(sweep)
    else:
        yield from _curves(sweep)
    yield from _spread(sweep)
    for path in sweep.paths[:PARAMETERS_DRAWN]:
        yield from _stability(sweep, path)
    varied = [path for path in sweep.paths if len(sweep.groups(path)) > 1]
    for place, (one, other) in enumerate(list(combinations(varied, 2))[:MAPS_DRAWN]):
        yield _map(sweep, one, other, place)
    yield from _overfitting(sweep)


def unit(sweep: Sweep) -> str:
    """What is judged by, as an axis calls it."""
    told = UNITS[sweep.by]
    return f"{told} ({sweep.asked['settings']['universe']['quote']})" if sweep.by == "final_equity" else told


def score_name(sweep: Sweep) -> str:
    """What a combination is judged by, in words."""
    return f"mean {unit(sweep)} of the tests" if sweep.walked else unit(sweep)


def _shape(sweep: Sweep) -> str:
    """How a score is told, in d3's format."""
    return ".1%" if sweep.by in SHARES else ",.2f"


def _axis(sweep: Sweep, title: str) -> dict[str, Any]:
    return {"title": {"text": title}, **({"tickformat": ".0%"} if sweep.by in SHARES else {})}


def _curves(sweep: Sweep) -> Iterator[Figure]:
    known = [row for row in np.argsort(-np.nan_to_num(sweep.objective, nan=-np.inf)).tolist() if isfinite(sweep.objective[row])]
    if not known:
        return
    wanted = {"best": known[0], "median": known[(len(known) - 1) // 2], "worst": known[-1]}
    quote = sweep.asked["settings"]["universe"]["quote"]
    traces = [line(f"{name} (run {sweep.table['run'][row]})", *_curve(sweep, row), ",.2f", quote) for name, row in wanted.items()]
    layout = {
        "xaxis": {"type": "date", "title": {"text": TIME}},
        "yaxis": {"title": {"text": f"equity ({quote})"}, "hoverformat": ",.2f"},
        "hovermode": "x unified",
    }
    note = (
        f"Equity of the runs with the highest, the middle and the lowest {unit(sweep)}, between {STRETCHES} equal stretches of the period."
    )
    yield Figure("curves", "Best, median and worst", note, traces[: len(set(wanted.values()))], layout)


def _curve(sweep: Sweep, row: int) -> tuple[Any, Floats]:
    curve = np.array(sweep.table["curve"][row], np.float64)
    return np.linspace(sweep.table["start"][row], sweep.table["end"][row], len(curve)).astype(np.int64), curve


def _spread(sweep: Sweep) -> Iterator[Figure]:
    scores = sweep.scores[np.isfinite(sweep.scores)]
    if len(scores) < 2:
        return
    traces = [_histogram("combinations", scores, _shape(sweep))]
    high = max(traces[0]["y"])
    luck = sweep.luck
    if luck is not None and sweep.by == "sharpe" and not sweep.walked:
        traces.append(_upright(f"best of {luck.trials} by luck", luck.expected, high))
    note = f"How many combinations have which {score_name(sweep)}."
    if len(traces) > 1:
        note += " The line is the highest that so many runs without any skill are expected to reach, see the deflated Sharpe ratio."
    layout = {"xaxis": _axis(sweep, score_name(sweep)), "yaxis": {"title": {"text": "combinations (count)"}}}
    yield Figure("spread", "All combinations", note, traces, layout, tall=18)


def _histogram(name: str, values: Floats, shape: str) -> Trace:
    counts, edges = np.histogram(values, bins=min(BARS, max(5, len(values) // 4)))
    return {
        "type": "bar",
        "name": name,
        "x": numbers((edges[1:] + edges[:-1]) / 2),
        "y": counts.tolist(),
        "width": numbers(np.diff(edges) * 0.95),
        "hovertemplate": f"%{{x:{shape}}}: %{{y}}<extra></extra>",
    }


def _upright(name: str, at: float, high: float) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [at, at],
        "y": [0, high],
        "marker": {"size": 4},
        "hovertemplate": "%{x:.2f}",
    }


def _stability(sweep: Sweep, path: str) -> Iterator[Figure]:
    groups = [group for group in sweep.groups(path) if np.isfinite(group.scores).any()]
    if len(groups) < 2:
        return
    named = isinstance(sweep.table[path][0], str | bool)
    xs: list[Any] = [group.name if named else group.middle for group in groups]
    quarters = [np.quantile(group.scores[np.isfinite(group.scores)], (0.25, 0.75)) for group in groups]
    low, high = (numbers(np.array([pair[side] for pair in quarters])) for side in (0, 1))
    best = numbers(np.array([np.nanmax(group.scores) for group in groups]))
    middle = numbers(np.array([median(group.scores) for group in groups]))
    shape = _shape(sweep)
    traces: list[Trace] = [_cloud(groups, xs, shape)]
    traces += [_through(name, xs, ys, shape) for name, ys in (("lower quarter", low), ("upper quarter", high), ("median", middle))]
    traces[2] |= {"fill": "tonexty", "fillcolor": "rgba(232, 145, 45, 0.15)"}
    traces.append({**_through("best", xs, best, shape), "mode": "markers", "marker": {"symbol": "diamond", "size": 8}})
    explained = sweep.explained(path)
    note = (
        f"{score_name(sweep)} of the combinations with each value of {path}, whatever the other keys are. A value to trust has neighbours "
        f"that do as well. {explained:.0%} of the variance between combinations goes with this key."
    )
    layout = {"xaxis": {"title": {"text": sweep.names[path]}, **_kind(named, xs)}, "yaxis": _axis(sweep, score_name(sweep))}
    yield Figure(f"stability-{sweep.paths.index(path)}", f"Stability: {sweep.names[path]}", note, traces, layout, tall=20)


def _kind(named: bool, xs: Sequence[Any]) -> dict[str, Any]:  # noqa: FBT001 - a property of the axis
    if named:
        return {"type": "category"}
    return {"type": "log", "dtick": "D2"} if min(xs) > 0 and max(xs) > WIDE * min(xs) else {}


def _cloud(groups: Sequence[Group], xs: Sequence[Any], shape: str) -> Trace:
    dots = [(x, score) for x, group in zip(xs, groups, strict=True) for score in group.scores.tolist() if isfinite(score)]
    dots = dots[:: -(-len(dots) // POINTS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "combination",
        "x": [x for x, _ in dots],
        "y": numbers(np.array([y for _, y in dots])),
        "marker": {"size": 5, "opacity": 0.35},
        "hovertemplate": f"%{{x}}: %{{y:{shape}}}<extra></extra>",
    }


def _through(name: str, xs: Sequence[Any], ys: Sequence[float | None], shape: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(xs),
        "y": list(ys),
        "line": {"width": 2 if name == "median" else 1},
        "marker": {"size": 6 if name == "median" else 3},
        "hovertemplate": f"{name} %{{x}}: %{{y:{shape}}}<extra></extra>",
    }


def _map(sweep: Sweep, one: str, other: str, place: int) -> Figure:
    columns, rows, middles = sweep.cells(one, other)
    known = middles[np.isfinite(middles)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    # Where all are on one side of 0, the colours tell them from each other, else from 0.
    middle = 0.0 if low < 0 < high else (low + high) / 2
    reach = max(high - middle, middle - low, 1e-9)
    shape = _shape(sweep)
    trace = {
        "type": "heatmap",
        "x": columns,
        "y": rows,
        "z": [numbers(row) for row in middles],
        "zmin": middle - reach,
        "zmax": middle + reach,
        "colorbar": {"title": {"text": f"median {unit(sweep)}", "side": "right"}, "thickness": 12, "tickformat": shape},
        "hovertemplate": f"{sweep.names[one]} %{{x}}<br>{sweep.names[other]} %{{y}}: %{{z:{shape}}}<extra></extra>",
        "texttemplate": f"%{{z:{shape}}}" if middles.size <= CELLS_TOLD else "",
    }
    layout = {
        "xaxis": {"title": {"text": sweep.names[one]}, "type": "category", "dtick": 1},
        "yaxis": {"title": {"text": sweep.names[other]}, "type": "category", "dtick": 1},
        "margin": {"l": _room(rows), "b": 24 + _room(columns)},  # where there is little room, names stand upright
    }
    note = (
        f"The median {score_name(sweep)} of the combinations with both values. Blue is high, red low; a high cell among low ones is luck "
        "more often than skill."
    )
    return Figure(f"map-{place}", f"{sweep.names[one]} and {sweep.names[other]}", note, [trace], layout, tall=24)


def _room(names: Sequence[str]) -> int:
    """Pixels that names beside an axis take, and its title."""
    return 36 + LETTER * max(map(len, names))


def _overfitting(sweep: Sweep) -> Iterator[Figure]:
    if not len(sweep.logits):
        return
    note = (
        "The period is cut into 16 blocks. For every half of them, the combination with the best Sharpe ratio in it is looked up in the "
        "other half: ln(w / (1 − w)) of its rank w there, from the worst. At 0 or below, the choice did no better than the middle: so it "
        f"was in {sweep.overfitted:.0%} of the halves, the probability of overfitting (Bailey, Borwein, López de Prado and Zhu 2017)."
    )
    traces = [_histogram("halves", sweep.logits, ".2f"), _upright("the middle", 0.0, 1.0)]
    traces[1]["y"] = [0, max(traces[0]["y"])]
    layout = {"xaxis": {"title": {"text": "logit of the rank in the other half"}}, "yaxis": {"title": {"text": "halves (count)"}}}
    yield Figure("overfitting", "Overfitting", note, traces, layout, tall=18)


# --- walking forward -------------------------------------------------------------------------------------------------


def _walk(sweep: Sweep) -> Iterator[Figure]:
    times, worth = sweep.chained
    if len(times):
        layout = {
            "xaxis": {"type": "date", "title": {"text": TIME}},
            "yaxis": {"title": {"text": "worth (of 1 at the beginning)"}},
            "hovermode": "x unified",
        }
        note = "What became of a unit of money that traded in each test what had been chosen before it; each test begins anew, in cash."
        yield Figure("forward", "Out of sample", note, [line("what was chosen", times, worth, ".3f")], layout)
    yield _against(sweep)
    yield from (_choices(sweep, path) for path in sweep.paths[:PARAMETERS_DRAWN] if sweep.steps)


def _against(sweep: Sweep) -> Figure:
    """Each combination in each fold: where it could be chosen, and where it was judged."""
    half = {part: [row for row in range(len(sweep)) if sweep.table["part"][row] == part] for part in ("train", "test")}
    pairs = np.column_stack([sweep.objective[half["train"]], sweep.objective[half["test"]]])
    dots = pairs[np.isfinite(pairs).all(axis=1)]
    picked = np.array([[sweep.objective[step.train], sweep.objective[step.test]] for step in sweep.steps]).reshape(-1, 2)
    shape = _shape(sweep)
    traces: list[Trace] = [
        _dots("combination", dots[:: -(-len(dots) // POINTS) or 1], shape, {"size": 5, "opacity": 0.35}),
        _dots("chosen", picked, shape, {"symbol": "diamond", "size": 9}),
    ]
    together = float(np.corrcoef(dots[:, 0], dots[:, 1])[0, 1]) if len(dots) > 2 and (dots.std(axis=0) > 0).all() else float("nan")
    told = f" Over all of them, the correlation of the two is {together:.2f}." if isfinite(together) else ""
    note = f"Each combination in each fold: where a choice could be made of it, and in the time after.{told}"
    layout = {"xaxis": _axis(sweep, f"in sample: {unit(sweep)}"), "yaxis": _axis(sweep, f"out of sample: {unit(sweep)}")}
    return Figure("against", "Out of sample against in sample", note, traces, layout)


def _dots(name: str, pairs: Floats, shape: str, marker: dict[str, Any]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": numbers(pairs[:, 0]),
        "y": numbers(pairs[:, 1]),
        "marker": marker,
        "hovertemplate": f"{name}: %{{x:{shape}}}, then %{{y:{shape}}}<extra></extra>",
    }


def _choices(sweep: Sweep, path: str) -> Figure:
    values = [sweep.table[path][step.test] for step in sweep.steps]
    named = isinstance(values[0], str | bool)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": path,
        "x": [f"fold {step.fold + 1}" for step in sweep.steps],
        "y": [str(value) if named else value for value in values],
        "line": {"shape": "hv", "width": 1},
        "hovertemplate": "%{x}: %{y}<extra></extra>",
    }
    axis = {"title": {"text": sweep.names[path]}, **({"type": "category"} if named else {})}
    note = "What was chosen in each fold. A choice that jumps from fold to fold follows chance."
    layout = {"xaxis": {"title": {"text": "fold"}, "type": "category"}, "yaxis": axis}
    return Figure(f"choice-{sweep.paths.index(path)}", f"Chosen: {sweep.names[path]}", note, [trace], layout, tall=14)
