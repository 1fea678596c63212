"""Accounts of every size in the whole daemon against an exchange: sixty dollars, ten million, and one that is paid into meanwhile."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from structlog.testing import capture_logs

from daemon.core import events as e
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests.oneprocess import KEYS, Run, at_work, written

BASES: Final = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "LTC", "BCH", "UNI", "AAVE", "COMP")
TWELVE: Final = tuple(sorted(f"{base}/USDT" for base in BASES))


@asynccontextmanager
async def account(folder: Path, held: int, weights: Mapping[str, float]) -> AsyncIterator[tuple[Run, Venue, list[Any]]]:
    """A daemon that wants these weights once and then when asked, on an account of so much USDT; its exchange, and what it says."""
    strategy = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 100_000, "at_start": True}, "params": {"weights": weights}}
    settings = VenueSettings(interval="1s", markets=len(BASES), history=60, balance={"USDT": Decimal(held)})
    async with Venue(settings) as venue:
        sections: dict[str, Any] = {
            "strategies": [strategy],
            "universe": {"quote": "USDT", "symbols": sorted(weights)},
            "execution": {"on_stop": "keep"},
            "api": {"port": 0, "token": {"env": "TOKEN"}},
        }
        with capture_logs() as said:
            async with at_work(written(folder, venue.ccxt_urls(), **sections), {**KEYS, "TOKEN": "open-sesame"}) as run:
                yield run, venue, said
        assert venue.audit() == []


async def why(run: Run, decision_id: str) -> dict[str, Any]:
    """What is told of each symbol's part in a decision."""
    return {symbol: (await run.get(f"/api/v1/why/{symbol}?decision={decision_id}"))[1] for symbol in TWELVE}


async def test_sixty_dollars_hold_what_can_be_held_of_twelve_and_the_rest_says_what_it_needs(tmp_path: Path) -> None:
    """All money is in the symbols that the exchange's minimum lets it hold; `why` of each other one names the equity that would do."""
    async with account(tmp_path, 60, dict.fromkeys(TWELVE, 0.99 / len(TWELVE))) as (run, venue, said):
        wave = await run.settled()
        told = await why(run, wave.decision.id)
        held = {symbol for symbol in TWELVE if venue.exchange.account.of(symbol.split("/")[0]).free > 0}
        cash = venue.exchange.account.of("USDT").free
    small = {symbol for symbol in TWELVE if wave.left.get(symbol) == "small_account"}
    assert wave.sent == wave.filled == len(held)
    assert small == set(TWELVE) - held
    assert 0 < len(small) < len(TWELVE)
    assert cash < 3
    for symbol in small:
        assert Decimal(told[symbol]["plans"][-1]["needs_equity"]) > 60
    assert [line for line in said if line["log_level"] == "error"] == []


async def test_ten_millions_are_invested_within_what_the_exchange_takes(tmp_path: Path) -> None:
    """Whatever is not at its target in the end says why, no order is above the exchange's bounds, and nothing is refused."""
    async with account(tmp_path, 10_000_000, dict.fromkeys(TWELVE, 0.9 / len(TWELVE))) as (run, _, said):
        wave = await run.settled()
        told = await why(run, wave.decision.id)
    assert not wave.refused
    off = {symbol for symbol in TWELVE if abs(wave.off_target.get(symbol, 0.0)) > 0.005}
    assert off <= set(wave.left), (off, wave.left)
    assert all(told[symbol]["left"] or symbol not in off for symbol in TWELVE)
    assert len(off) < len(TWELVE) / 2
    assert [line for line in said if line["log_level"] == "error"] == []


async def test_a_deposit_in_the_middle_of_a_wave_waits_for_the_next_decision(tmp_path: Path) -> None:
    """The wave buys what it was planned to buy; the money is a flow and no profit, trips nothing, and is invested when next asked."""
    weights = dict.fromkeys(TWELVE[:2], 0.45)
    async with account(tmp_path, 10_000, weights) as (run, venue, said):
        venue.exchange.faults.add(read({"do": "accept_late", "on": "order.place", "delay": "2s"}, "here").faults, venue.exchange.now())
        await run.until(lambda: run.parts.manager.wave is not None and bool(list(run.parts.table)))
        venue.exchange.transfer("USDT", Decimal(10_000))
        first = await run.settled()
        await run.until(lambda: any(line["event"] == "flow.booked" and line["kind"] == "transfer" for line in said))
        bought = {symbol: venue.exchange.account.of(symbol.split("/")[0]).free for symbol in weights}
        run.daemon.traders[0].publish(e.RebalanceRequested("test", run.parts.clock.now()))
        await run.until(lambda: sum(line["event"] == "wave.settled" for line in said) == 2)
        await run.daemon.traders[0].recorder.commit()
        (second,) = [wave for wave in await run.journal.waves(1000) if wave.decision.id != first.decision.id]
        assert tuple(run.parts.manager.states.holds()) == ()
        assert run.parts.curves.account.contributed == 20_000
        more = {symbol: venue.exchange.account.of(symbol.split("/")[0]).free / bought[symbol] for symbol in weights}
    assert all(Decimal("1.9") < times < Decimal("2.1") for times in more.values()), "the first wave was planned without the deposit"
    assert 19_000 < float(second.equity) < 20_100
    assert all(abs(second.off_target.get(symbol, 0.0)) < 0.02 for symbol in weights)
