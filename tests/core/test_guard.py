"""Limits at work in the order manager: what they cut, what waits for how long, who passes, and that each is told once."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from daemon.core import events as e
from daemon.core.model import ZERO, Cause, Order, Side, Slice, Status
from daemon.core.ordertable import Saw
from daemon.core.planner_inputs import Rules
from daemon.core.risk import Limits, Moments, Reason
from daemon.core.risk_orders import OrderLimits
from daemon.core.states import Hold, Level, Scope
from daemon.core.trading import Settings
from tests.core.builders import after, decision, managing, market, order
from tests.core.test_rebalancing import BTC, ETH, Hours

SOL = "SOL/USDT"
WIDE = Rules(band=Decimal("0.005"), band_relative=Decimal(0))


class Watch:
    """A market that a test makes high or calm."""

    high = False

    def moments(self, symbols: Sequence[str]) -> Moments:
        """Everything moves together, a tenth a year."""
        ones = np.ones((len(symbols), len(symbols)))
        return Moments(ones * 0.01, ones)


class LimitedDesk(Hours):
    """A desk of three symbols under limits, with bars of an hour in which 50 units of each were traded."""

    def __init__(self, limits: Limits | None = None, *, cash: str = "1000", held: str = "0", cooldown_h: float = 0, **orders: object):
        bounds = OrderLimits(**{k: v if isinstance(v, int) else Decimal(str(v)) for k, v in orders.items()})  # type: ignore[arg-type]
        settings = Settings(
            instance="desk", quote="USDT", limits=limits or Limits(), order_limits=bounds, rules=WIDE, cooldown=timedelta(hours=cooldown_h)
        )
        self.watch, self.settings = Watch(), settings
        super().__init__(market(BTC, fee="0"), market(ETH, fee="0"), market(SOL, fee="0"), cash=cash, held=held, settings=settings)
        self.manager = managing(settings, self.account, self.ledger, self.table, self.watch)
        self.take(self.manager.on_reconciled(e.AccountReconciled({}, after(0), after(0))))
        self.bar(0)

    def take(self, events: Iterable[e.Event]) -> None:
        """Hear of ends, too."""
        heard = list(events)
        super().take(heard)
        for event in heard:
            if isinstance(event, e.OrderClosed):
                self.take(self.manager.on_closed(event))

    def bar(self, hour: float, close: float = 100.0, volume: float = 50.0) -> None:
        """A bar of every symbol has closed at that hour."""
        self.at_hour(hour)
        symbols = tuple(self.account.markets)
        panel = np.tile(np.array([[close], [close], [close], [close], [volume]]), len(symbols))
        at = after(self.at)
        still = np.zeros(len(symbols), np.int64)
        self.take(self.manager.on_slice(e.SliceClosed(Slice(at, symbols, panel, still > 0, still), at)))

    def fill_open(self) -> list[Order]:
        """Those that are open now are filled; what follows is not."""
        waiting = [each for each in self.orders() if self.table.get(each.id) and not self.tracked(each).ended]
        for each in waiting:
            self.sent(each)
            self.filled(each)
        return waiting

    def told(self) -> list[tuple[str, str]]:
        """Every cut: whose, and by which limit."""
        cuts = [*self.of(e.RiskLimited), *self.of(e.OrderLimited), *self.of(e.RiskRefused)]
        return [(cut.symbol, cut.reason) for cut in cuts if isinstance(cut, e.RiskLimited | e.OrderLimited | e.RiskRefused)]


def amounts(orders: Iterable[Order]) -> list[float]:
    """What the orders are for, in base units."""
    return [float(order.amount) for order in orders]


def test_a_trade_after_the_end_counts_in_the_day() -> None:
    """What the venue called canceled and had filled all the same is told again with its trades, and takes its part of the day's room."""
    desk = LimitedDesk(day_notional_max=1000)
    desk.choose({BTC: 0.2})
    (canceled,) = desk.orders()
    desk.sent(canceled)
    desk.reported(canceled, Status.CANCELED, "0")
    again = desk.orders()[-1]
    assert again != canceled
    traffic = desk.manager.guard.gate.traffic
    assert traffic.in_day(after(desk.at)) == {"USDT": 200}
    desk.filled(canceled, "1")
    assert traffic.in_day(after(desk.at)) == {"USDT": 300}
    ends = [(event.filled, event.state) for event in desk.of(e.OrderClosed) if isinstance(event, e.OrderClosed)]
    assert ends == [(ZERO, "canceled"), (Decimal(1), "canceled")]


