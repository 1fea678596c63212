"""The rate gate under a clock that only tests move."""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.io import ccxt_client
from daemon.io.exchange import MAY_LEAVE, NotSent, Reason, Urgency
from daemon.io.rategate import MESSAGES, ORDERS, RANK, SENDING, SILENCE_MAX_S, WEIGHT, RateGate

Passed = list[tuple[float, str]]


class HandClock:
    """Time that stands until `advance`; everybody who wakes at a moment runs before the next moment comes."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.slept = 0
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.at_s

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self.at_s + seconds, next(self._numbers), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        until = self.at_s + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            self.at_s, _, woken = heapq.heappop(self._timers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.at_s = until


async def settle() -> None:
    """Let everybody run who can."""
    for _ in range(30):
        await asyncio.sleep(0)


def spawn(request: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(request)


async def ask(
    gate: RateGate, clock: HandClock, passed: Passed, name: str, urgency: Urgency, weight: float = 1.0, lane: str = WEIGHT
) -> None:
    await gate.acquire(urgency, {lane: weight})
    passed.append((clock.monotonic(), name))


def gated(limit: float = 10.0, window_s: float = 10.0, **options: float) -> tuple[RateGate, HandClock]:
    clock = HandClock()
    gate = RateGate(clock, **options)
    gate.limit(WEIGHT, limit, window_s)
    return gate, clock


requests = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from([1, 2, 3, 5, 8]), st.sampled_from(list(Urgency))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(requests)
def test_no_window_holds_more_than_its_share(arrivals: list[tuple[float, int, Urgency]]) -> None:
    """Whoever asks when, in no window of the lane's length do more than four fifths of the limit pass."""

    async def run() -> list[tuple[float, int]]:
        gate, clock = gated(wait_max_s=10_000)
        passed: list[tuple[float, int]] = []

        async def one(weight: int, urgency: Urgency) -> None:
            await gate.acquire(urgency, {WEIGHT: weight})
            passed.append((clock.monotonic(), weight))

        tasks = []
        for delay, weight, urgency in arrivals:
            await clock.advance(delay)
            tasks.append(spawn(one(weight, urgency)))
            await settle()
        await clock.advance(5_000)
        assert all(task.done() for task in tasks)
        return passed

    passed = asyncio.run(run())
    assert len(passed) == len(arrivals)
    for end, _ in passed:
        assert sum(weight for at, weight in passed if end - 10 < at <= end) <= 8 + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(list(Urgency)), min_size=2, max_size=12))
def test_the_most_urgent_goes_first(urgencies: list[Urgency]) -> None:
    """Of those who wait together, the more urgent pass first, and equals in order of arrival."""

    async def run() -> Passed:
        gate, clock = gated(wait_max_s=10_000)
        await gate.acquire(Urgency.CANCEL, {WEIGHT: 8})
        passed: Passed = []
        for number, urgency in enumerate(urgencies):
            spawn(ask(gate, clock, passed, f"{RANK[urgency]}-{number:02}", urgency, 4))
        await clock.advance(5_000)
        return passed

    names = [name for _, name in asyncio.run(run())]
    assert names == sorted(names)
    assert len(names) == len(urgencies)


async def test_what_fits_does_not_wait() -> None:
    """A request that fits passes without a sleep, a task or a turn of the loop."""
    gate, clock = gated()
    request = gate.acquire(Urgency.DATA, {WEIGHT: 6})
    with pytest.raises(StopIteration):
        request.send(None)
    assert clock.slept == 0


async def test_data_leaves_room_for_a_cancel() -> None:
    """A warm-up that uses all it may use does not make a cancel wait."""
    gate, clock = gated()
    passed: Passed = []
    waiting = [spawn(ask(gate, clock, passed, f"data-{n}", Urgency.DATA)) for n in range(8)]
    await settle()
    await ask(gate, clock, passed, "cancel", Urgency.CANCEL)
    assert [name for _, name in passed] == [*(f"data-{n}" for n in range(6)), "cancel"]
    await clock.advance(30)
    await asyncio.gather(*waiting)


