"""The door to ccxt: any of its exchanges, behind the Exchange protocol.

Rule: only the modules `ccxt_*` know ccxt, and this one is their face. Values go in and come out; whatever ccxt raises leaves as one of the
five VenueErrors, without its traceback, because that holds signed URLs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, ClassVar, Final, TypeVar

from daemon.core.model import Balance, Bar, Fill, Instrument, Order, OrderReport, Side, epoch_ms
from daemon.core.styles import Touch
from daemon.io import ccxt_binance as binance
from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_client import MESSAGES, ORDERS, WEIGHT, Gate, Guarded, build, calling
from daemon.io.ccxt_clock import VenueClock
from daemon.io.ccxt_errors import classify, judged
from daemon.io.ccxt_history import Pages
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_streams import RESET, Streams, UnifiedStreams, timeframe_name
from daemon.io.ccxt_types import Json
from daemon.io.clock import Clock
from daemon.io.exchange import AccountNews, BarUpdate, Fatal, KeyRights, NotFound, NotSent, Reason, Refused, Unknown, Urgency

T = TypeVar("T")

# Venues whose ccxt class looks up, or cancels, an order by our id alone (read in its source); elsewhere the listings are searched.
FETCH_BY_ID: Final = frozenset(
    (
        *("binance", "binanceus", "binanceusdm", "bitget", "bitstamp", "bitvavo", "htx", "hyperliquid"),
        *("kraken", "kucoin", "mexc", "myokx", "okx", "okxus"),
    ),
)
CANCEL_BY_ID: Final = frozenset(
    ("binance", "binanceus", "binanceusdm", "bitfinex", "bingx", "bitget", "htx", "kraken", "mexc", "myokx", "okx", "okxus"),
)

CREDENTIALS: Final = ("apiKey", "secret", "password", "privateKey", "token", "twofa")  # ccxt's names, where overrides bring them

MESSAGES_PER_S: Final = 5.0  # Binance's limit for a connection; of others' none is lower


@judged
class CcxtExchange:
    """A venue through ccxt, spot. Without a key it is a Market only.

    `overrides` (exchange.ccxt) are merged deeply into ccxt's constructor and have the last word; for `urls` see ccxt_address. `gate` is
    told the venue's limits. `calls` counts the end points called, for whoever wants to know where the door leads.
    """

    kind: ClassVar[tuple[str, str | None]] = ("spot", None)  # of the markets, and of the contracts, as ccxt names them

    def __init__(
        self,
        exchange_id: str,
        symbols: Sequence[str],
        *,
        sandbox: bool,
        gate: Gate,
        clock: Clock,
        api_key: str = "",
        secret: str = "",
        password: str = "",
        overrides: Mapping[str, object] | None = None,
        may_lack: frozenset[str] = frozenset(),
    ) -> None:
        self._venue = exchange_id
        self._symbols = tuple(symbols)
        self._may_lack = may_lack
        self._clock = clock
        self._gate = gate
        self.usage = gate.usage  # see Metered
        self._keyed = bool(api_key)
        given = [str((overrides or {}).get(name) or "") for name in CREDENTIALS]
        self._secrets = tuple(value for value in (secret, password, api_key, *given) if value)
        self._venue_clock = VenueClock()
        self._delisted: frozenset[str] = frozenset()
        self._one_listing = True  # whether open orders come in one listing, or symbol by symbol
        known = exchange_id in binance.FAMILY
        more, layer, streams = self._special() if known else ({}, Guarded, UnifiedStreams)
        settings = {"apiKey": api_key, "secret": secret, "password": password, **more}
        kind = self.kind[0]
        self._client = build(exchange_id, layer, settings, overrides or {}, sandbox=sandbox, clock=clock, gate=gate, kind=kind)
        self._streams: Streams = streams(self._client, self._now, self._secrets)
        self._pages = Pages(self._client, self.kind)
        _state_limits(self._client, gate)

    def _special(self) -> tuple[Json, type[Guarded], Callable[..., Streams]]:
        """Settings and layers for a venue of which the door knows more than ccxt does."""
        return binance.SETTINGS, binance.BinanceGuarded, binance.BinanceStreams

    # --- market ------------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each end point was called: "GET public/klines", "WS host:port"."""
        return self._client.calls

    @property
    def place(self) -> tuple[str, frozenset[str]]:
        """What answers here: the kind of markets, and the hosts that may be called. Where that is equal, an outage is one and the same."""
        return self.kind[0], self._client.house.address.hosts

    @property
    def clock_offset(self) -> timedelta:
        """How far the venue's clock is ahead of ours, as of the last `server_time`."""
        return self._venue_clock.offset

    async def connect(self) -> Mapping[str, Instrument]:
        """See Market.connect. A key is tried out with one private read."""
        await self.server_time()  # pays for the connection, so its time says little;
        await self.server_time()  # the second look is the quicker one, and counts
        found = await self._ask(Urgency.RECONCILE, self._listed)
        missing = [symbol for symbol in self._symbols if symbol not in found and symbol not in self._may_lack]
        if missing:
            raise Fatal(
                "; ".join(f"{self._venue} has no market {symbol}{_hint(symbol, set(found))}" for symbol in missing), Reason.BAD_REQUEST
            )
        instruments = self._ruled(found)
        if self._keyed:
            await self._private(Urgency.RECONCILE, lambda: self._client.fetch_open_orders(next(iter(instruments))))
        return instruments

    async def markets(self) -> Mapping[str, Instrument]:
        """See Market.markets."""
        return self._ruled(await self._ask(Urgency.DATA, self._listed))

    def hush(self, seconds: float, told: Callable[[float], None]) -> None:
        """See Hushed.hush."""
        if seconds > 0:
            self._gate.pause(seconds)
        self._gate.told = told

    async def close(self) -> None:
        """See Market.close."""
        await self.reset_streams()
        await self._client.close()

    async def server_time(self) -> datetime:
        """See Market.server_time. Each look also tells how far our own clock is off, which signatures and closed bars then allow for."""
        asked_at = self._clock.now()
        said = await self._ask(Urgency.DATA, self._client.fetch_time)
        venue = parse.moment(said)
        self._venue_clock.saw(asked_at, venue, self._clock.now())
        # ccxt stamps requests with its clock minus this.
        self._client.options["timeDifference"] = -self._venue_clock.offset // timedelta(milliseconds=1)
        return venue

    async def bars(self, symbol: str, timeframe: timedelta, *, since: datetime | None = None, limit: int = 1000) -> list[BarUpdate]:
        """See Market.bars. A candle is closed if a later one is there, or if it had ended, for certain, when the venue was asked."""
        name = timeframe_name(self._client, timeframe)
        asked_at = self._certain_now()
        start = since or (None if limit <= self._pages.bars_max else asked_at - limit * timeframe)
        rows: list[Sequence[Any]] = []
        while True:
            from_ms = None if start is None else epoch_ms(start)
            page = await self._ask(Urgency.DATA, lambda ms=from_ms: self._pages.bars(symbol, name, ms, limit))  # type: ignore[misc]
            page = [row for row in page if from_ms is None or row[0] >= from_ms]
            rows += page
            if start is None or not page:
                break
            start = parse.moment(page[-1][0]) + timeframe
            if start + timeframe > asked_at:
                break  # the next candle is still forming, if it has begun
        rows = rows if since is not None else rows[-limit:]
        newest = len(rows) - 1
        read = (
            parse.candle(symbol, row, timeframe, closed=at < newest or parse.moment(row[0]) + timeframe <= asked_at)
            for at, row in enumerate(rows)
        )
        return [update for update in read if update is not None]

    @property
    def page_bars(self) -> int:
        """How many bars a page holds at most."""
        return self._pages.bars_max

    async def page(self, symbol: str, timeframe: timedelta, since: datetime, price: str = "") -> list[Bar]:
        """One page of closed bars that open at `since` or later, oldest first; none where there are none yet. `price`: "mark" of a swap.

        Raises:
            VenueError: as `bars`.
        """
        asked_at = self._certain_now()
        name = timeframe_name(self._client, timeframe)
        rows = await self._ask(Urgency.DATA, lambda: self._pages.bars(symbol, name, epoch_ms(since), self._pages.bars_max, price))
        read = (parse.candle(symbol, row, timeframe, closed=parse.moment(row[0]) + timeframe <= asked_at) for row in rows)
        return [update.bar for update in read if update is not None and update.closed and update.bar.closes_at > since]

    async def watch_bars(self, symbols: Sequence[str], timeframe: timedelta, sink: Callable[[BarUpdate], None]) -> None:
        """See Market.watch_bars."""
        await self._streams.bars(symbols, timeframe, sink)

    async def touches(self, symbols: Sequence[str]) -> Sequence[Touch]:
        """See Market.touches. One call for all where the venue is known to take their names, else a book each."""
        found: list[Touch | None] = []
        asked_at = self._clock.now()
        if self._venue in binance.FAMILY:
            read = await self._ask(Urgency.DATA, lambda: self._books(symbols))
            found = [parse.touch(symbol, read.get(symbol), asked_at) for symbol in symbols]
        else:
            for symbol in symbols:
                asked_at = self._clock.now()
                book = await self._ask(Urgency.DATA, lambda s=symbol: self._client.fetch_order_book(s))  # type: ignore[misc]
                found.append(parse.touch(symbol, book, asked_at))
        return [touch for touch in found if touch is not None]

    async def _books(self, symbols: Sequence[str]) -> Json:
        """The best bids and asks of these symbols, by symbol, in one call."""
        return await binance.tickers_of_books(self._client, symbols)

    @property
    def batch_max(self) -> int:
        """See Market.batch_max."""
        return self._streams.batch_max

    async def reset_streams(self) -> None:
        """See Market.reset_streams."""
        for socket in list(self._client.clients.values()):
            await self._client.drop(socket, ccxt.NetworkError(RESET))

    # --- account -----------------------------------------------------------------------------------------------------

    async def balances(self) -> Mapping[str, Balance]:
        """See Exchange.balances."""
        return parse.balances(await self._private(Urgency.RECONCILE, self._client.fetch_balance))

    async def rights(self) -> KeyRights | None:
        """See Vetted.rights. There is no unified call for it."""
        ask = getattr(self._client, binance.RIGHTS, None)
        if ask is None or self._venue not in binance.FAMILY:
            return None
        return await binance.rights(lambda: self._private(Urgency.RECONCILE, ask))

    async def submit(self, order: Order, urgency: Urgency) -> OrderReport:
        """See Exchange.submit. A market order, or a limit that ends at once with what it found, under our id."""
        amount = parse.plain(order.amount)
        on_grid = await self._local(lambda: self._client.amount_to_precision(order.symbol, amount))
        if Decimal(on_grid) != order.amount:
            raise Refused(f"{order.symbol}: {amount} is not on the venue's grid, which has {on_grid}", Reason.FILTER)
        kind, price, terms = await self._limited(order) if order.limit is not None else self._at_market(order)
        if order.reduce_only:
            terms["reduceOnly"] = True
        request, params = self._client.create_order, {"clientOrderId": order.id, **terms}
        raw = await self._private(urgency, lambda: request(order.symbol, kind, order.side.value, amount, price, params), order=True)
        return parse.report(raw, symbol=order.symbol, now=self._now(), order_id=order.id, side=order.side, amount=order.amount)

    def shut(self) -> None:
        """See Exchange.shut."""
        self._gate.shut()

    async def cancel(self, order_id: str, symbol: str) -> None:
        """See Exchange.cancel."""
        if self._venue in CANCEL_BY_ID:
            await self._private(Urgency.CANCEL, lambda: self._client.cancel_order("", symbol, {"clientOrderId": order_id}))
        else:
            listed = await self._private(Urgency.CANCEL, lambda: self._client.fetch_open_orders(symbol))
            venue_id = _of(order_id, listed)["id"]
            await self._private(Urgency.CANCEL, lambda: self._client.cancel_order(venue_id, symbol))

    async def order(self, order_id: str, symbol: str) -> OrderReport:
        """See Exchange.order."""
        if self._venue in FETCH_BY_ID:
            raw = await self._private(Urgency.RECONCILE, lambda: self._client.fetch_order("", symbol, {"clientOrderId": order_id}))
        else:
            raw = await self._search(order_id, symbol)
        return parse.report(raw, symbol=symbol, now=self._now(), order_id=order_id)

    async def open_orders(self, symbol: str | None = None) -> tuple[OrderReport, ...]:
        """See Exchange.open_orders."""
        if symbol is None:
            listed = await self._open_orders()
        else:
            listed = await self._private(Urgency.RECONCILE, lambda: self._client.fetch_open_orders(symbol))
        ours = [raw for raw in listed if raw.get("symbol") in self._symbols]
        return tuple(parse.report(raw, symbol=raw["symbol"], now=self._now()) for raw in ours)

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """See Exchange.trades."""
        now = self._now()
        rows = await self._private(Urgency.RECONCILE, lambda: self._pages.trades(symbol, epoch_ms(since), epoch_ms(now)))
        return tuple(parse.fill(row, symbol=symbol, order_id=str(row.get("clientOrderId") or "")) for row in rows)

    async def watch_account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """See Exchange.watch_account."""
        await self._streams.account(sink, connected)

    # --- within ------------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        """The venue's time, as well as we know it."""
        return self._clock.now() + self._venue_clock.offset

    def _certain_now(self) -> datetime:
        """A moment that the venue's clock has passed for certain."""
        return self._now() - self._venue_clock.uncertainty

    async def _ask(self, urgency: Urgency, request: Callable[[], Awaitable[T]], *, order: bool = False) -> T:
        """One call through ccxt. What it raises is raised anew, outside of the handler: the original holds the signed URL."""
        async with calling(urgency, order=order) as call:
            try:
                return await request()
            except Exception as error:
                failed = classify(error, venue=self._venue, answer=call.answer, order=order, secrets=self._secrets)
        if failed.reason is Reason.CLOCK_SKEW:
            self._venue_clock.forget()
        raise failed

    async def _private(self, urgency: Urgency, request: Callable[[], Awaitable[T]], *, order: bool = False) -> T:
        """A signed call; first a look at the venue's clock, where it is not known or was found wrong."""
        if not self._venue_clock.known:
            try:
                await self.server_time()
            except Unknown as error:
                raise NotSent(f"not sent, because the venue's time is not known: {error.text}", error.reason) from None
        return await self._ask(urgency, request, order=order)

    async def _local(self, read: Callable[[], str]) -> str:
        """Something that ccxt works out without the venue."""

        async def answer() -> str:
            return read()

        return await self._ask(Urgency.DATA, answer)

    async def _listed(self) -> dict[str, Json]:
        """The markets of our symbols, by symbol; all that the venue has where it does not have each of them."""
        wanted = [symbol for symbol in self._symbols if symbol not in self._delisted]
        # It knows one of them not, and does not say which; or it takes no names.
        found = await self._named(wanted) if wanted else {}
        if not found.keys() >= set(wanted):
            found = {str(market["symbol"]): market for market in await self._client.listed(())}
        for symbol in self._delisted.difference(found):
            found |= await self._named([symbol])
        return found

    async def _named(self, symbols: Sequence[str]) -> dict[str, Json]:
        """What the venue lists under these names; nothing where it objects to one of them."""
        try:
            return {str(market["symbol"]): market for market in await self._client.listed(symbols)}
        except ccxt.BadRequest:
            return {}

    def _ruled(self, found: Mapping[str, Json]) -> dict[str, Instrument]:
        """The rules of the symbols that were found, which ccxt goes by from now on; of others it keeps those it had."""
        # Each of these is asked for alone: together with one that is gone, the venue would have to list its thousands each time.
        self._delisted = frozenset(self._symbols).difference(found)
        rules = {**(self._client.markets or {}), **found}
        self._client.set_markets([rules[symbol] for symbol in self._symbols if symbol in rules])
        return {s: self._instrument(self._client.market(s)) for s in self._symbols if s in found}

    def _instrument(self, market: Json) -> Instrument:
        rules = parse.instrument(market, self._client.precisionMode)
        return binance.of_market_orders(rules, market) if self._venue in binance.FAMILY else rules

    def _at_market(self, order: Order) -> tuple[str, str | None, dict[str, str | bool]]:
        """Kind, price and further terms of a market order, as ccxt takes them."""
        return "market", parse.plain(order.price) if order.side is Side.BUY and self._buys_by_cost() else None, {}

    async def _limited(self, order: Order) -> tuple[str, str | None, dict[str, str | bool]]:
        """The same of an order with a limit: one that ends at once, or one that only rests. The venue must be known to keep to that."""
        if not (self.takes_resting if order.post_only else self.takes_limits):
            what = "that only rest in the book" if order.post_only else "that end at once"
            raise Refused(f"{self._venue} takes no limit orders {what}, as far as ccxt knows", Reason.BAD_REQUEST)
        limit = parse.plain(order.limit or order.price)
        on_grid = await self._local(lambda: self._client.price_to_precision(order.symbol, limit))
        if Decimal(on_grid) != order.limit:
            raise Refused(f"{order.symbol}: a limit of {limit} is not on the venue's grid, which has {on_grid}", Reason.FILTER)
        return "limit", limit, {"postOnly": True} if order.post_only else {"timeInForce": "IOC"}

    @property
    def takes_limits(self) -> bool:
        """Whether the venue takes limit orders that end at once with what they found (immediate or cancel), as far as ccxt knows."""
        return self._in_force("IOC")

    @property
    def takes_resting(self) -> bool:
        """Whether it takes limit orders that rest in the book and are refused where they would trade at once, as far as ccxt knows."""
        return self._in_force("PO")

    def _in_force(self, life: str) -> bool:
        return bool((self._client.feature_value_by_type(*self.kind, "createOrder", "timeInForce") or {}).get(life))

    def _buys_by_cost(self) -> bool:
        """Whether a market buy is told in quote here; ccxt then wants the price, which elsewhere would change the order's meaning."""
        options = self._client.options
        nested = options.get("createOrder")
        said = nested.get("createMarketBuyOrderRequiresPrice") if isinstance(nested, Mapping) else None
        return bool(said if said is not None else options.get("createMarketBuyOrderRequiresPrice"))

    async def _open_orders(self) -> list[Json]:
        if self._one_listing:
            try:
                listed: list[Json] = await self._private(Urgency.RECONCILE, self._client.fetch_open_orders)
            except Refused as error:
                if error.reason is not Reason.BAD_REQUEST:
                    raise
                self._one_listing = False  # the venue wants a symbol
            else:
                return listed
        found: list[Json] = []
        for symbol in self._symbols:
            found += await self._private(Urgency.RECONCILE, lambda s=symbol: self._client.fetch_open_orders(s))  # type: ignore[misc]
        return found

    async def _search(self, order_id: str, symbol: str) -> Json:
        """An order of ours in the venue's listings, where it cannot be asked for by our id."""
        has = self._client.has
        listings = [name for feature, name in LISTINGS if has.get(feature)]
        listed: list[Json] = []
        for name in listings:
            listed += await self._private(Urgency.RECONCILE, lambda n=name: getattr(self._client, n)(symbol))  # type: ignore[misc]
        return _of(order_id, listed)


LISTINGS: Final = (
    ("fetchOpenOrders", "fetch_open_orders"),
    ("fetchClosedOrders", "fetch_closed_orders"),
    ("fetchCanceledOrders", "fetch_canceled_orders"),
)


def _of(order_id: str, listed: Sequence[Json]) -> Json:
    for raw in listed:
        if raw.get("clientOrderId") == order_id:
            return raw
    raise NotFound(f"the venue lists no order {order_id}")


def _hint(symbol: str, known: set[str]) -> str:
    near = get_close_matches(symbol.upper(), sorted(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _state_limits(client: Guarded, gate: Gate) -> None:
    """What ccxt knows of the venue's limits, until the venue itself says more."""
    gate.limit(MESSAGES, MESSAGES_PER_S, 1.0, tiered=False)
    if isinstance(client, binance.BinanceGuarded):
        gate.limit(WEIGHT, 6000.0, 60.0)
        gate.limit(ORDERS, 100.0, 10.0)
    else:
        # ccxt states a pace, one unit of cost each `rateLimit` ms; ten of them, or a second's, may come together.
        window_s = max(1.0, client.rateLimit / 100)
        gate.limit(WEIGHT, window_s * 1000 / client.rateLimit, window_s)
