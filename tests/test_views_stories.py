"""What the API tells at length: the analysis, and why a symbol is held as it is."""

from datetime import timedelta

import pytest

from daemon.core.model import Decision, TargetWeights
from daemon.io.api import NotThere
from tests.io.journal_facts import START
from tests.test_views import SYMBOLS, World, running, shown, world

__all__ = ["world"]  # the fixture


async def test_the_analysis_is_the_analyzers_report(world: World) -> None:
    """In JSON's own types, with what cannot be said yet as null."""
    told = shown(running(world).views.analysis())
    assert [row["symbol"] for row in told["symbols"]] == list(SYMBOLS)
    assert [row["strategy"] for row in told["strategies"]] == ["momo", "unassigned"]
    assert told["account"]["volatility"] is None
    assert told["as_of"] == "2024-05-17T12:30:15.123456Z"


async def test_why_tells_a_decision_that_is_not_written_yet(world: World) -> None:
    """The newest decision waits for its wave; it is told with where the holding stands now, for a symbol named by its base alone."""
    told = shown(await running(world).views.why("btc", None))
    assert (told["symbol"], told["decision_id"], told["wanted"]) == ("BTC/USDT", "d1", 0.3)
    assert (told["now"]["weight"], told["now"]["target"], told["settled"]) == (0.25, 0.3, None)


async def test_why_tells_an_older_decision_from_the_journal(world: World) -> None:
    """By its id, whatever has been decided since."""
    older = Decision("d0", START - timedelta(hours=1), {"ETH/USDT": 0.1}, frozenset(), {"momo": TargetWeights({"ETH/USDT": 0.1})}, START)
    await world.journal.commit(older)
    assert shown(await running(world).views.why("ETH/USDT", "d0"))["wanted"] == 0.1


async def test_why_before_any_decision_says_so(world: World) -> None:
    """No decision is an answer, not an error."""
    assert shown(await world.views.why("BTC/USDT", None))["summary"] == "there has been no decision yet"


@pytest.mark.parametrize(("symbol", "decision"), [("DOGE/USDT", None), ("BTC/USDT", "d9")])
async def test_why_of_what_is_not_there_is_refused(symbol: str, decision: str | None, world: World) -> None:
    """A symbol outside the universe, and a decision that was never made."""
    with pytest.raises(NotThere):
        await running(world).views.why(symbol, decision)
