"""WorkDesk: a manager whose orders are worked on over time, with a book that the test moves."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from daemon.core import events as e
from daemon.core.model import Instrument, Order, Status
from daemon.core.styles import MakerTerms, Parent, Terms, Touch, TwapTerms
from daemon.core.trading import Settings
from daemon.core.working import Working
from tests.core.builders import after
from tests.core.test_orders import Desk

BTC = "BTC/USDT"


def maker(**terms: Any) -> MakerTerms:
    """Rests for a minute of two, follows after 5 s and two ticks, takes at 1 % against it."""
    usual: dict[str, Any] = {
        "passive": timedelta(seconds=60),
        "total": timedelta(seconds=120),
        "min_reprice": timedelta(seconds=5),
        "reprice_ticks": 2,
        "improve_ticks": 0,
        "requotes": 3,
        "adverse": Decimal("0.01"),
        "must_complete": False,
    }
    return MakerTerms(**usual | terms)


def twap(horizon_s: float = 60, interval_s: float = 10, participation: str | None = None) -> TwapTerms:
    """Six parts in a minute."""
    bound = None if participation is None else Decimal(participation)
    return TwapTerms(
        horizon=timedelta(seconds=horizon_s), interval=timedelta(seconds=interval_s), participation=bound, bar=timedelta(seconds=60)
    )


class WorkDesk(Desk):
    """A Desk with terms; every answer to a child is the test's."""

    def __init__(self, terms: Terms, *markets: Instrument, price_cap: str | None = None, **more: Any) -> None:
        cap = Decimal(price_cap) if price_cap else Decimal("0.002") if isinstance(terms, MakerTerms) else None
        own = {key: more.pop(key) for key in ("keep_open", "order_limits") if key in more}
        settings = Settings(instance="desk", quote="USDT", terms=terms, price_cap=cap, **own)
        super().__init__(*markets, settings=settings, **more)

    @property
    def work(self) -> Working:
        """The only one."""
        assert self.manager.wave is not None
        (work,) = self.manager.wave.works
        return work

    def touch(self, bid: str = "99.99", ask: str = "100.01", symbol: str = BTC, *, age_s: float = 0.0) -> None:
        """The book is read."""
        at = after(self.at)
        self.take(self.manager.on_touch(e.TouchRead((Touch(symbol, Decimal(bid), Decimal(ask), after(self.at - age_s)),), at)))

    def newest(self) -> Order:
        """The child that was submitted last."""
        return self.orders()[-1]

    def open(self, order: Order) -> None:
        """The venue has it in its book."""
        self.sent(order)
        self.reported(order, Status.OPEN, "0")

    def ended(self, order: Order, status: Status, filled: str = "0") -> None:
        """It comes to an end with so much filled, its trades told first."""
        missing = Decimal(filled) - self.tracked(order).booked
        if missing > 0:
            self.filled(order, str(missing), trade_id=f"e{self.at}")
        self.reported(order, status, filled)

    def cancels(self) -> list[str]:
        """Ids of the orders whose cancel was asked for."""
        return [event.order_id for event in self.of(e.CancelOrder) if isinstance(event, e.CancelOrder)]

    def parents(self) -> list[Parent]:
        """Every parent that was begun, as it goes to the journal."""
        return [parent for event in self.out if isinstance(event, e.SubmitOrders) for parent in event.parents]

    def looks(self) -> int:
        """How often the touch was asked for."""
        return len(self.of(e.ReadTouch))
