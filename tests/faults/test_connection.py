"""C: rate limits, outages, clocks, pages that are no answer, keys that are refused; D19: an account that is shown empty."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.circuit import ExchangeInTurn
from daemon.io.journal import read as recorded
from daemon.io.rategate import RateGate
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests.faults.world import World, config, quick
from tests.oneprocess import KEYS, Run, at_work

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = "<html><body>Please log in to the network.</body></html>"


def silent(run: Run) -> bool:
    """Whether the daemon knows that it is to be silent: what the exchange has answered is on its way until then."""
    exchange = run.parts.exchange
    assert isinstance(exchange, ExchangeInTurn)
    door = exchange._exchange
    assert isinstance(door, CcxtExchange)
    assert isinstance(door._gate, RateGate)
    return door._gate.paused_for_s > 0


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [(429, {"Retry-After": 2}, '{"code":-1003,"msg":"Too many requests."}'), (418, {"Retry-After": "2"}, "{}")],
)
async def test_c1_a_venue_that_asks_for_silence_gets_it(place: World, status: int, headers: dict[str, str], body: str) -> None:
    """After one 429 or 418 not a single request leaves until the time it names is over; then everything goes on."""
    before = len(place.booked)
    place.fault("http", status=status, headers=headers, body=body, count=1)
    struck = time.monotonic()
    await place.until(lambda: silent(place.run))
    await asyncio.sleep(0.1)  # what was on the wire already
    asked = place.asked()
    decision = place.want(BTC=0.1)
    while time.monotonic() - struck < 1.9:
        assert place.asked() == asked
        await asyncio.sleep(0.02)
    await place.settled(decision)
    assert len(place.booked) == before + 1


async def test_c4_a_clock_beyond_the_limit_stops_orders_until_it_is_right(place: World) -> None:
    """The venue's clock jumps: what it refuses for that has the clocks compared, nothing is sent while they differ, then it goes on."""
    before = len(place.booked)
    manager = place.run.parts.manager
    usual, since = manager.settings, len(place.lines)
    # What is refused is tried again after seconds; as quick as it is here, that would be before the clocks have been compared.
    manager.settings = replace(usual, retry=timedelta(minutes=1))
    try:
        place.fault("clock", offset="+3s")
        place.want(BTC=0.1)
        await place.until(lambda: any(hold.code == "clock_skew" for hold in place.holds()))
        place.want(BTC=0.2)
        known = len(place.told("clock.skewed", since))
        await place.until(lambda: len(place.told("clock.skewed", since)) > known)
        assert len(place.booked) == before
    finally:
        manager.settings = usual
    place.mend()
    await place.until(lambda: not place.holds())
    await place.wave(BTC=0.2)
    assert len(place.booked) == before + 1


async def test_c8_an_outage_ends_nothing_and_is_over_in_seconds(place: World) -> None:
    """Everything answers 503 and every stream ends: the daemon lives, asks calmly, sends nothing twice, and goes on once it is over."""
    before = len(place.booked)
    place.fault("http", status=503, body=HTML)
    place.fault("ws.refuse")
    place.fault("ws.close")
    asked = place.asked()
    decision = place.want(BTC=0.1)
    await asyncio.sleep(3.0)
    assert place.asked() - asked < 60
    assert len(place.booked) == before
    place.mend()
    began = time.monotonic()
    await place.until(lambda: place.run.daemon.views.ready()[0])
    assert time.monotonic() - began < 5
    await place.settled(decision)
    await place.until(lambda: not place.unknown)
    await place.wave(BTC=0.1)
    assert len(place.booked) == before + 1


async def test_c10_a_page_instead_of_an_answer_is_no_answer(place: World) -> None:
    """Somebody's page with status 200, and the order never came: unknown until its absence is confirmed, then it is sent under a new id."""
    before = len(place.booked)
    place.fault("http", on="order.place", body=HTML, count=1)
    wave = await place.wave(BTC=0.1)
    assert len(place.told("order.unknown")) == 1
    await place.until(lambda: not place.unknown)
    assert [line.fields["how"] for line in place.told("order.resolved")] == ["confirmed_absent"]
    if wave.filled == 0:
        await place.wave(BTC=0.1)
    assert len(place.booked) == before + 1


async def test_c11_a_key_that_is_refused_halts(place: World) -> None:
    """Refused credentials halt, once and aloud; nothing is sent, and the account is asked for no more often than ever."""
    before, asked = len(place.booked), place.asked()
    place.fault("reject", on="private", code=-2015, status=401)
    await place.until(lambda: any(hold.code == "credentials" for hold in place.holds()))
    place.want(BTC=0.1)
    await asyncio.sleep(1.0)
    assert len(place.told("trading.halted")) == 1
    assert len(place.booked) == before
    assert place.asked() - asked < 20
    place.mend()
    for hold in place.holds():
        await place.lift(hold)


