"""Pairs: a pair of swaps is entered, left and turned over for minutes by a daemon that is killed again and again.

`python -m tests.soak.pairs --minutes 15`, or `make pairs MINUTES=15`. REBALANCED_DATA=DIR replays bars, mark prices and funding of BTC and
ETH, a recorded row each second; else prices come from a seed.
Rule: a criterion that fails is named, and the exit code is 1. Legs are judged by the exchange's trades and candles, never by what the
daemon says of itself.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx

from daemon.io.journal import read
from tests.process.books import Line, intents
from tests.process.support import Daemon, Venue, written
from tests.soak.__main__ import Verdict, show

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
NAMES: Final = {"BTCUSDT": BTC, "ETHUSDT": ETH}
TOKEN: Final = "token-of-this-soak"
LEG: Final = 0.4  # of the equity
SLICE: Final = 0.1  # how far one leg may be ahead of the other
WITHIN_S: Final = 5.0  # until what fell short is taken back
# What legs that were level are apart by, by themselves: what a band leaves of each, and two bars of an hour, played in two seconds.
DRIFT: Final = 0.035
RESOLVED_S: Final = 120.0  # an order that was written and never sent is known to be absent after some twenty seconds
AIM_S: Final = 0.06  # from a plan to the last trade of its slice, on loopback
AWAY_MAX_S: Final = 5.0  # between a kill and the next start


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade at the exchange: signed base units and what they cost, in quote."""

    at: float  # s since 1970
    symbol: str
    amount: float
    cost: float
    fee: float


class Prices:
    """The closes of both markets, second by second, as the exchange tells them."""

    def __init__(self, venue: Venue, since_s: float) -> None:
        self._times: dict[str, list[float]] = {}
        self._closes: dict[str, list[float]] = {}
        for name, symbol in NAMES.items():
            rows: list[list[Any]] = []
            start = int(since_s) * 1000
            while page := self._page(venue, name, start):
                rows += page
                start = int(page[-1][0]) + 1000
            self._times[symbol] = [row[0] / 1000 + 1 for row in rows]
            self._closes[symbol] = [float(row[4]) for row in rows]

    @staticmethod
    def _page(venue: Venue, name: str, start: int) -> list[list[Any]]:
        query: dict[str, str | int] = {"symbol": name, "interval": "1s", "startTime": start, "limit": 1000}
        found: list[list[Any]] = (
            httpx.get(f"{venue.url}/fapi/v1/klines", params=query, timeout=10, trust_env=False).raise_for_status().json()
        )
        return found

    @property
    def seconds(self) -> Sequence[float]:
        """The moments at which there is a close."""
        return self._times[BTC]

    def at(self, symbol: str, moment: float) -> float:
        """The newest close."""
        return self._closes[symbol][max(0, bisect_right(self._times[symbol], moment) - 1)]


class Legs:
    """How far the legs were apart, by the exchange's books: what was held, signed and in worth, is 0 in sum where they are level."""

    def __init__(self, trades: Sequence[Traded], prices: Prices, opening: float) -> None:
        self._trades = trades
        self._prices = prices
        self._opening = opening

    def after_trades(self) -> list[tuple[float, float]]:
        """When, and how far as a share of the equity, after each moment of trading."""
        moments = sorted({trade.at for trade in self._trades})
        return list(zip(moments, self._along(moments), strict=True))

    def by_seconds(self) -> list[tuple[float, float]]:
        """The same at every close."""
        return list(zip(self._prices.seconds, self._along(self._prices.seconds), strict=True))

    def _along(self, moments: Iterable[float]) -> list[float]:
        held, cash, at = dict.fromkeys(NAMES.values(), 0.0), self._opening, 0
        found = []
        for moment in moments:
            while at < len(self._trades) and self._trades[at].at <= moment:
                trade = self._trades[at]
                held[trade.symbol] += trade.amount
                cash -= trade.cost + trade.fee
                at += 1
            worths = [amount * self._prices.at(symbol, moment) for symbol, amount in held.items()]
            found.append(abs(sum(worths)) / (cash + sum(worths)))
        return found


def traded(state: Line) -> list[Traded]:
    """What the exchange has booked, oldest first."""
    found = []
    for row in sorted(state["trades"], key=lambda row: (row["time"], row["id"])):
        sign = 1 if row["buyer"] else -1
        amount, cost, fee = (float(row[name]) for name in ("qty", "quoteQty", "commission"))
        found.append(Traded(row["time"] / 1000, NAMES[row["symbol"]], sign * amount, sign * cost, fee))
    return found


