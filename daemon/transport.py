"""Transport: says by what way bars and fills come, whenever that changes; it decides how soon they are known."""

from typing import Final, Protocol

import structlog

from daemon.io.clock import Clock

log = structlog.get_logger()

# Websockets have this long to open before the log says that they do not.
DIAL_S: Final = 5.0


class Streams(Protocol):
    """What is asked of the streams of bars."""

    @property
    def streaming(self) -> bool:
        """Whether every symbol's candles come by websocket now."""
        ...


class Shown(Protocol):
    """Where it is shown: stream or poll, connected or polled; "" before it is known."""

    bars: str
    orders_by: str


class Transport:
    """Looks when it is told to. Before `begin` there are no streams to look at."""

    def __init__(self, shown: Shown, clock: Clock) -> None:
        self._shown = shown
        self._clock = clock
        self._streams: Streams | None = None
        self._began_at = 0.0

    def begin(self, streams: Streams) -> None:
        """The streams of bars are being opened."""
        self._streams, self._began_at = streams, self._clock.monotonic()

    def look(self, *, connected: bool) -> None:
        """Say what has changed. `connected`: the exchange tells of our fills by itself."""
        if self._streams is None:
            return
        bars = "stream" if self._streams.streaming else "poll"
        orders = "connected" if connected else "polled"
        if bars == "poll" and not self._shown.bars and self._clock.monotonic() - self._began_at < DIAL_S:
            return  # polling serves until the first dial has had its time
        if bars != self._shown.bars:
            self._shown.bars = bars
            if bars == "stream":
                log.info("bars.streaming")
            else:
                log.warning("bars.polling")
        if orders != self._shown.orders_by:
            self._shown.orders_by = orders
            if orders == "connected":
                log.info("account.streaming")
            else:
                log.warning("account.polling")
