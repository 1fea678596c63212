"""A venue in virtual time whose every answer may be wrong: sound by itself, as the door sees to, and not true.

Rule: what is changed stays what the door would let through (see test_answers.py); so the daemon must live with any of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any, Final

from daemon.core.model import Balance, Bar, Instrument
from daemon.io.exchange import NotFound, NotSent, Reason, Refused, Unknown, VenueError
from tests.fuzz.test_answers import sound
from tests.sim.trouble import TroubledExchange

FACTORS: Final = (0.5, 0.9, 1.1, 2.0, 10.0, 1000.0, 1e-3, 1e6)
SHIFTS_S: Final = (-86_400.0, -3600.0, -10.0, -1.0, 1.0, 10.0, 3600.0, 86_400.0)
WORDS: Final = ("", "x", "A/USDT", "Z/USDT", "USDT", "r0000stranger", "🙂")
ERRORS: Final[tuple[Callable[[], VenueError], ...]] = (
    lambda: Unknown("unreadable answer"),
    lambda: NotSent("connection refused"),
    lambda: NotFound("-2013 Order does not exist."),
    lambda: Refused("-1003 Too many requests.", Reason.RATE_LIMITED, 2.0),
)


def garbled(value: Any, chance: Random) -> Any:
    """A value of the same form, in which something is another; itself, where that would not get past the door."""
    try:
        changed = _changed(value, chance)
    except (ValueError, ArithmeticError):
        return value
    return changed if sound(changed) else value


def _changed(value: Any, chance: Random) -> Any:
    match value:
        case bool() | None:
            return value
        case Enum():
            return chance.choice(list(type(value)))
        case Decimal():
            return value * Decimal(repr(chance.choice(FACTORS) * (1 + chance.random() / 7)))
        case float():
            return value * chance.choice(FACTORS) * (1 + chance.random() / 7)
        case str():
            return chance.choice(WORDS)
        case datetime():
            return value + timedelta(seconds=chance.choice(SHIFTS_S))
        case Mapping():
            return _mapping(value, chance)
        case tuple() | list():
            return _rows(value, chance)
    if is_dataclass(value) and not isinstance(value, type):
        # What was asked for by its symbol is named by the door, whatever comes.
        fixed = {"symbol"} if isinstance(value, Bar | Instrument) else set()
        name = chance.choice([each.name for each in fields(value) if each.name not in fixed])
        return replace(value, **{name: _changed(getattr(value, name), chance)})
    return value


def _mapping(value: Mapping[Any, Any], chance: Random) -> Any:
    found = dict(value)
    if not found:
        return found
    key = chance.choice(list(found))
    # A balance that is missing twice in a row has gone: nobody could know better. Numbers are never wrong in the same way twice.
    if chance.random() < 0.3 and not isinstance(found[key], Balance):
        del found[key]
    else:
        found[key] = _changed(found[key], chance)
    return found


def _rows(value: Any, chance: Random) -> Any:
    rows = list(value)
    what = chance.random()
    if rows and what < 0.6:
        place = chance.randrange(len(rows))
        rows[place] = _changed(rows[place], chance)
    elif rows and what < 0.7:
        rows.append(chance.choice(rows))
    elif rows and what < 0.8:
        rows.pop(chance.randrange(len(rows)))
    else:
        chance.shuffle(rows)
    return type(value)(rows)


class Garbler:
    """Has a venue answer wrongly `share` of the time until `until`; `count` says how often it did."""

    def __init__(self, exchange: TroubledExchange, chance: Random, calls: tuple[str, ...], share: float, until: datetime) -> None:
        self._now = exchange._now
        self._chance = chance
        self._share = share
        self._until = until
        self.count = 0
        for name in calls:
            inner = getattr(exchange, name)
            setattr(exchange, name, self._stream(inner) if name.startswith("watch_") else self._call(inner))

    def _lies(self) -> bool:
        lies = self._now() < self._until and self._chance.random() < self._share
        self.count += lies
        return lies

    def _call(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def called(*given: Any, **named: Any) -> Any:
            if not self._lies():
                return await inner(*given, **named)
            if self._chance.random() < 0.2:
                error = self._chance.choice(ERRORS)
                raise error()
            return garbled(await inner(*given, **named), self._chance)

        return called

    def _stream(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*given: Any, **named: Any) -> Any:
            sink = next(index for index, each in enumerate(given) if callable(each))

            def heard(news: Any) -> None:
                if not self._lies():
                    given[sink](news)
                elif self._chance.random() < 0.8:  # else it is lost
                    given[sink](garbled(news, self._chance))
                    if self._chance.random() < 0.2:
                        asyncio.get_running_loop().call_later(self._chance.random() * 30, given[sink], news)  # and again, late

            await inner(*given[:sink], heard, *given[sink + 1 :], **named)

        return watched