async def test_c2_orders_are_quick_beside_fifty_symbols_that_are_read() -> None:
    """At ten requests a second, of which bars and look-ups of fifty symbols want ten times as many, an order waits two seconds at most."""
    gate, clock = gated(10.0, 1.0, wait_max_s=10_000)
    passed: Passed = []
    waits: list[float] = []

    async def order(asked_at: float) -> None:
        await gate.acquire(Urgency.GROW, {WEIGHT: 1})
        waits.append(clock.monotonic() - asked_at)

    for second in range(60):
        for symbol in range(50):
            spawn(ask(gate, clock, passed, f"bars-{symbol}", Urgency.DATA))
            spawn(ask(gate, clock, passed, f"order-{symbol}", Urgency.RECONCILE))
        for _ in range(3 if second % 5 == 0 else 0):
            spawn(order(clock.monotonic()))
        await clock.advance(1.0)
    await clock.advance(5.0)
    assert len(waits) == 36
    assert max(waits) <= 2.0
    assert len(passed) + len(waits) <= 65 * 8 + 8


async def test_silence_is_kept() -> None:
    """While the venue wants silence nobody passes, not even a cancel; then everybody goes on."""
    gate, clock = gated()
    gate.pause(35)
    passed: Passed = []
    waiting = spawn(ask(gate, clock, passed, "cancel", Urgency.CANCEL))
    await clock.advance(34.9)
    assert passed == []
    assert gate.paused_for_s == pytest.approx(0.1)
    await clock.advance(0.2)
    await waiting
    assert [at for at, _ in passed] == [pytest.approx(1035)]


@pytest.mark.parametrize("urgency", list(Urgency))
async def test_an_order_does_not_sit_out_a_long_silence(urgency: Urgency) -> None:
    """Its price would be old at the end: it is not sent, also when the silence begins while it waits; everything else waits."""
    gate, clock = gated()
    passed: Passed = []
    gate.pause(SILENCE_MAX_S)
    waiting = spawn(ask(gate, clock, passed, "asked", urgency))
    await clock.advance(1)
    gate.pause(30)
    await clock.advance(40)
    if urgency in SENDING:
        with pytest.raises(NotSent, match="silence") as refused:
            await waiting
        assert refused.value.reason is Reason.RATE_LIMITED
        assert passed == []
    else:
        await waiting
        assert [at for at, _ in passed] == [pytest.approx(1031)]


async def test_what_sat_out_a_silence_counts_from_its_end() -> None:
    """The venue sees a request when it comes, so a window that counted it from the silence's beginning would let too much follow it."""
    gate, clock = gated()
    gate.pause(8)
    waiting = spawn(gate.acquire(Urgency.CANCEL, {WEIGHT: 8}))
    await clock.advance(9)
    await waiting
    await clock.advance(3)
    assert gate.used(WEIGHT) == 8


def test_a_longer_silence_is_told() -> None:
    """Whoever keeps it for the next process hears of each silence that ends later than the one before, and of no other."""
    gate, _ = gated()
    told: list[float] = []
    gate.told = told.append
    for seconds in (30, 10, 120):
        gate.pause(seconds)
    assert told == [30, 120]


async def test_silence_that_begins_meanwhile_is_kept() -> None:
    """A pause that comes while somebody waits for weight is waited for as well."""
    gate, clock = gated()
    await gate.acquire(Urgency.CANCEL, {WEIGHT: 8})
    passed: Passed = []
    waiting = spawn(ask(gate, clock, passed, "cancel", Urgency.CANCEL))
    await clock.advance(5)
    gate.pause(40)
    await clock.advance(39)
    assert passed == []
    await clock.advance(2)
    await waiting


async def test_hopeless_waits_are_refused_at_once() -> None:
    """What could not pass within the bound is not sent, and says for how long there is no room."""
    gate, clock = gated(wait_max_s=20)
    gate.pause(3_600)
    with pytest.raises(NotSent) as caught:
        await gate.acquire(Urgency.GROW, {WEIGHT: 1})
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.RATE_LIMITED, 3_600)
    assert clock.slept == 0


