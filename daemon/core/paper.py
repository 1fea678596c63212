"""Paper: an account in memory whose orders fill at the prices it is shown. The pure half of io.paper_exchange.

Rule: money is neither made nor lost, only exchanged at a price and charged a fee, exactly; an order id is used once for ever, and what it
fills is decided once. Amounts are base units, prices and costs quote, moments UTC.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext
from itertools import islice
from typing import Final, Self

from daemon.core.fees import Fees, Tier
from daemon.core.liquidation import Position, Takeover, takeover
from daemon.core.model import ZERO, Balance, Fill, Instrument, Money, Order, OrderReport, Side, Status
from daemon.core.paper_funding import Settlements
from daemon.core.paper_orders import Deal, Draft, PaperOrder, broken_rule, ended_so, order_as_json, order_from_json, taken_over
from daemon.core.planner_inputs import ONE
from daemon.core.planner_legs import BUY, Leg

# 60 digits hold any amount times any price times any fee; a result that they cannot hold raises instead of being rounded.
EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
BPS: Final = Decimal(10_000)
# Ended orders that are kept: the newest of them, and all that are younger than a start looks back for (10 minutes, and some).
ENDED_KEPT: Final = 200
KEPT_FOR: Final = timedelta(minutes=15)
VERSION: Final = 1
# Fees are booked to so many decimals, as venues do, the rest forgiven; it keeps the account's digits few, whatever the fee.
FEE_UNIT: Final = Decimal("1e-8")
# Costs likewise: what has no rules of steps has amounts and prices of any length, and products of them that sums elsewhere would round.
COST_UNIT: Final = Decimal("1e-18")
NOTHING: Final = Balance(ZERO, ZERO)
Tiers = Sequence[Tier]

# The constructor of a NamedTuple takes three times as long.
new_deal: Final = tuple.__new__


class Denied(Exception):  # named by what is known, like the venue errors it becomes
    """The account refuses an order, and nothing has changed. `code` is a stable reason, one of io.exchange.Reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Depth:
    """What a market has for an order: it takes this amount at once (base units), moving against us by `impact`, a share of the price."""

    amount: Decimal
    impact: Decimal = ZERO


def whole(report: OrderReport) -> Depth:
    """A market that takes any order and does not move."""
    return Depth(report.amount)


