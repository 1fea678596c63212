"""Rebasing: a journal that takes the account as it is now, where the exchange has forgotten what was there before.

Rule: nothing is traded and nothing is deleted. What the account holds more or less is booked as flows, what the exchange knows no more is
given up, and both are in the journal before the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from daemon.assembly.worlds import account_of
from daemon.config import Config, Secrets
from daemon.core.events import FlowBooked, HoldLifted, OrderGivenUp
from daemon.core.ledger import Ledger, positions_of
from daemon.core.memory import FORGOT
from daemon.core.model import ZERO, Balance, Flow, Status, currencies, is_swap
from daemon.core.reconciler import EMPTIED
from daemon.core.states import ACCOUNT
from daemon.io.ccxt_epochs import KEY, Epoch
from daemon.io.clock import Clock
from daemon.io.exchange import Exchange, NotFound, VenueError
from daemon.io.journal import Put, Recovered
from daemon.parts import StartRefused
from daemon.restoring import newest_trade
from daemon.tools.planning import refused

REBASE = "rebase"  # the kind of flow, and who lifts the halt


@dataclass(frozen=True, slots=True)
class Rebase:
    """What is to be written: `differences` are account minus journal, by currency, `orders` those that the exchange knows no more.

    `costs`: by swap, how much more its position was opened for than the journal says (quote). `epoch`: the exchange has forgotten all of
    our orders, so that its numbers begin anew; None: it has not.
    """

    differences: Mapping[str, Decimal]
    orders: tuple[str, ...]
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    epoch: Epoch | None = None

    def facts(self, at: datetime, by: str) -> tuple[FlowBooked | OrderGivenUp | HoldLifted | Put, ...]:
        """The facts for the journal, in one commit."""
        moment = at.strftime("%Y%m%dT%H%M%SZ")
        flows = [Flow(f"{REBASE}-{moment}-{c}", c, amount, REBASE, at) for c, amount in self.differences.items()]
        for symbol, cost in self.costs.items():
            flows += positions_of((symbol,), {currencies(symbol)[0]: cost}, Flow(f"{REBASE}-{moment}", symbol, ZERO, REBASE, at))
        given_up = (OrderGivenUp(order_id, by, at) for order_id in self.orders)
        lifted = (HoldLifted(ACCOUNT, code, by, at) for code in (EMPTIED, FORGOT))
        anew = () if self.epoch is None else (Put(KEY, str(self.epoch)),)
        return (*given_up, *(FlowBooked(flow, at) for flow in flows), *lifted, *anew)


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
        began = await exchange.server_time()
        held = await exchange.balances()
        doubtful = [order for order, facts in record.open_orders if not any(isinstance(fact, OrderGivenUp) for fact in facts)]
        forgot = await _forgot(exchange, record)
        orders = [order.id for order in doubtful if await _given_up(exchange, order.id, order.symbol, ended=forgot)]
        # What traded before this moment is in the balances, those that were read after it.
        epoch = Epoch.after(Epoch.of(record.values), began) if forgot else None
    except VenueError as error:
        raise refused(settings, error) from None
    finally:
        await exchange.close()
    ledger = record.ledger()
    swaps = [symbol for symbol in settings.universe.symbols if is_swap(symbol)]
    costs = {s: held.get(currencies(s)[0], Balance(ZERO, ZERO)).opened_for - ledger.opened_for(s) for s in swaps}
    return Rebase(_differences(settings, held, ledger), tuple(orders), {s: cost for s, cost in costs.items() if cost}, epoch)


async def _forgot(exchange: Exchange, record: Recovered) -> bool:
    """Whether the exchange knows nothing of the newest order of ours that has traded: it was reset, and counts anew."""
    last = newest_trade(record)
    if last is None:
        return False
    try:
        await exchange.order(last.order_id, last.symbol)
    except NotFound:
        return True
    return False


async def _given_up(exchange: Exchange, order_id: str, symbol: str, *, ended: bool) -> bool:
    """Whether an order is to be given up: the exchange does not know it, or (`ended`) has ended it, with trades under old numbers."""
    try:
        report = await exchange.order(order_id, symbol)
    except NotFound:
        return True
    if ended and report.status is not Status.OPEN:
        return True
    raise StartRefused(f"the exchange knows order {order_id} of {symbol}; start the daemon, which follows it to its end", 1)


def _differences(settings: Config, held: Mapping[str, Balance], ledger: Ledger) -> dict[str, Decimal]:
    managed = sorted({currency for symbol in settings.universe.symbols for currency in currencies(symbol)})
    found = {c: held.get(c, Balance(ZERO, ZERO)).total - ledger.wallet(c) for c in managed}
    return {c: difference for c, difference in found.items() if difference}
