"""The streams: whatever the transport does, a symbol's bars are the venue's bars, and silence is noticed."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.events import BarClosed, Event, PriceTicked, StreamCaughtUp, StreamLost
from daemon.core.model import Bar
from daemon.io.exchange import BarUpdate, Fatal, Reason, Refused, Unknown
from daemon.io.streams import BarStreams
from daemon.io.streams_rest import Source
from tests.io.tape_venue import START, TapeVenue, nest, refused, run

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
GRACE_S = 0.5


@dataclass
class Heard:
    """What was published, and when in virtual seconds."""

    venue: TapeVenue
    events: list[tuple[float, Event]] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append((self.venue.clock.monotonic(), event))

    def bars(self, symbol: str) -> list[Bar]:
        return [event.bar for _, event in self.events if isinstance(event, BarClosed) and event.bar.symbol == symbol]

    def delays_s(self, symbol: str) -> list[float]:
        """Seconds from a bar's close to its publication."""
        mine = [(at, e.bar.closes_at) for at, e in self.events if isinstance(e, BarClosed) and e.bar.symbol == symbol]
        return [at - (close - START).total_seconds() for at, close in mine]

    def losses(self, symbol: str) -> list[tuple[float, str]]:
        return [(at, e.reason) for at, e in self.events if isinstance(e, StreamLost) and e.symbol == symbol]

    def returns(self, symbol: str) -> list[tuple[float, int]]:
        return [(at, e.filled) for at, e in self.events if isinstance(e, StreamCaughtUp) and e.symbol == symbol]

    def is_the_venues(self, symbol: str, until_s: float, after: datetime = START) -> bool:
        """Whether the bars from `after` on are all there up to `until_s`, once, in order, and equal."""
        wanted = self.venue.closed(symbol, after, START + timedelta(seconds=until_s))
        return self.bars(symbol)[: len(wanted)] == wanted


def play(
    venue: TapeVenue,
    symbols: Sequence[str],
    seconds: float,
    script: Coroutine[None, None, None] | None = None,
    *,
    source: Source = "auto",
    after: datetime | None = START,
    seed: int = 1,
) -> Heard:
    """Run the streams on a venue for so long in virtual time."""
    heard = Heard(venue)

    async def main() -> None:
        grace = timedelta(seconds=GRACE_S if venue.timeframe == SECOND else 3)
        streams = BarStreams(venue, symbols, venue.timeframe, heard.publish, venue.clock, rng=Random(seed), source=source, grace=grace)
        streams.start_from(dict.fromkeys(symbols, after))
        await nest(streams.jobs(), seconds, *([script] if script else []))

    run(main())
    return heard


async def at(seconds: float, do: Callable[[], None], *more: tuple[float, Callable[[], None]]) -> None:
    """Do things at virtual moments."""
    for when, then in [(seconds, do), *more]:
        await asyncio.sleep(when - asyncio.get_running_loop().time())
        then()


@pytest.mark.parametrize("source", ["auto", "stream", "poll"])
def test_bars_are_the_venues_from_every_source(source: Source) -> None:
    """Bars come once each, in order and within the grace, whether they are streamed or polled."""
    symbols = [f"S{n}/USDT" for n in range(12)]
    heard = play(TapeVenue(SECOND, rest_takes_s=0.1), symbols, 60.7, source=source)
    for symbol in symbols:
        assert heard.is_the_venues(symbol, 60)
        assert [reason for _, reason in heard.losses(symbol)] == ["opening"]
        assert len(heard.returns(symbol)) == 1
        settled = heard.delays_s(symbol)[5:]
        assert max(settled) < GRACE_S


@dataclass
class Day:
    """A venue with its troubles."""

    venue: TapeVenue
    symbols: tuple[str, ...]
    breaks: list[float]
    outage: tuple[float, float] | None  # of REST: from when, for how long
    source: Source
    seed: int

    async def trouble(self) -> None:
        """Let happen what is to happen."""
        moments: list[tuple[float, Callable[[], None]]] = [(moment, self.venue.cut) for moment in self.breaks]
        if self.outage:
            first, long = self.outage
            moments += [(first, lambda: setattr(self.venue, "rest_error", Unknown("502")))]
            moments += [(first + long, lambda: setattr(self.venue, "rest_error", None))]
        if moments:
            first_of_all, *others = sorted(moments, key=lambda pair: pair[0])
            await at(*first_of_all, *others)


