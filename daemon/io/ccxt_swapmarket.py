"""The public side of any venue's linear perpetual swaps, by ccxt's unified calls: what paper accounts, downloads and plans need of it.

Rule: amounts are base units, whatever a contract is there. What a venue does not tell is not there, and never made up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from daemon.core.funding import USUAL, FundingRate, Mark
from daemon.core.model import Bar, Instrument, epoch_ms
from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_errors import judged
from daemon.io.ccxt_exchange import CcxtExchange
from daemon.io.ccxt_types import Json
from daemon.io.exchange import NotSent, Reason, Urgency

SETTLEMENTS_MAX: Final = 1000
SIZES: Final = ("amount", "market")  # the limits that count contracts


@judged
class SwapMarket(CcxtExchange):
    """A venue's swaps without an account. `leverage` is what margin is reckoned by."""

    kind: ClassVar[tuple[str, str | None]] = ("swap", "linear")
    any_contract: ClassVar[bool] = True  # also those of other than one unit of base: no order of ours goes to the venue

    def __init__(self, exchange_id: str, symbols: Sequence[str], *, leverage: int, **given: Any) -> None:
        super().__init__(exchange_id, symbols, **given)
        self._leverage = Decimal(leverage)

    async def connect(self) -> Mapping[str, Instrument]:
        """See Market.connect."""
        return self._reckoned(await super().connect())

    async def markets(self) -> Mapping[str, Instrument]:
        """See Market.markets."""
        return self._reckoned(await super().markets())

    def _reckoned(self, found: Mapping[str, Instrument]) -> dict[str, Instrument]:
        return {symbol: replace(market, leverage=self._leverage) for symbol, market in found.items()}

    def _instrument(self, market: Json) -> Instrument:
        return super()._instrument(in_base(market) if self.any_contract else market)

    # --- mark prices and funding -------------------------------------------------------------------------------------

    async def marks(self, symbols: Sequence[str]) -> Mapping[str, Mark]:
        """See Marking.marks: with the rates that are expected, where the venue tells its mark prices."""
        rates = await self._listed_by("fetchFundingRates", "fetchFundingRate", symbols)
        unpriced = [symbol for symbol in symbols if parse.positive((rates.get(symbol) or {}).get("markPrice")) is None]
        prices = await self._listed_by("fetchMarkPrices", "fetchMarkPrice", unpriced) if unpriced else {}
        return told_marks(symbols, rates, prices)

    async def _listed_by(self, every: str, each: str, symbols: Sequence[str]) -> dict[str, Json]:
        """What one unified call tells of all these symbols, or another of each; nothing where the venue has neither."""
        has = self._client.has
        if has.get(every):
            called: Callable[..., Any] = getattr(self._client, _python(every))
            return dict(await self._ask(Urgency.DATA, lambda: called(list(symbols))))
        if not has.get(each):
            return {}
        asked: Callable[..., Any] = getattr(self._client, _python(each))
        return {symbol: await self._ask(Urgency.DATA, lambda s=symbol: asked(s)) for symbol in symbols}  # type: ignore[misc]

    async def watch_marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None]) -> None:
        """See Marking.watch_marks. No unified stream tells funding as well, so they are asked for."""
        raise NotSent(f"{self._venue} is asked for its mark prices", Reason.BAD_REQUEST)

    @property
    def mark_bars(self) -> bool:
        """Whether the venue tells candles of the mark price."""
        return bool(self._client.has.get("fetchMarkOHLCV"))

    @property
    def past_funding(self) -> bool:
        """Whether it tells what was settled."""
        return bool(self._client.has.get("fetchFundingRateHistory"))

    async def page(self, symbol: str, timeframe: timedelta, since: datetime, price: str = "") -> list[Bar]:
        """See CcxtExchange.page. A venue that knows no mark candles might give those of trades for them."""
        if price and not self.mark_bars:
            raise NotSent(f"{self._venue} has no candles of the {price} price", Reason.BAD_REQUEST)
        return await super().page(symbol, timeframe, since, price)

    async def settlements(self, symbol: str, since: datetime) -> list[tuple[datetime, float]]:
        """One page of funding settlements at `since` or later, oldest first: their moments, and the rates that longs paid then."""
        since_ms = epoch_ms(since)
        rows = await self._ask(Urgency.DATA, lambda: self._client.fetch_funding_rate_history(symbol, since_ms, SETTLEMENTS_MAX))
        with parse.reading(f"the funding of {symbol}"):
            return sorted((at, rate) for at, rate in map(parse.settlement, rows) if at >= since)


def in_base(market: Json) -> Json:
    """A market whose amounts count contracts of other than one unit of base, with its steps and bounds in base units."""
    size = parse.positive(market.get("contractSize"))
    if size is None or size == 1:
        return market
    precision, limits = dict(market["precision"]), dict(market["limits"])
    precision["amount"] = _times(precision.get("amount"), size)
    for name in SIZES:
        limits[name] = {end: _times(value, size) for end, value in (limits.get(name) or {}).items()}
    return {**market, "contractSize": 1, "precision": precision, "limits": limits}


def _times(contracts: object, size: Decimal) -> str | None:
    number = parse.decimal(contracts)
    return None if number is None else str(number * size)


@parse.reading("mark prices")
def told_marks(symbols: Iterable[str], rates: Mapping[str, Json], prices: Mapping[str, Json]) -> dict[str, Mark]:
    """The marks of these symbols, from funding rates and, where those name none, from mark prices, both as ccxt unifies them."""
    found = {}
    for symbol in symbols:
        rate = rates.get(symbol) or {}
        price = parse.positive(rate.get("markPrice")) or parse.positive((prices.get(symbol) or {}).get("markPrice"))
        if price is not None:
            found[symbol] = Mark(float(price), told_funding(rate))
    return found


def told_funding(rate: Json) -> FundingRate | None:
    """The rate that is expected next, as ccxt unifies it; None where the venue tells none, or not when."""
    apart = parse.interval(str(rate.get("interval") or "").removesuffix("h")) or USUAL
    return parse.funding(rate.get("fundingRate"), rate.get("fundingTimestamp"), apart)


def _python(name: str) -> str:
    """The Python name of a unified call: fetchMarkPrice is fetch_mark_price."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