def longest(legs: Sequence[tuple[float, float]], away: Sequence[tuple[float, float]]) -> float:
    """For how many seconds at a stretch the legs were further apart than they drift by themselves, while a daemon was there to see."""
    most = lasted = 0.0
    for (before, _), (now, apart) in pairwise(legs):
        absent = sum(max(0.0, min(now, back) - max(before, gone)) for gone, back in away)
        lasted = lasted + now - before - absent if apart > DRIFT else 0.0
        most = max(most, lasted)
    return most


def moves(targets: Sequence[float]) -> Counter[str]:
    """How often the pair was entered, left and turned over, by what its first leg was to be, decision by decision."""
    found: Counter[str] = Counter()
    for before, after in zip([0.0, *targets], targets, strict=False):
        if before * after < 0:
            found["flips"] += 1
        elif bool(before) != bool(after):
            found["entries" if after else "exits"] += 1
    return found


# --- the daemon ------------------------------------------------------------------------------------------------------


def configured(folder: Path, venue: Venue) -> Path:
    """A pair that changes its mind every few bars, turns over, and is traded in slices."""
    params = {"pair": [BTC, ETH], "lookback": 10, "entry": 1.2, "exit": 0.3, "size": LEG}
    return written(
        folder,
        venue,
        exchange={
            "id": "binance",
            "market": "swap",
            "leverage": 5,
            "ccxt": {"urls": {"test": venue.urls["api"]}},
            "credentials": {"api_key": {"env": "KEY"}, "secret": {"env": "SECRET"}},
        },
        universe={"quote": "USDT", "symbols": [BTC, ETH]},
        strategies=[{"name": "pair", "use": "pairs", "schedule": {"every": 2, "at_start": True}, "params": params}],
        risk={"gross": 1.0},
        execution={"band": 0.005, "band_relative": 0.01, "groups": {"size": SLICE, "within": f"{WITHIN_S:g}s", "pause": "5s"}},
        api={"port": 0, "token": {"env": "TOKEN"}},
    )


@dataclass(slots=True)
class Lives:
    """What the daemon's lives have said, and when none of them was there: from a kill until orders were looked up and trading began.

    `until`: when a person had everything sold, each leg by itself.
    """

    lines: list[Line]
    away: list[tuple[float, float]]
    aims: list[str]
    until: float = 0.0


def lived(config: Path, seconds: float, kills: int, chance: random.Random) -> Lives:
    """Trade for so long, killed so often; then everything is sold, and what was paid is booked."""
    lives, began, gone = Lives([], [], []), time.monotonic(), time.time()
    for number in range(1, kills + 2):
        with Daemon(config, {"TOKEN": TOKEN}) as daemon:
            daemon.wait("trading.started", within=RESOLVED_S)
            lives.away.append((gone, time.time()))
            end = began + seconds * number / (kills + 1)
            while daemon.running and time.monotonic() < end:
                time.sleep(0.2)
            if number <= kills:
                plan = daemon.wait("plan.made", since=len(daemon.lines), where=lambda line: bool(line["orders"]), within=RESOLVED_S)
                time.sleep(chance.uniform(0, AIM_S))
                daemon.kill()
                gone = time.time()
                lives.aims.append(f"{len(plan['orders'])} orders of {plan['decision_id']}")
            else:
                lives.until = time.time()
                closed(daemon, config.parent / "momo.sqlite")
            lives.lines += daemon.lines
        time.sleep(chance.uniform(0, AWAY_MAX_S) if number <= kills else 0)
    return lives


