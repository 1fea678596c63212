"""Console: a line of the log for people.

Rule: it shows what a person reads at a terminal, and nothing that could command the terminal.
"""

import re
from collections.abc import Mapping
from typing import Final

from daemon.core.plain import Plain

_WIDTH: Final = 140  # beyond this a line breaks into one row a mapping
_ROWS_MAX: Final = 24  # rows below one line: a demo's dozen symbols; the json format has them all
_INDENT: Final = " " * 9
_PALETTE: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31;1"}
# A person reads symbols and amounts; ids are for joining lines, and shown where somebody may have to act on them.
_IDS: Final = frozenset({"order_id", "venue_id", "trade_id", "decision_id", "flow_id", "traded_at", "seen_at"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(?:\.\d+)?Z")


def console(line: Mapping[str, Plain], *, colours: bool) -> str:
    """A line for people: time, event, the facts; nested facts below it in rows where they do not fit."""
    level, event = str(line["level"]), str(line["event"])
    ids = _IDS if level in ("debug", "info") else frozenset()
    hidden = ids | {"ts", "level", "event", "name"}
    facts = {key: _without(ids, value) for key, value in line.items() if key not in hidden and value not in ({}, [], "", None)}
    nested = {key: value for key, value in facts.items() if isinstance(value, dict | list)}
    head = f"{str(line['ts'])[11:19]} {_paint(f'{event:<20}', level, colours=colours)}"
    flat = [f"{key}={_short(value)}" for key, value in facts.items() if key not in nested]
    rows = [row for key, value in nested.items() for row in _rows(key, value)]
    one = "  ".join([*flat, *rows])
    if len(one) <= _WIDTH - 30 and len(rows) <= len(nested):
        return f"{head} {one}".rstrip()
    more = [f"{_INDENT}... {len(rows) - _ROWS_MAX} more"] if len(rows) > _ROWS_MAX else []
    return "\n".join([f"{head} {'  '.join(flat)}".rstrip(), *(_INDENT + row for row in rows[:_ROWS_MAX]), *more])


def _without(ids: frozenset[str], value: Plain) -> Plain:
    if isinstance(value, list):
        return [_without(ids, item) for item in value]
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in ids}
    return value


def _rows(label: str, value: Plain) -> list[str]:
    """One row for each innermost mapping: its path, then its facts."""
    if label == "exception" and isinstance(value, list):
        return [row for error in value if isinstance(error, dict) for row in _error_rows(error)]
    if isinstance(value, list):
        return [row for item in value for row in _rows(label, item)] if any(isinstance(i, dict) for i in value) else [_leaf(label, value)]
    if not isinstance(value, dict):
        return [_leaf(label, [value])]
    inner = [row for key, item in value.items() if isinstance(item, dict | list) and item for row in _rows(f"{label} {key}", item)]
    flat: list[Plain] = [f"{key} {_short(item)}" for key, item in value.items() if not isinstance(item, dict | list)]
    return [_leaf(label, flat), *inner] if flat else inner


def _leaf(label: str, values: list[Plain]) -> str:
    return f"{label}: " + "  ".join(_short(value) for value in values)


def _error_rows(error: dict[str, Plain]) -> list[str]:
    frames = error.get("frames")
    steps = [frame for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []
    places = [f"  at {step.get('filename')}:{step.get('lineno')} in {step.get('name')}" for step in steps[-4:]]
    return [f"{error.get('exc_type')}: {_short(error.get('exc_value'))}", *places]


def _short(value: Plain) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = _TIME.sub(r"\1", str(value))
    # A venue's sentence may hold anything; a terminal obeys control characters.
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def _paint(text: str, level: str, *, colours: bool) -> str:
    return f"\x1b[{_PALETTE.get(level, '0')}m{text}\x1b[0m" if colours else text
