"""Screens: the analysis of a portfolio and the story of a decision, each on one screen that a person understands.

Rule: it knows the API's documented answers and nothing of the daemon's inside.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from daemon.screens import cells

Row = Mapping[str, object]

# So many pairs are told of a matrix that is wider than the terminal.
EXTREMES: Final = 5
# So many coins that are left alone are named; airdrops can be hundreds.
COINS_MAX: Final = 12


def _mapping(value: object) -> Row:
    return value if isinstance(value, Mapping) else {}


def _rows(value: object) -> list[Row]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _share(value: object, *, signed: bool = False) -> str:
    """In percent: two decimals, or none where there are three digits before the point already."""
    found = cells.number(value)
    if found is not None and abs(found) >= 1:
        return f"{100 * found:{'+' if signed else ''},.0f}%"
    return cells.percent(found, signed=signed) or "-"


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def disabled_lines(told: Row) -> list[Text]:
    """A line for each strategy that is asked no more, or restricted."""
    lines = [
        f"{name} is disabled until the next start, its last targets stand: {why}" for name, why in _mapping(told.get("disabled")).items()
    ]
    lines += [f"{name} is {why}" for name, why in _mapping(told.get("restricted")).items()]
    unmarked = told.get("unmarked")
    lines += [f"{symbol} has no fresh mark price and counts at its last price" for symbol in unmarked] if isinstance(unmarked, list) else []
    return [Text(cells.tame(line), style="bold yellow") for line in lines]


def others_lines(told: Row) -> list[Text]:
    """What the account holds and does not trade: coins of no universe, coins that are kept apart, and what orders of other hands lock."""
    kinds = (
        ("in no universe, left alone", told.get("ringfenced")),
        ("kept apart, not traded", told.get("kept_apart")),
        ("locked by orders of others", told.get("foreign_locked")),
    )
    return [Text.assemble((f"{label}: ", "dim"), cells.tame(_amounts(_mapping(held)))) for label, held in kinds if held]


def _amounts(held: Row) -> str:
    told = [f"{cells.cell(amount)} {currency}" for currency, amount in held.items()]
    return ", ".join([*told[:COINS_MAX], *([f"and {len(told) - COINS_MAX} more"] if len(told) > COINS_MAX else [])])


def strategies_table(told: Row) -> list[RenderableType]:
    """The strategies, what each has and has made; nothing where the daemon tells none."""
    table = cells.Listing(("strategy", "share", "equity", "pnl", "return", "drawdown", "state"), spare=("drawdown", "share"))
    rows = _rows(told.get("strategies"))
    for row in rows:
        made = (
            cells.money(row.get("equity")),
            cells.money(row.get("pnl")),
            _share(row.get("return"), signed=True),
            _share(row.get("drawdown")),
        )
        table.add(str(row.get("name")), cells.weight(row.get("share")), *made, str(row.get("state") or ""))
    return [table] if rows else []


# --- analysis --------------------------------------------------------------------------------------------------------


def analysis_screen(told: Row) -> RenderableType:
    """What the account made, on what, at which cost and risk; and how the symbols hang together."""
    account = _mapping(told.get("account"))
    counted = f"account since {cells.moment(told.get('since')) or 'it has been read'} ({cells.cell(told.get('account_bars'))} bars), "
    counted += f"markets since {cells.moment(told.get('history_since')) or 'the first bar'} ({cells.cell(told.get('bars'))} bars)"
    return Group(
        Text(cells.tame(counted), style="dim"),
        _account(account),
        _symbols(_rows(told.get("symbols"))),
        _strategies(_rows(told.get("strategies"))),
        _correlation(_mapping(told.get("correlation"))),
    )


def _account(account: Row) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row(
        *cells.pair("return", _share(account.get("total_return"), signed=True)),
        *cells.pair("profit", cells.money(account.get("profit"))),
        *cells.pair("drawdown", f"{_share(account.get('drawdown'))}, worst {_share(account.get('drawdown_max'))}"),
    )
    table.add_row(
        *cells.pair("volatility", _share(account.get("volatility"))),
        *cells.pair("expected", _share(account.get("volatility_expected"))),
        *cells.pair("tracking error", f"{_share(account.get('tracking_error'))}, all a year"),
    )
    table.add_row(
        *cells.pair("traded", cells.money(account.get("traded"))),
        *cells.pair("turnover", _share(account.get("turnover"))),
        *cells.pair("off target", _share(account.get("off_target"))),
    )
    costs = _mapping(account.get("costs"))
    split = ", ".join(f"{name} {cells.money(costs.get(name))}" for name in ("fee", "spread", "delay"))
    bets, positions = (cells.short(account.get(f"effective_{name}"), 3) or "-" for name in ("bets", "positions"))
    lines = [f"costs {cells.short(account.get('cost_bps'), 3)} bps of what was traded: {split}"]
    elsewhere = _mapping(account.get("fees_elsewhere"))
    if elsewhere:
        lines.append("and fees that are not valued: " + ", ".join(f"{amount} {currency}" for currency, amount in elsewhere.items()))
    lines.append(f"{bets} effective bets in {positions} effective positions")
    if cells.number(account.get("crossed")):
        lines.append(
            f"{cells.money(account.get('crossed'))} crossed inside, both sides counted: so much less was traded than by each alone"
        )
    return Group(table, *(Text(cells.tame(line)) for line in lines))


def _symbols(rows: Sequence[Row]) -> cells.Listing:
    columns = ("symbol", "weight", "return", "vol", "drawdown", "profit", "adds", "risk", "costs")
    table = cells.Listing(columns, spare=("drawdown", "costs", "vol"))
    for row in rows:
        costs = [cells.number(cost) or Decimal(0) for cost in _mapping(row.get("costs")).values()]
        table.add(
            str(row.get("symbol")),
            _share(row.get("weight")),
            _share(row.get("total_return"), signed=True),
            _share(row.get("volatility")),
            _share(row.get("drawdown")),
            cells.money(row.get("profit")),
            _share(row.get("contribution"), signed=True),
            _share(row.get("risk")),
            cells.money(sum(costs, Decimal(0))),
        )
    return table


def _strategies(rows: Sequence[Row]) -> cells.Listing:
    table = cells.Listing(("strategy", "equity", "profit", "adds", "risk", "drawdown", "traded", "crossed"), spare=("drawdown", "traded"))
    for row in rows:
        shares = (_share(row.get(name), signed=name == "contribution") for name in ("contribution", "risk", "drawdown"))
        dealt = cells.money(row.get("traded")), cells.money(row.get("crossed"))
        table.add(str(row.get("strategy")), cells.money(row.get("equity")), cells.money(row.get("profit")), *shares, *dealt)
    return table


def _correlation(told: Row) -> RenderableType:
    given = told.get("symbols")
    symbols = [str(symbol) for symbol in given] if isinstance(given, list) else []
    short, long = cells.short(told.get("mean_short"), 2) or "-", cells.short(told.get("mean_long"), 2) or "-"
    mean = Text.assemble(("mean correlation ", "dim"), f"{short} lately, {long} over the window")
    if told.get("high"):
        mean.append("  high", style="bold yellow")
    matrix = told.get("window")
    if not isinstance(matrix, list) or len(matrix) != len(symbols):
        return mean
    return Group(mean, _Correlations(symbols, matrix))


class _Correlations:
    """The matrix where it fits the terminal, else its extremes."""

    def __init__(self, symbols: Sequence[str], matrix: Sequence[Sequence[object]]) -> None:
        self._told = symbols, matrix

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Whichever it is."""
        whole = _matrix(*self._told)
        yield whole if whole.fits(console, options) else _extremes(*self._told)


