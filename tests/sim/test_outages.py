"""Outages in virtual time: hours without a venue cost nothing but the time."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from daemon.io.exchange import Unknown
from tests.sim.trouble import Life, TroubledExchange, at_bar, configured, live, nothing, wave

CALLS: Final = ("server_time", "markets", "bars", "balances", "open_orders", "trades", "order", "submit", "cancel")
STREAMS: Final = ("watch_bars", "watch_account")
SYMBOLS: Final = ("A/USDT", "B/USDT", "C/USDT", "D/USDT")
ROWS: Final = 760
GONE, BACK = at_bar(20), at_bar(740)


class Outage:
    """Between two moments nobody answers, and what stood is broken; `asked` has every call of that time."""

    def __init__(self, exchange: TroubledExchange) -> None:
        self._now = exchange._now
        self.asked: dict[str, list[datetime]] = defaultdict(list)
        for name in CALLS:
            setattr(exchange, name, self._call(name, getattr(exchange, name)))
        for name in STREAMS:
            setattr(exchange, name, self._stream(name, getattr(exchange, name)))

    def _gone(self, name: str) -> None:
        if GONE <= self._now() < BACK:
            self.asked[name].append(self._now())
            raise Unknown("503 Service Unavailable")

    def _call(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def called(*given: Any, **named: Any) -> Any:
            self._gone(name)
            return await inner(*given, **named)

        return called

    def _stream(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*given: Any, **named: Any) -> Any:
            self._gone(name)
            left_s = (GONE - self._now()).total_seconds()
            try:
                async with asyncio.timeout(left_s if left_s > 0 else None):
                    await inner(*given, **named)
            except TimeoutError:
                raise Unknown("the connection was closed") from None

        return watched


def written(life: Life) -> int:
    """Bytes that the log of a life takes as JSON, even if nothing that repeats itself is held back."""
    return sum(len(json.dumps(line, default=str)) + 60 for line in life.lines)


def test_c8_two_hours_without_a_venue(tmp_path: Path) -> None:
    """Two hours of 503: no end, no order, one calm probe for all, at most a megabyte of log, and orders within a minute of the return."""
    closes = {symbol: wave(10.0 * (n + 1), ROWS + n)[n:] for n, symbol in enumerate(SYMBOLS)}
    config = configured(tmp_path, closes, dict.fromkeys(SYMBOLS[:3], 0.3), {}, every=2)
    outages: list[Outage] = []
    life = live(config, closes, lambda exchange: outages.append(Outage(exchange)), nothing, SYMBOLS[0])
    asked = outages[0].asked
    late = sorted(at for moments in asked.values() for at in moments if at > GONE + timedelta(minutes=1))
    assert all(after - before >= timedelta(seconds=30) for before, after in pairwise(late))
    assert len(late) > 200
    assert asked.keys() >= {"bars", "balances", "watch_bars", "watch_account"}
    sent = [at for at, _ in life.sent]
    assert [at for at in sent if GONE <= at < BACK] == []
    assert min(at for at in sent if at >= BACK) - BACK <= timedelta(seconds=60)
    assert written(life) <= 1_000_000
    assert (life.status["state"], life.ready) == ("running", (True, []))