@st.composite
def days(draw: st.DrawFn) -> Day:
    """A venue's day at its worst: lost, repeated and late frames, holes, breaks, slow and lagging REST."""
    seed = draw(st.integers(0, 10**6))
    chance = Random(seed)
    lost, repeated, late = (draw(st.sampled_from([0.0, 0.1, 0.4])) for _ in range(3))

    def fate(_: BarUpdate) -> Sequence[float]:
        if chance.random() < lost:
            return ()
        times = 2 if chance.random() < repeated else 1
        return [chance.uniform(0.0, 3.0) if chance.random() < late else 0.0 for _ in range(times)]

    symbols = ("A/USDT", "BB/USDT", "CCC/USDT")
    holes = {(s, START + k * SECOND) for s in symbols for k in draw(st.sets(st.integers(1, 60), max_size=6))}
    venue = TapeVenue(
        SECOND,
        holes=holes,
        fate=fate,
        rest_takes_s=draw(st.sampled_from([0.0, 0.05, 0.7])),
        rest_lag_s=draw(st.sampled_from([0.0, 0.3, 1.6])),
        batch_max=draw(st.sampled_from([1, 2, 100])),
        tells_forming=draw(st.booleans()),
    )
    return Day(
        venue,
        symbols,
        breaks=draw(st.lists(st.floats(1, 35), max_size=4)),
        outage=draw(st.one_of(st.none(), st.tuples(st.floats(1, 20), st.floats(0.5, 10)))),
        source=draw(st.sampled_from(["auto", "stream", "poll"])),
        seed=seed,
    )


@settings(max_examples=60, deadline=None)
@given(days())
def test_whatever_is_lost_repeated_or_shuffled_the_bars_are_the_venues(day: Day) -> None:
    """Whatever the interleaving and loss, the published bars are the venue's from the start on, once each and in order."""
    heard = play(day.venue, day.symbols, 110, day.trouble(), source=day.source, seed=day.seed)
    for symbol in day.symbols:
        assert heard.is_the_venues(symbol, 60), symbol
        closes = [bar.closes_at for bar in heard.bars(symbol)]
        assert all(a < b for a, b in pairwise(closes))
        changes = [type(e) for _, e in heard.events if isinstance(e, StreamLost | StreamCaughtUp) and e.symbol == symbol]
        assert all(a is not b for a, b in pairwise(changes))


def test_without_a_start_the_first_live_candle_is_it() -> None:
    """A symbol without history begins with the bar that forms when it is first seen, not with the past."""
    for source in ("auto", "poll"):
        heard = play(TapeVenue(SECOND), ["A/USDT"], 10.7, source=source, after=None)
        first = heard.bars("A/USDT")[0].closes_at
        assert START < first <= START + 2 * SECOND
        assert heard.is_the_venues("A/USDT", 10, after=first - SECOND)


def test_a_break_is_told_filled_and_healed() -> None:
    """A connection that ends is told as lost at once, its bars come by REST in order, and the stream is back within 3 s."""
    venue = TapeVenue(SECOND)
    heard = play(venue, ["A/USDT"], 60.7, at(40.2, venue.cut), source="stream")
    assert heard.is_the_venues("A/USDT", 60)
    assert [reason for _, reason in heard.losses("A/USDT")] == ["opening", "connection closed"]
    lost_at, back_at = heard.losses("A/USDT")[1][0], heard.returns("A/USDT")[1][0]
    assert lost_at < 40.3
    assert back_at - lost_at < 3
    assert len(venue.dials) == 2


def test_an_answer_from_before_a_break_does_not_end_it() -> None:
    """Without a connection a symbol stays lost, even if a question put while there still was one is answered now."""
    venue = TapeVenue(SECOND, rest_takes_s=3.0)

    def down() -> None:
        venue.refuse = refused()
        venue.cut()

    def back() -> None:
        venue.refuse = None

    heard = play(venue, ["A/USDT"], 80.7, at(20.2, venue.cut, (22.5, down), (40.2, back)), source="stream")
    assert not [moment for moment, _ in heard.returns("A/USDT") if 20.2 < moment < 40.2]
    assert heard.is_the_venues("A/USDT", 60)


