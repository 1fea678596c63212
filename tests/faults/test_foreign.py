"""Coins that come without a word, on real sockets: kept apart or put to work, as the configuration says."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.faults.world import world

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(("policy", "kind", "left"), [("ringfence", "ringfenced", "0.5"), ("adopt", "unexplained", "0")])
async def test_coins_that_nobody_tells_of(policy: str, kind: str, left: str, tmp_path: Path) -> None:
    """The stream says nothing of a bitcoin that came: it is found, booked, and at the next decision for none sold or left alone."""
    async with world(tmp_path, reconcile={"every": "1s", "foreign": policy}) as place:
        await place.wave(BTC=0.1)
        place.fault("ws.lose", on="user")
        place.venue.exchange.transfer("BTC", Decimal("0.5"))
        await place.until(lambda: [line for line in place.told("flow.booked") if line.fields["kind"] == kind])
        place.mend()
        await place.until(lambda: not place.run.parts.account.drift)
        await place.wave()
        await place.whole()
        assert place.venue.exchange.account.of("BTC").free.quantize(Decimal("0.001")) == Decimal(left)
        status = (await place.run.get("/api/v1/status"))[1]
        assert status["kept_apart"] == ({"BTC": "0.5"} if policy == "ringfence" else {})
