"""Rebasing: a journal that takes the account as it is now, where the exchange has forgotten what was there before.

Rule: nothing is traded and nothing is deleted. What the account holds more or less is booked as flows, what the exchange knows no more is
given up, and both are in the journal before the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from daemon.config import Config, Secrets
from daemon.core.events import FlowBooked, HoldLifted, OrderGivenUp
from daemon.core.ledger import Ledger
from daemon.core.model import ZERO, Balance, Flow, currencies
from daemon.core.reconciler import EMPTIED
from daemon.core.states import ACCOUNT
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, NotFound, VenueError
from daemon.io.journal import Recovered
from daemon.parts import StartRefused
from daemon.planning import refused
from daemon.worlds import account_of

REBASE = "rebase"  # the kind of flow, and who lifts the halt


@dataclass(frozen=True, slots=True)
class Rebase:
    """What is to be written: `differences` are account minus journal, by currency, `orders` those that the exchange knows no more."""

    differences: Mapping[str, Decimal]
    orders: tuple[str, ...]

    def facts(self, at: datetime, by: str) -> tuple[FlowBooked | OrderGivenUp | HoldLifted, ...]:
        """The facts for the journal, in one commit."""
        moment = at.strftime("%Y%m%dT%H%M%SZ")
        flows = (Flow(f"{REBASE}-{moment}-{c}", c, amount, REBASE, at) for c, amount in self.differences.items())
        given_up = (OrderGivenUp(order_id, by, at) for order_id in self.orders)
        return (*given_up, *(FlowBooked(flow, at) for flow in flows), HoldLifted(ACCOUNT, EMPTIED, by, at))


async def rebase(settings: Config, secrets: Secrets, record: Recovered, clock: Clock) -> Rebase:
    """Read the account, and compare it with the journal.

    Raises:
        StartRefused: the exchange does not answer, it still knows an order that has not ended in the journal, or there is nothing to take.
    """
    if settings.mode == "paper":
        raise StartRefused(f"{settings.source}: in mode paper the account is in the journal itself; there is nothing to rebase", 2)
    if not record.flows:
        raise StartRefused(f"{settings.source}: the journal has no account yet; a first start takes it as it is", 2)
    exchange = account_of(settings, secrets, record, clock)
    try:
        await exchange.connect()
        held = await exchange.balances()
        doubtful = [order for order, facts in record.open_orders if not any(isinstance(fact, OrderGivenUp) for fact in facts)]
        orders = [order.id for order in doubtful if await _forgotten(exchange, order.id, order.symbol)]
    except VenueError as error:
        raise refused(settings, error) from None
    finally:
        await exchange.close()
    return Rebase(_differences(settings, held, record), tuple(orders))


async def _forgotten(exchange: Exchange, order_id: str, symbol: str) -> bool:
    try:
        await exchange.order(order_id, symbol)
    except NotFound:
        return True
    raise StartRefused(f"the exchange knows order {order_id} of {symbol}; start the daemon, which follows it to its end", 1)


def _differences(settings: Config, held: Mapping[str, Balance], record: Recovered) -> dict[str, Decimal]:
    ledger = Ledger()
    for flow in record.flows:
        ledger.flow(flow)
    for fill in record.fills:
        ledger.book(fill)
    managed = sorted({currency for symbol in settings.universe.symbols for currency in currencies(symbol)})
    found = {c: held.get(c, Balance(ZERO, ZERO)).total - ledger.held(c) for c in managed}
    return {c: difference for c, difference in found.items() if difference}
