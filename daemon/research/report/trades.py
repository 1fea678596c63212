"""Trades: the table of a report, and for each trade why it was made: what was known, wanted, cut and ordered.

Rule: it tells what the files say and infers nothing. Numbers repeat texts by their place in a list, since there are thousands of rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from daemon.core.model import currencies
from daemon.research.report import measures
from daemon.research.report.measures import Part
from daemon.research.report.run import Run
from daemon.telling.why import concerns, says

# The newest that a page shows; all of them are in fills.parquet.
TRADES_SHOWN: Final = 2000
DIGITS: Final = 8

Json = dict[str, Any]


def table(run: Run, parts: Sequence[Part]) -> Json:
    """Everything that the page needs of the trades: `rows` newest first, the texts that they name by number, and the `whys`."""
    fills = run.fills
    count = len(fills["timestamp"])
    shown = range(max(0, count - TRADES_SHOWN), count)[::-1]
    symbols = list(run.symbols)
    place = {symbol: index for index, symbol in enumerate(symbols)}
    whys = _Whys(run, parts, {str(fills["decision_id"][row]) for row in shown})
    paid = measures.fees(run)
    orders = {order_id: row for row, order_id in enumerate(run.orders["order_id"].tolist())}
    rows = [
        [
            int(fills["timestamp"][row]),
            place[fills["symbol"][row]],
            fills["side"][row],
            *map(_short, (fills["amount"][row], fills["price"][row], fills["amount"][row] * fills["price"][row], paid[row])),
            _volume(fills["volume_share"][row]),
            *(_ordered(run, orders.get(fills["order_id"][row]))),
            whys.of(str(fills["decision_id"][row]), str(fills["symbol"][row])),
        ]
        for row in shown
    ]
    return {"total": count, "symbols": symbols, "rows": rows, "labels": whys.labels, "whys": whys.told}


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _volume(share: float) -> float | str | None:
    """Of the bar's volume; None where there was none, "unknown" where nobody knows the bar."""
    return "unknown" if np.isnan(share) else _short(share)


def _ordered(run: Run, row: int | None) -> tuple[float | None, float | None]:
    """The amount that was asked for, and the price at which it was planned."""
    return (None, None) if row is None else (_short(run.orders["amount"][row]), _short(run.orders["price"][row]))


class _Whys:
    """The stories behind trades, one for each decision and symbol; `labels` are the texts of signals."""

    def __init__(self, run: Run, parts: Sequence[Part], decisions: set[str]) -> None:
        self.labels: list[list[Any]] = []
        self.told: list[Json] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._times = run.equity["timestamp"]
        self._weights = {part.symbol: part.weights for part in parts}
        self._at = _moments(run, decisions)
        moments = np.unique(np.array(list(self._at.values()), np.int64))
        self._targets = _targets(run, moments)
        length = int(run.timeframe.total_seconds() * 1000)
        self._signals = {opened + length: told for opened, told in _signals(run, moments - length).items()}
        self._limits = _limits(run, decisions)

    def of(self, decision: str, symbol: str) -> int | None:
        """The number of a story; None: nothing is known of the decision."""
        if decision not in self._at:
            return None
        key = (decision, symbol)
        if key not in self._known:
            self._known[key] = len(self.told)
            self.told.append(self._story(decision, symbol))
        return self._known[key]

    def _story(self, decision: str, symbol: str) -> Json:
        at = self._at[decision]
        wanted = self._targets.get(at, {}).get(symbol, {})
        row = max(int(np.searchsorted(self._times, at, side="right")) - 1, 0)
        return {
            "decision": decision,
            "at": at,
            "held": _short(self._weights[symbol][row]),
            "asked": [[strategy, _short(weight)] for strategy, weight in wanted.items() if strategy != "*"],
            "target": _short(wanted["*"]) if "*" in wanted else None,
            "signals": list(self._numbered(at, symbol)),
            "limits": self._limits.get((decision, symbol), []),
        }

    def _numbered(self, at: int, symbol: str) -> Iterator[list[Any]]:
        """[label, value, rank among all symbols that have it, or null] of each signal that concerns the symbol."""
        for (strategy, name), values in self._signals.get(at, {}).items():
            if symbol in values:
                value = values[symbol]
                rank = 1 + sum(other > value for other in values.values())
                yield [self._label(strategy, symbol, name, len(values)), _short(value), rank]
            for of in sorted(values.keys() - self._weights.keys()):
                if concerns(of, symbol):
                    yield [self._label(strategy, of, name, 0), _short(values[of]), None]

    def _label(self, strategy: str, of: str, name: str, count: int) -> int:
        key = (strategy, of, name, count)
        if key not in self._numbers:
            self._numbers[key] = len(self.labels)
            self.labels.append(list(key))
        return self._numbers[key]


def _moments(run: Run, decisions: set[str]) -> dict[str, int]:
    """When each of these decisions was made: the newest targets at the time of its first order."""
    made = np.unique(run.table("targets", "timestamp")["timestamp"])
    first: dict[str, int] = {}
    for decision, at in zip(run.orders["decision_id"].tolist(), run.orders["timestamp"].tolist(), strict=True):
        if decision in decisions and decision not in first:
            first[decision] = at
    places = {decision: int(np.searchsorted(made, at, side="right")) - 1 for decision, at in first.items()}
    return {decision: int(made[place]) for decision, place in places.items() if place >= 0}


def _targets(run: Run, moments: Any) -> dict[int, dict[str, dict[str, float]]]:
    """By moment and symbol what each strategy wanted (of its own capital), and `*`, the account's target."""
    told = run.table("targets")
    found: dict[int, dict[str, dict[str, float]]] = {}
    for row in np.flatnonzero(np.isin(told["timestamp"], moments)).tolist():
        at = found.setdefault(int(told["timestamp"][row]), {})
        at.setdefault(told["symbol"][row], {})[told["strategy"][row]] = float(told["weight"][row])
    return found


def _signals(run: Run, opened: Any) -> dict[int, dict[tuple[str, str], dict[str, float]]]:
    """By the bar's open, strategy and name, the value of each symbol (or of what it was told of)."""
    found: dict[int, dict[tuple[str, str], dict[str, float]]] = {}
    told = run.signals_at(opened)
    for at, strategy, symbol, name, value in zip(*(told[key].tolist() for key in SIGNALS), strict=True):
        found.setdefault(at, {}).setdefault((strategy, name), {})[symbol] = value
    return found


SIGNALS: Final = ("bar_open", "strategy", "symbol", "name", "value")


def _limits(run: Run, decisions: set[str]) -> Mapping[tuple[str, str], list[list[Any]]]:
    """By decision and symbol, each limit's last word: [reason, in words, of what, wanted, allowed]."""
    cuts = run.table("limits")
    last: dict[tuple[str, str], dict[tuple[str, str], list[Any]]] = {}
    for decision, symbol, reason, of, wanted, allowed in zip(*(cuts[key].tolist() for key in LIMITS), strict=True):
        if decision in decisions:
            told = [reason, says(reason), of if of == "weight" else currencies(symbol)[0], _short(wanted), _short(allowed)]
            last.setdefault((decision, symbol), {})[reason, of] = told
    return {key: list(cut.values()) for key, cut in last.items()}


LIMITS: Final = ("decision_id", "symbol", "reason", "of", "wanted", "allowed")
