"""A daemon and an exchange that does wrong, for the length of a module: real ccxt on real sockets, and patience in seconds.

Rule: a test puts its own faults into force, and the world is whole again behind it: no fault, no order in doubt, books and journal agreed.
Whatever went wrong, no secret of it is in the log of a module at DEBUG, nor in its journal.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.core import events as e
from daemon.core.events import WaveSettled
from daemon.core.memory import Memory
from daemon.core.model import Decision, TargetWeights, decision_id
from daemon.core.ordertable import State, Tracked
from daemon.core.resolver import Patience
from daemon.core.states import Hold
from daemon.core.suspicion import Calm
from daemon.io import logs
from daemon.io.streams import BarStreams
from daemon.parts import Parts
from daemon.telling.lines import Line
from daemon.venue import Venue, VenueSettings
from daemon.venue.faultscript import read
from tests.oneprocess import KEYS, SYMBOLS, Run, at_work, opened, written
from tests.process.books import disagreements

PATIENCE_S: Final = 20.0

# The daemon's own figures, about a tenth of them: what is judged is what it does, not how long it waits to do it.
RECV_WINDOW_MS: Final = 1_000
QUICK: Final = Patience(
    fence=timedelta(seconds=1.5),
    lookups=3,
    spacing=timedelta(milliseconds=200),
    open_every=timedelta(milliseconds=500),
    first_ask=timedelta(milliseconds=200),
    ask_max=timedelta(milliseconds=400),
    cancels=3,
    vanish=timedelta(seconds=1.5),
)
CALM: Final = Calm(
    quiet=timedelta(milliseconds=300),
    lag=timedelta(seconds=1.5),
    flow=timedelta(seconds=1),
    opens=timedelta(milliseconds=200),
    again=timedelta(milliseconds=500),
    again_max=timedelta(seconds=1),
)
WORKING: Final = timedelta(seconds=1)
STALE: Final = timedelta(seconds=2.5)


def quick(parts: Parts) -> None:
    """Have the parts wait for seconds where they would wait for a minute."""
    manager = parts.manager
    manager.settings = manager._dispatch.settings = replace(
        manager.settings, fresh=STALE, working=WORKING, held_up=2 * WORKING, retry=timedelta(milliseconds=200)
    )
    manager.follower.resolver._patience = QUICK
    parts.account._fresh = STALE
    parts.reconciler._calm, parts.reconciler._memory = CALM, Memory(CALM.lag, CALM.again)
    parts.poll_every = timedelta(milliseconds=600)


class World:
    """One daemon, one exchange."""

    def __init__(self, venue: Venue, run: Run) -> None:
        self.venue, self.run = venue, run
        self._lines: list[Line] = []
        self.strangers: set[str] = set()  # client ids of orders that the daemon has not sent
        self.listen()

    def listen(self) -> None:
        """Keep what the daemon tells."""
        teller = self.run.daemon.traders[0].teller
        narrate = teller._narrate

        def heard(event: e.Event) -> Iterator[Line]:
            for line in narrate(event):
                self._lines.append(line)
                yield line

        teller._narrate = heard

    @property
    def lines(self) -> list[Line]:
        """What the daemon has told, and would in a moment."""
        self.run.daemon.traders[0].teller.flush()
        return self._lines

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def fault(self, do: str, **values: Any) -> None:
        """Put a fault into force."""
        exchange = self.venue.exchange
        exchange.faults.add(read({"do": do, **{name.rstrip("_"): value for name, value in values.items()}}, "here").faults, exchange.now())
        self.venue.act()

    def hits(self) -> list[int]:
        """How often each fault in force has struck."""
        faults = self.venue.exchange.faults
        return [fault["hits"] for fault in faults.told(self.venue.exchange.now())]

    def mend(self) -> None:
        """Lift all faults."""
        self.venue.exchange.faults.clear()

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def want(self, **weights: float) -> str:
        """Decide that these are wanted, by base currency, and nothing else; the decision's id."""
        at = self.run.parts.clock.now()
        wanted = {f"{base}/USDT": weight for base, weight in weights.items()}
        targets = TargetWeights({symbol: wanted.get(symbol, 0.0) for symbol in SYMBOLS})
        decision = Decision(decision_id(at), at, targets.weights, frozenset(), {"momo": targets}, at, shares={"momo": 1.0})
        self.run.daemon.traders[0].publish(e.TargetsChosen(decision, at))
        return decision.id

    async def wave(self, **weights: float) -> WaveSettled:
        """Decide so and wait until the wave has settled."""
        return await self.settled(self.want(**weights))

    async def settled(self, decision: str) -> WaveSettled:
        """The wave of a decision, once it has settled."""
        manager = self.run.parts.manager
        await self.until(lambda: manager.last_wave is not None and manager.last_wave.decision.id == decision)
        assert manager.last_wave is not None
        return manager.last_wave

    # --- what is so --------------------------------------------------------------------------------------------------

    async def until(self, what: Callable[[], object], within_s: float = PATIENCE_S) -> float:
        """Wait until something is so; how many seconds that took."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while not what():
                if self.run.task.done():
                    self.run.task.result()
                await asyncio.sleep(0.01)
        return time.monotonic() - began

    def told(self, name: str, since: int = 0) -> list[Line]:
        """The lines of an event."""
        return [line for line in self.lines[since:] if line.name == name]

    @property
    def unknown(self) -> list[Tracked]:
        """Orders of which nobody knows what became of them."""
        return [tracked for tracked in self.run.parts.table if tracked.state is State.UNKNOWN]

    @property
    def booked(self) -> list[str]:
        """Client ids of the exchange's orders, as they came."""
        listed = sorted((o for orders in self.venue.exchange.matching.orders.values() for o in orders), key=lambda o: o.created)
        return [order.client_id for order in listed]

    @property
    def waiting(self) -> dict[str, list[str]]:
        """Client ids of the exchange's open orders, by its names of the markets."""
        return {symbol: [order.client_id for order in listed] for symbol, listed in self.venue.exchange.matching.open.items()}

    def asked(self, *names: str) -> int:
        """How many requests the exchange has had, of these `METHOD path`s or in all."""
        requests = self.venue.exchange.requests
        return sum(count for name, count in requests.items() if not names or name in names)

    def holds(self) -> list[Hold]:
        """What restricts trading."""
        return list(self.run.parts.manager.states.holds())

    async def lift(self, hold: Hold) -> None:
        """A person lifts what restricts trading."""
        at = self.run.parts.clock.now()
        self.run.daemon.traders[0].publish(e.HoldLifted(hold.scope, hold.code, "ann", at))

    # --- in the end --------------------------------------------------------------------------------------------------

    async def whole(self) -> None:
        """Everything has come to its end, and exchange and journal agree to the unit."""
        parts = self.run.parts
        await self.until(lambda: not len(parts.table) and parts.manager.wave is None and not parts.account.drift)
        await self.until(lambda: self.disagreements() == [])

    async def streaming(self) -> None:
        """Bars and account news come by stream, and have for a while."""
        users, transport = self.run.daemon.traders[0].userstream, self.run.daemon.traders[0].transport
        await self.until(lambda: users.connected and transport._streams is not None and transport._streams.streaming)
        await asyncio.sleep(1.1)  # a look of the guard, which forgives the streams what they owed

    async def flat(self) -> None:
        """Hold nothing but money."""
        await self.wave()
        assert all(self.run.parts.account.weight(symbol, self.run.parts.account.equity()) < 0.001 for symbol in SYMBOLS)

    def disagreements(self) -> list[str]:
        """Where exchange and journal differ, as sentences."""
        found = disagreements(self.venue.state(), self.run.path, SYMBOLS)
        return [sentence for sentence in found if sentence.rpartition(" ")[2] not in self.strangers]


