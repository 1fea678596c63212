"""Legs that belong together, over real sockets: one of them is refused for ever, or falls behind, while the other trades."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from daemon.core import events as e
from daemon.core.events import WaveSettled
from daemon.core.model import Decision, TargetWeights, decision_id
from daemon.io.journal import ask
from tests.faults.world import World, world
from tests.oneprocess import SYMBOLS

PAIR: Final = ("BTC/USDT", "ETH/USDT")
BOUND: Final = 0.1
EXECUTION: Final = {"band": 0.005, "groups": {"size": BOUND, "within": "3s", "pause": "2s"}}


async def wanted(place: World, btc: float, eth: float) -> WaveSettled:
    """Decide that the pair is wanted, and wait for its wave."""
    at = place.run.parts.clock.now()
    targets = TargetWeights({symbol: {"BTC/USDT": btc, "ETH/USDT": eth}.get(symbol, 0.0) for symbol in SYMBOLS}, groups=(PAIR,))
    made = Decision(decision_id(at), at, targets.weights, frozenset(), {"momo": targets}, at, shares={"momo": 1.0})
    place.run.daemon.traders[0].publish(e.TargetsChosen(made, at))
    return await place.settled(made.id)


def watched(place: World) -> list[float]:
    """By how much of the equity one leg is ahead of the other, after each trade from here on."""
    account, seen = place.run.parts.account, list[float]()
    book = place.run.parts.ledger.book

    def booked(*trade: Any, **whose: Any) -> Any:
        done = book(*trade, **whose)
        equity = account.equity()
        seen.append(abs(account.weight(PAIR[0], equity) - account.weight(PAIR[1], equity)))
        return done

    place.run.parts.ledger.book = booked  # type: ignore[method-assign]
    return seen


def told_in_journal(place: World, wave: WaveSettled) -> tuple[e.GroupJudged, ...]:
    """What the journal has of the group in a wave."""
    return ask(place.run.path, lambda reader: reader.story("ETH/USDT", wave.decision.id)).groups


async def test_one_leg_is_refused_for_ever(tmp_path: Path) -> None:
    """The other is never further ahead than the bound and is taken back; the log, the journal and `why` tell it; later both are entered."""
    async with world(tmp_path, execution=EXECUTION) as place:
        seen = watched(place)
        place.fault("reject", code=-2010, message="Market is closed.", symbol="ETH/USDT")
        wave = await wanted(place, 0.3, 0.3)
        assert (wave.filled, list(wave.refused)) == (2, ["ETH/USDT"])
        assert 0.05 < max(seen) <= BOUND * 1.02
        assert seen[-1] < 0.001
        names = [line.name for line in place.lines if line.name.startswith("group.")]
        assert names == ["group.unbalanced", "group.unwinding", "group.balanced"]
        assert place.told("group.unwinding")[0].fields["behind"] == ("ETH/USDT",)
        await place.until(lambda: len(told_in_journal(place, wave)) == 3)
        story = (await place.run.get("/api/v1/why/BTC-USDT"))[1]
        assert story["group"]["symbols"] == list(PAIR)
        assert [fact["phase"] for fact in story["group"]["facts"]] == ["unbalanced", "unwinding", "balanced"]
        assert "its group was unbalanced, then unwinding, then balanced" in story["summary"]
        written = told_in_journal(place, wave)
        assert [fact.phase for fact in written] == ["unbalanced", "unwinding", "balanced"]
        assert written[0].apart > Decimal(5000)

        assert (await wanted(place, 0.3, 0.3)).left == {"BTC/USDT": "group_pause", "ETH/USDT": "group_pause"}
        place.mend()
        pause = place.run.parts.manager.groups._known[PAIR]
        until = pause.until
        assert until is not None
        await place.until(lambda: place.run.parts.clock.now() >= until)
        wave = await wanted(place, 0.3, 0.3)
        assert (wave.filled, wave.refused) == (6, {})
        assert max(seen) <= BOUND * 1.02
        await place.whole()


async def test_a_leg_in_doubt_is_waited_for(tmp_path: Path) -> None:
    """While nobody knows what became of one leg's order nothing is taken back; once it is known the group goes on, in step."""
    async with world(tmp_path, execution=EXECUTION) as place:
        seen = watched(place)
        place.fault("accept_drop", symbol="ETH/USDT", count=1)
        place.fault("ws.lose", on="user")
        wave = await wanted(place, 0.2, 0.2)
        assert (wave.filled, wave.refused) == (4, {})
        assert max(seen) <= BOUND * 1.02
        assert place.told("group.unwinding") == place.told("group.stuck") == []
        assert place.told("order.unknown")
        place.mend()
        await place.whole()