def _matrix(symbols: Sequence[str], matrix: Sequence[Sequence[object]]) -> cells.Listing:
    """The half below the diagonal: the other says the same."""
    bases = [symbol.split("/")[0] for symbol in symbols]
    table = cells.Listing(["", *bases[:-1]])
    for i, (symbol, row) in enumerate(zip(symbols, matrix, strict=True)):
        if i:
            table.add(symbol, *(_two_digits(value) for value in row[:i]))
    return table


def _two_digits(value: object) -> str:
    found = cells.number(value)
    return "-" if found is None else f"{found:.2f}"


def _extremes(symbols: Sequence[str], matrix: Sequence[Sequence[object]]) -> cells.Listing:
    pairs = [(found, i, j) for i, j in combinations(range(len(symbols)), 2) if (found := cells.number(matrix[i][j])) is not None]
    pairs.sort(reverse=True)
    table = cells.Listing(("most correlated", "correlation", "least correlated", "correlation"))
    for (high, a, b), (low, c, d) in zip(pairs[:EXTREMES], pairs[::-1][:EXTREMES], strict=True):
        table.add(f"{symbols[a]} {symbols[b]}", f"{high:.2f}", f"{symbols[c]} {symbols[d]}", f"{low:.2f}")
    return table


# --- why -------------------------------------------------------------------------------------------------------------


