"""A: what becomes of orders when the line breaks, the answer lies, or the exchange's own look-ups do not know yet."""

import asyncio
import itertools
import os
from datetime import timedelta

import pytest

from daemon.core.model import Side
from daemon.core.ordertable import client_id
from tests.faults.world import QUICK, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDERS = int(os.environ.get("REBALANCED_ORDERS", "18"))
LOST = 0.03 if ORDERS > 100 else 0.0  # each takes seconds, until its absence is confirmed
PLACE, LOOK, CANCEL = "order.place", "order.status", "order.cancel"


async def test_a1_a_lost_answer_is_looked_up_and_never_sent_again(place: World) -> None:
    """An order that was taken although its answer was lost is found by its id: one order, adopted, the wave settles with it."""
    place.fault("accept_drop", count=1)
    place.fault("ws.lose", on="user")
    wave = await place.wave(BTC=0.1)
    assert (place.hits()[0], wave.sent, wave.filled, len(place.booked)) == (1, 1, 1, 1)
    assert [line.fields["how"] for line in place.told("order.resolved")] == ["trades"]


async def test_a2_no_ambiguous_answer_makes_a_second_order(place: World) -> None:
    """Lost on the way or back, broken off, a page of HTML or a 502, every time: no more orders than intents, each filled once."""
    before, sent = len(place.booked), 0
    place.fault("lose", probability=LOST)
    place.fault("accept_drop", every=2)
    place.fault("http", on=PLACE, truncated=True, every=2)
    place.fault("http", on=PLACE, body="<html>hello</html>", accepted=True, every=2)
    place.fault("accept_502")
    for weight in itertools.cycle((0.3, 0.1)):
        sent += (await place.wave(BTC=weight, ETH=weight, SOL=weight)).sent
        await place.until(lambda: not place.unknown)
        if sent >= ORDERS:
            break
    absent = [line for line in place.told("order.resolved") if line.fields["how"] == "confirmed_absent"]
    assert sum(place.hits()) == sent
    assert len(place.told("order.unknown")) >= 0.2 * sent  # of the others the stream has told before their answer failed to come
    assert len(place.booked) - before == sent - len(absent)
    assert len(absent) <= place.hits()[0] + 0.02 * sent  # the exchange may have refused one, which was not told either


async def test_a3_a_502_after_acceptance_freezes_the_symbol_until_it_is_known(place: World) -> None:
    """While nobody answers, the order is unknown and its symbol still, though more of it is wanted; then it is adopted, once."""
    before = len(place.booked)
    place.fault("accept_502", count=1)
    place.fault("http", on="private", status=502, body="<html></html>", until="1500ms")
    place.fault("ws.lose", on="user")
    place.want(BTC=0.3)
    await place.until(lambda: place.unknown)
    place.want(BTC=0.4)
    await asyncio.sleep(0.5)
    assert len(place.unknown) == 1
    assert len(place.booked) == before + 1
    place.mend()
    await place.until(lambda: not place.unknown)
    await place.wave(BTC=0.4)
    assert len(place.booked) == before + 2
    assert place.told("order.rejected") == []


async def test_a4_a_fill_that_is_in_no_listing_of_orders_is_booked_once(place: World) -> None:
    """Filled at once, its answer lost, and unknown to every listing of orders: the trade is booked, and the order not called absent."""
    before = len(place.booked)
    place.fault("accept_drop", count=1)
    place.fault("lag", of="orders", delay="1h")
    place.fault("ws.lose", on="user")
    place.want(BTC=0.1)
    await place.until(lambda: any(len(tracked.absences) > 3 for tracked in place.unknown))
    assert place.run.parts.ledger.held("BTC") > 0
    place.mend()
    await place.until(lambda: not place.unknown)
    assert len(place.booked) == before + 1
    assert place.told("order.rejected") == []
    assert [line.fields["how"] for line in place.told("order.resolved")] == ["query"]


async def test_a5_an_order_that_is_not_found_yet_is_not_refused(place: World) -> None:
    """Look-ups that do not know an acknowledged order yet are late, no evidence: it stays working, and fills."""
    before = len(place.booked)
    place.fault("fill", after="700ms", count=1)
    place.fault("lag", of="orders", delay="600ms")
    wave = await place.wave(BTC=0.3)
    assert (wave.sent, wave.filled) == (1, 1)
    assert len(place.booked) == before + 1
    assert place.told("order.rejected") == place.told("order.unknown") == []


