"""A venue as large as the real one stays light."""

from __future__ import annotations

from daemon.venue.sockets import Socket
from tests.venue.wire import Desk, Floor


async def test_five_hundred_streams_of_3500_markets_are_all_served() -> None:
    """Every closed bar of 500 streams reaches the listener on one connection, and none is doubled."""
    async with Floor(markets=3500) as floor:
        symbols = [market.symbol.lower() for market in floor.venue.exchange.markets[::7]]
        async with floor.wire.stream(*(f"{symbol}@kline_1s" for symbol in symbols)) as listener:
            for _ in range(21):
                floor.pass_time(0.5)
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

    socket = Socket(Desk().exchange, "market", Request(), None)  # type: ignore[arg-type]
    socket.send("hello")
    assert Request.transport.aborted


def test_rules_of_all_markets_are_made_once() -> None:
    """The second exchangeInfo of 3,500 markets is told from the texts of the first."""
    desk = Desk(markets=3500)
    first = desk.call("GET", "exchangeInfo")
    assert len(first["symbols"]) == 3500
    texts = {index: id(text) for index, text in desk.exchange.rule_texts.items()}
    assert desk.call("GET", "exchangeInfo")["symbols"] == first["symbols"]
    assert {index: id(text) for index, text in desk.exchange.rule_texts.items()} == texts
