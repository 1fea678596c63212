"""Commands: what a person may ask of a running daemon, what comes of it, and what is refused."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import pytest

from daemon.commander import APPROVED, Commander
from daemon.core import events as e
from daemon.core.approval import Approval
from daemon.core.follower import Follower
from daemon.core.ordertable import OrderTable, State
from daemon.core.resolver import Patience
from daemon.core.restraint import restore
from daemon.core.states import ACCOUNT, Hold, Level, Scope, States
from daemon.core.trading import Trading
from daemon.io.api import Impossible, NotThere
from daemon.io.journal import Command, Put
from tests.core.builders import decision, order
from tests.io.journal_facts import START, StillClock

BTC = "BTC/USDT"


class Office:
    """A commander whose journal, bus and process are lists."""

    def __init__(self, *holds: Hold) -> None:
        self.trading = Trading.RUNNING
        self.states = States()
        self.approval = Approval(1, timedelta(minutes=1))
        self.written: list[Command] = []
        self.counted: list[Put] = []
        self.told: list[e.Event] = []
        self.ended = False
        self.differences: dict[str, Decimal] = {}
        self.facts: list[object] = []
        self.follower = Follower(OrderTable(), Patience())
        self.kept = 0  # of what it has told, how much is on disk
        restore(self.states, (e.HoldPlaced(hold, START) for hold in holds))
        known = (BTC, "ETH/USDT"), lambda: ("momo",), lambda: self.differences
        self.commander = Commander(self, self.publish, StillClock(), self, *known, self.reload, self.stop)

    @property
    def state(self) -> str:
        return self.states.level().told

    reason = "because"

    async def commit(self, *facts: Command | Put | e.FlowBooked | e.OrderGivenUp) -> None:
        assert not (facts and self.told), "a command is written before it has any effect"
        self.kept = len(self.told)
        self.written += (fact for fact in facts if isinstance(fact, Command))
        self.facts += (fact for fact in facts if isinstance(fact, e.FlowBooked | e.OrderGivenUp))
        self.counted += (fact for fact in facts if isinstance(fact, Put))

    def publish(self, event: e.Event) -> None:
        self.told.append(event)
        if isinstance(event, e.HoldPlaced | e.HoldLifted):
            restore(self.states, (event,))

    async def reload(self) -> str:
        return "reloaded"

    def stop(self) -> None:
        self.ended = True

    async def do(self, verb: str, argument: str = "") -> str:
        said = await self.commander.command(verb, argument, "ann")
        assert self.kept == len(self.told), "what has come of a command is written before it is answered"
        return said

    def of(self, kind: type) -> list[e.Event]:
        return [event for event in self.told if isinstance(event, kind)]


def halt(scope: Scope = ACCOUNT, code: str = "drawdown") -> Hold:
    return Hold(scope=scope, level=Level.HALTED, code=code, text="lost too much", since=START)


@pytest.mark.parametrize(
    ("argument", "scope"), [("", ACCOUNT), ("btc", Scope(symbol=BTC)), ("BTC/USDT", Scope(symbol=BTC)), ("momo", Scope(strategy="momo"))]
)
async def test_pause_and_resume_take_what_they_are_about(argument: str, scope: Scope) -> None:
    """The account, a symbol by any of its names, or a strategy; who asked is kept, and resuming lifts it again."""
    office = Office()
    await office.do("pause", argument)
    worst = office.states.worst(scope)
    assert worst is not None
    assert (worst.level, worst.by) == (Level.PAUSED, "ann")
    office.told.clear()
    await office.do("resume", argument)
    assert office.states.level(scope) is Level.ACTIVE
    assert [(command.verb, command.argument, command.by) for command in office.written] == [
        ("pause", argument, "ann"),
        ("resume", argument, "ann"),
    ]


async def test_a_person_leaves_a_halt_by_resuming() -> None:
    """Every hold of the scope is lifted under its own code, and no other scope's."""
    office = Office(halt(), halt(code="rejects"), halt(Scope(symbol=BTC), "exclude"))
    await office.do("resume")
    assert office.of(e.HoldLifted) == [e.HoldLifted(ACCOUNT, code, "ann", START) for code in ("drawdown", "rejects")]
    assert office.states.level(Scope(symbol=BTC)) is Level.HALTED


async def test_flattening_a_halted_account_sells_all_the_same() -> None:
    """A halt would hold every order back; whoever flattens wants out, and ends halted again."""
    office = Office(halt())
    await office.do("flatten")
    assert office.states.level() is Level.FLATTENING


