"""Streams through ccxt's unified watch methods: any exchange that has them.

Rule: a watcher returns by raising: NotSent where there is no stream to be had, Unknown where there was one and it ended.
ccxt tells no closed flag, so a candle is closed once a later one has appeared.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_client import MESSAGES, Guarded, calling
from daemon.io.ccxt_errors import Answer, classify, reading
from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import AccountNews, BarUpdate, Fatal, NotSent, Reason, Refused, Urgency, VenueError

BATCH: Final = 100  # symbols in one unified subscription; the smallest limit of the large venues
RESET: Final = "the stream was reset"

CODE: Final = re.compile(r"""['"]code['"]: ?(-?\d+)""")  # of a refusal, which a websocket sends as a message like any other


class Streams(Protocol):
    """The streaming half of the door."""

    batch_max: int

    async def bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """See Market.watch_bars."""
        ...

    async def account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """See Exchange.watch_account."""
        ...


class Forming:
    """Tells the closed candles of one symbol: all before the newest. ccxt repeats the newest ones with every message."""

    def __init__(self, symbol: str, timeframe: timedelta) -> None:
        self._symbol = symbol
        self._timeframe = timeframe
        self._newest: Sequence[Any] | None = None

    def news(self, rows: Sequence[Sequence[Any]]) -> list[BarUpdate]:
        """What `rows`, oldest first, say that has not been said: each candle closed once, the newest with every change."""
        told = []
        for row in rows:
            newest = self._newest
            if newest is not None and (row[0] < newest[0] or row == newest):
                continue
            if newest is not None and row[0] > newest[0]:
                told.append(parse.candle(self._symbol, newest, self._timeframe, closed=True))
            told.append(parse.candle(self._symbol, row, self._timeframe, closed=False))
            self._newest = list(row)
        return [update for update in told if update is not None]


class Once:
    """Passes on the first call and none after it."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then
        self._done = False

    def __call__(self) -> None:
        """Pass it on, or not."""
        if not self._done:
            self._done = True
            self._then()


class UnifiedStreams:
    """watchOHLCV(ForSymbols), watchOrders and watchMyTrades."""

    def __init__(self, client: Guarded, now: Callable[[], datetime], secrets: Sequence[str]) -> None:
        self._client = client
        self._now = now
        self._secrets = secrets
        self._several = bool(client.has.get("watchOHLCVForSymbols"))
        self.batch_max = BATCH if self._several else 1

    async def bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """One subscription for all symbols, until it ends."""
        if not (self._several or self._client.has.get("watchOHLCV")):
            raise NotSent(f"{self._client.id} streams no candles", Reason.BAD_REQUEST)
        name = timeframe_name(self._client, timeframe)
        forming = {symbol: Forming(symbol, timeframe) for symbol in symbols}
        await self._message()
        while True:
            await self._next(self._watch(symbols, name))
            for symbol in symbols:
                # ccxt wakes one waiter for frames that arrive together and drops the others' result; its cache has them all.
                rows = self._client.ohlcvs.get(symbol, {}).get(name) or ()
                with reading():
                    updates = forming[symbol].news(list(rows))
                for update in updates:
                    sink(update)

    def _watch(self, symbols: Sequence[str], name: str) -> Any:
        if self._several:
            return self._client.watch_ohlcv_for_symbols([[symbol, name] for symbol in symbols])
        return self._client.watch_ohlcv(symbols[0], name)

    async def account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """Orders alone: their cumulative fills say that trades are to be read by REST."""
        if not (self._client.has.get("watchOrders") and self._client.apiKey):
            raise NotSent(f"{self._client.id} streams no orders", Reason.BAD_REQUEST)
        await self._message()
        # ccxt does not tell when a subscription stands. That a connection does is the nearest thing; the pollers read what lies between.
        standing = Once(connected)
        self._client.dialled.append(standing)
        try:
            while True:
                for raw in await self._next(self._client.watch_orders()):
                    standing()
                    self._tell(raw, sink)
        finally:
            self._client.dialled.remove(standing)

    def _tell(self, raw: Mapping[str, Any], sink: Callable[[AccountNews], None]) -> None:
        symbol = raw.get("symbol")
        if symbol in (self._client.markets or {}) and raw.get("id"):
            with reading():
                report = parse.report(raw, symbol=str(symbol), now=self._now())
            sink(report)

    async def _message(self) -> None:
        async with calling(Urgency.RECONCILE):
            await self._client.house.gate.acquire(Urgency.RECONCILE, {MESSAGES: 1.0})

    async def _next(self, watching: Any) -> Any:
        failed: VenueError | None = None
        try:
            async with calling(Urgency.DATA):
                return await watching
        except VenueError:
            raise
        except Exception as error:
            failed = stream_error(error, self._client.id, self._secrets)
        raise failed


def timeframe_name(client: Guarded, timeframe: timedelta) -> str:
    """How ccxt names a timeframe.

    Raises:
        Fatal: the venue has no candles of that length.
    """
    seconds = timeframe.total_seconds()
    # Months and years are no fixed length; a bar's close is its open plus the timeframe.
    names = {client.parse_timeframe(name): name for name in client.timeframes or {} if name[-1] in "smhdw"}
    if seconds not in names:
        raise Fatal(f"{client.id} has no candles of {timeframe}, but {', '.join(names.values())}", Reason.BAD_REQUEST)
    return names[seconds]


def stream_error(error: Exception, venue: str, secrets: Sequence[str]) -> VenueError:
    """The outcome of a stream that failed. Its end is Unknown: what was sent meanwhile has to be read by REST."""
    code = CODE.search(str(error))
    outcome = classify(error, venue=venue, answer=Answer(sent=True, code=code and code[1]), secrets=secrets)
    if isinstance(outcome, Refused) or isinstance(error, ccxt.NotSupported):
        return NotSent(outcome.text, outcome.reason, outcome.retry_after_s)
    return outcome