def test_an_answer_from_before_the_first_candle_skips_nothing() -> None:
    """Where the websocket was first to say where a symbol begins, a late answer to an open question is not taken for its beginning."""
    venue = TapeVenue(SECOND, rest_takes_s=3.2)
    venue.fate = lambda frame: () if frame.closed and frame.bar.closes_at <= START + 3 * SECOND else (0.0,)
    heard = play(venue, ["A/USDT"], 20.7, after=None)
    assert heard.is_the_venues("A/USDT", 10)


def test_what_was_missed_during_an_outage_is_counted() -> None:
    """`filled` says how many bars the back-fill brought."""
    venue = TapeVenue(SECOND)

    def down() -> None:
        venue.refuse, venue.rest_error = refused(), Unknown("502")
        venue.broken.set()

    def back() -> None:
        venue.refuse, venue.rest_error = None, None

    heard = play(venue, ["A/USDT"], 120.7, at(10.2, down, (40.2, back)))
    assert heard.is_the_venues("A/USDT", 120)
    assert 30 <= heard.returns("A/USDT")[1][1] <= 65
    assert heard.returns("A/USDT")[1][0] < 40.2 + 31


def test_websockets_refused_are_tried_calmly_while_polling_serves() -> None:
    """Ten minutes of refusals are at most 30 dials, never two within a second, and no bar is missed meanwhile."""
    venue = TapeVenue(SECOND, refuse=refused(), batch_max=4)
    symbols = [f"S{n}/USDT" for n in range(12)]
    heard = play(venue, symbols, 600.7)
    assert len(venue.dials) <= 30
    assert min(b - a for a, b in pairwise(venue.dials)) > 1 - 1e-9
    for symbol in symbols:
        assert heard.is_the_venues(symbol, 600)
        assert len(heard.losses(symbol)) == 1


def test_closed_candles_alone_are_enough() -> None:
    """A venue that streams nothing but closed candles is served by its stream and never reset."""
    venue = TapeVenue(SECOND, tells_forming=False)
    heard = play(venue, ["A/USDT", "B/USDT"], 300.7)
    assert heard.is_the_venues("A/USDT", 300)
    assert venue.resets == []
    assert len(venue.dials) == 1
    assert [call for call in venue.calls if call[0] > 5] == []


@pytest.mark.parametrize("tells_forming", [True, False])
@pytest.mark.parametrize("deaf", [True, False])
def test_a_muted_stream_is_noticed_reset_and_back(tells_forming: bool, deaf: bool) -> None:
    """A stream that falls silent is told as stale within 15 s, its connection is given up, and a fresh one stands within 3 s."""
    venue = TapeVenue(SECOND, tells_forming=tells_forming, deaf_to_reset=deaf)
    venue.fate = lambda _: () if len(venue.dials) == 1 and venue.clock.monotonic() > 60.2 else (0.0,)
    heard = play(venue, ["A/USDT", "B/USDT"], 120.7, source="stream")
    lost_at, reason = heard.losses("A/USDT")[1]
    assert reason == "stale"
    assert lost_at - 60.2 <= 15
    assert venue.dials[1] - lost_at <= 3
    assert len(venue.resets) == 1
    assert len(venue.dials) == 2
    assert heard.is_the_venues("A/USDT", 120)


@pytest.mark.parametrize(("silent_s", "seed"), [(20.3, 1), (31.7, 2), (64.1, 3), (123.9, 4)])
def test_a_muted_venue_that_speaks_again_is_back_within_three_seconds(silent_s: float, seed: int) -> None:
    """Muted, and without an answer by REST: a frame that comes again has what is missing asked for at once, however long that was vain."""
    venue, returns_at = TapeVenue(SECOND), 60.2 + silent_s

    def mute() -> None:
        venue.muted, venue.rest_error = True, Unknown("503")

    def speak() -> None:
        venue.muted, venue.rest_error = False, None

    heard = play(venue, ["A/USDT", "B/USDT"], returns_at + 10, at(60.2, mute, (returns_at, speak)), seed=seed)
    for symbol in ("A/USDT", "B/USDT"):
        assert heard.losses(symbol)[-1][0] - 60.2 <= 15
        assert 0 < heard.returns(symbol)[-1][0] - returns_at <= 3
    assert len(venue.dials) - 1 <= 2 + silent_s / 6


