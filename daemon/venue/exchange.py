"""The exchange without its sockets: markets, tape, account, matching and limits, at a given time.

Rule: synchronous; reads the time from the injected clock only, and it never runs backwards.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from numpy.typing import NDArray

from daemon.venue import recorded, reports
from daemon.venue.accounts import Account, Transfer
from daemon.venue.book import Book
from daemon.venue.clearing import Clearing, Fees, SpotClearing
from daemon.venue.errors import bad_symbol, rejected
from daemon.venue.faults import Faults, Filling, Patch, Shift
from daemon.venue.generator import GeneratedRows
from daemon.venue.intervals import DAY, INTERVALS, opened
from daemon.venue.limits import RequestLimits
from daemon.venue.markets import Market, listed, rules
from daemon.venue.matching import Matching
from daemon.venue.orders import NewOrder, Order
from daemon.venue.recorded import RecordedRows, Recording
from daemon.venue.rows import JoinedRows, Rows
from daemon.venue.settings import VenueSettings
from daemon.venue.signing import Doorman
from daemon.venue.tape import Tape
from daemon.venue.targets import Targets
from daemon.venue.words import Words

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Exchange:
    """Everything the venue knows. `clock` gives seconds since the epoch."""

    words: ClassVar[Words] = reports
    client_id: ClassVar[str] = r"^[a-zA-Z0-9-_]{1,36}$"  # what a client may call an order
    list_ms_max: ClassVar[int] = DAY  # between startTime and endTime of a list
    klines_max: ClassVar[int] = 1000  # candles in one answer
    closed_word: ClassVar[str] = "BREAK"  # the status of a market that takes no orders
    first_tier: ClassVar[Fees] = Fees(Decimal("0.001"), Decimal("0.001"))  # what an account without volume pays

    def __init__(self, settings: VenueSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self._latest = 0
        self.markets, self.rows = self._sources()
        self.by_symbol = {market.symbol: market for market in self.markets}
        self.started = self.now()
        self.moment = self.started  # up to which everything has happened; what a request does, it does then
        script = settings.faults
        self.faults = Faults(settings.seed if script.seed is None else script.seed)
        self.faults.add(script.faults, self.started)
        self.targets = Targets()
        self.planting = False  # an order that is being booked now is the venue's own
        step = INTERVALS[settings.interval]
        self.first_live = settings.history  # the row that is live at the start
        origin = opened(settings.interval, self.started) - settings.history * step
        self.tape = Tape(self.rows, self.markets, settings.interval, step, origin)
        self.book = Book(settings.spread_bps, settings.slippage_bps, settings.depth_notional, settings.depth_levels)
        self.account = Account(settings.balance, self.started)
        self.fees = _fees(settings, self.first_tier)
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self._ids = random.Random(f"{settings.seed} ids")
        self.matching = Matching(
            self.tape,
            self.book,
            self._clearing(),
            partial=settings.partial,
            first_id=settings.first_id,
            chance=random.Random(f"{settings.seed} dice"),
            filling=self._filling,
            judge=self._judge,
        )
        self.doorman = Doorman(settings.key, settings.secret)
        self.limits = RequestLimits(settings.weight_limit, settings.order_limit, settings.order_limit_day)
        self.requests: Counter[str] = Counter()  # by method and path, or by the WebSocket API's method
        self.unknown: Counter[str] = Counter()  # what was asked for and does not exist
        self.rule_texts: dict[int, str] = {}  # market -> its rules as JSON, made when first asked for
        self.shown: set[int] = set()  # markets whose bars were asked for

    def now(self) -> int:
        """The venue's time in UTC ms; a clock that steps back is held."""
        self._latest = max(self._latest, int(self._clock() * 1000))
        return self._latest

    def time(self) -> int:
        """What the venue's own clock says, UTC ms: by it requests are too old or too new."""
        return self.now() + sum(shift.ms for shift in self.faults.standing(Shift, self.now()))

    def market(self, symbol: str) -> Market:
        """A listed market by the protocol's name, with the rules of now."""
        found = self.by_symbol.get(symbol)
        if found is None:
            raise bad_symbol()
        patch = self.patch(symbol)
        if patch is None:
            return found
        if patch.delisted:
            raise bad_symbol()
        return replace(found, step=patch.step or found.step, tick=patch.tick or found.tick)

    def patch(self, symbol: str) -> Patch | None:
        """How the rules of a market are changed now, if they are."""
        if not self.faults.any(Patch):
            return None
        return next(self.faults.standing(Patch, self.now(), symbol=symbol), None)

    def is_closed(self, symbol: str) -> bool:
        """Whether a market takes no orders now."""
        patch = self.patch(symbol)
        return patch is not None and patch.halted

    def notional_min(self, symbol: str) -> Decimal:
        """The least worth of an order there, quote units."""
        patch = self.patch(symbol)
        return self.settings.notional_min if patch is None or patch.notional_min is None else patch.notional_min

    def last(self, market: Market) -> Decimal:
        """The market's last price now."""
        return self.matching.last(market, self.now())

    def _clearing(self) -> Clearing:
        """Who keeps the money."""
        return SpotClearing(self.account, self.fees, self.publish)

    def _sources(self) -> tuple[list[Market], Rows]:
        """The listed markets and where their rows come from."""
        recordings = recorded.read(self.settings.data, self.settings.timeframe) if self.settings.data is not None else []
        return self._joined(recordings)

    def _joined(self, recordings: Sequence[Recording]) -> tuple[list[Market], Rows]:
        """Recorded markets first, generated ones behind them."""
        settings = self.settings
        markets = listed(recorded.markets(recordings), settings.markets, settings.seed)
        generated = GeneratedRows(markets, settings.seed, settings.volatility, settings.gaps)
        if not recordings:
            return markets, generated
        return markets, JoinedRows(RecordedRows(recordings), len(recordings), generated)

    def advance(self, now: int) -> None:
        """Do what has become due in all markets up to a time, ms, which is the exchange's `moment` from then on."""
        self.moment = max(self.moment, now)
        self.matching.advance_all(now)

    @property
    def listen_key(self) -> str:
        """What the user stream is called now, empty where there is none of that kind."""
        return ""

    def rules(self, market: Market) -> dict[str, Any]:
        """A market's entry in exchangeInfo."""
        return rules(market, self.notional_min(market.symbol))

    def recording(self, market: Market) -> dict[str, dict[str, NDArray[Any]]]:
        """The files, by their names, that would play a market's closed bars again: columns of equal length."""
        return {f"{market.base}_{market.quote}-{self.tape.interval}": self.tape.columns(market.index, self.now())}

    def deleverage(self, symbol: str, share: Decimal) -> None:
        """Close a share of a position, as in an auto-deleveraging; spot has none."""
        raise rejected(f"There is no position in {symbol} on spot.")

    def _filling(self, new: NewOrder) -> Filling | None:
        """How much of a new order a fault holds back, if one does."""
        if new.amount is None or new.kind == "LIMIT_MAKER":
            return None
        return self.faults.strike(Filling, self.now(), "", new.market.symbol, new.side)

    def _judge(self, order: Order, before: Decimal) -> None:
        if not self.planting:
            self.targets.judge(order, before)

    def publish(self, event: dict[str, Any]) -> None:
        """Tell every user stream."""
        for listener in self.listeners:
            listener(event)

    def count(self, what: str, *, known: bool = True) -> None:
        """Count a request."""
        (self.requests if known else self.unknown)[what] += 1

    def transfer(self, asset: str, amount: Decimal) -> Transfer:
        """Book a deposit (positive) or a withdrawal (negative) and tell the user streams."""
        booked = self.account.transfer(asset, amount, self.now())
        self.publish(reports.moved(booked))
        self.publish(reports.position(self.account, (asset,), booked.at))
        return booked

    def forget(self) -> None:
        """Know nothing of what was ever done here, as a testnet after its monthly reset."""
        self.account.forget(self.now())
        for booked in (self.matching.orders, self.matching.trades, self.matching.open):
            booked.clear()

    def make_id(self) -> str:
        """A client id for a request that brought none."""
        return "".join(self._ids.choices(ID_LETTERS, k=22))


def _fees(settings: VenueSettings, usual: Fees) -> Fees:
    """The rates of a venue: those it was told, or the usual ones."""
    if settings.fee is None:
        return usual if settings.maker_fee is None else replace(usual, maker=settings.maker_fee)
    return Fees(settings.fee, settings.fee if settings.maker_fee is None else settings.maker_fee)