@pytest.mark.parametrize("every", [1, 2])
async def test_a6_a_live_order_that_one_end_point_denies_is_found_at_another(place: World, every: int) -> None:
    """A look-up by id that denies a live order, always or every other time, is overruled by the list of open orders."""
    before = len(place.booked)
    place.fault("accept_drop", count=1)
    place.fault("fill", after="600ms", count=1)
    place.fault("ws.lose", on="user")
    place.fault("reject", on=LOOK, code=-2013, every=every, until="600ms")
    wave = await place.wave(BTC=0.1)
    assert (wave.sent, wave.filled, len(place.booked)) == (1, 1, before + 1)
    assert place.told("order.rejected") == []


async def test_a6_a_live_order_that_everybody_denies_is_held_while_its_money_is_locked(place: World) -> None:
    """No look-up through any end point shows the order, but its money is locked: it stays in doubt, and its symbol still."""
    before = len(place.booked)
    place.fault("accept_drop", count=1)
    place.fault("fill", count=1)
    place.fault("ws.lose", on="user")
    place.fault("lag", of="orders", delay="1h")
    place.want(BTC=0.1)
    await place.until(lambda: any(len(tracked.absences) > 3 for tracked in place.unknown))
    place.want(BTC=0.2)
    await asyncio.sleep(0.3)
    assert len(place.unknown) == 1
    assert len(place.booked) == before + 1
    assert place.told("order.rejected") == []


async def test_a7_the_stream_ends_the_doubt_before_the_answer_comes(place: World) -> None:
    """The answer comes too late, the stream in time: the order is known by it, and nobody goes on asking."""
    before, asked = len(place.booked), place.asked("GET /api/v3/order")
    place.fault("accept_late", delay="2s", count=1)
    place.fault("ws.delay", delay="800ms", on="user")
    place.fault("http", on=LOOK, status=503, body="{}", until="1s")
    wave = await place.wave(BTC=0.3)
    assert (wave.sent, wave.filled) == (1, 1)
    assert {line.fields["how"] for line in place.told("order.resolved")} == {"stream"}
    asked_until = place.asked("GET /api/v3/order")
    await asyncio.sleep(1.0)
    assert place.asked("GET /api/v3/order") == asked_until
    assert asked_until - asked < 8
    assert len(place.booked) == before + 1


async def test_a13_what_is_filled_in_part_counts_and_the_rest_is_planned_anew(place: World) -> None:
    """Two fifths filled, then cancelled as too old: they are booked, and another round trades what is missing, no more."""
    before = len(place.booked)
    place.fault("fill", share="0.4", count=1)
    wave = await place.wave(BTC=0.1)
    assert len(place.booked) == before + 2
    orders = place.venue.exchange.matching.orders["BTCUSDT"]
    assert [order.status for order in orders[-2:]] == ["CANCELED", "FILLED"]
    assert abs(wave.off_target.get("BTC/USDT", 0.0)) < 0.02


async def test_a14_a_cancel_that_comes_too_late_finds_a_fill(place: World) -> None:
    """The order fills as its cancel arrives, which is refused: it is filled, and not taken for cancelled."""
    before = len(place.booked)
    place.fault("fill", at_cancel=True, count=1)
    wave = await place.wave(BTC=0.3)
    assert (wave.sent, wave.filled) == (1, 1)
    assert len(place.booked) == before + 1


async def test_a15_lost_cancels_of_an_order_that_vanishes_come_to_an_end(place: World) -> None:
    """Cancels are lost, the exchange ends the order itself and shows it no more: after a few cancels it is read only, and then given up."""
    before = place.asked("DELETE /api/v3/order")
    place.fault("fill", count=1)
    place.fault("ws.lose", on="user")
    place.fault("lose", on=CANCEL)
    place.want(BTC=0.1)
    await place.until(lambda: place.asked("DELETE /api/v3/order") > before)
    (order,) = place.venue.exchange.matching.open["BTCUSDT"]
    place.venue.exchange.matching.cancel(order, "nobody", place.venue.exchange.now())
    place.fault("lag", of="orders", delay="1h")
    await place.until(lambda: [line for line in place.told("order.closed") if line.fields["order_id"] == order.client_id])
    assert place.asked("DELETE /api/v3/order") - before == QUICK.cancels
    closed = next(line.fields for line in place.told("order.closed") if line.fields["order_id"] == order.client_id)
    assert (closed["state"], closed["filled"]) == ("canceled", 0)


