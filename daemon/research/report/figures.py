"""Figures: what a report draws, as plotly's own data and layouts, without colours, which belong to the page.

Rule: every axis says its unit; under each figure stand the definitions of what it shows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from daemon.core.model import Floats
from daemon.research.report import measures
from daemon.research.report.measures import Part
from daemon.research.report.run import Ints, Run
from daemon.research.report.thinning import evenly, extremes

DIGITS: Final = 6  # significant ones, finer than a pixel
TIME: Final = "time (UTC)"
WEIGHT_POINTS: Final = 500  # for each symbol
# More would be hardly told apart by eye: the rest is drawn as one, or left out where the text says so.
SYMBOLS_DRAWN: Final = 12
CORRELATED_DRAWN: Final = 40
LETTER: Final = 8  # pixels
MONTHS_NAMED: Final = 5  # on an axis, which is to have room for them on a phone

Trace = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture: its anchor, its heading, what is drawn, and how it is to be read. `tall`: in lines of text."""

    key: str
    title: str
    note: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any]
    tall: int = 22

    @property
    def plotted(self) -> dict[str, Any]:
        """What plotly needs."""
        return {"data": self.traces, "layout": self.layout}


def figures(run: Run, parts: Sequence[Part]) -> list[Figure]:
    """All of them, in the order in which they are read."""
    makers: list[Callable[[Run, list[Part]], Iterator[Figure]]] = [_equity, _weights, _rolling, _contributions, _costs, _correlations]
    return [figure for make in makers for figure in make(run, list(parts))]


def numbers(values: Floats) -> list[float | None]:
    """Values for a picture: as short as they may be, null where there is none."""
    return [float(f"{value:.{DIGITS}g}") if value == value else None for value in values.tolist()]


def line(name: str, times: Ints, values: Floats, shown: str, unit: str = "") -> Trace:
    """A curve, thinned; `shown` is how a value of it is told, in d3's format."""
    rows = extremes(values)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": times[rows].tolist(),
        "y": numbers(values[rows]),
        "hovertemplate": f"%{{y:{shown}}} {unit}".rstrip(),
    }


def over_time(unit: str, **more: Any) -> dict[str, Any]:
    """The layout of what is drawn over time."""
    axis = {"title": {"text": unit}, **more}
    return {"xaxis": {"type": "date", "title": {"text": TIME}}, "yaxis": axis, "hovermode": "x unified"}


def _equity(run: Run, parts: list[Part]) -> Iterator[Figure]:
    times, equity = run.equity["timestamp"], run.equity["equity"]
    first, held = measures.held_first(run, parts)
    equal = measures.held_equally(run, parts)
    curves = [(run.name, equity), ("hold equal weight", equal), (f"hold {first}", held)]
    note = (
        "Equity at each close. Benchmarks buy at the first close of the period and do nothing more: equal amounts of every symbol that has "
        f"a price then, and everything into {first}, the first symbol of the configuration; both without fees."
    )
    traces = [line(name, times, curve, ",.2f", run.quote) for name, curve in curves if np.isfinite(curve).any()]
    yield Figure("equity", "Equity", note, traces, over_time(f"equity ({run.quote})", hoverformat=",.2f"))
    falls = [(name, -(1 - curve / np.fmax.accumulate(curve))) for name, curve in curves if np.isfinite(curve).any()]
    drawn = [line(name, times, curve, ".2%") for name, curve in falls]
    drawn[0]["fill"] = "tozeroy"
    yield Figure(
        "drawdown",
        "Drawdown",
        "Distance below the highest value so far, as a share of it.",
        drawn,
        over_time("drawdown (% of peak)", tickformat=".0%"),
        tall=16,
    )


def _weights(run: Run, parts: list[Part]) -> Iterator[Figure]:
    rows = evenly(len(run.equity["timestamp"]), WEIGHT_POINTS)
    times = run.equity["timestamp"][rows].tolist()
    ranked = sorted((part for part in parts if part.weights.any()), key=lambda part: -float(np.abs(part.weights).mean()))
    drawn = [(part.symbol, part.weights[rows]) for part in ranked[:SYMBOLS_DRAWN]]
    if len(ranked) > SYMBOLS_DRAWN:
        drawn.append(("the rest", np.sum([part.weights[rows] for part in ranked[SYMBOLS_DRAWN:]], axis=0)))
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": symbol,
            "x": times,
            "y": numbers(side),
            "stackgroup": group,
            "legendgroup": symbol,
            "showlegend": group == "long" or not (weights > 0).any(),
            "line": {"width": 0.5, "shape": "hv"},
            "hovertemplate": "%{y:.1%}",
        }
        for symbol, weights in drawn
        for group, side in (("long", np.maximum(weights, 0.0)), ("short", np.minimum(weights, 0.0)))
        if side.any()
    ]
    note = (
        "What is held of each symbol at its last close, as a share of equity; what is left to 100 % is cash. "
        f"Drawn at {len(rows)} of {len(run.equity['timestamp'])} closes."
    )
    yield Figure("weights", "Weights", note, traces, over_time("weight (% of equity)", tickformat=".0%"))


def _rolling(run: Run, _: list[Part]) -> Iterator[Figure]:
    times, sharpe, volatility = measures.rolling(run)
    over = f"the last {measures.window(run)} bars"
    yield Figure(
        "sharpe",
        "Rolling Sharpe ratio",
        f"Mean return a year over volatility a year, both of the returns of {over}; no interest on cash.",
        [line("Sharpe ratio", times, sharpe, ".2f")],
        over_time("Sharpe ratio (a year)"),
        tall=16,
    )
    yield Figure(
        "volatility",
        "Rolling volatility",
        f"Population standard deviation of the returns of {over}, times the root of the bars of a year of 365 days.",
        [line("volatility", times, volatility, ".1%")],
        over_time("volatility (% a year)", tickformat=".0%", rangemode="tozero"),
        tall=16,
    )


