"""Swaps: the simulated venue of linear swaps: orders live as in the books of spot, and the money is kept by the embedded venue's own parts.

Rule: positions, margin, liquidation and deleveraging are those of daemon/venue/swap, in process; what is told of them is the door's affair.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final, cast

from daemon.core.ledger import FUNDING, LIQUIDATION
from daemon.core.model import ZERO, Balance, Fill, Flow, Instrument, Money, Side, Status, currencies, epoch_ms, from_epoch_ms
from daemon.io.exchange import Reason, Refused
from daemon.venue.accounts import Account
from daemon.venue.book import Level
from daemon.venue.clearing import Fees
from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.matching import Matching
from daemon.venue.orders import NewOrder, Order
from daemon.venue.swap.clearing import SwapClearing
from daemon.venue.swap.liquidation import Liquidator
from daemon.venue.swap.margin import Margin
from daemon.venue.swap.positions import BRACKETS, Position, cut
from tests.sim.swarm.books import LOCK, Booked, Books, Later, Prices

RATES: Final = Fees(Decimal("0.0005"), Decimal("0.0002"))
TIERS: Final = tuple((each.floor, each.rate) for each in BRACKETS)
# The venue's codes, as the door to it reads them.
REASONS: Final = {-2019: Reason.INSUFFICIENT_FUNDS, -2022: Reason.REDUCE_ONLY}
# What moves a wallet beside trades, and how the door names it.
KINDS: Final = {"FUNDING_FEE": FUNDING, "INSURANCE_CLEAR": LIQUIDATION, "TRANSFER": "transfer"}
OURS: Final = "USDT"
# From which price on which steps of price and amount hold.
GRIDS: Final = (("1000", ("0.01", "0.00001")), ("10", ("1e-4", "0.001")), ("0.1", ("1e-6", "0.1")), ("0", ("1e-7", "1")))


def instrument(symbol: str, price: Decimal, coarse: bool) -> Instrument:
    """The rules of a swap at about this price: digits of price and amount come to eight at most, so that no sum is ever rounded."""
    tick, step = next(rules for least, rules in GRIDS if price >= Decimal(least))
    base, quote = currencies(symbol)
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        amount_step=Decimal(step) * (10 if coarse else 1),
        price_tick=Decimal(tick),
        notional_min=Decimal(5),
        taker_fee=RATES.taker,
        buy_fee_in_base=False,
        shortable=True,
        tiers=TIERS,
    )


class SwapBooks(Books):
    """One wallet and the positions that it stands behind. `balances` holds both, positions by what they are made of."""

    def __init__(self, seed: int, markets: Mapping[str, Instrument], opening: Mapping[str, Decimal], prices: Prices, later: Later) -> None:
        super().__init__(seed, markets, opening, prices, later)
        self.skews: dict[str, Decimal] = {}  # by which fraction a mark price is off
        self._account = Account({OURS: opening[OURS]}, 0)
        self.venue = {symbol: _market(index, each) for index, (symbol, each) in enumerate(markets.items())}
        self.margin = Margin(self._account, self.venue, self.mark, self._waiting)
        self._clearing = SwapClearing(self.margin, RATES, lambda _event: None)
        forced = cast("Matching", _Taken(self))
        self._liquidator = Liquidator(self.margin, forced, lambda _event: None, self._number)
        self._twins: dict[str, Order] = {}  # every order as the embedded venue knows it
        self._stand: list[Booked] = []  # those of the first `_looked` orders that stood open when somebody asked last
        self._looked = 0
        self._costs: list[tuple[datetime, str, Decimal]] = []  # what positions were opened for, and since when

    def mark(self, market: Market) -> Decimal:
        """What positions are valued by, now."""
        price = self.prices.now(market.symbol, self.now())
        return round(price * (1 + self.skews.get(market.symbol, ZERO)), 8)

    def position(self, symbol: str) -> Position:
        """What is held of a market."""
        return self.margin.positions[symbol]

    @property
    def equity(self) -> Decimal:
        """What would be left if all were closed. Asked at every event, so that it works out nothing else of the margin."""
        positions = self.margin.positions
        return self._account.of(OURS).free + sum((positions[m.symbol].unrealized(self.mark(m)) for m in self.margin.busy()), ZERO)

    def tick(self, symbol: str) -> Decimal:
        return self.markets[symbol].price_tick

    # --- orders ------------------------------------------------------------------------------------------------------

    def _admit(self, booked: Booked, price: Decimal, limit: Decimal | None, now: datetime) -> None:
        twin = self._twin(booked.id, booked.symbol, booked.side, booked.amount, limit, reduce_only=booked.reduce_only)
        twin.reference = (price * LOCK).quantize(self.tick(booked.symbol))
        takes = [] if booked.rests else [Level(limit or twin.reference, booked.amount)]
        try:
            self._clearing.admit(_asked(twin), takes)
        except VenueError as error:
            raise Refused(f"{error.code} {error.message}", REASONS.get(error.code, Reason.OTHER)) from None
        self._twins[booked.id] = twin

    def _twin(self, name: str, symbol: str, side: Side, amount: Decimal, limit: Decimal | None, *, reduce_only: bool = False) -> Order:
        at = epoch_ms(self.now())
        return Order(
            id=len(self._twins),
            client_id=name,
            market=self.venue[symbol],
            side="BUY" if side is Side.BUY else "SELL",
            kind="MARKET" if limit is None else "LIMIT",
            life="GTC",
            price=limit or ZERO,
            amount=amount,
            quote=ZERO,
            created=at,
            updated=at,
            reduce_only=reduce_only,
        )

    def _open(self) -> list[Booked]:
        """Those that stand open, in the order in which they came. What has ended never stands open again."""
        rows = list(islice(self.orders.values(), self._looked, None))
        self._looked += len(rows)
        self._stand = [each for each in (*self._stand, *rows) if each.status is Status.OPEN]
        return self._stand

    def _waiting(self) -> dict[str, list[Order]]:
        found: dict[str, list[Order]] = {}
        for booked in self._open():
            found.setdefault(booked.symbol, []).append(self._twins[booked.id])
        return found

    def _may_fill(self, booked: Booked) -> Decimal:
        cap = self._clearing.cap(self._twins[booked.id])
        rest = super()._may_fill(booked)
        return rest if cap is None else min(rest, cap)

    def _booked(self, booked: Booked, trade: Fill, now: datetime) -> None:
        super()._booked(booked, trade, now)
        for other in [each for each in self._open() if each.reduce_only]:
            if self._clearing.cap(self._twins[other.id]) == 0:
                self.end(other, Status.EXPIRED, now)

    def _trade(self, order_id: str, venue_id: str, symbol: str, side: Side, amount: Decimal, price: Decimal, now: datetime) -> Fill:
        twin = self._twins.get(order_id) or self._twin(order_id, symbol, side, amount, None)
        number = int(self._number())
        resting = order_id in self.orders and self.orders[order_id].rests
        booked = self._clearing.settle(number, twin, Level(price, amount), epoch_ms(now), maker=resting)
        twin.executed += amount
        self._moved(symbol, now)
        trade = Fill(
            order_id=order_id,
            venue_id=venue_id,
            trade_id=str(number),
            symbol=symbol,
            side=side,
            amount=amount,
            price=price,
            cost=booked.quote,
            fees=(Money(booked.fee, OURS),) if booked.fee else (),
            at=now,
            realised=booked.realized,
        )
        self.trades.append(trade)
        return trade

    def _moved(self, symbol: str, now: datetime) -> None:
        """Remember what the wallet and a position have come to."""
        base = currencies(symbol)[0]
        self._paid(now)
        if more := self.position(symbol).amount - self.balances[base]:
            self._move(base, more, now)
        self._costs.append((now, base, self.position(symbol).cost))

    def _paid(self, now: datetime) -> None:
        """Remember what the wallet has come to."""
        if more := self._account.of(OURS).free - self.balances[OURS]:
            self._move(OURS, more, now)

    # --- what the venue does by itself ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Liquidate what is not covered any more. What that costs, or the insurance fund pays, comes after the last trade."""
        self._liquidator.look(epoch_ms(self.now()))
        self._paid(self.now())

    def fund(self, symbol: str, rate: Decimal) -> None:
        """Settle the funding of a market."""
        position, at = self.position(symbol), self.now()
        paid = -cut(position.notional(self.mark(self.venue[symbol])) * rate)
        if paid:
            self.margin.book("FUNDING_FEE", self.venue[symbol], OURS, paid, epoch_ms(at))
            position.margin += paid if self.margin.setups[symbol].isolated else ZERO
            self._moved(symbol, at)

    def deleverage(self, symbol: str, share: Decimal) -> bool:
        """Close a share of a position against somebody's profit; whether there was one."""
        if not self.position(symbol).amount:
            return False
        self._liquidator.deleverage(self.venue[symbol], share, epoch_ms(self.now()))
        return True

    def doom(self, symbol: str) -> bool:
        """Have the mark price run against a position until it is liquidated, if any price can do that."""
        position = self.position(symbol)
        for part in range(1, 20):
            step = Decimal(part) / 20
            self.skews[symbol] = -step if position.amount > 0 else step * 3
            if self._is_due(symbol):
                return True
        self.skews.pop(symbol, None)
        return False

    def _is_due(self, symbol: str) -> bool:
        price = self.margin.liquidation_price(self.venue[symbol])
        mark, amount = self.mark(self.venue[symbol]), self.position(symbol).amount
        return bool(price) and (mark < price if amount > 0 else mark > price) if amount else False

    def take_over(self, new: NewOrder, level: Level) -> None:
        """The venue closes a position by an order of its own."""
        now, symbol = self.now(), new.market.symbol
        side = Side.BUY if new.side == "BUY" else Side.SELL
        name = f"{new.client_id}-{self._number()}" if new.client_id in self.orders else new.client_id
        booked = Booked(name, self._number(), symbol, side, level.amount, level.price, now, ours=False)
        self._twins[name] = self._twin(name, symbol, side, level.amount, level.price)
        self._twins[name].forced = True
        self.orders[name] = booked
        self._note(booked, now)
        self._booked(booked, self._trade(name, booked.venue_id, symbol, side, level.amount, level.price, now), now)

    # --- other hands -------------------------------------------------------------------------------------------------

    def transfer(self, currency: str, amount: Decimal, now: datetime) -> Decimal:
        amount = cut(max(amount, -self.margin.withdrawable(OURS)))
        if amount:
            self.foreign_hands = True
            self._account.transfer(OURS, amount, epoch_ms(now))
            self.margin.book("TRANSFER", None, OURS, amount, epoch_ms(now))
            self._move(OURS, amount, now)
            self.transfers[OURS] = self.transfers.get(OURS, ZERO) + amount
        return amount

    def by_hand(self, symbol: str, side: Side, now: datetime) -> None:
        self.foreign_hands |= self.traded_by_hand(symbol, side, now)

    def traded_by_hand(self, symbol: str, side: Side, now: datetime) -> bool:
        """Somebody trades a twentieth of the account himself; whether there was the margin for it."""
        price = self.prices.now(symbol, now)
        amount = self.markets[symbol].floor(max(self.equity, ZERO) / 20 / price)
        worst = (price * LOCK if side is Side.BUY else price / LOCK).quantize(self.tick(symbol))
        twin = self._twin("", symbol, side, amount, None)
        try:
            self._clearing.admit(_asked(twin), [Level(worst, amount)])
        except VenueError:
            return False
        if amount > 0:
            self._trade("", f"hand-{self._number()}", symbol, side, amount, self._price(symbol, side, worst, now), now)
        return amount > 0

    # --- answers -----------------------------------------------------------------------------------------------------

    def locked(self, moment: datetime) -> dict[str, Decimal]:
        return {}

    def free(self, currency: str, moment: datetime) -> Decimal:
        return self.margin.withdrawable(OURS) if currency == OURS else ZERO

    def snapshot(self, moments: Mapping[str, datetime], now: datetime) -> dict[str, Balance]:
        found = {}
        for currency in self.balances:
            moment = moments.get(currency, now)
            if total := self.total(currency, moment):
                locked = max(ZERO, min(total, self.margin.figures(OURS).order_margin)) if currency == OURS else ZERO
                found[currency] = Balance(total - locked, locked, self._cost(currency, moment))
        return found

    def _cost(self, base: str, moment: datetime) -> Decimal:
        return next((cost for at, known, cost in reversed(self._costs) if known == base and at <= moment), ZERO)

    def incomes(self, since: datetime, moment: datetime) -> list[Flow]:
        """What has moved the wallet beside trades, oldest first."""
        rows = (each for each in self.margin.incomes if each.kind in KINDS and epoch_ms(since) <= each.at <= epoch_ms(moment))
        return [
            Flow(
                f"{each.kind}-{each.symbol or each.asset}-{each.id}",
                each.asset,
                each.amount,
                KINDS[each.kind],
                from_epoch_ms(each.at),
                each.symbol,
            )
            for each in rows
        ]

    def audit(self) -> list[str]:
        wallet = self.opening[OURS] + sum((each.amount for each in self.margin.incomes), ZERO)
        realised = sum((trade.realised or ZERO for trade in self.trades), ZERO)
        listed = sum((each.amount for each in self.margin.incomes if each.kind == "REALIZED_PNL"), ZERO)
        told = {OURS: wallet} | {
            currencies(s)[0]: sum((t.side.sign * t.amount for t in self.trades if t.symbol == s), ZERO) for s in self.markets
        }
        found = [f"{c}: {self.balances.get(c)} instead of {amount}" for c, amount in told.items() if self.balances.get(c) != amount]
        if realised != listed:
            found.append(f"trades have realised {realised}, and {listed} was booked")
        for symbol in self.markets:
            mine = [trade for trade in self.trades if trade.symbol == symbol]
            paid = sum((t.side.sign * t.cost + (t.realised or ZERO) for t in mine), ZERO)
            if paid != self.position(symbol).cost:
                found.append(f"{symbol} was opened for {self.position(symbol).cost}, and its trades say {paid}")
        return found


class _Taken:
    """The matching engine, as far as a liquidator needs one."""

    def __init__(self, books: SwapBooks) -> None:
        self._books = books

    def expire(self, market: Market, _now: int) -> None:
        for booked in [each for each in self._books.orders.values() if each.symbol == market.symbol]:
            self._books.end(booked, Status.EXPIRED, self._books.now())

    def force(self, new: NewOrder, level: Level, _now: int) -> None:
        self._books.take_over(new, level)


def _market(index: int, rules: Instrument) -> Market:
    digits = [-int(step.as_tuple().exponent) for step in (rules.price_tick, rules.amount_step)]
    return Market(index, rules.symbol, rules.base, rules.quote, 1.0, digits[0], digits[1], rules.price_tick, rules.amount_step)


def _asked(twin: Order) -> NewOrder:
    return NewOrder(
        market=twin.market,
        side=twin.side,
        kind=twin.kind,
        life=twin.life,
        price=twin.price or None,
        amount=twin.amount,
        quote=None,
        client_id=twin.client_id,
        reduce_only=twin.reduce_only,
    )