@pytest.mark.parametrize(
    ("verb", "argument", "holds", "kind", "words"),
    [
        ("dance", "", (), NotThere, "there is no command dance"),
        ("pause", "DOGE", (), NotThere, "neither a symbol"),
        ("resume", "", (), Impossible, "nothing restricts the account"),
        ("resume", "", (halt(Scope(symbol=BTC), "exclude"),), Impossible, "what is restricted is symbol BTC/USDT"),
        ("exclude", "", (), Impossible, "exclude takes a symbol"),
        ("exclude", "momo", (), Impossible, "exclude takes a symbol"),
        ("rebalance", "BTC", (), Impossible, "takes no argument"),
        ("approve", "", (), Impossible, "no wave waits"),
        ("rebalance", "", (halt(),), Impossible, "resume first"),
        ("flatten", "BTC", (halt(),), Impossible, "resume it first"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_written(
    verb: str, argument: str, holds: Iterable[Hold], kind: type[Exception], words: str
) -> None:
    """The sentence says why; nothing is published, and the journal knows who tried."""
    office = Office(*holds)
    with pytest.raises(kind, match=words):
        await office.do(verb, argument)
    assert office.told == []
    assert [command.verb for command in office.written] == [verb]


async def test_rebalance_waits_for_a_daemon_that_trades() -> None:
    """Before the account has been read nobody can decide anything."""
    office = Office()
    office.trading = Trading.STARTING
    with pytest.raises(Impossible):
        await office.do("rebalance")
    office.trading = Trading.RUNNING
    await office.do("rebalance")
    assert office.of(e.RebalanceRequested) == [e.RebalanceRequested("ann", START)]


async def test_reload_and_stop_are_the_process_s_own() -> None:
    """They are carried out by the process, and written like every command."""
    office = Office()
    assert await office.do("reload") == "reloaded"
    await office.do("stop")
    assert office.ended
    assert [command.verb for command in office.written] == ["reload", "stop"]


def in_doubt(office: Office, minutes: int = 1) -> str:
    """An order whose answer was lost so long ago."""
    at = START - timedelta(minutes=minutes)
    tracked = office.follower.table.add(order(BTC, at=at))
    tracked.state, tracked.doubted_at = State.UNKNOWN, at
    return tracked.order.id


async def test_an_order_in_doubt_ends_with_what_it_would_explain() -> None:
    """What the account holds more and less is booked in the same commit, before the order ends; other differences are left."""
    office = Office()
    order_id = in_doubt(office)
    office.differences = {"BTC": Decimal("0.5"), "USDT": Decimal(-50), "ETH": Decimal(3)}
    assert "BTC/USDT trades again" in await office.do("resolve", order_id)
    flows = [event.flow for event in office.of(e.FlowBooked) if isinstance(event, e.FlowBooked)]
    assert [(flow.currency, flow.amount) for flow in flows] == [("BTC", Decimal("0.5")), ("USDT", Decimal(-50))]
    assert office.told[-1] == e.OrderGivenUp(order_id, "ann", START)
    assert office.facts == office.told


async def test_what_the_order_does_not_explain_is_not_booked() -> None:
    """A deposit of the quote is the reconciler's."""
    office = Office()
    order_id = in_doubt(office)
    office.differences = {"USDT": Decimal(50)}
    await office.do("resolve", order_id)
    assert office.told == [e.OrderGivenUp(order_id, "ann", START)]


async def test_what_is_not_in_doubt_is_not_resolved() -> None:
    """Whoever mistypes the id is told which orders are in doubt; one that may still arrive has to be waited for."""
    office = Office()
    with pytest.raises(NotThere, match="no order is"):
        await office.do("resolve", "r-2")
    order_id = in_doubt(office, minutes=0)
    with pytest.raises(Impossible, match="may still arrive"):
        await office.do("resolve", order_id)
    office = Office()
    order_id = in_doubt(office)
    with pytest.raises(NotThere, match=f"in doubt: {order_id}"):
        await office.do("resolve", "r-2")
    assert office.told == []


async def test_a_word_is_counted_on_disk_before_the_wave_goes() -> None:
    """Whoever approves means the decision that waits; another is named and refused."""
    office = Office()
    office.approval.ask(decision({BTC: 0.5}, "d1", START), START)
    with pytest.raises(Impossible, match="d1, not d0"):
        await office.do("approve", "d0")
    await office.do("approve")
    assert office.counted == [Put(APPROVED, "1")]
    assert office.told == [e.ApprovalGiven("d1", "ann", START)]
