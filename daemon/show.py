"""Show: reads a running daemon over HTTP and lays its answers out for a person; the reading verbs of the command line.

Rule: it knows the API's documented answers and nothing of the daemon's inside. Whatever the daemon says is shown as text, never as markup.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

import httpx
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.io.clock import SystemClock

What = Literal["status", "positions", "targets", "orders", "fills"]
Row = Mapping[str, object]

TIMEOUT_S: Final = 5.0  # every answer takes milliseconds; a daemon that needs longer is not well

_STATE_STYLE: Final = {"running": "bold green", "halted": "bold red", "stopping": "bold red"}
_NUMBERS: Final = frozenset({"amount", "filled", "price", "value", "weight", "target", "off target", "fees"})
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "positions": ("symbol", "amount", "price", "value", "weight", "target"),
    "targets": ("symbol", "weight", "strategies", "as_of"),
    "orders": ("at", "symbol", "side", "amount", "filled", "price", "state", "reason", "id", "decision_id"),
    "fills": ("at", "symbol", "side", "amount", "price", "fees", "id", "decision_id"),
}


class NoAnswer(Exception):
    """The daemon could not be read. Its text is one sentence for a person."""


def show(
    what: What, url: str, *, token: str | None = None, as_json: bool = False, limit: int | None = None, console: Console | None = None
) -> None:
    """Print what the daemon at `url` says: laid out, or as the API's own JSON. NoAnswer: it cannot be read."""
    console = console or Console()
    path = f"/api/v1/{what}" + (f"?limit={limit}" if limit and what in ("orders", "fills") else "")
    answer = fetch(url, path, token=token)
    if as_json:
        console.out(json.dumps(answer, indent=2, ensure_ascii=False), highlight=False)
    elif what == "status":
        holdings, targets = (_rows(fetch(url, f"/api/v1/{part}", token=token), url) for part in ("positions", "targets"))
        console.print(status_screen(_mapping(answer, url), holdings, targets, SystemClock().now()))
    else:
        console.print(listing(what, _rows(answer, url)))