class PaperAccount:
    """Balances, orders and trades; everything takes the moment from outside.

    `fee` is a fraction of the trade: of the base on buys, of the quote on sells, as Binance takes it (of the quote on both where the market
    says so); `maker_fee` the same for orders that rest (None: `fee`); `tiers` take over from their volume on. `slippage_bps` is against us.
    Swaps are spot that may go below 0: what is bought is paid for, what is sold short brings money, and nothing is set aside; whoever knows
    the marks has them taken over.
    """

    def __init__(
        self, balances: Mapping[str, Decimal], *, fee: Decimal, slippage_bps: Decimal, maker_fee: Decimal | None = None, tiers: Tiers = ()
    ) -> None:
        if not 0 <= fee < 1 or not 0 <= slippage_bps < BPS:
            raise ValueError(f"a fee of {fee} must lie in [0, 1) and slippage of {slippage_bps} bps in [0, 10000)")
        if any(not (amount.is_finite() and amount >= 0) for amount in balances.values()):
            raise ValueError(f"balances must be finite and at least 0: {dict(balances)}")
        self._fees = Fees([Tier(ZERO, fee if maker_fee is None else maker_fee, fee), *tiers])
        self._slippage = slippage_bps / BPS
        self._balances = {currency: Balance(amount, ZERO) for currency, amount in balances.items()}
        self._orders: dict[str, PaperOrder] = {}
        self._open: dict[str, None] = {}  # the ids of those that wait for a price, oldest first
        self._texts: dict[str, str] = {}  # orders as they were saved: few change between two saves, and all are written
        self._counter = 0  # of orders and trades, so that the same run has the same ids
        self._forgotten_at: datetime | None = None  # the newest intent among the orders that were dropped
        self.settlements = Settlements()

    # --- what it holds -----------------------------------------------------------------------------------------------

    @property
    def balances(self) -> dict[str, Balance]:
        """Every currency that it holds or has held."""
        return dict(self._balances)

    def held(self, currency: str) -> Decimal:
        """Units of a currency, below 0 where a swap was sold short."""
        return self._balances.get(currency, NOTHING).total

    def order(self, order_id: str) -> OrderReport | None:
        """One order by our id; None: never seen, or ended long ago."""
        found = self._orders.get(order_id)
        return found.report if found else None

    def open_orders(self) -> tuple[OrderReport, ...]:
        """Every order that waits for a price, oldest first."""
        return tuple(self._orders[order_id].report for order_id in self._open)

    @property
    def open_count(self) -> int:
        """How many they are."""
        return len(self._open)

    def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """The trades of one symbol since a moment, oldest first."""
        fills = (fill for order in self._orders.values() for fill in order.report.fills)
        return tuple(sorted((f for f in fills if f.symbol == symbol and f.at >= since), key=lambda f: int(f.trade_id)))

    # --- what happens to it ------------------------------------------------------------------------------------------

    def pay(self, currency: str, amount: Decimal) -> None:
        """Money that comes without a trade, or goes where it is negative, as funding does."""
        held = self._balances.get(currency, NOTHING)
        self._balances[currency] = Balance(EXACT.add(held.free, amount), held.locked)

    def fund(self, market: Instrument, mark: Decimal, at: datetime) -> bool:
        """Pay the settlements of a swap that have come until a moment, at a mark price; whether anything was paid."""
        flows = [
            self.settlements.pay(market.symbol, market.quote, held, mark, each)
            for each in self.settlements.due(market.symbol, at)
            if (held := self.held(market.base))
        ]
        for flow in flows:
            self.pay(flow.currency, flow.amount)
        return bool(flows)

    def submit(self, order: Order, market: Instrument, at: datetime, price: Decimal | None = None) -> OrderReport:
        """Accept an order and set aside what it may spend. `price`: the last one known, if there is one, for the smallest notional.

        Raises:
            Denied: an id seen before, off the grid, too small, too large, a closed market, or not enough money.
        """
        # Dropped orders are known by their age: a re-sent intent carries its own time, and no intent is that old when it is first sent.
        if order.id in self._orders or (self._forgotten_at is not None and order.at <= self._forgotten_at):
            raise Denied("duplicate_id", f"order {order.id} has been sent before")
        with localcontext(EXACT):
            _check_rules(order, market, order.limit or price or order.price)
            if order.post_only and price is not None and _reaches(order.side, price, order.limit or price):
                raise Denied("would_cross", f"{order.symbol}: at {order.limit} it would trade at once")
            if order.reduce_only and not self._closes(market, order.side, order.amount):
                raise Denied("reduce_only", f"{order.symbol}: there is no position that this order would make smaller")
            currency, locked = (market.quote, order.reserve) if order.side is Side.BUY else (market.base, order.amount)
            locked = ZERO if market.shortable else locked
            held = self._balances.get(currency, NOTHING)
            if locked > max(held.free, ZERO):
                raise Denied("insufficient_funds", f"{order.symbol} needs {locked} {currency}, and {held.free} is free")
            self._balances[currency] = Balance(held.free - locked, held.locked + locked)
        self._drop_old(at)
        report = OrderReport(
            order_id=order.id,
            venue_id=f"P{self._next()}",
            symbol=order.symbol,
            side=order.side,
            status=Status.OPEN,
            amount=order.amount,
            filled=ZERO,
            cost=ZERO,
            at=at,
        )
        self._put(PaperOrder(report, order.at, locked, order.limit, order.post_only, order.reduce_only))
        return report

    def match(
        self,
        market: Instrument,
        price: Decimal,
        at: datetime,
        *,
        accepted_before: datetime | None = None,
        depth: Callable[[OrderReport], Depth] = whole,
    ) -> list[OrderReport]:
        """Fill the open orders of one market at a price, in order of arrival; only those accepted before a moment, where one is given.

        A buy takes what its own money allows: a part, or nothing, and then expires, as it would at a venue whose price ran away. An order
        with a limit that the price lies beyond expires. One that rests fills at its limit once a price is beyond that, since nobody knows
        its place in the queue there; a price of before it rested says nothing (`accepted_before`), and it stays. An order of which the
        market takes nothing now (`depth`) stays as well; one of which it takes a part expires with that.
        """
        waiting = [
            order
            for order in (self._orders[order_id] for order_id in self._open)
            if order.report.symbol == market.symbol
            and (accepted_before is None or (order.report.at < accepted_before and not order.rests))
            and not (order.rests and not _beyond(order, price))
        ]
        with localcontext(EXACT):
            return [
                self._fill(order, market, self._price(order, price, market, taken.impact), at, taken.amount)
                for order in waiting
                if (taken := depth(order.report)).amount
            ]

    def due(self, markets: Iterable[Instrument], mark: Callable[[str], Decimal | None]) -> Takeover | None:
        """The first position in these swaps, of one quote, that the venue would liquidate at these marks (by symbol); None: there is none.

        A position whose mark is not known is judged by nothing, and nor are the others.
        """
        held = [(market, self.held(market.base)) for market in markets if market.shortable and self.held(market.base)]
        known = [(market, amount, mark(market.symbol)) for market, amount in held]
        positions = [Position(market, amount, price) for market, amount, price in known if price is not None]
        if not positions or len(positions) < len(held):
            return None
        return takeover(self.held(positions[0].market.quote), positions)

    def take_over(self, taken: Takeover, at: datetime) -> list[OrderReport]:
        """Have a position taken over by an order of the venue's own; its open orders are cancelled first."""
        market, held = taken.position.market, taken.position.held
        open_ids = [order_id for order_id in self._open if self._orders[order_id].report.symbol == market.symbol]
        ended = [report for order_id in open_ids if (report := self.cancel(order_id, market, at)) is not None]
        with localcontext(EXACT):
            report = taken_over(taken, self._next(), at)
            self._receive(market.base, -held)
            self._receive(market.quote, -report.side.sign * report.cost - taken.fee)
        self._put(PaperOrder(report, at, ZERO))
        return [*ended, report]

    @property
    def tiered(self) -> bool:
        """Whether what was traded before has a say in the fees."""
        return self._fees.tiered

    def draft(self) -> Draft:
        """What trades of a wave are written on, before they count."""
        return Draft(self._counter)

    def keep(self, draft: Draft) -> None:
        """Have the trades of a draft count; nothing else has happened since it was made."""
        self._counter = draft.counter
        for currency, free in draft.free.items():
            self._balances[currency] = Balance(free, self._balances.get(currency, NOTHING).locked)

    def trade(
        self, legs: Sequence[Leg], markets: Mapping[str, Instrument], prices: Sequence[Decimal], at: datetime, draft: Draft
    ) -> list[Deal] | None:
        """`submit` and `match` in one, of market orders of spot that nobody asks about again, each at its price.

        None: one of them is refused, or would not fill whole, and the draft is worth nothing any more.
        """
        rate, deals = self._fees.rate(at, rests=False), list[Deal]()
        with localcontext(EXACT):
            for leg, price in zip(legs, prices, strict=True):
                if (deal := self._deal(leg, markets[leg.symbol], price, rate, draft)) is None:
                    return None
                deals.append(deal)
        return deals

    def _deal(self, leg: Leg, market: Instrument, price: Decimal, rate: Decimal, draft: Draft) -> Deal | None:
        """One of them. What the balance is is looked up once a draft."""
        bought, amount, free = leg.side is BUY, leg.amount, draft.free
        spent, got = (market.quote, market.base) if bought else (market.base, market.quote)
        locked = leg.reserve if bought else amount
        for currency in (spent, got):
            if currency not in free:
                free[currency] = self._balances.get(currency, NOTHING).free
        if broken_rule(leg, market, leg.price) or locked > free[spent]:
            return None
        paid = self._slipped(price, leg.side, market, ZERO)
        in_base, cost = bought and market.buy_fee_in_base, _cost(amount, paid)
        if bought and amount > locked // ((paid if in_base else paid * (1 + rate)) * market.lot) * market.lot:
            return None
        fee = (amount if in_base else cost) * rate // FEE_UNIT * FEE_UNIT
        base, quote = (amount - fee, cost) if in_base else (amount, cost + fee if bought else cost - fee)
        free[spent] -= quote if bought else base
        free[got] += base if bought else quote
        draft.counter += 2  # of the order and of its trade
        return new_deal(Deal, (draft.counter, leg, paid, cost, fee, market.base if in_base else market.quote, base, quote))

    def cancel(self, order_id: str, market: Instrument, at: datetime) -> OrderReport | None:
        """End an open order unfilled and free its money; None: there is no such open order."""
        order = self._orders.get(order_id)
        if order is None or order.report.status.ended:
            return None
        with localcontext(EXACT):
            self._release(market.quote if order.report.side is Side.BUY else market.base, order.locked, spent=ZERO)
        return self._end(order, replace(order.report, status=Status.CANCELED, at=at))

    def _fill(self, order: PaperOrder, market: Instrument, price: Decimal, at: datetime, most: Decimal) -> OrderReport:
        report, rate = order.report, self._fees.rate(at, rests=order.rests)
        if order.limit is not None and report.side.sign * (price - order.limit) > 0:
            self._release(market.quote if report.side is Side.BUY else market.base, order.locked, spent=ZERO)
            return self._end(order, ended_so(report, Status.EXPIRED, at))
        if market.shortable:
            amount = self._closes(market, report.side, most) if order.reduces else most
            cost = _cost(amount, price)
            fee = Money(cost * rate // FEE_UNIT * FEE_UNIT, market.quote)
            self._receive(market.base, report.side.sign * amount)
            self._receive(market.quote, -report.side.sign * cost - fee.amount)
        elif report.side is Side.BUY:
            in_base = market.buy_fee_in_base
            each = price if in_base else price * (1 + rate)
            amount = min(most, order.locked // (each * market.lot) * market.lot)
            cost = _cost(amount, price)
            fee = Money((amount if in_base else cost) * rate // FEE_UNIT * FEE_UNIT, market.base if in_base else market.quote)
            self._release(market.quote, order.locked, spent=cost if in_base else cost + fee.amount)
            self._receive(market.base, amount - fee.amount if in_base else amount)
        else:
            amount = most
            cost = _cost(amount, price)
            fee = Money(cost * rate // FEE_UNIT * FEE_UNIT, market.quote)
            self._release(market.base, order.locked, spent=amount)
            self._receive(market.quote, cost - fee.amount)
        if not amount:
            return self._end(order, ended_so(report, Status.EXPIRED, at))
        self._fees.traded(cost, at)
        fill = Fill(
            order_id=report.order_id,
            venue_id=report.venue_id,
            trade_id=str(self._next()),
            symbol=report.symbol,
            side=report.side,
            amount=amount,
            price=price,
            cost=cost,
            fees=(fee,) if fee.amount else (),
            at=at,
            # What was paid has left this account's wallet, what was sold is in it.
            realised=-report.side.sign * cost if market.shortable else None,
        )
        status = Status.FILLED if amount == report.amount else Status.EXPIRED
        return self._end(order, ended_so(report, status, at, (fill,)))

    def _closes(self, market: Instrument, side: Side, amount: Decimal) -> Decimal:
        """How much of an order would make the position in a swap smaller."""
        held = self._balances.get(market.base, NOTHING).total
        return min(amount, abs(held)) if held * side.sign < 0 else ZERO

    def _price(self, order: PaperOrder, price: Decimal, market: Instrument, impact: Decimal) -> Decimal:
        """What an order trades at when the market is at `price`."""
        return order.limit if order.rests and order.limit is not None else self._slipped(price, order.report.side, market, impact)

    def _slipped(self, price: Decimal, side: Side, market: Instrument, impact: Decimal) -> Decimal:
        """The price, moved against us and then rounded against us to the venue's grid; never below one tick."""
        bought = side is BUY
        worse = self._slippage + impact
        ticks, rest = divmod(price * (1 + worse if bought else 1 - worse) if worse else price, market.price_tick)
        if rest and bought:
            ticks += 1
        return (ticks if ticks >= 1 else ONE) * market.price_tick

    def _release(self, currency: str, locked: Decimal, *, spent: Decimal) -> None:
        held = self._balances.get(currency, NOTHING)
        self._balances[currency] = Balance(held.free + locked - spent, held.locked - locked)

    def _receive(self, currency: str, amount: Decimal) -> None:
        held = self._balances.get(currency, NOTHING)
        self._balances[currency] = Balance(held.free + amount, held.locked)

    def _end(self, order: PaperOrder, report: OrderReport) -> OrderReport:
        self._put(PaperOrder(report, order.intended_at, ZERO))
        return report

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    def _put(self, order: PaperOrder) -> None:
        order_id = order.report.order_id
        self._orders[order_id] = order
        self._texts.pop(order_id, None)
        if order.report.status.ended:
            self._open.pop(order_id, None)
        else:
            self._open[order_id] = None

    def _drop_old(self, at: datetime) -> None:
        surplus = len(self._orders) - len(self._open) - ENDED_KEPT
        if surplus <= 0:
            return
        ended = (order for order in self._orders.values() if order.report.status.ended)
        for order in list(islice(ended, surplus)):
            if at - order.report.at > KEPT_FOR:
                del self._orders[order.report.order_id]
                self._texts.pop(order.report.order_id, None)
                self._forgotten_at = max(order.intended_at, self._forgotten_at or order.intended_at)

    # --- on disk -----------------------------------------------------------------------------------------------------

    def dump(self) -> str:
        """The whole account as JSON; money as decimal strings, moments as ISO 8601."""
        head = {
            "version": VERSION,
            "counter": self._counter,
            "forgotten_at": self._forgotten_at.isoformat() if self._forgotten_at else None,
            "traded": self._fees.dump(),
            "funding": self.settlements.dump(),
            "balances": {currency: [str(held.free), str(held.locked)] for currency, held in self._balances.items()},
        }
        for order_id, order in self._orders.items():
            if order_id not in self._texts:
                self._texts[order_id] = json.dumps(order_as_json(order))
        return f'{json.dumps(head)[:-1]}, "orders": [{", ".join(self._texts[order_id] for order_id in self._orders)}]}}'

    @classmethod
    def load(cls, text: str, *, fee: Decimal, slippage_bps: Decimal, maker_fee: Decimal | None = None, tiers: Tiers = ()) -> Self:
        """The account as it was dumped; what it fills from now on is charged by the terms given.

        Raises:
            ValueError: the text is no account of this version.
        """
        account = cls({}, fee=fee, slippage_bps=slippage_bps, maker_fee=maker_fee, tiers=tiers)
        try:
            state = json.loads(text)
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']}, where {VERSION} is known")
            account._fees.restore(state.get("traded", {}))  # an earlier version's has none
            account.settlements.restore(state.get("funding", {}))
            account._counter = int(state["counter"])
            account._forgotten_at = datetime.fromisoformat(state["forgotten_at"]) if state["forgotten_at"] else None
            account._balances = {
                currency: Balance(Decimal(free), Decimal(locked)) for currency, (free, locked) in state["balances"].items()
            }
            for row in state["orders"]:
                account._put(order_from_json(row))
        except (KeyError, TypeError, InvalidOperation, ValueError) as error:
            raise ValueError(f"the stored paper account cannot be read: {error}") from error
        return account


def _reaches(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Whether an order with this limit would trade at this price."""
    return side.sign * (limit - price) >= 0


def _beyond(order: PaperOrder, price: Decimal) -> bool:
    """Whether the market has gone through the price that an order rests at."""
    return order.limit is not None and price != order.limit and _reaches(order.report.side, price, order.limit)


def _check_rules(order: Order, market: Instrument, price: Decimal) -> None:
    """Refuse what a venue's filters would refuse."""
    if broken := broken_rule(order, market, price):
        raise Denied(*broken)


def _cost(amount: Decimal, price: Decimal) -> Decimal:
    return amount * price // COST_UNIT * COST_UNIT or amount * price
