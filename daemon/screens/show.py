"""Show: reads a running daemon over HTTP and lays its answers out for a person; the reading verbs of the command line.

Rule: it knows the API's documented answers and nothing of the daemon's inside. Whatever the daemon says is shown as text, never as markup.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import quote, urlencode

import httpx
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.io.clock import SystemClock
from daemon.screens import cells
from daemon.screens.stories import analysis_screen, disabled_lines, others_lines, strategies_table, why_screen

What = Literal["status", "positions", "targets", "orders", "fills", "analysis"]
Row = Mapping[str, object]

TIMEOUT_S: Final = 5.0  # every answer takes milliseconds; a daemon that needs longer is not well

_STATE_STYLE: Final = {"running": "bold green", "halted": "bold red", "flattening": "bold red", "stopping": "bold red"}
# What a person does about a hold, by its level; the others end by themselves, or with their cause.
_REMEDY: Final = {
    "halted": "look into it, then `rebalanced resume`",
    "flattening": "it halts when all is sold",
    "paused": "",
    "reducing": "",
}
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "positions": ("account", "symbol", "amount", "price", "value", "weight", "target", "hold"),
    "targets": ("account", "symbol", "weight", "strategies", "as_of", "hold"),
    "orders": ("at", "account", "symbol", "side", "amount", "filled", "price", "state", "reason", "id", "decision_id"),
    "fills": ("at", "account", "symbol", "side", "amount", "price", "fees", "id", "decision_id"),
}
# What a narrow terminal can do without, first that which is needed least.
_SPARE: Final[Mapping[str, tuple[str, ...]]] = {
    "positions": ("price",),
    "targets": ("as_of",),
    "orders": ("id", "decision_id", "filled"),
    "fills": ("id", "decision_id", "fees"),
}


class NoAnswer(Exception):
    """The daemon could not be read. Its text is one sentence for a person."""


class NoDaemon(NoAnswer):
    """Nothing listens there."""


def show(
    what: What, url: str, *, token: str | None = None, as_json: bool = False, limit: int | None = None, console: Console | None = None
) -> None:
    """Print what the daemon at `url` says: laid out, or as the API's own JSON. NoAnswer: it cannot be read."""
    console = console or cells.terminal()
    path = f"/api/v1/{what}" + (f"?limit={limit}" if limit and what in ("orders", "fills") else "")
    answer = fetch(url, path, token=token)
    if as_json:
        console.out(json.dumps(answer, indent=2, ensure_ascii=False), highlight=False)
    elif what == "status":
        holdings, targets = (_rows(fetch(url, f"/api/v1/{part}", token=token), url) for part in ("positions", "targets"))
        console.print(status_screen(_mapping(answer, url), holdings, targets, SystemClock().now()))
    elif what == "targets":
        status = _mapping(fetch(url, "/api/v1/status", token=token), url)  # before the first decision there are no rows to say it
        rows = _rows(answer, url)
        told = {**status, "restricted": rows[0].get("restricted") if rows else None}
        console.print(Group(listing(what, rows), *disabled_lines(told)))
    elif what == "analysis":
        console.print(_analysis(_mapping(answer, url)))
    else:
        console.print(listing(what, _rows(answer, url)))


def _analysis(told: Row) -> RenderableType:
    """Of one account, or of each of several below its name."""
    accounts = told.get("accounts")
    if not isinstance(accounts, Mapping):
        return analysis_screen(told)
    return Group(*(part for name, each in accounts.items() for part in (Text(cells.tame(str(name)), style="bold"), analysis_screen(each))))


def show_why(story: Mapping[str, object], *, as_json: bool = False, console: Console | None = None) -> None:
    """Print the story of a decision: laid out, or as the API's own JSON."""
    console = console or cells.terminal()
    if as_json:
        console.out(json.dumps(story, indent=2, ensure_ascii=False), highlight=False)
    else:
        console.print(why_screen(story))


def fetch_why(url: str, symbol: str, decision: str | None, account: str = "", *, token: str | None = None) -> Mapping[str, object]:
    """The story of a decision (None: the last) for a symbol. NoDaemon: nobody answers. NoAnswer: it cannot be told."""
    asked = {name: text for name, text in (("decision", decision), ("account", account)) if text}
    question = f"?{urlencode(asked)}" if asked else ""
    return _mapping(fetch(url, f"/api/v1/why/{quote(symbol, safe='')}{question}", token=token), url)


