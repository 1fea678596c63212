"""Commander: what a person asks of a running daemon, from the API's doors to events on the bus.

Rule: a command is in the journal, with who and when, before it has any effect, and so is what has come of it before it is answered; what
cannot be done is refused in one sentence, and is in the journal all the same.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

import structlog

from daemon.core.approval import Approval
from daemon.core.events import ApprovalGiven, Event, FlowBooked, HoldLifted, HoldPlaced, OrderGivenUp, RebalanceRequested
from daemon.core.follower import Follower
from daemon.core.model import Flow, currencies
from daemon.core.ordertable import Tracked
from daemon.core.resolver import may_explain
from daemon.core.states import ACCOUNT, Hold, Level, Scope, States
from daemon.core.trading import Trading
from daemon.io.api import Impossible, NotThere
from daemon.io.clock import Clock
from daemon.io.journal import Command, Put
from daemon.telling.why import match

log = structlog.get_logger()

# The codes of what a person places, by the verb.
PAUSE: Final = "pause"
FLATTEN: Final = "flatten"
EXCLUDE: Final = "exclude"

APPROVED: Final = "approved"  # the key under which the journal counts the waves that people have let go


class Record(Protocol):
    """What the commander needs of the journal."""

    async def commit(self, *facts: Command | Put | FlowBooked | OrderGivenUp) -> None:
        """Return once these are on disk, and whatever has come of earlier events."""
        ...


class Stands(Protocol):
    """How trading stands."""

    @property
    def trading(self) -> Trading:
        """How far the daemon has come."""
        ...

    @property
    def states(self) -> States:
        """What restricts trading."""
        ...

    @property
    def approval(self) -> Approval:
        """What waits for a person's word."""
        ...

    @property
    def follower(self) -> Follower:
        """The orders, and what is asked about them."""
        ...

    @property
    def state(self) -> str:
        """The one word for it."""
        ...

    @property
    def reason(self) -> str:
        """Why it is so."""
        ...


