"""Facts to put into a journal, and the child process that is killed while it does so.

`python -m tests.io.journal_facts PATH` commits waves without end and prints the number of each once it is acknowledged.
"""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from daemon.core.events import FlowBooked, OrderClosed, OrderFilled, OrderReported, OrderSent, WaveSettled
from daemon.core.model import Decision, Fill, Flow, Money, Order, OrderReport, Side, Status, TargetWeights
from daemon.io.journal import Fact, Journal

START = datetime(2024, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


@dataclass
class StillClock:
    """A clock that a test sets."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def stamp_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def open_journal(path: Path, instance: str = "momo", mode: str = "paper") -> Journal:
    return Journal.open(path, instance=instance, mode=mode, clock=StillClock(), version="0.1.0", config_hash="c0ffee")


def a_decision(number: int = 1) -> Decision:
    as_of = START + timedelta(hours=number)
    weights = {symbol: 0.1 * (k + 1) / 3 for k, symbol in enumerate(SYMBOLS)}
    momo = TargetWeights(weights, frozenset({"XRP/USDT"}), {"BTC/USDT": {"rsi": 1 / 3, "trend": -1.0}})
    return Decision(
        f"decision-{number}",
        as_of,
        weights,
        frozenset({"XRP/USDT"}),
        {"momo": momo},
        as_of,
        universe=frozenset(weights) if number % 2 else None,
    )


def an_order(symbol: str = "BTC/USDT", number: int = 1, attempt: int = 1, amount: str = "0.00120") -> Order:
    return Order(
        id=f"r{number}{symbol[:3].lower()}{attempt}",
        symbol=symbol,
        side=Side.BUY,
        amount=Decimal(amount),
        price=Decimal("64250.10"),
        reserve=Decimal("77.3"),
        decision_id=f"decision-{number}",
        attempt=attempt,
        at=START,
    )


def a_fill(order: Order, trade_id: str = "7001", venue_id: str = "42", *, named: bool = True) -> Fill:
    return Fill(
        order_id=order.id if named else "",
        venue_id=venue_id,
        trade_id=trade_id,
        symbol=order.symbol,
        side=order.side,
        amount=order.amount,
        price=Decimal("64251.00"),
        cost=Decimal("77.1012000"),
        fees=(Money(Decimal("0.00000120"), "BTC"),),
        at=START + timedelta(microseconds=1),
    )


def a_report(order: Order, status: Status = Status.OPEN, venue_id: str = "42", fills: tuple[Fill, ...] = ()) -> OrderReported:
    report = OrderReport(
        order_id=order.id,
        venue_id=venue_id,
        symbol=order.symbol,
        side=order.side,
        status=status,
        amount=order.amount,
        filled=sum((fill.amount for fill in fills), Decimal("0E-8")),
        cost=sum((fill.cost for fill in fills), Decimal(0)),
        at=START,
        fills=fills,
    )
    return OrderReported(report, "answer", START)


def a_closing(order: Order) -> OrderClosed:
    return OrderClosed(order.id, order.symbol, "filled", order.amount, Decimal("77.1012000"), START + timedelta(seconds=1))


def a_flow(id_: str = "opening:USDT", amount: str = "-10000.50") -> FlowBooked:
    return FlowBooked(Flow(id_, "USDT", Decimal(amount), "opening", START), START + timedelta(seconds=1))


def a_settling(decision: Decision) -> WaveSettled:
    return WaveSettled(
        decision=decision,
        targets={"SOL/USDT": 1 / 7},
        equity=Decimal("10000.120"),
        sent=3,
        filled=2,
        refused={"SOL/USDT": "insufficient_funds"},
        left={"ETH/USDT": "within_band"},
        off_target={"SOL/USDT": -1 / 7},
        cost_bps=float("nan") if decision.id == "nan" else 2.5,
        took_ms=812,
        at=START + timedelta(minutes=1),
    )


def wave(number: int) -> tuple[Fact, ...]:
    """A decision and one intent for each symbol, as they are committed before anything is sent."""
    return (a_decision(number), *(an_order(symbol, number) for symbol in SYMBOLS))


def life(order: Order, trade_id: str, venue_id: str) -> tuple[Fact, ...]:
    """What follows an intent that fills at once."""
    fill = a_fill(order, trade_id, venue_id)
    return (
        OrderSent(order.id, START),
        a_report(order, Status.FILLED, venue_id, (fill,)),
        OrderFilled(fill, START + timedelta(seconds=1)),
        a_closing(order),
    )


async def _commit_for_ever(journal: Journal) -> None:
    async def one(number: int) -> None:
        await journal.commit(*wave(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    for first in range(1, 1_000_000, 4):
        await asyncio.gather(*(one(number) for number in range(first, first + 4)))


if __name__ == "__main__":
    with open_journal(Path(sys.argv[1])) as kept:
        asyncio.run(_commit_for_ever(kept))
