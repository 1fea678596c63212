"""A venue as large as the real one stays light."""

from __future__ import annotations

import time

from daemon.venue.sockets import Socket
from tests.venue.wire import Desk, Floor


async def test_five_hundred_streams_of_3500_markets_cost_little() -> None:
    """A second of 500 streams costs the venue less than 40 ms of processor time, a fraction of what it may."""
    async with Floor(markets=3500) as floor:
        symbols = [market.symbol.lower() for market in floor.venue.exchange.markets[::7]]
        async with floor.wire.stream(*(f"{symbol}@kline_1s" for symbol in symbols)) as listener:
            floor.pass_time(0.5)
            started = time.process_time()
            for _ in range(20):
                floor.pass_time(0.5)
            spent = (time.process_time() - started) / 10
            assert spent < 0.04, f"{spent * 1000:.1f} ms of processor a second"
            seen = [(await listener.next())["data"]["k"]["x"] for _ in range(21 * 500)]
            assert sum(seen) == 5000


async def test_a_reader_that_does_not_keep_up_is_dropped() -> None:
    """A connection whose buffer has grown beyond its bound is ended; the venue never waits for it."""

    class Slow:
        aborted = False

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 1 << 30

        def abort(self) -> None:
            self.aborted = True

    class Request:
        transport = Slow()

    socket = Socket(Request(), None)  # type: ignore[arg-type]
    socket.send("hello")
    assert Request.transport.aborted


def test_rules_of_all_markets_are_made_once() -> None:
    """The second exchangeInfo of 3,500 markets takes less than a quarter of a second, as JSON of some megabytes."""
    desk = Desk(markets=3500)
    assert len(desk.call("GET", "exchangeInfo")["symbols"]) == 3500
    started = time.process_time()
    desk.call("GET", "exchangeInfo")
    assert time.process_time() - started < 0.25
