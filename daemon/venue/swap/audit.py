"""The judge of a futures account's books: recomputes wallets and positions from what was booked.

Rule: exact equality, no tolerance; every finding is one sentence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal

from daemon.venue.audit import common
from daemon.venue.money import ZERO
from daemon.venue.orders import Trade
from daemon.venue.swap.exchange import SwapExchange
from daemon.venue.swap.positions import sign


def audit(exchange: SwapExchange) -> list[str]:
    """What is wrong with the books.

    Empty when wallets = initial + transfers + realised profit + funding - commissions (and what the insurance fund took or gave), positions
    and realised profit are what the trades make, funding was paid once, and all holds that holds on spot.
    """
    return [*_wallets(exchange), *_positions(exchange), *_funding(exchange), *common(exchange)]


def _wallets(exchange: SwapExchange) -> list[str]:
    expected: defaultdict[str, Decimal] = defaultdict(Decimal, exchange.account.initial)
    for transfer in exchange.account.transfers:
        expected[transfer.asset] += transfer.amount
    for trade in _trades(exchange):
        expected[trade.market.quote] += trade.realized
        expected[trade.fee_asset] -= trade.fee
    listed: defaultdict[str, Decimal] = defaultdict(Decimal, exchange.account.initial)
    for income in exchange.margin.incomes:
        listed[income.asset] += income.amount
        if income.kind in ("FUNDING_FEE", "INSURANCE_CLEAR"):
            expected[income.asset] += income.amount
    findings = []
    for asset in sorted(expected.keys() | listed.keys() | exchange.account.balances.keys()):
        wallet = exchange.account.of(asset).free
        if wallet != expected[asset]:
            findings.append(f"the {asset} wallet is {wallet}, but what was booked makes {expected[asset]}")
        if wallet != listed[asset]:
            findings.append(f"the {asset} wallet is {wallet}, but its incomes make {listed[asset]}")
    return findings


def _trades(exchange: SwapExchange) -> list[Trade]:
    return [trade for trades in exchange.matching.trades.values() for trade in trades]


def _positions(exchange: SwapExchange) -> list[str]:
    findings = []
    for symbol in sorted(exchange.margin.positions.keys() | exchange.matching.trades.keys()):
        position, trades = exchange.margin.positions[symbol], exchange.matching.trades.get(symbol, [])
        amount = sum((sign(trade.side) * trade.amount for trade in trades), ZERO)
        paid = sum((sign(trade.side) * trade.quote for trade in trades), ZERO)
        realized = sum((trade.realized for trade in trades), ZERO)
        if position.amount != amount:
            findings.append(f"the position in {symbol} is {position.amount}, but its trades make {amount}")
        # What was paid for it is either still in it or was realised.
        if position.cost - realized != paid:
            findings.append(f"{symbol} has cost {position.cost} and realised {realized}, but its trades paid {paid}")
        if position.margin and not exchange.margin.setups[symbol].isolated:
            findings.append(f"{symbol} has margin of its own, {position.margin}, and is not isolated")
    return findings


def _funding(exchange: SwapExchange) -> list[str]:
    """Funding that was paid twice, at no time of its market, without a position, or not at all although there was one."""
    paid = Counter((income.symbol, income.at) for income in exchange.margin.incomes if income.kind == "FUNDING_FEE")
    findings = [f"funding of {symbol} at {at} was paid {count} times" for (symbol, at), count in paid.items() if count > 1]
    for symbol, trades in exchange.matching.trades.items():
        index = exchange.by_symbol[symbol].index
        due = {each.at: each for each in exchange.funding.between(index, exchange.started, exchange.moment)}
        findings += [f"funding of {symbol} at {at} was paid at no settlement" for name, at in paid if name == symbol and at not in due]
        for at, settlement in due.items():
            held = _held(trades, at)
            if held is None or not settlement.rate:
                continue
            if held and (symbol, at) not in paid:
                findings.append(f"funding of {symbol} at {at} was not paid")
            if not held and (symbol, at) in paid:
                findings.append(f"funding of {symbol} at {at} was paid without a position")
    return findings


def _held(trades: Sequence[Trade], at: int) -> Decimal | None:
    """What was held at a moment; None where something was traded in that very millisecond, which leaves it open."""
    if any(trade.at == at for trade in trades):
        return None
    return sum((sign(trade.side) * trade.amount for trade in trades if trade.at < at), ZERO)
