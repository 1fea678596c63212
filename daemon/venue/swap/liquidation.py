"""What the venue does to positions by itself: margin calls, liquidation, auto-deleveraging.

Rule: judged by the mark price alone. An isolated position answers with its own margin, all others together with the rest of the wallet. A
position that is liquidated is taken over whole at the mark price, for a fee of its worth; what it lost beyond the money behind it, the
insurance fund pays. The worst cross position goes first, until what is left is covered.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from daemon.venue.book import Level, Side
from daemon.venue.clearing import Publish
from daemon.venue.errors import VenueError
from daemon.venue.markets import Market
from daemon.venue.matching import Matching
from daemon.venue.money import floor_to
from daemon.venue.orders import Kind, Life, NewOrder
from daemon.venue.swap import reports
from daemon.venue.swap.margin import Margin
from daemon.venue.swap.positions import cut, maintenance

CALLED: Final = Decimal("0.8")  # of the money behind positions, what must be kept when the margin call comes
FEE: Final = Decimal("0.0125")  # of a liquidated position's worth, as Binance's for its largest markets


class Liquidator:
    """Watches over an account."""

    def __init__(self, margin: Margin, matching: Matching, publish: Publish, name: Callable[[], str]) -> None:
        self._margin, self._matching, self._publish, self._name = margin, matching, publish, name
        self._called: set[str] = set()  # assets whose margin call has been sent, and markets with isolated margin

    def look(self, now: int) -> None:
        """Liquidate what is not covered any more, and call for margin where that is near."""
        for market, position in self._margin.held():
            if self._margin.setups[market.symbol].isolated:
                behind = position.margin + position.unrealized(self._margin.mark(market))
                self._watch(market.symbol, behind, self._least(market), [market], now)
        for asset in dict.fromkeys(market.quote for market, _ in self._cross()):
            figures = self._margin.figures(asset)
            shared = [market for market, _ in self._cross() if market.quote == asset]
            self._watch(asset, figures.cross_balance, figures.cross_maintenance, shared, now)

    def _cross(self) -> list[tuple[Market, Decimal]]:
        """The cross positions and their profit, the worst first."""
        found = [(m, p.unrealized(self._margin.mark(m))) for m, p in self._margin.held() if not self._margin.setups[m.symbol].isolated]
        return sorted(found, key=lambda each: (each[1], each[0].index))

    def _least(self, market: Market) -> Decimal:
        return maintenance(self._margin.positions[market.symbol].notional(self._margin.mark(market)))

    def _watch(self, name: str, behind: Decimal, least: Decimal, markets: list[Market], now: int) -> None:
        """Judge positions by the money behind them and by what they must keep."""
        if behind <= least:
            self._called.discard(name)
            self._end(markets, now)
        elif behind * CALLED > least:
            self._called.discard(name)
        elif name not in self._called:
            self._called.add(name)
            self._publish(reports.margin_call(self._margin, markets, self._margin.figures(markets[0].quote).cross_wallet, now))

    def _end(self, markets: list[Market], now: int) -> None:
        """Liquidate as many of these as it takes; their open orders go first."""
        for market in markets:
            self._matching.expire(market, now)
        if self._margin.setups[markets[0].symbol].isolated:
            self._liquidate(markets[0], now)
            return
        asset = markets[0].quote
        while (cross := [market for market, _ in self._cross() if market.quote == asset]) and self._uncovered(asset):
            self._liquidate(cross[0], now)

    def _uncovered(self, asset: str) -> bool:
        figures = self._margin.figures(asset)
        return figures.cross_balance <= figures.cross_maintenance

    def _liquidate(self, market: Market, now: int) -> None:
        margin, position = self._margin, self._margin.positions[market.symbol]
        isolated, behind = margin.setups[market.symbol].isolated, position.margin - position.realized
        fee = cut(abs(position.notional(margin.mark(market))) * FEE)
        self._close(market, abs(position.amount), f"autoclose-{self._name()}", "LIMIT", now)
        self._insure(market, -fee, now)
        left = behind + position.realized - fee if isolated else margin.figures(market.quote).cross_wallet
        if left < 0 and (isolated or all(other.quote != market.quote for other, _ in self._cross())):
            self._insure(market, -left, now)

    def _insure(self, market: Market, amount: Decimal, now: int) -> None:
        """Pay to the insurance fund, or be paid by it."""
        self._margin.book("INSURANCE_CLEAR", market, market.quote, amount, now)
        self._publish(reports.account_update(self._margin, "INSURANCE_CLEAR", [market.quote], [], now, amount))

    def _close(self, market: Market, amount: Decimal, name: str, kind: Kind, now: int) -> None:
        """Take over so much of a position at the mark price."""
        side: Side = "SELL" if self._margin.positions[market.symbol].amount > 0 else "BUY"
        life: Life = "IOC" if kind == "LIMIT" else "GTC"
        price = max(floor_to(self._margin.mark(market), market.tick), market.tick)
        limit = price if kind == "LIMIT" else None
        new = NewOrder(market=market, side=side, kind=kind, life=life, price=limit, amount=amount, quote=None, client_id=name)
        self._matching.force(new, Level(price, amount), now)

    def deleverage(self, market: Market, share: Decimal, now: int) -> None:
        """Close a share of a position, at least one step of it, without a fee."""
        held = abs(self._margin.positions[market.symbol].amount)
        amount = min(max(floor_to(held * share, market.step), market.step), held)
        if not amount:
            raise VenueError(-2022, "There is no position to deleverage.")
        self._close(market, amount, "adl_autoclose", "MARKET", now)
