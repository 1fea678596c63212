"""The door at the end of a request's time, and of its caller's."""

import asyncio
import time

from tests.io.ccxt_server import door, hang, serving, until


async def test_an_end_that_meets_the_end_of_a_request_is_heard() -> None:
    """Who is cancelled in the very turn of the loop in which a request runs out of time is cancelled: a stop waits for nobody."""
    async with serving() as server, door(server.urls(), timeout=300) as exchange:
        await exchange.connect()
        server.answers["GET account"] = hang(5)
        reading = asyncio.create_task(exchange.balances())
        await until(lambda: server.count("GET account"))
        asyncio.get_running_loop().call_later(0.25, reading.cancel)
        time.sleep(0.4)  # noqa: ASYNC251 - so that both are due in one turn
        await asyncio.wait({reading}, timeout=2)
        assert reading.cancelled()
