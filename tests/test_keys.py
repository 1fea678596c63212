"""What a key may do: mode live takes none that could take the money away."""

from pathlib import Path
from typing import Any

import pytest

from daemon.parts import StartRefused
from daemon.venue import Venue, VenueSettings, faultscript
from tests.oneprocess import at_work, written

KEY_RIGHTS: dict[str, tuple[str, bool, dict[str, Any], bool]] = {
    "live refuses it": ("live", True, {}, True),
    "live takes it when it is told to": ("live", True, {"live": {"i_understand": True, "key_may_withdraw": True}}, False),
    "live takes one that may not": ("live", False, {}, False),
    "sandbox does not ask": ("sandbox", True, {}, False),
}


@pytest.mark.parametrize("what", KEY_RIGHTS)
async def test_h4_a_key_that_may_withdraw_is_no_key_for_a_daemon(what: str, tmp_path: Path) -> None:
    """Whoever got hold of it could take everything: mode live ends with 77 and says what to do, unless a person has decided otherwise."""
    mode, withdraws, sections, refused = KEY_RIGHTS[what]
    async with Venue(VenueSettings(key_withdraws=withdraws, interval="1s", markets=4, history=200)) as venue:
        async with at_work(written(tmp_path, venue.ccxt_urls(), mode=mode, **sections)) as run:
            if not refused:
                await run.settled(sent=0)
                return
            error = await run.end()
        assert venue.state()["orders"] == []
    assert isinstance(error, StartRefused), repr(error)
    assert (error.exit_code, "this key may withdraw" in str(error), "\n" in str(error)) == (77, True, False)


@pytest.mark.parametrize("answer", ["{}", "[1]", "<html>", '{"enableWithdrawals": "yes"}'])
async def test_a_venue_that_tells_no_rights_is_traded_on(answer: str, tmp_path: Path) -> None:
    """A server that speaks the protocol without that page, or answers it with nonsense, is no reason to stay away."""
    status = 404 if answer == "<html>" else 200
    faults = faultscript.read({"faults": [{"do": "http", "on": "account.apiRestrictions", "status": status, "body": answer}]}, "here")
    settings = VenueSettings(key_withdraws=True, interval="1s", markets=4, history=200, faults=faults)
    async with Venue(settings) as venue, at_work(written(tmp_path, venue.ccxt_urls(), mode="live")) as run:
        await run.settled(sent=0)
