"""The account's stream: held calmly, polled behind, and told in an order that the core can rely on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from daemon.core.events import BalanceMoved, Event, OrderFilled, OrderReported, PollAccount
from daemon.core.model import Status
from daemon.io.exchange import AccountNews, Fatal, NotSent, Unknown
from daemon.io.userstream import BACKOFF_FIRST_S, BACKOFF_MAX_S, UserStream
from tests.io.journal_facts import a_fill, a_report, an_order
from tests.io.scripted import Connection, ScriptedExchange, Sink
from tests.io.tape_venue import START, VirtualClock, nest, run

ORDER = an_order()
TRADED = a_report(ORDER, Status.FILLED, fills=(a_fill(ORDER, "1"),))


class Line:
    """A user stream in virtual time, with what it had written and published, and when it dialled."""

    def __init__(self, *connections: Connection, seed: int = 1, learning_takes_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.exchange = ScriptedExchange()
        self.exchange.connections = list(connections)
        self.exchange.dialled = lambda: self.dials.append(self.clock.monotonic())
        self.dials: list[float] = []
        self.learnt: list[Sequence[OrderFilled | OrderReported]] = []
        self.told: list[Event] = []
        self.takes_s = learning_takes_s
        self.stream = UserStream(self.exchange, self._learn, self.told.append, self.clock, Random(seed))

    async def _learn(self, *facts: OrderFilled | OrderReported) -> None:
        await self.clock.sleep(self.takes_s)
        self.learnt.append(facts)
        for fact in facts:
            self.stream.witness(fact)

    def play(self, seconds: float) -> None:
        """Hold the line for so long."""
        run(nest([(job.__name__, job) for job in (self.stream.watch, self.stream.digest, self.stream.guard)], seconds))

    def answered(self, connected: Callable[[], None], at_s: float, *, how: str = "submit") -> Callable[[], None]:
        """Have the exchange say something about the order by another way, so long after the connection stands."""

        def then() -> None:
            connected()
            asyncio.get_running_loop().call_later(at_s, self.stream.witness, replace(TRADED, how=how))

        return then

    @property
    def pauses(self) -> list[float]:
        """Seconds between two dials."""
        return [later - earlier for earlier, later in zip(self.dials, self.dials[1:], strict=False)]


def standing(*news: AccountNews, lasts_s: float = 1e6, end: Exception | None = None) -> Connection:
    """A connection that stands for so long, brings this at once, and then ends."""

    async def connection(sink: Sink, connected: Callable[[], None]) -> None:
        connected()
        for item in news:
            sink(item)
        await asyncio.sleep(lasts_s)
        if end is not None:
            raise end

    return connection


def test_a_stream_that_is_refused_is_dialled_at_growing_pauses() -> None:
    """Pauses double up to a minute, each shortened by up to a half at random, so that no crowd of daemons dials in step."""
    line = Line()
    line.play(400)
    nominal = [min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**n) for n in range(1, len(line.pauses) + 1)]
    assert len(nominal) >= 8
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(line.pauses, nominal, strict=True))
    assert len({round(pause / whole, 6) for pause, whole in zip(line.pauses, nominal, strict=True)}) == len(nominal)


def test_the_same_seed_dials_at_the_same_moments() -> None:
    """Chance comes from outside: one seed is one run, another is another."""
    lines = [Line(seed=seed) for seed in (1, 1, 2)]
    for line in lines:
        line.play(100)
    assert lines[0].dials == lines[1].dials != lines[2].dials


def test_a_stream_that_stood_is_dialled_again_soon() -> None:
    """Failures are counted anew after a connection that stood, whether it broke or merely ended."""
    refused = [standing_not() for _ in range(5)]
    line = Line(*refused, standing(lasts_s=10, end=Unknown("reset")), standing(lasts_s=10), standing())
    line.play(300)
    assert len(line.dials) == 8
    after_break, after_end = line.pauses[5] - 10, line.pauses[6] - 10
    assert 0 < after_break <= 2 * BACKOFF_FIRST_S
    assert 0 < after_end <= 2 * BACKOFF_FIRST_S


def standing_not() -> Connection:
    """A connection that is refused."""

    async def connection(sink: Sink, connected: Callable[[], None]) -> None:
        raise NotSent("refused")

    return connection


def test_after_every_connection_the_account_is_polled() -> None:
    """What happens while nobody listens is told by nobody: each connection asks for a poll when it stands and when it breaks."""
    line = Line(standing(lasts_s=10, end=Unknown("reset")), standing_not(), standing(lasts_s=10), standing())
    line.play(60)
    assert [type(event) for event in line.told] == [PollAccount] * 5


def test_whether_it_stands_is_known() -> None:
    """`connected` follows the connection."""
    line = Line(standing(lasts_s=10, end=Unknown("reset")))
    seen: list[bool] = []

    async def look() -> None:
        for _ in range(2):
            await line.clock.sleep(9)
            seen.append(line.stream.connected)

    run(nest([("watch", line.stream.watch)], 20, look()))
    assert seen == [True, False]


def test_credentials_refused_to_the_stream_end_nothing() -> None:
    """The stream is a convenience: whatever the venue answers to it, polling serves, and it is tried again calmly."""

    async def fatal(sink: Sink, connected: Callable[[], None]) -> None:
        raise Fatal("wrong key")

    line = Line(fatal, standing())
    line.play(10)
    assert len(line.dials) == 2


def test_a_programmers_error_is_not_a_broken_stream() -> None:
    """What is none of the venue's errors ends the job, and with it the process."""

    async def bug(sink: Sink, connected: Callable[[], None]) -> None:
        raise KeyError("o")

    line = Line(bug)
    with pytest.raises(ExceptionGroup) as caught:
        line.play(10)
    assert caught.group_contains(KeyError)


