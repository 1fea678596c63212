"""After a long sleep: what was known of the account is asked again before anything is sent."""

from datetime import timedelta

from daemon.core import events as e
from tests.core.builders import after
from tests.core.test_orders import Desk


def test_after_a_long_sleep_nothing_is_sent_until_the_account_has_been_read() -> None:
    """What was asked of the account before the sleep opens nothing, what is asked after it does; the wave under way then goes on."""
    desk = Desk(cash="100", held="9")
    desk.want({"ETH/USDT": 0.9})
    (sell,) = desk.orders()
    desk.sent(sell)
    desk.at += 120
    awoken = e.Awoken(timedelta(seconds=120), after(desk.at))
    desk.account.on_awoken(awoken)
    desk.take(desk.manager.on_awoken(awoken))
    assert desk.of(e.PollAccount)
    assert not desk.manager.may_send(sell.id)
    assert desk.manager.state == "starting"
    desk.filled(sell)
    desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(desk.at - 1), after(desk.at + 1))))
    desk.wait(10)
    assert len(desk.orders()) == 1
    desk.take(desk.manager.on_reconciled(e.AccountReconciled({}, after(desk.at), after(desk.at))))
    desk.wait(30)
    (_, buy) = desk.orders()
    assert buy.symbol == "ETH/USDT"
    assert desk.manager.may_send(buy.id)
