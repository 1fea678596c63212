"""What the door knows of Binance's USD-M futures beyond ccxt: weights, the listen key, the user stream as it is, wallets and incomes.

Rule: as in ccxt_binance. What an answer does not name is Unknown, never 0.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from daemon.core.funding import USUAL, Mark
from daemon.core.ledger import FUNDING, LIQUIDATION
from daemon.core.model import ZERO, Balance, Fill, Flow, Money, OrderReport, Side, Status, currencies
from daemon.io import ccxt_binance as binance
from daemon.io import ccxt_parse as parse
from daemon.io.ccxt_client import Guarded, calling
from daemon.io.ccxt_library import ccxt
from daemon.io.ccxt_types import Json
from daemon.io.exchange import AccountNews, NotSent, Reason, SettingsMoved, Unknown, Urgency

# The ids whose swaps are traded, and the ccxt class that does it.
CLASSES: Final = {"binance": "binanceusdm", "binanceusdm": "binanceusdm"}

SETTINGS: Final[Json] = {"options": {**binance.SETTINGS["options"], "fetchMarkets": {"types": ["linear"]}}}

# A listen key ends an hour after it was last kept.
KEEP_S: Final = 20 * 60.0

STATUS: Final = {**binance.STATUS, "NEW_INSURANCE": Status.OPEN, "NEW_ADL": Status.OPEN}

# What the trades tell already; everything else that moves a wallet is told by the incomes alone.
OF_TRADES: Final = frozenset({"REALIZED_PNL", "COMMISSION"})

# The kinds of flows that the profit or loss of a position is.
KINDS: Final = {"FUNDING_FEE": FUNDING, "INSURANCE_CLEAR": LIQUIDATION}

INCOMES_MAX: Final = 1000


def wallet_name(asset: str, quotes: Collection[str]) -> str:
    """What a wallet is called here: money by its name; any other asset so that it is no position, which is called by its base alone."""
    return asset if asset in quotes else f"{asset} coins"


def named_apart(fill: Fill) -> Fill:
    """A trade whose fees are of the wallets that they came from: those in BNB take nothing of a position in BNB."""
    quotes = currencies(fill.symbol)[1:]
    return replace(fill, fees=tuple(replace(fee, currency=wallet_name(fee.currency, quotes)) for fee in fill.fees))


class UsdmGuarded(binance.BinanceGuarded):
    """The REST half: ccxt counts the weights of futures as Binance does, and their markets cannot be asked for by name."""

    weight_per_cost = 1.0
    lists = frozenset({"klines", "userTrades", "openOrders", "allOrders", "income", "symbolConfig"})

    async def listed(self, symbols: Sequence[str]) -> list[Json]:
        """All markets: there is no end point for some of them."""
        markets: list[Json] = await self.fetch_markets()
        return markets


class UsdmStreams(binance.BinanceStreams):
    """The streaming half: the account's stream belongs to a listen key, which is kept alive for as long as the stream stands."""

    def _candles(self, slot: int) -> str:
        return f"{self._client.get_ws_url('linear', 'market')}/{slot}"

    async def marks(self, symbols: Sequence[str], sink: Callable[[str, Mark], None], intervals: Mapping[str, timedelta]) -> None:
        """The mark prices of these markets, every second, on a connection of their own. `intervals`: as of `mark_prices`."""
        ids = {str(self._client.market(symbol)["id"]): symbol for symbol in symbols}
        await self._channels([f"{market.lower()}@markPrice@1s" for market in ids], Marks(ids, sink, intervals))

    async def account(self, sink: Callable[[AccountNews], None], connected: Callable[[], None]) -> None:
        """The user data stream of a fresh listen key."""
        client = self._client
        if not client.apiKey:
            raise NotSent("without a key there is no account to watch", Reason.CREDENTIALS)
        key = await self._listen_key("fapiPrivatePostListenKey")
        url = str(client.get_private_ws_url("linear", key))
        client.taps[url] = Account({str(market["id"]): symbol for symbol, market in (client.markets or {}).items()}, sink)
        try:
            await self._stand(url, None, connected)
        finally:
            client.taps.pop(url, None)

    async def _subscribe(self, socket: Any, request: Json | None) -> None:
        if request is not None:
            await socket.send(request)

    async def _remain(self, end: "asyncio.Future[Any]", request: Json | None) -> None:
        """Until the connection ends, the key is kept."""
        while request is None and not end.done():
            done, _ = await asyncio.wait({end}, timeout=KEEP_S)
            if not done:
                await self._listen_key("fapiPrivatePutListenKey")
        await end

    async def _listen_key(self, request: str) -> str:
        async def asked() -> Any:
            async with calling(Urgency.RECONCILE):
                return await getattr(self._client, request)({})

        answer = await self._asked(asked)
        return str(answer.get("listenKey") or "")


