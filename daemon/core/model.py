"""The nouns: instruments, orders, fills, the account, decisions; bars and slices come from core.marketdata.

Rule: every value here is immutable and checks itself. Market data is float64; money and quantities are Decimal; times are aware UTC.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum
from functools import lru_cache
from math import isfinite, lcm
from typing import Any, Final

from daemon.core.marketdata import CLOSE as CLOSE
from daemon.core.marketdata import HIGH as HIGH
from daemon.core.marketdata import LOW as LOW
from daemon.core.marketdata import OPEN as OPEN
from daemon.core.marketdata import VOLUME as VOLUME
from daemon.core.marketdata import Bar as Bar
from daemon.core.marketdata import Bools as Bools
from daemon.core.marketdata import Floats as Floats
from daemon.core.marketdata import Slice as Slice

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
ZERO: Final = Decimal(0)

# Sums of money are exact: 28 digits, Python's default, are too few for a coin of 18 decimals that is held by the trillion.
EXACT: Final = Context(prec=80)
# Whole steps of anything that a float can tell, 1e308 included: a division for the whole part alone is exact, and no slower for it.
WHOLE: Final = Context(prec=700)


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, by integer arithmetic (a float of seconds loses them)."""
    return (moment - EPOCH) // MILLISECOND


def from_epoch_ms(value: int) -> datetime:
    """The moment `value` milliseconds after 1970-01-01 UTC."""
    return EPOCH + timedelta(0, 0, 0, value)


@lru_cache(maxsize=4096)  # asked for hundreds of times a slice
def currencies(symbol: str) -> tuple[str, str]:
    """Base and quote of a symbol: "BTC/USDT" -> ("BTC", "USDT"), and the same of its swap "BTC/USDT:USDT"."""
    base, _, quote = symbol.partition("/")
    return base, quote.partition(":")[0]


def is_swap(symbol: str) -> bool:
    """Whether a symbol is a swap's: it names what it settles in, "BTC/USDT:USDT"."""
    return ":" in symbol