@contextmanager
def quickened() -> Iterator[None]:
    """Pauses of a daemon, about a tenth of what they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.io.pollers.SPACING_S", 0.3)
        patch.setattr("daemon.io.pollers.FAILED_FIRST_S", 0.3)
        patch.setattr("daemon.io.pollers.FAILED_MAX_S", 1.0)
        patch.setattr("daemon.trader.BarStreams", partial(BarStreams, stale_after=STALE))
        patch.setattr("daemon.io.userstream.BACKOFF_MAX_S", 2.0)
        patch.setattr("daemon.io.streams.PROVEN_AFTER_S", 0.5)
        patch.setattr("daemon.io.streams.SECOND_LOOK_S", 0.5)
        patch.setattr("daemon.core.breakers.board.MEASURE_AGAIN", timedelta(seconds=1))
        yield


@asynccontextmanager
async def world(folder: Path, *facts: Any, **sections: Any) -> AsyncIterator[World]:
    """A world, and that it is whole in the end. The journal knows `facts` before it starts."""
    settings = VenueSettings(interval="1s", markets=4, history=200, volatility=0.0005, weight_limit=100_000)
    with quickened(), listened() as said:
        async with Venue(settings) as venue, at_work(await config(folder, venue, *facts, **sections), KEYS, quick) as run:
            place = World(venue, run)
            await run.until(lambda: run.daemon.views.ready()[0])
            yield place
        assert venue.audit() == []
    assert '"level":"debug"' in said.getvalue()
    assert not told_secrets(said.getvalue(), folder)


def told_secrets(said: str, folder: Path) -> list[str]:
    """The secrets that stand in the log or in a journal."""
    kept = b"".join(path.read_bytes() for path in folder.glob("*.sqlite*"))
    return [secret for secret in KEYS.values() if secret in said or secret.encode() in kept]


@contextmanager
def listened() -> Iterator[io.StringIO]:
    """The log as a service would write it, at its most talkative."""
    said = io.StringIO()
    logs.configure("debug", "json", "momo", KEYS.values(), said)
    try:
        yield said
    finally:
        logs.shutdown()


async def config(folder: Path, venue: Venue, *facts: Any, **sections: Any) -> Path:
    """A configuration whose strategy is never due, so that a test decides; answers are waited for a moment only."""
    credentials = {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}}
    options = {"urls": venue.ccxt_urls(), "timeout": 600, "options": {"recvWindow": RECV_WINDOW_MS}}
    never = {"name": "momo", "use": "portfolio_momentum", "schedule": {"cron": "0 0 29 2 *", "tz": "UTC"}}
    never |= {"params": {"lookback": 5, "rsi_period": 2, "top": 2}}
    wanted = {"strategies": [never], "exchange": {"id": "binance", "ccxt": options, "credentials": credentials}, **sections}
    return await opened(written(folder, {}, **wanted), *facts)