class Marks:
    """Reads the messages of a connection for mark prices."""

    def __init__(self, ids: Mapping[str, str], sink: Callable[[str, Mark], None], intervals: Mapping[str, timedelta]) -> None:
        self._ids = ids
        self._sink = sink
        self._intervals = intervals

    def __call__(self, message: Any) -> bool:
        """Read a mark price or a refusal; leave everything else to ccxt."""
        data = message.get("data", message)
        if data.get("e") != "markPriceUpdate":
            binance.refusal(data)
            return "result" in data
        symbol, price = self._ids.get(data["s"]), parse.positive(data.get("p"))
        if symbol is not None and price is not None:
            self._sink(symbol, Mark(float(price), parse.funding(data.get("r"), data.get("T"), self._intervals.get(symbol, USUAL))))
        return True


@parse.reading("mark prices")
def mark_prices(answer: Any, ids: Mapping[str, str], intervals: Mapping[str, timedelta]) -> dict[str, Mark]:
    """The mark prices of a premiumIndex by symbol; `ids` are the symbols that are asked about, by the venue's names.

    `intervals` are those between settlements, by symbol; one that is not there settles as most do.

    Raises:
        Unknown: the answer is no list.
    """
    if not isinstance(answer, list):
        raise Unknown("the venue's answer names no mark prices")
    found = {}
    for each in answer:
        symbol, price = ids.get(str(each.get("symbol"))), parse.positive(each.get("markPrice"))
        if symbol is not None and price is not None:
            coming = parse.funding(each.get("lastFundingRate"), each.get("nextFundingTime"), intervals.get(symbol, USUAL))
            found[symbol] = Mark(float(price), coming)
    return found


@parse.reading("intervals of funding")
def settling(answer: Any, ids: Mapping[str, str]) -> dict[str, timedelta]:
    """From a fundingInfo, by symbol, how far settlements are apart; Binance lists there what it has ever adjusted."""
    read = ((ids.get(str(each.get("symbol"))), parse.interval(each.get("fundingIntervalHours"))) for each in answer or ())
    return {symbol: apart for symbol, apart in read if symbol is not None and apart is not None}


class Account:
    """Reads the messages of the user stream."""

    def __init__(self, ids: Mapping[str, str], sink: Callable[[AccountNews], None]) -> None:
        self._ids = ids
        self._sink = sink

    def __call__(self, message: Any) -> bool:
        """Read an order or a trade; what else moves a wallet is told without a number of its own, and read by REST."""
        data = message.get("data", message)  # a combined stream says beside it whose it is
        match data.get("e"):
            case "ORDER_TRADE_UPDATE":
                symbol = self._ids.get(data["o"]["s"])
                if symbol is not None:
                    self._sink(execution(data["o"], symbol))
            case "ACCOUNT_CONFIG_UPDATE":
                self._sink(SettingsMoved())
            case "ACCOUNT_UPDATE" if data["a"].get("m") == "MARGIN_TYPE_CHANGE":
                self._sink(SettingsMoved())
            case "listenKeyExpired":
                raise ccxt.NetworkError("the listen key has expired")
            case _:
                pass
        return True


@parse.reading("an order on the user stream")
def execution(data: Mapping[str, Any], symbol: str) -> OrderReport:
    """An ORDER_TRADE_UPDATE: the order as it stands, with the trade that it tells, if it tells one. A liquidation's is CALCULATED."""
    order_id, at, filled = str(data["c"]), parse.moment(data["T"]), parse.sized(data["z"], "what is filled")
    return OrderReport(
        order_id=order_id,
        venue_id=str(data["i"]),
        symbol=symbol,
        side=Side(data["S"].lower()),
        status=STATUS.get(data["X"], Status.OPEN),
        amount=parse.sized(data["q"], "an amount"),
        filled=filled,
        cost=filled * parse.sized(data["ap"], "a price"),
        at=at,
        fills=(_trade(data, symbol, order_id),) if data.get("x") in ("TRADE", "CALCULATED") else (),
        made_at=at if data.get("x") == "NEW" else None,  # the message names no other moment than its own
    )