# --- slices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", list(Side))
def test_a_large_order_is_done_slice_by_slice(side: Side) -> None:
    """However many slices it takes, each goes when the one before has ended, all in one wave, and the limit is told once."""
    desk = LimitedDesk(order_notional_max=120, cash="1000" if side is Side.BUY else "0", held="9" if side is Side.SELL else "0")
    desk.choose({BTC: 0.9 if side is Side.BUY else 0.0})
    done: list[list[float]] = []
    while filled := desk.fill_open():
        done.append(amounts(filled))
    assert done == [[1.2]] * 7 + [[0.6]]
    wave = desk.settled()
    assert (wave.left, len(desk.of(e.WaveSettled))) == ({}, 1)
    assert desk.told() == [(BTC, "order_notional_max")]


def test_a_slice_that_fails_counts_as_a_try() -> None:
    """Slices that the venue does not fill are tried no oftener than anything else."""
    desk = LimitedDesk(order_notional_max=120)
    desk.choose({BTC: 0.9})
    for _ in range(9):
        for each in desk.orders():
            if not desk.tracked(each).ended:
                desk.sent(each)
                desk.reported(each, Status.CANCELED, "0")
    assert len(desk.orders()) == 3
    assert desk.settled().left == {BTC: "order_notional_max"}


# --- what waits ------------------------------------------------------------------------------------------------------


def test_orders_over_the_minute_wait_for_it() -> None:
    """The largest go first, the rest when a minute has passed, in the same wave; nobody is told twice."""
    desk = LimitedDesk(orders_per_minute=2)
    desk.choose({BTC: 0.2, ETH: 0.3, SOL: 0.1})
    assert [order.symbol for order in desk.fill_open()] == [ETH, BTC]
    desk.wait(59)
    assert desk.manager.wave is not None
    assert desk.fill_open() == []
    desk.wait(2)
    assert [order.symbol for order in desk.fill_open()] == [SOL]
    assert desk.settled().left == {}
    assert desk.told() == [(SOL, "orders_per_minute")]


def test_an_exit_does_not_wait_for_the_minute() -> None:
    """Out is always allowed, and takes the place of somebody who wants in."""
    desk = LimitedDesk(orders_per_minute=1, held="5", cash="500")
    desk.choose({ETH: 0.5})
    assert [order.symbol for order in desk.fill_open()] == [BTC]
    assert desk.told() == [(ETH, "orders_per_minute")]


def test_a_share_of_the_volume_goes_on_at_the_next_bar() -> None:
    """What the volume did not allow is taken up at the next slice, due or not, until nothing is left."""
    desk = LimitedDesk(volume_share_max="0.04")
    desk.choose({BTC: 0.5})
    assert amounts(desk.fill_open()) == [2]
    assert desk.settled().left == {BTC: "volume_share_max"}
    desk.bar(1)
    (again,) = desk.unchanged({BTC: 0.5})
    assert again.cause is Cause.LIMITED
    assert amounts(desk.fill_open()) == [2]
    desk.bar(2)
    assert len(desk.unchanged({BTC: 0.5})) == 1
    assert amounts(desk.fill_open()) == [1]
    desk.bar(3)
    assert desk.unchanged({BTC: 0.5}) == ()
    assert desk.told() == [(BTC, "volume_share_max")] * 2


@pytest.mark.parametrize(
    ("limits", "code"), [({"day_notional_max": 300}, "day_notional_max"), ({"turnover_day_max": "0.15"}, "turnover_day_max")]
)
def test_what_a_day_does_not_allow_goes_on_the_next(limits: dict[str, object], code: str) -> None:
    """The rest of the day brings no new decision, the first slice of the next day does; exits pass all the time."""
    desk = LimitedDesk(**limits)  # type: ignore[arg-type]
    desk.choose({BTC: 0.5})
    assert amounts(desk.fill_open()) == [3]
    assert desk.settled().left == {BTC: code}
    desk.bar(23)
    assert desk.unchanged({BTC: 0.5}) == ()
    desk.bar(24)
    (again,) = desk.unchanged({BTC: 0.5})
    assert again.cause is Cause.LIMITED
    assert amounts(desk.fill_open()) == [2]
    desk.choose({})
    assert amounts(desk.fill_open()) == [5]
    assert desk.told() == [(BTC, code)]


