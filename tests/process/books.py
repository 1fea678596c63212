"""Books: what the venue has booked, what the journal says, and whether a wave came out where it wanted to.

Rule: money is compared exactly; weights are recomputed from trades, never taken from what the daemon says of itself.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from daemon.core.model import Fill, currencies
from daemon.io.journal import OrderRecord, Recovered, read
from daemon.io.journal.reader import ask

Line = Mapping[str, Any]

# Reasons that a wave gives for a symbol that it could not bring to its target; the distance is then known and told.
EXCUSED: Final = frozenset({"order_unknown", "superseded", "stale_price", "unfunded", "insufficient_funds"})


@dataclass(frozen=True, slots=True)
class Booked:
    """A trade, whoever booked it. `amount` is signed base units, `cost` signed quote; `fee` is in `fee_currency`."""

    at: datetime
    symbol: str
    trade_id: str
    amount: Decimal
    cost: Decimal
    fee: Decimal
    fee_currency: str


def of_venue(state: Line, symbols: Iterable[str]) -> list[Booked]:
    """The venue's trades, oldest first."""
    names = {symbol.replace("/", ""): symbol for symbol in symbols}
    return sorted((_venue_trade(row, names[row["symbol"]]) for row in state["trades"]), key=lambda each: each.at)


def _venue_trade(row: Line, symbol: str) -> Booked:
    sign = 1 if row["isBuyer"] else -1
    at = datetime.fromtimestamp(row["time"] / 1000, UTC)
    amount, cost, fee = (Decimal(row[name]) for name in ("qty", "quoteQty", "commission"))
    return Booked(at, symbol, str(row["id"]), sign * amount, sign * cost, fee, row["commissionAsset"])


def of_journal(fills: Iterable[Fill]) -> list[Booked]:
    """The journal's trades, oldest first."""
    return sorted((_journal_trade(fill) for fill in fills), key=lambda each: each.at)


def _journal_trade(fill: Fill) -> Booked:
    sign = fill.side.sign
    (fee,) = fill.fees
    return Booked(fill.at, fill.symbol, fill.trade_id, sign * fill.amount, sign * fill.cost, fee.amount, fee.currency)


# --- journal and venue -----------------------------------------------------------------------------------------------