def test_a_stream_stuck_in_the_past_is_stale() -> None:
    """Frames that arrive but tell of no later candle count as silence."""
    venue = TapeVenue(SECOND)

    def freeze() -> None:
        venue.frozen_at = venue.clock.now()

    heard = play(venue, ["A/USDT"], 120.7, at(60.2, freeze, (90, lambda: setattr(venue, "frozen_at", None))))
    lost_at, reason = heard.losses("A/USDT")[1]
    assert reason == "stale"
    assert lost_at - 60.2 <= 15
    assert heard.is_the_venues("A/USDT", 120)


def test_a_stream_that_never_speaks_is_dialled_again_calmly() -> None:
    """A subscription that was accepted and brings nothing is given up again and again, ten seconds apart at least, and polling serves."""
    venue = TapeVenue(SECOND, muted=True)
    heard = play(venue, ["A/USDT"], 600.7)
    assert 5 < len(venue.dials) < 60
    assert heard.is_the_venues("A/USDT", 600)
    assert len(heard.losses("A/USDT")) == 1


@pytest.mark.parametrize("tells_forming", [True, False])
def test_quiet_hours_are_not_staleness(tells_forming: bool) -> None:
    """On long bars nothing comes for long; the connection is left alone and hardly anything is asked."""
    venue = TapeVenue(HOUR, tells_forming=tells_forming)
    heard = play(venue, ["A/USDT"], 6 * 3600 + 10)
    assert venue.resets == []
    assert len(venue.dials) == 1
    assert heard.is_the_venues("A/USDT", 6 * 3600)
    assert len(heard.losses("A/USDT")) == 1


def test_a_market_without_trades_is_not_staleness() -> None:
    """A venue that streams nothing while nobody trades, and lists flat candles, keeps its connection; the bars come by REST."""
    venue = TapeVenue(timedelta(minutes=1), tells_forming=False, asleep=(START + HOUR / 6, START + HOUR * 2 / 3))
    venue.fate = lambda frame: (0.0,) if frame.bar.volume else ()
    heard = play(venue, ["A/USDT"], 3605)
    assert venue.resets == []
    assert heard.bars("A/USDT")[-1].closes_at == START + HOUR
    assert len(heard.bars("A/USDT")) == 60
    assert max(heard.delays_s("A/USDT")) <= 3
    assert len(venue.calls) < 1000


def test_an_hourly_stream_that_dies_is_noticed_at_its_next_bar() -> None:
    """Where only bars are due, silence is noticed within 15 s of the first one that does not come."""
    venue = TapeVenue(HOUR, tells_forming=False)
    heard = play(venue, ["A/USDT"], 4 * 3600, at(5000, lambda: setattr(venue, "muted", True)), source="stream")
    lost_at, reason = heard.losses("A/USDT")[1]
    assert reason == "stale"
    assert 7200 < lost_at <= 7215
    assert heard.delays_s("A/USDT")[1] <= 3


def test_one_silent_symbol_is_asked_for_in_time() -> None:
    """A symbol that its stream forgets gets its bars by REST before the slice's deadline, and the connection is left alone."""
    venue = TapeVenue(SECOND, fate=lambda frame: () if frame.bar.symbol == "MUTE/USDT" else (0.0,))
    heard = play(venue, ["A/USDT", "B/USDT", "MUTE/USDT"], 60.7)
    assert heard.is_the_venues("MUTE/USDT", 60)
    assert max(heard.delays_s("MUTE/USDT")[3:]) < GRACE_S
    assert venue.resets == []


