"""ccxt's dicts become the house's values, here and nowhere else.

Rule: a dict does not leave the door. Whatever cannot be read is Unknown, never a default: an order without an id, a balance without
figures, a trade without a price or at a time that is none say nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from daemon.core.funding import FundingRate
from daemon.core.model import ZERO, Balance, Bar, Fill, Instrument, Money, OrderReport, Side, Status, from_epoch_ms, is_swap
from daemon.core.styles import Touch
from daemon.io.ccxt_library import ccxt
from daemon.io.exchange import BarUpdate, Fatal, Reason, Unknown, VenueError

Json = Mapping[str, Any]

STATUS: Final = {
    "open": Status.OPEN,
    "closed": Status.FILLED,
    "canceled": Status.CANCELED,
    "canceling": Status.OPEN,
    "expired": Status.EXPIRED,
    "rejected": Status.REJECTED,
}

DEFAULT_TAKER: Final = Decimal("0.001")

# No market, account or supply has figures of more digits before or after the point; arithmetic with 1e400 ends in an overflow.
DIGITS_MAX: Final = 40

# What is earlier or later is no time of an exchange in milliseconds, but one in seconds, microseconds or nanoseconds.
TIMES_MS: Final = (946_684_800_000, 4_102_444_800_000)  # the years 2000 and 2100


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Have whatever an answer is made of end as Unknown where it cannot be read; also a decorator. `what`: whose answer, or of what.

    Raises:
        Unknown: it cannot be read.
    """
    try:
        yield
    except VenueError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unknown(f"the venue's answer about {what} cannot be read ({type(error).__name__}: {str(error)[:100]})") from None


