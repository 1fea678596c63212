"""Making: the report of one run, from its folder to `report.html` in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, Final

from daemon.research.report import measures, trades
from daemon.research.report.figures import figures
from daemon.research.report.measures import Part
from daemon.research.report.page import listed, page, plot, save
from daemon.research.report.run import Run, open_run

NAME: Final = "report.html"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# From which absolute return on a month is coloured, and more so.
SHADES: Final = (0.0, 0.05, 0.15)

Number = Callable[[float], str]


def share(value: float) -> str:
    """As a percentage."""
    return f"{value:,.2%}".replace("%", " %")


def ratio(value: float) -> str:
    """As a plain number."""
    return f"{value:,.2f}"


def count(value: float) -> str:
    """As a whole number."""
    return f"{value:,.0f}"


# The headline figures in order: key of the summary, label, how it is told, and whether it is money.
HEADLINES: Final[Sequence[tuple[str, str, Number, bool]]] = (
    ("final_equity", "final equity", ratio, True),
    ("return", "return", share, False),
    ("cagr", "return a year", share, False),
    ("volatility", "volatility a year", share, False),
    ("sharpe", "Sharpe ratio", ratio, False),
    ("sortino", "Sortino ratio", ratio, False),
    ("max_drawdown", "deepest fall", share, False),
    ("calmar", "Calmar ratio", ratio, False),
    ("turnover", "turnover (× equity)", ratio, False),
    ("fees", "fees", ratio, True),
    ("funding", "funding", ratio, True),
    ("trades", "trades", count, False),
)
DEFINITIONS: Final = (
    "Returns are simple, from close to close; a year has 365 days, and cash earns nothing. Volatility is their population deviation a "
    "year, the Sharpe ratio the mean return a year over it, the Sortino ratio the same over the root mean square of the losses. The "
    "deepest fall is from a peak, as a share of it; the Calmar ratio is the return a year over it. Turnover sums what was bought and sold "
    "over the equity at that time."
)


def write(folder: Path) -> Path:
    """Make the report of the run in a folder, in it.

    Raises:
        DataError: there is no run, or the page cannot be written.
    """
    path = folder / NAME
    save(path, made(open_run(folder)))
    return path


def made(run: Run) -> str:
    """The page of a run."""
    parts = measures.parts(run)
    drawn = figures(run, parts)
    body = "\n".join(
        [
            headlines(run.summary, run.quote),
            remarks(run.summary),
            *(plot(figure) for figure in drawn[:3]),
            _monthly(run),
            f'<div class="side">{"".join(plot(figure) for figure in drawn[3:])}</div>',
            _symbols(run, parts),
            _trades(run),
        ]
    )
    data = {
        "quote": run.quote,
        "figures": {figure.key: figure.plotted for figure in drawn},
        "trades": trades.table(run, parts),
    }
    return page(f"{run.kind.capitalize()} {run.name}", period(run), body, data)


def period(run: Run) -> str:
    """When, how many bars, and of what."""
    told, settings = run.summary["period"], run.summary["settings"]
    market = f"{settings['exchange']['id']} {settings['exchange']['market']}"
    names = ", ".join(f"{strategy['name']} ({strategy['use']})" for strategy in settings["strategies"])
    return (
        f"{told['start']} to {told['end']}, {told['bars']:,} bars of {told['timeframe']}, {len(run.symbols)} symbols of {market}; {names}"
    )


def headlines(summary: Mapping[str, Any], quote: str) -> str:
    """The figures that are read first, each with the number that the summary has."""
    tiles = "".join(
        f'<div class="tile"><dt>{escape(label)}</dt><dd data-key="{key}" data-value="{_exactly(summary[key])}">'
        f"{escape(told(summary[key], how))}{f' {escape(quote)}' if money else ''}</dd></div>"
        for key, label, how, money in HEADLINES
    )
    return f'<dl class="tiles">{tiles}</dl>'


def told(value: float | None, how: Number) -> str:
    """A number, or that there is none."""
    return "–" if value is None or not isfinite(value) else how(value)


def _exactly(value: float | None) -> str:
    return "" if value is None else repr(value)


def remarks(summary: Mapping[str, Any]) -> str:
    """Warnings first, then what was assumed and what happened."""
    warned = listed([remark(each) for each in summary["warnings"]])
    warning = f'<section class="warned" id="warnings"><h2>Warnings</h2>{warned}</section>' if summary["warnings"] else ""
    assumed = listed([remark(each) for each in summary["assumptions"]])
    notes = f"<h2>Notes</h2>{listed([escape(note) for note in summary['notes']])}" if summary["notes"] else ""
    return (
        f'{warning}<section class="remarks"><div id="assumptions"><h2>Assumptions</h2>{assumed}</div>'
        f"<div>{notes}<h2>Definitions</h2><p>{escape(DEFINITIONS)}</p></div></section>"
    )


def remark(told: Mapping[str, str]) -> str:
    """A sentence and its code."""
    return f"{escape(told['text'])} <code>{escape(told['code'])}</code>"


# --- tables ----------------------------------------------------------------------------------------------------------


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[int] = ()) -> str:
    """A table whose cells are markup already; columns in `spare` are left out on a phone."""

    def kind(column: int) -> str:
        return ' class="spare"' if column in spare else ""

    head = "".join(f'<th scope="col"{kind(column)}>{text}</th>' for column, text in enumerate(heads))
    body = "".join(f"<tr>{''.join(f'<td{kind(column)}>{text}</td>' for column, text in enumerate(row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _monthly(run: Run) -> str:
    by_month, by_year = measures.monthly(run)
    rows = "".join(
        f"<tr><td>{year}</td>{''.join(_cell(by_month.get((year, month))) for month in range(1, 13))}{_cell(of_year, 'year ')}</tr>"
        for year, of_year in by_year.items()
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("year", *MONTHS, "all"))
    return (
        '<section id="monthly"><h2>Monthly returns (%)</h2>'
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        '<p class="soft">From the last close of the month before (UTC) to its own; the first and the last may be parts of a month.</p>'
        "</section>"
    )


def _cell(value: float | None, kind: str = "") -> str:
    if value is None or not isfinite(value):
        return "<td></td>"
    shade = sum(abs(value) > edge for edge in SHADES)
    tone = f"{'up' if value > 0 else 'down'}{shade}" if shade else ""
    return f'<td class="{kind}{tone}" data-value="{value!r}">{100 * value:.1f}</td>'


def _symbols(run: Run, parts: Sequence[Part]) -> str:
    begun = float(run.equity["equity"][0])
    shown = sorted((part for part in parts if part.trades or part.profit), key=lambda part: -part.profit)
    rows = [[escape(part.symbol), *_of_symbol(part, begun)] for part in shown]
    quote = escape(run.quote)
    heads = ["symbol", f"profit ({quote})", "of return", "of risk", f"fees ({quote})", f"traded ({quote})", "trades", "mean weight"]
    return f'<section id="symbols"><h2>Symbols</h2>{table(heads, rows, spare=(4, 5, 6, 7))}</section>'


def _of_symbol(part: Part, begun: float) -> Iterator[str]:
    yield from (ratio(part.profit), share(part.profit / begun), told(part.risk, share))
    yield from (ratio(part.fees), ratio(part.traded), count(part.trades), share(float(abs(part.weights).mean())))


def _trades(run: Run) -> str:
    quote, total = escape(run.quote), len(run.fills["timestamp"])
    more = f" The newest {trades.TRADES_SHOWN:,} of {total:,}; fills.parquet has all." if total > trades.TRADES_SHOWN else ""
    heads = [
        ("time (UTC)", ""),
        ("symbol", "text"),
        ("side", "text"),
        ("amount", "spare"),
        (f"price ({quote})", "spare"),
        (f"worth ({quote})", ""),
        (f"fee ({quote})", "spare"),
        ("of volume", "spare"),
        ("", ""),
    ]
    head = "".join(f'<th scope="col"{f" class={kind!r}" if kind else ""}>{text}</th>' for text, kind in heads)
    return (
        f'<section id="trades"><h2>Trades</h2><p class="soft">Each with the decision behind it.{more}</p>'
        '<div class="tools"><label>symbol <input id="filter" type="search" autocomplete="off"></label>'
        '<button id="later" type="button">newer</button><button id="earlier" type="button">older</button>'
        '<span id="at" aria-live="polite"></span></div>'
        f'<div class="wide"><table id="trades-table"><thead><tr>{head}</tr></thead><tbody></tbody></table></div></section>'
    )