def test_what_waits_is_written_in_one_transaction() -> None:
    """While one write is under way the next news gather; they are written together, in their order, and nothing is lost."""
    fills = [a_fill(ORDER, str(n)) for n in range(100)]

    async def connection(sink: Sink, connected: Callable[[], None]) -> None:
        connected()
        sink(fills[0])
        await asyncio.sleep(0.5)
        for fill in fills[1:]:
            sink(fill)
        await asyncio.sleep(1e6)

    line = Line(connection, learning_takes_s=1.0)
    line.play(5)
    assert [len(facts) for facts in line.learnt] == [1, 99]
    assert [fact.fill for facts in line.learnt for fact in facts if isinstance(fact, OrderFilled)] == fills


def test_trades_come_before_the_report_that_counts_them() -> None:
    """A report is learnt behind the trades that it brought, so that an end is never told before its fills."""
    fills = (a_fill(ORDER, "1"), a_fill(ORDER, "2"))
    report = a_report(ORDER, Status.FILLED, fills=fills).report
    line = Line(standing(report, replace(report, status=Status.OPEN, fills=())))
    line.play(1)
    facts = [fact for batch in line.learnt for fact in batch]
    assert [type(fact) for fact in facts] == [OrderFilled, OrderFilled, OrderReported, OrderReported]
    assert next(fact.report for fact in facts if isinstance(fact, OrderReported)) is report
    assert {fact.how for fact in facts if isinstance(fact, OrderReported)} == {"stream"}


def test_a_transfer_is_told_with_its_sign_and_id() -> None:
    """Money that moves without a trade is published as the venue said it."""
    line = Line(standing(("USDT", Decimal("-25.5"), "tx-1")))
    line.play(1)
    assert line.told == [PollAccount(START), BalanceMoved("USDT", Decimal("-25.5"), "tx-1", START)]


def test_news_that_came_before_a_break_are_not_lost_by_it() -> None:
    """What the stream has handed over is written even though its connection has ended since."""
    line = Line(standing(a_fill(ORDER, "1"), a_fill(ORDER, "2"), lasts_s=0.0, end=Unknown("reset")), learning_takes_s=3.0)
    line.play(20)
    assert sum(len(facts) for facts in line.learnt) == 2


