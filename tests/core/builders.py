"""Builders: small values for tests of the core, with what does not matter filled in."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from daemon.core.account import Account
from daemon.core.events import HoldPlaced
from daemon.core.guard import Market
from daemon.core.ledger import Ledger
from daemon.core.model import Decision, Fill, Instrument, Money, Order, OrderReport, Side, Status
from daemon.core.orders import UNWATCHED, OrderManager
from daemon.core.ordertable import OrderTable
from daemon.core.portfolio import Portfolio
from daemon.core.sleeves import Sleeves
from daemon.core.states import Hold, Level, States
from daemon.core.trading import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So many seconds after START."""
    return START + timedelta(seconds=seconds)


def dec(value: str | float) -> Decimal:
    """A Decimal of what is written."""
    return Decimal(str(value))


def market(
    symbol: str = "BTC/USDT",
    *,
    step: str = "0.001",
    amount_min: str = "0",
    amount_max: str | None = None,
    notional_min: str = "5",
    fee: str = "0.001",
    base_fee: bool = True,
    active: bool = True,
) -> Instrument:
    """A market with these rules."""
    base, _, quote = symbol.partition("/")
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        amount_step=Decimal(step),
        price_tick=Decimal("0.01"),
        amount_min=Decimal(amount_min),
        amount_max=None if amount_max is None else Decimal(amount_max),
        notional_min=Decimal(notional_min),
        taker_fee=Decimal(fee),
        buy_fee_in_base=base_fee,
        active=active,
    )


def order(
    order_id: str = "r0",
    symbol: str = "BTC/USDT",
    side: Side = Side.BUY,
    amount: str = "1",
    price: str = "100",
    *,
    at: datetime = START,
    decision_id: str = "d1",
) -> Order:
    """An intent; a buy reserves 1 % more than its worth."""
    quantity, reference = Decimal(amount), Decimal(price)
    reserve = quantity * reference * Decimal("1.01") if side is Side.BUY else quantity
    return Order(
        id=order_id,
        symbol=symbol,
        side=side,
        amount=quantity,
        price=reference,
        reserve=reserve,
        decision_id=decision_id,
        attempt=1,
        at=at,
    )


def fill(of: Order, amount: str | None = None, *, trade_id: str = "t1", fee: Money | None = None, at: datetime = START) -> Fill:
    """A trade of an order at its reference price."""
    quantity = of.amount if amount is None else Decimal(amount)
    return Fill(
        order_id=of.id,
        venue_id=f"v-{of.id}",
        trade_id=trade_id,
        symbol=of.symbol,
        side=of.side,
        amount=quantity,
        price=of.price,
        cost=quantity * of.price,
        fees=() if fee is None else (fee,),
        at=at,
    )


def report(of: Order, status: Status = Status.OPEN, filled: str = "0", *, at: datetime = START) -> OrderReport:
    """What the venue says of an order, without its trades."""
    return OrderReport(
        order_id=of.id,
        venue_id=f"v-{of.id}",
        symbol=of.symbol,
        side=of.side,
        status=status,
        amount=of.amount,
        filled=Decimal(filled),
        cost=Decimal(filled) * of.price,
        at=at,
    )


def decision(weights: Mapping[str, float], decision_id: str = "d1", at: datetime = START, keep: frozenset[str] = frozenset()) -> Decision:
    """What is wanted."""
    return Decision(id=decision_id, as_of=at, weights=dict(weights), keep=keep, by_strategy={}, at=at)


def managing(settings: Settings, account: Account, ledger: Ledger, table: OrderTable, market: Market = UNWATCHED) -> OrderManager:
    """An order manager for nobody in particular."""
    states = States()
    return OrderManager(settings, account, table, states, Sleeves(Portfolio((), ledger, table), account, table, states), market)


def halted(text: str, at: datetime, code: str = "test") -> HoldPlaced:
    """Trading is halted, for the whole account."""
    return HoldPlaced(Hold(level=Level.HALTED, code=code, text=text, since=at), at)