async def test_whoever_gives_up_lets_the_next_pass() -> None:
    """A request that is cancelled while it waits neither passes nor blocks."""
    gate, clock = gated()
    await gate.acquire(Urgency.CANCEL, {WEIGHT: 8})
    passed: Passed = []
    first = spawn(ask(gate, clock, passed, "first", Urgency.GROW))
    second = spawn(ask(gate, clock, passed, "second", Urgency.GROW))
    await settle()
    first.cancel()
    await settle()
    await clock.advance(10)
    await second
    assert [name for _, name in passed] == ["second"]
    assert gate.used(WEIGHT) == 1


async def test_the_venues_count_is_believed() -> None:
    """What the venue has counted beyond our own book takes room, as after a restart; what it has not counted yet does not give any back."""
    gate, clock = gated()
    await gate.acquire(Urgency.GROW, {WEIGHT: 2})
    gate.learn(WEIGHT, 7)
    assert gate.used(WEIGHT) == 7
    gate.learn(WEIGHT, 1)
    assert gate.used(WEIGHT) == 7
    passed: Passed = []
    waiting = spawn(ask(gate, clock, passed, "grow", Urgency.GROW, 2))
    await clock.advance(9.9)
    assert passed == []
    await clock.advance(0.2)
    await waiting


async def test_a_foreign_count_ends_with_the_venues_own_window() -> None:
    """What was counted in a window that began a while ago is forgotten when that window ends, not a whole window later."""
    gate, clock = gated()
    gate.learn(WEIGHT, 8, age_s=7.0)
    passed: Passed = []
    waiting = spawn(ask(gate, clock, passed, "reduce", Urgency.REDUCE))
    await clock.advance(2.9)
    assert passed == []
    await clock.advance(0.2)
    await waiting
    assert gate.used(WEIGHT) == 1


async def test_orders_that_wait_do_not_hold_up_data() -> None:
    """A wave beyond the venue's count of new orders waits in its own lane."""
    gate, clock = gated(100)
    gate.limit(ORDERS, 2, 10)
    passed: Passed = []

    async def order(name: str) -> None:
        await gate.acquire(Urgency.REDUCE, {ORDERS: 1, WEIGHT: 1})
        passed.append((clock.monotonic(), name))

    waiting = [spawn(order(f"order-{n}")) for n in range(3)]
    await settle()
    await ask(gate, clock, passed, "data", Urgency.DATA)
    assert [name for _, name in passed] == ["order-0", "data"]
    await clock.advance(21)
    await asyncio.gather(*waiting)


async def test_messages_are_paced() -> None:
    """Of the five messages a second that a connection may send, four leave: pings count too."""
    gate, clock = gated()
    gate.limit(MESSAGES, 5, 1, tiered=False)
    passed: Passed = []
    waiting = [spawn(ask(gate, clock, passed, "m", Urgency.DATA, lane=MESSAGES)) for _ in range(12)]
    await clock.advance(10)
    await asyncio.gather(*waiting)
    assert [at - 1000 for at, _ in passed] == pytest.approx([0] * 4 + [1] * 4 + [2] * 4)


async def test_more_than_the_share_waits_for_an_empty_window() -> None:
    """A request heavier than its share is not refused for ever: it goes alone."""
    gate, clock = gated()
    await gate.acquire(Urgency.DATA, {WEIGHT: 1})
    passed: Passed = []
    waiting = spawn(ask(gate, clock, passed, "heavy", Urgency.DATA, 50))
    await clock.advance(10.1)
    await waiting
    assert gate.used(WEIGHT) == 50


def test_the_door_and_the_gate_name_the_same_lanes() -> None:
    """The door does not import the gate, so their names are compared here."""
    assert (ccxt_client.WEIGHT, ccxt_client.ORDERS, ccxt_client.MESSAGES) == (WEIGHT, ORDERS, MESSAGES)