def intents(journal: Path) -> tuple[OrderRecord, ...]:
    """Every order in the journal, newest first; a question brings a thousand of them at most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.io.journal.reader.ROWS_MAX", 1_000_000)
        return ask(journal, lambda reader: reader.orders(1_000_000))


def disagreements(state: Line, journal: Path, symbols: Sequence[str]) -> list[str]:
    """Where venue and journal differ, one sentence each; empty when they agree to the unit and nothing was done twice."""
    record = read(journal)
    return [
        *state["violations"],
        *_balances(state, record, symbols),
        *_trades(of_venue(state, symbols), of_journal(record.fills)),
        *_orders(state, journal),
    ]


def _balances(state: Line, record: Recovered, symbols: Sequence[str]) -> list[str]:
    ledger = record.ledger()
    none = {"free": "0", "locked": "0"}
    held = {c: state["balances"].get(c, none) for s in symbols for c in currencies(s)}
    totals = {c: Decimal(b["free"]) + Decimal(b["locked"]) for c, b in held.items()}
    return [f"{c}: the venue holds {total}, the ledger {ledger.held(c)}" for c, total in totals.items() if total != ledger.held(c)]


def _trades(venue: list[Booked], journal: list[Booked]) -> list[str]:
    here, there = ({(t.symbol, t.trade_id): t for t in trades} for trades in (journal, venue))
    found = [f"the journal has a trade twice: {key}" for key, n in Counter((t.symbol, t.trade_id) for t in journal).items() if n > 1]
    found += [f"a trade of the venue is not in the journal: {there[key]}" for key in there.keys() - here.keys()]
    found += [f"a fill of the journal is not at the venue: {here[key]}" for key in here.keys() - there.keys()]
    found += [f"a trade differs: {here[k]} and {there[k]}" for k in here.keys() & there.keys() if here[k] != there[k]]
    return found


def _orders(state: Line, journal: Path) -> list[str]:
    meant = {record.order.id: record.order for record in intents(journal)}
    used = Counter(order["clientOrderId"] for order in state["orders"])
    found = [f"client id {name} was used {count} times" for name, count in used.items() if count > 1]
    found += [f"the venue has an order without an intent: {name}" for name in used.keys() - meant.keys()]
    for order in state["orders"]:
        intent = meant.get(order["clientOrderId"])
        if intent is not None and Decimal(order["origQty"]) != intent.amount:
            found.append(f"order {intent.id} was meant to be {intent.amount} and is {order['origQty']}")
    return found


# --- waves -----------------------------------------------------------------------------------------------------------


class Waves:
    """The waves of a log, and how far each left the holdings from its targets beyond a step and the band.

    `initial` are the balances before the first trade, `trades` what was booked, oldest first; `rules` has amount step and least notional
    by symbol.
    """

    def __init__(
        self, lines: Sequence[Line], trades: Sequence[Booked], initial: Mapping[str, Decimal], rules: Mapping[str, tuple[float, float]]
    ) -> None:
        self._lines = [line for line in lines if line.get("event") in ("slice.closed", "plan.made", "wave.settled")]
        self._trades, self._times = trades, [trade.at for trade in trades]
        self._initial, self._rules = initial, rules
        self.settled = [line for line in self._lines if line["event"] == "wave.settled"]

    def excess(self, band: float = 0.02, band_relative: float = 0.10) -> dict[str, float]:
        """By decision: the largest excess over its symbols; at most 0 where the wave came out where it should."""
        found: dict[str, float] = {}
        prices: Mapping[str, float] = {}
        plan: Line = {}
        for line in self._lines:
            match line["event"]:
                case "slice.closed":
                    prices = line["prices"]
                case "plan.made" if line["attempt"] == 1:
                    plan = {**line, "prices": {**prices, **{order["symbol"]: float(order["price"]) for order in line["orders"]}}}
                case "wave.settled":
                    found[line["decision_id"]] = self._excess(line, plan, band, band_relative)
        return found

    def _excess(self, wave: Line, plan: Line, band: float, band_relative: float) -> float:
        """Weights are those of the plan: its prices, and the equity before trading cost some of it."""
        assert plan["decision_id"] == wave["decision_id"], "a wave settled that was not planned"
        prices: Mapping[str, float] = plan["prices"]
        before, after = (self._held(line["ts"]) for line in (plan, wave))
        equity = float(before["USDT"]) + sum(float(before[currencies(s)[0]]) * price for s, price in prices.items())
        worst = -1.0
        for symbol, price in prices.items():
            if wave["left"].get(symbol) in EXCUSED or wave["refused"].get(symbol) in EXCUSED:
                continue
            target = wave["targets"].get(symbol, 0.0)
            step, notional_min = self._rules[symbol]
            # What is wanted at 0 is sold whatever the band; the venue's minimum may leave dust.
            tolerated = max(band, band_relative * target) if target else notional_min / equity
            distance = abs(float(after[currencies(symbol)[0]]) * price / equity - target)
            worst = max(worst, distance - tolerated - step * price / equity)
        return worst

    def _held(self, ts: str) -> defaultdict[str, Decimal]:
        """Balances at a moment."""
        held = defaultdict(Decimal, self._initial)
        for trade in self._trades[: bisect_right(self._times, datetime.fromisoformat(ts))]:
            base, quote = currencies(trade.symbol)
            held[base] += trade.amount
            held[quote] -= trade.cost
            held[trade.fee_currency] -= trade.fee
        return held


def opening(state: Line) -> dict[str, Decimal]:
    """What the venue's account began with."""
    return {asset: Decimal(amount) for asset, amount in state["initial"].items()}