def _contributions(run: Run, parts: list[Part]) -> Iterator[Figure]:
    begun = float(run.equity["equity"][0])
    rest = measures.unexplained(run, parts)
    gains = [(part.symbol, part.profit / begun) for part in parts if part.trades or part.profit]
    if abs(rest) > 1e-6 * begun:
        gains.append(("funding", rest / begun))
    yield Figure(
        "return",
        "Contribution to return",
        "Profit of each symbol over the equity at the beginning: what it is worth in the end, less what was paid for it, fees included. "
        "All together are the return of the period.",
        [_bars(gains, ".2%")],
        _ranked(gains, "contribution (% of first equity)"),
    )
    risks = [(part.symbol, part.risk) for part in parts if part.trades and part.risk == part.risk]
    yield Figure(
        "risk",
        "Contribution to risk",
        "cov(c, R) / var(R), with R the account's return of each bar and c the symbol's part of it: together 100 %. Below 0, a symbol "
        "has calmed the account.",
        [_bars(risks, ".1%")],
        _ranked(risks, "contribution (% of variance)"),
    )


def _bars(rows: Sequence[tuple[str, float]], shown: str) -> Trace:
    """Bars from the smallest at the bottom to the largest at the top."""
    ordered = sorted(rows, key=lambda row: row[1])
    values = numbers(np.array([value for _, value in ordered]))
    return {
        "type": "bar",
        "orientation": "h",
        "y": [name for name, _ in ordered],
        "x": values,
        "hovertemplate": f"%{{y}}: %{{x:{shown}}}<extra></extra>",
    }


def _ranked(rows: Sequence[tuple[str, float]], unit: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": unit}, "tickformat": ".0%", "zeroline": True},
        "yaxis": {"title": {"text": "symbol"}, "type": "category", "dtick": 1},
        "margin": {"l": _room([name for name, _ in rows])},
        "showlegend": False,
    }


def _room(names: Sequence[str]) -> int:
    """Pixels that names beside an axis take, and its title."""
    return 36 + LETTER * max(map(len, names), default=0)


def _costs(run: Run, _: list[Part]) -> Iterator[Figure]:
    turned = [_monthly("turnover", run, measures.turnover(run), "")]
    note = "What was bought and sold in each month, each trade over the equity at the close before it."
    yield Figure("turnover", "Turnover", note, turned, _by_month(turned, "turnover (times equity a month)"), tall=16)
    costs = [_monthly("fees", run, measures.fees(run), run.quote), _monthly("price", run, measures.shortfall(run), run.quote)]
    note = (
        "Of each month: fees, those in base at the price of their trade, and what the fills cost more than at the closes they were planned "
        "at, by slippage and by what the market did until then; below 0, they cost less."
    )
    yield Figure("costs", "Costs", note, costs, _by_month(costs, f"costs ({run.quote} a month)"), tall=16)


def _monthly(name: str, run: Run, values: Floats, unit: str) -> Trace:
    names, _ = measures.months(run.equity["timestamp"])
    return {
        "type": "bar",
        "name": name,
        "x": [f"{year}-{month:02d}" for year, month in names],
        "y": numbers(measures.by_month(run, values)),
        "hovertemplate": f"%{{x}}: %{{y:,.2f}} {unit}".rstrip() + "<extra></extra>",
    }


def _by_month(traces: Sequence[Trace], unit: str) -> dict[str, Any]:
    when = traces[0]["x"]
    named = when[:: -(-len(when) // MONTHS_NAMED)]
    return {
        "xaxis": {"type": "category", "title": {"text": "month (UTC)"}, "tickvals": named, "tickangle": 0},
        "yaxis": {"title": {"text": unit}},
        "barmode": "relative",
    }


def _correlations(run: Run, parts: list[Part]) -> Iterator[Figure]:
    ranked = sorted(parts, key=lambda part: (-part.traded, part.symbol))[:CORRELATED_DRAWN]
    symbols = sorted(part.symbol for part in ranked)
    known = run.table("correlations")
    found = dict(zip(zip(known["symbol_a"], known["symbol_b"], strict=True), known["correlation"].tolist(), strict=True))
    grid = [numbers(np.array([found[a, b] for b in symbols])) for a in symbols]
    bases = [symbol.split("/")[0] for symbol in symbols]
    trace = {
        "type": "heatmap",
        "x": bases,
        "y": bases,
        "z": grid,
        "zmin": -1,
        "zmax": 1,
        "colorbar": {"title": {"text": "correlation (−1 to 1)", "side": "right"}, "thickness": 12},
        "hovertemplate": "%{y} and %{x}: %{z:.2f}<extra></extra>",
        "texttemplate": "%{z:.2f}" if len(symbols) <= SYMBOLS_DRAWN else "",
    }
    more = (
        f" The {CORRELATED_DRAWN} most traded of {len(parts)} symbols; correlations.parquet has all." if len(parts) > len(symbols) else ""
    )
    layout = {
        "xaxis": {"title": {"text": "symbol"}, "type": "category", "dtick": 1},
        "yaxis": {"title": {"text": "symbol"}, "type": "category", "dtick": 1, "autorange": "reversed"},
        "margin": {"l": _room(bases), "b": 24 + _room(bases)},  # where there is little room, names stand upright
    }
    note = f"Pearson's correlation of the simple returns per bar, over the whole period.{more}"
    yield Figure("correlation", "Correlation", note, [trace], layout, tall=30)