def decimal(value: object) -> Decimal | None:
    """A number of ccxt's (text, mostly) as Decimal; None where there is none, or one that nothing of an exchange is."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= DIGITS_MAX else None


def figure(value: object, what: str) -> Decimal:
    """A number that must be there, whatever its sign.

    Raises:
        Unknown: there is none.
    """
    number = decimal(value)
    if number is None:
        raise Unknown(f"the venue's answer says {what} is {str(value)[:40]!r}, which is no number to be believed")
    return number


def sized(value: object, what: str, *, traded: bool = False) -> Decimal:
    """A size or a sum of trades, which must be there and is never below 0; of one trade (`traded`) it is above 0.

    Raises:
        Unknown: it is not.
    """
    number = figure(value, what)
    if number < 0 or (traded and not number):
        raise Unknown(f"the venue's answer says {what} is {number}, which no order and no trade has")
    return number


def stated(value: object, what: str) -> Decimal | None:
    """A number that may be left out; None where it is.

    Raises:
        Unknown: something is there that is none.
    """
    return None if value is None or value == "" else figure(value, what)


def moment(stamp: object) -> datetime:
    """A time of ccxt's: milliseconds since 1970.

    Raises:
        Unknown: it is none, or one of another unit.
    """
    value = int(stamp) if isinstance(stamp, int | float | str) and not isinstance(stamp, bool) and _is_whole(stamp) else None
    if value is None or not TIMES_MS[0] <= value < TIMES_MS[1]:
        raise Unknown(f"the venue's answer names the time {str(stamp)[:40]!r}, which is none in milliseconds since 1970 of this century")
    return from_epoch_ms(value)


def _is_whole(stamp: float | str) -> bool:
    return (stamp.isascii() and stamp.isdigit() and len(stamp) < DIGITS_MAX) if isinstance(stamp, str) else stamp == stamp // 1


def positive(value: object) -> Decimal | None:
    """A number above zero, or None: venues write 0 where they mean no bound."""
    number = decimal(value)
    return number if number is not None and number > 0 else None


def plain(amount: Decimal) -> str:
    """Digits without an exponent, as the wire wants them."""
    return format(amount, "f")


def instrument(market: Json, precision_mode: int) -> Instrument:
    """The rules of a spot market, or of a linear swap. What ccxt does not tell of market orders is as for all orders.

    Raises:
        Fatal: another kind of market, or one without a grid that orders could be rounded to.
        Unknown: it cannot be read.
    """
    with reading("a market"):
        return _instrument(str(market["symbol"]), market, precision_mode)


def _instrument(symbol: str, market: Json, precision_mode: int) -> Instrument:
    swap = is_swap(symbol)
    if not swap and not market.get("spot"):
        raise Fatal(f"{symbol} is not a spot market", Reason.BAD_REQUEST)
    if swap:
        _refuse_other_swaps(symbol, market)
    precision, limits = market["precision"], market["limits"]
    amount, of_market, cost = limits.get("amount") or {}, limits.get("market") or {}, limits.get("cost") or {}
    return Instrument(
        symbol=symbol,
        base=str(market["base"]),
        quote=str(market["quote"]),
        amount_step=_step(symbol, "amount", precision.get("amount"), precision_mode),
        price_tick=_step(symbol, "price", precision.get("price"), precision_mode),
        amount_min=positive(amount.get("min")) or ZERO,
        amount_max=positive(amount.get("max")),
        market_min=positive(of_market.get("min")) or ZERO,
        market_max=positive(of_market.get("max")),
        notional_min=positive(cost.get("min")) or ZERO,
        notional_max=positive(cost.get("max")),
        taker_fee=taker if (taker := decimal(market.get("taker"))) is not None else DEFAULT_TAKER,
        buy_fee_in_base=not swap and market.get("feeSide") not in ("quote", "give"),
        shortable=swap,
        active=market.get("active") is not False,
    )


def _refuse_other_swaps(symbol: str, market: Json) -> None:
    """Raises Fatal for what is not a linear perpetual whose contract is one unit of base."""
    if not market.get("swap") or not market.get("linear") or market.get("inverse"):
        what = "an inverse contract, which is settled in its base" if market.get("inverse") else "not a linear perpetual swap"
        raise Fatal(f"{symbol} is {what}: it is not traded; take a linear swap, such as BTC/USDT:USDT", Reason.BAD_REQUEST)
    if positive(market.get("contractSize")) not in (None, Decimal(1)):
        raise Fatal(
            f"{symbol}: a contract is {market['contractSize']} {market['base']}; only contracts of 1 are traded", Reason.BAD_REQUEST
        )


def _step(symbol: str, what: str, precision: object, mode: int) -> Decimal:
    number = decimal(precision)
    if number is None or (mode == ccxt.TICK_SIZE and number <= 0) or (mode == ccxt.DECIMAL_PLACES and abs(number) > DIGITS_MAX):
        raise Fatal(f"{symbol}: the venue states no {what} step, so no order could be rounded to it", Reason.BAD_REQUEST)
    if mode == ccxt.TICK_SIZE:
        return number
    if mode == ccxt.DECIMAL_PLACES:
        return Decimal(1).scaleb(-int(number))
    raise Fatal(
        f"{symbol}: this venue rounds {what}s to significant digits, which is no fixed step; choose another exchange or market",
        Reason.BAD_REQUEST,
    )


def candle(symbol: str, row: Sequence[Any], timeframe: timedelta, *, closed: bool) -> BarUpdate | None:
    """A candle [open ms, open, high, low, close, volume]. None where no market can have printed it (a listing that has not traded yet).

    Raises:
        Unknown: not a candle at all.
    """
    with reading(f"a candle of {symbol}"):
        opens_at = moment(row[0])
        opened, high, low, close, volume = (float(value or 0) for value in row[1:6])
    try:
        return BarUpdate(Bar(symbol, opens_at + timeframe, opened, high, low, close, volume), closed)
    except ValueError:
        return None


def touch(symbol: str, raw: object, at: datetime) -> Touch | None:
    """Best bid and ask, of a ticker or the top of a book. None where there are none, or where they cross: nothing is to be made of that."""
    if not isinstance(raw, Mapping):
        return None
    with reading(f"the book of {symbol}"):
        bid, ask = (decimal(raw.get(name)) if name in raw else _top(raw.get(f"{name}s")) for name in ("bid", "ask"))
    try:
        return Touch(symbol, bid or ZERO, ask or ZERO, at)
    except ValueError:
        return None


def _top(levels: object) -> Decimal | None:
    return decimal(levels[0][0]) if isinstance(levels, Sequence) and levels else None


@reading("the balances")
def balances(raw: Json) -> dict[str, Balance]:
    """Every currency that the account holds.

    Raises:
        Unknown: none is named, or one has no figures. Absence is not zero.
    """
    totals = raw.get("total")
    if not isinstance(totals, Mapping) or not totals:
        raise Unknown("the venue's answer names no balance")
    held = {}
    for currency in totals:
        entry = raw.get(currency)
        free, used, total = (stated(entry.get(key), key) if isinstance(entry, Mapping) else None for key in ("free", "used", "total"))
        if free is None and total is None:
            raise Unknown(f"the venue's answer has no figures for {currency}")
        locked = used if used is not None else ZERO
        free = free if free is not None else (total or ZERO) - locked
        if free or locked:
            held[str(currency)] = Balance(free, locked)
    return held


def fill(raw: Json, *, symbol: str, order_id: str, venue_id: str = "", at: datetime | None = None) -> Fill:
    """A trade of ours. `at` where the venue dates the order alone.

    Raises:
        Unknown: no id, price, amount or side.
    """
    with reading(f"a trade of {symbol}"):
        return _fill(raw, symbol, order_id, venue_id, at)


def _fill(raw: Json, symbol: str, order_id: str, venue_id: str, at: datetime | None) -> Fill:
    trade_id, side = raw.get("id"), raw.get("side")
    amount, price = positive(raw.get("amount")), positive(raw.get("price"))
    traded_at = moment(raw["timestamp"]) if raw.get("timestamp") else at
    if not trade_id or side not in ("buy", "sell") or amount is None or price is None or traded_at is None:
        raise Unknown(f"{symbol}: the venue's answer has a trade that cannot be read")
    return Fill(
        order_id=order_id,
        venue_id=str(raw.get("order") or venue_id),
        trade_id=str(trade_id),
        symbol=symbol,
        side=Side(side),
        amount=amount,
        price=price,
        cost=positive(raw.get("cost")) or amount * price,
        fees=fees(raw),
        at=traded_at,
        realised=stated((raw.get("info") or {}).get("realizedPnl"), "a profit") if is_swap(symbol) else None,
    )


def fees(raw: Json) -> tuple[Money, ...]:
    """What a trade cost beside its price, by currency; nothing where nothing was charged."""
    listed = raw.get("fees") or ([raw["fee"]] if raw.get("fee") else [])
    read = [(stated(fee.get("cost"), "a fee"), fee.get("currency")) for fee in listed]
    return tuple(Money(cost, str(currency)) for cost, currency in read if cost and currency)


def report(
    raw: object, *, symbol: str, now: datetime, order_id: str | None = None, side: Side | None = None, amount: Decimal | None = None
) -> OrderReport:
    """What the venue says of an order. `order_id`: ours, where we know it; `side`, `amount`: what was asked, where the venue is silent.

    Raises:
        Unknown: no id, or nothing that says which way and how much.
    """
    if not isinstance(raw, Mapping) or not raw.get("id"):
        raise Unknown(f"{symbol}: the venue's answer names no order")
    with reading(f"an order of {symbol}"):
        return _report(raw, symbol, now, order_id, side, amount)


def _report(raw: Json, symbol: str, now: datetime, order_id: str | None, side: Side | None, amount: Decimal | None) -> OrderReport:
    venue_id = str(raw["id"])
    our_id = order_id or str(raw.get("clientOrderId") or venue_id)
    way = Side(raw["side"]) if raw.get("side") in ("buy", "sell") else side
    size = positive(raw.get("amount")) or amount or positive(raw.get("filled"))
    if way is None or size is None:
        raise Unknown(f"{symbol}: the venue's answer does not say what order {our_id} is")
    filled = _not_negative(raw.get("filled"), "filled")
    stamp = raw.get("lastTradeTimestamp") or raw.get("timestamp")
    at = moment(stamp) if stamp else now
    return OrderReport(
        order_id=our_id,
        venue_id=venue_id,
        symbol=symbol,
        side=way,
        status=_status(raw.get("status"), filled, size),
        amount=size,
        filled=filled,
        cost=_not_negative(raw.get("cost"), "cost"),
        at=at,
        fills=_fills(raw, symbol, our_id, venue_id, way, at),
        made_at=_made_at(raw),
    )


def _made_at(raw: Json) -> datetime | None:
    """When the venue took the order; None: it tells when it touched it last, and nothing else."""
    info = raw.get("info")
    touched_only = isinstance(info, Mapping) and "updateTime" in info and not info.get("time")
    stamp = None if touched_only else raw.get("timestamp")
    return moment(stamp) if stamp else None


def _not_negative(value: object, what: str) -> Decimal:
    """A sum of trades; 0 where the venue names none."""
    number = stated(value, what) or ZERO
    if number < 0:
        raise Unknown(f"the venue's answer says {what} is {number}, which no trades come to")
    return number


def _fills(raw: Json, symbol: str, order_id: str, venue_id: str, side: Side, at: datetime) -> tuple[Fill, ...]:
    trades = raw.get("trades") or ()
    # A venue that reports trades without ids will name them in its listing; here they could not be told apart.
    named = [trade for trade in trades if trade.get("id")]
    return tuple(fill({"side": side.value, **_said(trade)}, symbol=symbol, order_id=order_id, venue_id=venue_id, at=at) for trade in named)


def _said(raw: Json) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if value is not None}


def _status(said: object, filled: Decimal, amount: Decimal) -> Status:
    """A status that is missing, as some venues' answers to a new order leave it, means accepted."""
    status = STATUS.get(str(said), Status.OPEN)
    if status is Status.FILLED and filled < amount:
        return Status.CANCELED  # "closed" with something left: it ended with what it has
    return status