def test_a_stream_that_does_not_tell_of_an_order_is_deaf() -> None:
    """Ten seconds after an order was answered as filled that it has not told of, it is dialled again, and not relied on until it tells."""
    report = TRADED.report

    async def mute(sink: Sink, connected: Callable[[], None]) -> None:
        line.answered(connected, 100.0)()
        await asyncio.sleep(1e6)

    async def speaks(sink: Sink, connected: Callable[[], None]) -> None:
        connected()
        heard.append(line.stream.healthy)
        await asyncio.sleep(50)
        sink(report)
        await asyncio.sleep(1)
        heard.append(line.stream.healthy)
        await asyncio.sleep(1e6)

    heard: list[bool] = []
    line = Line(mute, speaks)
    line.play(400)
    assert heard == [False, True]
    first, second = line.dials
    assert 110 <= second - first <= 110 + 2 * BACKOFF_FIRST_S + 1
    assert line.told.count(PollAccount(START)) == 1
    assert len(line.told) == 3, "polled when it stood, when it was given up, and when the next one stood"


def test_a_deaf_stream_that_tells_while_it_is_ended_is_dialled_again() -> None:
    """What it still tells between being given up and its end is heard, and ends nothing but this connection."""

    async def late(sink: Sink, connected: Callable[[], None]) -> None:
        line.answered(connected, 1.0)()
        try:
            await asyncio.sleep(1e6)
        finally:
            line.stream.witness(replace(TRADED, how="stream"))

    line = Line(late, standing())
    line.play(400)
    assert len(line.dials) == 2
    assert line.stream.healthy


def test_a_stream_that_takes_long_to_end_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is renewed and closes slowly is waited for, and then dialled again."""
    monkeypatch.setattr("daemon.io.userstream.RENEW_AFTER_S", 100.0)

    async def slow(sink: Sink, connected: Callable[[], None]) -> None:
        connected()
        try:
            await asyncio.sleep(1e6)
        finally:
            await asyncio.sleep(30)

    line = Line(slow, standing())
    line.play(180)
    assert len(line.dials) == 2
    assert 130 <= line.dials[1] < 134


@pytest.mark.parametrize(("told_s", "how"), [(1.0, "submit"), (9.0, "submit"), (None, "query")])
def test_a_stream_that_tells_of_orders_is_left_alone(told_s: float | None, how: str) -> None:
    """Whether it tells before the answer comes or after, nothing is owed then; nor of an order that was only looked up."""

    async def connection(sink: Sink, connected: Callable[[], None]) -> None:
        line.answered(connected, 3.0, how=how)()
        await asyncio.sleep(told_s or 1e6)
        sink(a_report(ORDER, Status.OPEN).report)
        await asyncio.sleep(1e6)

    line = Line(connection)
    line.play(400)
    assert len(line.dials) == 1
    assert line.stream.healthy


def test_a_stream_that_is_away_owes_nothing() -> None:
    """What was answered before a connection stood, or on one that has ended, is read by the poll behind the next one."""

    async def late(sink: Sink, connected: Callable[[], None]) -> None:
        line.stream.witness(replace(a_report(ORDER), how="submit"))
        connected()
        await asyncio.sleep(100)
        line.stream.witness(replace(a_report(ORDER), how="submit"))
        raise Unknown("reset")

    line = Line(late, standing())
    line.play(400)
    assert len(line.dials) == 2
    assert line.stream.healthy


def test_b7_a_stream_is_renewed_before_the_exchange_ends_it_and_between_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """As old as it may become, it is dialled again once nothing is expected of it, and the account is polled before and after."""
    monkeypatch.setattr("daemon.io.userstream.RENEW_AFTER_S", 100.0)
    line = Line(*[standing()] * 5)
    line.stream._quiet = lambda: not 100 <= line.clock.monotonic() < 150
    line.play(400)
    assert line.dials[0] == 0
    assert 150 <= line.dials[1] < 153, "while an order is under way it stands"
    assert all(100 <= pause < 104 for pause in line.pauses[1:])
    polled = [event.at for event in line.told if isinstance(event, PollAccount)]
    assert len(polled) == 2 * len(line.dials) - 1