def fetch(url: str, path: str, *, token: str | None = None) -> object:
    """The daemon's answer at `path`, as JSON has it. NoAnswer: nobody listens, somebody else does, or the answer is an error."""
    return _exchange(url, "GET", path, token, None)


def healthy(url: str, *, ready: bool) -> str:
    """The sentence of a daemon that is well, or that may trade. NoAnswer: it is not, or may not."""
    fetch(url, "/readyz" if ready else "/healthz")
    return "ready: it may trade" if ready else "healthy: its loop turns"


def command(url: str, verb: str, argument: str, by: str, account: str = "", *, token: str | None) -> Row:
    """Have the daemon carry out a command; what it says it has done. NoAnswer: it cannot, or does not want to; the sentence says why."""
    body = {name: text for name, text in (("argument", argument), ("by", by), ("account", account)) if text}
    return _mapping(_exchange(url, "POST", f"/api/v1/{verb}", token, body), url)


def _exchange(url: str, method: str, path: str, token: str | None, body: Mapping[str, str] | None) -> object:
    url = url.rstrip("/")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A proxy of the environment is for the internet; the daemon is next door.
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.request(method, url + path, headers=headers, json=body)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise NoAnswer(f"{url} is not an address of a daemon; one looks like http://127.0.0.1:8787") from error
    except httpx.ConnectError as error:
        raise NoDaemon(f"nothing answers at {url}; is the daemon running?") from error
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
    said = (content.get("error") or _failing(content)) if isinstance(content, Mapping) else None
    raise NoAnswer(f"the daemon at {url} answers with HTTP {answer.status_code}: {said or answer.reason_phrase}")