def why_screen(told: Row) -> RenderableType:
    """A decision's way to one symbol: asked, limited, planned, traded, and where it stands."""
    parts: list[RenderableType] = [_title(told), Text(cells.tame(f"{told.get('summary', '')}."))]
    if told.get("decision_id") is not None:
        parts += [_asked(_rows(told.get("strategies")), told), _limited(told), _planned(told)]
        parts += _orders(_rows(told.get("orders")))
    parts += [_standing(told), *disabled_lines(told)]
    return Group(*parts)


def _title(told: Row) -> Text:
    title = Text.assemble((cells.tame(str(told.get("symbol"))), "bold"))
    if told.get("decision_id") is not None:
        decided = f"  decision {told.get('decision_id')}, close of {cells.moment(told.get('as_of'))} UTC"
        cause = str(told.get("cause") or "due")
        decided += "" if cause == "due" else f", {cause.replace('_', ' ')}"
        if told.get("exits_until"):
            decided += f", exits only until {cells.moment(told.get('exits_until'))}"
        title.append(cells.tame(decided), style="dim")
    return title


def _asked(strategies: Sequence[Row], told: Row) -> RenderableType:
    table = cells.Listing(("strategy", "share", "weight", "signal", "number", "rank"), spare=("share",))
    notes: list[str] = []
    for strategy in strategies:
        head = [str(strategy.get("name")), cells.weight(strategy.get("share")), _share(strategy.get("weight"))]
        signals = _rows(strategy.get("signals")) or [{"name": "no signal of its own"}]
        for signal in signals:
            table.add(*head, *_signal(signal, str(told.get("symbol"))))
            head = ["", "", ""]
        if strategy.get("note"):
            notes.append(f"{strategy.get('name')}: {strategy['note']}")
    crosses = [_crossed(row) for row in _rows(told.get("crossed"))]
    net = f"together {_share(told.get('wanted'))} of equity"
    return Group(
        _heading("asked"),
        table,
        *(Text(cells.tame(note)) for note in notes),
        Text(net + (", kept as it is" if told.get("kept") else "")),
        *(Text(cells.tame(cross)) for cross in crosses),
    )


def _crossed(cross: Row) -> str:
    """What changed hands inside, and whose."""
    return f"crossed inside at {cells.short(cross.get('price'))}: {_parts(_mapping(cross.get('amounts')), signed=True)}"


def _parts(amounts: Row, *, signed: bool = False) -> str:
    known = {name: found for name, amount in amounts.items() if (found := cells.number(amount)) is not None}
    return ", ".join(f"{name} {found.normalize():{'+' if signed else ''}f}" for name, found in known.items())


