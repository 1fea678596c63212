"""The futures exchange without its sockets: what it has beside, or instead of, what spot has.

Rule: happenings take place in the order of their times: resting orders are matched up to a settlement of funding before it is booked, and
positions are judged by the mark price of that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from daemon.venue.accounts import Transfer
from daemon.venue.clearing import Clearing, Fees
from daemon.venue.exchange import Exchange
from daemon.venue.faults import Skew
from daemon.venue.intervals import INTERVALS, WEEK
from daemon.venue.markets import Market
from daemon.venue.money import ZERO
from daemon.venue.recorded import RecordedRows
from daemon.venue.rows import Rows
from daemon.venue.settings import VenueSettings
from daemon.venue.swap import recorded, reports
from daemon.venue.swap.clearing import SwapClearing
from daemon.venue.swap.countdowns import Countdowns
from daemon.venue.swap.funding import Funding, Series, Settlement
from daemon.venue.swap.liquidation import Liquidator
from daemon.venue.swap.listenkeys import ListenKeys
from daemon.venue.swap.margin import Margin
from daemon.venue.swap.marks import MarkRows, Marks
from daemon.venue.swap.positions import cut
from daemon.venue.swap.rules import rules
from daemon.venue.words import Words


class SwapExchange(Exchange):
    """Linear perpetuals in one-way mode, all of one account, whose balances are its wallets."""

    words: ClassVar[Words] = reports
    client_id: ClassVar[str] = r"^[.A-Z:/a-z0-9_-]{1,36}$"
    list_ms_max: ClassVar[int] = WEEK
    klines_max: ClassVar[int] = 1500
    closed_word: ClassVar[str] = "CLOSE"
    first_tier: ClassVar[Fees] = Fees(Decimal("0.0005"), Decimal("0.0002"))

    def __init__(self, settings: VenueSettings, clock: Callable[[], float]) -> None:
        self._series: dict[int, Series] = {}
        self._recorded_marks: RecordedRows | None = None
        self._recorded_rows = 0
        super().__init__(settings, clock)
        self.funding = Funding(self.tape, self._series, self._recorded_rows, INTERVALS[settings.funding], settings.seed)
        self.keys = ListenKeys(int(settings.listen_key_s * 1000), self.make_id)
        self.liquidator = Liquidator(self.margin, self.matching, self.publish, self.make_id)
        self.countdowns = Countdowns(self.matching, self.make_id)

    def _sources(self) -> tuple[list[Market], Rows]:
        settings = self.settings
        recordings = recorded.read(settings.data, settings.timeframe) if settings.data is not None else []
        if recordings:
            times = RecordedRows(recordings).times
            self._recorded_rows = len(times)
            self._recorded_marks = recorded.marks(recordings, times)
            self._series = recorded.funding(recordings, times)
        return self._joined(recordings)

    def _clearing(self) -> Clearing:
        count = len(self._recorded_marks.values) if self._recorded_marks is not None else 0
        self.marks = Marks(MarkRows(self.rows, self._recorded_marks, count), self.markets, self.tape, self._skew)
        self.margin = Margin(self.account, self.by_symbol, self.mark, lambda: self.matching.open)
        return SwapClearing(self.margin, self.fees, self.publish)

    def _skew(self, symbol: str) -> Decimal:
        if not self.faults.any(Skew):
            return ZERO
        return sum((skew.by for skew in self.faults.standing(Skew, self.now(), symbol=symbol)), ZERO)

    @property
    def listen_key(self) -> str:
        """See `Exchange.listen_key`."""
        return self.keys.key

    def mark(self, market: Market) -> Decimal:
        """A market's mark price at the moment up to which everything has happened."""
        return self.marks.price(market, self.moment)

    def rules(self, market: Market) -> dict[str, Any]:
        """See `Exchange.rules`."""
        return rules(market, self.notional_min(market.symbol), self.started)

    def recording(self, market: Market) -> dict[str, dict[str, NDArray[Any]]]:
        """See `Exchange.recording`; with mark prices and funding."""
        name, now = f"{market.base}_{market.quote}_{market.quote}", self.now()
        marks = self.marks.tape.columns(market.index, now)
        del marks["volume"]
        settled = self.funding.between(market.index, self.tape.origin - 1, self.tape.opens(self.tape.index(now)) - 1)
        times, rates = np.array([each.at for each in settled], np.int64), np.array([float(each.rate) for each in settled])
        return {
            f"{name}-{self.tape.interval}": self.tape.columns(market.index, now),
            f"{name}-{self.tape.interval}-mark": marks,
            f"{name}-funding": {"timestamp": times, "funding_rate": rates},
        }

    def advance(self, now: int) -> None:
        """Match, pay funding, liquidate and count down, in the order of time; end a listen key that nobody has asked for."""
        for at, happen in self._happenings(now):
            self._reach(at)
            happen()
        self._reach(now)
        ended = self.keys.expired(now)
        if ended:
            self.publish({"e": "listenKeyExpired", "E": now, "listenKey": ended})

    def _happenings(self, now: int) -> list[tuple[int, Callable[[], None]]]:
        """What has come due since the last look, in the order of its times: settlements that may concern the account, and countdowns."""
        busy = sorted(self.margin.busy(), key=lambda market: market.index)
        found = [
            (each.at, partial(self._pay, market, each)) for market in busy for each in self.funding.between(market.index, self.moment, now)
        ]
        found += [(max(at, self.moment), partial(self.countdowns.strike, symbol)) for at, symbol in self.countdowns.over(now)]
        return sorted(found, key=lambda each: each[0])

    def _reach(self, at: int) -> None:
        super().advance(at)
        self.liquidator.look(at)

    def _pay(self, market: Market, settlement: Settlement) -> None:
        """Book the funding of a position."""
        position = self.margin.positions[market.symbol]
        paid = -cut(position.notional(self.mark(market)) * settlement.rate)
        if not paid:
            return
        self.margin.book("FUNDING_FEE", market, market.quote, paid, settlement.at)
        isolated = self.margin.setups[market.symbol].isolated
        if isolated:
            position.margin += paid
        told = [market] if isolated else []
        self.publish(reports.account_update(self.margin, "FUNDING_FEE", [market.quote], told, settlement.at, paid))

    def transfer(self, asset: str, amount: Decimal) -> Transfer:
        """See `Exchange.transfer`; what positions need cannot be taken out."""
        now = self.now()
        self.advance(now)
        if amount < 0:
            self.margin.require(asset, -amount)
        booked = self.account.transfer(asset, amount, now)
        self.margin.book("TRANSFER", None, asset, amount, now)
        self.publish(reports.account_update(self.margin, "DEPOSIT" if amount > 0 else "WITHDRAW", [asset], [], now, amount))
        return booked

    def deleverage(self, symbol: str, share: Decimal) -> None:
        """See `Exchange.deleverage`."""
        self.advance(self.now())
        self.liquidator.deleverage(self.market(symbol), share, self.moment)

    def forget(self) -> None:
        """See `Exchange.forget`."""
        super().forget()
        self.margin.forget()
        self.countdowns.due.clear()
