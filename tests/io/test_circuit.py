"""The circuit before a venue: one calm question for all ways to it while it is away, and all of them back as soon as one has an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.model import Side
from daemon.io.circuit import PROBE_EVERY_S, Circuit, Circuits, ExchangeInTurn
from daemon.io.exchange import BarUpdate, Exchange, Fatal, NotFound, NotSent, Reason, Refused, Unknown, Urgency, VenueError
from tests.core.builders import order
from tests.io.scripted import ScriptedExchange
from tests.io.tape_venue import START, VirtualClock, run

MINUTE = timedelta(minutes=1)
GONE = Unknown("503 Service Unavailable")


class Street:
    """A venue behind a circuit in virtual time; `asked` has every call that came to it, with its moment."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.asked: list[tuple[float, str]] = []
        self.error: VenueError | None = GONE
        self.venue = ExchangeInTurn(self._venue(), Circuit(self.clock))

    def _venue(self) -> Exchange:
        venue: Any = ScriptedExchange()
        names = ("balances", "bars", "server_time", "markets", "open_orders", "watch_account", "watch_bars", "submit", "cancel", "order")
        for name in (*names, "trades", "touches"):
            setattr(venue, name, self._answer(name))
        exchange: Exchange = venue
        return exchange

    def _answer(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(*_given: Any, **_named: Any) -> None:
            self.asked.append((self.clock.monotonic(), name))
            await self.clock.sleep(0.05)
            if self.error is not None:
                raise self.error

        return answer

    def ways(self) -> list[Callable[[], Awaitable[object]]]:
        """The ways that go on by themselves."""
        v = self.venue
        return [
            v.balances,
            lambda: v.bars("A/USDT", MINUTE),
            v.server_time,
            v.open_orders,
            lambda: v.watch_bars(["A/USDT"], MINUTE, lambda _: None),
            lambda: v.watch_account(lambda _: None, lambda: None),
        ]

    async def insist(self, way: Callable[[], Awaitable[object]], chance: Random) -> None:
        """Ask again and again, with pauses that say nothing about the venue."""
        while True:
            try:
                await way()
            except VenueError:
                await self.clock.sleep(chance.uniform(0.1, 5.0))
            else:
                return

    async def lost(self) -> None:
        """Be away for long enough that everybody knows, and for an hour."""
        with pytest.raises(Unknown):
            await self.venue.balances()
        await self.clock.sleep(3600)
        with pytest.raises(Unknown):
            await self.venue.balances()


def spent(story: Callable[[Street], Coroutine[Any, Any, None]]) -> Street:
    """A street after a story in virtual time."""
    street = Street()
    run(story(street))
    return street


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.floats(90, 7200))
def test_c8_all_ways_together_probe_every_half_minute(seed: int, ways: int, away_s: float) -> None:
    """Once an outage is a minute old, however many ways ask, half a minute lies between any two; an answer to one lets all through."""
    street = Street()
    chance = Random(seed)

    async def story() -> None:
        async def back() -> None:
            await street.clock.sleep(away_s)
            street.error = None

        async with asyncio.TaskGroup() as nest:
            for way in street.ways()[:ways]:
                nest.create_task(street.insist(way, chance))
            nest.create_task(back())

    run(story())
    late = [at for at, _ in street.asked if 60 < at < away_s]
    assert all(b - a >= 30 for a, b in pairwise(late))
    assert len(late) >= (away_s - 60) // (PROBE_EVERY_S + 5.0) - 1
    assert away_s - 1 <= street.asked[-1][0] <= away_s + 38
    assert len({name for at, name in street.asked if at >= away_s}) == min(ways, 6)


@pytest.mark.parametrize(("places", "together"), [(("here", "here"), True), (("here", "elsewhere"), False)])
def test_c8_accounts_at_one_place_probe_as_often_as_one(places: tuple[str, str], together: bool) -> None:
    """Two accounts at one venue that is away ask it every half minute together; at two places, each has turns of its own."""
    street = Street()

    async def story() -> None:
        circuits = Circuits(street.clock)
        accounts = [ExchangeInTurn(street._venue(), circuits.at(place)) for place in places]
        ways = [way for account in accounts for way in (account.balances, account.open_orders)]
        async with asyncio.TaskGroup() as nest:
            asking = [nest.create_task(street.insist(way, Random(n))) for n, way in enumerate(ways)]
            await street.clock.sleep(600)
            for each in asking:
                each.cancel()

    run(story())
    late = [at for at, _ in street.asked if at > 60]
    assert len(late) >= 10
    assert all(b - a >= 30 for a, b in pairwise(late)) is together