def test_a_price_that_nobody_believes_trades_nothing() -> None:
    """Far from the last bar's close neither entry nor exit goes; at the next bar both do."""
    desk = LimitedDesk(price_deviation_max="0.05", held="5", cash="500")
    desk.at_hour(0.1, BTC=80, ETH=80)
    desk.choose({ETH: 0.5})
    assert desk.orders() == []
    assert desk.settled().left == {BTC: "price_deviation_max", ETH: "price_deviation_max"}
    assert {type(event) for event in desk.of(e.RiskRefused)} == {e.RiskRefused}
    desk.bar(1, close=80)
    desk.at_hour(1, BTC=80, ETH=80)
    (again,) = desk.unchanged({ETH: 0.5})
    assert again.cause is Cause.LIMITED
    assert [order.symbol for order in desk.fill_all()] == [BTC, ETH]


def left_open(desk: LimitedDesk) -> Order:
    """A buy of an earlier process, which the venue still has open."""
    old = order("r-old", BTC, Side.BUY, "1", at=after(desk.at), decision_id="earlier")
    desk.table.add(old).learn(Saw.SENDING)
    desk.reported(old, Status.OPEN, "0")
    return old


def test_nobody_trades_with_himself() -> None:
    """An exit waits until an order of ours on the other side has ended, and goes on in the same wave."""
    desk = LimitedDesk(held="5")
    old = left_open(desk)
    desk.choose({})
    assert (desk.orders(), desk.told()) == ([], [(BTC, "self_trade")])
    desk.wait(60)
    assert desk.orders() == []
    desk.reported(old, Status.CANCELED, "0")
    (sell,) = desk.orders()
    assert (sell.side, float(sell.amount)) == (Side.SELL, 5)


def test_an_order_that_hangs_keeps_nobody_in_a_position() -> None:
    """An exit does not wait for ever for a cancel that the venue does not confirm."""
    desk = LimitedDesk(held="5")
    left_open(desk)
    desk.choose({})
    desk.wait(95)
    assert [each.side for each in desk.orders()] == [Side.SELL]


# --- restarts --------------------------------------------------------------------------------------------------------


def test_a_restart_changes_no_limit() -> None:
    """Told the last day's orders, a new process allows what the old one would have."""
    desk = LimitedDesk(day_notional_max=300)
    desk.choose({BTC: 0.2})
    (first,) = desk.fill_open()
    desk.manager = managing(desk.settings, desk.account, desk.ledger, desk.table, desk.watch)
    desk.manager.guard.restore([(first, (first.amount, first.amount * 100))])
    desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(1), after(1))))
    desk.bar(1)
    desk.choose({BTC: 0.5})
    assert amounts(desk.fill_open()) == [1]
    assert (BTC, "day_notional_max") in desk.told()


def test_held_back_work_outlives_a_restart() -> None:
    """What the last wave left because of a limit is taken up by the next process, too."""
    desk = LimitedDesk(volume_share_max="0.04")
    desk.choose({BTC: 0.5})
    desk.fill_open()
    last, wave = desk.manager.decision, desk.settled()
    assert last is not None
    desk.manager = managing(desk.settings, desk.account, desk.ledger, desk.table, desk.watch)
    desk.manager.restore(last, {BTC: 1}, unfinished=False, last_wave=wave)
    desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(1), after(1))))
    desk.bar(1)
    assert [each.cause for each in desk.unchanged({BTC: 0.5})] == [Cause.LIMITED]


# --- the watch -------------------------------------------------------------------------------------------------------


