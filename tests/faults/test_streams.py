"""B: streams that go silent, lie, stammer or end, and what the daemon knows and does all the same."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from tests.faults.world import PATIENCE_S, STALE, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def standing(shared: World) -> None:
    """Each test begins with streams that stand."""
    await shared.streaming()


STALE_S = STALE.total_seconds()
BACK_S = 3.0  # a connection that was given up is dialled again within a second or two


def dials(place: World, kind: str = "market") -> int:
    """How many connections of a kind have stood."""
    return int(place.venue.listeners.counts[kind]["connections"])


async def bars_go_on(place: World, within_s: float = BACK_S + STALE.total_seconds()) -> None:
    """Wait until the next slice is complete."""
    since = len(place.lines)
    await place.until(lambda: any(line.fields["coverage"] == 1.0 for line in place.told("slice.closed", since)), within_s)


async def test_b1_a_muted_stream_stops_trading_and_is_back_in_seconds(place: World) -> None:
    """Silent streams, and no candles by REST: stale in time, nothing is sent, and seconds after the return bars and orders go on."""
    before = len(place.booked)
    place.fault("ws.mute", on="market")
    place.fault("http", on="klines", status=503, body="")
    assert await place.until(lambda: len(place.told("stream.stale")) == 3) < 2 * STALE_S
    await place.until(lambda: not place.run.parts.account.fresh_prices(place.run.parts.clock.now()))
    decision = place.want(BTC=0.1)
    await asyncio.sleep(0.5)
    assert len(place.booked) == before
    place.mend()
    began = time.monotonic()
    await place.settled(decision)
    assert time.monotonic() - began < BACK_S + 1
    assert len(place.booked) == before + 1


async def test_b1_while_a_stream_is_muted_rest_serves(place: World) -> None:
    """A muted stream alone costs no bar: what it does not tell is asked for, and it is dialled again."""
    stood = dials(place)
    place.fault("ws.mute", on="market")
    await place.until(lambda: dials(place) > stood)
    since = len(place.lines)
    await asyncio.sleep(1.5)
    assert [line.fields["coverage"] for line in place.told("slice.closed", since)][:2] in ([1.0], [1.0, 1.0])
    wave = await place.wave(BTC=0.1)
    assert wave.filled == 1


async def test_b2_a_broken_line_is_noticed_and_dialled_again(place: World) -> None:
    """Nothing comes and nothing is answered, new connections included: noticed in time, and back once the line is mended."""
    stood = dials(place)
    place.fault("ws.blackhole", on="market")
    place.fault("http", on="klines", status=503, body="")
    assert await place.until(lambda: place.told("stream.stale")) < 2 * STALE_S
    place.mend()
    await place.until(lambda: dials(place) > stood)
    await bars_go_on(place)


@pytest.mark.parametrize("body", ['{"stream":"!', '{"stream":"btcusdt@kline_1s","data":{"e":"kline","k":null}}', "[[[]]]"])
async def test_b3_one_bad_frame_ends_its_connection_and_nothing_else(place: World, body: str) -> None:
    """A frame that cannot be read gives a new connection, and no bar is missing."""
    stood, since = dials(place), len(place.lines)
    place.fault("ws.garbage", on="market", body=body, count=1)
    await place.until(lambda: dials(place) > stood, BACK_S + STALE_S)
    await bars_go_on(place)
    closes: list[Any] = [line.fields["closes_at"] for line in place.told("slice.closed", since)]
    assert all((late - early).total_seconds() == 1 for early, late in pairwise(closes))


async def test_b4_a_stream_that_repeats_itself_is_stale(place: World) -> None:
    """Frames keep coming and say what they said before: judged by the time of what they tell, the stream is given up and dialled again."""
    stood = dials(place)
    place.fault("ws.freeze")
    await place.until(lambda: dials(place) > stood, 2 * STALE_S + BACK_S)
    place.mend()
    await bars_go_on(place)


async def test_b6_refused_streams_are_dialled_calmly(place: World) -> None:
    """While websockets are refused, each kind is dialled at growing pauses, none within a second of the last but the first ones."""
    moments: dict[str, list[float]] = {"market": [], "api": []}
    counts = place.venue.listeners.counts
    place.fault("ws.refuse", status=429)
    before = {kind: counts[kind]["refused"] for kind in moments}
    place.fault("ws.close")
    began = time.monotonic()
    while time.monotonic() - began < 4.0:
        for kind, seen in moments.items():
            if counts[kind]["refused"] - before[kind] > len(seen):
                seen.append(time.monotonic())
        await asyncio.sleep(0.01)
    assert all(1 <= len(seen) <= 5 for seen in moments.values())
    assert all(late - early > 0.9 for seen in moments.values() for early, late in pairwise(seen[2:]))
    wave = await place.wave(BTC=0.1)
    assert wave.filled == 1


async def test_b7_streams_that_the_exchange_ends_cost_no_bar(place: World) -> None:
    """Ended by the exchange, as every day, again and again: each is dialled anew, and every close is there once."""
    since = len(place.lines)
    for _ in range(3):
        stood = dials(place)
        place.fault("ws.close")
        await place.until(lambda was=stood: dials(place) > was)  # type: ignore[misc]
        await bars_go_on(place, PATIENCE_S)  # what is still being dialled cannot be ended
    closes: list[Any] = [line.fields["closes_at"] for line in place.told("slice.closed", since)]
    assert all((late - early).total_seconds() == 1 for early, late in pairwise(closes))


async def test_b8_what_fills_while_the_user_stream_is_away_is_booked(place: World) -> None:
    """Without its stream, fills of our orders and trades of other hands are booked by the next readings, once each."""
    place.fault("ws.refuse", on="user")
    place.fault("ws.close", on="user")
    place.fault("fill", share="0.5", after="800ms", count=1)
    wave = await place.wave(BTC=0.1)
    assert wave.filled == 1
    place.strangers.add("by-hand")
    place.fault("order", symbol="ETH/USDT", side="BUY", type="MARKET", amount="2", client_id="by-hand")
    await place.until(lambda: place.run.parts.ledger.held("ETH") > 1)
    assert len([line for line in place.told("order.filled") if line.fields["symbol"] == "ETH/USDT"]) == 1
    assert place.told("flow.booked") == []


async def test_a11_b13_what_comes_twice_or_out_of_order_counts_once(place: World) -> None:
    """Doubled and shuffled messages of both streams change nothing: bars come once and in order, each fill is booked once."""
    since = len(place.lines)
    for do in ("ws.dup", "ws.reorder"):
        place.fault(do, probability=0.4)
    for weight in (0.1, 0.3, 0.2):
        await place.wave(BTC=weight, ETH=weight, SOL=weight)
    await bars_go_on(place)
    closes: list[Any] = [line.fields["closes_at"] for line in place.told("slice.closed", since)]
    assert closes == sorted(set(closes))
    trades = [(line.fields["symbol"], line.fields["trade_id"]) for line in place.told("order.filled", since)]
    assert len(trades) == len(set(trades)) >= 9
    assert place.told("order.surprise", since) == []