def _failing(content: Mapping[str, object]) -> str:
    """Why the daemon is not ready, as /readyz tells it."""
    failing = content.get("failing")
    return f"not ready: {', '.join(map(str, failing))}" if isinstance(failing, list) and failing else ""


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
    """One screen: how the daemon is, what the last wave did, and holdings against targets with the reason of each distance.

    Of several accounts the whole comes first, then each below its name.
    """
    told = status.get("accounts")
    accounts = [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []
    if not accounts:
        return Group(_headline(status), *_account(status, positions, targets, now))
    parts: list[RenderableType] = [_headline(status), _facts(status, now)]
    for each in accounts:
        name = each.get("account")
        own = [[row for row in rows if row.get("account") == name] for rows in (positions, targets)]
        parts += [Text(""), _headline({**each, "name": name, "mode": each.get("exchange")}), *_account(each, own[0], own[1], now)]
    return Group(*parts)


def _account(status: Row, positions: Sequence[Row], targets: Sequence[Row], now: datetime) -> list[RenderableType]:
    """One account: its restrictions, figures, last wave, strategies and holdings."""
    wave = status.get("last_wave")
    wave = wave if isinstance(wave, Mapping) else {}
    parts: list[RenderableType] = [*_holds(status, now), *disabled_lines(status), _facts(status, now)]
    if wave:
        parts.append(_wave_line(wave))
    return [*parts, *others_lines(status), *strategies_table(status), _holdings(positions, targets, _reasons(wave))]


def _headline(status: Row) -> Text:
    state = str(status.get("state", "?"))
    line = Text.assemble(
        (str(status.get("name", "?")), "bold"), f"  {status.get('mode', '?')}  ", (state, _STATE_STYLE.get(state, "bold yellow"))
    )
    if status.get("reason"):
        line.append(cells.tame(f"  {status['reason']}"))
    return line


def _holds(status: Row, now: datetime) -> list[RenderableType]:
    """What restricts trading, since when, until when, and what a person is to do; nothing while nothing does."""
    told = status.get("holds")
    holds = [hold for hold in told if isinstance(hold, Mapping)] if isinstance(told, Sequence) and not isinstance(told, str) else []
    lines: list[RenderableType] = []
    for hold in holds:
        level = str(hold.get("level", "?"))
        line = Text.assemble(("  ", ""), (cells.tame(f"{hold.get('scope')} {level}"), _STATE_STYLE.get(level, "bold yellow")))
        line.append(cells.tame(f"  {hold.get('code')}: {hold.get('text')}"))
        until = f", until {cells.moment(hold.get('until'))}" if hold.get("until") else ""
        by = f", by {hold.get('by')}" if hold.get("by") not in (None, "rebalanced") else ""
        remedy = f"; {_REMEDY[level]}" if _REMEDY.get(level) else ""
        line.append(cells.tame(f" ({cells.age(hold.get('since'), now)}{until}{by}{remedy})"), "dim")
        lines.append(line)
    return lines


def _facts(status: Row, now: datetime) -> Table:
    table = Table.grid(padding=(0, 3))
    drift = cells.number(status.get("drift"))
    table.add_row(
        *cells.pair("equity", cells.money(status.get("equity"))),
        *cells.pair("cash", cells.money(status.get("cash"))),
        *cells.pair("drift", cells.percent(drift) or "-"),
    )
    table.add_row(
        *cells.pair("slice", cells.age(status.get("last_slice"), now)),
        *cells.pair("decision", cells.age(status.get("last_decision"), now)),
        *cells.pair("reconciled", cells.age(status.get("last_reconcile"), now)),
    )
    table.add_row(
        *cells.pair("open orders", cells.cell(status.get("open_orders"))),
        *cells.pair("up", cells.duration(timedelta(seconds=float(cells.number(status.get("uptime_s")) or 0)))),
        *cells.pair("version", cells.cell(status.get("version"))),
    )
    return table


def _wave_line(wave: Row) -> Text:
    refused = wave.get("refused")
    count = len(refused) if isinstance(refused, Mapping) else 0
    said = f"sent {cells.cell(wave.get('sent'))}, filled {cells.cell(wave.get('filled'))}, refused {count}"
    cost = cells.number(wave.get("cost_bps"))
    cost_said = f", cost {cost:.1f} bps" if cost is not None else ""
    took = cells.number(wave.get("took_ms"))
    took_said = f", took {took / 1000:.2f} s" if took is not None else ""
    return Text.assemble(("last wave ", "dim"), f"{cells.moment(wave.get('as_of'))}: {said}{cost_said}{took_said}")


def _reasons(wave: Row) -> dict[str, str]:
    """Why the last wave did not bring a symbol to its target: what was refused says more than what was left."""
    reasons: dict[str, str] = {}
    for part in ("left", "refused"):
        told = wave.get(part)
        if isinstance(told, Mapping):
            reasons |= {str(symbol): str(reason) for symbol, reason in told.items()}
    return reasons


def _holdings(positions: Sequence[Row], targets: Sequence[Row], reasons: Mapping[str, str]) -> RenderableType:
    held = {str(row.get("symbol")): row for row in positions}
    wanted = {str(row.get("symbol")): row.get("weight") for row in targets}
    table = cells.Listing(("symbol", "amount", "price", "value", "weight", "target", "off target", "why"), spare=("price", "amount"))
    for symbol in sorted(held.keys() | wanted.keys() | reasons.keys()):
        row = held.get(symbol, {})
        weight, target = cells.number(row.get("weight")), cells.number(row.get("target", wanted.get(symbol)))
        off = None if target is None else (weight or Decimal(0)) - target  # cash has no target to be off
        amounts = cells.cell(row.get("amount")), cells.cell(row.get("price")), cells.money(row.get("value"))
        shares = cells.percent(weight), cells.percent(target), cells.percent(off, signed=True)
        table.add(symbol, *amounts, *shares, reasons.get(symbol, "").replace("_", " "))
    return table


# --- lists -----------------------------------------------------------------------------------------------------------


def listing(what: str, rows: Iterable[Row]) -> RenderableType:
    """The rows of `positions`, `targets`, `orders` or `fills`; a column that no row has is left out."""
    rows = list(rows)
    columns = [name for name in _COLUMNS[what] if not rows or any(row.get(name) not in (None, "") for row in rows)]
    texts = ([_FORMATS.get(name, cells.cell)(row.get(name)) for name in columns] for row in rows)
    return cells.Listing(columns, texts, _SPARE[what])


_FORMATS: Final[Mapping[str, Callable[[object], str]]] = {
    "at": cells.moment,
    "as_of": cells.moment,
    "fees": cells.fees,
    "value": cells.money,
    "weight": cells.weight,
    "target": cells.weight,
}