def test_a_dead_batch_causes_no_storm_of_calls() -> None:
    """When 500 symbols fall silent on 1 s bars, what is asked by REST stays within a few calls a second until the connection is judged."""
    venue = TapeVenue(SECOND, batch_max=200)
    symbols = [f"S{n}/USDT" for n in range(500)]
    heard = play(venue, symbols, 31, at(15.2, lambda: setattr(venue, "muted", True)), source="stream")
    lost_at = heard.losses("S0/USDT")[1][0]
    assert 15.2 < lost_at < 30.2
    judged = [call for call in venue.calls if 15.2 < call[0] < lost_at]
    assert len(judged) / (lost_at - 15.2) <= 20 + 3


def test_a_venue_that_is_away_is_probed_calmly() -> None:
    """Through an hour's outage the calls stay few, and bars are complete within a minute of its end."""
    venue = TapeVenue(timedelta(minutes=1))
    symbols = [f"S{n}/USDT" for n in range(12)]

    def away() -> None:
        venue.refuse, venue.rest_error = refused(), Unknown("no route")
        venue.broken.set()

    def back() -> None:
        venue.refuse, venue.rest_error = None, None

    heard = play(venue, symbols, 4300, at(300.5, away, (3900.5, back)))
    during = [call for call in venue.calls if 330 < call[0] < 3900]
    assert len(during) <= 3570 / 25
    for symbol in symbols:
        assert heard.is_the_venues(symbol, 4260)
        assert 3900 < heard.returns(symbol)[-1][0] < 3960


def test_refusals_that_wait_are_honoured() -> None:
    """A venue that says when to come back is not asked before."""
    venue = TapeVenue(SECOND, refuse=refused())
    error = Refused("too many requests", Reason.RATE_LIMITED, retry_after_s=35)
    play(venue, ["A/USDT", "B/USDT"], 60, at(10.2, lambda: setattr(venue, "rest_error", error)))
    asked = sorted({moment for moment, _ in venue.calls if moment > 10.5})
    first = asked[0]
    assert not [moment for moment in asked if first + 1 < moment < first + 34]


def test_a_symbol_that_is_refused_does_not_stop_the_others() -> None:
    """What the venue says about one symbol is told of that symbol alone."""

    class Delisting(TapeVenue):
        async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
            if symbol == "GONE/USDT":
                raise Refused("no such market", Reason.BAD_REQUEST)
            return await super().bars(symbol, timeframe, since=since, limit=limit)

    heard = play(Delisting(SECOND), ["A/USDT", "GONE/USDT"], 60.7, source="poll")
    assert heard.is_the_venues("A/USDT", 60)
    assert heard.returns("GONE/USDT") == []


def test_old_candles_from_everywhere_are_stale() -> None:
    """A venue whose REST answers are stuck in the past is told as stale, and recovers by itself."""
    venue = TapeVenue(SECOND)

    async def stuck() -> None:
        await asyncio.sleep(30)
        for _ in range(300):
            venue.rest_lag_s = asyncio.get_running_loop().time() - 30
            await asyncio.sleep(0.1)
        venue.rest_lag_s = 0.0

    heard = play(venue, ["A/USDT"], 90.7, stuck(), source="poll")
    assert [reason for _, reason in heard.losses("A/USDT")] == ["opening", "stale"]
    assert len(heard.returns("A/USDT")) == 2
    assert heard.is_the_venues("A/USDT", 90)


def test_ticks_are_few_and_never_repeat_a_price() -> None:
    """Forming candles become at most four ticks a second per symbol, each with a new price."""
    heard = play(TapeVenue(timedelta(minutes=1), refuse=refused()), ["A/USDT"], 120)
    ticks = [(moment, event.price) for moment, event in heard.events if isinstance(event, PriceTicked)]
    assert 20 <= len(ticks) <= 26
    assert all(b[0] - a[0] >= 0.25 and a[1] != b[1] for a, b in pairwise(ticks))


def test_what_cannot_get_better_ends_the_jobs() -> None:
    """A Fatal answer is not retried: it leaves the nest."""
    venue = TapeVenue(SECOND, refuse=refused(), rest_error=Fatal("a host that the configuration does not imply"))
    with pytest.raises(ExceptionGroup) as caught:
        play(venue, ["A/USDT"], 60)
    assert caught.group_contains(Fatal)