@pytest.mark.parametrize("body", ['{"balances":[]}', "{}"])
async def test_d19_an_account_that_is_shown_empty_is_not_believed(place: World, body: str) -> None:
    """An answer without balances is a failed reading: no flow, no drift, no order follows from it."""
    await place.wave(BTC=0.1)
    await place.until(lambda: not place.run.daemon.traders[0].poller._failures)  # the test before may have left it waiting
    before, since = len(place.booked), len(place.lines)
    place.fault("http", on="account.status", body=body, until="2s")
    await place.until(lambda: place.told("account.poll_failed", since))
    await asyncio.sleep(0.2)
    held = place.run.parts.ledger.held("BTC")
    assert held > 0
    assert [place.told(name, since) for name in ("flow.booked", "drift.found", "trading.halted")] == [[], [], []]
    assert len(place.booked) == before


async def test_d3_balances_that_lag_behind_fills_cause_nothing(place: World) -> None:
    """An account shown as it was before the fills is neither drift nor a reason to trade again."""
    place.fault("lag", of="balances", delay="1s")
    await place.wave(BTC=0.2)
    again = await place.wave(BTC=0.2)
    assert again.sent == 0
    await asyncio.sleep(1.5)
    assert [place.told(name) for name in ("flow.booked", "drift.found")] == [[], []]


# --- one life after the other ----------------------------------------------------------------------------------------


async def test_c1_a_ban_outlives_the_process(tmp_path: Path) -> None:
    """A daemon that is started again within a ban asks nothing until it is over, and then starts as ever."""
    async with Venue(VenueSettings(interval="1s", markets=4, history=200, weight_limit=100_000)) as venue:
        path = await config(tmp_path, venue)
        asked = venue.exchange.requests
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            venue.exchange.faults.add(read({"do": "http", "status": 418, "headers": {"Retry-After": 4}, "body": "{}"}, "").faults, 0)
            await run.until(lambda: venue.exchange.faults.told(0)[0]["hits"] > 0)
            banned = time.monotonic()
            venue.exchange.faults.clear()
        before = asked.total()
        async with at_work(path, KEYS, quick) as again:
            while time.monotonic() - banned < 3.8:
                assert asked.total() == before
                await asyncio.sleep(0.02)
            await again.until(lambda: again.daemon.views.ready()[0])


async def test_c9_a_venue_in_maintenance_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """Everything answers 503 at the start: no exit, not ready and saying why, and ready within seconds of the end."""
    script = read({"do": "http", "status": 503, "body": HTML, "until": "2s"}, "here")
    settings = VenueSettings(interval="1s", markets=4, history=200, weight_limit=100_000, faults=script)
    async with Venue(settings) as venue, at_work(await config(tmp_path, venue), KEYS, quick) as run:
        await run.until(lambda: bool(run.daemon.traders[0].views.trouble))
        ready, failing = run.daemon.views.ready()
        assert not ready
        assert any("does not answer" in sentence for sentence in failing)
        await run.until(lambda: run.daemon.views.ready()[0])
    assert venue.audit() == []


async def test_a17_what_was_traded_by_hand_between_two_lives_is_held(tmp_path: Path) -> None:
    """Coins bought by hand while the daemon is away are what the next start plans from: it sells the rest, and takes nothing for ours."""
    async with Venue(VenueSettings(interval="1s", markets=4, history=200, weight_limit=100_000)) as venue:
        path = await config(tmp_path, venue)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            await World(venue, run).wave(BTC=0.2)
        by_hand = {"do": "order", "symbol": "ETH/USDT", "side": "BUY", "type": "MARKET", "amount": "5", "client_id": "by-hand"}
        venue.exchange.faults.add(read(by_hand, "").faults, venue.exchange.now())
        venue.act()
        async with at_work(path, KEYS, quick) as again:
            await again.until(lambda: again.daemon.views.ready()[0])
            place = World(venue, again)
            await place.until(lambda: again.parts.ledger.held("ETH") > 4)
            wave = await place.wave(BTC=0.2)
            assert (wave.sent, wave.filled) == (1, 1)
            (sold,) = [order for order in venue.exchange.matching.orders["ETHUSDT"] if order.client_id != "by-hand"]
            assert sold.side == "SELL"
            place.strangers.add("by-hand")
            await place.whole()
    assert venue.audit() == []


async def test_f3_a_stop_does_not_wait_for_a_venue_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked to stop while the exchange answers nothing, it ends by its own deadline; the order is the next start's to find."""
    monkeypatch.setattr("daemon.app.STOP_S", 1.0)
    async with Venue(VenueSettings(interval="1s", markets=4, history=200, weight_limit=100_000)) as venue:
        path = await config(tmp_path, venue)
        async with at_work(path, KEYS, quick) as run:
            await run.until(lambda: run.daemon.views.ready()[0])
            place = World(venue, run)
            place.fault("accept_late", on="all", delay="1h")
            place.fault("ws.mute", on="user")  # that of prices not before the order, which needs one
            place.want(BTC=0.1)
            await place.until(lambda: place.told("order.submitted"))
            place.fault("ws.mute")
            run.daemon.stop()
            assert await run.end() is None  # in seconds, of an hour
        assert len(recorded(run.path).open_orders) == 1
        venue.exchange.faults.clear()
        async with at_work(path, KEYS, quick) as again:
            await again.until(lambda: again.daemon.views.ready()[0])
            await World(venue, again).whole()