def test_an_alarm_scales_down_at_once_and_back_when_it_calms() -> None:
    """At the slice at which the watch fires, half of everything is sold, cooldown or not; when it calms, it is bought back."""
    desk = LimitedDesk(Limits(correlation_scale=0.5), cooldown_h=6)
    desk.choose({BTC: 0.4, ETH: 0.4})
    desk.fill_all()
    desk.bar(1)
    assert desk.unchanged({BTC: 0.4, ETH: 0.4}) == ()
    desk.watch.high = True
    (alarm,) = desk.unchanged({BTC: 0.4, ETH: 0.4})
    assert (alarm.cause, alarm.exits_until) == (Cause.CORRELATION, None)
    assert [order.side for order in desk.fill_all()] == [Side.SELL, Side.SELL]
    assert desk.weights() == pytest.approx({BTC: 0.2, ETH: 0.2, SOL: 0.0})
    desk.bar(2)
    assert desk.unchanged({BTC: 0.4, ETH: 0.4}) == ()
    desk.watch.high = False
    assert desk.unchanged({BTC: 0.4, ETH: 0.4}) == ()  # buying back has time until the cooldown is over
    desk.bar(7)
    (calm,) = desk.unchanged({BTC: 0.4, ETH: 0.4})
    assert calm.cause is Cause.CORRELATION
    desk.fill_all()
    assert desk.weights() == pytest.approx({BTC: 0.4, ETH: 0.4, SOL: 0.0})
    assert desk.told() == [(BTC, "correlation_high"), (ETH, "correlation_high")]


def test_without_a_factor_the_watch_changes_nothing() -> None:
    """By default it only warns."""
    desk = LimitedDesk()
    desk.choose({BTC: 0.4})
    desk.fill_all()
    desk.bar(1)
    desk.watch.high = True
    assert desk.unchanged({BTC: 0.4}) == ()


# --- wishes ----------------------------------------------------------------------------------------------------------


def test_kept_holdings_take_room_in_the_account() -> None:
    """A symbol without a bar keeps what it holds, and the others get what is left of the limit."""
    desk = LimitedDesk(Limits(gross=0.6), held="5", cash="500")
    wanted = decision({ETH: 0.5}, "d1", after(0), frozenset({BTC}))
    desk.take(desk.manager.on_targets(e.TargetsChosen(wanted, after(0))))
    (buy,) = desk.fill_open()
    assert buy.symbol == ETH
    assert float(buy.amount) == pytest.approx(1.0, abs=0.002)
    assert (ETH, "gross") in desk.told()


def test_a_symbol_that_is_left_alone_takes_room_too() -> None:
    """What a person has excluded keeps what it holds, whatever is wished, and counts with that."""
    desk = LimitedDesk(Limits(gross=0.6), held="5", cash="500")
    hold = Hold(scope=Scope(symbol=BTC), level=Level.PAUSED, code="excluded", text="left alone", since=after(0))
    desk.take(desk.manager.on_hold(e.HoldPlaced(hold, after(0))))
    desk.choose({BTC: 0.1, ETH: 0.5})
    assert [(each.symbol, round(float(each.amount), 2)) for each in desk.fill_open()] == [(ETH, 1.0)]


def test_weights_that_passed_are_allowed_again() -> None:
    """What has been limited and then fitted to a small account is judged by every bound, and not scaled by the watch once more."""
    desk = LimitedDesk(Limits(gross=0.6, correlation_scale=0.5))
    desk.watch.high = True
    assert desk.manager.guard.allows({BTC: 0.3, ETH: 0.3}, frozenset())
    assert not desk.manager.guard.allows({BTC: 0.3, ETH: 0.31}, frozenset())


def test_a_changed_limit_counts_from_the_next_decision_on() -> None:
    """A reload takes up limits on weights and on orders."""
    desk = LimitedDesk()
    desk.choose({BTC: 0.2})
    desk.fill_all()
    tighter = Settings(
        instance="desk", quote="USDT", limits=Limits(weight_max=0.3), order_limits=OrderLimits(order_notional_max=Decimal(50)), rules=WIDE
    )
    desk.manager.renew(tighter)
    desk.bar(1)
    desk.choose({BTC: 0.5})
    assert amounts(desk.fill_open()) == [0.5]
    assert desk.told() == [(BTC, "weight_max"), (BTC, "order_notional_max")]


def test_status_knows_who_was_cut_by_what() -> None:
    """The newest decision's cuts are known by code."""
    desk = LimitedDesk(Limits(weight_max=0.3), volume_share_max="0.04")
    desk.choose({BTC: 0.5, ETH: 0.1})
    assert desk.manager.guard.cuts == {"weight_max": {BTC}, "volume_share_max": {BTC}}
    assert set(desk.manager.guard.cuts) <= set(Reason)
    assert desk.account.cash > ZERO