# Settlements further apart than a day are no exchange's.
DAY_H: Final = 24


def interval(hours: object) -> timedelta | None:
    """How far settlements of funding are apart; None: it is not told."""
    told = positive(hours)
    return timedelta(hours=float(told)) if told is not None and 1 <= told <= DAY_H else None


@reading("funding")
def settlement(raw: Json) -> tuple[datetime, float]:
    """When funding was settled, and the rate that longs paid then.

    Raises:
        Unknown: one of the two is missing or not to be believed; at a rate of 1 a position would pay all it is worth.
    """
    rate = figure(raw["fundingRate"], "the rate of a settlement")
    if abs(rate) >= 1:
        raise Unknown(f"the venue's answer says the rate of a settlement is {rate:f}, which is no rate to be believed")
    return moment(raw["timestamp"]), float(rate)


def funding(rate: Any, next_ms: Any, apart: timedelta) -> FundingRate | None:
    """The rate that is expected at a moment (UTC ms); None where there is none: a contract that expires says "" and 0."""
    expected, settled_ms = decimal(rate), positive(next_ms)
    if expected is None or settled_ms is None or abs(expected) >= 1 or not TIMES_MS[0] <= settled_ms < TIMES_MS[1]:
        return None
    return FundingRate(float(expected), moment(int(settled_ms)), apart)