def fetch(url: str, path: str, *, token: str | None = None) -> object:
    """The daemon's answer at `path`, as JSON has it. NoAnswer: nobody listens, somebody else does, or the answer is an error."""
    url = url.rstrip("/")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A proxy of the environment is for the internet; the daemon is next door.
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.get(url + path, headers=headers)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise NoAnswer(f"{url} is not an address of a daemon; one looks like http://127.0.0.1:8787") from error
    except httpx.ConnectError as error:
        raise NoAnswer(f"nothing answers at {url}; is the daemon running?") from error
    except httpx.TimeoutException as error:
        raise NoAnswer(f"the daemon at {url} did not answer within {TIMEOUT_S:g} s ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        raise NoAnswer(f"the connection to {url} broke ({type(error).__name__}); is it a daemon, and is it well?") from error
    return _content(answer, url)


def _content(answer: httpx.Response, url: str) -> object:
    try:
        content: object = answer.json()
    except ValueError as error:
        raise NoAnswer(f"what answers at {url} is not rebalanced (HTTP {answer.status_code} without JSON)") from error
    if answer.is_success:
        return content
    said = content.get("error") if isinstance(content, Mapping) else None
    raise NoAnswer(f"the daemon at {url} answers with HTTP {answer.status_code}: {said or answer.reason_phrase}")


def _mapping(answer: object, url: str) -> Row:
    if isinstance(answer, Mapping):
        return answer
    raise NoAnswer(f"what answers at {url} is not rebalanced (its status is no mapping)")


def _rows(answer: object, url: str) -> list[Row]:
    if isinstance(answer, Sequence) and all(isinstance(row, Mapping) for row in answer):
        return list(answer)
    raise NoAnswer(f"what answers at {url} is not rebalanced (its rows are no list)")


# --- the status screen -----------------------------------------------------------------------------------------------


def status_screen(status: Row, positions: Sequence[Row], targets: Sequence[Row], now: datetime) -> RenderableType:
    """One screen: how the daemon is, what the last wave did, and holdings against targets with the reason of each distance."""
    wave = status.get("last_wave")
    wave = wave if isinstance(wave, Mapping) else {}
    parts: list[RenderableType] = [_headline(status), _facts(status, now)]
    if wave:
        parts.append(_wave_line(wave))
    parts.append(_holdings(positions, targets, _reasons(wave)))
    return Group(*parts)


def _headline(status: Row) -> Text:
    state = str(status.get("state", "?"))
    line = Text.assemble(
        (str(status.get("name", "?")), "bold"), f"  {status.get('mode', '?')}  ", (state, _STATE_STYLE.get(state, "bold yellow"))
    )
    if status.get("reason"):
        line.append(_tame(f"  {status['reason']}"))
    return line


def _facts(status: Row, now: datetime) -> Table:
    table = Table.grid(padding=(0, 3))
    drift = _number(status.get("drift"))
    table.add_row(
        *_pair("equity", _money(status.get("equity"))), *_pair("cash", _money(status.get("cash"))), *_pair("drift", _percent(drift) or "-")
    )
    table.add_row(
        *_pair("slice", _age(status.get("last_slice"), now)),
        *_pair("decision", _age(status.get("last_decision"), now)),
        *_pair("reconciled", _age(status.get("last_reconcile"), now)),
    )
    table.add_row(
        *_pair("open orders", _cell(status.get("open_orders"))),
        *_pair("up", _duration(timedelta(seconds=float(_number(status.get("uptime_s")) or 0)))),
        *_pair("version", _cell(status.get("version"))),
    )
    return table


def _pair(label: str, value: str) -> tuple[Text, Text]:
    return Text(label, style="dim"), Text(value)


def _wave_line(wave: Row) -> Text:
    refused = wave.get("refused")
    count = len(refused) if isinstance(refused, Mapping) else 0
    said = f"sent {_cell(wave.get('sent'))}, filled {_cell(wave.get('filled'))}, refused {count}"
    cost = _number(wave.get("cost_bps"))
    cost_said = f", cost {cost:.1f} bps" if cost is not None else ""
    took = _number(wave.get("took_ms"))
    took_said = f", took {took / 1000:.2f} s" if took is not None else ""
    return Text.assemble(("last wave ", "dim"), f"{_moment(wave.get('as_of'))}: {said}{cost_said}{took_said}")


def _reasons(wave: Row) -> dict[str, str]:
    """Why the last wave did not bring a symbol to its target: what was refused says more than what was left."""
    reasons: dict[str, str] = {}
    for part in ("left", "refused"):
        told = wave.get(part)
        if isinstance(told, Mapping):
            reasons |= {str(symbol): str(reason) for symbol, reason in told.items()}
    return reasons


def _holdings(positions: Sequence[Row], targets: Sequence[Row], reasons: Mapping[str, str]) -> Table:
    held = {str(row.get("symbol")): row for row in positions}
    wanted = {str(row.get("symbol")): row.get("weight") for row in targets}
    table = _table(("symbol", "amount", "price", "value", "weight", "target", "off target", "why"))
    for symbol in sorted(held.keys() | wanted.keys() | reasons.keys()):
        row = held.get(symbol, {})
        weight, target = _number(row.get("weight")), _number(wanted.get(symbol, row.get("target")))
        off = None if target is None else (weight or Decimal(0)) - target  # cash has no target to be off
        amounts = _cell(row.get("amount")), _cell(row.get("price")), _money(row.get("value"))
        shares = _percent(weight), _percent(target), _percent(off, signed=True)
        _add(table, symbol, *amounts, *shares, reasons.get(symbol, "").replace("_", " "))
    return table


# --- lists -----------------------------------------------------------------------------------------------------------


def listing(what: str, rows: Iterable[Row]) -> Table:
    """The rows of `positions`, `targets`, `orders` or `fills`; a column that no row has is left out."""
    rows = list(rows)
    columns = [name for name in _COLUMNS[what] if not rows or any(row.get(name) not in (None, "") for row in rows)]
    table = _table(columns)
    for row in rows:
        _add(table, *(_FORMATS.get(name, _cell)(row.get(name)) for name in columns))
    return table


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        number = name in _NUMBERS
        table.add_column(name.replace("_", " "), justify="right" if number else "left", no_wrap=number or name == "symbol", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(_tame(cell)) for cell in cells))  # Text: a symbol or a venue's sentence may hold what rich takes for markup


def _tame(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


# --- values ----------------------------------------------------------------------------------------------------------


def _number(value: object) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{key} {_percent(_number(item))}" for key, item in value.items())
    return "" if value is None else str(value)


def _fees(value: object) -> str:
    """What was paid, by currency; a fill of one trade has one fee almost always."""
    fees = value if isinstance(value, list) else []
    return " + ".join(f"{fee.get('amount')} {fee.get('currency')}" for fee in fees if isinstance(fee, Mapping))


def _money(value: object) -> str:
    number = _number(value)
    return "" if number is None else f"{number:,.2f}"


def _weight(value: object) -> str:
    return _percent(_number(value))


def _percent(value: Decimal | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    return f"{100 * value:+.2f}%" if signed else f"{100 * value:.2f}%"


def _parsed(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _moment(value: object) -> str:
    moment = _parsed(value)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else _cell(value)


def _age(value: object, now: datetime) -> str:
    moment = _parsed(value)
    return f"{_duration(now - moment)} ago" if moment else "never"


def _duration(length: timedelta) -> str:
    """The two largest units: 3 d 4 h, 5 min 2 s, 0 s."""
    seconds = max(0, int(length.total_seconds()))
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


_FORMATS: Final[Mapping[str, Callable[[object], str]]] = {
    "at": _moment,
    "as_of": _moment,
    "fees": _fees,
    "value": _money,
    "weight": _weight,
    "target": _weight,
}
