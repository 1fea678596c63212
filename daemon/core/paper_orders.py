"""Paper orders: the orders of the paper account as values, and as what is kept of them on disk.

Rule: money is decimal strings, moments are ISO 8601; what an earlier version has not written has its usual value.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from daemon.core.forced import TAKEN_OVER
from daemon.core.liquidation import Takeover
from daemon.core.model import EXACT, ZERO, Fill, Instrument, Money, Order, OrderReport, Side, Status, currencies
from daemon.core.planner_legs import BUY, Leg, limited


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """An order in the account. `intended_at` is when it was made up, `locked` what of the currency it spends stands aside for it.

    `limit` is the worst price that it may fill at (immediate or cancel); None: any. `rests`: it waits for that price instead. `reduces`: it
    only makes a position of a swap smaller.
    """

    report: OrderReport
    intended_at: datetime
    locked: Decimal
    limit: Decimal | None = None
    rests: bool = False
    reduces: bool = False


class Deal(NamedTuple):
    """A trade that has filled a leg whole: the account's number of it, its price and cost (quote), and the fee with its currency.

    `base` and `quote` are what one side gave and the other got, above 0 each, the fee counted: a buy brings `base` and takes `quote`.
    """

    number: int
    leg: Leg
    price: Decimal
    cost: Decimal
    fee: Decimal
    fee_in: str
    base: Decimal
    quote: Decimal

    def fill(self, order_id: str, at: datetime) -> Fill:
        """The trade as a venue books it; its order had the number before its own."""
        return Fill(
            order_id=order_id,
            venue_id=f"P{self.number - 1}",
            trade_id=str(self.number),
            symbol=self.leg.symbol,
            side=self.leg.side,
            amount=self.leg.amount,
            price=self.price,
            cost=self.cost,
            fees=(Money(self.fee, self.fee_in),) if self.fee else (),
            at=at,
        )


def net(deals: Iterable[Deal]) -> dict[str, Decimal]:
    """What trades move together, by currency, signed."""
    moved: dict[str, Decimal] = {}
    for deal in deals:
        leg = deal.leg
        base, quote = currencies(leg.symbol)
        if leg.side is BUY:
            moved[base] = EXACT.add(moved.get(base, ZERO), deal.base)
            moved[quote] = EXACT.subtract(moved.get(quote, ZERO), deal.quote)
        else:
            moved[base] = EXACT.subtract(moved.get(base, ZERO), deal.base)
            moved[quote] = EXACT.add(moved.get(quote, ZERO), deal.quote)
    return moved


@dataclass(slots=True)
class Draft:
    """Trades that do not count yet: the number of the newest, and by currency what would be free."""

    counter: int
    free: dict[str, Decimal] = field(default_factory=dict)


def ended_so(report: OrderReport, status: Status, at: datetime, fills: tuple[Fill, ...] = ()) -> OrderReport:
    """The report of an order that has ended so, after these trades."""
    return OrderReport(
        order_id=report.order_id,
        venue_id=report.venue_id,
        symbol=report.symbol,
        side=report.side,
        status=status,
        amount=report.amount,
        filled=sum([fill.amount for fill in fills], ZERO),
        cost=sum([fill.cost for fill in fills], ZERO),
        at=at,
        fills=fills,
    )


def taken_over(taken: Takeover, number: int, at: datetime) -> OrderReport:
    """The order by which the venue takes a position over, with its trade; `number` is theirs. Products are those of the context."""
    market, held = taken.position.market, taken.position.held
    side = Side.SELL if held > 0 else Side.BUY
    cost = abs(held) * taken.price
    fill = Fill(
        order_id=f"{TAKEN_OVER}{number}",
        venue_id=f"P{number}",
        trade_id=str(number),
        symbol=market.symbol,
        side=side,
        amount=abs(held),
        price=taken.price,
        cost=cost,
        fees=(Money(taken.fee, market.quote),) if taken.fee else (),
        at=at,
        realised=-side.sign * cost,
    )
    return OrderReport(
        order_id=fill.order_id,
        venue_id=fill.venue_id,
        symbol=market.symbol,
        side=side,
        status=Status.FILLED,
        amount=fill.amount,
        filled=fill.amount,
        cost=cost,
        at=at,
        fills=(fill,),
    )


def order_as_json(order: PaperOrder) -> dict[str, object]:
    """An order with its trades, for the disk."""
    report = order.report
    return {
        "id": report.order_id,
        "venue_id": report.venue_id,
        "symbol": report.symbol,
        "side": report.side.value,
        "status": report.status.value,
        "amount": str(report.amount),
        "filled": str(report.filled),
        "cost": str(report.cost),
        "at": report.at.isoformat(),
        "intended_at": order.intended_at.isoformat(),
        "locked": str(order.locked),
        "limit": None if order.limit is None else str(order.limit),
        "rests": order.rests,
        "reduces": order.reduces,
        "fills": [
            {
                "id": fill.trade_id,
                "amount": str(fill.amount),
                "price": str(fill.price),
                "cost": str(fill.cost),
                "fees": [[str(fee.amount), fee.currency] for fee in fill.fees],
                "at": fill.at.isoformat(),
                "realised": None if fill.realised is None else str(fill.realised),
            }
            for fill in report.fills
        ],
    }


def order_from_json(row: dict[str, Any]) -> PaperOrder:
    """The order that was written so. KeyError, ValueError and their like: it is none."""
    report = OrderReport(
        order_id=row["id"],
        venue_id=row["venue_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        status=Status(row["status"]),
        amount=Decimal(row["amount"]),
        filled=Decimal(row["filled"]),
        cost=Decimal(row["cost"]),
        at=datetime.fromisoformat(row["at"]),
    )
    fills = tuple(
        Fill(
            order_id=report.order_id,
            venue_id=report.venue_id,
            trade_id=fill["id"],
            symbol=report.symbol,
            side=report.side,
            amount=Decimal(fill["amount"]),
            price=Decimal(fill["price"]),
            cost=Decimal(fill["cost"]),
            fees=tuple(Money(Decimal(amount), currency) for amount, currency in fill["fees"]),
            at=datetime.fromisoformat(fill["at"]),
            realised=Decimal(fill["realised"]) if fill.get("realised") else None,
        )
        for fill in row["fills"]
    )
    limit, rests, reduces = row.get("limit"), row.get("rests", False), row.get("reduces", False)  # an earlier version's has none
    intended_at, locked = datetime.fromisoformat(row["intended_at"]), Decimal(row["locked"])
    return PaperOrder(replace(report, fills=fills), intended_at, locked, None if limit is None else Decimal(limit), rests, reduces)


def broken_rule(order: Order | Leg, market: Instrument, price: Decimal) -> tuple[str, str] | None:
    """The code and the sentence of the rule that an order breaks; None: it keeps all."""
    amount = order.amount
    if not market.active:
        return "market_closed", f"{market.symbol} is not trading"
    if order.limit is not None:
        if order.limit % market.price_tick:
            return "venue_filter", f"{order.symbol}: a limit of {order.limit} is not a multiple of {market.price_tick}"
        market = limited(market, ZERO)
    if amount % market.lot:
        return "venue_filter", f"{order.symbol}: {amount} is not a multiple of {market.lot}"
    if amount < market.least or (market.most is not None and amount > market.most):
        return "venue_filter", f"{order.symbol}: {amount} lies outside {market.least} to {market.most}"
    if amount * price < market.worth_least:
        return "notional_min", f"{order.symbol}: {amount} at {price} is worth less than {market.worth_least} {market.quote}"
    if market.worth_most is not None and amount * price > market.worth_most:
        return "venue_filter", f"{order.symbol}: {amount} at {price} is worth more than {market.worth_most} {market.quote}"
    return None
