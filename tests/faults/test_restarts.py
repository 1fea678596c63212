"""A start from a journal that differs from the exchange in what only a person can tell."""

from decimal import Decimal
from pathlib import Path

import pytest

from daemon.core.events import FlowBooked
from daemon.core.model import Flow, Side
from daemon.core.ordertable import beginning
from daemon.io.clock import SystemClock
from tests.core.builders import decision, order
from tests.faults.world import world

pytestmark = pytest.mark.asyncio


async def test_an_order_in_doubt_that_money_of_others_looks_like_holds_its_own_symbol_only(tmp_path: Path) -> None:
    """A sale that never arrived, and somebody took its coin out and paid money in: the rest trades, and a person is told what to do."""
    at = SystemClock().now()
    moved = [FlowBooked(Flow(f"moved-{c}", c, Decimal(amount), "transfer", at), at) for c, amount in (("USDT", -50_000), ("BTC", 1))]
    sale = order(beginning("momo|sandbox") + "lost", side=Side.SELL, price="50000", at=at)
    async with world(tmp_path, *moved, decision({"BTC/USDT": 0.0}, "d1", at), sale) as place:
        found = [line for line in place.told("drift.found") if line.fields.get("order_id") == sale.id]
        assert {line.fields["currency"] for line in found} == {"BTC", "USDT"}
        assert all(f"`rebalanced resolve {sale.id}`" in str(line.fields["text"]) for line in found)
        wave = await place.wave(ETH=0.1)
        assert wave.filled == 1
        assert place.unknown
        await place.run.daemon.traders[0].commander.command("resolve", sale.id, "ann")
        await place.whole()
        assert (await place.wave(BTC=0.1, ETH=0.1)).left.get("BTC/USDT") is None
        assert not place.unknown
