"""A universe that changes by itself, over real sockets: ranks turn, a market is delisted, the daemon starts anew, and each is told."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.model import Cause
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests.oneprocess import Run, at_work, written

HISTORY: Final = 60
SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
TURN: Final = HISTORY + 9  # the row from which more is traded of SOL than of ETH


def recorded(folder: Path) -> Path:
    """Bars of a second that hardly move; most is traded of BTC, least of XRP, and SOL overtakes ETH."""
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    folder.mkdir()
    rows, rng = 400, np.random.default_rng(1)
    for symbol, price, volume in (("BTC", 100.0, 1000.0), ("ETH", 10.0, 2000.0), ("SOL", 5.0, 1000.0), ("XRP", 1.0, 500.0)):
        close = price * (1 + 0.0002 * rng.standard_normal(rows))
        traded = np.full(rows, volume)
        if symbol == "SOL":
            traded[TURN:] *= 100
        table = {"timestamp": np.arange(rows, dtype=np.int64) * 1000, **dict.fromkeys(("open", "high", "low", "close"), close)}
        parquet.write_table(pa.table(table | {"volume": traded}), folder / f"{symbol}_USDT-1s.parquet")
    return folder


def config(folder: Path, venue: Venue, **select: object) -> Path:
    """The two symbols of which most is traded, in equal parts, decided on rarely: who leaves is sold by a decision for that."""
    universe = {"quote": "USDT", "symbols": list(SYMBOLS), "select": {"top": 2, "margin": 0, "window": 10, "every": 5, **select}}
    strategy = {"name": "even", "use": "equal_weight", "schedule": {"every": 86_400, "at_start": True}}
    return written(folder, venue.ccxt_urls(), universe=universe, strategies=[strategy], execution={"band": 0.005})


def listen(run: Run) -> list[e.Event]:
    """What the daemon hears from here on."""
    heard: list[e.Event] = []
    teller = run.daemon.traders[0].teller
    tell = teller.hear

    def hear(event: e.Event) -> None:
        heard.append(event)
        tell(event)

    teller.hear = hear  # type: ignore[method-assign]
    return heard


def held(venue: Venue) -> dict[str, Decimal]:
    """What the account holds beside dust."""
    found = {asset: balance.free + balance.locked for asset, balance in venue.exchange.account.balances.items()}
    return {asset: amount for asset, amount in found.items() if asset != "USDT" and amount > 1}


async def why(run: Run, symbol: str, decision: str = "") -> Mapping[str, Any]:
    """The story of a decision, or of the newest, for a symbol."""
    story: Mapping[str, Any] = (await run.get(f"/api/v1/why/{symbol}{decision and f'?decision={decision}'}"))[1]
    return story


async def test_ranks_turn_a_market_closes_and_a_start_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who falls behind is sold whole, whose market closes is kept as it is and told, the rest trades on, and a start goes on from there."""
    monkeypatch.setattr("daemon.io.rulebook.SPACING_S", 0.1)
    settings = VenueSettings(interval="1s", history=HISTORY, balance={"USDT": Decimal(10_000)}, data=recorded(tmp_path / "data"))
    async with Venue(settings) as venue:
        file = config(tmp_path, venue)
        async with at_work(file) as run:
            heard, member = listen(run), run.parts.membership
            await run.until(lambda: member.members == {"BTC/USDT", "ETH/USDT"} and held(venue).keys() == {"BTC", "ETH"})
            await run.until(lambda: member.members == {"BTC/USDT", "SOL/USDT"})
            await run.until(lambda: "ETH" not in held(venue) and not member.leaving and run.parts.manager.wave is None)
            (sale,) = [told.decision for told in heard if isinstance(told, e.TargetsChosen) and told.decision.cause is Cause.UNIVERSE]
            sold = await why(run, "ETH", sale.id)
            status = (await run.get("/api/v1/status"))[1]
            assert (sold["in_universe"], sold["cause"], sold["now"]["outside"]) == (False, "universe", "rank")
            assert "it was not in the universe; sold" in sold["summary"]
            assert (status["universe"]["symbols"], status["universe"]["leaving"]) == (["BTC/USDT", "SOL/USDT"], {})
            assert [event.symbol for event in heard if isinstance(event, e.SymbolWoundDown)] == ["ETH/USDT"]

            venue.exchange.faults.add(read({"do": "market", "symbol": "BTC/USDT", "delisted": True}, "here").faults, venue.exchange.now())
            venue.act()
            run.daemon.traders[0].publish(e.ReadMarkets(run.parts.clock.now()))
            await run.until(lambda: "BTC/USDT" not in member.members)
            run.daemon.traders[0].publish(e.RebalanceRequested("me", run.parts.clock.now()))
            await run.until(lambda: member.rest.get("BTC/USDT") == "not_tradable" and "SOL" in held(venue))
            await run.until(lambda: run.parts.manager.wave is None)
            stuck = await why(run, "BTC")
            assert (stuck["in_universe"], stuck["now"]["outside"], stuck["left"]) == (False, "market_closed", "not_tradable")
            stood, places = member.members, member.places
        settled = [event for event in heard if isinstance(event, e.PlanMade | e.WaveSettled | e.UniverseChosen)]
        for before, after in pairwise(settled):
            assert not (isinstance(before, e.PlanMade) and isinstance(after, e.UniverseChosen)), "in the middle of a wave"
        async with at_work(file) as run:
            member = run.parts.membership
            await run.until(lambda: run.parts.manager.state == "running")
            assert (stood <= member.members, member.places["BTC/USDT"].outside) == (True, places["BTC/USDT"].outside)
            known = member.as_of
            await run.until(lambda: member.as_of != known and not run.parts.reconciler.differences)
            assert "BTC/USDT" not in member.members
            assert (await run.get("/api/v1/status"))[1]["state"] == "running"
        assert venue.audit() == []
