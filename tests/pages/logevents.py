"""The JSON Schema of a log line, made of the tables of docs/log-events.md, which name the fields, and of what kind each field is.

Rule: a field has one kind wherever it stands, but for those that mean another thing in another event. Those in parentheses come where
they apply.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

EVENTS: Final = Path(__file__).resolve().parents[2] / "docs" / "log-events.md"
LEVELS: Final = ("debug", "info", "warning", "error")


class Row(NamedTuple):
    """A line of the tables: how loud an event is, and its fields; `sometimes` are those that come where they apply."""

    level: str
    always: tuple[str, ...]
    sometimes: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """All of them."""
        return self.always + self.sometimes


@cache
def rows() -> Mapping[str, Row]:
    """The tables, by the name of the event."""
    text = EVENTS.read_text(encoding="utf-8")
    found = re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    return {name: Row(level, *_fields(cell)) for name, level, cell in found}


def _fields(cell: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    before, _, sometimes = cell.partition("(")
    return tuple(re.findall(r"`(\w+)`", before)), tuple(re.findall(r"`(\w+)`", sometimes))


Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WORD: Final[Schema] = {"type": "string", "minLength": 1}
CODE: Final[Schema] = {"type": "string", "pattern": r"^[\w.:-]*$"}
MONEY: Final[Schema] = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
TIME: Final[Schema] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
WHOLE: Final[Schema] = {"type": "integer"}
TRUTH: Final[Schema] = {"type": "boolean"}
SIDE: Final[Schema] = {"enum": ["buy", "sell"]}


def _or_null(kind: Schema) -> Schema:
    return {"anyOf": [kind, {"type": "null"}]}


def _list(kind: Schema) -> Schema:
    return {"type": "array", "items": kind}


def _map(kind: Schema) -> Schema:
    return {"type": "object", "additionalProperties": kind}


def _of(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


NUMBERS: Final = _map(NUMBER)
WORDS: Final = _list(WORD)
PLANNED: Final = _list(_of(order_id=WORD, symbol=WORD, side=SIDE, amount=MONEY, price=MONEY))

KINDS: Final[Mapping[str, Schema]] = {
    # of a line, whatever it is about
    **dict.fromkeys(("account", "name"), WORD),
    "suppressed": COUNT,
    "ts": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
    # names, ids and stable codes
    **dict.fromkeys(("symbol", "order_id", "decision_id", "venue_id", "trade_id", "flow_id", "booking_id", "currency"), WORD),
    **dict.fromkeys(("strategy", "group", "channel", "of", "job", "logger", "verb", "by", "api", "path", "exchange"), WORD),
    **dict.fromkeys(("cause", "code", "how", "kind", "mode", "rest", "state", "status", "style"), CODE),
    "scope": {"type": "string", "pattern": r"^(account|strategy|symbol)\b"},
    "side": SIDE,
    # words for people
    **dict.fromkeys(("reason", "text", "error", "problem", "note", "what", "message", "argument", "said"), TEXT),
    # amounts and money
    **dict.fromkeys(("amount", "amount_allowed", "amount_wanted", "apart", "average", "cost", "equity", "filled", "made", "price"), MONEY),
    "limit": _or_null(MONEY),
    "fees": _list(_of(amount=MONEY, currency=WORD)),
    "entries": _list(_of(sleeve=TEXT, currency=WORD, amount=MONEY)),
    **{name: _map(MONEY) for name in ("differences", "funding", "needs", "worked")},
    # times and durations
    **dict.fromkeys(("as_of", "asked_at", "closes_at", "seen_at", "traded_at"), TIME),
    "until": _or_null(TIME),
    **dict.fromkeys(("away_s", "for_s", "length_s", "missed_s", "next_probe_s", "next_try_s", "probes_every_s", "timeframe_s"), NUMBER),
    "cancels_in_s": _or_null(NUMBER),
    **dict.fromkeys(("lag_ms", "took_ms", "uncertainty_ms"), COUNT),
    "offset_ms": WHOLE,
    # numbers
    **dict.fromkeys(("allowed", "close", "correlation", "cost_bps", "coverage", "distance", "least", "maker_ratio"), NUMBER),
    **dict.fromkeys(("volume", "wanted"), NUMBER),
    **{name: _or_null(NUMBER) for name in ("found", "mean_long", "mean_short", "most")},
    **dict.fromkeys(("cost_parts", "holdings", "off_target", "stages", "targets"), NUMBERS),
    "prices": _map(_or_null(NUMBER)),
    "signals": _map(_map(_map(_or_null(NUMBER)))),
    # counts
    **dict.fromkeys(("attempt", "attempts", "bars", "bytes", "dropped", "lines", "need", "rows", "sent", "slices", "waiting"), COUNT),
    **dict.fromkeys(("symbols", "warm_up_bars"), COUNT),
    # yes or no
    **dict.fromkeys(("bound", "given_up", "listed", "post_only", "told"), TRUTH),
    # several
    **dict.fromkeys(("accounts", "behind", "changed", "entered", "keep", "missing", "problems", "strategies", "together"), WORDS),
    **{name: _map(CODE) for name in ("left", "refused")},
    "orders": PLANNED,
    "exception": _list({"type": "object"}),
}

# What a word means in an event where it means another thing.
OWN: Final[Mapping[tuple[str, str], Schema]] = {
    ("account.foreign_orders", "orders"): _map(COUNT),
    ("daemon.kept_open", "orders"): _map(WORD),
    ("daemon.left_open", "orders"): _map(WORD),
    ("market.changed", "changed"): _map(TEXT),
    ("order.filled", "order_id"): TEXT,  # of a trade of another hand: it has none of ours
    ("order.closed", "order_id"): TEXT,
    ("plan.made", "changed"): NUMBERS,
    ("wave.settled", "filled"): COUNT,
    **{
        (event, "symbols"): WORDS
        for event in ("universe.chosen", "group.unbalanced", "group.unwinding", "group.balanced", "group.stuck", "marks.lost")
    },
}


def line_of(event: str, row: Row) -> Schema:
    """What a line of an event looks like; no other field is in it."""
    kinds = {field: OWN.get((event, field), KINDS[field]) for field in ("ts", "name", *row.fields, "account", "suppressed")}
    level = {"enum": list(LEVELS[1:])} if event == "library.message" else {"const": row.level}
    return {
        "type": "object",
        "properties": {"level": level, "event": {"const": event}, **kinds},
        "required": ["ts", "level", "event", "name", *row.always],
        "additionalProperties": False,
    }


def schema() -> Schema:
    """One line of the log; of which event it is, its `event` says."""
    events = {event: line_of(event, row) for event, row in sorted(rows().items())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of the log of rebalanced",
        "oneOf": [{"$ref": f"#/$defs/{event}"} for event in events],
        "$defs": events,
    }


def written() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