def _signal(signal: Row, symbol: str) -> tuple[str, str, str]:
    of = signal.get("of")
    name = str(signal.get("name")) if of in (None, symbol) else f"{of} {signal.get('name')}"
    rank = f"{signal['rank']} of {signal.get('of_how_many')}" if signal.get("rank") is not None else ""
    return name, cells.short(signal.get("value")), rank


def _limited(told: Row) -> RenderableType:
    limits = _rows(told.get("limits"))
    lines = [
        f"{_share(limit.get('wanted'))} -> {_share(limit.get('allowed'))}  {limit.get('reason')}: {limit.get('says')}" for limit in limits
    ]
    return _section("limits", lines or ["none cut it"], f"target {_share(told.get('target'))}")


def _planned(told: Row) -> RenderableType:
    lines = []
    for plan in _rows(told.get("plans")):
        count, waited = (len(ids) if isinstance(ids, list) else 0 for ids in (plan.get("orders"), plan.get("waited")))
        made = "no order" if not count else "1 order" if count == 1 else f"{count} orders"
        late = ", once sells had brought the money" if waited else ""
        left = f", {plan.get('left')}" if plan.get("left") else ""
        due = f", funding {plan.get('funding')} at the next settlement" if plan.get("funding") else ""
        lines.append(f"{cells.moment(plan.get('at'))}  round {plan.get('attempt')}: {made}{late}{left}{due}")
    last = [f"left: {told.get('left')}, {told.get('left_says')}"] if told.get("left") else []
    return _section("plan", lines or ["none yet"], *last)


def _section(heading: str, lines: Iterable[str], *more: str) -> RenderableType:
    return Group(_heading(heading), *(Text(cells.tame(line)) for line in (*lines, *more)))


def _orders(orders: Sequence[Row]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for order in orders:
        whose = _mapping(order.get("for"))
        terms = f"{order.get('side')} {order.get('amount')} at about {order.get('price')}{f' for {_parts(whose)}' if whose else ''}"
        parts.append(_section(f"order {order.get('id')}", [f"{cells.moment(order.get('at'))}  intent to {terms}"]))
        happened = [(fact.get("at"), f"{fact.get('what')}  {fact.get('text')}") for fact in _rows(order.get("facts"))]
        happened += [(fill.get("at"), _fill(fill)) for fill in _rows(order.get("fills"))]
        happened.sort(key=lambda each: cells.parsed(each[0]) or datetime.max.replace(tzinfo=UTC))
        parts += [Text(cells.tame(f"{cells.moment(at)}  {what}".rstrip())) for at, what in happened]
    return parts


def _fill(fill: Row) -> str:
    paid = cells.fees(fill.get("fees"))
    return f"trade {fill.get('id')}: {fill.get('amount')} at {fill.get('price')}{f', fee {paid}' if paid else ''}"


def _standing(told: Row) -> RenderableType:
    lines = []
    settled, now = _mapping(told.get("settled")), _mapping(told.get("now"))
    if settled:
        holding, off = _share(settled.get("holding")), _share(settled.get("off_target"), signed=True)
        lines.append(f"{cells.moment(settled.get('at'))}  settled at {holding}, {off} off target")
    for kept in _rows(told.get("kept_apart")):
        since = f" since {cells.moment(kept.get('since'))}" if kept.get("since") else ""
        lines.append(f"{cells.cell(kept.get('amount'))} kept apart{since}, not traded: {kept.get('says')}")
    if now:
        held = f"{cells.cell(now.get('amount'))} at {cells.cell(now.get('price')) or 'no price'}"
        lines.append(f"now {held}, {_share(now.get('weight'))} of equity against a target of {_share(now.get('target'))}")
        if now.get("hold"):
            lines.append(f"held back by {now.get('hold')}: {now.get('hold_says')}")
    return _section("where it stands", lines or ["not known: no daemon was asked, and the wave has not settled"])
