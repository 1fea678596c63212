"""Funding that is to come, in the whole daemon against an exchange of swaps: told truly, shown in the plan, and a limit to what grows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from daemon.assembly.worlds import door
from daemon.config import load, resolve_secrets
from daemon.core.funding import FundingRate, Mark
from daemon.core.ledger import FUNDING
from daemon.core.model import epoch_ms, from_epoch_ms
from daemon.io.clock import SystemClock
from daemon.io.exchange import Marking
from daemon.io.journal.reader import Reader
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from daemon.venue.swap.exchange import SwapExchange
from tests.oneprocess import KEYS, at_work, opened, written
from tests.test_limits import Desk
from tests.test_planning import made

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
TOKEN: Final = {**KEYS, "TOKEN": "open-sesame"}


@pytest.fixture
async def futures() -> AsyncIterator[Venue]:
    """Swaps that settle every four hours."""
    async with Venue(VenueSettings(market="swap", interval="1s", markets=4, history=200, funding="4h", volatility=0.0005)) as running:
        yield running
    assert running.audit() == []


def sections(venue: Venue, weights: dict[str, float]) -> dict[str, Any]:
    """A configuration that wants these whenever it is asked."""
    keys = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
    strategy = {"name": "fixed", "use": "fixed_weights", "schedule": {"every": 100_000}, "params": {"weights": weights}}
    return {
        "urls": {},
        "strategies": [strategy],
        "exchange": {"id": "binance", "market": "swap", "leverage": 5, "ccxt": {"urls": venue.ccxt_urls()}, "credentials": keys},
        "universe": {"quote": "USDT", "symbols": [BTC, ETH]},
        "execution": {"band": 0.005, "band_relative": 0, "on_stop": "keep"},
        "api": {"port": 0, "token": {"env": "TOKEN"}},
    }


def coming(venue: Venue, base: str) -> FundingRate:
    """What the exchange will settle next."""
    exchange = venue.exchange
    assert isinstance(exchange, SwapExchange)
    found = exchange.funding.next(exchange.market(f"{base}USDT").index, exchange.now())
    return FundingRate(float(found.rate), from_epoch_ms(found.at), timedelta(hours=4))


@asynccontextmanager
async def desk(venue: Venue, folder: Path, weights: dict[str, float], **risk: Any) -> AsyncIterator[Desk]:
    """A daemon at work on it, which has heard of the rates."""
    wanted = sections(venue, weights)
    with capture_logs() as said:
        async with at_work(await opened(written(folder, **wanted, risk=risk)), TOKEN) as run:
            account = run.parts.account
            await run.until(lambda: run.daemon.views.ready()[0] and None not in map(account.funding, (BTC, ETH)))
            yield Desk(run, folder, wanted, said)


async def test_rates_and_intervals_are_those_of_the_exchange(futures: Venue, tmp_path: Path) -> None:
    """By REST and by the stream: mark price, rate, moment and hours of every market, as the exchange will settle them."""
    config = load(written(tmp_path, **sections(futures, {BTC: 0.1})), {})
    venue = door(config, resolve_secrets(config, TOKEN), SystemClock())
    assert isinstance(venue, Marking)
    streamed: dict[str, Mark] = {}
    both = asyncio.Event()

    def heard(symbol: str, mark: Mark) -> None:
        streamed[symbol] = mark
        if len(streamed) == 2:
            both.set()

    try:
        await venue.connect()
        asked = await venue.marks([BTC, ETH])
        watching = asyncio.create_task(venue.watch_marks([BTC, ETH], heard))
        async with asyncio.timeout(15):
            await both.wait()
        watching.cancel()
        await asyncio.wait([watching])
    finally:
        await venue.close()
    for symbol in (BTC, ETH):
        expected = coming(futures, symbol.partition("/")[0])
        assert asked[symbol].funding == streamed[symbol].funding == expected
        assert epoch_ms(expected.next_at) % (4 * 3_600_000) == 0
        assert asked[symbol].price > 0
        assert streamed[symbol].price > 0


async def test_where_intervals_are_not_told_they_are_as_usual(futures: Venue, tmp_path: Path) -> None:
    """Marks and rates come all the same, every eight hours as far as anybody knows."""
    futures.exchange.faults.add(read({"do": "reject", "on": "fundingInfo", "code": -1000}, "").faults, futures.exchange.now())
    config = load(written(tmp_path, **sections(futures, {BTC: 0.1})), {})
    venue = door(config, resolve_secrets(config, TOKEN), SystemClock())
    assert isinstance(venue, Marking)
    try:
        await venue.connect()
        told = (await venue.marks([BTC]))[BTC].funding
    finally:
        await venue.close()
    assert told == replace(coming(futures, "BTC"), interval=timedelta(hours=8))


@pytest.mark.parametrize("mode", ["sandbox", "paper"])
async def test_the_plan_shows_what_the_target_will_pay(futures: Venue, tmp_path: Path, mode: str) -> None:
    """Target x equity x rate: a long pays a rate above 0, a short is paid it; moment, rate and hours stand beside it."""
    wanted = sections(futures, {BTC: 0.5, ETH: -0.25})
    if mode == "paper":
        del wanted["exchange"]["credentials"]
        wanted["strategies"][0]["schedule"]["at_start"] = True
    plan = await made(written(tmp_path, **wanted, mode=mode), TOKEN)
    for row, weight in zip(plan.rows, (0.5, -0.25), strict=True):
        assert row.rate == coming(futures, row.symbol.partition("/")[0])
        assert row.funding == round(Decimal(repr(weight)) * plan.capital * Decimal(repr(row.rate.rate)), 8)


async def test_the_filter_fires_and_not_one_step_below(futures: Venue, tmp_path: Path) -> None:
    """At what it would pay the dear side is opened; one step below it is not, in log and `why`; the side that is paid always is."""
    yearly = coming(futures, "BTC").yearly
    side = 1.0 if yearly > 0 else -1.0
    async with desk(futures, tmp_path, {BTC: side * 0.4, ETH: 0.0}, funding_max=abs(yearly) - 1e-6) as at:
        account, decided = at.run.parts.account, await at.decide()
        assert await at.codes(decided, BTC) == {"funding_max"}
        assert account.held(BTC) == 0
        assert at.run.parts.manager.last_wave is not None
        assert at.run.parts.manager.last_wave.sent == 0
        await at.limit(funding_max=abs(yearly) + 1e-6)
        decided = await at.decide()
        assert await at.codes(decided, BTC) == set()
        held = account.held(BTC)
        assert held * Decimal(side) > 0
        _, why = await at.run.get(f"/api/v1/why/{BTC}?decision={decided}")
        due = [Decimal(row["funding"]) for row in why["plans"] if row["funding"] is not None]
        assert due
        assert all(float(each) == pytest.approx(0.4 * 100_000 * abs(yearly) * 4 / 8760, rel=0.02) for each in due)
        await at.limit(funding_max=0, weight_max=0.2)
        decided = await at.decide()
        assert account.held(BTC) == pytest.approx(held / 2, rel=Decimal("0.05")), "what makes it smaller is not refused"
        (told,) = [line for line in at.said if line["event"] == "risk.limited" and line["reason"] == "funding_max"][:1]
        assert (told["symbol"], told["allowed"]) == (BTC, 0)
        assert told["found"] == pytest.approx(abs(yearly), rel=1e-5)


async def test_the_other_side_is_always_opened(futures: Venue, tmp_path: Path) -> None:
    """Whoever is paid is not held back, whatever the bound."""
    side = -1.0 if coming(futures, "BTC").rate > 0 else 1.0
    async with desk(futures, tmp_path, {BTC: side * 0.4, ETH: 0.0}, funding_max=0) as at:
        assert await at.codes(await at.decide(), BTC) == set()
        assert at.run.parts.account.held(BTC) * Decimal(side) > 0


async def test_a_paper_account_pays_what_the_exchange_settles(tmp_path: Path) -> None:
    """Settled every second: long and short pay or are paid, each settlement is booked once, and the ledger agrees to the last digit."""
    settings = VenueSettings(market="swap", interval="1s", markets=4, history=200, funding="1s", volatility=0.0005)
    async with Venue(settings) as venue:
        wanted = sections(venue, {BTC: 0.5, ETH: -0.4})
        del wanted["exchange"]["credentials"]
        wanted["strategies"][0]["schedule"]["at_start"] = True
        wanted |= {"mode": "paper", "paper": {"balances": {"USDT": 100_000}}}
        with capture_logs() as said:
            async with at_work(written(tmp_path, **wanted), TOKEN) as run:

                def booked(symbol: str) -> int:
                    return sum(line["event"] == "funding.booked" and line["symbol"] == symbol for line in said)

                await run.until(lambda: min(booked(BTC), booked(ETH)) >= 2)
    with Reader(run.path) as reader:
        known = reader.recover()
    flows = [flow for flow in known.flows if flow.kind == FUNDING]
    assert len({flow.id for flow in flows}) == len(flows) >= 4
    assert {flow.symbol for flow in flows} == {BTC, ETH}
    assert not [line for line in said if line["event"].startswith("drift")]
