"""The door to linear perpetual swaps with an account, in one-way mode: their public side, and what positions need beside.

Rule: leverage, margin mode and position mode are what the configuration says, or it is known where they are not. Nothing here opens or
closes a position.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from daemon.core.funding import Mark
from daemon.core.model import Balance, Fill, Flow, Instrument, OrderReport, epoch_ms
from daemon.io import ccxt_parse as parse
from daemon.io import ccxt_usdm as usdm
from daemon.io.ccxt_client import Guarded
from daemon.io.ccxt_epochs import Renumbered
from daemon.io.ccxt_errors import judged
from daemon.io.ccxt_setup import ACCOUNT, Setup, Wanted
from daemon.io.ccxt_streams import Streams
from daemon.io.ccxt_swapmarket import SwapMarket
from daemon.io.ccxt_types import Json
from daemon.io.exchange import Fatal, NotSent, Reason, Urgency, VenueError

# How often it is asked how far settlements are apart: Binance announces changes days before.
INTERVALS_S: Final = 3600.0
RETRY_S: Final = 60.0  # where there was no answer

MARGIN_MODES: Final = ("cross", "isolated")


@judged
class SwapExchange(SwapMarket):
    """The swaps of Binance, and of servers of its protocol, with an account. `wanted` is what every market is to be set to.

    Where nothing may be set, all count as set.
    """

    any_contract = False

    def __init__(self, exchange_id: str, symbols: Sequence[str], *, wanted: Wanted, **given: Any) -> None:
        super().__init__(usdm.CLASSES[exchange_id], symbols, leverage=wanted.leverage, **given)
        self._setup = Setup(self._client, lambda request: self._private(Urgency.RECONCILE, request), wanted)
        self._sets = wanted.may_set
        self._tiers: dict[str, tuple[tuple[Decimal, Decimal], ...]] = {}
        self._fee: Decimal | None = None
        self._intervals: dict[str, timedelta] = {}
        self._intervals_due = 0.0

    def _special(self) -> tuple[Json, type[Guarded], Callable[..., Streams]]:
        return usdm.SETTINGS, usdm.UsdmGuarded, usdm.UsdmStreams

    # --- market ------------------------------------------------------------------------------------------------------

    async def connect(self) -> Mapping[str, Instrument]:
        """See Market.connect. With a key, the account's settings are read, set where they differ, and read back."""
        instruments = await super().connect()
        if not self._keyed:
            return {symbol: self._as_set(market) for symbol, market in instruments.items()}
        symbols = list(instruments)
        await self._begin()
        tiers = await self._private(Urgency.RECONCILE, lambda: self._client.fetch_leverage_tiers(symbols))
        self._tiers = {symbol: usdm.tiers(tiers.get(symbol) or ()) for symbol in symbols}
        fee = await self._private(Urgency.RECONCILE, lambda: self._client.fetch_trading_fee(symbols[0]))
        self._fee = parse.decimal(fee.get("taker"))
        return {symbol: self._as_set(market) for symbol, market in instruments.items()}

    async def markets(self) -> Mapping[str, Instrument]:
        """See Market.markets. How far settlements are apart is looked up with them."""
        await self._settling()
        return {symbol: self._as_set(market) for symbol, market in (await super().markets()).items()}

    def _as_set(self, market: Instrument) -> Instrument:
        """The rules of a market with what the account has set there, and pays."""
        return replace(
            market,
            leverage=self._setup.leverages.get(market.symbol, self._leverage) if self._sets else self._leverage,
            tiers=self._tiers.get(market.symbol, ()),
            taker_fee=market.taker_fee if self._fee is None else self._fee,
        )

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """See Marking.marks: of all markets in one call."""
        intervals, ids = await self._settling(), self._names(symbols)
        return usdm.mark_prices(await self._ask(Urgency.DATA, lambda: self._client.fapiPublicGetPremiumIndex({})), ids, intervals)

    async def _settling(self) -> Mapping[str, timedelta]:
        """How far settlements are apart, by symbol: one mapping, brought up to date now and then, since a venue may change it.

        Marks do not wait for it: where the venue does not answer, what is known stands, and what is not known is as usual.
        """
        now = self._clock.monotonic()
        if now >= self._intervals_due:
            self._intervals_due = now + RETRY_S
            try:
                told = await self._ask(Urgency.DATA, lambda: self._client.fapiPublicGetFundingInfo({}))
                self._intervals |= usdm.settling(told, self._names(self._client.markets or ()))
            except Fatal:
                raise
            except VenueError:
                return self._intervals
            self._intervals_due = now + INTERVALS_S
        return self._intervals

    def _names(self, symbols: Iterable[str]) -> dict[str, str]:
        """Symbols by the venue's names."""
        return {str(self._client.market(symbol)["id"]): symbol for symbol in symbols}

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """See Marking.watch_marks."""
        streams = self._streams
        if not isinstance(streams, usdm.UsdmStreams):
            raise NotSent(f"{self._venue} streams no mark prices here", Reason.BAD_REQUEST)
        await streams.marks(symbols, sink, await self._settling())

    async def _books(self, symbols: Sequence[str]) -> Json:
        found: Json = await self._client.fetch_bids_asks(list(symbols))
        return found

    # --- settings ----------------------------------------------------------------------------------------------------

    @property
    def unlike(self) -> Mapping[str, str]:
        """See SetUp.unlike."""
        return self._setup.unlike

    async def look(self) -> Mapping[str, str]:
        """See SetUp.look. Without a key there is no account."""
        return await self._setup.look(self._listed_now()) if self._keyed else {}

    async def put_right(self) -> Mapping[str, str]:
        """See SetUp.put_right."""
        return await self._setup.put_right(self._listed_now()) if self._keyed else {}

    def _listed_now(self) -> list[str]:
        """The symbols that the venue lists."""
        return [symbol for symbol in self._symbols if symbol in (self._client.markets or {})]

    async def _begin(self) -> None:
        """Fatal: the account is in hedge mode, and cannot be taken out of it."""
        if await self.look() and ACCOUNT in await self.put_right():
            raise Fatal(self.unlike[ACCOUNT], Reason.BAD_REQUEST)

    # --- account -----------------------------------------------------------------------------------------------------

    async def balances(self) -> Mapping[str, Balance]:
        """See Exchange.balances: wallets, and positions by what they are made of."""
        answer = await self._private(Urgency.RECONCILE, lambda: self._client.fapiPrivateV3GetAccount({}))
        return usdm.balances(answer, self._client.markets or {})

    async def trades(self, symbol: str, since: datetime) -> tuple[Fill, ...]:
        """See Exchange.trades."""
        return tuple(map(usdm.named_apart, await super().trades(symbol, since)))

    async def named(self, venue_id: str, symbol: str) -> OrderReport:
        """See Naming.named."""
        raw = await self._private(Urgency.RECONCILE, lambda: self._client.fetch_order(venue_id, symbol))
        return parse.report(raw, symbol=symbol, now=self._now())

    async def cancel_after(self, symbol: str, seconds: float) -> None:
        """See Countdown.cancel_after. ccxt has no unified call for one market."""
        length_ms = round(seconds * 1000)
        market = self._client.market(symbol)["id"]
        request = {"symbol": market, "countdownTime": length_ms}
        await self._private(Urgency.CANCEL, lambda: self._client.fapiPrivatePostCountdownCancelAll(request))

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """See Earning.incomes."""
        ids = {str(market["id"]): symbol for symbol, market in (self._client.markets or {}).items()}
        return await self._private(Urgency.RECONCILE, lambda: usdm.incomes(self._client, epoch_ms(since), ids))


class RenumberedSwaps(Renumbered, SwapExchange):
    """The same where the venue counts from 1 again."""

    async def named(self, venue_id: str, symbol: str) -> OrderReport:
        """See Naming.named."""
        return self._epoch.report(await super().named(venue_id.rpartition("/")[2], symbol))

    async def incomes(self, since: datetime) -> tuple[Flow, ...]:
        """See Earning.incomes: those of this epoch."""
        found = await super().incomes(max(since, self._epoch.began))
        return tuple(replace(flow, id=self._epoch.name(flow.id)) for flow in found)