def closed(daemon: Daemon, journal: Path) -> None:
    """Sell everything, wait until the books have been compared once more with nothing held, and stop."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{daemon.url()}/api/v1/flatten", json={}, headers=headers, timeout=10, trust_env=False).raise_for_status()
    daemon.wait("trading.halted", within=60)
    deadline = time.monotonic() + 60
    while any(read(journal).ledger().held(base) for base in ("BTC", "ETH")) and time.monotonic() < deadline:
        time.sleep(0.5)
    since = len(daemon.lines)
    for _ in range(3):  # what was paid in the last seconds is read when wallet and ledger are found to differ
        line = daemon.wait("account.reconciled", since=since, where=lambda line: not line["differences"], within=60)
        since = daemon.lines.index(line) + 1
    daemon.stop(within=10.0)


# --- the judge -------------------------------------------------------------------------------------------------------


def judged(venue: Venue, journal: Path, lives: Lives) -> Verdict:
    """Every criterion, with what was measured."""
    verdict, state, record = Verdict(), venue.state(), read(journal)
    trades = traded(state)
    verdict.row("kills", len(lives.aims), good=bool(lives.aims))
    chosen = {line["as_of"]: line["targets"].get(BTC, 0.0) for line in lives.lines if line["event"] == "targets.chosen"}
    turns = moves([chosen[as_of] for as_of in sorted(chosen)])
    verdict.row("decisions", f"{len(chosen)}: {dict(turns)}", good=all(turns[name] for name in ("entries", "exits", "flips")))
    _orders(verdict, state, journal)
    _books(verdict, state, record.ledger(), {(fill.symbol, fill.trade_id) for fill in record.fills})
    _funding(verdict, state, [(flow.id, flow.amount) for flow in record.flows if flow.kind == "funding"])
    first = min((trade.at for trade in trades), default=time.time())
    legs = Legs(trades, Prices(venue, first - 5), float(state["initial"]["USDT"]))
    most = max((apart for at, apart in legs.after_trades() if at < lives.until), default=0.0)
    verdict.row("legs apart after a trade, at most", f"{most:.4f} of the equity, of {SLICE + DRIFT:g}", good=most <= SLICE + DRIFT)
    stretch = longest([(at, apart) for at, apart in legs.by_seconds() if at < lives.until], lives.away)
    verdict.row("legs apart beyond their drift", f"{stretch:.1f} s at a stretch, of {2 * WITHIN_S:g}", good=stretch <= 2 * WITHIN_S)
    groups = Counter(line["event"] for line in lives.lines if str(line["event"]).startswith("group."))
    verdict.row("groups", dict(groups) or "always level", good="group.stuck" not in groups)
    errors = Counter(line["event"] for line in lives.lines if line["level"] == "error" and line.get("code") != "flatten")
    verdict.row("errors", dict(errors) or "none", good=not errors)
    return verdict


def _orders(verdict: Verdict, state: Line, journal: Path) -> None:
    meant = {record.order.id: record.order for record in intents(journal)}
    used = Counter(order["clientOrderId"] for order in state["orders"])
    odd = [name for name, count in used.items() if count > 1 or name not in meant]
    odd += [
        o["clientOrderId"]
        for o in state["orders"]
        if o["clientOrderId"] in meant and Decimal(o["origQty"]) != meant[o["clientOrderId"]].amount
    ]
    verdict.row("orders", f"{len(used)}, of which sent twice, or without their intent: {odd or 'none'}", good=bool(used) and not odd)


def _books(verdict: Verdict, state: Line, ledger: Any, booked: set[tuple[str, str]]) -> None:
    told = [(NAMES[row["symbol"]], str(row["id"])) for row in state["trades"]]
    verdict.row("trades", f"{len(told)}, in the journal {len(booked)}", good=set(told) == booked)
    held = {row["symbol"]: Decimal(row["positionAmt"]) for row in state["positions"]}
    found = [
        f"{name} {held.get(name)}" for name, symbol in NAMES.items() if held.get(name, Decimal(0)) != ledger.held(symbol.partition("/")[0])
    ]
    wallet = Decimal(state["wallets"]["USDT"])
    found += [] if wallet == ledger.wallet("USDT") else [f"wallet {wallet}, in the ledger {ledger.wallet('USDT')}"]
    found += state["violations"]
    verdict.row("wallet and positions", "; ".join(found[:3]) or f"{wallet}: equal to the last digit", good=not found)


def _funding(verdict: Verdict, state: Line, booked: Sequence[tuple[str, Decimal]]) -> None:
    rows = [row for row in state["incomes"] if row["incomeType"] == "FUNDING_FEE"]
    paid = [(f"FUNDING_FEE-{row['symbol']}-{row['tranId']}", Decimal(row["income"])) for row in rows]
    once = Counter(paid) == Counter(booked) and len(set(paid)) == len(paid)
    verdict.row("funding", f"{len(paid)} payments, {len(booked)} booked", good=bool(paid) and once)


def main() -> int:
    """Trade the pair, print the table, and say whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.pairs", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of when it is killed")
    parser.add_argument("--keep", type=Path, default=None, help="directory for logs and journals, instead of a temporary one")
    given = parser.parse_args()
    data = os.environ.get("REBALANCED_DATA", "")
    options = ["--market", "swap", "--interval", "1s", *(["--data", str(Path(data).resolve())] if data else [])]
    with tempfile.TemporaryDirectory(prefix="pairs-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with Venue(*options, folder=folder, within=RESOLVED_S) as venue:
            lives = lived(configured(folder, venue), given.minutes * 60, given.kills, random.Random(given.seed))
            verdict = judged(venue, folder / "momo.sqlite", lives)
    show(f"{given.minutes:g} minutes, {given.kills} kills, seed {given.seed}", verdict)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
