"""The account poller: steady, quick when asked, never too often, and silent about what it could not read."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.events import AccountPolled, Event, HoldPlaced, MeasureClock, PollAccount, PollFailed
from daemon.core.model import AccountSnapshot, Balance
from daemon.io.exchange import Fatal, NotSent, Reason, Refused, Unknown, VenueError
from daemon.io.pollers import CLOSE_S, SPACING_S, SPARE_MAX, AccountPoller
from tests.io.scripted import ScriptedExchange
from tests.io.tape_venue import START, VirtualClock, nest, run

HELD = {"USDT": Balance(Decimal(1000), Decimal(0))}


class Office:
    """A poller in virtual time, and when it told what."""

    def __init__(self, every_s: float = 30.0, takes_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.exchange = ScriptedExchange()
        self.exchange.held = self._read
        self.takes_s = takes_s
        self.error: VenueError | None = None
        self.began: list[float] = []
        self.told: list[Event] = []
        self.streaming = True
        self.poller = AccountPoller(
            self.exchange, self.told.append, self.clock, timedelta(seconds=every_s), lambda: self.streaming, Random(1)
        )

    async def _read(self) -> Mapping[str, Balance]:
        self.began.append(round(self.clock.monotonic(), 6))
        await self.clock.sleep(self.takes_s)
        if self.error:
            raise self.error
        return HELD

    async def poke(self, *at_s: float) -> None:
        """Ask at these seconds."""
        for moment in at_s:
            await self.clock.sleep(moment - self.clock.monotonic())
            assert not list(self.poller.accept(PollAccount(self.clock.now())))

    def play(self, seconds: float, *pokes_s: float) -> None:
        """Run for so long, asking at these seconds."""
        run(nest([("account", self.poller.run)], seconds, self.poke(*pokes_s)))


def test_the_account_is_read_at_once_and_then_steadily() -> None:
    """The first poll is immediate, and one follows every thirty seconds."""
    office = Office()
    office.play(100)
    assert office.began == [0, 30, 60, 90]


def test_a_snapshot_says_from_when_to_when_it_looked() -> None:
    """What moved between the question and the answer may or may not be in it, so both moments are told."""
    office = Office(takes_s=0.5)
    office.play(1)
    until = START + timedelta(seconds=0.5)
    assert office.told == [AccountPolled(AccountSnapshot(HELD, (), START, until), until)]


def test_who_asks_is_served_at_once() -> None:
    """A request in the middle of a pause ends it, and the pace goes on from there."""
    office = Office()
    office.play(50, 12.5)
    assert office.began == [0, 12.5, 42.5]


def test_what_was_asked_while_it_read_is_read_again() -> None:
    """A request that comes during a poll is about what that poll may not have seen; the next one follows as soon as it may."""
    office = Office(takes_s=1.0)
    office.play(20, 0.5)
    assert office.began == [0, 1 + CLOSE_S]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 30.0), max_size=40).map(sorted), st.sampled_from([1.0, 2.0, 5.0, 30.0]))
def test_it_never_asks_too_often(pokes_s: list[float], every_s: float) -> None:
    """However often it is asked, polls are two seconds apart, but for two; and never further apart than the period or that."""
    office = Office(every_s)
    office.play(40, *pokes_s)
    gaps = [later - earlier for earlier, later in pairwise(office.began)]
    assert min(gaps) >= CLOSE_S - 1e-6
    assert max(gaps) <= max(every_s, SPACING_S) + 1e-6
    for first, last in combinations(range(len(office.began)), 2):
        assert last - first <= (office.began[last] - office.began[first]) / SPACING_S + SPARE_MAX + 1e-6


def test_what_nobody_asks_for_is_not_read_closely() -> None:
    """A period shorter than the spacing is stretched to it from the first poll on."""
    office = Office(every_s=1.0)
    office.play(7)
    assert office.began == [0, 2, 4, 6]


def test_a_poll_that_fails_is_told_and_changes_nothing() -> None:
    """Whichever half of the poll fails, there is no snapshot, only the failure; the next success tells again."""
    office = Office(every_s=5)

    async def trouble() -> None:
        office.error = Unknown("time-out")
        await office.clock.sleep(1)
        office.error, office.exchange.listed = None, NotSent("banned")
        await office.clock.sleep(3)
        office.exchange.listed = ()

    run(nest([("account", office.poller.run)], 10, trouble()))
    assert [type(event) for event in office.told] == [PollFailed, PollFailed, AccountPolled]
    assert [event.text for event in office.told if isinstance(event, PollFailed)] == ["time-out", "banned"]


def test_an_account_that_nobody_tells_of_is_polled_every_five_seconds() -> None:
    """While the venue does not tell of our trades by itself polls come every five seconds, or as often as is configured; then as before."""
    for every_s, pace in ((30.0, 5.0), (3.0, 3.0)):
        office = Office(every_s)
        office.streaming = False

        async def heard(office: Office = office) -> None:
            await office.clock.sleep(29)
            office.streaming = True

        run(nest([("account", office.poller.run)], 100, heard()))
        quick = [moment for moment in office.began if moment <= 30]
        assert {b - a for a, b in pairwise(quick)} == {pace}
        assert office.began[-1] - office.began[-2] == every_s


def test_an_outage_is_probed_ever_more_calmly_whoever_asks() -> None:
    """Two seconds after the first failure, after a minute never within half a minute, never later than a minute, and at once as before."""
    office = Office(every_s=5)
    office.error = Unknown("time-out")

    async def impatient() -> None:
        for _ in range(700):
            await office.clock.sleep(1)
            list(office.poller.accept(PollAccount(office.clock.now())))
        office.error = None

    run(nest([("account", office.poller.run)], 800, impatient()))
    failed = [moment for moment in office.began if moment < 700]
    gaps = [b - a for a, b in pairwise(failed)]
    assert gaps[0] < 3
    assert all(30 <= gap <= 60 for moment, gap in zip(failed, gaps, strict=False) if moment >= 30)
    assert len(failed) < 25
    back = [moment for moment in office.began if moment >= 700]
    assert back[0] < 760
    assert {b - a for a, b in pairwise(back)} == {5.0}


def test_a_poll_that_is_refused_for_its_time_has_the_clocks_compared() -> None:
    """A clock that was set is noticed by whatever the venue refuses first, which need not be an order."""
    office = Office()
    office.error = Refused("-1021", Reason.CLOCK_SKEW)
    office.play(1)
    assert [type(event) for event in office.told] == [PollFailed, MeasureClock]


def test_a_key_that_is_refused_halts_once() -> None:
    """A key revoked while the daemon runs stops trading, told once; the account is still asked for."""
    office = Office()
    office.error = Fatal("-2015", Reason.CREDENTIALS)
    office.play(100)
    assert len(office.began) > 4
    assert [type(event) for event in office.told].count(HoldPlaced) == 1


def test_a_poll_that_only_failed_halts_nothing() -> None:
    """A venue that is away is no reason to halt."""
    office = Office()
    office.error = Unknown("time-out")
    office.play(100)
    assert {type(event) for event in office.told} == {PollFailed}
