"""Trading states: which hold counts, what it forbids, and how what is to be sold is sold."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from daemon.core import events as e
from daemon.core.model import Cause, Order, Side, Status
from daemon.core.restraint import restore
from daemon.core.states import ACCOUNT, Hold, Level, Scope, States
from daemon.core.trading import Trading
from tests.core.builders import after, decision, halted
from tests.core.test_orders import Desk

BTC, ETH = "BTC/USDT", "ETH/USDT"
FIVE = Decimal(5)


def hold(level: Level, code: str = "test", scope: Scope = ACCOUNT, at: float = 0.0, **more: object) -> Hold:
    return replace(Hold(scope=scope, level=level, code=code, text="why", since=after(at)), **more)  # type: ignore[arg-type]


def place(desk: Desk, wanted: Hold) -> None:
    desk.take(desk.manager.on_hold(e.HoldPlaced(wanted, after(desk.at))))


def done(desk: Desk, order: Order) -> None:
    desk.sent(order)
    desk.filled(order)


def test_the_most_severe_hold_counts_until_it_is_lifted() -> None:
    """A lighter hold never hides a heavier one, and comes to light when that one goes."""
    states = States()
    states.place(hold(Level.HALTED, "drawdown"))
    states.place(hold(Level.REDUCING, "drift"))
    assert states.level() is Level.HALTED
    states.lift(ACCOUNT, "drawdown")
    assert states.level() is Level.REDUCING
    states.lift(ACCOUNT, "drift")
    assert states.level() is Level.ACTIVE


@pytest.mark.parametrize(
    ("level", "buy", "sell"),
    [
        (Level.ACTIVE, True, True),
        (Level.REDUCING, False, True),
        (Level.FLATTENING, False, True),
        (Level.PAUSED, False, False),
        (Level.HALTED, False, False),
    ],
)
@pytest.mark.parametrize("scope", [ACCOUNT, Scope(symbol=BTC)])
def test_what_each_level_lets_through(level: Level, buy: bool, sell: bool, scope: Scope) -> None:
    """With something held, each level lets exactly these sides leave, in its own scope."""
    states = States()
    if level:
        states.place(hold(level, scope=scope))
    assert (states.permits(BTC, Side.BUY, 1), states.permits(BTC, Side.SELL, 1)) == (buy, sell)
    if scope.symbol:
        assert states.permits(ETH, Side.BUY, 0)


def test_a_short_is_reduced_by_a_buy() -> None:
    """What makes a holding smaller depends on its sign, and nothing makes an empty one smaller."""
    states = States()
    states.place(hold(Level.REDUCING))
    assert states.permits(BTC, Side.BUY, -1)
    assert not states.permits(BTC, Side.SELL, -1)
    assert not states.permits(BTC, Side.SELL, 0)


def test_a_halt_cannot_end_by_itself() -> None:
    """What halts is lifted by a person only."""
    with pytest.raises(ValueError, match="by a person only"):
        hold(Level.HALTED, until=after(60))


def test_a_hold_with_an_end_is_lifted_then() -> None:
    """Time alone ends a hold that says until when it holds."""
    desk = Desk()
    place(desk, hold(Level.REDUCING, until=after(10)))
    desk.wait(9.5)
    assert desk.of(e.HoldLifted) == []
    desk.wait(0.5)
    assert desk.of(e.HoldLifted) == [e.HoldLifted(ACCOUNT, "test", "rebalanced", after(10))]


def test_while_reducing_only_sells_are_made() -> None:
    """A decision that buys and sells is worked on as far as it sells; the buy is left with the hold's code."""
    desk = Desk(held="5")
    place(desk, hold(Level.REDUCING, "drawdown"))
    desk.want({BTC: 0.1, ETH: 0.5})
    assert [(o.symbol, o.side) for o in desk.orders()] == [(BTC, Side.SELL)]
    done(desk, desk.orders()[0])
    assert desk.settled().left[ETH] == "drawdown"


def test_an_excluded_symbol_is_left_alone() -> None:
    """A halted symbol keeps what it holds while the others trade."""
    desk = Desk(held="5")
    place(desk, hold(Level.HALTED, "exclude", Scope(symbol=BTC)))
    desk.want({ETH: 0.5})
    assert [o.symbol for o in desk.orders()] == [ETH]
    done(desk, desk.orders()[0])
    assert desk.settled().left[BTC] == "exclude"


@pytest.mark.parametrize(("scope", "bought"), [(ACCOUNT, []), (Scope(symbol=ETH), []), (Scope(symbol=BTC), [ETH])])
def test_a_hold_drops_the_buys_that_wait_for_money(scope: Scope, bought: list[str]) -> None:
    """What a sale is to pay for is not bought any more where the hold forbids it, and is left with its code."""
    desk = Desk(cash="0", held="5")
    desk.want({ETH: 1.0})
    (sale,) = desk.orders()
    place(desk, hold(Level.REDUCING, "drawdown", scope))
    done(desk, sale)
    assert [order.symbol for order in desk.orders()[1:]] == bought
    if not bought:
        assert desk.settled().left[ETH] == "drawdown"


