"""Funding of a paper account: which settlements have become due, and what was paid at them.

Rule: a settlement is paid once, at the rate that was told last before it. One that fell into a stop is paid by the next start, at the rate
that was known before the stop: what it really was, nobody has told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from daemon.core.funding import DIGITS, FundingRate
from daemon.core.model import EXACT, Flow, epoch_ms, from_epoch_ms

KIND: Final = "funding"
KEPT_FOR: Final = timedelta(days=30)  # whoever asks for what has moved money asks for less


class Settlements:
    """By symbol the rate that is expected next, and the payments of late."""

    def __init__(self) -> None:
        self._expected: dict[str, FundingRate] = {}
        self._passed: dict[str, datetime] = {}  # by symbol the last settlement that has come
        self._flows: list[Flow] = []

    def told(self, symbol: str, funding: FundingRate) -> None:
        """What a venue expects now. A settlement that has been passed is not expected again, though a venue may still say so."""
        passed = self._passed.get(symbol)
        if passed is None or funding.next_at > passed:
            self._expected[symbol] = funding

    def due(self, symbol: str, at: datetime) -> Iterator[FundingRate]:
        """The settlements of a symbol that have come until a moment, oldest first, each of them once."""
        while (expected := self._expected.get(symbol)) is not None and expected.next_at <= at:
            self._passed[symbol] = expected.next_at
            self._expected[symbol] = replace(expected, next_at=expected.next_at + expected.interval)
            yield expected

    def pay(self, symbol: str, quote: str, held: Decimal, mark: Decimal, funding: FundingRate) -> Flow:
        """What a position (base units, signed) is paid at a settlement, below 0: what it pays: position x mark price x rate."""
        worth = EXACT.multiply(held, mark)
        paid = -round(EXACT.multiply(worth, Decimal(repr(funding.rate))), DIGITS)
        flow = Flow(f"{KIND}-{symbol}-{epoch_ms(funding.next_at)}", quote, paid, KIND, funding.next_at, symbol)
        self._flows = [*(each for each in self._flows if flow.at - each.at <= KEPT_FOR), flow]
        return flow

    def flows(self, since: datetime) -> tuple[Flow, ...]:
        """Every payment since a moment, oldest first."""
        return tuple(sorted((flow for flow in self._flows if flow.at >= since), key=lambda flow: (flow.at, flow.symbol)))

    # --- on disk -----------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """As JSON; moments in ms, intervals in seconds."""
        return {
            "expected": {s: [each.rate, epoch_ms(each.next_at), each.interval.total_seconds()] for s, each in self._expected.items()},
            "passed": {symbol: epoch_ms(at) for symbol, at in self._passed.items()},
            "paid": [[flow.symbol, flow.currency, str(flow.amount), epoch_ms(flow.at)] for flow in self._flows],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """As it was dumped.

        Raises:
            KeyError, TypeError, ValueError, decimal.InvalidOperation: it was not.
        """
        for symbol, (rate, next_at, interval_s) in state.get("expected", {}).items():
            self._expected[symbol] = FundingRate(rate, from_epoch_ms(next_at), timedelta(seconds=interval_s))
        self._passed = {symbol: from_epoch_ms(at) for symbol, at in state.get("passed", {}).items()}
        for symbol, currency, amount, at in state.get("paid", []):
            self._flows.append(Flow(f"{KIND}-{symbol}-{at}", currency, Decimal(amount), KIND, from_epoch_ms(at), symbol))