class Side(StrEnum):
    """Which way an order trades the base currency."""

    BUY = "buy"
    SELL = "sell"

    sign: int  # +1 for a buy, -1 for a sell

    def __init__(self, value: str) -> None:
        self.sign = 1 if value == "buy" else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A market and the rules its orders must keep.

    Steps and bounds of amounts are in base units, `price_tick` and the bounds of the notional (amount x price) in quote. None: the venue
    states no bound. `market_step`, `market_min` and `market_max` hold for market orders on top of those for every order;
    `notional_min_market` and `notional_max_market` say whether the bounds of the notional hold for market orders at all.
    `taker_fee` is a fraction of the trade; `buy_fee_in_base` says that a buy pays it out of what it buys, as most spot venues do.
    `price_cap`: orders are limits, so far from their reference price (a fraction) and no further; None: they are market orders.
    `shortable`: a holding may go below 0 (a linear swap, which pays its fees in quote). Its positions need margin: their worth divided by
    `leverage`, above 0. `tiers` say how much of that they must keep: pairs of a worth (quote) and the maintenance rate from there on.

    What holds for an order follows from these, once: `lot` is the step that satisfies both steps, `least` and `most` bound the
    amount (base units), `worth_least` and `worth_most` the notional (quote). `text` is all of it as JSON, without what is at its default.
    """

    symbol: str
    base: str
    quote: str
    amount_step: Decimal
    price_tick: Decimal
    amount_min: Decimal = ZERO
    amount_max: Decimal | None = None
    notional_min: Decimal = ZERO
    notional_max: Decimal | None = None
    market_step: Decimal | None = None
    market_min: Decimal = ZERO
    market_max: Decimal | None = None
    notional_min_market: bool = True
    notional_max_market: bool = True
    taker_fee: Decimal = Decimal("0.001")
    buy_fee_in_base: bool = True
    shortable: bool = False
    active: bool = True
    price_cap: Decimal | None = None
    leverage: Decimal = Decimal(1)
    tiers: tuple[tuple[Decimal, Decimal], ...] = field(default=(), metadata={"planned_by": False})
    lot: Decimal = field(init=False, repr=False, compare=False)
    least: Decimal = field(init=False, repr=False, compare=False)
    most: Decimal | None = field(init=False, repr=False, compare=False)
    worth_least: Decimal = field(init=False, repr=False, compare=False)
    worth_most: Decimal | None = field(init=False, repr=False, compare=False)
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a market without a grid: nothing could be rounded to it. Numbers lose trailing zeros, so that equal rules read alike."""
        if not (self.leverage.is_finite() and self.leverage > 0):
            raise ValueError(f"{self.symbol}: leverage must be positive, not {self.leverage}")
        for name in ("amount_step", "price_tick", "market_step"):
            step: Decimal | None = getattr(self, name)
            if step is not None and not (step.is_finite() and step > 0):
                raise ValueError(f"{self.symbol}: {name} must be positive, not {step}")
        for each in fields(self):
            value = getattr(self, each.name) if each.init else None
            if isinstance(value, Decimal):
                object.__setattr__(self, each.name, shortest(value))
        derived = {
            "lot": self.amount_step if self.market_step is None else common_step(self.amount_step, self.market_step),
            "least": max(self.amount_min, self.market_min),
            "most": min([bound for bound in (self.amount_max, self.market_max) if bound is not None], default=None),
            "worth_least": self.notional_min if self.notional_min_market else ZERO,
            "worth_most": self.notional_max if self.notional_max_market else None,
            "text": json.dumps(stated(self), sort_keys=True, separators=(",", ":")),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def floor(self, amount: Decimal) -> Decimal:
        """The largest multiple of `lot` that is not above `amount`, which is not negative."""
        return WHOLE.divide_int(amount, self.lot) * self.lot


@lru_cache(maxsize=4096)
def shortest(number: Decimal) -> Decimal:
    """The same number without trailing zeros behind the point, and without an exponent. Markets share theirs, which keeps them near."""
    short = number.normalize(EXACT)
    return short.quantize(Decimal(1), context=EXACT) if short.is_finite() and int(short.as_tuple().exponent) > 0 else short


def stated(value: Any) -> dict[str, object]:
    """The fields of a dataclass that were given and do not stand at their default; Decimals, also within mappings, as text."""
    told = [each for each in fields(value) if each.init and each.metadata.get("planned_by", True)]
    given = {each.name: (_as_text(getattr(value, each.name)), _as_text(each.default)) for each in told}
    return {name: item for name, (item, default) in given.items() if item != default}


def _as_text(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    return {key: str(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def common_step(one: Decimal, other: Decimal) -> Decimal:
    """The smallest step that is a multiple of both."""
    scale = min(int(one.as_tuple().exponent), int(other.as_tuple().exponent))
    return Decimal(lcm(int(one.scaleb(-scale)), int(other.scaleb(-scale)))).scaleb(scale)


def _positive(*numbers: Decimal) -> bool:
    """Whether all of them are finite and above 0."""
    for number in numbers:  # noqa: SIM110 - a generator costs three times as much, and this is asked of every order and trade
        if not (number.is_finite() and number > 0):
            return False
    return True


@dataclass(frozen=True, slots=True)
class TargetWeights:
    """What one strategy wants: weights of its capital, a full set (a symbol that is not named is wanted at 0).

    `keep` names symbols whose present weight stays as it is (no bar in the deciding slice); `signals` holds, by symbol and name,
    every number that the decision rests on. `note` says in one sentence what made the decision other than it should be; "": nothing did.
    `groups` names symbols whose weights only make sense together: they are traded in step.
    `whole`: where a strategy trades on several accounts, the weights of what it has in all of them; `weights` are then this account's part.
    """

    weights: Mapping[str, float]
    keep: frozenset[str] = frozenset()
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""
    groups: tuple[tuple[str, ...], ...] = ()
    whole: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Refuse a weight that is no number."""
        for symbol, weight in self.weights.items():
            if not isfinite(weight):
                raise ValueError(f"the weight of {symbol} is {weight}, which is not a finite number")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be sent, fixed before it is sent: `amount` base units at whatever price there is, or within `limit` (quote per base).

    With a `limit`, what cannot be traded within it at once is not traded at all (immediate or cancel). `post_only`: it rests in the book at
    its limit instead, and is refused where it would trade at once.

    `price` is the reference the plan was made at (quote per base), `reserve` the most it may cost in the currency it spends:
    quote, fees and slippage included, for a buy; base units for a sell.

    `split` says for whom it trades: its fills go to these sleeves in these proportions (base units wanted by each, above 0).

    `reduce_only`: it makes a position of a swap smaller, and the venue lets it do nothing else. Such an order spends nothing; every other
    one of a swap spends margin, on whichever side it is.
    """

    id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    reserve: Decimal
    decision_id: str
    attempt: int
    at: datetime
    split: Mapping[str, Decimal] = field(default_factory=dict)
    limit: Decimal | None = None
    post_only: bool = False
    reduce_only: bool = False

    @property
    def spends_quote(self) -> bool:
        """Whether what it may take is money: of spot a buy, of a swap what does not reduce."""
        return not self.reduce_only if ":" in self.symbol else self.side is Side.BUY

    def __post_init__(self) -> None:
        """Refuse amounts and prices that are not finite and positive, and what would rest nowhere."""
        if self.post_only and self.limit is None:
            raise ValueError(f"order {self.id}: what rests in the book needs a limit")
        if _positive(self.amount, self.price, self.reserve, self.price if self.limit is None else self.limit):
            return
        for name in ("amount", "price", "reserve", "limit"):
            value: Decimal | None = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise ValueError(f"order {self.id}: {name} must be finite and positive, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A trade in our account, as the venue booked it. `amount` is positive base units, `cost` the quote that changed hands without the fee.

    `order_id` is our client id, or "" where the venue names the order by `venue_id` alone; the order table knows both.
    `realised`: of a swap, the profit (quote, signed, fees not counted) that the venue has booked for it; None: it does not say.
    """

    order_id: str
    venue_id: str
    trade_id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    cost: Decimal
    fees: tuple[Money, ...]
    at: datetime
    realised: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse a trade of nothing or at no price."""
        if _positive(self.amount, self.price, self.cost):
            return
        for name in ("amount", "price", "cost"):
            if not _positive(value := getattr(self, name)):
                raise ValueError(f"trade {self.trade_id}: {name} must be finite and positive, not {value}")


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account holds of one currency: `free` may be spent, `locked` stands in open orders.

    Of an account of swaps, it is the wallet of what they settle in, and of what they are made of the position, below 0 where it is short;
    `opened_for` is then what that was opened for (quote, signed alike).
    """

    free: Decimal
    locked: Decimal
    opened_for: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return EXACT.add(self.free, self.locked)


class Status(StrEnum):
    """How the venue describes an order."""

    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        """Whether nothing more can be expected of it (a late trade aside)."""
        return self is not Status.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """What the venue says of one order: cumulative `filled` base units and `cost` in quote (0 where it does not say).

    `fills` are the trades that came with the report; there may be fewer than `filled` says, never more. `made_at`: when the venue took
    the order, by its clock, as it told just now (no journal keeps it); None: it does not say.
    """

    order_id: str
    venue_id: str
    symbol: str
    side: Side
    status: Status
    amount: Decimal
    filled: Decimal
    cost: Decimal
    at: datetime
    fills: tuple[Fill, ...] = ()
    made_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """The account as one poll saw it: every currency it holds and every order it has open.

    `asked_at` and `at` enclose the poll: what happened between them may or may not be in it.
    """

    balances: Mapping[str, Balance]
    open_orders: tuple[OrderReport, ...]
    asked_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Flow:
    """Money that came or went without a trade of ours: a deposit, a withdrawal, the opening balance, a correction.

    `amount` is signed, in units of `currency`. `id` is derived from what was seen, so that a flow is booked once. `symbol`: the swap whose
    position has earned or paid it (funding, a liquidation's fee): then it is profit or loss of who holds it; "": nobody's position has.
    Of the kind `position`, it is the swap whose position came, and the amount what that was opened for, below 0 where it is long.
    """

    id: str
    currency: str
    amount: Decimal
    kind: str
    at: datetime
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a booking: `amount` is signed, in units of `currency`."""

    sleeve: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Booking:
    """What sleeves of one account give each other, without an order: the account itself does not change.

    `kind` is a stable code: cross (opposing wishes met), capital (money moved to its share), handover (of a removed strategy).
    """

    id: str
    kind: str
    entries: tuple[Entry, ...]
    at: datetime

    def __post_init__(self) -> None:
        """Refuse a booking that would make or lose money."""
        sums: dict[str, Decimal] = {}
        for entry in self.entries:
            sums[entry.currency] = EXACT.add(sums.get(entry.currency, ZERO), entry.amount)
        wrong = sorted(currency for currency, amount in sums.items() if amount)
        if wrong:
            raise ValueError(f"booking {self.id}: the entries in {', '.join(wrong)} do not add up to 0")


class Cause(StrEnum):
    """Why there is a decision."""

    DUE = "due"  # a strategy was due and has answered
    OFF_TARGET = "off_target"  # nobody was due; the account had moved too far from what is wanted
    COOLDOWN_OVER = "cooldown_over"  # nobody was due; what had to wait may be done now
    CORRELATION = "correlation"  # nobody was due; the correlation watch has fired or calmed
    LIMITED = "limited"  # nobody was due; what a limit had held back may be allowed now
    RESOLVED = "resolved"  # nobody was due; it is known what became of an order in doubt, and something is missing
    MARGIN = "margin"  # nobody was due; a position has come too near its liquidation
    RULES = "rules"  # nobody was due; a market that had refused an order has other rules now
    OPERATOR = "operator"  # a person asked for it
    UNIVERSE = "universe"  # nobody was due; what is held of symbols that have left the universe is sold
    FLATTENING = "flattening"  # a hold says that everything, or one symbol or strategy, is to be sold


@dataclass(frozen=True, slots=True)
class Decision:
    """What all strategies together want at one slice: `by_strategy` holds each one's own weights, `weights` their sum by share.

    `shares` are those of the capital, by strategy, that the sum was made with.

    `exits_until`: it came while an earlier rebalance cooled down. Until then, only what is wanted at 0 is traded; the rest waits.

    `universe`: the symbols it chose among, where those change by themselves; None: all that are configured.
    """

    id: str
    as_of: datetime
    weights: Mapping[str, float]
    keep: frozenset[str]
    by_strategy: Mapping[str, TargetWeights]
    at: datetime
    cause: Cause = Cause.DUE
    exits_until: datetime | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    universe: frozenset[str] | None = None

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The symbols that some strategy wants together only."""
        return tuple(group for targets in self.by_strategy.values() for group in targets.groups)


def decision_id(moment: datetime, cause: Cause = Cause.DUE) -> str:
    """A decision's id, from nothing but its moment, and its cause where that is not a due time.

    `20260101T000000Z`, with milliseconds only where there are any, and `20260101T000000250Z-operator`.
    """
    m, milliseconds = moment, moment.microsecond // 1000
    stamp = f"{m.year:04}{m.month:02}{m.day:02}T{m.hour:02}{m.minute:02}{m.second:02}{f'{milliseconds:03}' if milliseconds else ''}Z"
    return stamp if cause is Cause.DUE else f"{stamp}-{cause.value}"
