"""The rulebook: rules as the venue has them now, told where they have changed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from structlog.testing import capture_logs

from daemon.core.events import Event, MarketsListed, ReadMarkets
from daemon.core.model import Instrument
from daemon.io.exchange import Unknown
from daemon.io.rulebook import EVERY_S, SHUT_S, SPACING_S, Rulebook
from tests.core.builders import market
from tests.io.scripted import ScriptedExchange
from tests.io.tape_venue import START, VirtualClock, nest, run

BTC, ETH = "BTC/USDT", "ETH/USDT"


class Registrar(ScriptedExchange):
    """A venue whose lists come one after the other, the last one for ever; None fails."""

    def __init__(self, *lists: Mapping[str, Instrument] | None) -> None:
        super().__init__()
        self._lists = lists
        self.reads = 0

    async def markets(self) -> Mapping[str, Instrument]:
        listed = self._lists[min(self.reads, len(self._lists) - 1)]
        self.reads += 1
        if listed is None:
            raise Unknown("timed out")
        return listed


def read(seconds: float, *lists: Mapping[str, Instrument] | None, pokes_s: tuple[float, ...] = ()) -> tuple[list[MarketsListed], Registrar]:
    """What is told within so many seconds."""
    clock = VirtualClock()
    registrar = Registrar(*lists)
    told: list[MarketsListed] = []
    known = {symbol: market(symbol) for symbol in (BTC, ETH)}

    def publish(event: Event) -> None:
        assert isinstance(event, MarketsListed)
        told.append(event)
        known.update(event.markets)

    book = Rulebook(registrar, publish, clock, lambda: dict(known))

    async def poke() -> None:
        for moment in pokes_s:
            await clock.sleep(moment - clock.monotonic())
            assert not list(book.accept(ReadMarkets(clock.now())))

    run(nest([("rulebook", book.run)], seconds, poke()))
    return told, registrar


AS_KNOWN = {BTC: market(BTC), ETH: market(ETH)}
COARSE = AS_KNOWN | {BTC: replace(market(BTC), amount_step=Decimal("0.01"))}


def test_rules_are_read_every_hour_and_told_when_they_have_changed() -> None:
    """The same rules are no news; a new step is told once, with what it was."""
    with capture_logs() as lines:
        told, registrar = read(5 * EVERY_S, AS_KNOWN, COARSE)
    assert registrar.reads == 4
    assert [event.markets[BTC].amount_step for event in told] == [Decimal("0.01")]
    assert told[0].at - START >= timedelta(seconds=2 * EVERY_S)
    (line,) = [line for line in lines if line["event"] == "market.changed"]
    assert (line["symbol"], line["listed"]) == (BTC, True)
    assert line["changed"]["amount_step"].endswith("-> 0.01")


def test_a_doubt_reads_them_at_once_and_a_dozen_doubts_once() -> None:
    """A refusal that the rules should have prevented does not wait for the hour; what is refused along with it asks once more, later."""
    told, registrar = read(10.0 + 2 * SPACING_S, COARSE, pokes_s=(10.0, 10.1, 10.2, 10.3))
    assert [round((event.at - START).total_seconds()) for event in told] == [10]
    assert registrar.reads == 2


def test_readings_in_vain_grow_rare_and_do_not_hide_a_change() -> None:
    """Refusals that the rules do not explain have them read ever less often, down to once a minute; the next finds a changed step."""
    refusals = tuple(10.0 + each for each in range(600))
    _, registrar = read(610.0, AS_KNOWN, pokes_s=refusals)
    assert 10 <= registrar.reads <= 15
    told, _ = read(60.0, AS_KNOWN, COARSE, pokes_s=(10.0, 30.0))
    assert [round((event.at - START).total_seconds()) for event in told] == [30]


def test_a_market_that_is_gone_is_known_and_not_traded() -> None:
    """What the venue lists no more keeps its rules and is not active, until it is listed again."""
    told, _ = read(4 * EVERY_S, {ETH: market(ETH)}, AS_KNOWN)
    assert [event.markets[BTC].active for event in told] == [False, True]
    assert [event.markets[ETH].active for event in told] == [True, True]


def test_a_listing_that_fails_changes_nothing() -> None:
    """No answer is not an empty list."""
    told, registrar = read(3 * EVERY_S, None)
    assert (told, registrar.reads) == ([], 2)


def test_a_market_that_is_closed_is_looked_at_every_few_minutes_until_it_is_open() -> None:
    """A halt of minutes does not cost the hour until the next reading, and once everything is open the hour counts again."""
    halted = AS_KNOWN | {BTC: replace(market(BTC), active=False)}
    told, registrar = read(10.0 + 3 * SHUT_S + EVERY_S / 2, halted, halted, AS_KNOWN, pokes_s=(10.0,))
    assert [event.markets[BTC].active for event in told] == [False, True]
    assert told[1].at - told[0].at < timedelta(seconds=3 * SHUT_S)
    assert registrar.reads == 3
    _, registrar = read(2 * EVERY_S - SHUT_S, {ETH: market(ETH)})
    assert registrar.reads == 1, "one that is gone can wait"