def _trade(data: Mapping[str, Any], symbol: str, order_id: str) -> Fill:
    amount, price = parse.sized(data["l"], "an amount", traded=True), parse.sized(data["L"], "a price", traded=True)
    fee = parse.figure(data.get("n") or ZERO, "a fee")
    fill = Fill(
        order_id=order_id,
        venue_id=str(data["i"]),
        trade_id=str(data["t"]),
        symbol=symbol,
        side=Side(data["S"].lower()),
        amount=amount,
        price=price,
        cost=amount * price,
        fees=(Money(fee, str(data["N"])),) if fee and data.get("N") else (),
        at=parse.moment(data["T"]),
        realised=parse.stated(data.get("rp"), "a profit"),
    )
    return named_apart(fill)


@parse.reading("the balances")
def balances(answer: Any, markets: Mapping[str, Json]) -> dict[str, Balance]:
    """Wallets by asset, and positions by base, of which those of markets that are not traded here are told as well.

    Raises:
        Unknown: the answer names no wallet, or has no figures.
    """
    assets, positions = (answer.get(name) if isinstance(answer, Mapping) else None for name in ("assets", "positions"))
    if not isinstance(assets, list) or not isinstance(positions, list):
        raise Unknown("the venue's answer names no wallet")
    if not assets and parse.decimal(answer.get("totalWalletBalance")) != 0:  # of an account without money, some list none
        raise Unknown("the venue's answer names no wallet")
    traded = {str(market["id"]): str(market["base"]) for market in markets.values()}
    quotes = {str(market["quote"]) for market in markets.values()}
    held = {wallet_name(str(each["asset"]), quotes): _wallet(each) for each in assets}
    for each in positions:
        symbol, cost = str(each["symbol"]), _figure(each, "notional") - _figure(each, "unrealizedProfit")
        name = traded.get(symbol, symbol)
        other = held.get(name, Balance(ZERO, ZERO))  # in hedge mode a market has two
        held[name] = Balance(other.free + _figure(each, "positionAmt"), ZERO, other.opened_for + cost)
    return {name: balance for name, balance in held.items() if balance.total}


def _wallet(raw: Mapping[str, Any]) -> Balance:
    """A wallet, of which the margin of open orders is locked: where look-ups deny an order, that shows it."""
    wallet, margin = _figure(raw, "walletBalance"), parse.stated(raw.get("openOrderInitialMargin"), "openOrderInitialMargin")
    locked = max(ZERO, min(wallet, margin or ZERO))
    return Balance(wallet - locked, locked)


def _figure(raw: Mapping[str, Any], name: str) -> Decimal:
    return parse.figure(raw.get(name), name)


async def incomes(client: Guarded, since_ms: int, ids: Mapping[str, str]) -> tuple[Flow, ...]:
    """What has moved the wallets beside trades since a moment, oldest first; `ids` are symbols by the venue's names."""
    found: dict[str, Flow] = {}
    quotes = {currencies(symbol)[1] for symbol in ids.values()}
    while True:
        rows = await client.fapiPrivateGetIncome({"startTime": since_ms, "limit": INCOMES_MAX})
        for row in rows:
            if row.get("incomeType") not in OF_TRADES:
                flow = _flow(row, ids, quotes)
                found[flow.id] = flow
        newest = max((int(row["time"]) for row in rows), default=since_ms)
        if len(rows) < INCOMES_MAX:
            return tuple(sorted(found.values(), key=lambda flow: flow.at))
        if newest == since_ms:
            raise ccxt.BadResponse("more incomes in one millisecond than a page holds")
        since_ms = newest


@parse.reading("an income")
def _flow(row: Mapping[str, Any], ids: Mapping[str, str], quotes: Collection[str]) -> Flow:
    kind, asset = str(row["incomeType"]), str(row["asset"])
    amount = _figure(row, "income")
    # The number is unique within a kind, says Binance; liquidations and funding of several symbols have been seen to share theirs.
    name = f"{kind}-{row.get('symbol') or asset}-{row['tranId']}"
    symbol = ids.get(str(row.get("symbol")), "") if kind in KINDS else ""
    return Flow(name, wallet_name(asset, quotes), amount, KINDS.get(kind, kind.lower()), parse.moment(row["time"]), symbol)


def tiers(raw: Sequence[Mapping[str, Any]]) -> tuple[tuple[Decimal, Decimal], ...]:
    """Of a market's brackets, from which worth on (quote) which maintenance rate holds."""
    read = [(parse.decimal(each.get("minNotional")), parse.decimal(each.get("maintenanceMarginRate"))) for each in raw]
    return tuple(sorted((floor, rate) for floor, rate in read if floor is not None and rate is not None))
