"""Market streams: who listens to what, and what each stream says when.

Rule: a message is serialised once however many listen. At a boundary every closed candle leaves before anything newer, in one write
a connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.venue.candles import kline_event, quote_volume
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Freeze
from daemon.venue.intervals import divides
from daemon.venue.market_data import best, day
from daemon.venue.markets import Market
from daemon.venue.sockets import Socket, frame
from daemon.venue.tape import Bar, extended, within

NAME: Final = re.compile(r"^([a-z0-9]+)@(kline_([0-9]+[smhdwM])|bookTicker|miniTicker|markPrice)(@1s)?$")
FORM: Final = re.compile(r"^!?[A-Za-z0-9_]+@[A-Za-z0-9_@:+]+$")

Ticker = Callable[[Any, Market], str]  # of the exchange of its kind of market


@dataclass(slots=True, eq=False)
class Stream:
    """One stream that somebody listens to. `part` is a longer candle's whole rows so far, up to and without row `rows`."""

    name: str
    market: Market
    kind: str  # kline, or the name of a ticker
    interval: str
    raw: set[Socket] = field(default_factory=set)
    combined: set[Socket] = field(default_factory=set)
    part: Bar | None = None
    rows: int = -1
    said: str = ""  # the last bookTicker, to say a thing once
    told: str = ""  # the last message, in case a fault has it repeated

    def tell(self, text: str, changed: set[Socket]) -> None:
        """Put a message into the outbox of every listener."""
        self.told = text
        if self.raw:
            framed = frame(text.encode())
            for socket in self.raw:
                socket.tell(framed, self.market.symbol)
        if self.combined:
            framed = frame(f'{{"stream":"{self.name}","data":{text}}}'.encode())
            for socket in self.combined:
                socket.tell(framed, self.market.symbol)
        changed |= self.raw
        changed |= self.combined


class Hub:
    """All market streams; `tickers` say what the streams that are no candles say now, by their names."""

    def __init__(self, exchange: Exchange, tickers: Mapping[str, Ticker]) -> None:
        self._exchange, self._tickers = exchange, tickers
        self._tape = exchange.tape
        self.streams: dict[str, Stream] = {}
        self.sent = 0  # messages, each counted once however many listened

    def subscribe(self, socket: Socket, name: str, *, combined: bool) -> bool:
        """Listen to a stream; an unknown market is silence, as at Binance; False if the name makes no sense."""
        if not FORM.match(name):
            return False
        stream = self.streams.get(name) or self._make(name)
        if stream is not None:
            self.streams[name] = stream
            (stream.combined if combined else stream.raw).add(socket)
        return True

    def unsubscribe(self, socket: Socket, name: str) -> None:
        """Listen to a stream no more."""
        stream = self.streams.get(name)
        if stream is None:
            return
        stream.raw.discard(socket)
        stream.combined.discard(socket)
        if not stream.raw and not stream.combined:
            del self.streams[name]

    def _make(self, name: str) -> Stream | None:
        found = NAME.match(name)
        market = self._exchange.by_symbol.get(found[1].upper()) if found else None
        if found is None or market is None:
            return None
        kind, interval = found[2].partition("_")[0], found[3] or ""
        if kind != "kline" and kind not in self._tickers:
            return None
        if interval and not divides(self._tape.interval, interval):
            return None
        self._exchange.shown.add(market.index)
        return Stream(name, market, kind, interval)

    def close_row(self, index: int) -> None:
        """Send the candles that end with row `index`."""
        changed: set[Socket] = set()
        end = self._tape.opens(index + 1)
        for stream in self.streams.values():
            if stream.kind == "kline":
                bar = self._ending(stream, index, end)
                if bar is not None:
                    self._tell(stream, kline_event(stream.market.symbol, stream.interval, bar, end, closed=True), changed)
        self._flush(changed)

    def update(self, now: int, *, candles: bool) -> None:
        """Send what is forming; without `candles` (they have just closed) the tickers only."""
        if self._exchange.settings.closed_only:
            return
        changed: set[Socket] = set()
        for stream in self.streams.values():
            text = self._current(stream, now) if candles or stream.kind != "kline" else ""
            if text:
                self._tell(stream, text, changed)
        self._flush(changed)

    def _tell(self, stream: Stream, text: str, changed: set[Socket]) -> None:
        """Say it, or what a fault has it say."""
        symbol = stream.market.symbol
        patch = self._exchange.patch(symbol)
        if patch is not None and patch.delisted:
            return
        frozen = self._exchange.faults.strike(Freeze, self._exchange.now(), "market", symbol) is not None
        stream.tell(stream.told or text if frozen else text, changed)
        self.sent += 1

    def _flush(self, changed: set[Socket]) -> None:
        for socket in changed:
            socket.flush()

    def _current(self, stream: Stream, now: int) -> str:
        """A stream's message about the present, empty when there is nothing to say."""
        if stream.kind == "kline":
            bar = self._forming(stream, now)
            return "" if bar is None else kline_event(stream.market.symbol, stream.interval, bar, now, closed=False)
        text = self._tickers[stream.kind](self._exchange, stream.market)
        fresh = text != stream.said
        stream.said = text
        return text if fresh else ""

    def _forming(self, stream: Stream, now: int) -> Bar | None:
        live = self._tape.forming(stream.market.index, now)
        if stream.interval == self._tape.interval:
            return live
        self._catch_up(stream, self._tape.index(now))
        if live is None:
            return None
        part = within(stream.interval, live)
        return extended(stream.part, part) if stream.part is not None and stream.part.start == part.start else part

    def _ending(self, stream: Stream, index: int, end: int) -> Bar | None:
        """The stream's candle if it ends at `end`."""
        if stream.interval == self._tape.interval:
            return self._tape.closed(stream.market.index, index)
        self._catch_up(stream, index + 1)
        return stream.part if stream.part is not None and stream.part.end == end else None

    def _catch_up(self, stream: Stream, rows: int) -> None:
        """Add whole rows to the stream's candle until it knows all before `rows`."""
        if stream.rows < 0:
            opening = within(stream.interval, Bar(self._tape.opens(rows - 1), 0, 0.0, 0.0, 0.0, 0.0, 0.0)).start
            stream.rows = max(self._tape.index(opening), 0)
        while stream.rows < rows:
            bar = self._tape.closed(stream.market.index, stream.rows)
            stream.rows += 1
            if bar is None:
                continue
            part = within(stream.interval, bar)
            same = stream.part is not None and stream.part.start == part.start
            stream.part = extended(stream.part, part) if same and stream.part is not None else part


def book_text(exchange: Exchange, market: Market) -> str:
    """A bookTicker message."""
    found = best(exchange, market)
    body = {"u": exchange.tape.index(exchange.now()), "s": market.symbol}
    body |= {"b": found["bidPrice"], "B": found["bidQty"], "a": found["askPrice"], "A": found["askQty"]}
    return json.dumps(body, separators=(",", ":"))


def mini_text(exchange: Exchange, market: Market) -> str:
    """A 24hrMiniTicker message."""
    bar = day(exchange, market)
    prices = {"c": bar.close, "o": bar.open, "h": bar.high, "l": bar.low, "v": bar.volume, "q": quote_volume(bar)}
    body = {"e": "24hrMiniTicker", "E": exchange.now(), "s": market.symbol} | {name: f"{value:.8f}" for name, value in prices.items()}
    return json.dumps(body, separators=(",", ":"))