async def _never_waits(call: Callable[[ExchangeInTurn], Awaitable[object]], street: Street) -> None:
    await street.lost()
    before = len(street.asked)
    began = street.clock.monotonic()
    with pytest.raises(NotSent) as told:
        await call(street.venue)
    assert street.clock.monotonic() == began
    assert len(street.asked) == before
    assert 0 < (told.value.retry_after_s or 0) <= PROBE_EVERY_S


@pytest.mark.parametrize(
    "call",
    [
        lambda v: v.submit(order("r1", "A/USDT", Side.BUY), Urgency.GROW),
        lambda v: v.cancel("r1", "A/USDT"),
        lambda v: v.order("r1", "A/USDT"),
        lambda v: v.open_orders("A/USDT"),
        lambda v: v.trades("A/USDT", START),
        lambda v: v.touches(["A/USDT"]),
    ],
    ids=["submit", "cancel", "order", "open_orders", "trades", "touches"],
)
def test_what_belongs_to_an_order_does_not_wait(call: Callable[[ExchangeInTurn], Awaitable[object]]) -> None:
    """While it is another's turn, an order is not sent and a look-up not made, at once, so that no worker is held up by an outage."""
    spent(lambda street: _never_waits(call, street))


def test_an_order_may_be_the_probe() -> None:
    """When a turn is due and nobody takes it, a look-up goes through, and what it says counts."""

    async def story(street: Street) -> None:
        await street.lost()
        await street.clock.sleep(PROBE_EVERY_S)
        street.error = NotFound("no such order")
        with pytest.raises(NotFound):
            await street.venue.order("r1", "A/USDT")
        street.error = None
        await street.venue.cancel("r1", "A/USDT")

    assert [name for _, name in spent(story).asked[-2:]] == ["order", "cancel"]


@pytest.mark.parametrize(
    "error",
    [
        Refused("-2010", Reason.INSUFFICIENT_FUNDS),
        NotFound("no such order"),
        Fatal("-2015", Reason.CREDENTIALS),
        Refused("429", Reason.RATE_LIMITED, 2.0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_venue_that_says_no_is_there(error: VenueError) -> None:
    """Whatever it refuses, for however long, it answers, and everybody goes on asking at their own pace."""

    async def story(street: Street) -> None:
        street.error = error
        for _ in range(200):
            with pytest.raises(VenueError):
                await street.venue.balances()
            await street.clock.sleep(1)

    assert len(spent(story).asked) == 200


def test_what_says_nothing_about_the_venue_changes_nothing() -> None:
    """A request that our own gate keeps back, or a stream that there is not, neither begins nor ends an outage."""

    async def story(street: Street) -> None:
        street.error = NotSent("no room", Reason.RATE_LIMITED, 2.0)
        for _ in range(100):
            with pytest.raises(NotSent):
                await street.venue.balances()
            await street.clock.sleep(1)
        street.error = GONE
        await street.lost()
        street.error = NotSent("no such stream", Reason.BAD_REQUEST)
        with pytest.raises(NotSent):
            await street.venue.watch_account(lambda _: None, lambda: None)
        with pytest.raises(NotSent, match="does not answer"):
            await street.venue.order("r1", "A/USDT")

    spent(story)


def test_a_stream_that_speaks_ends_an_outage() -> None:
    """A candle or a user stream that stands is an answer, though the call that brought it has not returned."""

    async def story(street: Street) -> None:
        await street.lost()
        spoken: Any = street.venue._exchange

        async def candles(_symbols: object, _timeframe: object, sink: Callable[[BarUpdate | None], None]) -> None:
            sink(None)
            await asyncio.get_running_loop().create_future()

        spoken.watch_bars = candles
        street.error = None
        async with asyncio.TaskGroup() as nest:
            stream = nest.create_task(street.venue.watch_bars(["A/USDT"], MINUTE, lambda _: None))
            await street.clock.sleep(PROBE_EVERY_S + 1)
            await street.venue.order("r1", "A/USDT")
            stream.cancel()

    assert spent(story).asked[-1][1] == "order"


def test_a_question_goes_before_a_dial() -> None:
    """Where both wait for the turn, the question has it, since a stream alone does not bring trading back."""

    async def story(street: Street) -> None:
        await street.lost()
        chance = Random(1)
        async with asyncio.TaskGroup() as nest:
            for way in street.ways()[4:] + street.ways()[:1]:
                nest.create_task(street.insist(way, chance))
            await street.clock.sleep(PROBE_EVERY_S * 2 - 1)
            street.error = None

    asked = spent(story).asked[2:]
    assert [name for _, name in asked[:2]] == ["balances", "balances"]
    assert {name for _, name in asked} == {"balances", "watch_bars", "watch_account"}