async def test_a_shut_gate_sends_no_order_and_lets_cancels_pass() -> None:
    """Once shut, an order that waits or comes is not sent, and told so at once, while cancels and look-ups go on."""
    gate, clock = gated()
    passed: Passed = []
    await ask(gate, clock, passed, "full", Urgency.REDUCE, 8.0)
    head, queued = spawn(ask(gate, clock, passed, "head", Urgency.REDUCE)), spawn(ask(gate, clock, passed, "queued", Urgency.GROW))
    cancel = spawn(ask(gate, clock, passed, "cancel", Urgency.CANCEL))
    await settle()
    gate.shut()
    await clock.advance(0.6)
    for task in (head, queued):
        with pytest.raises(NotSent):
            await task
    with pytest.raises(NotSent):
        await ask(gate, clock, passed, "late", Urgency.GROW)
    await clock.advance(10.0)
    await cancel
    assert [name for _, name in passed] == ["full", "cancel"]


async def test_an_order_that_may_no_longer_leave_is_not_sent_when_its_turn_comes() -> None:
    """Trading that was halted while an order waited for room holds it back at the last moment; a cancel beside it passes."""
    gate, clock = gated()
    passed: Passed = []
    await ask(gate, clock, passed, "full", Urgency.REDUCE, 8.0)
    halted = False

    async def order() -> None:
        MAY_LEAVE.set(lambda: not halted)
        await ask(gate, clock, passed, "order", Urgency.GROW)

    async def cancel() -> None:
        MAY_LEAVE.set(lambda: not halted)
        await ask(gate, clock, passed, "cancel", Urgency.CANCEL)

    waiting, going = spawn(order()), spawn(cancel())
    await settle()
    halted = True
    await clock.advance(30.0)
    with pytest.raises(NotSent, match="restricted"):
        await waiting
    await going
    assert [name for _, name in passed] == ["full", "cancel"]


async def test_a_halt_within_the_last_moments_of_a_silence_holds_an_order_back() -> None:
    """Whoever sits out what the venue asked for asks once more before it goes, however short the rest of it was."""
    clock = HandClock()
    gate = RateGate(clock)
    gate.pause(0.4)
    halted = False

    async def order() -> None:
        MAY_LEAVE.set(lambda: not halted)
        await ask(gate, clock, [], "order", Urgency.GROW)

    waiting = spawn(order())
    await settle()
    halted = True
    await clock.advance(1.0)
    with pytest.raises(NotSent, match="restricted"):
        await waiting


async def test_c5_a_wall_clock_that_steps_stalls_nothing() -> None:
    """The gate counts and waits by the monotonic clock: an hour back or forth on the wall lets nobody wait longer, nor go sooner."""

    class Stepping(HandClock):
        def now(self) -> datetime:
            raise AssertionError("the wall clock is nobody's measure of time here")

    clock = Stepping()
    gate = RateGate(clock)
    gate.limit(WEIGHT, 10.0, 60.0)
    gate.pause(2.0)
    passing = spawn(gate.acquire(Urgency.CANCEL, {WEIGHT: 1.0}))
    await clock.advance(1.9)
    assert not passing.done()
    await clock.advance(0.2)
    assert passing.done()


async def test_what_is_used_is_told_as_shares_of_the_limits() -> None:
    """By lane the share of the venue's limit that passed within its window, and the silence that is left."""
    clock = HandClock()
    gate = RateGate(clock)
    gate.limit(WEIGHT, 100.0, 60.0)
    gate.limit(ORDERS, 10.0, 10.0)
    await gate.acquire(Urgency.CANCEL, {WEIGHT: 25.0})
    gate.pause(7.0)
    assert (gate.usage().shares, gate.usage().silent_s) == ({WEIGHT: 0.25, ORDERS: 0.0}, 7.0)
    await clock.advance(61.0)
    assert (gate.usage().shares, gate.usage().silent_s) == ({WEIGHT: 0.0, ORDERS: 0.0}, 0.0)