def test_while_paused_a_decision_waits_and_is_worked_on_after() -> None:
    """Nothing is begun; what came meanwhile is not lost."""
    desk = Desk()
    place(desk, hold(Level.PAUSED, "pause"))
    desk.want({BTC: 0.5})
    desk.wait(5)
    assert desk.orders() == []
    desk.manager.on_lifted(e.HoldLifted(ACCOUNT, "pause", "me", after(desk.at)))
    desk.wait(1)
    assert [o.symbol for o in desk.orders()] == [BTC]


def test_only_an_intent_of_a_running_daemon_leaves() -> None:
    """Nothing that nobody knows, nothing that the exchange has already, and nothing while the account is not read."""
    desk = Desk()
    desk.want({BTC: 0.5})
    (order,) = desk.orders()
    assert desk.manager.may_send(order.id)
    assert not desk.manager.may_send("nobody's")
    desk.manager._readiness.trading = Trading.STARTING
    assert not desk.manager.may_send(order.id)
    desk.manager._readiness.trading = Trading.RUNNING
    desk.sent(order)
    assert desk.manager.may_send(order.id), "it waits for its turn"
    desk.reported(order, Status.OPEN, "0")
    assert not desk.manager.may_send(order.id)


def test_flattening_sells_everything_and_then_halts() -> None:
    """All of the account is sold by a decision of its own, and nothing is bought again until a person says so."""
    desk = Desk(cash="500", held="5")
    desk.want({BTC: 0.5})
    place(desk, hold(Level.FLATTENING, "flatten"))
    (order,) = desk.orders()
    assert (order.symbol, order.side, order.amount) == (BTC, Side.SELL, FIVE)
    assert desk.manager.state == "flattening"
    done(desk, order)
    assert desk.settled().decision.cause is Cause.FLATTENING
    assert desk.manager.state == "halted"
    desk.want({BTC: 0.5}, "d2")
    desk.wait(5)
    assert desk.orders() == [order]


def test_one_symbol_is_flattened_and_the_rest_stays() -> None:
    """Only the named symbol is sold; it then stays out while the others go on."""
    desk = Desk(cash="500", held="5")
    place(desk, hold(Level.FLATTENING, "flatten", Scope(symbol=BTC)))
    (order,) = desk.orders()
    done(desk, order)
    assert desk.manager.states.level(Scope(symbol=BTC)) is Level.HALTED
    desk.want({BTC: 0.4, ETH: 0.4}, "d2")
    assert [o.symbol for o in desk.orders()[1:]] == [ETH]


def test_flattening_goes_on_until_a_stale_price_is_back() -> None:
    """What could not be sold for a reason that passes is tried again; only then is the account halted."""
    desk = Desk(cash="500", held="5")
    desk.wait(20, priced=False)
    place(desk, hold(Level.FLATTENING, "flatten", at=20))
    assert desk.orders() == []
    desk.wait(40)
    assert [(o.side, o.amount) for o in desk.orders()] == [(Side.SELL, FIVE)]


def test_a_restart_goes_on_flattening() -> None:
    """A process that comes back finds the hold in its journal and sells what is left."""
    desk = Desk(cash="500", held="5")
    restore(desk.manager.states, [e.HoldPlaced(hold(Level.FLATTENING, "drawdown"), after(-60))])
    desk.wait(1)
    assert [(o.side, o.amount) for o in desk.orders()] == [(Side.SELL, FIVE)]


def test_flattening_is_not_bound_by_turnover_or_cooldown() -> None:
    """A bound on what a rebalance costs does not keep anybody in what must be sold."""
    desk = Desk(cash="500", held="5")
    tight = replace(desk.manager.settings, cooldown=timedelta(hours=1))
    desk.manager.settings = replace(tight, rules=replace(tight.rules, turnover_max=desk.account.cash * 0))
    place(desk, hold(Level.FLATTENING, "flatten"))
    assert [(o.side, o.amount) for o in desk.orders()] == [(Side.SELL, FIVE)]


def test_a_halt_in_a_wave_holds_back_what_has_not_left() -> None:
    """An intent that is written but not sent stays unsent, whichever way it trades."""
    desk = Desk(cash="500", held="5")
    desk.want({ETH: 0.5})
    orders = desk.orders()
    desk.take(desk.manager.on_hold(halted("a breaker", after(desk.at))))
    assert orders
    assert not any(desk.manager.may_send(order.id) for order in orders)


def test_the_newest_decision_is_remembered_through_flattening() -> None:
    """What the strategies want stands in the decision that sells, so that a restart does not forget it."""
    desk = Desk(cash="500", held="5")
    desk.take(desk.manager.on_targets(e.TargetsChosen(decision({BTC: 0.5}, "d1", after(0)), after(0))))
    place(desk, hold(Level.FLATTENING, "flatten"))
    newest = desk.manager.decision
    assert newest is not None
    assert newest.by_strategy == decision({BTC: 0.5}, "d1", after(0)).by_strategy
    assert newest.weights == {BTC: 0.0}