class Commander:
    """Carries out commands. `reload` and `stop` are the process's own; `symbols` and `strategies` (as of now) are what they are about.

    `differences`: account minus ledger by currency, as the last reconciliation saw it. `account`: its name, "" of the only one.
    """

    def __init__(
        self,
        record: Record,
        publish: Callable[[Event], None],
        clock: Clock,
        manager: Stands,
        symbols: Iterable[str],
        strategies: Callable[[], Iterable[str]],
        differences: Callable[[], Mapping[str, Decimal]],
        reload: Callable[[], Awaitable[str]],
        stop: Callable[[], None],
        account: str = "",
    ) -> None:
        self.account = account
        self._record = record
        self._publish = publish
        self._clock = clock
        self._manager = manager
        self._symbols = tuple(symbols)
        self._strategies = strategies
        self._differences = differences
        self._reload = reload
        self._stop = stop
        self._verbs: Final[Mapping[str, Callable[[Scope, str], str]]] = {
            "pause": self._paused,
            "resume": self._resumed,
            "rebalance": self._rebalanced,
            "flatten": self._flattened,
            "exclude": self._excluded,
        }

    async def command(self, verb: str, argument: str, by: str) -> str:
        """Carry out a command; what has been done, as a sentence.

        Raises:
            NotThere: there is no such verb, symbol or strategy.
            Impossible: it cannot be done as things stand; the sentence says why and what can.
        """
        await self._record.commit(Command(verb, argument, by, self._clock.now()))
        try:
            said = await self._do(verb, argument, by)
        except (NotThere, Impossible) as error:
            log.warning("command.refused", verb=verb, argument=argument, by=by, reason=str(error))
            raise
        await self._record.commit()  # a pause that was answered outlives a kill
        log.info("command.done", verb=verb, argument=argument, by=by, said=said)
        return said

    async def _do(self, verb: str, argument: str, by: str) -> str:
        if verb == "stop":
            self._stop()
            return "stopping: orders under way come to a known end, then the daemon ends"
        if verb == "reload":
            return await self._reload()
        if verb == "approve":
            return await self._approved(argument, by)
        if verb == "resolve":
            return await self._resolved(argument, by)
        if verb not in self._verbs:
            raise NotThere(
                f"there is no command {verb}; there are {', '.join(sorted([*self._verbs, 'approve', 'reload', 'resolve', 'stop']))}"
            )
        return self._verbs[verb](self._scope(argument), by)

    def _scope(self, argument: str) -> Scope:
        """What the argument of a command means: the account, a symbol, or a strategy."""
        if not argument:
            return ACCOUNT
        if argument in self._strategies():
            return Scope(strategy=argument)
        symbol = match(argument, self._symbols)
        if symbol is None:
            raise NotThere(f"{argument} is neither a symbol of the universe nor a strategy of this daemon")
        return Scope(symbol=symbol)

    # --- verbs -------------------------------------------------------------------------------------------------------

    def _paused(self, scope: Scope, by: str) -> str:
        text = f"{by} has paused the {scope}; nothing new is begun until it is resumed"
        self._place(Hold(scope=scope, level=Level.PAUSED, code=PAUSE, text=text, since=self._clock.now(), by=by))
        return f"paused the {scope}; orders under way come to their end"

    def _resumed(self, scope: Scope, by: str) -> str:
        holds = self._manager.states.holds(scope)
        if not holds:
            others = sorted({str(hold.scope) for hold in self._manager.states.holds()})
            hint = f"; what is restricted is {', '.join(others)}" if others else ""
            raise Impossible(f"nothing restricts the {scope}{hint}")
        for hold in holds:
            self._publish(HoldLifted(scope, hold.code, by, self._clock.now()))
        return f"resumed the {scope}, which {', '.join(hold.code for hold in holds)} had restricted"

    def _rebalanced(self, scope: Scope, by: str) -> str:
        if scope != ACCOUNT:
            raise Impossible("every strategy decides; rebalance takes no argument")
        if self._manager.trading is not Trading.RUNNING:
            raise Impossible(f"trading is {self._manager.state}: {self._manager.reason}")
        worst = self._manager.states.worst()
        if worst is not None and worst.level is not Level.REDUCING:
            raise Impossible(f"trading is {self._manager.state} ({worst.text}); resume first")
        self._publish(RebalanceRequested(by, self._clock.now()))
        return "every strategy decides now; where there is no bar to decide on yet, at the next one"

    def _flattened(self, scope: Scope, by: str) -> str:
        states = self._manager.states
        if scope != ACCOUNT and states.level() >= Level.PAUSED:
            raise Impossible(f"the account is {states.level().told}, so that no order leaves: resume it first, or flatten all of it")
        # A halt forbids every order: whoever asks for this wants out all the same, and it ends in a halt again.
        for hold in states.holds(scope):
            if hold.level >= Level.PAUSED:
                self._publish(HoldLifted(scope, hold.code, by, self._clock.now()))
        text = f"{by} has flattened the {scope}"
        self._place(Hold(scope=scope, level=Level.FLATTENING, code=FLATTEN, text=text, since=self._clock.now(), by=by))
        return f"selling everything of the {scope}; after that it is halted until somebody resumes it"

    def _excluded(self, scope: Scope, by: str) -> str:
        if not scope.symbol:
            raise Impossible("exclude takes a symbol; pause or flatten is for everything")
        text = f"{by} has excluded {scope.symbol}; its holding stays as it is until it is resumed"
        self._place(Hold(scope=scope, level=Level.HALTED, code=EXCLUDE, text=text, since=self._clock.now(), by=by))
        return f"{scope.symbol} is left alone from here on, with what is held of it"

    async def _approved(self, decision_id: str, by: str) -> str:
        approval = self._manager.approval
        asked = approval.asked
        if not asked:
            raise Impossible("no wave waits for approval")
        if decision_id not in ("", asked):
            raise Impossible(f"what waits for approval is decision {asked}, not {decision_id}")
        # Counted on disk first: a word that is given twice after a crash would let one wave more go unseen.
        await self._record.commit(Put(APPROVED, str(approval.given + 1)))
        self._publish(ApprovalGiven(asked, by, self._clock.now()))
        return f"decision {asked} is worked on, with the prices of now"

    async def _resolved(self, order_id: str, by: str) -> str:
        """End an order that nobody finds, and take the account as it is where that order would explain it."""
        follower, at = self._manager.follower, self._clock.now()
        tracked = follower.table.get(order_id)
        if tracked is None:
            doubtful = [t.order.id for t in follower.table if not follower.resolver.obstacle(t, at)]
            raise NotThere(f"there is no order {order_id} in doubt; {_listed(doubtful)}")
        if obstacle := follower.resolver.obstacle(tracked, at):
            raise Impossible(f"order {order_id} {obstacle}")
        flows = tuple(FlowBooked(flow, at) for flow in self._unexplained(tracked, at))
        given_up = OrderGivenUp(order_id, by, at)
        # Together: without the order, what the account holds more or less would be traded for a second time.
        await self._record.commit(*flows, given_up)
        for flow in flows:
            self._publish(flow)
        self._publish(given_up)
        booked = "".join(f", {flow.flow.amount:+f} {flow.flow.currency}" for flow in flows)
        taken = f"; what the account holds more or less is booked as a flow{booked}" if flows else ""
        return f"order {order_id} is given up, and {tracked.order.symbol} trades again{taken}"

    def _unexplained(self, tracked: Tracked, at: datetime) -> Iterable[Flow]:
        differences = self._differences()
        if may_explain(tracked, differences):
            for currency in currencies(tracked.order.symbol):
                if currency in differences:
                    yield Flow(f"given-up-{tracked.order.id}-{currency}", currency, differences[currency], "unexplained", at)

    def _place(self, hold: Hold) -> None:
        self._publish(HoldPlaced(hold, hold.since))


def _listed(orders: list[str]) -> str:
    return f"in doubt: {', '.join(orders)}" if orders else "no order is"
