"""Logstory: the story of one wave out of a log, from the bars that it was decided on to its last fill.

Rule: it reads what the daemon has written, from a file, a pipe or an export of journald, and leaves out what is no line of the daemon.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from daemon.core.plain import Plain
from daemon.io.logs_console import console

Line = Mapping[str, Plain]

# One line is at most this long; a wave over 500 symbols takes some 60 kB.
LINE_MAX: Final = 1 << 20


# The demo's log, and any of `logging.format: console`, is for people: it cannot be read back.
NO_WAVE: Final = "there is no wave in it; what can be read is a log of `logging.format: json`, in which a wave has begun"


class NoSuchWave(Exception):
    """The log does not tell of it. Its text is one sentence."""


@dataclass(slots=True)
class Wave:
    """What a log says of one decision: its lines in the order in which they were written."""

    decision_id: str
    account: str
    lines: list[Line] = field(default_factory=list)

    @property
    def settled(self) -> Line | None:
        """The canonical line, if it is there."""
        return next((line for line in self.lines if line["event"] == "wave.settled"), None)


def lines_of(texts: Iterable[str]) -> Iterator[Line]:
    """The daemon's lines among these, as they are or as `journalctl -o json` wraps them."""
    for text in texts:
        found = _parsed(text)
        message = found.get("MESSAGE")
        line = _parsed(message) if isinstance(message, str) else found
        if isinstance(line.get("event"), str) and isinstance(line.get("ts"), str) and isinstance(line.get("level"), str):
            yield line


def _parsed(text: str) -> Line:
    if not text.lstrip().startswith("{") or len(text) > LINE_MAX:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def waves_of(lines: Iterable[Line]) -> list[Wave]:
    """Every decision of which there are lines, oldest first, with what names it, what names one of its orders, and the bars it saw.

    The bars come before their decision, so the last slice of each account is kept until a decision claims it.
    """
    waves: dict[tuple[str, str], Wave] = {}
    of_order: dict[tuple[str, str], Wave] = {}
    slices: dict[tuple[str, str], Line] = {}
    for line in lines:
        account = str(line.get("account", ""))
        if line["event"] == "slice.closed":
            slices = {key: kept for key, kept in slices.items() if key[0] != account} | {(account, str(line.get("closes_at"))): line}
            continue
        decision_id, order_id = line.get("decision_id"), str(line.get("order_id", ""))
        wave = of_order.get((account, order_id)) if decision_id is None else None
        if isinstance(decision_id, str):
            wave = waves.get((account, decision_id))
            if wave is None:
                wave = waves[account, decision_id] = Wave(decision_id, account)
                seen = slices.pop((account, str(line.get("as_of"))), None)
                wave.lines += [seen] if seen else []
        if wave is not None:
            wave.lines.append(line)
            if order_id:
                of_order[account, order_id] = wave
    return list(waves.values())


def chosen(waves: list[Wave], wanted: str) -> Wave:
    """The wave with this decision id, or the so-many-th counted from the newest, which is 1. NoSuchWave."""
    named = [wave for wave in waves if wave.decision_id == wanted]
    if named:
        return named[-1]
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(waves):
        return waves[-int(wanted)]
    there = f"it has {len(waves)}, numbered from the newest, 1" if waves else NO_WAVE
    raise NoSuchWave(f"the log has no wave {wanted}; {there}")


def told(wave: Wave, *, as_json: bool, colours: bool) -> Iterator[str]:
    """Its lines, for people or as they are."""
    for line in wave.lines:
        yield json.dumps(line, ensure_ascii=False) if as_json else console(line, colours=colours)


def listed(waves: list[Wave]) -> Iterator[tuple[str, ...]]:
    """A row for each wave, the newest first: number, decision, orders sent and filled, cost, what was refused."""
    for number, wave in enumerate(reversed(waves), start=1):
        settled = wave.settled or {}
        refused = settled.get("refused")
        names = ", ".join(f"{symbol} {why}" for symbol, why in refused.items()) if isinstance(refused, dict) else ""
        cost = settled.get("cost_bps")
        cost_said = f"{cost:.1f} bps" if isinstance(cost, float) and settled.get("sent") else ""
        sent, filled = (str(settled.get(name, "")) for name in ("sent", "filled"))
        yield str(number), wave.account, wave.decision_id, sent, filled, cost_said, names if settled else "not settled in this log"