async def test_a16_an_order_of_ours_that_nobody_knows_is_cancelled(place: World) -> None:
    """An open order under an id of ours, of which the journal knows nothing, is cancelled at the next reading; others' are left alone."""
    place.run.parts.reconciler.twins.margin = timedelta(0)  # it comes long after the start
    instance = place.run.parts.manager.settings.instance
    ours = client_id(instance, "a decision of another journal", "BTC/USDT", Side.BUY, 1)
    place.strangers |= {ours, "by-hand"}
    for name in (ours, "by-hand"):
        place.fault("order", symbol="BTC/USDT", side="BUY", amount="0.01", client_id=name)
    await place.until(lambda: "BTCUSDT" not in place.waiting or place.waiting["BTCUSDT"] == ["by-hand"], 3.0)
    await asyncio.sleep(1.0)
    assert place.waiting == {"BTCUSDT": ["by-hand"]}
    assert place.told("account.foreign_orders")
    (left,) = place.venue.exchange.matching.open["BTCUSDT"]
    place.venue.exchange.matching.cancel(left, "by-hand-too", place.venue.exchange.now())


async def test_d15_buys_that_fail_behind_their_sells_are_made_up_for(place: World) -> None:
    """The exchange is away once the sells are done: the buys come when it is back, and nothing is sold a second time."""
    await place.wave(BTC=0.8)
    before = len(place.booked)
    place.fault("lose", on=PLACE, side="BUY")
    decision = place.want(ETH=0.6)
    await place.until(lambda: place.unknown or place.told("order.unknown"))
    assert [line.fields["side"] for line in place.told("order.submitted")][-2:] == [Side.SELL, Side.BUY]
    place.mend()
    await place.settled(decision)
    await place.until(lambda: len(place.booked) > before + 1)
    sides = [o.side for orders in place.venue.exchange.matching.orders.values() for o in orders if o.client_id in place.booked[before:]]
    assert sorted(sides) == ["BUY", "SELL"]


async def test_a19_an_order_that_is_always_refused_is_not_sent_for_ever(place: World) -> None:
    """Three definite refusals in a row pause the symbol, aloud, and the others trade on."""
    before = place.asked("POST /api/v3/order")
    place.fault("reject", code=-2010, message="Market is closed.", symbol="BTC/USDT")
    for number in range(6):
        await place.wave(BTC=0.3, ETH=0.1 * (number % 2))
    refused = [line for line in place.told("order.rejected") if line.fields["symbol"] == "BTC/USDT"]
    assert len(refused) == 3
    assert [hold.code for hold in place.holds()] == ["rejects"]
    assert place.told("trading.paused")
    assert place.asked("POST /api/v3/order") - before >= 3 + 5
    for hold in place.holds():
        await place.lift(hold)


async def test_a20_a_duplicate_id_means_that_the_order_exists(place: World) -> None:
    """Called a duplicate of itself, the order is ours: it is looked up and adopted, and no other is sent."""
    before = len(place.booked)
    place.fault("reject", code=-2010, message="Duplicate order sent.", accepted=True, count=1)
    place.fault("ws.lose", on="user")
    wave = await place.wave(BTC=0.1, ETH=0.2)
    assert len(place.booked) == before + wave.sent
    assert wave.filled == wave.sent
    assert place.told("order.rejected") == []


async def test_a21_a_request_that_ages_on_its_way_trades_no_more(place: World) -> None:
    """An order that reaches the exchange after its own window is refused there: absent once the fence has passed, and sent anew, once."""
    before = len(place.booked)
    place.fault("arrive_late", delay="1200ms", count=1)
    wave = await place.wave(BTC=0.1)
    await place.until(lambda: not place.unknown)
    if wave.filled == 0:
        await place.wave(BTC=0.1)
    assert len(place.told("order.unknown")) == 1
    assert {line.fields["how"] for line in place.told("order.resolved")} == {"confirmed_absent"}
    assert len(place.booked) == before + 1
