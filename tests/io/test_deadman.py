"""The dead man's switch: a countdown at the exchange wherever an order of ours may be in the book, and nowhere else."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
import structlog

from daemon.core.ordertable import OrderTable, Saw
from daemon.io.deadman import DeadMansSwitch, may_rest
from daemon.io.exchange import NotSent, Unknown
from tests.core.builders import order

A: Final = "A/USDT:USDT"
B: Final = "B/USDT:USDT"


class Bench:
    """A switch of nine seconds, an exchange that notes what it is asked, and time by hand."""

    def __init__(self, *left: str, hangs: bool = False) -> None:
        self.now = 0.0
        self.resting: set[str] = set()
        self.asked: list[tuple[float, str, float]] = []
        self.trouble: Exception | None = None
        self.hangs = hangs
        self.switch = DeadMansSwitch(self, timedelta(seconds=9), lambda: self.resting, left, self, self._together)  # type: ignore[arg-type]

    async def cancel_after(self, symbol: str, seconds: float) -> None:
        """What the exchange is asked for."""
        self.asked.append((self.now, symbol, seconds))
        if self.hangs:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble

    def monotonic(self) -> float:
        """Seconds, by hand."""
        return self.now

    async def _together(self, *jobs: Coroutine[Any, Any, None]) -> None:
        for job in jobs:
            await job

    async def seconds(self, count: int) -> list[tuple[float, str, float]]:
        """A look each second; what was asked for meanwhile."""
        before = len(self.asked)
        for _ in range(count):
            await self.switch.look()
            self.now += 1.0
        return self.asked[before:]


async def test_it_counts_where_orders_rest_and_begins_anew_at_a_third() -> None:
    """Within a look of an order being in the book its market counts down, again every third, and no longer once nothing rests there."""
    bench = Bench()
    assert await bench.seconds(2) == []
    bench.resting = {A}
    assert await bench.seconds(7) == [(2.0, A, 9.0), (5.0, A, 9.0), (8.0, A, 9.0)]
    bench.resting = {B}
    assert await bench.seconds(1) == [(9.0, A, 0.0), (9.0, B, 9.0)]
    bench.resting = set()
    assert await bench.seconds(5) == [(10.0, B, 0.0)]


async def test_what_the_last_process_had_open_is_ended_or_taken_over() -> None:
    """A countdown that a killed process has left behind is begun anew where its order is in the book still, and ended where it is not."""
    bench = Bench(A, B)
    bench.resting = {A}
    assert await bench.seconds(1) == [(0.0, A, 9.0), (0.0, B, 0.0)]
    assert await bench.seconds(2) == []


async def test_a_beat_that_fails_is_tried_again_before_it_is_too_late() -> None:
    """After a failure at a ninth of the length, told once and once more when it is over; an end that fails is tried again too."""
    bench = Bench()
    bench.resting = {A}
    await bench.seconds(1)
    bench.trouble = NotSent("away")
    with structlog.testing.capture_logs() as told:
        assert [at for at, _, _ in await bench.seconds(7)] == [3.0, 4.0, 5.0, 6.0, 7.0]
        bench.trouble = None
        await bench.seconds(1)
    assert [(line["event"], line.get("cancels_in_s")) for line in told] == [("switch.lost", 6.0), ("switch.back", None)]
    bench.resting, bench.trouble = set(), Unknown("a reset")
    assert [(symbol, length) for _, symbol, length in await bench.seconds(3)] == [(A, 0.0)] * 3
    bench.trouble = None
    assert len(await bench.seconds(3)) == 1


async def test_an_exchange_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without an answer is given up after a third of the length, and at a stop after a moment."""
    monkeypatch.setattr("daemon.io.deadman.END_S", 0.02)
    bench = Bench(A, hangs=True)
    bench.switch._length_s = 0.06
    bench.resting = {A}
    async with asyncio.timeout(5):
        await bench.switch.look()
        await bench.switch.end(keep=True)
    assert [length for _, _, length in bench.asked] == [0.06, 0.0]


@pytest.mark.parametrize("keep", [True, False])
async def test_a_stop_ends_what_nothing_needs(keep: bool) -> None:
    """All countdowns end where open orders are to stay; else those run on behind which one may be open that could not be cancelled."""
    bench = Bench()
    bench.resting = {A, B}
    await bench.seconds(1)
    bench.resting = {A}
    bench.asked.clear()
    await bench.switch.end(keep=keep)
    assert bench.asked == ([(1.0, A, 0.0)] if keep else []) + [(1.0, B, 0.0)]


def test_what_may_be_in_the_book() -> None:
    """Open orders and those in doubt; of those on their way only what rests: the rest ends at once."""
    table = OrderTable()
    stories: list[tuple[bool, tuple[Saw, ...]]] = [
        (True, ()),
        (True, (Saw.SENDING,)),
        (False, (Saw.SENDING,)),
        (False, (Saw.SENDING, Saw.OPEN)),
        (False, (Saw.SENDING, Saw.AMBIGUITY)),
        (True, (Saw.SENDING, Saw.OPEN, Saw.FULL)),
    ]
    for number, (post_only, saws) in enumerate(stories):
        made = order(str(number), f"S{number}/USDT")
        tracked = table.add(replace(made, limit=made.price, post_only=post_only))
        assert all(tracked.learn(saw) for saw in saws)
    assert may_rest(table) == {"S1/USDT", "S3/USDT", "S4/USDT"}
