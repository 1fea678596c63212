"""What is kept apart of a coin, and whose it was."""

from decimal import Decimal

from tests.core.test_netting import BTC, Shared

D = Decimal


def test_what_is_kept_is_told_source_by_source() -> None:
    """Of two that left some of a coin and of some that came from nowhere; what is withdrawn is taken off the newest."""
    shared = Shared("ada", "bob")
    shared.decide({"ada": 0.5, "bob": 0.2}, ada={BTC: 1.0}, bob={BTC: 1.0})
    for names in (("bob",), ()):
        shared.restart(*names, keep_removed=True)
    shared.pay("BTC", "0.5", "ringfenced")
    assert [(part.strategy, part.amount) for part in shared.sleeves.apart("BTC")] == [("ada", 5), ("bob", 2), ("", D("0.5"))]
    shared.pay("BTC", "-2", "unexplained")
    assert [(part.strategy, part.amount) for part in shared.sleeves.apart("BTC")] == [("ada", 5), ("bob", D("0.5"))]
    assert shared.account.aside("BTC") == D("5.5")
