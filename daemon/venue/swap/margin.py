"""The futures account: wallets, positions, margin, and everything that ever moved a wallet.

Rule: a wallet is what it began with and the sum of its incomes, to the last digit. Initial margin of a market is what its larger side needs
(the position with all buys filled, or with all sales filled), at its leverage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from daemon.venue.accounts import Account
from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.money import ZERO
from daemon.venue.orders import Order
from daemon.venue.swap.positions import Position, bracket, cut, maintenance

LEVERAGE: Final = 20  # of a market whose leverage nobody has set, as at Binance


@dataclass(slots=True)
class Setup:
    """How a market is traded."""

    leverage: int = LEVERAGE
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Income:
    """Something that moved a wallet."""

    id: int
    kind: str  # TRANSFER, REALIZED_PNL, COMMISSION, FUNDING_FEE or INSURANCE_CLEAR
    symbol: str  # empty for a transfer
    asset: str
    amount: Decimal  # above 0: it came in
    at: int  # UTC ms
    info: str = ""
    trade_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A wallet and what hangs on it, in units of its asset."""

    wallet: Decimal
    cross_wallet: Decimal  # without what is set aside for isolated positions
    unrealized: Decimal
    cross_unrealized: Decimal
    maintenance: Decimal
    cross_maintenance: Decimal
    position_margin: Decimal  # initial margin of the positions
    order_margin: Decimal  # initial margin that the open orders need on top
    available: Decimal  # for new orders and withdrawals; below 0 where positions have lost that much

    @property
    def balance(self) -> Decimal:
        """What would be left if all were closed at the mark price."""
        return self.wallet + self.unrealized

    @property
    def cross_balance(self) -> Decimal:
        """What the cross positions share."""
        return self.cross_wallet + self.cross_unrealized


class Margin:
    """Positions on top of an account whose free balances are the wallets. `mark` prices a market now, `waiting` are the open orders."""

    def __init__(
        self,
        account: Account,
        markets: Mapping[str, Market],
        mark: Callable[[Market], Decimal],
        waiting: Callable[[], Mapping[str, Sequence[Order]]],
    ) -> None:
        self.account, self.mark = account, mark
        self._markets, self._waiting = markets, waiting
        self.positions: defaultdict[str, Position] = defaultdict(Position)
        self.setups: defaultdict[str, Setup] = defaultdict(Setup)
        self.incomes: list[Income] = []
        self.hedged = False  # hedge mode was asked for; no order is taken in it

    def forget(self) -> None:
        """Know of no position, income or setting."""
        for known in (self.positions, self.setups, self.incomes):
            known.clear()
        self.hedged = False

    def book(self, kind: str, market: Market | None, asset: str, amount: Decimal, at: int, **more: Any) -> Income:
        """Note what moved a wallet, and move it unless it was a transfer, which the account has moved itself."""
        income = Income(len(self.incomes) + 1, kind, market.symbol if market else "", asset, amount, at, **more)
        self.incomes.append(income)
        if kind != "TRANSFER":
            self.account.credit(asset, amount)
        self.account.updated = at
        return income

    def held(self) -> Iterable[tuple[Market, Position]]:
        """The markets with a position."""
        return [(self._markets[symbol], position) for symbol, position in self.positions.items() if position.amount]

    def busy(self) -> list[Market]:
        """The markets with a position or open orders."""
        symbols = dict.fromkeys(market.symbol for market, _ in self.held()) | dict.fromkeys(self._waiting())
        return [self._markets[symbol] for symbol in symbols]

    def initial(self, market: Market, amount: Decimal) -> Decimal:
        """Initial margin of an amount of a market at its mark price."""
        return cut(abs(amount) * self.mark(market) / self.setups[market.symbol].leverage)

    def exposure(self, market: Market, side: str = "", more: Decimal = ZERO) -> Decimal:
        """The larger worth that position and open orders of a market may come to, `more` (quote units) of one side added."""
        worth = self.positions[market.symbol].notional(self.mark(market))
        sides = {"BUY": ZERO, "SELL": ZERO}
        for order in self._waiting().get(market.symbol, ()):
            if not order.reduce_only:
                sides[order.side] += order.remaining * (order.price or order.reference)
        if side:
            sides[side] += more
        return max(abs(worth + sides["BUY"]), abs(worth - sides["SELL"]))

    def needed(self, market: Market, side: str = "", more: Decimal = ZERO) -> Decimal:
        """Initial margin of all that a market may come to."""
        return cut(self.exposure(market, side, more) / self.setups[market.symbol].leverage)

    def figures(self, asset: str) -> Figures:
        """A wallet and what hangs on it now."""
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for market in self.busy():
            if market.quote != asset:
                continue
            position, isolated = self.positions[market.symbol], self.setups[market.symbol].isolated
            mark, initial = self.mark(market), self.initial(market, position.amount)
            unrealized, least = position.unrealized(mark), maintenance(position.notional(mark))
            sums["margin"] += position.margin
            sums["unrealized"] += unrealized
            sums["maintenance"] += least
            sums["position"] += initial
            sums["order"] += max(self.needed(market) - initial, ZERO)
            if not isolated:
                sums["cross_unrealized"] += unrealized
                sums["cross_maintenance"] += least
                sums["cross_position"] += initial
        wallet = self.account.of(asset).free
        free = wallet - sums["margin"] + sums["cross_unrealized"] - sums["cross_position"] - sums["order"]
        return Figures(
            wallet=wallet,
            cross_wallet=wallet - sums["margin"],
            unrealized=sums["unrealized"],
            cross_unrealized=sums["cross_unrealized"],
            maintenance=sums["maintenance"],
            cross_maintenance=sums["cross_maintenance"],
            position_margin=sums["position"],
            order_margin=sums["order"],
            available=free,
        )

    def withdrawable(self, asset: str) -> Decimal:
        """What may be taken out: profit that is not realised may not."""
        figures = self.figures(asset)
        return max(min(figures.available, figures.available - figures.cross_unrealized), ZERO)

    def require(self, asset: str, amount: Decimal) -> None:
        """Refuse to take out more than may be taken."""
        if amount > self.withdrawable(asset):
            raise VenueError(-2019, "Margin is insufficient.")

    def liquidation_price(self, market: Market) -> Decimal:
        """The mark price at which the position would be liquidated, all others unmoved; 0 where there is none."""
        position, isolated = self.positions[market.symbol], self.setups[market.symbol].isolated
        if not position.amount:
            return ZERO
        mark = self.mark(market)
        if isolated:
            behind = position.margin
        else:
            figures, own = self.figures(market.quote), position.unrealized(mark)
            behind = figures.cross_balance - own - (figures.cross_maintenance - maintenance(position.notional(mark)))
        tier = bracket(position.notional(mark))
        slope = position.amount - abs(position.amount) * tier.rate
        return max(cut((position.cost - behind - tier.less) / slope), ZERO)
