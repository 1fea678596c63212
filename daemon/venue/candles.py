"""Candles in the protocol's words: klines by REST, kline events on streams.

Rule: the same bar has the same digits wherever it is sent. What the tape does not know (quote volume, number of trades, taker
share) is derived from the bar alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.venue.intervals import INTERVALS
from daemon.venue.tape import Bar, Tape

WINDOWS_MAX = 12  # doublings while looking for the wanted number of candles across gaps


def quote_volume(bar: Bar) -> float:
    """Traded quote units: volume at the bar's mean price."""
    return bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4


def trade_count(bar: Bar) -> int:
    """A plausible number of trades, 0 only without volume."""
    return 0 if bar.volume <= 0 else 1 + int(bar.volume * 7 + bar.open) % 500


def kline(bar: Bar) -> str:
    """A REST kline, a JSON list."""
    quote = quote_volume(bar)
    return (
        f'[{bar.start},"{bar.open:.8f}","{bar.high:.8f}","{bar.low:.8f}","{bar.close:.8f}","{bar.volume:.8f}",'
        f'{bar.end - 1},"{quote:.8f}",{trade_count(bar)},"{bar.volume / 2:.8f}","{quote / 2:.8f}","0"]'
    )


def kline_event(symbol: str, interval: str, bar: Bar, at: int, *, closed: bool) -> str:
    """A kline event of a stream, a JSON object; `at` is the event time in ms."""
    quote = quote_volume(bar)
    count = trade_count(bar)
    first = bar.start // 1000
    return (
        f'{{"e":"kline","E":{at},"s":"{symbol}","k":{{"t":{bar.start},"T":{bar.end - 1},"s":"{symbol}","i":"{interval}",'
        f'"f":{first if count else -1},"L":{first + count - 1 if count else -1},"o":"{bar.open:.8f}","c":"{bar.close:.8f}",'
        f'"h":"{bar.high:.8f}","l":"{bar.low:.8f}","v":"{bar.volume:.8f}","n":{count},"x":{"true" if closed else "false"},'
        f'"q":"{quote:.8f}","V":"{bar.volume / 2:.8f}","Q":"{quote / 2:.8f}","B":"0"}}}}'
    )


def latest(tape: Tape, market: int, interval: str, limit: int, stop: int, now: int) -> list[Bar]:
    """The last `limit` candles that open at or before `stop`, the forming one included."""
    found: list[Bar] = []
    for window in _windows(tape, interval, limit):
        start = stop - window
        found = tape.bars(market, interval, start, stop, now)
        if len(found) >= limit or start <= tape.origin:
            break
    return found[-limit:]


def earliest(tape: Tape, market: int, interval: str, limit: int, start: int, stop: int, now: int) -> list[Bar]:
    """The first `limit` candles that open in start..stop."""
    start = max(start, tape.origin - 366 * 86_400_000)
    found: list[Bar] = []
    for window in _windows(tape, interval, limit):
        until = min(start + window, stop, now)
        found = tape.bars(market, interval, start, until, now)
        if len(found) >= limit or until >= min(stop, now):
            break
    return found[:limit]


def _windows(tape: Tape, interval: str, limit: int) -> Iterator[int]:
    """Longer and longer windows in ms, the first just long enough where there are no gaps."""
    for doubling in range(WINDOWS_MAX):
        yield max(INTERVALS[interval], tape.step) * limit << doubling
